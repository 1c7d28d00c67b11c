package registry

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/search"
)

// Orders of discovery. Anything else asked for means Balanced.
const (
	Balanced RankBy = iota
	QualityFirst
	SimilarityOnly
)

// RankBy says what counts most among the agents that fit.
type RankBy uint8

// ParseRankBy reads the query parameter rank_by.
func ParseRankBy(s string) RankBy {
	return map[string]RankBy{"quality_first": QualityFirst, "similarity_only": SimilarityOnly}[s] // else Balanced
}

// The weights of contract §4.4.
const (
	balancedRelevance, balancedQuality, balancedRecency = 0.50, 0.35, 0.15
	qualityRelevance, qualityQuality, qualityRecency    = 0.20, 0.70, 0.10

	// Candidates with less than this share of the best one's relevance rank after all
	// others: popularity must not bury what fits.
	relevantShare = 0.6

	recencyDays = 90
)

// Fusion of meaning and words, each scaled to 1 for the best candidate. Chosen once, by
// the measurements in docs/adr/0010.
const (
	meaningWeight = 0.7
	wordsWeight   = 1 - meaningWeight
)

// candidate is one agent that may be found, with all that orders it.
type candidate struct {
	search.Hit[standing]
	distance  *float64 // similarity_score; nil where there was no meaning to compare
	relevance float64
	quality   float64
	recency   float64
	score     float64
}

// distanceOf is similarity_score, 2(1-s) for a cosine s, at least 0, in 6 decimals.
func distanceOf(cosine float32) float64 {
	return math.Max(0, math.Round(2e6*(1-float64(cosine)))/1e6)
}

// unrelated is the distance of texts that have nothing in common.
const unrelated = 2

// similarityOf is the way back, at least 0.
func similarityOf(distance float64) float64 { return math.Max(0, 1-distance/2) }

// qualityOf is 0.4 of the ratings, 0.4 of the share of successes and 0.2 of speed; what
// nobody rated or called has none of it.
func qualityOf(v standing) float64 {
	q := 0.0
	if v.ratingCount > 0 {
		q += 0.4 * float64(v.ratingSum) / float64(v.ratingCount) / 5
	}
	if f := v.figures; f.Calls > 0 {
		q += 0.4*float64(f.Successes)/float64(f.Calls) + 0.2/(1+float64(f.LatencyMS)/float64(f.Calls)/1000)
	}
	return q
}

// recencyOf falls from 1 to 0 in 90 days, by whole days.
func recencyOf(v standing, now time.Time) float64 {
	days := max(0, (now.Unix()-v.contentChanged)/86400)
	return math.Max(0, 1-float64(days)/recencyDays)
}

// rank orders hits: exact names first, then what is relevant, then the rest, each by
// the score of by. compared tells whether there was a meaning to compare.
func rank(hits []search.Hit[standing], by RankBy, compared bool, threshold *float64, now time.Time) []candidate {
	list := make([]candidate, 0, len(hits))
	for _, h := range hits {
		c := candidate{Hit: h, quality: qualityOf(h.Value), recency: recencyOf(h.Value, now)}
		if compared && h.HasVector { // without one, on either side, words decide
			d := distanceOf(h.Cosine)
			if threshold != nil && d > *threshold {
				continue
			}
			c.distance = &d
		}
		list = append(list, c)
	}
	measured := slices.ContainsFunc(list, func(c candidate) bool { return c.distance != nil })
	fuse(list)
	for i := range list {
		c := &list[i]
		switch by {
		case SimilarityOnly:
			c.score = -unrelated
			if c.distance != nil {
				c.score = -*c.distance
			} else if !measured {
				c.score = c.relevance
			}
		case QualityFirst:
			c.score = qualityRelevance*c.relevance + qualityQuality*c.quality + qualityRecency*c.recency
		default:
			c.score = balancedRelevance*c.relevance + balancedQuality*c.quality + balancedRecency*c.recency
		}
	}
	enough := 0.0
	for _, c := range list {
		enough = math.Max(enough, relevantShare*c.relevance)
	}
	slices.SortFunc(list, func(a, b candidate) int {
		if a.NameEqual != b.NameEqual {
			return first(a.NameEqual)
		}
		if far := a.relevance < enough; by != SimilarityOnly && far != (b.relevance < enough) {
			return first(!far)
		}
		return cmp.Or(cmp.Compare(b.score, a.score), newer(&a, &b))
	})
	return list
}

// fuse sets the relevance of all candidates, 0..1.
func fuse(list []candidate) {
	var bestMeaning, bestWords float64
	for _, c := range list {
		if c.distance != nil {
			bestMeaning = math.Max(bestMeaning, similarityOf(*c.distance))
		}
		bestWords = math.Max(bestWords, c.Lexical)
	}
	for i := range list {
		c := &list[i]
		lexical := 0.0
		if bestWords > 0 {
			lexical = c.Lexical / bestWords
		}
		switch {
		case c.distance == nil || bestMeaning == 0:
			c.relevance = lexical
		case bestWords == 0:
			c.relevance = similarityOf(*c.distance) / bestMeaning
		default:
			c.relevance = meaningWeight*similarityOf(*c.distance)/bestMeaning + wordsWeight*lexical
		}
	}
}

// byQuality orders what a request without text finds: by quality, then recency.
func byQuality(a, b *candidate) int {
	return cmp.Or(cmp.Compare(b.quality, a.quality), cmp.Compare(b.recency, a.recency), newer(a, b))
}

// first is the order of two of which one comes first.
func first(a bool) int {
	if a {
		return -1
	}
	return 1
}

// newer breaks ties: newest first, then by id.
func newer(a, b *candidate) int {
	return cmp.Or(cmp.Compare(b.Order, a.Order), bytes.Compare(a.Key[:], b.Key[:]))
}
