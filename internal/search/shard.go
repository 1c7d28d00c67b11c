package search

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
)

const (
	pageBits   = 12
	pageSlots  = 1 << pageBits
	firstSlots = 4 // of the first page of a shard: most owners have few private documents

	// A posting is a slot and a weight in one number.
	weightBits = 6
	maxSlots   = 1 << (32 - weightBits)
)

// block is what a search reads of up to pageSlots documents. A slot is written once,
// before any search learns of it, and never again, except that its death is noted:
// so a search that knows how many slots there were when it began needs no lock.
type block struct {
	codes   []uint64 // the numbers of the vectors, see encode
	sums    []uint16
	signs   []uint64 // their signatures, see sign
	shapes  []shape
	lengths []uint16 // in terms
	texts   []string // name and terms, see appendText
	before  []uint32 // 1 + slot of an older document whose name has the same hash; 0: none
	ids     []identity
	died    []uint64 // the epoch in which it was replaced or removed, 0 if it is alive; atomic
}

type identity struct {
	order int64
	key   Key
}

type page[V any] struct {
	block
	values []V
}

func newPage[V any](dim, slots int) *page[V] {
	return &page[V]{
		block: block{
			codes:   make([]uint64, slots*codeWords(dim)),
			sums:    make([]uint16, slots*codeWords(dim)/blockWords),
			signs:   make([]uint64, slots*signBits(dim)/64),
			shapes:  make([]shape, slots),
			lengths: make([]uint16, slots),
			texts:   make([]string, slots),
			before:  make([]uint32, slots),
			ids:     make([]identity, slots),
			died:    make([]uint64, slots),
		},
		values: make([]V, slots),
	}
}

// copyFrom copies the first n slots of q into p.
func (p *page[V]) copyFrom(q *page[V], n int) {
	copy(p.codes, q.codes)
	copy(p.sums, q.sums)
	copy(p.signs, q.signs)
	copy(p.shapes, q.shapes)
	copy(p.lengths, q.lengths)
	copy(p.texts, q.texts)
	copy(p.before, q.before)
	copy(p.ids, q.ids)
	copy(p.values, q.values)
	for i := range n {
		p.died[i] = atomic.LoadUint64(&q.died[i])
	}
}

// shard has the documents that the same people see: the public ones, or the private
// ones of one owner. Only the public one has lists of postings; private documents
// are few, and each is compared with the query.
type shard[V any] struct {
	dim     int
	public  bool
	pages   []*page[V]
	used    int               // slots, dead ones included
	slots   map[Key]uint32    // of the living
	names   map[uint64]uint32 // hash of a name to the newest slot that has it, see block.before
	seed    maphash.Seed      // of names
	lists   [][]uint32        // postings by term in the order of the slots
	vectors int               // living documents that have one
	length  int64             // of the living documents together, in terms
}

func newShard[V any](dim, slots int, public bool) *shard[V] {
	return &shard[V]{
		dim:    dim,
		public: public,
		pages:  []*page[V]{newPage[V](dim, min(slots, pageSlots))},
		slots:  map[Key]uint32{},
		names:  map[uint64]uint32{},
		seed:   maphash.MakeSeed(),
	}
}

// at returns where a slot is.
func (s *shard[V]) at(slot uint32) (*page[V], int) {
	return s.pages[slot>>pageBits], int(slot % pageSlots)
}

// add appends a document. terms are id<<8|weight, sorted; rotated is scratch for sign.
func (s *shard[V]) add(d *Doc[V], terms []uint64, rotated []int32) {
	slot := uint32(s.used)
	p, i := s.grow()
	p.ids[i] = identity{key: d.Key, order: d.Order}
	p.values[i] = d.Value
	p.lengths[i] = uint16(d.Words.length())
	p.texts[i] = encodeText(d.Name, terms)
	if len(d.Vector) == s.dim {
		w := codeWords(s.dim)
		p.shapes[i] = encode(p.codes[i*w:(i+1)*w], p.sums[i*w/blockWords:(i+1)*w/blockWords], d.Vector, d.Scale)
	}
	if p.shapes[i].scale != 0 {
		w := signBits(s.dim) / 64
		sign(p.signs[i*w:(i+1)*w], d.Vector, rotated)
	}
	s.enter(slot, p, i)
}

// grow makes room for one more slot, and returns where it is.
func (s *shard[V]) grow() (*page[V], int) {
	i := s.used % pageSlots
	switch last := s.pages[len(s.pages)-1]; {
	case i == 0 && s.used > 0:
		s.pages = append(s.pages, newPage[V](s.dim, pageSlots))
	case i == len(last.ids): // only a first page is shorter than others
		larger := newPage[V](s.dim, min(4*i, pageSlots))
		larger.copyFrom(last, i)
		s.pages = []*page[V]{larger}
	}
	s.used++
	return s.pages[len(s.pages)-1], i
}

