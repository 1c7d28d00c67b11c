package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Call is an attempt that reached an agent. Refusals are none.
type Call struct {
	Agent   id.Agent
	User    id.User // whoever it was made for: they may rate the agent from now on
	At      time.Time
	Success bool
	Latency time.Duration // the whole of it; counted in milliseconds
}

// CallStore counts calls.
type CallStore interface {
	// RecordCalls adds calls to the figures of their agents, all or none. Calls of
	// agents that were deleted in the meantime are left out.
	RecordCalls(ctx context.Context, calls []Call) error
	// TrendingAgents lists the active agents visible to viewer that were called since
	// an hour, with those figures: most calls first, then the newest.
	TrendingAgents(ctx context.Context, viewer id.User, since Hour, limit int) ([]Agent, error)
}

// Figures is the call alone.
func (c Call) Figures() Figures {
	f := Figures{Calls: 1, LatencyMS: max(0, c.Latency.Round(time.Millisecond).Milliseconds())}
	if c.Success {
		f.Successes = 1
	}
	return f
}

// Plus adds two counts up.
func (f Figures) Plus(g Figures) Figures {
	return Figures{Calls: f.Calls + g.Calls, Successes: f.Successes + g.Successes, LatencyMS: f.LatencyMS + g.LatencyMS}
}

// SuccessShare is the share of calls that succeeded, 0 to 1; nil without calls.
func (f Figures) SuccessShare() *float64 { return mean(f.Successes, f.Calls) }

// AverageLatency is in milliseconds; nil without calls.
func (f Figures) AverageLatency() *float64 { return mean(f.LatencyMS, f.Calls) }

// RatingAverage is 1 to 5; nil without ratings.
func (a Agent) RatingAverage() *float64 { return mean(a.RatingSum, a.RatingCount) }

func mean(sum, count int64) *float64 {
	if count <= 0 {
		return nil
	}
	m := float64(sum) / float64(count)
	return &m
}

// Trending lists the active agents that p may see by their calls in the last days, most
// first, with the figures of these days. What was never called is absent. A window is
// exact to the hour: it begins with the hour of the day in which it begins.
func (s *Service) Trending(ctx context.Context, p principal.Principal, days, limit int) ([]Agent, error) {
	agents, err := s.store.TrendingAgents(ctx, p.User, HourOf(s.now())-Hour(24*days), limit)
	if err != nil {
		return nil, fmt.Errorf("list trending agents: %w", err)
	}
	for i := range agents {
		agents[i] = agents[i].SeenBy(p.User)
	}
	return agents, nil
}
