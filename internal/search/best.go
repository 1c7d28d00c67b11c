package search

import (
	"bytes"
	"cmp"
	"math"
	"slices"
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

// best keeps the most best of what is offered, as a heap with the worst on top.
type best struct {
	most  int
	items []found
}

// floor is the score below which nothing is kept any more.
func (b *best) floor() float64 {
	if len(b.items) < b.most {
		return math.Inf(-1)
	}
	if b.most <= 0 {
		return math.Inf(1)
	}
	return b.items[0].score
}

func (b *best) offer(f found) {
	if len(b.items) < b.most {
		b.items = append(b.items, f)
		for i := len(b.items) - 1; i > 0; {
			parent := (i - 1) / 2
			if compareFound(&b.items[i], &b.items[parent]) <= 0 {
				break
			}
			b.items[i], b.items[parent] = b.items[parent], b.items[i]
			i = parent
		}
		return
	}
	if b.most <= 0 || compareFound(&f, &b.items[0]) >= 0 {
		return
	}
	b.items[0] = f
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

// merge returns the most best of several, best first.
func merge(most int, parts []best) []found {
	var all []found
	for _, p := range parts {
		all = append(all, p.items...)
	}
	slices.SortFunc(all, func(a, b found) int { return compareFound(&a, &b) })
	return all[:min(len(all), max(most, 0))]
}
