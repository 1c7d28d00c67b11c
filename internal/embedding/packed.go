package embedding

import (
	"encoding/binary"
	"math"
)

// Packed is a vector as it is stored: a float32 scale, little-endian, and an int8 per
// number, the largest of which is ±127. The number is scale * int8. A vector without
// direction is empty.
//
// Each number is off by at most half the scale, which is the largest number / 127. So
// for a vector v of d numbers the error is at most r = sqrt(d)*max|v|/(254*|v|) of its
// length, a dot product with a vector of length 1 is off by at most r*|v|, and the
// cosine of v and what comes back is at least sqrt(1-r²).
type Packed []byte

// PackedOverhead is by how many bytes a Packed is longer than its vector has numbers.
const PackedOverhead = scaleBytes

const scaleBytes = 4

// leastScale keeps the scale out of the numbers that float32 keeps inexactly.
const leastScale = 0x1p-126

// Quantise packs v, which may have any length. It returns an empty Packed for zeros,
// for numbers that are not finite, and for numbers all below 1.5e-36.
func Quantise(v []float32) Packed {
	var most float64
	for _, x := range v {
		size := math.Abs(float64(x))
		if math.IsNaN(size) || math.IsInf(size, 0) {
			return Packed{}
		}
		most = max(most, size)
	}
	if most/127 < leastScale {
		return Packed{}
	}
	p := make(Packed, scaleBytes+len(v))
	binary.LittleEndian.PutUint32(p, math.Float32bits(float32(most/127)))
	for i, x := range v {
		p[scaleBytes+i] = byte(int8(math.Round(float64(x) / most * 127)))
	}
	return p
}

// Dim is the number of numbers, 0 for a vector without direction.
func (p Packed) Dim() int { return max(0, len(p)-scaleBytes) }

// Scale is what each int8 is to be multiplied with.
func (p Packed) Scale() float32 {
	if p.Dim() == 0 {
		return 0
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(p))
}

// Int8s returns the numbers before they are scaled, in new memory.
func (p Packed) Int8s() []int8 {
	q := make([]int8, p.Dim())
	for i := range q {
		q[i] = int8(p[scaleBytes+i])
	}
	return q
}

// Valid reports whether p is empty or something that Quantise may have returned for
// a vector of dim numbers. Ask it of bytes that were stored.
func (p Packed) Valid(dim int) bool {
	if len(p) == 0 {
		return true
	}
	scale := p.Scale()
	if p.Dim() != dim || !(scale >= leastScale) || math.IsInf(float64(scale), 0) {
		return false
	}
	for _, b := range p[scaleBytes:] {
		if q := int8(b); q == 127 || q == -127 {
			return true
		}
	}
	return false
}

// Dequantise is the vector again, but for what packing lost. It is nil for an empty p.
func (p Packed) Dequantise() []float32 {
	if p.Dim() == 0 {
		return nil
	}
	scale := p.Scale()
	v := make([]float32, p.Dim())
	for i := range v {
		v[i] = scale * float32(int8(p[scaleBytes+i]))
	}
	return v
}
