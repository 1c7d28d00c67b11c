package search

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// oracle does what the documentation of this package says, without an index.
type oracle map[Key]Doc[string]

func (o oracle) visible(viewer Key) []Doc[string] {
	var docs []Doc[string]
	for _, d := range o {
		if d.Public || d.Owner == viewer {
			docs = append(docs, d)
		}
	}
	return docs
}

func weightsOf(w Words) map[string]float64 {
	weights := map[string]float64{}
	w.each(func(term string, weight int) { weights[term] = float64(weight) })
	return weights
}

// bm25 returns the textbook formula, with the statistics of the public documents.
func (o oracle) bm25(words []string, weights []float64) func(Doc[string]) float64 {
	n, length := 0.0, 0.0
	df := map[string]float64{}
	for _, d := range o {
		if !d.Public {
			continue
		}
		n++
		length += float64(d.Words.length())
		for term := range weightsOf(d.Words) {
			df[term]++
		}
	}
	average := length / n
	weight := map[string]float64{}
	for i, term := range words {
		if weights == nil {
			weight[term] = 1
		} else if weights[i] > 0 {
			weight[term] = max(weight[term], weights[i])
		}
	}
	return func(d Doc[string]) float64 {
		score, has := 0.0, weightsOf(d.Words)
		for _, term := range slices.Sorted(maps.Keys(weight)) {
			tf := has[term]
			if tf == 0 {
				continue
			}
			total, frequency := max(n, 1), max(df[term], 1)
			idf := math.Log(1 + (total-frequency+0.5)/(frequency+0.5))
			norm := 1.2
			if length > 0 {
				norm = 1.2 * (1 - 0.75 + 0.75*float64(d.Words.length())/average)
			}
			score += weight[term] * idf * tf * 2.2 / (tf + norm)
		}
		return score
	}
}

func hasVector(d Doc[string], dim int) bool {
	return len(d.Vector) == dim && slices.ContainsFunc(d.Vector, func(x int8) bool { return x != 0 })
}

func cosineOf(d Doc[string], query []float32) float64 {
	sum := 0.0
	for i, x := range d.Vector {
		sum += float64(x) * float64(query[i])
	}
	return float64(d.Scale) * sum
}

// search answers q as x should. Scores that differ by rounding only would make the
// answer ambiguous: cosines are exact here, and of sums of BM25 that are right the
// bits are those of x.
func (o oracle) search(q Query, dim int, x *Index[string]) []Hit[string] {
	rounded := map[Key]float64{}
	for _, hit := range x.Search(Query{Viewer: q.Viewer, Words: q.Words, Weights: q.Weights, Matching: len(o)}) {
		rounded[hit.Key] = hit.Lexical
	}
	var hits []Hit[string]
	bm25 := o.bm25(q.Words, q.Weights)
	withVector := len(q.Vector) == dim && dim > 0
	for _, d := range o.visible(q.Viewer) {
		hit := Hit[string]{Key: d.Key, Value: d.Value, Order: d.Order, NameEqual: d.Name != "" && d.Name == q.Name, Lexical: bm25(d)}
		if r, ok := rounded[d.Key]; ok && math.Abs(r-hit.Lexical) < 1e-9 {
			hit.Lexical = r
		}
		if withVector && hasVector(d, dim) {
			hit.HasVector, hit.Cosine = true, float32(cosineOf(d, q.Vector))
		}
		hits = append(hits, hit)
	}
	newest := func(a, b Hit[string]) int {
		return cmp.Or(cmp.Compare(b.Order, a.Order), bytes.Compare(a.Key[:], b.Key[:]))
	}
	wanted := map[Key]bool{}
	take := func(n int, in func(Hit[string]) bool, score func(Hit[string]) float64) {
		var of []Hit[string]
		for _, h := range hits {
			if in(h) {
				of = append(of, h)
			}
		}
		slices.SortFunc(of, func(a, b Hit[string]) int { return cmp.Or(cmp.Compare(score(b), score(a)), newest(a, b)) })
		for _, h := range of[:min(n, len(of))] {
			wanted[h.Key] = true
		}
	}
	take(q.Nearest, func(h Hit[string]) bool { return h.HasVector }, func(h Hit[string]) float64 { return float64(h.Cosine) })
	take(q.Matching, func(h Hit[string]) bool { return h.Lexical > 0 }, func(h Hit[string]) float64 { return h.Lexical })
	take(len(hits), func(h Hit[string]) bool { return h.NameEqual }, func(Hit[string]) float64 { return 0 })
	hits = slices.DeleteFunc(hits, func(h Hit[string]) bool { return !wanted[h.Key] })
	slices.SortFunc(hits, func(a, b Hit[string]) int {
		return cmp.Or(cmp.Compare(fmt.Sprint(b.HasVector), fmt.Sprint(a.HasVector)), cmp.Compare(b.Cosine, a.Cosine),
			cmp.Compare(b.Lexical, a.Lexical), newest(a, b))
	})
	return hits
}

