package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

const (
	clusters    = 1000 // topics
	topicWords  = 30   // words that are typical of one
	commonWords = 2000 // words that every topic uses, the most common ones of the table
)

// texts makes agents and queries that fall into clusters: each is about one topic, says
// two thirds of it in the topic's words and the rest in common ones, which are as
// frequent as words are (Zipf). All are words that the table knows. The same seed gives
// the same texts.
type texts struct {
	random *rand.Rand
	words  []string
	topics [][]string
	zipf   *rand.Zipf
}

func newTexts(seed uint64, words []string) *texts {
	random := rand.New(rand.NewPCG(seed, 1))
	t := &texts{random: random, words: words, zipf: rand.NewZipf(random, 1.1, 4, commonWords-1)}
	for range clusters {
		topic := make([]string, topicWords)
		for i := range topic {
			topic[i] = words[commonWords+random.IntN(len(words)-commonWords)]
		}
		t.topics = append(t.topics, topic)
	}
	return t
}

func (t *texts) sentence(topic, length int) string {
	said := make([]string, length)
	for i := range said {
		if t.random.IntN(3) < 2 {
			said[i] = t.topics[topic][t.random.IntN(topicWords)]
		} else {
			said[i] = t.words[t.zipf.Uint64()]
		}
	}
	return strings.Join(said, " ")
}

func (t *texts) agent() (name, description string) {
	topic := t.random.IntN(clusters)
	return t.sentence(topic, 2) + fmt.Sprintf(" %d", t.random.IntN(1000)), t.sentence(topic, 12+t.random.IntN(24)) + "."
}

func (t *texts) query() string { return t.sentence(t.random.IntN(clusters), 5+t.random.IntN(6)) }

// exact is the k nearest of all vectors, by brute force.
func exact(vectors [][]float32, query []float32, k int) []int {
	type scored struct {
		i int
		s float32
	}
	best := make([]scored, 0, k+1)
	for i, v := range vectors {
		var s float32
		for j, x := range v {
			s += x * query[j]
		}
		if len(best) == k && s <= best[k-1].s {
			continue
		}
		at := len(best)
		for at > 0 && best[at-1].s < s {
			at--
		}
		best = append(best, scored{})
		copy(best[at+1:], best[at:])
		best[at] = scored{i, s}
		best = best[:min(len(best), k)]
	}
	found := make([]int, len(best))
	for i, b := range best {
		found[i] = b.i
	}
	return found
}
