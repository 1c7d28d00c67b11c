package search

import "math"

// A vector is padded to whole blocks of 64 dimensions and kept as bytes, eight to a
// word, each number plus 128. So one multiplication of a word by four numbers of a
// query, at the right places and no greater than 31, adds four products (lanes). Of
// the ways that BenchmarkCompare compares it is the fastest by far that is exact, and
// unlike those that look at the leading dimensions first it does not depend on how
// the vectors were made.
const (
	blockDims  = 64
	blockWords = blockDims / 8
	offset     = 128
)

// lanesOf masks every other byte of a word.
const lanesOf = 0x00ff00ff00ff00ff

// codeWords is the number of words of the codes of a vector of dim dimensions.
func codeWords(dim int) int { return (dim + blockDims - 1) / blockDims * blockWords }

// shape is what a scan needs to know of a vector besides its numbers. The zero value
// is that of a document without a vector.
type shape struct {
	scale  float32 // cosine = scale * dot product
	length float32 // scale * length of the vector, or slightly more
}

// encode writes v, of the dimension of the index, to codes, and for each block the sum
// of its bytes to sums. It returns the zero shape, and writes nothing, for a vector
// that counts as absent.
func encode(codes []uint64, sums []uint16, v []int8, scale float32) shape {
	if !(scale >= 0x1p-100 && scale <= 0x1p100) { // NaN as well
		return shape{}
	}
	square := 0 // at most 128*128 times a dimension
	for _, x := range v {
		square += int(x) * int(x)
	}
	if square == 0 {
		return shape{}
	}
	length := float32(float64(scale) * math.Sqrt(float64(square)))
	clear(sums)
	for i := range codes {
		var eight [8]int8 // padded with zeros
		copy(eight[:], v[min(8*i, len(v)):])
		word := uint64(0)
		for j, x := range eight {
			word |= uint64(uint8(x)) << (8 * j)
		}
		word ^= 0x8080808080808080 // adds the offset to every byte
		codes[i] = word
		pairs := word&lanesOf + word>>8&lanesOf
		sums[i/blockWords] += uint16(pairs * 0x0001000100010001 >> 48)
	}
	return shape{scale: scale, length: math.Nextafter32(length, math.MaxFloat32)}
}

// probe is a query vector prepared for scans. Its numbers are exact; coarse and fine
// are approximations that add up, each with a bound of what it leaves open, so that a
// scan can pass over a document without the exact product.
type probe struct {
	exact        []float64 // padded
	signs        []signWord
	coarse, fine level
}

// level is an approximation of the numbers of a query: (lane - 16) * step << shift. A
// block has the shift that its own numbers need, since with vectors whose leading
// dimensions have more energy one step would be far too large for most of them.
type level struct {
	lanes  []uint64 // two words for each word of a vector: its even bytes, its odd ones
	shifts []uint8  // by block
	step   float64
	base   int64   // what the offsets add to the products, but for the vector's own part
	error  float64 // length of what is left, and a margin for rounding
}

const (
	laneZero  = 16 // a lane of this value is the number 0
	laneMost  = 15 // and 15 more or less the greatest and the least
	mostShift = 8
)

// margin covers what rounding can do to a bound, relative to the length of the query.
// It is far above the precision of a float32, in which cosines are compared.
const margin = 1e-6

// newProbe returns nil for a query without direction, or of another dimension.
func newProbe(query []float32, dim int) *probe {
	if dim == 0 || len(query) != dim {
		return nil
	}
	p := &probe{exact: make([]float64, 8*codeWords(dim))}
	for i, x := range query {
		p.exact[i] = float64(x)
	}
	length := norm2(p.exact)
	if !(length >= 0x1p-20 && length <= 0x1p20) { // NaN as well
		return nil
	}
	p.signs = signQuery(p.exact[:dim], signBits(dim))
	rest := append([]float64(nil), p.exact...)
	p.coarse = newLevel(rest, length*margin)
	p.fine = newLevel(rest, length*margin)
	return p
}

