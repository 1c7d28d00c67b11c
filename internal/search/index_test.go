package search

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// many is a number of documents that fills so many pages that searches are split.
const many = 6 * pageSlots

func manyDocs(r *rand.Rand, n int) (docs []Doc[string]) {
	for i := range n {
		d := testDoc(r, i)
		d.Key = Key{byte(i), byte(i >> 8), byte(i >> 16)}
		d.Order = int64(r.IntN(n))
		if i%2000 > 0 {
			d.Name = "" // few have the same name
		}
		docs = append(docs, d)
	}
	return docs
}

func TestManyDocumentsAreFoundAsFewAre(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x, o := New[string](testDim), oracle{}
	check := func(when string) {
		t.Helper()
		for _, most := range []int{10, many} { // the first ones, or all
			q := testQuery(r)
			q.Words, q.Weights = append(q.Words, "rain"), nil
			q.Nearest, q.Matching = most, most
			want := o.search(q, testDim, x)
			if err := sameHits(x.Search(q), want); err != nil {
				t.Errorf("%s: %+v: %v", when, q, err)
			}
			usual := x.limits
			x.limits.exactNumbers, x.limits.leastCandidates = 0, many // all are candidates
			if err := sameHits(x.Search(q), want); err != nil {
				t.Errorf("%s, prefiltered: %+v: %v", when, q, err)
			}
			x.limits = usual
		}
	}
	docs := manyDocs(r, many)
	x.Put(docs...)
	for _, d := range docs {
		o[d.Key] = d
	}
	check("after the first load")
	var gone []Key
	for i, d := range docs {
		if i%5 > 0 {
			gone = append(gone, d.Key)
			delete(o, d.Key)
		}
	}
	x.Remove(gone...)
	check("after removing most")
	if x.public.used > 64+2*len(x.public.slots) {
		t.Errorf("the public shard keeps %d slots for %d documents", x.public.used, len(x.public.slots))
	}
	docs = manyDocs(r, many)
	x.Put(docs...)
	for _, d := range docs {
		o[d.Key] = d
	}
	check("after a second load")
}

func TestNothingRemainsOfWhatIsRemoved(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	x := New[string](testDim)
	docs := manyDocs(r, 3000)
	for range 3 {
		x.Put(docs...)
		for _, d := range docs {
			x.Remove(d.Key)
		}
		if len(x.terms.ids) != 0 || len(x.terms.free) != len(x.terms.infos) {
			t.Errorf("%d terms remain, %d of %d ids are free", len(x.terms.ids), len(x.terms.free), len(x.terms.infos))
		}
		if len(x.private)+len(x.owners)+len(x.public.slots)+x.public.vectors+int(x.public.length) != 0 || x.Len() != 0 {
			t.Error("documents remain")
		}
		if x.public.used > 100 {
			t.Errorf("%d slots remain", x.public.used)
		}
	}
}

