package embedding

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// TestVectorsAreThoseOfTheReference: another implementation, in another language,
// made the reference from the same table.
func TestVectorsAreThoseOfTheReference(t *testing.T) {
	s := builtinTable(t)
	raw, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var ref struct {
		Texts   []string
		Vectors [][]float64
	}
	if err := json.Unmarshal(raw, &ref); err != nil {
		t.Fatal(err)
	}
	if len(ref.Texts) < 20 || len(ref.Texts) != len(ref.Vectors) {
		t.Fatalf("the reference has %d texts and %d vectors", len(ref.Texts), len(ref.Vectors))
	}
	vectors, err := s.Embed(t.Context(), ref.Texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range ref.Vectors {
		sound(t, vectors[i], s.Dim())
		var worst float64
		for j, x := range vectors[i] {
			worst = max(worst, math.Abs(float64(x)-want[j]))
		}
		if worst > 1e-5 {
			t.Errorf("%.80q: off by %g", ref.Texts[i], worst)
		}
	}
}

func TestBuiltinTableIsOpenedOnceAndKnowsMeanings(t *testing.T) {
	s := builtinTable(t)
	if again := builtinTable(t); again != s {
		t.Error("opened twice")
	}
	if !strings.HasPrefix(s.Model(), "intuno-static-") {
		t.Errorf("got model %q", s.Model())
	}
	near := func(a, b string) float64 { return dot(s.Vector(a, nil), s.Vector(b, nil)) }
	for _, c := range []struct{ query, right, wrong string }{
		{"will it rain tomorrow", "weather forecast for any city", "cooking recipes and meal plans"},
		{"I want to fly to London", "airline ticket booking", "pdf text extraction"},
		{"convert dollars to euros", "currency exchange rates", "song lyrics"},
	} {
		if right, wrong := near(c.query, c.right), near(c.query, c.wrong); right <= wrong {
			t.Errorf("%q is nearer to %q (%.3f) than to %q (%.3f)", c.query, c.wrong, wrong, c.right, right)
		}
	}
}

func TestTextsThatMeanTheSameToTheTokenizer(t *testing.T) {
	for _, s := range []*Static{smallTable(t, bigramsNone), smallTable(t, bigramsAdd), smallTable(t, bigramsReplace)} {
		for _, c := range []struct{ name, a, b string }{
			{"case", "WeAtHeR", "weather"},
			{"accents", "Café", "cafe"},
			{"accents that are combined already", "cafe\u0301", "CAFÉ"},
			{"white space of every kind", " a\t\n\r\u00a0\u3000b\u2028", "a b"},
			{"characters that are dropped", "\x00we\x07at\u200dh\ufeffer\ufffd\xff\U000e0001", "weather"},
			{"punctuation", "ab.", "ab ."},
			{"symbols of ASCII are punctuation", "a$b", "a $ b"},
			{"ideographs one by one", "東京", "東 京"},
			{"syllables of Hangul by their parts", "한", "\u1112\u1161\u11ab"},
			{"lower case after decomposition", "Ό", "ο"},
			{"an unknown word", "a xyz", "a"},
			{"a word that is known but for its end", "a weatherx", "a"},
			{"a word of more than 100 characters", "a " + strings.Repeat("b", 101), "a"},
			{"the longest piece first", "abbb", "ab##bb"},
		} {
			if c.name == "the longest piece first" { // "##" is no text that continues a word
				want := weights(s, "ab", "##bb")
				if got := s.Vector(c.a, nil); !slices.Equal(got, want) {
					t.Errorf("%s: got %v, want %v", c.name, got, want)
				}
				continue
			}
			if got, want := s.Vector(c.a, nil), s.Vector(c.b, nil); !slices.Equal(got, want) || length(got) == 0 {
				t.Errorf("%s: bigrams %q: %q got %v, %q got %v", c.name, s.bigrams, c.a, got, c.b, want)
			}
		}
	}
}

func TestTextsWithoutContentHaveTheZeroVector(t *testing.T) {
	for _, s := range []*Static{smallTable(t, bigramsReplace), open(t, tableOf(t, nil, bigramsNone, nil)), builtinTable(t)} {
		for _, text := range []string{"", " \n", "\x00\x01\ufffd", strings.Repeat("x", 1<<20), "\u0301\u0302", "\xff\xfe"} {
			if v := s.Vector(text, nil); len(v) != s.Dim() || length(v) != 0 {
				t.Errorf("%.20q: got %v", text, v)
			}
		}
	}
}

// weights is the vector of entries, by their text.
func weights(s *Static, entries ...string) []float32 {
	v := make([]float32, s.dim)
	vocab := strings.Split(string(s.vocab), "\n")
	for _, e := range entries {
		s.add(v, uint32(slices.Index(vocab, e)))
	}
	normalise(v)
	return v
}

func TestBigrams(t *testing.T) {
	for _, c := range []struct {
		bigrams, text string
		entries       []string
	}{
		{bigramsNone, "weather forecast", []string{"weather", "fore", "##cast"}},
		{bigramsAdd, "weather forecast", []string{"weather forecast", "weather", "fore", "##cast"}},
		{bigramsReplace, "weather forecast", []string{"weather forecast"}},
		{bigramsAdd, "a b a", []string{"a b", "a", "b a", "b", "a"}},
		{bigramsReplace, "a b a", []string{"a b", "a"}},
		{bigramsReplace, "b a b", []string{"b a", "b"}},
		{bigramsAdd, "ab.", []string{"ab .", "ab", "."}},
		{bigramsReplace, "x ab. y", []string{"ab ."}},
		{bigramsReplace, "a " + strings.Repeat("x", 101) + " b", []string{"a", "b"}},
		{bigramsAdd, "a " + strings.Repeat("x", 101) + " b", []string{"a", "b"}},
		{bigramsAdd, "a", []string{"a"}},
		{bigramsReplace, strings.Repeat("東", 2) + " a b", []string{"東", "東", "a b"}},
	} {
		s := smallTable(t, c.bigrams)
		if got, want := s.Vector(c.text, nil), weights(s, c.entries...); !slices.Equal(got, want) {
			t.Errorf("%s: %.30q: got %v, want %v (%q)", c.bigrams, c.text, got, want, c.entries)
		}
	}
}

// slowly is the tokenizer again, written to be read.
func slowly(s *Static, text string) []float32 {
	entries := strings.Split(strings.TrimSuffix(string(s.vocab), "\n"), "\n")
	var clean []rune
	for _, c := range norm.NFD.String(strings.ToValidUTF8(text, "")) {
		c = unicode.ToLower(c)
		switch {
		case strings.ContainsRune("\t\n\r", c), unicode.In(c, unicode.Z):
			clean = append(clean, ' ')
		case c == 0xfffd, unicode.In(c, unicode.Cc, unicode.Cf, unicode.Co, unicode.Mn):
		case c < 128 && unicode.IsGraphic(c) && !unicode.IsLetter(c) && !unicode.IsDigit(c), unicode.IsPunct(c), ideograph(c):
			clean = append(clean, ' ', c, ' ')
		default:
			clean = append(clean, c)
		}
	}
	words := strings.Fields(string(clean))
	var found []int
	for i := 0; i < len(words); i++ {
		if s.bigrams != bigramsNone && i+1 < len(words) {
			if e := slices.Index(entries, words[i]+" "+words[i+1]); e >= 0 {
				found = append(found, e)
				if s.bigrams == bigramsReplace {
					i++
					continue
				}
			}
		}
		var pieces []int
		rest, prefix := []rune(words[i]), ""
		for len(rest) > 0 && len([]rune(words[i])) <= maxWord {
			n := len(rest)
			for n > 0 && !slices.Contains(entries, prefix+string(rest[:n])) {
				n--
			}
			if n == 0 {
				pieces = nil
				break
			}
			pieces = append(pieces, slices.Index(entries, prefix+string(rest[:n])))
			rest, prefix = rest[n:], "##"
		}
		found = append(found, pieces...)
	}
	v := make([]float32, s.dim)
	for _, e := range found[:min(len(found), maxEntries)] {
		s.add(v, uint32(e))
	}
	normalise(v)
	return v
}

func TestTheFastTokenizerIsTheSlowOne(t *testing.T) {
	tables := []*Static{smallTable(t, bigramsNone), smallTable(t, bigramsAdd), smallTable(t, bigramsReplace)}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(tables).Draw(t, "table")
		parts := rapid.SliceOfN(rapid.OneOf(
			rapid.SampledFrom(append([]string{" ", " ", "A", "B", "é", "É", "\u0301", "forecast", "한", "\xe6", "—", "𝒳", "x", strings.Repeat("ab", 50), "Δ", "01"}, small...)),
			rapid.StringN(0, 3, -1),
		), 0, 60).Draw(t, "text")
		text := strings.Join(parts, rapid.SampledFrom([]string{"", " "}).Draw(t, "between"))
		if got, want := s.Vector(text, nil), slowly(s, text); !slices.Equal(got, want) {
			t.Fatalf("%q: got %v, want %v", text, got, want)
		}
	})
}

