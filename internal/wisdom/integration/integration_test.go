package integration_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/integration"
)

// one is a store of one configuration, in which agents are seen by a list. The real ones
// are tested in package store.
type one struct {
	integration.Store
	config integration.Config
	seen   map[id.Agent]bool
	asked  int
}

func (o *one) BrokerConfig(context.Context, id.User, id.Integration) (integration.Config, error) {
	return o.config, nil
}

func (o *one) EditBrokerConfig(_ context.Context, _ id.User, _ id.Integration, edit func(integration.Config) integration.Config) (integration.Config, error) {
	o.config = edit(o.config)
	return o.config, nil
}

func (o *one) SeenAgents(_ context.Context, _ id.User, agents []id.Agent) ([]id.Agent, error) {
	o.asked += len(agents)
	var list []id.Agent
	for _, a := range agents {
		if o.seen[a] {
			list = append(list, a)
		}
	}
	return list, nil
}

func ptr[T any](v T) *T { return &v }

func set[T any](v T) integration.Nullable[T] { return integration.Nullable[T]{Set: true, Value: &v} }

func null[T any]() integration.Nullable[T] { return integration.Nullable[T]{Set: true} }

var signedIn = principal.Principal{User: "u", Via: principal.JWT}

func TestWhatIsAbsentStaysAndWhatIsNullIsCleared(t *testing.T) {
	full := integration.Config{Monthly: ptr(int64(1)), Daily: ptr(int64(2)), MaxRetries: 3, Backoff: 4, Timeout: ptr(time.Duration(5)), Allowed: []id.Agent{"a"}}
	for _, tt := range []struct {
		sentence string
		change   integration.Change
		want     func(*integration.Config)
	}{
		{"nothing", integration.Change{}, func(*integration.Config) {}},
		{"a null month", integration.Change{Monthly: null[int64]()}, func(c *integration.Config) { c.Monthly = nil }},
		{"a null day", integration.Change{Daily: null[int64]()}, func(c *integration.Config) { c.Daily = nil }},
		{"a null timeout", integration.Change{Timeout: null[time.Duration]()}, func(c *integration.Config) { c.Timeout = nil }},
		{"no retries", integration.Change{MaxRetries: ptr(0)}, func(c *integration.Config) { c.MaxRetries = 0 }},
		{"no backoff", integration.Change{Backoff: ptr(time.Duration(0))}, func(c *integration.Config) { c.Backoff = 0 }},
		{"all agents", integration.Change{Allowed: []id.Agent{}}, func(c *integration.Config) { c.Allowed = []id.Agent{} }},
		{"everything", integration.Change{Monthly: set(int64(10)), Daily: set(int64(20)), MaxRetries: ptr(5), Backoff: ptr(time.Second), Timeout: set(time.Minute),
			Allowed: []id.Agent{"b", "a", "b"}}, func(c *integration.Config) {
			*c = integration.Config{Monthly: ptr(int64(10)), Daily: ptr(int64(20)), MaxRetries: 5, Backoff: time.Second, Timeout: ptr(time.Minute), Allowed: []id.Agent{"b", "a"}}
		}},
	} {
		s := integration.NewService(&one{config: full, seen: map[id.Agent]bool{"a": true, "b": true}}, nil, nil)
		want := full
		tt.want(&want)
		got, err := s.Configure(t.Context(), signedIn, "i", tt.change)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.sentence, got, err, want)
		}
	}
}

func TestOnlyAgentsThatTheUserSeesAreNewlyAllowed(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		stored   []id.Agent
		wanted   []id.Agent
		faults   []any // the places of the faults
		asked    int
	}{
		{"visible ones", nil, []id.Agent{"a", "b"}, nil, 2},
		{"each is asked for once", nil, []id.Agent{"a", "a", "a"}, nil, 1},
		{"invisible ones are named by their places, all of them", nil, []id.Agent{"x", "a", "y", "x"}, []any{0, 2, 3}, 3},
		{"what is allowed already stays, seen or not", []id.Agent{"x"}, []id.Agent{"x"}, nil, 0},
		{"and does not open the door for others", []id.Agent{"x"}, []id.Agent{"x", "y"}, []any{1}, 1},
		{"none", []id.Agent{"x"}, []id.Agent{}, nil, 0},
	} {
		o := &one{config: integration.Config{Allowed: tt.stored}, seen: map[id.Agent]bool{"a": true, "b": true}}
		_, err := integration.NewService(o, nil, nil).Configure(t.Context(), signedIn, "i", integration.Change{Allowed: tt.wanted})
		var places []any
		if f := fault.As(err); f != nil {
			for _, p := range f.Problems {
				places = append(places, p.Loc[2])
				if p.Loc[1] != "allowed_agent_ids" || p.Input != string(tt.wanted[p.Loc[2].(int)]) {
					t.Errorf("%s: %+v", tt.sentence, p)
				}
			}
		} else if err != nil {
			t.Error(err)
		}
		if !reflect.DeepEqual(places, tt.faults) || o.asked != tt.asked {
			t.Errorf("%s: got faults at %v, asked for %d, want %v and %d", tt.sentence, places, o.asked, tt.faults, tt.asked)
		}
		if tt.faults != nil && !reflect.DeepEqual(o.config.Allowed, tt.stored) {
			t.Errorf("%s: refused, but stored %q", tt.sentence, o.config.Allowed)
		}
	}
}

func TestOnlyTokensConfigureAndDelete(t *testing.T) {
	s := integration.NewService(&one{}, nil, nil)
	for _, via := range []principal.Via{principal.Anonymous, principal.APIKey, principal.Delegation} {
		p := principal.Principal{User: "u", Via: via, Integration: "i"}
		_, err := s.Configure(t.Context(), p, "i", integration.Change{})
		for _, err := range []error{err, s.Delete(t.Context(), p, "i")} {
			if !fault.HasCode(err, "jwt_required") {
				t.Errorf("via %v: got %v, want jwt_required", via, err)
			}
		}
	}
}
