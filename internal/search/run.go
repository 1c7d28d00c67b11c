package search

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// pagesPerPart is how many pages are worth a goroutine.
const pagesPerPart = 2

// Search returns the documents that the viewer sees and that are among the nearest, or
// match best by words, or have the name, in the order of their cosine, then of their
// BM25, then as Doc.Order says. It answers after work that is at most linear in the
// number of documents, on as many cores as there are.
func (x *Index[V]) Search(q Query) []Hit[V] {
	s := &search[V]{query: q, limits: x.limits, probe: newProbe(q.Vector, x.dim)}
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

	nearest  nearest
	matching matching
	next     atomic.Int64 // the page that nobody has taken yet, of all views
}

func (s *search[V]) run() []Hit[V] {
	s.nearest = nearest{probe: s.probe, best: newBest(s.query.Nearest)}
	most := s.query.Matching
	if !s.words.complete {
		most *= spare
	}
	s.matching = matching{lexical: s.words, best: newBest(most)}
	pages := 0
	for _, v := range s.views {
		pages += len(v.pages)
	}
	sieves := make([][]*sieve, max(1, min(runtime.GOMAXPROCS(0), pages/pagesPerPart)))
	inParallel(len(sieves), func(n int) { sieves[n] = s.scan() })
	for n := range s.views {
		s.compareCandidates(sieves, n)
	}
	found := append(s.nearest.best.items, s.bestMatching()...)
	for n := range s.views {
		found = s.addNamed(found, n)
	}
	return s.hits(found)
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

// scan searches pages that nobody else has taken until there are none. It returns its
// sieves by view, nil where every vector was compared.
func (s *search[V]) scan() []*sieve {
	sieves := make([]*sieve, len(s.views))
	lists := postings{matching: s.matching}
	vectors := s.probe != nil && s.query.Nearest > 0
	words := len(s.words.terms) > 0 && s.query.Matching > 0
	for taken := int(s.next.Add(1)) - 1; ; taken = int(s.next.Add(1)) - 1 {
		view, n := 0, taken
		for view < len(s.views) && n >= len(s.views[view].pages) {
			n -= len(s.views[view].pages)
			view++
		}
		if view == len(s.views) {
			return sieves
		}
		v := &s.views[view]
		b, slots, first := &v.pages[n].block, v.slotsOf(n), uint32(n<<pageBits)
		switch {
		case !vectors:
		case v.vectors*len(s.probe.exact) <= s.limits.exactNumbers:
			s.nearest.scan(b, slots, v.epoch, view, first)
		default:
			if sieves[view] == nil {
				sieves[view] = newSieve(s.probe.signs, s.candidatesOf(v))
			}
			sieves[view].take(b, slots, v.epoch, first)
		}
		switch {
		case !words:
		case v.public:
			lists.read(b, slots, v.epoch, view, first)
		default:
			s.matching.scan(b, slots, v.epoch, view, first)
		}
	}
}

// candidatesOf is how many vectors of a view are compared.
func (s *search[V]) candidatesOf(v *view[V]) int {
	return max(s.limits.leastCandidates, v.vectors/candidateShare, spare*s.query.Nearest)
}

// compareCandidates compares the vectors of a view that its sieves let pass.
func (s *search[V]) compareCandidates(of [][]*sieve, view int) {
	var sieves []*sieve
	for _, views := range of {
		if views[view] != nil {
			sieves = append(sieves, views[view])
		}
	}
	if len(sieves) == 0 {
		return
	}
	v := &s.views[view]
	kept := s.candidates(sieves, v)
	inParallel(len(of), func(n int) {
		for _, c := range kept[len(kept)*n/len(of) : len(kept)*(n+1)/len(of)] {
			s.nearest.consider(&v.pages[c.slot>>pageBits].block, int(c.slot%pageSlots), v.epoch, view, c.slot)
		}
	})
}

// candidates are the documents that the sieves of a view let pass: all that share the
// last place, unless those are very many.
func (s *search[V]) candidates(sieves []*sieve, v *view[V]) []candidate {
	kept := sift(sieves)
	if most := spare * s.candidatesOf(v); len(kept) > most { // copies of one vector, say
		return s.newestOf(kept, v, most)
	}
	return kept
}

// newestOf keeps the first most candidates in the order of every cut-off.
func (s *search[V]) newestOf(kept []candidate, v *view[V], most int) []candidate {
	b := newBest(most)
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
func (s *search[V]) bestMatching() []found {
	if s.words.complete {
		return s.matching.best.items
	}
	b := newBest(s.query.Matching)
	for _, f := range s.matching.best.items {
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