func norm2(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

// newLevel approximates v, and leaves in v what remains.
func newLevel(v []float64, margin float64) level {
	l := level{lanes: make([]uint64, len(v)/4), shifts: make([]uint8, len(v)/blockDims)}
	most := greatest(v)
	if most == 0 {
		most = 1
	}
	l.step = most / laneMost / (1 << mostShift)
	for n := range l.shifts {
		block := v[n*blockDims : (n+1)*blockDims]
		for step := most / 2; l.shifts[n] < mostShift && greatest(block) <= step; step /= 2 {
			l.shifts[n]++
		}
		l.shifts[n] = mostShift - l.shifts[n]
		l.lane(n, block)
	}
	l.error = norm2(v) + margin
	return l
}

func greatest(v []float64) float64 {
	most := 0.0
	for _, x := range v {
		most = max(most, math.Abs(x))
	}
	return most
}

// lane approximates block n, and leaves in it what remains.
func (l *level) lane(n int, block []float64) {
	step := l.step * float64(int(1)<<l.shifts[n])
	for i, x := range block {
		steps := math.Round(x / step)
		block[i] -= step * steps
		lane := uint64(int(steps) + laneZero)
		// Byte i of a word is lane i/2 of its half; its factor has to be at 3-i/2, so
		// that the sum of the four products is at 3.
		l.lanes[(n*blockDims+i)/8*2+i%2] |= lane << (16 * (3 - i%8/2))
		l.base += int64(lane-laneZero) * offset << l.shifts[n]
	}
}

// value is the approximate dot product with a vector. A byte is at most 255 and a lane
// at most 31, so the eight products that are added before they are shifted stay below
// 1<<16, and none below them carries over.
func (l *level) value(codes []uint64, sums []uint16) float64 {
	sum, lanes, shifts := -l.base, l.lanes, l.shifts
	for i, bytes := range sums {
		if len(codes) < blockWords || len(lanes) < 2*blockWords || i >= len(shifts) {
			break
		}
		v, q := (*[blockWords]uint64)(codes), (*[2 * blockWords]uint64)(lanes)
		a := ((v[0]&lanesOf)*q[0] + (v[0]>>8&lanesOf)*q[1]) >> 48
		b := ((v[1]&lanesOf)*q[2] + (v[1]>>8&lanesOf)*q[3]) >> 48
		a += ((v[2]&lanesOf)*q[4] + (v[2]>>8&lanesOf)*q[5]) >> 48
		b += ((v[3]&lanesOf)*q[6] + (v[3]>>8&lanesOf)*q[7]) >> 48
		a += ((v[4]&lanesOf)*q[8] + (v[4]>>8&lanesOf)*q[9]) >> 48
		b += ((v[5]&lanesOf)*q[10] + (v[5]>>8&lanesOf)*q[11]) >> 48
		a += ((v[6]&lanesOf)*q[12] + (v[6]>>8&lanesOf)*q[13]) >> 48
		b += ((v[7]&lanesOf)*q[14] + (v[7]>>8&lanesOf)*q[15]) >> 48
		sum += int64(a+b-laneZero*uint64(bytes)) << (shifts[i] & 63)
		codes, lanes = codes[blockWords:], lanes[2*blockWords:]
	}
	return l.step * float64(sum)
}

// cosine is the exact one, rounded once to a float32. A product of a byte and a
// float32 is exact in float64, so it is the same on every machine.
func (p *probe) cosine(codes []uint64, scale float32) float32 {
	var a, b, c, d float64
	q := p.exact
	for _, w := range codes {
		if len(q) < 8 {
			break
		}
		a += float64(int64(w&255)-offset) * q[0]
		b += float64(int64(w>>8&255)-offset) * q[1]
		c += float64(int64(w>>16&255)-offset) * q[2]
		d += float64(int64(w>>24&255)-offset) * q[3]
		a += float64(int64(w>>32&255)-offset) * q[4]
		b += float64(int64(w>>40&255)-offset) * q[5]
		c += float64(int64(w>>48&255)-offset) * q[6]
		d += float64(int64(w>>56)-offset) * q[7]
		q = q[8:]
	}
	return float32(float64(scale) * (a + b + (c + d)))
}

// below reports that the cosine to a vector is certainly less than floor. By the
// inequality of Cauchy and Schwarz what a level leaves open is at most the product of
// the lengths.
func (p *probe) below(floor float64, codes []uint64, sums []uint16, s *shape) bool {
	scale, length := float64(s.scale), float64(s.length)
	near := scale * p.coarse.value(codes, sums)
	if near+length*p.coarse.error < floor {
		return true
	}
	return near+scale*p.fine.value(codes, sums)+length*p.fine.error < floor
}
