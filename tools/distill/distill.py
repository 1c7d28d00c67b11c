"""Distils internal/embedding/table.bin from MiniLM (see README.md)."""
import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # sums in one order

import argparse
import collections
import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np
import scipy.sparse

import corpus
import table
from minilm import PACKAGE, WEIGHTS_SHA256, normalize
from teacher import Teacher
from wordpiece import WordPiece, words

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache/distill"


class Settings(argparse.Namespace):
    """What compare.py varies."""
    dim = 256
    whole_words = 6000
    bigram_entries = 0
    bigrams = "none"  # or "add", "replace"
    epochs = 5
    batch = 4096
    rate = 0.02
    pairs = 1024  # a step
    pair_weight = 0.01
    drop = 0.2  # share of the words left out of a text at each step, so that no word is relied on
    temperature = 0.05
    seed = 1


def units(sums):
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
    return sums / lengths, lengths


def through_unit(gradient, unit, length):
    """The gradient with respect to a vector, from that with respect to its unit vector."""
    return (gradient - (gradient * unit).sum(axis=1, keepdims=True) * unit) / length


def matrix(texts, tokens, count, bigrams="none"):
    """One row a text: how often each entry occurs in it."""
    ends, columns = [0], []
    for text in texts:
        columns.extend(tokens.rows(text, bigrams))
        ends.append(len(columns))
    ones = np.ones(len(columns), np.float32)
    return scipy.sparse.csr_matrix((ones, np.array(columns, np.int32), ends), (len(texts), count))


def entries_of(teacher, texts, settings):
    """MiniLM's vocabulary, then frequent whole words, then word pairs that occur together
    more often than by chance."""
    entries = [e for e in teacher.vocabulary if len(e) == 1 or not (e[0] == "[" and e[-1] == "]")]
    known, single, double = set(entries), collections.Counter(), collections.Counter()
    for text in texts:
        split = words(text)
        single.update(split)
        if settings.bigram_entries:
            double.update(zip(split, split[1:]))
    whole = [word for word, count in single.most_common()
             if word not in known and word.isascii() and word.isalpha() and 3 < len(word) < 25 and count > 4]
    total = single.total()
    gain = {f"{a} {b}": count * np.log(count * total / single[a] / single[b])
            for (a, b), count in double.items()
            if count > 14 and a.isalpha() and b.isalpha() and min(len(a), len(b)) > 2}
    pairs = sorted(gain, key=gain.get, reverse=True)[:settings.bigram_entries]
    return entries + whole[:settings.whole_words] + pairs


def first_rows(teacher, entries):
    """Every entry's own sentence vector: what the model makes of the token alone."""
    index, pieces = teacher.tokens.index, teacher.tokens.pieces
    ids = []
    for entry in entries:
        if entry in index:
            ids.append([index[entry]])
        else:
            ids.append([i for word in entry.split() for i in pieces(word)] or [teacher.unknown])
    return teacher.encode_ids(ids)


class Adam:
    def __init__(self, like):
        self.mean, self.square, self.steps = np.zeros_like(like), np.zeros_like(like), 0

    def step(self, x, gradient, rate):
        self.steps += 1
        self.mean += 0.1 * (gradient - self.mean)
        self.square += 0.001 * (gradient * gradient - self.square)
        mean, square = self.mean / (1 - 0.9 ** self.steps), self.square / (1 - 0.999 ** self.steps)
        x -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))


def contrast(left, right, rows, temperature):
    """Loss and gradient of telling each left text's partner from the other right texts, and
    the other way round (InfoNCE). Near duplicates are not counted as others."""
    u, u_length = units(left @ rows)
    v, v_length = units(right @ rows)
    scores = u @ v.T / np.float32(temperature)
    alike = (v @ v.T) > 0.9
    np.fill_diagonal(alike, False)
    scores[alike] = -30
    across = np.exp(scores - scores.max(axis=1, keepdims=True))
    across /= across.sum(axis=1, keepdims=True)
    down = np.exp(scores - scores.max(axis=0, keepdims=True))
    down /= down.sum(axis=0, keepdims=True)
    loss = -np.log(np.diag(across) + 1e-9).mean()
    slope = (across + down) / 2
    slope[np.diag_indices(len(slope))] -= 1
    slope /= np.float32(temperature * len(slope))
    return loss, (left.T @ through_unit(slope @ v, u, u_length)
                  + right.T @ through_unit(slope.T @ u, v, v_length))


