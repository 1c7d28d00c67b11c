package search

import (
	"math"
	"math/bits"
)

// A signature is one bit for each dimension of a vector that was rotated: its sign.
// The rotation, the same for every vector, spreads what the vectors have in common and
// the energy of leading dimensions over all of them, so that every sign says as much.
// It is that of Ailon and Chazelle, "The Fast Johnson-Lindenstrauss Transform" (2009):
// some signs flipped, then a Hadamard transform. Without it, vectors of real texts are
// chosen far worse. Signs are taken around 0 and not around a mean, which would depend
// on what was there before.

// signBits is the length of a signature: the transform wants a power of two.
func signBits(dim int) int {
	if dim == 0 {
		return 0
	}
	return max(64, 1<<bits.Len(uint(dim-1)))
}

// sign writes the signature of v to signs. scratch has signBits numbers.
func sign(signs []uint64, v []int8, scratch []int32) {
	for i, x := range v {
		scratch[i] = int32(x)
	}
	clear(scratch[len(v):])
	rotate(scratch)
	for i := range signs {
		word := uint64(0)
		for j, x := range scratch[64*i : 64*i+64] {
			word |= uint64(uint32(-x)>>31) << j
		}
		signs[i] = word
	}
}

// rotate rotates v, whose length is a power of two and at least 64, and makes it longer
// by the root of that. An int32 has room for int8 of any dimension up to 2^24.
func rotate[T int32 | float64](v []T) {
	for i := range v {
		if flipped(i) {
			v[i] = -v[i]
		}
	}
	for n := range len(v) / 8 {
		rotateEight((*[8]T)(v[8*n:]))
	}
	for half := 8; half < len(v); half *= 2 {
		for rest := v; len(rest) >= 2*half; rest = rest[2*half:] {
			a, b := rest[:half], rest[half:2*half]
			for i := range a {
				a[i], b[i] = a[i]+b[i], a[i]-b[i]
			}
		}
	}
}

func rotateEight[T int32 | float64](v *[8]T) {
	a, b, c, d := v[0]+v[1], v[0]-v[1], v[2]+v[3], v[2]-v[3]
	e, f, g, h := v[4]+v[5], v[4]-v[5], v[6]+v[7], v[6]-v[7]
	a, b, c, d = a+c, b+d, a-c, b-d
	e, f, g, h = e+g, f+h, e-g, f-h
	v[0], v[1], v[2], v[3] = a+e, b+f, c+g, d+h
	v[4], v[5], v[6], v[7] = a-e, b-f, c-g, d-h
}

// flipped is a fixed random bit for each dimension, by SplitMix64 (Steele, Lea and
// Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
func flipped(i int) bool {
	x := uint64(i+1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x^x>>31)&1 != 0
}

// mostFar is how far a bit of a signature can be from the query.
const mostFar = 3

// signWord is 64 dimensions of a query: their signs, and how much each matters, 0 to 3,
// in two bits.
type signWord struct{ signs, low, high uint64 }

// signQuery returns what signatures are compared with.
func signQuery(query []float64, n int) []signWord {
	v := make([]float64, n)
	copy(v, query)
	rotate(v)
	words := make([]signWord, n/64)
	// Of numbers with a normal distribution few are above 2.2 times their size.
	step := 2.2 * norm2(v) / math.Sqrt(float64(n)) / mostFar
	for i, x := range v {
		w := &words[i/64]
		matters := uint64(min(math.Round(math.Abs(x)/step), mostFar))
		if x > 0 {
			w.signs |= 1 << (i % 64)
		}
		w.low |= matters & 1 << (i % 64)
		w.high |= matters >> 1 << (i % 64)
	}
	return words
}

// farness sums how much the dimensions matter in which a signature has another sign.
func farness(signs []uint64, query []signWord) int32 {
	low, high := 0, 0
	for i, q := range query {
		differ := signs[i] ^ q.signs
		low += bits.OnesCount64(differ & q.low)
		high += bits.OnesCount64(differ & q.high)
	}
	return int32(low + 2*high)
}
