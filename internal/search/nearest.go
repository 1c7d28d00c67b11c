package search

import "slices"

const (
	// exactNumbers is how many numbers of vectors of one shard are compared one by
	// one: those of 100,000 documents of 256 dimensions. In a larger shard signatures
	// choose which vectors are compared.
	exactNumbers = 100_000 * 256
	// This many, and this share, whichever is more. See BenchmarkSearch for the recall.
	leastCandidates = 4096
	candidateShare  = 100 // one of 100
)

// nearest is a search by vector.
type nearest struct {
	probe *probe
	best  *best
}

// scan considers the first slots of b, the first of which is number first of its shard.
func (n nearest) scan(b *block, slots int, epoch uint64, view int, first uint32) {
	w := len(n.probe.exact) / 8
	l := &n.probe.coarse
	blocks := w / blockWords
	for i := range slots {
		s := &b.shapes[i]
		near := l.value(b.codes[i*w:(i+1)*w], b.sums[i*blocks:(i+1)*blocks])
		if float64(s.scale)*near+float64(s.length)*l.error >= n.best.floor() {
			n.consider(b, i, epoch, view, first+uint32(i))
		}
	}
}

// consider offers the document in slot i of b if it is alive and may be among the best.
func (n nearest) consider(b *block, i int, epoch uint64, view int, slot uint32) {
	s := &b.shapes[i]
	if s.scale == 0 {
		return
	}
	w := len(n.probe.exact) / 8
	codes, sums := b.codes[i*w:(i+1)*w], b.sums[i*w/blockWords:(i+1)*w/blockWords]
	if n.probe.below(n.best.floor(), codes, sums, s) || !alive(b, i, epoch) {
		return
	}
	n.best.offer(found{score: float64(n.probe.cosine(codes, s.scale)), identity: b.ids[i], view: view, slot: slot})
}

// candidate is a slot, and how far its signature is from the query.
type candidate struct {
	slot uint32
	far  int32
}

// sieve collects the documents of a view whose signatures are the nearest to the
// query, or those of a part of the view.
type sieve struct {
	query  []signWord
	want   int
	kept   []candidate
	counts []int // of kept, by farness
	within int   // how many of kept are at most as far as most
	most   int32 // who is farther is not among the nearest want
}

func newSieve(query []signWord, want int) *sieve {
	most := mostFar * 64 * len(query)
	return &sieve{query: query, want: want, counts: make([]int, most+1), most: int32(most)}
}

// take looks at the first slots of b, the first of which is number first of its shard.
func (s *sieve) take(b *block, slots int, epoch uint64, first uint32) {
	query, most := s.query, s.most
	signs := b.signs[:slots*len(query)]
	for i := range slots {
		far := farness(signs[:len(query)], query)
		signs = signs[len(query):]
		if far <= most && b.shapes[i].scale != 0 && alive(b, i, epoch) {
			most = s.keep(candidate{slot: first + uint32(i), far: far})
		}
	}
}

// keep adds a candidate, and returns who is too far from now on.
func (s *sieve) keep(c candidate) int32 {
	s.kept = append(s.kept, c)
	s.counts[c.far]++
	s.within++
	for s.within-s.counts[s.most] >= s.want {
		s.within -= s.counts[s.most]
		s.most--
	}
	return s.most
}

// sift returns the nearest documents of all parts together: want or, since all that
// are as far as the last one are in, more.
func sift(parts []*sieve) []candidate {
	counts := slices.Clone(parts[0].counts)
	for _, p := range parts[1:] {
		for i, n := range p.counts {
			counts[i] += n
		}
	}
	most, n := 0, counts[0]
	for most+1 < len(counts) && n < parts[0].want {
		most++
		n += counts[most]
	}
	var kept []candidate
	for _, p := range parts {
		for _, c := range p.kept {
			if int(c.far) <= most {
				kept = append(kept, c)
			}
		}
	}
	return kept
}
