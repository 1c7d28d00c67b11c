"""Vectors of odd and ordinary texts, for the Go side to compare with (tolerance 1e-4)."""
import json
import sys

from table import Table

TEXTS = [
    "", " ", "\t\n", "...", "!?!?", "a", "weather", "What is the weather in Paris tomorrow?",
    "Find me a cheap flight from London to New York.", "send an e-mail to my boss",
    "TripAdviceTool", "Trip Advice Tool: hotels, restaurants and sights.", "PDF&URL reader",
    "Translate this text into German", "café Café CAFÉ cafe", "cafe\u0301", "naïve façade Ångström",
    "Zürich straße", "ΟΔΥΣΣΕΥΣ ὈΔΥΣΣΕΎΣ", "Привет, мир", "İstanbul ıstanbul", "日本語のテキスト",
    "東京 weather", "你好,世界", "한국어 문장", "مرحبا بالعالم", "हिन्दी में", "emoji 😀 in text 👩‍💻",
    "zero\u200bwidth soft\u00adhyphen", "no\u00a0break\u2003space\u2028line", "nul\u0000 and \ufffd",
    "C++, C#, F# and Objective-C", "don't can't won't", "1,234.56 USD = €1.100,00", "x" * 100,
    "x" * 101, "pneumonoultramicroscopicsilicovolcanoconiosis", "ﬁne ﬂow ①②③", "a_b-c/d\\e|f",
    "word " * 700, "stock price " * 300 + "weather", "ends with private \ue000 use",
    "machine learning and credit card", "New York credit card machine learning New York",
]


def main(path, out):
    vectors = Table.read(path).encode(TEXTS)
    data = {"texts": TEXTS, "vectors": [[round(float(x), 6) for x in row] for row in vectors]}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
