package search

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// The constants of BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance
// Framework: BM25 and Beyond" (2009), within the ranges that they recommend. That a
// term of the name counts several times before the saturation is their BM25F.
const (
	saturation    = 1.2  // k1
	normalisation = 0.75 // b
)

const (
	// queryTerms bounds the terms of a query: the rarest that the public documents
	// have, and as many that only private documents may have.
	queryTerms = 64
	// maxPostings bounds the postings that are read to find candidates, rarest terms
	// first. Terms beyond it count in the scores of what the others found.
	maxPostings = 1 << 21
	// spare is how many times more candidates are taken when not all terms chose them.
	spare = 4
)

// lexical is a query by words, with the statistics of the public documents: private
// ones are in no count, so that nobody learns anything of them from a score.
type lexical struct {
	terms    []queryTerm // the rarest first: the order of every sum
	byID     []int       // indexes of terms that have an id, by id
	base     float64     // k1 * (1-b)
	slope    float64     // k1 * b / average length
	complete bool        // all terms choose candidates
}

type queryTerm struct {
	text    string
	id      uint32
	known   bool // some document has it: id is valid
	df      uint32
	gain    float64  // inverse document frequency, times the weight in the query
	list    []uint32 // postings of the public documents
	chooses bool     // list is read to find candidates
}

// lexical prepares the terms of a query.
func (x *Index[V]) lexical(q Query) *lexical {
	documents, length := len(x.public.slots), x.public.length
	l := &lexical{base: saturation, complete: true}
	if length > 0 {
		l.base = saturation * (1 - normalisation)
		l.slope = saturation * normalisation * float64(documents) / float64(length)
	}
	for i, text := range q.Words[:min(len(q.Words), maxTerms)] {
		weight := 1.0
		if q.Weights != nil {
			weight = 0
			if i < len(q.Weights) && q.Weights[i] <= math.MaxFloat32 { // not NaN
				weight = q.Weights[i]
			}
		}
		if weight <= 0 {
			continue
		}
		term := queryTerm{text: text}
		if term.id, term.known = x.terms.ids[text]; term.known {
			term.df = x.terms.infos[term.id].public
			if int(term.id) < len(x.public.lists) {
				term.list = x.public.lists[term.id]
			}
		}
		// An unknown term is as rare as one that a single document has.
		n, df := float64(max(documents, 1)), float64(max(term.df, 1))
		term.gain = weight * math.Log(1+(n-df+0.5)/(df+0.5))
		l.terms = append(l.terms, term)
	}
	l.choose(x.limits.maxPostings)
	for i, term := range l.terms {
		if term.known {
			l.byID = append(l.byID, i)
		}
	}
	slices.SortFunc(l.byID, func(a, b int) int { return cmp.Compare(l.terms[a].id, l.terms[b].id) })
	return l
}

// choose sorts the terms, drops repetitions and what is too much, and says which terms
// choose candidates.
func (l *lexical) choose(maxPostings int) {
	slices.SortFunc(l.terms, func(a, b queryTerm) int {
		return cmp.Or(cmp.Compare(a.df, b.df), cmp.Compare(a.text, b.text), cmp.Compare(b.gain, a.gain))
	})
	l.terms = slices.CompactFunc(l.terms, func(a, b queryTerm) bool { return a.text == b.text })
	foreign := 0
	for foreign < len(l.terms) && l.terms[foreign].df == 0 {
		foreign++
	}
	last := min(len(l.terms), foreign+queryTerms)
	l.terms = slices.Delete(l.terms[:last], min(foreign, queryTerms), foreign)
	postings := 0
	for i := range l.terms {
		term := &l.terms[i]
		postings += int(term.df)
		term.chooses = postings <= maxPostings || postings == int(term.df)
		l.complete = l.complete && term.chooses
	}
}

// norm is the part of the denominator that depends on the length of the document. The
// conversions here and below forbid the compiler to fuse operations, which it might do
// in one place and not in the other: read and score have to agree to the last bit.
func (l *lexical) norm(length uint16) float64 {
	return l.base + float64(l.slope*float64(length))
}

// part is what a term adds to the score of a document.
func (t *queryTerm) part(weight uint32, norm float64) float64 {
	w := float64(weight)
	return float64(t.gain * (w * (saturation + 1)) / (w + norm))
}

// score is that of a document with these packed terms.
func (l *lexical) score(terms string, length uint16) float64 {
	var weights [2 * queryTerms]uint8
	some := false
	for id, weight, next := uint32(0), uint32(0), 0; terms != "" && next < len(l.byID); {
		id, weight, terms = nextTerm(id, terms)
		for next < len(l.byID) && l.terms[l.byID[next]].id < id {
			next++
		}
		if next < len(l.byID) && l.terms[l.byID[next]].id == id {
			weights[l.byID[next]] = uint8(weight)
			some = true
		}
	}
	if !some {
		return 0
	}
	score, norm := 0.0, l.norm(length)
	for i := range l.terms {
		if weight := weights[i]; weight > 0 {
			score += l.terms[i].part(uint32(weight), norm)
		}
	}
	return score
}

// matching is a search by words.
type matching struct {
	lexical *lexical
	best    *best
}

// scan scores the first slots of b, the first of which is number first of its shard,
// one by one.
func (m matching) scan(b *block, slots int, epoch uint64, view int, first uint32) {
	for i := range slots {
		_, terms := cutName(b.texts[i])
		score := m.lexical.score(terms, b.lengths[i])
		if score > 0 && score >= m.best.floor() && alive(b, i, epoch) {
			m.best.offer(found{score: score, identity: b.ids[i], view: view, slot: first + uint32(i)})
		}
	}
}

// postings reads the lists of the terms page by page.
type postings struct {
	matching
	sums []float64  // by slot of a page
	rest [][]uint32 // by term: what is left of the list
}

// read scores the documents of a page, which comes after those that were read before.
func (p *postings) read(b *block, slots int, epoch uint64, view int, first uint32) {
	if p.sums == nil {
		p.sums = make([]float64, pageSlots)
		for _, term := range p.lexical.terms {
			p.rest = append(p.rest, term.list)
		}
	}
	some := false
	for i := range p.lexical.terms {
		if term := &p.lexical.terms[i]; term.chooses {
			list := from(p.rest[i], first)
			n := p.add(b, term, list, first, first+uint32(slots))
			p.rest[i] = list[n:]
			some = some || n > 0
		}
	}
	if !some {
		return
	}
	for i, sum := range p.sums[:slots] {
		if sum > 0 && sum >= p.best.floor() && alive(b, i, epoch) {
			p.best.offer(found{score: sum, identity: b.ids[i], view: view, slot: first + uint32(i)})
		}
	}
	clear(p.sums)
}

// from returns the part of list that begins with slot first.
func from(list []uint32, first uint32) []uint32 {
	if len(list) == 0 || list[0]>>weightBits >= first {
		return list
	}
	return list[sort.Search(len(list), func(i int) bool { return list[i]>>weightBits >= first }):]
}

// add adds what term contributes to the documents in slots first to end, and returns
// how many postings those are.
func (p *postings) add(b *block, term *queryTerm, list []uint32, first, end uint32) int {
	for n, posting := range list {
		slot := posting >> weightBits
		if slot >= end {
			return n
		}
		at := (slot - first) % pageSlots
		p.sums[at] += term.part(posting%(1<<weightBits), p.lexical.norm(b.lengths[at]))
	}
	return len(list)
}