// enter makes slot findable.
func (s *shard[V]) enter(slot uint32, p *page[V], i int) {
	s.slots[p.ids[i].key] = slot
	s.length += int64(p.lengths[i])
	if p.shapes[i].scale != 0 {
		s.vectors++
	}
	name, words := cutName(p.texts[i])
	if name != "" {
		hash := maphash.String(s.seed, name)
		p.before[i] = s.firstLiving(s.names[hash])
		s.names[hash] = slot + 1
	}
	if !s.public {
		return
	}
	for id, weight := uint32(0), uint32(0); words != ""; {
		id, weight, words = nextTerm(id, words)
		for int(id) >= len(s.lists) {
			s.lists = append(s.lists, nil)
		}
		s.lists[id] = append(s.lists[id], slot<<weightBits|weight)
	}
}

// firstLiving skips the dead of a chain of names, so that a document that is replaced
// again and again does not make it longer.
func (s *shard[V]) firstLiving(link uint32) uint32 {
	for link != 0 {
		p, i := s.at(link - 1)
		if atomic.LoadUint64(&p.died[i]) == 0 {
			break
		}
		link = p.before[i]
	}
	return link
}

func (s *shard[V]) kill(slot uint32, epoch uint64) {
	p, i := s.at(slot)
	atomic.StoreUint64(&p.died[i], epoch)
	delete(s.slots, p.ids[i].key)
	s.length -= int64(p.lengths[i])
	if p.shapes[i].scale != 0 {
		s.vectors--
	}
}

// crowded reports whether the dead take so much room that compacting costs less than
// what was done since the last time.
func (s *shard[V]) crowded() bool {
	return s.used-len(s.slots) > 64+len(s.slots)/2
}

// compacted returns a shard of the living. It changes nothing.
func (s *shard[V]) compacted() *shard[V] {
	fresh := newShard[V](s.dim, max(len(s.slots), firstSlots), s.public)
	w, sw := codeWords(s.dim), signBits(s.dim)/64
	for slot := range uint32(s.used) {
		from, j := s.at(slot)
		if atomic.LoadUint64(&from.died[j]) != 0 {
			continue
		}
		to, i := fresh.grow()
		copy(to.codes[i*w:], from.codes[j*w:(j+1)*w])
		copy(to.sums[i*w/blockWords:], from.sums[j*w/blockWords:(j+1)*w/blockWords])
		copy(to.signs[i*sw:], from.signs[j*sw:(j+1)*sw])
		to.shapes[i], to.lengths[i], to.texts[i] = from.shapes[j], from.lengths[j], from.texts[j]
		to.ids[i], to.values[i] = from.ids[j], from.values[j]
		fresh.enter(uint32(fresh.used-1), to, i)
	}
	return fresh
}

// named returns the newest slot + 1 that may have name, 0 if there is none.
func (s *shard[V]) named(name string) uint32 {
	if name == "" {
		return 0
	}
	return s.names[maphash.String(s.seed, name)]
}

// view is what a search sees of a shard: slots that were there in its epoch, and did
// not die before or in it.
type view[V any] struct {
	pages   []*page[V]
	used    int
	vectors int
	public  bool
	epoch   uint64
}

func (s *shard[V]) view(epoch uint64) view[V] {
	return view[V]{pages: s.pages, used: s.used, vectors: s.vectors, public: s.public, epoch: epoch}
}

// slotsOf is the number of slots of page n that the view sees.
func (v *view[V]) slotsOf(n int) int { return min(v.used-n<<pageBits, pageSlots) }

func (v *view[V]) live(b *block, i int) bool { return alive(b, i, v.epoch) }

func alive(b *block, i int, epoch uint64) bool {
	died := atomic.LoadUint64(&b.died[i])
	return died == 0 || died > epoch
}

// encodeText packs a name and terms (id<<8|weight, sorted) into one string: the length
// of the name, the name, and for every term its distance to the one before and its
// weight; numbers but the weights as in package encoding/binary.
func encodeText(name string, terms []uint64) string {
	b := make([]byte, 0, len(name)+4+4*len(terms))
	b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	id := uint64(0)
	for _, term := range terms {
		b = append(binary.AppendUvarint(b, term>>8-id), byte(term))
		id = term >> 8
	}
	return string(b)
}

// cutName divides a packed text into the name and the terms.
func cutName(text string) (name, terms string) {
	n, rest := uvarint(text)
	return rest[:n], rest[n:]
}

// nextTerm reads one term of packed terms, which are not empty, after the one with
// the id before.
func nextTerm(before uint32, terms string) (id, weight uint32, rest string) {
	distance, rest := uvarint(terms)
	return before + distance, uint32(rest[0]), rest[1:]
}

func uvarint(s string) (uint32, string) {
	if s[0] < 0x80 {
		return uint32(s[0]), s[1:]
	}
	v, shift := uint32(0), 0
	for i := 0; ; i++ {
		v |= uint32(s[i]&0x7f) << shift
		if s[i] < 0x80 {
			return v, s[i+1:]
		}
		shift += 7
	}
}