func TestNoMoreThan64KiBAreRead(t *testing.T) {
	s := smallTable(t, bigramsNone)
	for _, blank := range []string{" ", "\u3000"} { // whose last one is cut in the middle
		n := maxText / len(blank)
		if v := s.Vector(strings.Repeat(blank, n)+blank+"a", nil); length(v) != 0 {
			t.Errorf("what is after %d bytes is read", maxText)
		}
		if v := s.Vector(strings.Repeat(blank, n-1)+"a", nil); length(v) == 0 {
			t.Errorf("what is before %d bytes is not read", maxText)
		}
	}
}

func TestNoMoreThan512EntriesCount(t *testing.T) {
	for _, s := range []*Static{smallTable(t, bigramsNone), smallTable(t, bigramsAdd), smallTable(t, bigramsReplace)} {
		head := strings.Repeat("東 ", maxEntries)
		if got, want := s.Vector(head+"weather", nil), s.Vector(head, nil); !slices.Equal(got, want) {
			t.Errorf("%s: entry %d counts", s.bigrams, maxEntries+1)
		}
		fewer := strings.Repeat("東 ", maxEntries-1)
		if got, not := s.Vector(fewer+"weather", nil), s.Vector(fewer, nil); slices.Equal(got, not) {
			t.Errorf("%s: entry %d does not count", s.bigrams, maxEntries)
		}
	}
}

