package search

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
)

// pagesPerPart is how many pages are worth a goroutine.
const pagesPerPart = 4

// Search returns the documents that the viewer sees and that are among the nearest, or
// match best by words, or have the name, in the order of their cosine, then of their
// BM25, then as Doc.Order says. It answers after work that is at most linear in the
// number of documents, on as many cores as there are.
func (x *Index[V]) Search(q Query) []Hit[V] {
	s := search[V]{query: q, limits: x.limits, probe: newProbe(q.Vector, x.dim)}
	x.mu.RLock()
	s.views = x.views(q.Viewer)
	s.words = x.lexical(q)
	s.named = []uint32{x.public.named(q.Name)}
	if own := x.private[q.Viewer]; own != nil {
		s.named = append(s.named, own.named(q.Name))
	}
	x.mu.RUnlock()
	total := 0
	for _, v := range s.views {
		total += v.used
	}
	s.query.Nearest = max(0, min(q.Nearest, total))
	s.query.Matching = max(0, min(q.Matching, total))
	return s.run()
}

// search is one search, with what it saw when it started.
type search[V any] struct {
	query  Query
	limits limits
	probe  *probe   // nil: without vectors
	words  *lexical // without terms: without words
	views  []view[V]
	named  []uint32 // by view, see shard.named
}

// part is what one goroutine finds in its share of the pages.
type part struct {
	nearest  nearest
	matching matching
	sieves   []*sieve // by view; nil where every vector is compared
}

func (s *search[V]) run() []Hit[V] {
	pages := 0
	for _, v := range s.views {
		pages += len(v.pages)
	}
	parts := make([]part, max(1, min(runtime.GOMAXPROCS(0), pages/pagesPerPart)))
	inParallel(len(parts), func(n int) { s.scan(&parts[n], n, len(parts)) })
	s.compareCandidates(parts)

	var slots []found
	var nearest, matching []best
	for i := range parts {
		nearest = append(nearest, parts[i].nearest.best)
		matching = append(matching, parts[i].matching.best)
	}
	slots = append(slots, merge(s.query.Nearest, nearest)...)
	slots = append(slots, s.bestMatching(matching)...)
	for n := range s.views {
		slots = s.addNamed(slots, n)
	}
	return s.hits(slots)
}

// inParallel calls do with 0 to n-1, and returns when all have returned.
func inParallel(n int, do func(int)) {
	var wg sync.WaitGroup
	for i := 1; i < n; i++ {
		wg.Go(func() { do(i) })
	}
	do(0)
	wg.Wait()
}

// scan searches share n of parts of the pages of every view.
func (s *search[V]) scan(p *part, n, parts int) {
	p.nearest = nearest{probe: s.probe, best: best{most: s.query.Nearest}}
	p.matching = matching{lexical: s.words, best: best{most: s.query.Matching}}
	if !s.words.complete {
		p.matching.best.most *= spare
	}
	p.sieves = make([]*sieve, len(s.views))
	for i := range s.views {
		v := &s.views[i]
		from, to := len(v.pages)*n/parts, len(v.pages)*(n+1)/parts
		if s.probe != nil && s.query.Nearest > 0 {
			s.scanVectors(p, i, from, to)
		}
		if len(s.words.terms) > 0 && s.query.Matching > 0 {
			s.scanWords(&p.matching, i, from, to)
		}
	}
}

func (s *search[V]) scanVectors(p *part, view, from, to int) {
	v := &s.views[view]
	if v.vectors*len(s.probe.exact) > s.limits.exactNumbers {
		want := max(s.limits.leastCandidates, v.vectors/candidateShare, spare*s.query.Nearest)
		p.sieves[view] = newSieve(s.probe.signs, want)
	}
	for n := from; n < to; n++ {
		first := uint32(n << pageBits)
		if sieve := p.sieves[view]; sieve != nil {
			sieve.take(&v.pages[n].block, v.slotsOf(n), v.epoch, first)
			continue
		}
		p.nearest.scan(&v.pages[n].block, v.slotsOf(n), v.epoch, view, first)
	}
}

