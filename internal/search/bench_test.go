package search

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

const benchDim = 256

// corpus is made of clusters, as agents are: those of one kind use the same words, and
// their vectors lie together, though not very near. As with vectors of real texts all
// have something in common, and more energy is in the leading dimensions.
type corpus struct {
	n       int
	rng     *rand.Rand
	energy  [benchDim]float64
	common  []float64
	centres [][]float64
	vocab   *rand.Zipf
}

func newCorpus(n int) *corpus {
	c := &corpus{n: n, rng: rand.New(rand.NewPCG(1, 2))}
	for i := range c.energy {
		c.energy[i] = 1 / math.Sqrt(1+float64(i)/16)
	}
	c.common = c.gauss()
	for range max(1, n/200) {
		c.centres = append(c.centres, c.gauss())
	}
	c.vocab = rand.NewZipf(c.rng, 1.1, 20, 300_000)
	return c
}

func (c *corpus) gauss() []float64 {
	v := make([]float64, benchDim)
	sum := 0.0
	for i := range v {
		v[i] = c.rng.NormFloat64() * c.energy[i]
		sum += v[i] * v[i]
	}
	for i := range v {
		v[i] /= math.Sqrt(sum)
	}
	return v
}

// near returns a unit vector around that of a cluster.
func (c *corpus) near(cluster int) []float32 {
	noise, sum := c.gauss(), 0.0
	for i, x := range c.centres[cluster] {
		noise[i] = noise[i]*1.2 + x + c.common[i]*0.6
		sum += noise[i] * noise[i]
	}
	v := make([]float32, benchDim)
	for i := range v {
		v[i] = float32(noise[i] / math.Sqrt(sum))
	}
	return v
}

func quantise(v []float32) (float32, []int8) {
	most := float32(0)
	for _, x := range v {
		most = max(most, float32(math.Abs(float64(x))))
	}
	q := make([]int8, len(v))
	for i, x := range v {
		q[i] = int8(math.Round(float64(x / most * 127)))
	}
	return most / 127, q
}

func (c *corpus) word(cluster int) string {
	if c.rng.IntN(3) == 0 {
		return "topic" + strconv.Itoa(cluster*7+c.rng.IntN(20))
	}
	return "w" + strconv.FormatUint(c.vocab.Uint64(), 36)
}

func benchKey(i int) Key {
	var k Key
	binary.BigEndian.PutUint64(k[:], rand.New(rand.NewPCG(uint64(i), 7)).Uint64())
	binary.BigEndian.PutUint64(k[8:], uint64(i))
	return k
}

func (c *corpus) doc(i int) (Doc[int], []float32) {
	cluster := c.rng.IntN(len(c.centres))
	d := document{weights: map[string]int{}}
	for j := range 35 {
		term, weight := c.word(cluster), 1
		if j < 3 {
			weight = nameWeight
		}
		d.weights[term] += weight
		d.length++
	}
	v := c.near(cluster)
	scale, q := quantise(v)
	return Doc[int]{Key: benchKey(i), Public: true, Name: "agent " + strconv.Itoa(i), Scale: scale, Vector: q, Words: d.words(), Order: int64(i), Value: i}, v
}

func (c *corpus) query() Query {
	cluster := c.rng.IntN(len(c.centres))
	words := []string{}
	for range 10 {
		words = append(words, c.word(cluster))
	}
	return Query{Vector: c.near(cluster), Words: words, Name: "agent 17", Nearest: 100, Matching: 100}
}

func sizes() []int { return []int{10_000, 100_000, 1_000_000} }

func label(n int) string { return fmt.Sprintf("%dk", n/1000) }

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSearch prints, for clustered documents: time of a whole search (p50, p99),
// the recall of the ten nearest against float32 vectors that were not quantised, the
// memory that the index takes, and how long it takes to fill.
func BenchmarkSearch(b *testing.B) {
	for _, n := range sizes() {
		b.Run(label(n), func(b *testing.B) {
			c := newCorpus(n)
			docs := make([]Doc[int], n)
			floats := make([][]float32, n)
			for i := range docs {
				docs[i], floats[i] = c.doc(i)
			}
			before := heap()
			start := time.Now()
			x := New[int](benchDim)
			x.Put(docs...)
			fill := time.Since(start)
			memory := heap() - before
			queries := make([]Query, 64)
			for i := range queries {
				queries[i] = c.query()
			}
			recall := 0.0
			for _, q := range queries[:20] {
				recall += recallAt10(x.Search(q), floats, q.Vector)
			}
			floats = nil
			var times []time.Duration
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				x.Search(queries[i%len(queries)])
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(recall/20, "recall@10")
			b.ReportMetric(float64(memory)/float64(n), "B/doc")
			b.ReportMetric(fill.Seconds(), "fill-s")
			runtime.KeepAlive(docs)
		})
	}
}