func TestWeightIsTheLengthOfTheSum(t *testing.T) {
	s := smallTable(t, bigramsNone)
	sum := make([]float32, s.dim)
	s.add(sum, 0)
	if got, want := float64(s.Weight("A")), length(sum); math.Abs(got-want) > 1e-6*want || got == 0 {
		t.Errorf("got %v, want %v", got, want)
	}
	s.add(sum, 0)
	if got, want := float64(s.Weight("a a")), length(sum); math.Abs(got-want) > 1e-6*want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := s.Weight("xyz"); got != 0 {
		t.Errorf("got %v", got)
	}
	if b := builtinTable(t); b.Weight("the") >= b.Weight("currency") {
		t.Errorf("\"the\" weighs %v, \"currency\" %v", b.Weight("the"), b.Weight("currency"))
	}
}

func TestVectorUsesTheMemoryItIsGiven(t *testing.T) {
	s := builtinTable(t)
	into := make([]float32, 3, s.Dim())
	if got := s.Vector("weather", into); &got[0] != &into[0] || !slices.Equal(got, s.Vector("weather", nil)) {
		t.Error("got other memory or another vector")
	}
	if n := testing.AllocsPerRun(100, func() { s.Vector("find me a cheap flight, please", into) }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

func TestEmbedStopsWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := smallTable(t, bigramsNone).Embed(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAStaticIsSafeForConcurrentUse(t *testing.T) {
	s := smallTable(t, bigramsAdd) // whose index is not built yet
	want := weights(s, "weather forecast", "weather", "fore", "##cast")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if v, err := s.Query(t.Context(), "weather forecast"); err != nil || !slices.Equal(v, want) {
				t.Errorf("got %v, %v", v, err)
			}
		})
	}
	all.Wait()
}

// TestVectorsAreTheSameOnEveryMachine pins the bits of a small table, which does not
// change with the built-in one.
func TestVectorsAreTheSameOnEveryMachine(t *testing.T) {
	s := smallTable(t, bigramsAdd)
	h := sha256.New()
	for _, text := range []string{"a", "weather forecast", "cafe 01 ab. $ 東京 한", strings.Repeat("ab b a ", 100)} {
		for _, x := range s.Vector(text, nil) {
			_ = binary.Write(h, binary.LittleEndian, x)
		}
	}
	const want = "2ce43f609cd14d4450495857cbdf84708e6ac0bcb0de6a466cfe86d2de7221f9"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzText(f *testing.F) {
	for _, text := range []string{"", "a b", "Café — 東京, 한국어!", "\xff\x00\u0301", "\xf2ǎ", "İstanbul ΟΔΟΣ", strings.Repeat("ab", 60), "[UNK] ##s ##", "weather forecast.weather"} {
		f.Add(text)
	}
	tables := []*Static{smallTable(f, bigramsAdd), smallTable(f, bigramsReplace), builtinTable(f)}
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range tables {
			v := s.Vector(text, nil)
			sound(t, v, s.Dim())
			if again := s.Vector(text, make([]float32, s.Dim())); !slices.Equal(v, again) {
				t.Errorf("%q: got %v, then %v", text, v, again)
			}
		}
		for _, s := range tables[:2] {
			if got, want := s.Vector(text, nil), slowly(s, strings.ToValidUTF8(cut(text, maxText), "\ufffd")); !slices.Equal(got, want) {
				t.Errorf("%q: got %v, want %v", text, got, want)
			}
		}
	})
}
