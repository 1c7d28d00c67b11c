"""The training text of the table: WordNet, Debian's package descriptions, and sentences
composed from topics.txt and frames.txt. Nothing of the evaluation data is in it."""
import hashlib
import random
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
WORDNET = "wordnet-base=1:3.0-37"
WORDNET_SHA256 = "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752"
DEBIAN_SHA256 = "62f59c3cdca9786e4f7adf9002f9f5729a684adcb4667e58e448dec9b5a46c7f"
LONGEST = 400  # characters of a text


def wordnet(cache):
    """WordNet's data files, from Debian's package."""
    folder = cache / "wordnet"
    if not folder.exists():
        subprocess.run(["apt-get", "download", "-q", WORDNET], cwd=cache, check=True)
        deb, = cache.glob("wordnet-base_*.deb")
        check(deb.read_bytes(), WORDNET_SHA256, WORDNET)
        subprocess.run(["dpkg", "-x", deb, folder], check=True)
    return folder / "usr/share/wordnet"


def descriptions(cache):
    """The English descriptions of Debian bookworm's packages, as apt knows them."""
    lists = cache / "lists"
    found = list(lists.glob("*_dists_bookworm_main_i18n_Translation-en*"))
    if not found:
        (lists / "partial").mkdir(parents=True)
        options = [f"Dir::State::lists={lists}", "Acquire::Languages=en", "APT::Sandbox::User=root"]
        subprocess.run(["apt-get", "update", "-q", *(f"-o{o}" for o in options)], check=True)
        found = list(lists.glob("*_dists_bookworm_main_i18n_Translation-en*"))
    text = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", found[0]],
                          check=True, capture_output=True).stdout
    check(text, DEBIAN_SHA256, "Debian's descriptions")
    return text.decode()


def check(data, want, name):
    got = hashlib.sha256(data).hexdigest()
    if got != want:
        raise SystemExit(f"{name}: sha256 {got}, want {want}; the table would not be the same")


