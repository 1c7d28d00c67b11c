package search

import (
	"bytes"
	"cmp"
	"math"
	"sync"
	"sync/atomic"
)

// found is a document that a search considers.
type found struct {
	score float64
	identity
	view int // which of the views of the search
	slot uint32
}

// compareFound puts the better first: the order of every cut-off.
func compareFound(a, b *found) int {
	switch {
	case a.score > b.score:
		return -1
	case a.score < b.score:
		return 1
	}
	return compareNewest(a.order, b.order, &a.key, &b.key)
}

// compareNewest puts first what is to come first of two that score the same.
func compareNewest(a, b int64, keyOfA, keyOfB *Key) int {
	if a != b {
		return cmp.Compare(b, a)
	}
	return bytes.Compare(keyOfA[:], keyOfB[:])
}

// best keeps the most best of what several goroutines offer. Which those are does not
// depend on who offers first.
type best struct {
	most  int
	low   atomic.Uint64 // bits of the score of the worst if there are most
	mu    sync.Mutex
	items []found // a heap with the worst on top
}

func newBest(most int) *best {
	b := &best{most: most}
	b.low.Store(math.Float64bits(math.Inf(-1)))
	if most <= 0 {
		b.low.Store(math.Float64bits(math.Inf(1)))
	}
	return b
}

// floor is a score below which nothing is kept any more.
func (b *best) floor() float64 { return math.Float64frombits(b.low.Load()) }

func (b *best) offer(f found) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case len(b.items) < b.most:
		b.items = append(b.items, f)
		b.rise(len(b.items) - 1)
	case b.most > 0 && compareFound(&f, &b.items[0]) < 0:
		b.items[0] = f
		b.sink()
	}
	if len(b.items) == b.most && b.most > 0 {
		b.low.Store(math.Float64bits(b.items[0].score))
	}
}

// rise moves item i up to where it belongs.
func (b *best) rise(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if compareFound(&b.items[i], &b.items[parent]) <= 0 {
			return
		}
		b.items[i], b.items[parent] = b.items[parent], b.items[i]
		i = parent
	}
}

// sink moves the item on top down to where it belongs.
func (b *best) sink() {
	for i := 0; ; {
		worst := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(b.items) && compareFound(&b.items[child], &b.items[worst]) > 0 {
				worst = child
			}
		}
		if worst == i {
			return
		}
		b.items[i], b.items[worst] = b.items[worst], b.items[i]
		i = worst
	}
}