func sameHits(got, want []Hit[string]) error {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			return fmt.Errorf("got %d hits, want %d", len(got), len(want))
		}
		if got[i] != want[i] {
			return fmt.Errorf("hit %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
	return nil
}

const testDim = 70 // more than a block, and not a multiple of anything

var owners = []Key{{1}, {2}, {3}}

// testKey spreads keys, so that their order is not that of the numbers.
func testKey(i int) Key { return Key{byte(i * 151), byte(i * 89), byte(i), byte(i >> 8)} }

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// testDoc makes document i at random: of few words and few distances, so that many
// documents score the same.
func testDoc(r *rand.Rand, i int) Doc[string] {
	d := Doc[string]{
		Key: testKey(i), Owner: pick(r, owners...), Public: r.IntN(3) > 0, Name: pick(r, "", "ada", "bob", "weather bot"),
		Scale: pick[float32](r, 0.25, 0.5), Order: int64(r.IntN(4)), Value: strconv.Itoa(r.IntN(1000)),
	}
	var description bytes.Buffer
	for range r.IntN(6) {
		description.WriteString(pick(r, "rain ", "sun ", "snow ", "wind ", "fog ", "private"+strconv.Itoa(i)+" "))
	}
	d.Words = AnalyzeDocument(d.Name, []string{pick(r, "", "rain", "climate")}, description.String())
	if r.IntN(5) > 0 {
		d.Vector = make([]int8, testDim)
		for range r.IntN(4) {
			d.Vector[r.IntN(2)*69] = int8(r.IntN(5) - 2)
			d.Vector[r.IntN(testDim)] = pick[int8](r, -128, 127, 1)
		}
	}
	if r.IntN(20) == 0 {
		d.Vector = []int8{1, 2, 3}
	}
	return d
}

func testQuery(r *rand.Rand) Query {
	q := Query{Viewer: pick(r, append(owners, Key{9})...), Name: pick(r, "", "ada", "bob", "nobody"), Nearest: r.IntN(12), Matching: r.IntN(12)}
	for range r.IntN(5) {
		q.Words = append(q.Words, pick(r, "rain", "sun", "snow", "wind", "fog", "climat", "ada", "private3", "unknown"))
	}
	if r.IntN(2) == 0 {
		for range q.Words {
			q.Weights = append(q.Weights, pick(r, 0.5, 1, 2, 0, -1))
		}
	}
	if r.IntN(4) > 0 {
		q.Vector = make([]float32, testDim)
		q.Vector[0], q.Vector[69] = pick[float32](r, 1, 0.5, -0.25), pick[float32](r, 0.125, -0.5)
		q.Vector[r.IntN(testDim)] = pick[float32](r, 0.0625, -0.75)
	}
	return q
}

func rng(t *rapid.T) *rand.Rand { return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) }

// history puts, replaces and removes documents at random.
func history(r *rand.Rand, steps, keys int, do func(put *Doc[string], remove Key)) {
	for range steps {
		i := r.IntN(keys)
		if r.IntN(4) == 0 {
			do(nil, testKey(i))
			continue
		}
		d := testDoc(r, i)
		do(&d, Key{})
	}
}

