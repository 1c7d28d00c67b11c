package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/search"
)

// Discovery is a request for agents in somebody's own words.
type Discovery struct {
	Text      string
	Limit     int
	Threshold *float64 // keep agents with at most this similarity_score
	RankBy    RankBy
}

// Found is the answer to a Discovery.
type Found struct {
	Agents   []Agent
	Degraded bool // the model could not be asked: words alone decided
}

// leastCandidates bounds from below how many agents are fetched by meaning, and by
// words, before they are ordered; see contract §4.4.
const leastCandidates = 100

// Discover returns the active agents that p may see and that fit best, best first. The
// same registry and request give the same answer. Without text it is the best by
// quality.
//
// While the model cannot be asked, words alone decide, and Threshold is not applied:
// there is no distance to compare.
func (s *Service) Discover(ctx context.Context, p principal.Principal, d Discovery) (Found, error) {
	g := s.catalog.current.Load()
	now := s.now()
	var found Found
	var list []candidate
	if text := strings.TrimSpace(d.Text); text == "" {
		list = g.bestByQuality(p.User, d.Limit, now)
	} else {
		n := max(5*d.Limit, leastCandidates)
		q := search.Query{Viewer: key(p.User), Words: search.AnalyzeQuery(text), Name: Fold(text), Nearest: n, Matching: n}
		vector, err := g.embedder.Query(ctx, text)
		if ctx.Err() != nil {
			return Found{}, fmt.Errorf("embed a query: %w", ctx.Err())
		}
		if err == nil && hasDirection(vector) && g.dim > 0 {
			if q.Vector = vector; len(vector) != g.dim {
				q.Vector, err = nil, errDimension
			}
		}
		found.Degraded = err != nil || g.dim == 0 && g.lacks()
		if found.Degraded {
			s.catalog.Degraded()
		}
		list = rank(g.index.Search(q), d.RankBy, !found.Degraded, d.Threshold, now)
	}
	var err error
	fresh := clock.Micros(now)-g.followed.Load() <= staleAfter.Microseconds()
	found.Agents, err = s.agentsOf(ctx, p, list[:min(len(list), d.Limit)], fresh)
	return found, err
}

// errDimension says that the model answers otherwise than it did when agents were
// embedded.
var errDimension = errors.New("vectors of another length")

// bestByQuality are the best n of the agents that viewer may see, by quality, then
// recency.
func (g *generation) bestByQuality(viewer id.User, n int, now time.Time) []candidate {
	pool := make([]candidate, 0, n)
	best := make([]int, 0, n) // places in pool, in order; only these are moved about
	g.index.All(key(viewer), func(h search.Hit[standing]) bool {
		c := candidate{Hit: h, quality: qualityOf(h.Value), recency: recencyOf(h.Value, now)}
		place := len(pool)
		if place < n {
			pool = append(pool, c)
		} else {
			if place = best[n-1]; byQuality(&c, &pool[place]) > 0 {
				return true
			}
			best = best[:n-1]
			pool[place] = c
		}
		at, _ := slices.BinarySearchFunc(best, &c, func(i int, c *candidate) int { return byQuality(&pool[i], c) })
		best = slices.Insert(best, at, place)
		return true
	})
	list := make([]candidate, len(best))
	for i, place := range best {
		list[i] = pool[place]
	}
	return list
}

func hasDirection(v []float32) bool {
	for _, x := range v {
		if x != 0 {
			return true
		}
	}
	return false
}

// agentKey names one state of an agent: whatever changes it moves the stamp.
type agentKey struct {
	agent id.Agent
	stamp int64
}

// cachedBytes bounds the agents kept for answers, about.
const cachedBytes = 32 << 20

func newAgentCache() *otter.Cache[agentKey, Agent] {
	return otter.Must(&otter.Options[agentKey, Agent]{MaximumWeight: cachedBytes, Weigher: func(_ agentKey, a Agent) uint32 {
		return uint32(1024 + len(a.Description) + len(a.InputSchema) + len(a.Name)) //nolint:gosec // bounded by the size of a request
	}})
}

// staleAfter is when the copy is too old to trust: what it shows is then read from the
// database, which knows who may see it by now.
const staleAfter = time.Second

// agentsOf reads the agents of an ordered list, from the cache where they have not
// changed since, and keeps the order. Of a copy that is not fresh nothing is known.
func (s *Service) agentsOf(ctx context.Context, p principal.Principal, list []candidate, fresh bool) ([]Agent, error) {
	agents := make([]Agent, 0, len(list))
	known := make(map[id.Agent]Agent, len(list))
	stamps := make(map[id.Agent]int64, len(list))
	var missing []id.Agent
	for _, c := range list {
		agent := id.OfBytes[id.Agent](c.Key)
		stamps[agent] = c.Value.stamp
		if a, ok := s.agents.GetIfPresent(agentKey{agent, c.Value.stamp}); ok && fresh {
			known[agent] = a
		} else {
			missing = append(missing, agent)
		}
	}
	if len(missing) > 0 {
		read, err := s.store.ActiveAgents(ctx, p.User, missing)
		if err != nil {
			return nil, fmt.Errorf("read discovered agents: %w", err)
		}
		for _, a := range read {
			known[a.ID] = a
			if fresh {
				s.agents.Set(agentKey{a.ID, stamps[a.ID]}, a)
			}
		}
	}
	for _, c := range list {
		a, ok := known[id.OfBytes[id.Agent](c.Key)]
		if !ok || a.Visibility != Public && a.Owner != p.User {
			continue // it changed a moment ago
		}
		a.Similarity, a.Figures, a.RatingSum, a.RatingCount = c.distance, c.Value.figures, c.Value.ratingSum, c.Value.ratingCount
		agents = append(agents, a.SeenBy(p.User))
	}
	return agents, nil
}
