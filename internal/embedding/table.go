package embedding

import (
	"bytes"
	_ "embed" // the table
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"unicode/utf8"
)

// magic begins a table. The rest, little-endian: uint32 length of the header; the
// header, JSON; the vocabulary, each entry ended by a line feed; a float32 scale per
// entry; a row of dim int8 per entry. The vector of an entry is scale * row.
const magic = "INTEMB1\n"

const (
	maxHeader = 1 << 16
	maxScale  = 1e6 // keeps the sum of any 512 entries finite
)

//go:embed table.bin
var table []byte

var builtin = sync.OnceValues(func() (*Static, error) { return OpenTable(table) })

// Builtin returns the table that is part of the program. It is opened once per
// process; what it costs in memory before the first text is the header.
func Builtin() (*Static, error) { return builtin() }

type header struct {
	Model      string `json:"model"`
	Dim        int    `json:"dim"`
	Entries    int    `json:"entries"`
	VocabBytes int    `json:"vocab_bytes"`
	Lower      bool   `json:"lower"`   // the vocabulary is lower case without accents
	Bigrams    string `json:"bigrams"` // what an entry of two words does, see below
}

// What an entry of two words, joined by a space, does where they follow each other.
const (
	bigramsNone    = "none"    // there is none
	bigramsAdd     = "add"     // it counts before the pieces of the first word
	bigramsReplace = "replace" // it counts instead of both words
)

// OpenTable reads a table. It keeps b, which must not change any more. Its cost is a
// look at the vocabulary: rows are read when a text needs them, the index of the
// vocabulary is built for the first text.
func OpenTable(b []byte) (*Static, error) {
	s, err := parseTable(b)
	if err != nil {
		return nil, fmt.Errorf("open the embedding table: %w", err)
	}
	return s, nil
}

func parseTable(b []byte) (*Static, error) {
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(rest) < 4 {
		return nil, errors.New("this is no embedding table")
	}
	size := binary.LittleEndian.Uint32(rest)
	rest = rest[4:]
	if size > maxHeader || int(size) > len(rest) {
		return nil, errors.New("the header is longer than it may be")
	}
	var h header
	if err := json.Unmarshal(rest[:size], &h); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	rest = rest[size:]
	if err := h.check(len(rest)); err != nil {
		return nil, err
	}
	s := &Static{
		model: h.Model, dim: h.Dim, bigrams: h.Bigrams,
		vocab:  rest[:h.VocabBytes:h.VocabBytes],
		scales: rest[h.VocabBytes : h.VocabBytes+4*h.Entries],
		rows:   rest[h.VocabBytes+4*h.Entries:],
	}
	if !utf8.Valid(s.vocab) || bytes.Count(s.vocab, []byte{'\n'}) != h.Entries || h.Entries > 0 && s.vocab[len(s.vocab)-1] != '\n' {
		return nil, fmt.Errorf("the vocabulary is not %d lines of UTF-8", h.Entries)
	}
	for i := range h.Entries {
		if scale := float64(s.scale(uint32(i))); !(scale >= 0 && scale <= maxScale) { // also false for NaN
			return nil, fmt.Errorf("entry %d: the scale is not between 0 and %g", i, float64(maxScale))
		}
	}
	return s, nil
}

// check wants the header to describe exactly left bytes. Each factor is bounded
// before it is multiplied.
func (h *header) check(left int) error {
	switch {
	case h.Model == "":
		return errors.New("the model has no name")
	case h.Dim < 1 || h.Dim > maxDim:
		return fmt.Errorf("the dimension is not between 1 and %d", maxDim)
	case h.Entries < 0 || h.Entries > left || h.Entries > math.MaxUint32/4 || h.VocabBytes < h.Entries || h.VocabBytes > left || h.VocabBytes > math.MaxUint32/4:
		return errors.New("the table is shorter than its header says")
	case int64(left) != int64(h.VocabBytes)+int64(h.Entries)*int64(4+h.Dim):
		return errors.New("the length of the table is not what its header says")
	case !h.Lower:
		return errors.New("the vocabulary is not lower case")
	case h.Bigrams != bigramsNone && h.Bigrams != bigramsAdd && h.Bigrams != bigramsReplace:
		return fmt.Errorf("bigrams is %q, which is not known", h.Bigrams)
	}
	return nil
}

// index finds entries by their text: an open hash table over the bytes of the
// vocabulary, which stay where they are (a Go map of strings takes several times
// the memory, and longer to build).
type index struct {
	ends    []uint32 // where each entry ends in the vocabulary
	slots   []uint32 // 0 is empty, else the number of an entry + 1; a power of two, at most half full
	longest int      // bytes of the longest entry of one word
}

// FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/.
const (
	hashStart = 2166136261
	hashPrime = 16777619
)

func hashByte(h uint32, c byte) uint32 { return (h ^ uint32(c)) * hashPrime }

// spread mixes the high bits, in which FNV is good, into the low ones.
func spread(h uint32) uint32 { return h ^ h>>15 }

func newIndex(vocab []byte, entries int) *index {
	size := 4
	for size < 2*entries {
		size *= 2
	}
	ix := &index{ends: make([]uint32, entries), slots: make([]uint32, size)}
	start, entry, h, pair := 0, 0, uint32(hashStart), false
	for i, c := range vocab {
		if c != '\n' {
			h = hashByte(h, c)
			pair = pair || c == ' '
			continue
		}
		ix.ends[entry] = uint32(i)
		entry++
		if !pair {
			ix.longest = max(ix.longest, i-start)
		}
		slot := spread(h) & uint32(size-1)
		for ix.slots[slot] != 0 {
			slot = (slot + 1) & uint32(size-1)
		}
		ix.slots[slot] = uint32(entry)
		start, h, pair = i+1, hashStart, false
	}
	return ix
}

// text returns the bytes of an entry.
func (ix *index) text(vocab []byte, entry uint32) []byte {
	start := uint32(0)
	if entry > 0 {
		start = ix.ends[entry-1] + 1
	}
	return vocab[start:ix.ends[entry]]
}

// find returns the entry that is prefix followed by key, whose hash is h. Of equal
// entries it is the first.
func (ix *index) find(vocab []byte, h uint32, prefix string, key []byte) (entry uint32, ok bool) {
	mask := uint32(len(ix.slots) - 1)
	for slot := spread(h) & mask; ix.slots[slot] != 0; slot = (slot + 1) & mask {
		entry = ix.slots[slot] - 1
		text := ix.text(vocab, entry)
		if len(text) == len(prefix)+len(key) && string(text[:len(prefix)]) == prefix && bytes.Equal(text[len(prefix):], key) {
			return entry, true
		}
	}
	return 0, false
}