func TestSearchFindsWhatComparingEveryDocumentFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rng(t)
		x, o := New[string](testDim), oracle{}
		history(r, r.IntN(400), 1+r.IntN(100), func(put *Doc[string], remove Key) {
			if put != nil {
				x.Put(*put)
				o[put.Key] = *put
			} else {
				x.Remove(remove)
				delete(o, remove)
			}
		})
		if x.Len() != len(o) {
			t.Fatalf("got %d documents, want %d", x.Len(), len(o))
		}
		for range 10 {
			q := testQuery(r)
			if err := sameHits(x.Search(q), o.search(q, testDim, x)); err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
		}
		for i := range 100 {
			d, want := o[testKey(i)]
			if value, got := x.Get(testKey(i)); got != want || value != d.Value {
				t.Fatalf("Get: got %q, %v, want %q, %v", value, got, d.Value, want)
			}
		}
	})
}

func TestAllYieldsWhatTheViewerSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rng(t)
		x, o := New[string](testDim), oracle{}
		for i := range r.IntN(100) {
			d := testDoc(r, i)
			x.Put(d)
			o[d.Key] = d
		}
		viewer := pick(r, append(owners, Key{9})...)
		got := map[Key]string{}
		x.All(viewer, func(h Hit[string]) bool {
			if _, twice := got[h.Key]; twice {
				t.Fatalf("%v came twice", h.Key)
			}
			got[h.Key] = fmt.Sprint(h.Value, h.Order)
			return true
		})
		want := map[Key]string{}
		for _, d := range o.visible(viewer) {
			want[d.Key] = fmt.Sprint(d.Value, d.Order)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		n, stop := 0, len(want)/2
		x.All(viewer, func(Hit[string]) bool { n++; return n < stop })
		if n != min(max(stop, 1), len(want)) {
			t.Fatalf("got %d documents after asking to stop at %d", n, stop)
		}
	})
}

// small makes an index that prefilters and bounds the reading of postings with few
// documents.
func small(x *Index[string]) *Index[string] {
	x.limits = limits{exactNumbers: 20 * 128, leastCandidates: 8, maxPostings: 25}
	return x
}

// variants of an index that a property must hold for.
func variants() map[string]func() *Index[string] {
	return map[string]func() *Index[string]{
		"exact":       func() *Index[string] { return New[string](testDim) },
		"prefiltered": func() *Index[string] { return small(New[string](testDim)) },
	}
}

// TestForeignPrivateDocumentsChangeNothing: what a viewer finds is the same, bit by
// bit, whether or not others have private documents, had them, or changed them.
func TestForeignPrivateDocumentsChangeNothing(t *testing.T) {
	for name, make := range variants() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				r := rng(t)
				viewer := pick(r, owners...)
				x, y := make(), make()
				history(r, r.IntN(400), 1+r.IntN(120), func(put *Doc[string], remove Key) {
					if put == nil {
						x.Remove(remove)
						y.Remove(remove)
						return
					}
					x.Put(*put)
					if put.Public || put.Owner == viewer {
						y.Put(*put)
					} else {
						y.Remove(put.Key)
					}
				})
				for range 10 {
					q := testQuery(r)
					q.Viewer = viewer
					if got, want := x.Search(q), y.Search(q); !reflect.DeepEqual(got, want) {
						t.Fatalf("%+v:\ngot  %+v\nwant %+v", q, got, want)
					}
				}
			})
		})
	}
}

// TestOnlyTheDocumentsMatterNotTheirHistory: what is found is the same, bit by bit,
// in whatever order documents came and whatever was there before.
func TestOnlyTheDocumentsMatterNotTheirHistory(t *testing.T) {
	for name, make := range variants() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				r := rng(t)
				x, o := make(), oracle{}
				history(r, r.IntN(500), 1+r.IntN(150), func(put *Doc[string], remove Key) {
					if put != nil {
						x.Put(*put)
						o[put.Key] = *put
					} else {
						x.Remove(remove)
						delete(o, remove)
					}
				})
				y := make()
				docs := slices.SortedFunc(func(yield func(Doc[string]) bool) {
					for _, d := range o {
						if !yield(d) {
							return
						}
					}
				}, func(a, b Doc[string]) int { return bytes.Compare(a.Key[:], b.Key[:]) })
				y.Put(docs...)
				for range 10 {
					q := testQuery(r)
					if got, want := x.Search(q), y.Search(q); !reflect.DeepEqual(got, want) {
						t.Fatalf("%+v:\ngot  %+v\nwant %+v", q, got, want)
					}
				}
			})
		})
	}
}
