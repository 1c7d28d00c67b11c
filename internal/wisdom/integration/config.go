package integration

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Bounds of a Config.
const (
	MaxRetries = 5
	MaxBackoff = time.Hour        // longer than any call may take: no sooner than the next call
	MaxTimeout = 25 * time.Second // as long as the broker waits at most (contract §7.2)
	MaxAllowed = 1000             // agents in an allow-list
)

// Config holds the calls that are made with the keys of an integration.
type Config struct {
	Monthly, Daily *int64         // invocations per calendar month and day, UTC; nil: any number
	MaxRetries     int            // 0 to 5
	Backoff        time.Duration  // before the first retry; the second waits twice as long, and so on
	Timeout        *time.Duration // of a call in all; nil: the broker's
	Allowed        []id.Agent     // empty: all
}

// Default is the configuration of an integration for which none was put.
func Default() Config { return Config{Backoff: time.Second} }

// Nullable is a member for which absent, null and a value differ: not Set keeps what is
// stored, a nil Value clears it.
type Nullable[T any] struct {
	Set   bool
	Value *T
}

func (n Nullable[T]) apply(field **T) {
	if n.Set {
		*field = n.Value
	}
}

// Change is what PUT says. What is nil or not Set stays. The edge has checked the bounds
// of the numbers.
type Change struct {
	Monthly, Daily Nullable[int64]
	MaxRetries     *int
	Backoff        *time.Duration
	Timeout        Nullable[time.Duration]
	Allowed        []id.Agent // nil keeps, an empty list allows all
}

func (c Change) apply(to Config) Config {
	c.Monthly.apply(&to.Monthly)
	c.Daily.apply(&to.Daily)
	c.Timeout.apply(&to.Timeout)
	if c.MaxRetries != nil {
		to.MaxRetries = *c.MaxRetries
	}
	if c.Backoff != nil {
		to.Backoff = *c.Backoff
	}
	if c.Allowed != nil {
		to.Allowed = unique(c.Allowed)
	}
	return to
}

// unique keeps the first of equal agents. It never returns nil.
func unique(agents []id.Agent) []id.Agent {
	kept := make([]id.Agent, 0, len(agents))
	seen := make(map[id.Agent]bool, len(agents))
	for _, a := range agents {
		if !seen[a] {
			seen[a] = true
			kept = append(kept, a)
		}
	}
	return kept
}

// Config returns the configuration of an integration of p's user. Fault: NotFound.
func (s *Service) Config(ctx context.Context, p principal.Principal, integration id.Integration) (Config, error) {
	c, err := s.store.BrokerConfig(ctx, p.User, integration)
	if err != nil {
		return Config{}, missing("read a broker config", err)
	}
	return c, nil
}

// Configure changes the configuration of an integration of p's user, who must have come
// with a token. An agent that is newly allowed must be visible to the user; those that
// are allowed already stay so, deleted ones too, so that what Config returned can be put
// back. Faults: jwt_required (403), NotFound, Invalid.
func (s *Service) Configure(ctx context.Context, p principal.Principal, integration id.Integration, c Change) (Config, error) {
	if p.Via != principal.JWT {
		return Config{}, jwtRequired()
	}
	stored, err := s.Config(ctx, p, integration)
	if err != nil {
		return Config{}, err
	}
	if err := s.checkAllowed(ctx, p.User, stored.Allowed, c.Allowed); err != nil {
		return Config{}, err
	}
	changed, err := s.store.EditBrokerConfig(ctx, p.User, integration, c.apply)
	if err != nil {
		return Config{}, missing("change a broker config", err)
	}
	return changed, nil
}

func (s *Service) checkAllowed(ctx context.Context, viewer id.User, stored, wanted []id.Agent) error {
	known := map[id.Agent]bool{}
	for _, a := range stored {
		known[a] = true
	}
	added := slices.DeleteFunc(unique(wanted), func(a id.Agent) bool { return known[a] })
	if len(added) == 0 {
		return nil
	}
	seen, err := s.store.SeenAgents(ctx, viewer, added)
	if err != nil {
		return fmt.Errorf("look for allowed agents: %w", err)
	}
	for _, a := range seen {
		known[a] = true
	}
	var problems []fault.Problem
	for i, a := range wanted {
		if !known[a] {
			problems = append(problems, fault.Problem{Type: "value_error", Loc: []any{"body", "allowed_agent_ids", i}, Msg: "no such agent; ids are wanted, not slugs", Input: string(a)})
		}
	}
	if problems == nil {
		return nil
	}
	return fault.Problems(problems...)
}
