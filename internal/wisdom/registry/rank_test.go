package registry

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/search"
)

// hit is a found agent by the name of its first byte.
func hit(name byte, cosine float32, lexical float64, change ...func(*search.Hit[standing])) search.Hit[standing] {
	h := search.Hit[standing]{Key: search.Key{name}, Cosine: cosine, HasVector: true, Lexical: lexical, Value: standing{contentChanged: now.Unix()}}
	for _, c := range change {
		c(&h)
	}
	return h
}

func rated(sum, count int64) func(*search.Hit[standing]) {
	return func(h *search.Hit[standing]) { h.Value.ratingSum, h.Value.ratingCount = sum, count }
}

func aged(days int) func(*search.Hit[standing]) {
	return func(h *search.Hit[standing]) {
		h.Value.contentChanged = now.Add(-time.Duration(days) * 24 * time.Hour).Unix()
	}
}

func called(calls, successes, latency int64) func(*search.Hit[standing]) {
	return func(h *search.Hit[standing]) { h.Value.figures = Figures{calls, successes, latency} }
}

func exactly(h *search.Hit[standing]) { h.NameEqual = true }

func order(list []candidate) string {
	var names []byte
	for _, c := range list {
		names = append(names, c.Key[0])
	}
	return string(names)
}

func TestTheOrderOfDiscovery(t *testing.T) {
	best := func(h *search.Hit[standing]) { rated(50, 10)(h); called(10, 10, 0)(h) }
	for _, tt := range []struct {
		sentence string
		hits     []search.Hit[standing]
		want     map[RankBy]string
	}{
		{"the closest comes first", []search.Hit[standing]{hit('a', 0.5, 0), hit('b', 0.6, 0)}, map[RankBy]string{Balanced: "ba", QualityFirst: "ba", SimilarityOnly: "ba"}},
		{"words count beside meaning, unless similarity alone is asked for", []search.Hit[standing]{hit('a', 0.5, 0), hit('b', 0.49, 9)},
			map[RankBy]string{Balanced: "ba", QualityFirst: "ba", SimilarityOnly: "ab"}},
		{"an exact name comes first however bad it is", []search.Hit[standing]{hit('a', 0.9, 9, best), hit('b', -0.2, 0, exactly, aged(400))},
			map[RankBy]string{Balanced: "ba", QualityFirst: "ba", SimilarityOnly: "ba"}},
		{"quality lifts what is nearly as relevant", []search.Hit[standing]{hit('a', 0.6, 0), hit('b', 0.5, 0, best)},
			map[RankBy]string{Balanced: "ba", QualityFirst: "ba", SimilarityOnly: "ab"}},
		{"popularity does not bury the relevant", []search.Hit[standing]{hit('a', 0.6, 5, aged(400)), hit('b', 0.2, 0, best)},
			map[RankBy]string{Balanced: "ab", QualityFirst: "ab", SimilarityOnly: "ab"}},
		{"the new comes before the old", []search.Hit[standing]{hit('a', 0.5, 0, aged(89)), hit('b', 0.5, 0)}, map[RankBy]string{Balanced: "ba", QualityFirst: "ba", SimilarityOnly: "ab"}},
		{"words alone find what has no vector yet", []search.Hit[standing]{hit('a', 0.3, 0), hit('b', 0, 9, func(h *search.Hit[standing]) { h.HasVector = false })},
			map[RankBy]string{Balanced: "ba", QualityFirst: "ba", SimilarityOnly: "ab"}},
		{"of equals the newer one, then the lower id", []search.Hit[standing]{hit('c', 0.5, 0), hit('b', 0.5, 0), hit('d', 0.5, 0, func(h *search.Hit[standing]) { h.Order = 1 })},
			map[RankBy]string{Balanced: "dbc", QualityFirst: "dbc", SimilarityOnly: "dbc"}},
	} {
		for by, want := range tt.want {
			for range 2 {
				if got := order(rank(tt.hits, by, true, nil, now)); got != want {
					t.Errorf("%s, rank_by %d: got %s, want %s", tt.sentence, by, got, want)
				}
				slices.Reverse(tt.hits) // the order in which they were found does not matter
			}
		}
	}
}

