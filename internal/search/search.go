// Package search is the memory of one process for discovery (contract §4.4): it finds
// documents by meaning (the cosine of vectors) and by words (BM25), among those that
// the viewer may see, and gives every document it finds both scores. What it returns
// depends only on the visible documents and the query: not on the order in which
// they came, on what was there before, or on the private documents of others, which
// are in no count, average or cut-off of the search.
//
// What is not here: how texts become vectors, how the scores are weighed against each
// other, where documents are stored, and how changes of other nodes arrive.
package search

import (
	"cmp"
	"slices"
	"sync"
)

// Key identifies a document, and who owns it: a UUID.
type Key [16]byte

// Doc is what is indexed of one document. The index keeps no reference to Vector.
type Doc[V any] struct {
	Key    Key
	Owner  Key    // sees it if it is not Public
	Public bool   // everybody sees it
	Name   string // found as a whole by Query.Name; folded by the caller; "": none

	// The quantised vector of length about 1: the cosine to a query is Scale times
	// the dot product. A Vector of another dimension than the index, of zeros only,
	// or with a Scale that is no positive normal number counts as absent.
	Scale  float32
	Vector []int8

	Words Words // see AnalyzeDocument
	Order int64 // of two that score the same the greater comes first, then the lower Key
	Value V     // the caller's, returned with a hit
}

// Query is what is searched for. Parts that are empty find nothing.
type Query struct {
	Viewer   Key
	Vector   []float32 // of length 1 and the dimension of the index, or nil
	Words    []string  // terms, see AnalyzeQuery; 64 rare ones count if there are more
	Weights  []float64 // of Words, one each; nil: 1; a term counts if its weight is above 0 and finite
	Name     string    // finds every document of this name, however many
	Nearest  int       // how many of the best by cosine
	Matching int       // how many of the best by words
}

// Hit is a document that was found. It has all its scores, whatever it was found by.
type Hit[V any] struct {
	Key       Key
	Value     V
	Order     int64
	Cosine    float32 // -1 to 1 up to rounding, 0 without HasVector
	HasVector bool    // the document and the query have a vector
	Lexical   float64 // BM25, 0 or more, without an upper bound
	NameEqual bool
}

// batch is how many documents are changed before searches that wait may start.
const batch = 32

// Index finds documents. Its methods may be called in parallel: a search sees the
// documents as they are when it starts, and waits for no change longer than one
// batch takes.
type Index[V any] struct {
	dim    int
	limits limits

	// writing is held by who changes documents. mu guards all below, and is held for
	// a short time only: what a search reads after that is never changed, see page.
	// Who holds writing may read without mu.
	writing sync.Mutex
	mu      sync.RWMutex
	epoch   uint64 // counts batches of changes
	terms   dictionary
	public  *shard[V]
	private map[Key]*shard[V] // by owner; none is empty
	owners  map[Key]Key       // of the private documents

	stale   []*shard[V] // have many dead slots; guarded by writing
	scratch []uint64    // guarded by writing
	rotated []int32     // guarded by writing
}

// limits are the constants of the same names; tests lower them.
type limits struct{ exactNumbers, leastCandidates, maxPostings int }

// New returns an empty index of vectors of dim dimensions, 0 for none. The dimension
// is said here, not taken from the first document, because that may be one that
// nobody else may learn of.
func New[V any](dim int) *Index[V] {
	dim = max(dim, 0)
	return &Index[V]{
		dim:     dim,
		limits:  limits{exactNumbers: exactNumbers, leastCandidates: leastCandidates, maxPostings: maxPostings},
		terms:   dictionary{ids: map[string]uint32{}},
		public:  newShard[V](dim, firstSlots, true),
		private: map[Key]*shard[V]{},
		owners:  map[Key]Key{},
		rotated: make([]int32, signBits(dim)),
	}
}

// Put inserts documents, or replaces those of the same Key. It takes room for 2^26
// documents of one visibility at once, far more than memory has; beyond it drops them.
func (x *Index[V]) Put(docs ...Doc[V]) {
	x.writing.Lock()
	defer x.writing.Unlock()
	for some := range slices.Chunk(docs, batch) {
		x.change(func() {
			for i := range some {
				x.drop(some[i].Key)
				x.add(&some[i])
			}
		})
	}
}