def train(rows, counts, targets, left, right, settings):
    """Rows whose sums point where the teacher's sentence vectors do."""
    rng = np.random.default_rng(settings.seed)
    adam, texts = Adam(rows), counts.shape[0]
    steps = settings.epochs * (texts // settings.batch)
    for epoch in range(settings.epochs):
        order, losses, contrasts = rng.permutation(texts), [], []
        for start in range(0, texts - settings.batch + 1, settings.batch):
            chosen = np.sort(order[start:start + settings.batch])
            batch, target = counts[chosen], targets[chosen].astype(np.float32)
            batch.data *= rng.random(len(batch.data)) >= settings.drop
            unit, length = units(batch @ rows)
            losses.append(1 - (unit * target).sum(axis=1).mean())
            gradient = batch.T @ through_unit(-target / settings.batch, unit, length)
            if settings.pair_weight:
                chosen = np.sort(rng.choice(left.shape[0], settings.pairs, replace=False))
                loss, slope = contrast(left[chosen], right[chosen], rows, settings.temperature)
                contrasts.append(loss)
                gradient += np.float32(settings.pair_weight) * slope
            adam.step(rows, gradient, settings.rate * max(0.02, 1 - adam.steps / steps))
        print(f"epoch {epoch + 1}: 1 - cosine {np.mean(losses):.4f}, "
              f"contrast {np.mean(contrasts or [0]):.3f}", file=sys.stderr, flush=True)
    return rows


def level(rows, seen):
    """Gives rows that training hardly saw the median length of rows that it saw a little."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    usual = np.median(lengths[(seen >= 3) & (seen <= 20)])
    return np.where(seen[:, None] < 3, rows / np.maximum(lengths, 1e-9) * usual, rows)


def rotate(rows, sample, dim):
    """The rows in the dim directions that the sample's unit vectors use most."""
    unit, _ = units(sample @ rows)
    _, vectors = np.linalg.eigh((unit.T @ unit).astype(np.float64))
    return (rows @ vectors[:, ::-1][:, :dim]).astype(np.float32)


def text_and_teacher():
    """The teacher, the training texts with its vectors, and the pairs; cached by the texts' hash."""
    kept = CACHE / "corpus.pickle"
    if not kept.exists():
        kept.write_bytes(pickle.dumps(corpus.load(CACHE)))
    texts, pairs = pickle.loads(kept.read_bytes())
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    print(f"{len(texts)} texts (sha256 {digest[:16]}), {len(pairs)} pairs", file=sys.stderr, flush=True)
    folder = CACHE / digest[:16]
    folder.mkdir(exist_ok=True)
    teacher = Teacher()
    return teacher, texts, teacher.cached(texts, folder), pairs


def distil(settings, teacher, texts, targets, pairs):
    """Entries and trained float rows, in the teacher's 384 dimensions turned to settings.dim."""
    entries = entries_of(teacher, texts, settings)
    tokens = WordPiece(entries)
    counts = matrix(texts, tokens, len(entries), settings.bigrams)
    left, right = (matrix(side, tokens, len(entries), settings.bigrams) for side in zip(*pairs))
    seen = np.bincount(counts.indices, minlength=len(entries))
    rows = normalize(first_rows(teacher, entries)) / (1 + 1000 * seen / counts.nnz)[:, None]
    rows = train(rows.astype(np.float32), counts, targets, left, right, settings)
    return entries, rotate(level(rows, seen), counts[:40000], settings.dim)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=ROOT / "internal/embedding/table.bin")
    out = parser.parse_args().out
    CACHE.mkdir(parents=True, exist_ok=True)
    settings = Settings()
    teacher, texts, targets, pairs = text_and_teacher()
    entries, rows = distil(settings, teacher, texts, targets, pairs)
    table.write(out, entries, rows, bigrams=settings.bigrams,
                source=f"{PACKAGE} (all-MiniLM-L6-v2, Apache-2.0)", weights_sha256=WEIGHTS_SHA256)
    print(out, hashlib.sha256(Path(out).read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
