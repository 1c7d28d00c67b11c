package embedding

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a vocabulary with whole words, continuations, other scripts and pairs.
var small = []string{
	"a", "b", "##b", "##bb", "ab", "weather", "##s", "##cast", "fore", "##ca", "cafe", "0", "##1", ".", "$", "#",
	"東", "京", "ο", "##δ", "ᄒ", "##ᅡ", "##ᆫ", "weather forecast", "a b", "b a", "ab .", "forecast weather",
}

// tableOf is a table of the entries, each with its own scale and row. change may
// spoil the header.
func tableOf(t testing.TB, entries []string, bigrams string, change func(map[string]any)) []byte {
	t.Helper()
	const dim = 16
	vocab := ""
	if len(entries) > 0 {
		vocab = strings.Join(entries, "\n") + "\n"
	}
	head := map[string]any{
		"model": "test-1", "dim": dim, "entries": len(entries), "vocab_bytes": len(vocab), "lower": true,
		"bigrams": bigrams, "source": "a test",
	}
	if change != nil {
		change(head)
	}
	h, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	b := append([]byte(magic), binary.LittleEndian.AppendUint32(nil, uint32(len(h)))...)
	b = append(append(b, h...), vocab...)
	for i := range entries {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(0.37/float32(i+1)))
	}
	for i := range len(entries) * dim {
		b = append(b, byte(i*i*31+i*7+i/dim))
	}
	return b
}

func open(t testing.TB, b []byte) *Static {
	t.Helper()
	s, err := OpenTable(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func smallTable(t testing.TB, bigrams string) *Static {
	t.Helper()
	return open(t, tableOf(t, small, bigrams, nil))
}

func builtinTable(t testing.TB) *Static {
	t.Helper()
	s, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func length(v []float32) float64 { return math.Sqrt(dot(v, v)) }

func dot(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// sound wants what an Embedder promises of each vector.
func sound(t testing.TB, v []float32, dim int) {
	t.Helper()
	if len(v) != dim {
		t.Fatalf("got a vector of %d numbers, want %d", len(v), dim)
	}
	if n := length(v); n != 0 && !(math.Abs(n-1) < 1e-5) {
		t.Errorf("got a vector of length %v, want 1 or 0", n)
	}
}