// Remove removes documents. Unknown keys are ignored.
func (x *Index[V]) Remove(keys ...Key) {
	x.writing.Lock()
	defer x.writing.Unlock()
	for some := range slices.Chunk(keys, batch) {
		x.change(func() {
			for _, key := range some {
				x.drop(key)
			}
		})
	}
}

// change does one batch. Whoever started to search before keeps seeing what was.
func (x *Index[V]) change(do func()) {
	x.mu.Lock()
	x.epoch++
	do()
	x.mu.Unlock()
	for _, s := range x.stale {
		fresh := s.compacted()
		x.mu.Lock()
		*s = *fresh
		x.mu.Unlock()
	}
	x.stale = x.stale[:0]
}

// home returns the shard that has key, and its slot there; nil if there is none.
func (x *Index[V]) home(key Key) (*shard[V], uint32) {
	s := x.public
	if owner, ok := x.owners[key]; ok {
		s = x.private[owner]
	}
	if slot, ok := s.slots[key]; ok {
		return s, slot
	}
	return nil, 0
}

func (x *Index[V]) add(d *Doc[V]) {
	s := x.public
	if !d.Public {
		if s = x.private[d.Owner]; s == nil {
			s = newShard[V](x.dim, firstSlots, false)
			x.private[d.Owner] = s
		}
	}
	if s.used == maxSlots {
		return
	}
	x.scratch = x.scratch[:0]
	d.Words.each(func(term string, weight int) {
		x.scratch = append(x.scratch, uint64(x.terms.acquire(term, d.Public))<<8|uint64(weight))
	})
	slices.Sort(x.scratch)
	s.add(d, x.scratch, x.rotated)
	if !d.Public {
		x.owners[d.Key] = d.Owner
	}
}

func (x *Index[V]) drop(key Key) {
	s, slot := x.home(key)
	if s == nil {
		return
	}
	p, i := s.at(slot)
	_, words := cutName(p.texts[i])
	for id, rest := uint32(0), words; rest != ""; {
		id, _, rest = nextTerm(id, rest)
		x.terms.release(id, s.public)
	}
	s.kill(slot, x.epoch)
	if owner, ok := x.owners[key]; ok {
		delete(x.owners, key)
		if len(s.slots) == 0 {
			delete(x.private, owner)
			return
		}
	}
	if s.crowded() && !slices.Contains(x.stale, s) {
		x.stale = append(x.stale, s)
	}
}

// Get returns the value of a document, whoever may see it.
func (x *Index[V]) Get(key Key) (V, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if s, slot := x.home(key); s != nil {
		p, i := s.at(slot)
		return p.values[i], true
	}
	var none V
	return none, false
}

// Len is the number of documents, whoever may see them.
func (x *Index[V]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.public.slots) + len(x.owners)
}

// All calls yield for the documents that viewer sees, without scores and in no
// particular order, until it returns false.
func (x *Index[V]) All(viewer Key, yield func(Hit[V]) bool) {
	x.mu.RLock()
	views := x.views(viewer)
	x.mu.RUnlock()
	for _, v := range views {
		for n, p := range v.pages {
			for i := range v.slotsOf(n) {
				if !v.live(&p.block, i) {
					continue
				}
				if !yield(Hit[V]{Key: p.ids[i].key, Order: p.ids[i].order, Value: p.values[i]}) {
					return
				}
			}
		}
	}
}

// views are the documents that viewer sees, as they are now.
func (x *Index[V]) views(viewer Key) []view[V] {
	views := []view[V]{x.public.view(x.epoch)}
	if own := x.private[viewer]; own != nil {
		views = append(views, own.view(x.epoch))
	}
	return views
}

// compareHits puts the nearest first, and what has no vector last.
func compareHits[V any](a, b *Hit[V]) int {
	switch {
	case a.HasVector != b.HasVector:
		if a.HasVector {
			return -1
		}
		return 1
	case a.Cosine != b.Cosine:
		return cmp.Compare(b.Cosine, a.Cosine)
	case a.Lexical != b.Lexical:
		return cmp.Compare(b.Lexical, a.Lexical)
	}
	return compareNewest(a.Order, b.Order, &a.Key, &b.Key)
}
