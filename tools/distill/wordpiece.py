"""BERT's uncased tokenisation, as internal/embedding does it in Go."""
import unicodedata

MAX_WORD = 100  # code points; a longer word is not covered
CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
       (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def is_punctuation(char):
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char)[0] == "P"


def clean(text):
    """Drops control characters, puts spaces around ideographs, strips accents and case."""
    out = []
    for char in text:
        category = unicodedata.category(char)
        if char in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
            out.append(" ")
        elif char in "\0\ufffd" or category in ("Cc", "Cf", "Co", "Cs"):
            continue
        elif any(low <= ord(char) <= high for low, high in CJK):
            out += (" ", char, " ")
        else:
            out.append(char)
    text = unicodedata.normalize("NFD", "".join(out))
    return "".join(c.lower() for c in text if unicodedata.category(c) != "Mn")


def words(text):
    """The basic tokens of text: words, and each punctuation character alone."""
    if text.isascii():
        text = text.lower()
        if not text.isprintable():
            text = clean(text)
    else:
        text = clean(text)
    found = []
    for part in text.split():
        if part.isalnum():
            found.append(part)
            continue
        word = ""
        for char in part:
            if is_punctuation(char):
                if word:
                    found.append(word)
                found.append(char)
                word = ""
            else:
                word += char
        if word:
            found.append(word)
    return found


class WordPiece:
    """Splits words greedily into the longest entries of a vocabulary."""

    def __init__(self, vocabulary):
        self.index = vocabulary if isinstance(vocabulary, dict) else {
            entry: row for row, entry in enumerate(vocabulary)}
        self.longest = max((len(entry) for entry in self.index), default=0)
        self.memory = {}

    def pieces(self, word):
        """Rows of the pieces of one word; none if it cannot be covered."""
        known = self.memory.get(word)
        if known is None:
            known = self.memory[word] = self._pieces(word)
        return known

    def _pieces(self, word):
        if len(word) > MAX_WORD:
            return ()
        rows, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self.longest), start, -1):
                row = self.index.get(prefix + word[start:end])
                if row is not None:
                    break
            else:
                return ()
            rows.append(row)
            start = end
        return tuple(rows)

    def rows(self, text, bigrams="none", limit=512):
        """Rows of text in order. With "add" a bigram entry comes before the pieces of
        its first word; with "replace" it stands for both its words."""
        found, split = [], words(text)
        skip = False
        for at, word in enumerate(split):
            if skip:
                skip = False
                continue
            if bigrams != "none" and at + 1 < len(split):
                row = self.index.get(word + " " + split[at + 1])
                if row is not None:
                    found.append(row)
                    if bigrams == "replace":
                        skip = True
                        continue
            found.extend(self.pieces(word))
            if len(found) >= limit:
                break
        return found[:limit]