func TestSimilarityScoreIsADistance(t *testing.T) {
	for cosine, want := range map[float32]float64{1: 0, 1.0000001: 0, 0: 2, 0.5: 1, -1: 4, 0.123456789: 1.753086} {
		if got := distanceOf(cosine); got != want {
			t.Errorf("cosine %v: got %v, want %v", cosine, got, want)
		}
	}
	list := rank([]search.Hit[standing]{hit('a', 0.5, 0), hit('b', -0.5, 1)}, Balanced, true, nil, now)
	if len(list) != 2 || *list[0].distance != 1 || *list[1].distance != 3 {
		t.Errorf("got %+v", list)
	}
	one := 1.0
	if got := order(rank([]search.Hit[standing]{hit('a', 0.5, 0), hit('b', 0.4, 9), hit('c', 0.3, 0, exactly)}, Balanced, true, &one, now)); got != "a" {
		t.Errorf("similarity_threshold 1 keeps %s, want a", got)
	}
}

func TestWithoutAModelWordsDecideAndNothingIsADistance(t *testing.T) {
	zero := 0.0
	for _, by := range []RankBy{Balanced, QualityFirst, SimilarityOnly} {
		list := rank([]search.Hit[standing]{hit('a', 0, 1), hit('b', 0, 2), hit('c', 0, 0, exactly)}, by, false, &zero, now)
		if got := order(list); got != "cba" || list[0].distance != nil {
			t.Errorf("rank_by %d: got %s, distance %v", by, got, list[0].distance)
		}
	}
}

func TestQualityAndRecency(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		h        search.Hit[standing]
		want     float64
	}{
		{"nothing is known", hit('a', 0, 0), 0},
		{"ratings alone", hit('a', 0, 0, rated(9, 2)), 0.4 * 4.5 / 5},
		{"calls alone", hit('a', 0, 0, called(4, 3, 4000)), 0.4*0.75 + 0.2/2},
		{"the best there is", hit('a', 0, 0, rated(5, 1), called(1, 1, 0)), 1},
	} {
		if got := qualityOf(tt.h.Value); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%s: quality %v, want %v", tt.sentence, got, tt.want)
		}
	}
	for days, want := range map[int]float64{-3: 1, 0: 1, 45: 0.5, 90: 0, 4000: 0} {
		h := hit('a', 0, 0, aged(days))
		if got := recencyOf(h.Value, now); math.Abs(got-want) > 1e-12 {
			t.Errorf("%d days: recency %v, want %v", days, got, want)
		}
		if got := recencyOf(h.Value, now.Add(23*time.Hour+59*time.Minute)); math.Abs(got-want) > 1e-12 && days >= 0 {
			t.Errorf("%d days and some hours: recency %v, want %v: whole days count", days, got, want)
		}
	}
}

func TestARequestWithoutTextIsOrderedByQualityThenRecency(t *testing.T) {
	hits := []search.Hit[standing]{hit('a', 0, 0, aged(10)), hit('b', 0, 0), hit('c', 0, 0, rated(1, 1), aged(80)), hit('d', 0, 0, aged(20))}
	g := &generation{index: search.New[standing](0)}
	for _, h := range hits {
		g.index.Put(search.Doc[standing]{Key: h.Key, Public: true, Value: h.Value})
	}
	for n, want := range []string{"", "c", "cb", "cba", "cbad", "cbad"} {
		if n > 0 {
			if got := order(g.bestByQuality("00000000-0000-4000-8000-000000000000", n, now)); got != want {
				t.Errorf("the best %d: got %s, want %s", n, got, want)
			}
		}
	}
}

func TestRankByFallsBackToBalanced(t *testing.T) {
	for text, want := range map[string]RankBy{"": Balanced, "balanced": Balanced, "nonsense": Balanced, "QUALITY_FIRST": Balanced,
		"quality_first": QualityFirst, "similarity_only": SimilarityOnly} {
		if got := ParseRankBy(text); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestNamesAreSpreadForTheModel(t *testing.T) {
	for name, want := range map[string]string{"TripAdviceTool": "Trip Advice Tool", "PDFReader": "PDF Reader", "weather_oracle": "weather oracle",
		"plain name": "plain name", "iPhone": "i Phone", "ABC": "ABC", "": ""} {
		if got := spread(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
