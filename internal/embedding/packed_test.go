package embedding

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPackedLayout(t *testing.T) {
	p := Quantise([]float32{0, 2.54, -2.54, 1.27, 0.009})
	want := Packed{0x0a, 0xd7, 0xa3, 0x3c, 0, 127, 129, 64, 0} // 0.02, little-endian
	if !bytes.Equal(p, want) {
		t.Errorf("got %v, want %v", []byte(p), []byte(want))
	}
	if p.Dim() != 5 || math.Abs(float64(p.Scale())-0.02) > 1e-9 || !slices.Equal(p.Int8s(), []int8{0, 127, -127, 64, 0}) {
		t.Errorf("got %d, %v, %v", p.Dim(), p.Scale(), p.Int8s())
	}
}

func TestVectorsWithoutDirectionArePackedToNothing(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, v := range [][]float32{nil, {}, {0}, {0, 0, 0}, {1, nan}, {inf, 0}, {math.SmallestNonzeroFloat32}} {
		p := Quantise(v)
		if len(p) != 0 || p.Dim() != 0 || p.Scale() != 0 || len(p.Int8s()) != 0 || p.Dequantise() != nil || !p.Valid(3) {
			t.Errorf("%v: got %v", v, []byte(p))
		}
	}
}

func TestStoredBytesAreChecked(t *testing.T) {
	good := Quantise([]float32{1, -2, 3})
	change := func(at int, b byte) Packed { p := bytes.Clone(good); p[at] = b; return p }
	for name, p := range map[string]Packed{
		"too short": good[:2], "no numbers": good[:4], "one number less": good[:6], "one more": append(bytes.Clone(good), 1),
		"a negative scale": change(3, 0xbf), "an infinite scale": {0, 0, 0x80, 0x7f, 127, 0, 0}, "no scale": {0, 0, 0, 0, 127, 0, 0},
		"no number is the largest": change(6, 126), "a scale that is no number": {0, 0, 0xc0, 0x7f, 127, 0, 0},
	} {
		if p.Valid(3) {
			t.Errorf("%s: valid", name)
		}
		p.Dequantise()
	}
	if !good.Valid(3) || good.Valid(4) {
		t.Error("a good one is refused, or one of another dimension is not")
	}
}

// TestPackingLosesNoMoreThanItSays: the bounds of the comment of Packed.
func TestPackingLosesNoMoreThanItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.OneOf(rapid.Float32Range(-1, 1), rapid.Float32Range(-0.01, 0.01), rapid.Just(float32(0))), 1, 600).Draw(t, "v")
		size := rapid.SampledFrom([]float32{1e-30, 1, 1e30}).Draw(t, "size")
		var most float64
		for i := range v {
			v[i] *= size
			most = max(most, math.Abs(float64(v[i])))
		}
		p := Quantise(v)
		if len(p) == 0 {
			if most > 1.5e-36 {
				t.Fatalf("%v is packed to nothing", v)
			}
			return
		}
		if len(p) != 4+len(v) || !p.Valid(len(v)) {
			t.Fatalf("got %v, which is not valid", []byte(p))
		}
		back, scale := p.Dequantise(), float64(p.Scale())
		for i := range v {
			if off := math.Abs(float64(back[i]) - float64(v[i])); off > scale/2*(1+1e-4) {
				t.Fatalf("number %d: %v became %v, scale %v", i, v[i], back[i], scale)
			}
		}
		r := math.Sqrt(float64(len(v))) * most / (254 * length(v))
		least := 0.0
		if r < 1 {
			least = math.Sqrt(1 - r*r)
		}
		if cos := dot(back, v) / (length(back) * length(v)); cos < least-1e-6 {
			t.Fatalf("got cosine %v, want at least %v", cos, least)
		}
		if again := Quantise(back); !bytes.Equal(again[4:], p[4:]) {
			t.Fatalf("packed again: got %v, want %v", again, p)
		}
	})
}

func TestPackingTheBuiltinTablesVectors(t *testing.T) {
	s := builtinTable(t)
	for _, text := range []string{"weather", "find me a cheap flight from London to New York", "translate documents"} {
		v := s.Vector(text, nil)
		back := Quantise(v).Dequantise()
		if cos := dot(back, v) / length(back); cos < 0.999 {
			t.Errorf("%q: got cosine %v", text, cos)
		}
	}
}
