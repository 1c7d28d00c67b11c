package embedding

import (
	"unicode"
	"unicode/utf8"
)

// reader splits a text into words, the words into entries, and sums those. It lives
// on the stack of one call.
type reader struct {
	table *Static
	sum   []float32
	left  int // entries that may still be added

	// The word before, if it waits for what follows (bigrams only), a space, and the
	// word being read. A word of more than maxWord code points counts as absent.
	buf     [2*wordBytes + 1]byte
	before  int // bytes of the word before; 0: none
	size    int // bytes of the word
	runes   int // code points of the word, also those that were not kept
	hashes  [wordBytes + 1]uint32
	entries [maxWord]uint32
}

// readASCII is read for a text without other characters.
func (r *reader) readASCII(text string) {
	for i := 0; i < len(text) && r.left > 0; i++ {
		r.char(text[i])
	}
}

// read takes a text in normal form D. The order of the checks matters only within
// one code point, since each class is closed under that form.
func (r *reader) read(text string) {
	for i := 0; i < len(text) && r.left > 0; {
		if c := text[i]; c < utf8.RuneSelf {
			r.char(c)
			i++
			continue
		}
		c, size := utf8.DecodeRuneInString(text[i:])
		i += size
		switch {
		case c == utf8.RuneError || unicode.Is(unicode.Mn, c) || unicode.In(c, unicode.Cf, unicode.Cc, unicode.Co):
			// dropped, the word goes on
		case unicode.In(c, unicode.Zs, unicode.Zl, unicode.Zp):
			r.word()
		case ideograph(c) || unicode.Is(unicode.P, c):
			r.word()
			r.keep(c)
			r.word()
		default:
			r.keep(unicode.ToLower(c))
		}
	}
}

// char takes an ASCII character.
func (r *reader) char(c byte) {
	switch {
	case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
	case 'A' <= c && c <= 'Z':
		c += 'a' - 'A'
	case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		r.word()
		return
	case c < ' ' || c == 0x7f:
		return
	default: // the rest is what BERT counts as punctuation, symbols such as $ and ^ included
		r.word()
		r.keep(rune(c))
		r.word()
		return
	}
	if r.runes < maxWord {
		r.buf[r.offset()+r.size] = c
		r.size++
	}
	r.runes++
}

func (r *reader) keep(c rune) {
	if r.runes < maxWord {
		at := r.offset() + r.size
		r.size += utf8.EncodeRune(r.buf[at:at+utf8.UTFMax], c)
	}
	r.runes++
}

// offset is where the word being read begins.
func (r *reader) offset() int {
	if r.before == 0 {
		return 0
	}
	return r.before + 1
}

// ideograph reports whether c is in a block that BERT takes one by one. They are not
// all ideographs of Unicode, but those of the model's tokenizer.
func ideograph(c rune) bool {
	return 0x4e00 <= c && c <= 0x9fff || 0x3400 <= c && c <= 0x4dbf || 0xf900 <= c && c <= 0xfaff ||
		0x20000 <= c && c <= 0x2a6df || 0x2a700 <= c && c <= 0x2ceaf || 0x2f800 <= c && c <= 0x2fa1f
}

// word ends the word being read, if any.
func (r *reader) word() {
	if r.runes == 0 {
		return
	}
	at, size, tooLong := r.offset(), r.size, r.runes > maxWord
	r.size, r.runes = 0, 0
	switch {
	case tooLong:
		r.finish()
	case r.table.bigrams == bigramsNone:
		r.pieces(r.buf[:size])
	case r.before == 0:
		r.before = size
	default:
		r.pair(at + size)
	}
}

// pair has two words in buf, and keeps the second waiting unless both are used up.
func (r *reader) pair(end int) {
	both := r.buf[:end]
	h := uint32(hashStart)
	r.buf[r.before] = ' '
	for _, c := range both {
		h = hashByte(h, c)
	}
	entry, found := r.table.index.find(r.table.vocab, h, "", both)
	if found {
		r.add(entry)
	}
	if found && r.table.bigrams == bigramsReplace {
		r.before = 0
		return
	}
	r.pieces(both[:r.before])
	r.before = copy(r.buf[:], both[r.before+1:])
}

// finish ends the text, or the sequence of words that may pair.
func (r *reader) finish() {
	if r.size > 0 {
		r.word()
	}
	if r.before > 0 {
		r.pieces(r.buf[:r.before])
		r.before = 0
	}
}

const continuation = "##" // begins an entry that continues a word

// pieces adds the entries that cover word: always the longest that fits, from the
// left. A word that they do not cover adds nothing.
func (r *reader) pieces(word []byte) {
	ix, vocab := r.table.index, r.table.vocab
	n, prefix, seed := 0, "", uint32(hashStart)
	for rest := word; len(rest) > 0; n++ {
		most := min(len(rest), ix.longest)
		h := seed
		for i, c := range rest[:most] {
			h = hashByte(h, c)
			r.hashes[i+1] = h
		}
		length := most
		for ; length > 0; length-- {
			if length < len(rest) && !utf8.RuneStart(rest[length]) {
				continue
			}
			if entry, ok := ix.find(vocab, r.hashes[length], prefix, rest[:length]); ok {
				r.entries[n] = entry
				break
			}
		}
		if length == 0 {
			return
		}
		rest = rest[length:]
		if n == 0 {
			prefix, seed = continuation, hashByte(hashByte(hashStart, '#'), '#')
		}
	}
	for _, entry := range r.entries[:n] {
		r.add(entry)
	}
}

func (r *reader) add(entry uint32) {
	if r.left > 0 {
		r.left--
		r.table.add(r.sum, entry)
	}
}
