package embedding

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxEntries = 512      // entries summed per text; the rest of the text is not read
	maxText    = 64 << 10 // bytes of a text that are read
	maxWord    = 100      // code points; BERT gives up on longer words, too
	wordBytes  = maxWord * utf8.UTFMax
)

// Static is a table of word pieces with a vector each. A text is split as BERT's
// uncased tokenizer does (Devlin et al. 2018, github.com/google-research/bert,
// tokenization.py), and its vector is the sum of its pieces, made length 1. The
// weight of a piece is part of its vector. Work and memory per text are bounded,
// whatever the text. A Static is safe for concurrent use.
type Static struct {
	model   string
	dim     int
	bigrams string
	vocab   []byte
	scales  []byte
	rows    []byte

	once  sync.Once
	index *index
}

// Model implements Embedder.
func (s *Static) Model() string { return s.model }

// Dim is the number of numbers in each vector.
func (s *Static) Dim() int { return s.dim }

// Words lists the entries that are words of at least three Latin letters, in the order
// of the table, which is about that of how common they are. For benchmarks: words
// that the table knows, taken together, have vectors like those of real texts.
func (s *Static) Words() []string {
	var words []string
	for entry := range strings.SplitSeq(string(s.vocab), "\n") {
		if len(entry) >= 3 && strings.IndexFunc(entry, func(r rune) bool { return r < 'a' || r > 'z' }) < 0 {
			words = append(words, entry)
		}
	}
	return words
}

// Embed implements Embedder. It fails only if ctx ends.
func (s *Static) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	all := make([]float32, len(texts)*s.dim)
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("embed text %d of %d: %w", i+1, len(texts), err)
		}
		vectors[i] = s.Vector(text, all[i*s.dim:i*s.dim:(i+1)*s.dim])
	}
	return vectors, nil
}

// Query implements Querier. It never fails.
func (s *Static) Query(_ context.Context, text string) ([]float32, error) {
	return s.Vector(text, nil), nil
}

// Vector is the vector of one text: of length 1, or all zeros if nothing of the text
// is in the vocabulary. It is written to into if its capacity suffices. A text of
// ASCII needs no other memory.
func (s *Static) Vector(text string, into []float32) []float32 {
	if cap(into) < s.dim {
		into = make([]float32, s.dim)
	}
	into = into[:s.dim]
	s.pool(text, into)
	normalise(into)
	return into
}

// Weight is how much a word says in the eyes of the table: the length of its part of
// a sum, before that is made length 1. It is 0 for a word that is not covered, and of
// several words it is the length of their sum.
func (s *Static) Weight(word string) float32 {
	sum := make([]float32, s.dim)
	s.pool(word, sum)
	return float32(norm2(sum))
}

// pool makes sum the sum of the entries of text. Bytes that are no UTF-8 count as U+FFFD:
// what decomposes the letters would leave those behind such a byte as they are, or not,
// depending on where it begins.
func (s *Static) pool(text string, sum []float32) {
	text = strings.ToValidUTF8(cut(text, maxText), "\ufffd")
	s.once.Do(func() { s.index = newIndex(s.vocab, len(s.scales)/4) })
	clear(sum)
	r := reader{table: s, sum: sum, left: maxEntries}
	if ascii(text) {
		r.readASCII(text)
	} else {
		r.read(norm.NFD.String(text))
	}
	r.finish()
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (s *Static) scale(entry uint32) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(s.scales[4*entry:]))
}

// add adds the vector of an entry to sum. The product is converted before it is added,
// which forbids the compiler to fuse the two, as it would on some machines: so the
// bits are the same on all.
func (s *Static) add(sum []float32, entry uint32) {
	scale := s.scale(entry)
	row := s.rows[int(entry)*s.dim:][:len(sum)]
	for i, q := range row {
		sum[i] += float32(scale * float32(int8(q)))
	}
}
