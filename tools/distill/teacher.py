"""MiniLM by OpenVINO, several times as fast as minilm.py (bfloat16 where the processor has it)."""
import sys

import numpy as np
import openvino
from openvino import opset13 as op

from minilm import HEADS, LAYERS, WIDTH, MiniLM


def number(*values):
    return op.constant(np.array(values, np.int64))


def graph(w):
    """Token ids of texts of one length -> the mean of the last layer's outputs."""
    def const(array):
        return op.constant(np.ascontiguousarray(array, np.float32))

    def linear(x, name):
        return op.add(op.matmul(x, const(w[name + ".weight"]), False, True), const(w[name + ".bias"]))

    def norm(x, name):
        x = op.mvn(x, number(2), True, 1e-12, "inside_sqrt")
        return op.add(op.multiply(x, const(w[name + ".weight"])), const(w[name + ".bias"]))

    def heads(x, name):
        x = op.reshape(linear(x, name), number(0, 0, HEADS, WIDTH // HEADS), True)
        return op.transpose(x, number(0, 2, 1, 3))

    zero = op.constant(np.int64(0))
    ids = op.parameter([-1, -1], np.int32, name="ids")
    length = op.gather(op.shape_of(ids), number(1), zero)
    places = (w["embeddings.position_embeddings.weight"]
              + w["embeddings.token_type_embeddings.weight"][0])
    x = op.add(op.gather(const(w["embeddings.word_embeddings.weight"]), ids, zero),
               op.slice(const(places), number(0), length, number(1), number(0)))
    x = norm(x, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}."
        query, key, value = (heads(x, f"{name}attention.self.{part}") for part in ("query", "key", "value"))
        scale = const((WIDTH // HEADS) ** -0.5)
        scores = op.softmax(op.multiply(op.matmul(query, key, False, True), scale), 3)
        mixed = op.transpose(op.matmul(scores, value, False, False), number(0, 2, 1, 3))
        mixed = op.reshape(mixed, number(0, 0, WIDTH), True)
        x = norm(op.add(x, linear(mixed, name + "attention.output.dense")), name + "attention.output.LayerNorm")
        y = op.gelu(linear(x, name + "intermediate.dense"), "erf")
        x = norm(op.add(x, linear(y, name + "output.dense")), name + "output.LayerNorm")
    return openvino.Model([op.reduce_mean(x, number(1), False)], [ids], "minilm")


class Teacher(MiniLM):
    def __init__(self):
        super().__init__()
        options = {"INFERENCE_PRECISION_HINT": "bf16", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 2}
        self.model = openvino.Core().compile_model(graph(self.weights), "CPU", options)

    def forward(self, ids):
        return self.model([ids.astype(np.int32)])[0][:, None, :]

    def cached(self, texts, folder, chunk=40000):
        """Sentence vectors of texts (float16), chunk by chunk kept in folder."""
        parts = []
        for start in range(0, len(texts), chunk):
            path = folder / f"vectors-{start}.npy"
            if not path.exists():
                ids = [self.ids(text) for text in texts[start:start + chunk]]
                np.save(path, self.encode_ids(ids, batch_tokens=2048).astype(np.float16))
                print(f"teacher: {min(start + chunk, len(texts))} of {len(texts)} texts", file=sys.stderr, flush=True)
            parts.append(np.load(path))
        return np.concatenate(parts)