func recallAt10(hits []Hit[int], floats [][]float32, query []float32) float64 {
	cosines := make([]float64, len(floats))
	order := make([]int, len(floats))
	for i, v := range floats {
		order[i] = i
		for j, x := range v {
			cosines[i] += float64(x) * float64(query[j])
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		if cosines[a] > cosines[b] {
			return -1
		}
		return 1
	})
	found := 0
	for _, hit := range hits[:10] {
		if slices.Contains(order[:10], hit.Value) {
			found++
		}
	}
	return float64(found) / 10
}

// BenchmarkCompare compares one query with 100,000 vectors on one core, in the ways
// that were tried: float64 of int8; int8 times int16; the first quarter of the
// dimensions and, if the rest could still lift it to the floor, the others; and
// the approximation that the exact search is built on.
func BenchmarkCompare(b *testing.B) {
	const n = 100_000
	c := newCorpus(n)
	numbers := make([]int8, n*benchDim)
	codes, signs := make([]uint64, n*benchDim/8), make([]uint64, n*benchDim/64)
	sums, scratch := make([]uint16, n*benchDim/64), make([]int32, benchDim)
	shapes, tails := make([]shape, n), make([]float64, n)
	for i := range n {
		scale, v := quantise(c.near(c.rng.IntN(len(c.centres))))
		copy(numbers[i*benchDim:], v)
		shapes[i] = encode(codes[i*benchDim/8:(i+1)*benchDim/8], sums[i*benchDim/64:(i+1)*benchDim/64], v, scale)
		sign(signs[i*benchDim/64:(i+1)*benchDim/64], v, scratch)
		for _, x := range v[benchDim/4:] {
			tails[i] += float64(x) * float64(x)
		}
		tails[i] = math.Sqrt(tails[i]) * float64(scale)
	}
	query := c.query().Vector
	p := newProbe(query, benchDim)
	small := make([]int32, benchDim)
	for i, x := range query {
		small[i] = int32(x * math.MaxInt16)
	}
	const floor = 0.6 // about where the hundredth of this corpus is
	above := 0
	run := func(name string, compare func(i int) bool) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for i := range n {
					if compare(i) {
						above++
					}
				}
			}
		})
	}
	run("float64", func(i int) bool {
		return p.cosine(codes[i*benchDim/8:(i+1)*benchDim/8], shapes[i].scale) >= floor
	})
	run("int8", func(i int) bool {
		return float32(straight(numbers[i*benchDim:(i+1)*benchDim], small))*shapes[i].scale >= floor*math.MaxInt16
	})
	queryTail := norm2(p.exact[benchDim/4:])
	run("int8-in-two-steps", func(i int) bool {
		v := numbers[i*benchDim : (i+1)*benchDim]
		head := straight(v[:benchDim/4], small)
		if float64(head)*float64(shapes[i].scale)/math.MaxInt16+tails[i]*queryTail < floor {
			return false
		}
		return float32(head+straight(v[benchDim/4:], small[benchDim/4:]))*shapes[i].scale >= floor*math.MaxInt16
	})
	run("lanes", func(i int) bool {
		return !p.below(floor, codes[i*benchDim/8:(i+1)*benchDim/8], sums[i*benchDim/64:(i+1)*benchDim/64], &shapes[i])
	})
	run("signs", func(i int) bool {
		return farness(signs[i*benchDim/64:(i+1)*benchDim/64], p.signs) < 100
	})
	runtime.KeepAlive(above)
}

func straight(v []int8, q []int32) int32 {
	var a, b, c, d int32
	for len(v) >= 4 && len(q) >= 4 {
		a += int32(v[0]) * q[0]
		b += int32(v[1]) * q[1]
		c += int32(v[2]) * q[2]
		d += int32(v[3]) * q[3]
		v, q = v[4:], q[4:]
	}
	return a + b + c + d
}

// BenchmarkPut replaces single documents of 100,000, compaction included.
func BenchmarkPut(b *testing.B) {
	const n = 100_000
	c := newCorpus(n)
	x := New[int](benchDim)
	docs := make([]Doc[int], n)
	for i := range docs {
		docs[i], _ = c.doc(i)
	}
	x.Put(docs...)
	for i := 0; b.Loop(); i++ {
		d := docs[i*7919%n]
		d.Key = docs[i%n].Key
		x.Put(d)
	}
}

// BenchmarkCommonWords searches 1,000,000 documents for words that a third of them
// has, as many as count.
func BenchmarkCommonWords(b *testing.B) {
	x := New[int](0)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1_000_000 {
		d := document{weights: map[string]int{}}
		for j := range 2 * queryTerms {
			if r.IntN(3) == 0 {
				d.weights["w"+strconv.Itoa(j)] = 1
			}
		}
		d.length = len(d.weights)
		x.Put(Doc[int]{Key: benchKey(i), Public: true, Words: d.words()})
	}
	q := Query{Matching: 100}
	for j := range 2 * queryTerms {
		q.Words = append(q.Words, "w"+strconv.Itoa(j))
	}
	for b.Loop() {
		x.Search(q)
	}
}

func BenchmarkAnalyzeQuery(b *testing.B) {
	for b.Loop() {
		AnalyzeQuery("Could you find me the average daily petrol prices of all the state capitals in Australia?")
	}
}
