"""The file internal/embedding/table.bin: writing, reading, and embedding with it.

Little-endian: "INTEMB1\\n", uint32 length of a JSON header, the header, the entries (UTF-8,
each ended by a newline), a float32 scale an entry, a row of dim int8 an entry. An entry's
vector is scale times row; a text's is the unit sum of its entries' vectors.
"""
import json

import numpy as np

from wordpiece import WordPiece

MAGIC = b"INTEMB1\n"


def quantize(rows):
    """Rows as (float32 scale, int8 row): scale = largest magnitude / 127."""
    scale = np.abs(rows).max(axis=1) / 127
    safe = np.where(scale > 0, scale, 1)
    return scale.astype("<f4"), np.round(rows / safe[:, None]).astype("i1")


def write(path, entries, rows, **header):
    scale, small = quantize(rows)
    vocabulary = "".join(entry + "\n" for entry in entries).encode()
    header = {"model": "intuno-static-1", "dim": rows.shape[1], "entries": len(entries),
              "vocab_bytes": len(vocabulary), "lower": True, **header}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(MAGIC + len(text).to_bytes(4, "little") + text + vocabulary)
        file.write(scale.tobytes() + small.tobytes())


class Table:
    """Text to vector as the Go side does it."""

    def __init__(self, entries, rows, bigrams="none"):
        self.tokens = WordPiece(entries)
        self.rows = rows
        self.bigrams = bigrams

    @classmethod
    def read(cls, path):
        raw = open(path, "rb").read()
        if raw[:8] != MAGIC:
            raise SystemExit(f"{path} is not a table")
        at = 12 + int.from_bytes(raw[8:12], "little")
        header = json.loads(raw[12:at])
        count, dim, size = header["entries"], header["dim"], header["vocab_bytes"]
        entries = raw[at:at + size].decode().split("\n")[:-1]
        at += size
        scale = np.frombuffer(raw, "<f4", count, at)
        small = np.frombuffer(raw, "i1", count * dim, at + 4 * count).reshape(count, dim)
        table = cls(entries, scale[:, None] * small.astype(np.float32), header.get("bigrams", "none"))
        table.header = header
        return table

    def encode(self, texts):
        """Unit vectors, one row a text; zero for a text without a known token."""
        out = np.zeros((len(texts), self.rows.shape[1]), np.float32)
        for at, text in enumerate(texts):
            rows = self.tokens.rows(text, self.bigrams)
            if rows:
                total = self.rows[rows].sum(axis=0, dtype=np.float64)
                out[at] = total / max(np.linalg.norm(total), 1e-12)
        return out
