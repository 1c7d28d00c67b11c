package embedding

import (
	"context"
	"math"
	"unicode/utf8"
)

// Embedder embeds texts that are to be stored. It may take its time: an endpoint
// is asked again after a failure.
type Embedder interface {
	// Model names the vector space: vectors of different models never compare.
	Model() string
	// Embed returns one vector of length 1 per text, in the order of the texts and
	// all of one dimension; for a text without content the vector is all zeros.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Querier embeds one text that somebody is waiting for: an answer or an error comes
// within seconds, and at once while an endpoint is known to be down.
type Querier interface {
	Query(ctx context.Context, text string) ([]float32, error)
}

var (
	_ Embedder = (*Static)(nil)
	_ Querier  = (*Static)(nil)
	_ Embedder = (*Remote)(nil)
	_ Querier  = (*Remote)(nil)
)

// maxDim is the most numbers a vector may have.
const maxDim = 8192

// normalise makes v a vector of length 1. It reports false, and leaves v alone, if v
// has no direction: all zeros, or a number that is not finite.
func normalise(v []float32) bool {
	length := norm2(v)
	if length == 0 || math.IsInf(length, 0) || math.IsNaN(length) {
		return false
	}
	for i, x := range v {
		v[i] = float32(float64(x) / length)
	}
	return true
}

// norm2 is the length of v. The square of a float32 is exact in a float64, so it makes
// no difference on which machines the compiler fuses product and sum.
func norm2(v []float32) float64 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// cut returns at most n bytes of s, whole code points only.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
