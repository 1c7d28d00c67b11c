"""Prints a table of the variants that were compared: each is distilled anew (with fewer epochs
than the final table, so that they can be compared with each other) and measured alone and
fused with BM25. Run distill.py first: the teacher's vectors are cached."""
import argparse

import distill  # first: it fixes the number of threads
import numpy as np

import evaluate
from minilm import normalize
from table import Table, quantize


class Set:
    """One evaluation set."""

    def __init__(self, folder):
        agents, self.queries, self.truth = evaluate.load(folder)
        self.documents = [evaluate.document(agent) for agent in agents]
        self.lexical = evaluate.fts5(agents, self.queries)

    def cells(self, encode):
        similarity = np.maximum(encode(self.queries) @ encode(self.documents).T, 0)
        alone = evaluate.metrics(similarity, self.truth)
        both = evaluate.metrics(evaluate.fused(similarity, self.lexical), self.truth)
        return [values[name] for values in (alone, both) for name in ("recall@5", "ndcg@10")]


def report(name, encode, sets, size=""):
    numbers = [f"{value:.3f}" for each in sets for value in each.cells(encode)]
    print(f"| {name} | {size} | " + " | ".join(numbers) + " |", flush=True)


def report_rows(name, entries, rows, bigrams, sets):
    scale, small = quantize(rows)
    table = Table(entries, scale[:, None] * small.astype(np.float32), bigrams)
    size = f"{(sum(len(e.encode()) + 5 for e in entries) + small.size) / 1e6:.1f}"
    report(name, table.encode, sets, size)


def untrained(teacher, texts, sets):
    """Tables without training: the recipe of static models, and its parts."""
    settings = distill.Settings(whole_words=0)
    entries = distill.entries_of(teacher, texts[:1], settings)
    counts = distill.matrix(texts[:100000], distill.WordPiece(entries), len(entries))
    weight = 1 / (1 + 1000 * np.bincount(counts.indices, minlength=len(entries)) / counts.nnz)[:, None]
    outputs = distill.first_rows(teacher, entries)
    inputs = normalize(teacher.weights["embeddings.word_embeddings.weight"][
        [teacher.tokens.index[entry] for entry in entries]])
    for name, rows in (("input embeddings", inputs), ("token outputs", outputs)):
        centred = rows - rows.mean(axis=0)
        for kind, weighted in (("", centred), (", frequency weighting", centred * weight)):
            turned = distill.rotate(weighted.astype(np.float32), counts[:40000], 256)
            report_rows(f"{name}{kind}, 256", entries, turned, "none", sets)


def ceiling(epochs, teacher, texts, targets, pairs, sets):
    """What no honest table can have: the evaluation texts themselves in the training text."""
    own = [text for each in sets for text in (*each.queries, *each.documents)]
    settings = distill.Settings(epochs=epochs)
    vectors = teacher.encode(own).astype(np.float16)
    targets = np.concatenate([targets, *[vectors] * 10])
    entries, rows = distill.distil(settings, teacher, texts + own * 10, targets, pairs)
    report_rows("trained on the evaluation texts too, 256", entries, rows, "none", sets)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, nargs="+", help="evaluation folders")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    sets = [Set(folder) for folder in arguments.data]
    teacher, texts, targets, pairs = distill.text_and_teacher()
    columns = "alone @5 | alone nDCG | fused @5 | fused nDCG"
    print(f"| variant | MB | {' | '.join([columns] * len(sets))} |\n|---|---|" + "---|" * 4 * len(sets))
    report("full MiniLM", teacher.encode, sets)
    untrained(teacher, texts, sets)
    variants = (
        ("sentences, vocabulary only", dict(whole_words=0)),
        ("6000 words", dict(dim=384)),
        ("6000 words, no pairs", dict(pair_weight=0)),
        ("6000 words, pairs weigh 0.1", dict(pair_weight=0.1)),
        ("6000 words, no word left out", dict(drop=0)),
        ("12000 words", dict(whole_words=12000)),
        ("6000 words, 8000 bigrams added", dict(bigram_entries=8000, bigrams="add")),
        ("6000 words, 8000 bigrams instead", dict(bigram_entries=8000, bigrams="replace")))
    for name, change in variants:
        settings = distill.Settings(epochs=arguments.epochs, **change)
        entries, rows = distill.distil(settings, teacher, texts, targets, pairs)
        for dim in (384, 256, 128) if settings.dim == 384 else (256,):
            report_rows(f"{name}, {dim}", entries, rows[:, :dim], settings.bigrams, sets)
    ceiling(arguments.epochs, teacher, texts, targets, pairs, sets)


if __name__ == "__main__":
    main()
