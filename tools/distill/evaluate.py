"""Prints how well rankers find the chosen agent of each query (see --help)."""
import argparse
import json
import re
import sqlite3
from pathlib import Path

import numpy as np

from minilm import MiniLM
from table import Table

TABLE = Path(__file__).parents[2] / "internal/embedding/table.bin"
STOP = set("""a an and any are as at be been but by can could do does for from get give have help how i i'm if
in is it its me my need of on or please so some tell that the their there these this to us want was we what
when where which who will with would you your""".split())
NAMES = ("recall@1", "recall@5", "recall@10", "mrr@10", "ndcg@10")


def split_name(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)


def load(folder):
    """Agents, queries, and the number of each query's agent."""
    read = lambda file: [json.loads(line) for line in open(Path(folder) / file, encoding="utf-8")]
    agents, queries = read("agents.jsonl"), read("queries.jsonl")
    number = {agent["name"]: at for at, agent in enumerate(agents)}
    return agents, [q["query"] for q in queries], np.array([number[q["agent"]] for q in queries])


def document(agent):
    return split_name(agent["name"]) + ": " + agent["description"]


def fts5(agents, queries):
    """Strong BM25: SQLite's FTS5 with stems, the name weighing 2, stop words removed."""
    base = sqlite3.connect(":memory:")
    base.execute("CREATE VIRTUAL TABLE f USING fts5(name, description, tokenize='porter unicode61')")
    base.executemany("INSERT INTO f(rowid, name, description) VALUES (?, ?, ?)", [
        (at, split_name(agent["name"]), agent["description"]) for at, agent in enumerate(agents)])
    scores = np.zeros((len(queries), len(agents)))
    for at, query in enumerate(queries):
        found = [w for w in re.findall(r"\w+", query.lower()) if w not in STOP]
        if found:
            match = " OR ".join(f'"{word}"' for word in found)
            for row, score in base.execute("SELECT rowid, bm25(f, 2, 1) FROM f WHERE f MATCH ?", (match,)):
                scores[at, row] = -score
    return scores


def ranks(scores, truth):
    """Place of each query's agent, from 0; of equal scores the first agent wins; an agent
    that scores nothing is not found."""
    own = scores[np.arange(len(truth)), truth]
    before = (scores > own[:, None]).sum(axis=1)
    equal = (scores == own[:, None]) & (np.arange(scores.shape[1]) < truth[:, None])
    return np.where(own > 0, before + equal.sum(axis=1), scores.shape[1])


def metrics(scores, truth):
    place = ranks(scores, truth)
    top = place < 10
    values = [(place < k).mean() for k in (1, 5, 10)]
    values.append(np.where(top, 1 / (place + 1), 0).mean())
    values.append(np.where(top, 1 / np.log2(place + 2), 0).mean())
    return dict(zip(NAMES, map(float, values)))


def scaled(scores):
    """Scores from 0 to 1, the best candidate of each query having 1."""
    scores = np.maximum(scores, 0)
    return scores / np.maximum(scores.max(axis=1, keepdims=True), 1e-9)


def fused(similarity, lexical, weight=0.7):
    return weight * scaled(similarity) + (1 - weight) * scaled(lexical)


def interval(places, others, rounds=2000, seed=1):
    """95% bootstrap interval of the difference in recall@5, over queries."""
    gain = (places < 5).astype(float) - (others < 5)
    rng = np.random.default_rng(seed)
    means = [gain[rng.integers(0, len(gain), len(gain))].mean() for _ in range(rounds)]
    return tuple(np.percentile(means, (2.5, 97.5)))


def weights(similarity, lexical, truth, rounds=20):
    """Prints the fusion's weights side by side; then, for random halves of the agents, the
    weight that is best on one half and what it gives on the other."""
    tried = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
    scores = {weight: fused(similarity, lexical, weight) for weight in tried}
    heading("weight of similarity")
    for weight in tried:
        show(weight, metrics(scores[weight], truth))
    rng = np.random.default_rng(1)
    chosen, values = [], []
    for _ in range(rounds):
        half = np.isin(truth, rng.permutation(similarity.shape[1])[:similarity.shape[1] // 2])
        chosen.append(max(tried, key=lambda w: metrics(scores[w][half], truth[half])["ndcg@10"]))
        for weight in (chosen[-1], 0.7):
            rest = metrics(scores[weight][~half], truth[~half])
            values.append((rest["recall@5"], rest["ndcg@10"]))
    counts = ", ".join(f"{w} {chosen.count(w)} times" for w in tried if w in chosen)
    recall, gain = np.mean(values[::2], axis=0)
    fixed_recall, fixed_gain = np.mean(values[1::2], axis=0)
    print(f"\nbest on {rounds} random halves: {counts}; on the other halves that gives recall@5 {recall:.3f} "
          f"and nDCG@10 {gain:.3f}, and 0.7 always {fixed_recall:.3f} and {fixed_gain:.3f}")


def show(name, values):
    print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values.values()) + " |", flush=True)


def heading(first):
    print(f"| {first} | recall@1 | recall@5 | recall@10 | MRR@10 | nDCG@10 |\n|---|---|---|---|---|---|")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of agents.jsonl and queries.jsonl")
    parser.add_argument("--table", default=TABLE)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--weights", action="store_true", help="compare weights of the fusion instead")
    arguments = parser.parse_args()
    agents, queries, truth = load(arguments.data)
    documents = [document(agent) for agent in agents]
    lexical = fts5(agents, queries)
    static = Table.read(arguments.table)
    similar = static.encode(queries) @ static.encode(documents).T
    if arguments.weights:
        return weights(similar, lexical, truth)
    full = MiniLM()
    teacher = full.encode(queries) @ full.encode(documents).T
    rankers = {
        "strong BM25": lexical, "static table": np.maximum(similar, 0), "full MiniLM": np.maximum(teacher, 0),
        "static table + BM25": fused(similar, lexical), "full MiniLM + BM25": fused(teacher, lexical)}
    results = {name: metrics(scores, truth) for name, scores in rankers.items()}
    if arguments.json:
        print(json.dumps(results))
        return
    heading("ranker")
    for name, values in results.items():
        show(name, values)
    ours = ranks(rankers["static table + BM25"], truth)
    for name in ("strong BM25", "full MiniLM"):
        low, high = interval(ours, ranks(rankers[name], truth))
        print(f"\nrecall@5 of static table + BM25 less that of {name}: 95% between {low:+.3f} and {high:+.3f}")


if __name__ == "__main__":
    main()
