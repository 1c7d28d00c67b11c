"""Writes a second evaluation set, .cache/distill/bfcl: the single-function questions of the
Berkeley Function Calling Leaderboard (PyPI bfcl-eval, Apache-2.0) and all functions they offer.
It is never trained on: a check that what was chosen on one set holds on another."""
import json
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE.parents[1] / ".cache/distill/bfcl"
FILES = ("live_simple", "live_multiple", "simple_python", "multiple", "simple_java", "simple_javascript")


def lines(archive, name):
    text = archive.read(f"bfcl_eval/data/{name}.json").decode()
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def camel(name):
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[._\s]+", name))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes",
                    "-r", HERE / "requirements-bfcl.txt", "-d", OUT], check=True)
    wheel, = OUT.glob("bfcl_eval-*.whl")
    archive = zipfile.ZipFile(wheel)
    tools, asked = {}, []
    for file in FILES:
        answers = {a["id"]: a["ground_truth"] for a in lines(archive, f"possible_answer/BFCL_v4_{file}")}
        for row in lines(archive, f"BFCL_v4_{file}"):
            offered = row["function"] if isinstance(row["function"], list) else [row["function"]]
            for tool in offered:
                tools.setdefault(camel(tool["name"]), tool["description"])
            said = [message["content"] for message in row["question"][0] if message["role"] == "user"]
            if said and answers.get(row["id"]) and len(said[-1]) <= 600:
                asked.append((said[-1], camel(next(iter(answers[row["id"]][0])))))
    random.Random(0).shuffle(asked)
    used = {}
    with open(OUT / "agents.jsonl", "w") as file:
        for name, description in tools.items():
            file.write(json.dumps({"name": name, "description": description}) + "\n")
    with open(OUT / "queries.jsonl", "w") as file:
        for query, tool in asked:
            used[tool] = used.get(tool, 0) + 1
            if tool in tools and used[tool] <= 15:
                file.write(json.dumps({"query": query, "agent": tool}) + "\n")
    print(OUT)


if __name__ == "__main__":
    main()