// TestADocumentThatChangesIsAlwaysFoundOnce: a search sees either what was or what is,
// also while a shard is compacted.
func TestADocumentThatChangesIsAlwaysFoundOnce(t *testing.T) {
	x := small(New[string](testDim))
	owner := owners[0]
	version := func(i, n int) Doc[string] {
		d := Doc[string]{Key: testKey(i), Owner: owner, Public: n%3 > 0, Name: "same", Value: strconv.Itoa(n), Order: int64(n),
			Scale: 1. / 127, Vector: make([]int8, testDim), Words: AnalyzeDocument("same", nil, "rain number "+strconv.Itoa(n))}
		d.Vector[i] = 127
		return d
	}
	const keys, rounds = 20, 300
	for i := range keys {
		x.Put(version(i, 0))
	}
	var writers, readers sync.WaitGroup
	var stop atomic.Bool
	for w := range 2 {
		writers.Go(func() {
			for n := range rounds {
				for i := w; i < keys; i += 2 {
					x.Put(version(i, n))
				}
				x.Put(Doc[string]{Key: Key{0xff, byte(w)}, Public: true, Words: oneTerm("passing")})
				x.Remove(Key{0xff, byte(w)})
			}
		})
	}
	query := make([]float32, testDim)
	for i := range query {
		query[i] = 0.1
	}
	for _, q := range []Query{{Name: "same"}, {Words: []string{"rain"}, Matching: 100}, {Vector: query, Nearest: 100}} {
		q.Viewer = owner
		readers.Go(func() {
			for !stop.Load() {
				seen := map[Key]bool{}
				for _, hit := range x.Search(q) {
					if seen[hit.Key] {
						t.Errorf("%+v: %v is found twice", q, hit.Key)
					}
					seen[hit.Key] = true
					if _, ok := x.Get(hit.Key); !ok && hit.NameEqual {
						t.Errorf("%v is lost", hit.Key)
					}
				}
				if len(seen) != keys {
					t.Errorf("%+v: got %d documents, want %d", q, len(seen), keys)
				}
				all := 0
				x.All(owner, func(h Hit[string]) bool {
					if h.Key[0] != 0xff {
						all++
					}
					return true
				})
				if all != keys {
					t.Errorf("All: got %d documents, want %d", all, keys)
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
}

// oneTerm makes Words of one term.
func oneTerm(term string) Words { return AnalyzeDocument("", nil, term) }

func TestNearestOfALargeShardAreNearlyAlwaysFound(t *testing.T) {
	const n = 8000
	c := newCorpus(n)
	x := New[int](benchDim)
	var floats [][]float32
	for i := range n {
		d, v := c.doc(i)
		d.Name, d.Words = "", Words{}
		floats = append(floats, v)
		x.Put(d)
	}
	x.limits.exactNumbers, x.limits.leastCandidates = 0, n/20
	recall := 0.0
	const queries = 20
	for range queries {
		q := c.query()
		q.Nearest = 20
		recall += recallAt10(x.Search(q), floats, q.Vector)
	}
	if recall/queries < 0.97 {
		t.Errorf("got a recall@10 of %.3f, want 0.97 or more", recall/queries)
	}
}

func TestCopiesOfOneVectorDoNotMakeASearchSlow(t *testing.T) {
	x := New[int](testDim)
	x.limits.exactNumbers, x.limits.leastCandidates = 0, 50
	near, copied := make([]int8, testDim), make([]int8, testDim)
	near[3], copied[3], copied[5] = 100, 60, 80
	const n = 3000
	for i := range n {
		d := Doc[int]{Key: testKey(i), Public: true, Vector: copied, Scale: 0.01, Order: int64(i), Value: i}
		if i < 3 {
			d.Vector = near
		}
		x.Put(d)
	}
	query := make([]float32, testDim)
	query[3] = 1
	q := Query{Vector: query, Nearest: 10}
	var got []int
	for _, hit := range x.Search(q) {
		got = append(got, hit.Value)
	}
	want := []int{2, 1, 0, 2999, 2998, 2997, 2996, 2995, 2994, 2993}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want the nearest and the newest, %v", got, want)
	}
	s := &search[int]{limits: x.limits, query: q, probe: newProbe(q.Vector, x.dim), words: x.lexical(Query{}), views: x.views(Key{})}
	kept := s.candidates(s.scan(), &s.views[0])
	if len(kept) != spare*50 {
		t.Errorf("%d candidates are compared, want %d", len(kept), spare*50)
	}
}

func TestTermsBeyondTheBudgetStillCount(t *testing.T) {
	x := New[int](0)
	for i := range 100 {
		text := "filler"
		if i%10 == 0 {
			text = "rare"
		}
		if i >= 50 {
			text += " common"
		} else {
			text += " else"
		}
		x.Put(Doc[int]{Key: Key{byte(i)}, Public: true, Words: AnalyzeDocument("", nil, text), Value: i})
	}
	q := Query{Words: []string{"common", "rare"}, Matching: 3}
	full := x.Search(q)
	x.limits.maxPostings = 20
	bounded := x.Search(q)
	if !reflect.DeepEqual(bounded, full) || bounded[0].Value != 50 || x.lexical(q).complete {
		t.Errorf("got %+v, want %+v", bounded, full)
	}
	x.limits.maxPostings = 1 // a single term is never beyond it
	if got := x.Search(Query{Words: []string{"common"}, Matching: 3}); len(got) != 3 {
		t.Errorf("got %+v, want three", got)
	}
}

func TestATermWithoutAUsableWeightDoesNotCount(t *testing.T) {
	x := New[int](0)
	x.Put(Doc[int]{Public: true, Words: oneTerm("rain")})
	for _, weights := range [][]float64{{}, {0}, {-1}, {math.NaN()}, {math.Inf(1)}, {math.Inf(-1)}} {
		if got := x.Search(Query{Words: []string{"rain"}, Weights: weights, Matching: 1}); len(got) != 0 {
			t.Errorf("%v: got %+v, want nothing", weights, got)
		}
	}
}

func TestOfTooManyTermsTheRareOnesCount(t *testing.T) {
	x := New[int](0)
	var q Query
	for i := range 100 {
		common := fmt.Sprintf("common%d", i)
		q.Words = append(q.Words, common, fmt.Sprintf("nobody%d", i))
		x.Put(Doc[int]{Key: testKey(2 * i), Public: true, Words: oneTerm(common)},
			Doc[int]{Key: testKey(2*i + 1), Public: true, Words: oneTerm(common)})
	}
	x.Put(Doc[int]{Key: Key{0xff}, Public: true, Value: 7, Words: oneTerm("zebra")})
	q.Words, q.Matching = append(q.Words, "zebra", "zebra"), 1
	if got := x.Search(q); len(got) != 1 || got[0].Value != 7 {
		t.Errorf("got %+v, want the zebra", got)
	}
	if got := len(x.lexical(q).terms); got != 2*queryTerms {
		t.Errorf("got %d terms, want %d", got, 2*queryTerms)
	}
}

func TestVectorsThatCountAsAbsent(t *testing.T) {
	good, zero := make([]int8, testDim), make([]int8, testDim)
	good[0] = 127
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	query := make([]float32, testDim)
	query[0] = 1
	for name, d := range map[string]Doc[int]{
		"none": {Scale: 1}, "another dimension": {Scale: 1, Vector: []int8{1}}, "zeros": {Scale: 1, Vector: zero},
		"no scale": {Vector: good}, "negative scale": {Scale: -1, Vector: good}, "NaN": {Scale: nan, Vector: good},
		"infinite": {Scale: inf, Vector: good}, "denormal": {Scale: 1e-42, Vector: good},
	} {
		x := New[int](testDim)
		d.Public, d.Name = true, "n"
		x.Put(d)
		got := x.Search(Query{Vector: query, Nearest: 5, Name: "n"})
		if len(got) != 1 || got[0].HasVector || got[0].Cosine != 0 {
			t.Errorf("document, %s: got %+v, want it without a vector", name, got)
		}
	}
	x := New[int](testDim)
	x.Put(Doc[int]{Public: true, Scale: 1. / 127, Vector: good})
	for name, v := range map[string][]float32{"none": nil, "another dimension": {1}, "zeros": make([]float32, testDim),
		"NaN": append([]float32{nan}, query[1:]...), "infinite": append([]float32{inf}, query[1:]...)} {
		if got := x.Search(Query{Vector: v, Nearest: 5}); len(got) != 0 {
			t.Errorf("query, %s: got %+v, want nothing", name, got)
		}
	}
	if got := x.Search(Query{Vector: query, Nearest: math.MaxInt, Matching: math.MinInt}); len(got) != 1 || math.Abs(float64(got[0].Cosine)-1) > 1e-6 {
		t.Errorf("got %+v, want one at 1", got)
	}
	if got := New[int](-1).Search(Query{Vector: []float32{}, Nearest: 1, Words: []string{""}, Matching: 1}); len(got) != 0 {
		t.Errorf("got %+v from an empty index", got)
	}
}

// TestARotationChangesNoAngle: it makes every vector longer by the same factor, moves
// the differences of two as the two, and is the same for both types.
func TestARotationChangesNoAngle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rng(t)
		n := 64 << r.IntN(4)
		v, floats := make([]int32, n), make([]float64, n)
		for i := range v {
			v[i] = int32(r.IntN(256) - 128)
			floats[i] = float64(v[i])
		}
		before := norm2(floats)
		rotate(v)
		rotate(floats)
		for i := range v {
			if float64(v[i]) != floats[i] {
				t.Fatalf("number %d: got %v as int32, %v as float64", i, v[i], floats[i])
			}
		}
		if got, want := norm2(floats), before*math.Sqrt(float64(n)); math.Abs(got-want) > 1e-9*want {
			t.Fatalf("got length %v, want %v", got, want)
		}
	})
}

// TestNothingAboveTheFloorIsPassedOver: the bound by which a scan skips documents is
// one, for vectors of any kind.
func TestNothingAboveTheFloorIsPassedOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rng(t)
		dim := 1 + r.IntN(300)
		v, q := make([]int8, dim), make([]float32, dim)
		kind := r.IntN(4)
		for i := range v {
			switch kind {
			case 0:
				v[i], q[i] = int8(r.IntN(256)-128), float32(r.NormFloat64())
			case 1: // the greatest sums there are
				v[i], q[i] = -128, 1
			case 2:
				v[i], q[i] = pick[int8](r, -128, 127), pick[float32](r, -1, 1)
			case 3: // one number dwarfs the others, in another block or in the same
				v[i], q[i] = int8(r.IntN(3)-1), float32(r.NormFloat64()*1e-3)
			}
		}
		if kind == 3 {
			v[dim/2], q[dim/2] = 127, 1
		}
		p := newProbe(q, dim)
		codes, sums := make([]uint64, codeWords(dim)), make([]uint16, codeWords(dim)/blockWords)
		s := encode(codes, sums, v, float32(r.Float64()+0.01))
		if s.scale == 0 || p == nil {
			return
		}
		exact := 0.0
		for i := range v {
			exact += float64(v[i]) * float64(q[i])
		}
		cosine := p.cosine(codes, s.scale)
		if math.Abs(float64(cosine)-exact*float64(s.scale)) > 1e-6*float64(s.length)*norm2(p.exact) {
			t.Fatalf("got %v, want %v", cosine, exact*float64(s.scale))
		}
		if p.below(float64(cosine), codes, sums, &s) {
			t.Fatalf("dim %d, kind %d: a cosine of %v is passed over", dim, kind, cosine)
		}
		most := float64(s.length) * norm2(p.exact)
		if !p.below(float64(cosine)+0.05*most, codes, sums, &s) {
			t.Fatalf("dim %d, kind %d: a cosine of %v seems to be above it by a twentieth", dim, kind, cosine)
		}
	})
}