func (s *search[V]) scanWords(m *matching, view, from, to int) {
	v := &s.views[view]
	if v.public {
		m.start(uint32(from << pageBits))
		for n := from; n < to; n++ {
			m.read(&v.pages[n].block, v.slotsOf(n), v.epoch, view, uint32(n<<pageBits))
		}
		return
	}
	for n := from; n < to; n++ {
		b := &v.pages[n].block
		for i := range v.slotsOf(n) {
			_, terms := cutName(b.texts[i])
			score := s.words.score(terms, b.lengths[i])
			if score > 0 && score >= m.best.floor() && v.live(b, i) {
				m.best.offer(found{score: score, identity: b.ids[i], view: view, slot: uint32(n<<pageBits + i)})
			}
		}
	}
}

// compareCandidates compares the vectors that the sieves let pass.
func (s *search[V]) compareCandidates(parts []part) {
	for view := range s.views {
		if parts[0].sieves[view] == nil {
			continue
		}
		v := &s.views[view]
		kept := s.candidates(parts, view)
		inParallel(len(parts), func(n int) {
			for _, c := range kept[len(kept)*n/len(parts) : len(kept)*(n+1)/len(parts)] {
				parts[n].nearest.consider(&v.pages[c.slot>>pageBits].block, int(c.slot%pageSlots), v.epoch, view, c.slot)
			}
		})
	}
}

// candidates are the documents of a view that the sieves let pass: all that share the
// last place, unless those are very many.
func (s *search[V]) candidates(parts []part, view int) []candidate {
	sieves := make([]*sieve, len(parts))
	for i := range parts {
		sieves[i] = parts[i].sieves[view]
	}
	kept := sift(sieves)
	if most := spare * sieves[0].want; len(kept) > most { // copies of one vector, say
		return s.newestOf(kept, &s.views[view], most)
	}
	return kept
}

// newestOf keeps the first most candidates in the order of every cut-off.
func (s *search[V]) newestOf(kept []candidate, v *view[V], most int) []candidate {
	b := best{most: most}
	for _, c := range kept {
		b.offer(found{score: -float64(c.far), identity: v.pages[c.slot>>pageBits].ids[c.slot%pageSlots], slot: c.slot})
	}
	kept = kept[:0]
	for _, f := range b.items {
		kept = append(kept, candidate{slot: f.slot})
	}
	return kept
}

// bestMatching returns the best by words. If some terms chose no candidates, the full
// scores of what the others found decide.
func (s *search[V]) bestMatching(parts []best) []found {
	if s.words.complete {
		return merge(s.query.Matching, parts)
	}
	b := best{most: s.query.Matching}
	for _, f := range merge(spare*s.query.Matching, parts) {
		p, i := s.at(f)
		_, terms := cutName(p.texts[i])
		f.score = s.words.score(terms, p.lengths[i])
		b.offer(f)
	}
	return b.items
}

// addNamed appends the documents of a view that have the name of the query.
func (s *search[V]) addNamed(slots []found, view int) []found {
	v := &s.views[view]
	for link := s.named[view]; link != 0; {
		f := found{view: view, slot: link - 1}
		p, i := s.at(f)
		if name, _ := cutName(p.texts[i]); name == s.query.Name && v.live(&p.block, i) {
			slots = append(slots, f)
		}
		link = p.before[i]
	}
	return slots
}

func (s *search[V]) at(f found) (*page[V], int) {
	return s.views[f.view].pages[f.slot>>pageBits], int(f.slot % pageSlots)
}

// hits gives every document that was found both scores, and puts them in order.
func (s *search[V]) hits(slots []found) []Hit[V] {
	slices.SortFunc(slots, func(a, b found) int { return cmp.Or(cmp.Compare(a.view, b.view), cmp.Compare(a.slot, b.slot)) })
	slots = slices.CompactFunc(slots, func(a, b found) bool { return a.view == b.view && a.slot == b.slot })
	hits := make([]Hit[V], 0, len(slots))
	for _, f := range slots {
		p, i := s.at(f)
		name, terms := cutName(p.texts[i])
		hit := Hit[V]{Key: p.ids[i].key, Value: p.values[i], Order: p.ids[i].order, NameEqual: name != "" && name == s.query.Name}
		if scale := p.shapes[i].scale; s.probe != nil && scale != 0 {
			w := len(s.probe.exact) / 8
			hit.HasVector, hit.Cosine = true, s.probe.cosine(p.codes[i*w:(i+1)*w], scale)
		}
		hit.Lexical = s.words.score(terms, p.lengths[i])
		hits = append(hits, hit)
	}
	slices.SortFunc(hits, func(a, b Hit[V]) int { return compareHits(&a, &b) })
	return hits
}
