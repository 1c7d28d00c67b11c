package embedding

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

func TestTablesThatAreRefused(t *testing.T) {
	good := tableOf(t, small, bigramsNone, nil)
	open(t, good)
	with := func(name string, value any) []byte {
		return tableOf(t, small, bigramsNone, func(h map[string]any) { h[name] = value })
	}
	scale := func(x float32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[len(b)-len(small)*(16+4):], math.Float32bits(x))
		return b
	}
	long := func(size uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[len(magic):], size)
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                      nil,
		"something else":               []byte("GIF89a"),
		"only the magic":               []byte(magic),
		"a header longer than all":     long(math.MaxUint32),
		"a header past the end":        long(uint32(len(good))),
		"a header cut short":           long(5),
		"no model":                     with("model", ""),
		"no dimension":                 with("dim", 0),
		"a negative dimension":         with("dim", -16),
		"an absurd dimension":          with("dim", math.MaxInt64),
		"another dimension":            with("dim", 15),
		"absurdly many entries":        with("entries", math.MaxInt64),
		"negative entries":             with("entries", -1),
		"entries in another notation":  with("entries", "28"),
		"an absurd vocabulary":         with("vocab_bytes", math.MaxInt64),
		"a negative vocabulary":        with("vocab_bytes", -1),
		"a vocabulary of fewer bytes":  with("vocab_bytes", 3),
		"upper case":                   with("lower", false),
		"unknown bigrams":              with("bigrams", "subtract"),
		"cut short":                    good[:len(good)-1],
		"longer than it says":          append(bytes.Clone(good), 0),
		"a scale that is no number":    scale(float32(math.NaN())),
		"an infinite scale":            scale(float32(math.Inf(1))),
		"a negative scale":             scale(-1),
		"an absurd scale":              scale(2e6),
		"an entry of two lines":        tableOf(t, []string{"a\nb", "c"}, bigramsNone, nil),
		"a vocabulary that is no text": tableOf(t, []string{"a\xff"}, bigramsNone, nil),
	} {
		if _, err := OpenTable(b); err == nil {
			t.Errorf("%s: opened", name)
		} else if !strings.HasPrefix(err.Error(), "open the embedding table: ") {
			t.Errorf("%s: got %q", name, err)
		}
	}
}

func TestTheIndexFindsEveryEntryAndNothingElse(t *testing.T) {
	for name, s := range map[string]*Static{"small": smallTable(t, bigramsAdd), "built-in": builtinTable(t)} {
		s.Vector("", nil)
		entries := strings.Split(strings.TrimSuffix(string(s.vocab), "\n"), "\n")
		hash := func(text string) uint32 {
			h := uint32(hashStart)
			for i := range len(text) {
				h = hashByte(h, text[i])
			}
			return h
		}
		known := map[string]bool{}
		for i, text := range entries {
			if known[text] {
				t.Errorf("%s: %q occurs twice", name, text)
			}
			known[text] = true
			if e, ok := s.index.find(s.vocab, hash(text), "", []byte(text)); !ok || int(e) != i {
				t.Errorf("%s: %q is entry %d, got %d, %v", name, text, i, e, ok)
			}
			if rest, more := strings.CutPrefix(text, continuation); more {
				if e, ok := s.index.find(s.vocab, hash(text), continuation, []byte(rest)); !ok || int(e) != i {
					t.Errorf("%s: %q is entry %d, got %d, %v", name, text, i, e, ok)
				}
			}
		}
		for text := range known {
			if wrong := text + "\x00"; !known[wrong] {
				if e, ok := s.index.find(s.vocab, hash(text), "", []byte(wrong)); ok {
					t.Errorf("%s: %q found as %d", name, wrong, e)
				}
			}
		}
	}
}

func FuzzTable(f *testing.F) {
	good := tableOf(f, small, bigramsAdd, nil)
	f.Add(good)
	f.Add(good[:40])
	f.Add(tableOf(f, nil, bigramsNone, nil))
	f.Add(tableOf(f, []string{"", "a", "a", " ", "##"}, bigramsReplace, nil))
	f.Add(tableOf(f, small, bigramsAdd, func(h map[string]any) { h["entries"] = math.MaxInt64 }))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := OpenTable(b)
		if err != nil {
			return
		}
		for _, text := range []string{"", "a", "weather forecast. ab", "東京 한 a a"} {
			sound(t, s.Vector(text, nil), s.Dim())
		}
	})
}