def synsets(folder):
    """(words, gloss, examples) of every meaning."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in open(folder / f"data.{part}", encoding="latin-1"):
            if line.startswith("  "):
                continue
            head, text = line.split("|", 1)
            field = head.split()
            lemmas = [re.sub(r"\(.*\)", "", field[4 + 2 * at]).replace("_", " ")
                      for at in range(int(field[3], 16))]
            gloss, *examples = (p.strip(' ";\n') for p in re.split(r';\s*(?=")', text.strip()))
            yield lemmas, gloss, [e for e in examples if len(e.split()) > 2]


def packages(text):
    """(short description, paragraphs) of every package."""
    for entry in text.split("\n\n"):
        found = re.search(r"^Description-en: (.*)\n((?: .*\n?)*)", entry, re.M)
        if found:
            paragraphs = [" ".join(p.split()) for p in re.split(r"\n \.\n", found[2])
                          if not re.search(r"^ [ *-]", p, re.M)]
            yield found[1], paragraphs


def blocks(path):
    """The [sections] of frames.txt, each a list of lines."""
    found, name = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            found[name] = []
        elif line and not line.startswith("#"):
            found[name].append(line)
    return found


def topics(path):
    found = []
    for block in path.read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            topic = {"topic": lines[0]}
            for line in lines[1:]:
                key, values = line.split(": ", 1)
                topic[key] = values.split(", ")
            found.append(topic)
    return found


def capital(text):
    return text[:1].upper() + text[1:]


class Composer:
    """Composes requests and tool descriptions from frames and topics."""

    def __init__(self, rng):
        self.rng = rng
        self.topics = topics(HERE / "topics.txt")
        self.frames = blocks(HERE / "frames.txt")
        self.words = {}
        for line in self.frames["words"]:
            key, values = line.split(": ", 1)
            self.words[key] = values.split(", ")

    def fill(self, frame, topic, thing=None, action=None):
        """frame about topic; its first thing and action are the given ones, if any."""
        pick = self.rng.choice
        a, b, c = [thing or pick(topic["of"]), pick(topic["of"]), pick(topic["of"])]
        bare = re.sub(r"^(a|an|the|my|some) ", "", a)
        do = (action or pick(topic["do"])).replace("*", a)
        slots = {
            "topic": topic["topic"], "a": pick((a, bare)), "b": b, "c": c, "A": capital(bare),
            "do": do, "do2": pick(topic["do"]).replace("*", b), "do3": pick(topic["do"]).replace("*", c),
            "Do": capital(do), "in": pick(topic["in"]) if self.rng.random() < 0.7 else ""}
        text = re.sub(r"\{(\w+)\}", lambda m: slots.get(m[1], m[0]), frame)
        text = re.sub(r"\{(\w+)\}", lambda m: pick(self.words[m[1]]), text)
        return re.sub(r"\s+([.,?!;:])", r"\1", " ".join(text.split()))

    def request(self, topic, thing=None, action=None):
        """A request, now and then with a sentence before or after it, of this topic or another."""
        rng = self.rng
        other = topic if rng.random() < 0.7 else rng.choice(self.topics)
        before = self.fill(rng.choice(self.frames["before"]), other) if rng.random() < 0.6 else ""
        after = self.fill(rng.choice(self.frames["after"]), other) if rng.random() < 0.5 else ""
        ask = self.fill(rng.choice(self.frames["ask"]), topic, thing, action)
        if before == "" or before[-1] in ".!":
            ask = capital(ask)
        text = " ".join(part for part in (before, ask, after) if part)
        return text if rng.random() < 0.85 else text.lower()

    def tool(self, topic, thing=None, action=None):
        return capital(self.fill(self.rng.choice(self.frames["tool"]), topic, thing, action))

    def pair(self):
        """A request, and a tool that does what it asks for."""
        topic = self.rng.choice(self.topics)
        thing, action = self.rng.choice(topic["of"]), self.rng.choice(topic["do"])
        return self.request(topic, thing, action), self.tool(topic, thing, action)


VERBS = ("find", "get", "understand", "use", "choose", "learn about", "search for", "compare",
         "identify", "buy", "make", "describe")


def load(cache):
    """(texts, pairs): texts for the teacher, pairs of texts that belong together."""
    rng = random.Random(1)
    composer = Composer(rng)
    meanings = list(synsets(wordnet(cache)))
    described = list(packages(descriptions(cache)))
    lemmas = sorted({lemma for words, _, _ in meanings for lemma in words})
    shorts = sorted({short for short, _ in described})
    sentences = sorted({s for _, paragraphs in described for p in paragraphs
                        for s in re.split(r"(?<=[.!?])\s+(?=[A-Z])", p)})
    texts = [", ".join(words) + ": " + gloss for words, gloss, _ in rng.sample(meanings, 70000)]
    texts += [example for _, _, examples in meanings for example in examples]
    texts += rng.sample(lemmas, 30000) + rng.sample(shorts, 45000) + rng.sample(sentences, 40000)
    for _ in range(110000):
        texts.append(composer.request(rng.choice(composer.topics)))
    for _ in range(40000):
        texts.append(composer.tool(rng.choice(composer.topics)))
    for _ in range(40000):  # requests about what the dictionary and the packages name
        things = [rng.choice(lemmas if rng.random() < 0.7 else shorts) for _ in range(3)]
        topic = rng.choice(composer.topics)
        texts.append(composer.request({"topic": topic["topic"], "in": topic["in"], "of": things,
                                       "do": [rng.choice(VERBS) + " *"]}))
    texts = [t for t in dict.fromkeys(texts) if re.search("[A-Za-z]{2}", t) and len(t) <= LONGEST]
    rng.shuffle(texts)

    pairs = [composer.pair() for _ in range(120000)]
    pairs += [(short, paragraphs[0][:LONGEST]) for short, paragraphs in sorted(dict(described).items())
              if paragraphs and len(paragraphs[0]) >= 30]
    for words, gloss, examples in meanings:
        pairs.append((rng.choice(words), gloss))
        pairs += [(example, ", ".join(words) + ": " + gloss) for example in examples]
    return texts, pairs
