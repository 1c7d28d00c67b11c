package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/integration"
)

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantMissing(t testing.TB, what string, err error) {
	t.Helper()
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("%s: got %v, want it not found", what, err)
	}
}

// key makes an API key of an integration; its digest is its id.
func (b brokerBench) key(t testing.TB, owner id.User, i id.Integration) (auth.APIKey, error) {
	k := auth.APIKey{ID: id.New[id.APIKey](), Name: "k", Integration: &i, Created: b.at}
	return k, b.CreateAPIKey(t.Context(), owner, k, string(k.ID))
}

func TestAnIntegrationIsStoredWholeForItsUser(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		full := integration.Integration{ID: id.New[id.Integration](), User: b.caller, Name: "Ö", Kind: ptr("chat"), Metadata: []byte(`{"a":[1e3]}`), Created: b.at, Updated: b.at}
		plain := integration.Integration{ID: id.New[id.Integration](), User: b.caller, Name: "plain", Created: b.at.Add(time.Second), Updated: b.at.Add(time.Second)}
		others := integration.Integration{ID: id.New[id.Integration](), User: b.owner, Name: "theirs", Created: b.at, Updated: b.at}
		for _, i := range []integration.Integration{full, plain, others} {
			must(t, b.CreateIntegration(ctx, i))
			if got, err := b.Integration(ctx, i.User, i.ID); err != nil || !reflect.DeepEqual(got, i) {
				t.Errorf("got %+v, %v, want %+v", got, err, i)
			}
		}
		if _, err := b.key(t, b.caller, full.ID); err != nil {
			t.Fatal(err)
		}
		full.HasKey = true
		got, err := b.Integrations(ctx, b.caller)
		if err != nil || !reflect.DeepEqual(got, []integration.Integration{plain, full}) {
			t.Errorf("got %+v, %v, want the newest first and who has a key", got, err)
		}
		if got, err := b.Integrations(ctx, b.user(t)); err != nil || len(got) != 0 {
			t.Errorf("a stranger got %+v, %v", got, err)
		}
		for _, foreign := range []id.Integration{others.ID, id.New[id.Integration]()} {
			_, err := b.Integration(ctx, b.caller, foreign)
			wantMissing(t, "read", err)
			_, err = b.BrokerConfig(ctx, b.caller, foreign)
			wantMissing(t, "config", err)
			_, err = b.EditBrokerConfig(ctx, b.caller, foreign, func(c integration.Config) integration.Config { return c })
			wantMissing(t, "edit", err)
			_, err = b.key(t, b.caller, foreign)
			wantMissing(t, "a key", err)
			_, err = b.IntegrationKeys(ctx, b.caller, foreign)
			wantMissing(t, "keys", err)
			wantMissing(t, "delete", b.DeleteIntegration(ctx, b.caller, foreign))
		}
		b.wantRows(t, map[string]int{"integrations": 3, "api_keys": 1, "broker_configs": 0})
	})
}

func (b brokerBench) wantRows(t testing.TB, want map[string]int) {
	t.Helper()
	for table, rows := range want {
		var got int
		must(t, b.db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&got))
		if got != rows {
			t.Errorf("%s has %d rows, want %d", table, got, rows)
		}
	}
}

func TestTheKeysOfAnIntegration(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		mine, other := b.integration(t, b.caller), b.integration(t, b.caller)
		none := auth.APIKey{ID: id.New[id.APIKey](), Name: "none", Created: b.at}
		must(t, b.CreateAPIKey(ctx, b.caller, none, "none"))
		first, err := b.key(t, b.caller, mine)
		must(t, err)
		second, err := b.key(t, b.caller, mine)
		must(t, err)
		elsewhere, err := b.key(t, b.caller, other)
		must(t, err)

		for digest, want := range map[string]id.Integration{string(first.ID): mine, string(elsewhere.ID): other, "none": ""} {
			if st, err := b.KeyStanding(ctx, digest); err != nil || st.Integration != want {
				t.Errorf("a key of %q stands as %+v, %v", want, st, err)
			}
		}
		want := []id.APIKey{first.ID, second.ID}
		slices.SortFunc(want, func(x, y id.APIKey) int { return -compare(x, y) })
		got, err := b.IntegrationKeys(ctx, b.caller, mine)
		if err != nil || len(got) != 2 || got[0].ID != want[0] || got[1].ID != want[1] || *got[0].Integration != mine {
			t.Errorf("got %+v, %v, want %q", got, err, want)
		}
		if all, err := b.APIKeys(ctx, b.caller); err != nil || len(all) != 4 {
			t.Errorf("all keys: got %d, %v, want 4", len(all), err)
		}
		for _, foreign := range []id.APIKey{elsewhere.ID, none.ID, id.New[id.APIKey]()} {
			wantMissing(t, "a key of another integration, of none, and an unknown one", b.DeleteIntegrationKey(ctx, b.caller, mine, foreign))
		}
		wantMissing(t, "a stranger", b.DeleteIntegrationKey(ctx, b.owner, mine, first.ID))
		must(t, b.DeleteIntegrationKey(ctx, b.caller, mine, first.ID))
		wantMissing(t, "once more", b.DeleteIntegrationKey(ctx, b.caller, mine, first.ID))
		b.wantRows(t, map[string]int{"api_keys": 3})
	})
}

func compare[T ~string](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func TestADeletedIntegrationTakesEverythingOfItsOwnAlong(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		gone, stays := b.integration(t, b.caller), b.integration(t, b.caller)
		for _, i := range []id.Integration{gone, stays, ""} {
			o := b.opening()
			o.Integration, o.Monthly = i, ptr(int64(5))
			if ok, err := b.Open(ctx, o); err != nil || !ok {
				t.Fatalf("open: %v, %v", ok, err)
			}
			e := b.ending(o)
			e.Context = "c"
			must(t, b.Close(ctx, e))
			if i == "" {
				continue
			}
			_, err := b.key(t, b.caller, i)
			must(t, err)
			_, err = b.EditBrokerConfig(ctx, b.caller, i, func(c integration.Config) integration.Config { return c })
			must(t, err)
		}
		must(t, b.DeleteIntegration(ctx, b.caller, gone))
		b.wantRows(t, map[string]int{"integrations": 1, "api_keys": 1, "broker_configs": 1, "broker_counts": 1, "conversations": 2, "conversation_messages": 4,
			"conversation_contexts": 2, "invocation_logs": 3})
		o := b.opening()
		o.Integration = gone
		_, err := b.Open(ctx, o)
		wantMissing(t, "an invocation that was on its way", err)
	})
}

// No key outlives its integration, however closely its making follows the deletion: a
// key without an integration would see everything that its user sees.
func TestNoKeyOutlivesItsIntegration(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		made := 0
		for range 20 {
			i := b.integration(t, b.caller)
			var group sync.WaitGroup
			start, errs := make(chan struct{}), make(chan error, 8)
			for n := range 8 {
				group.Go(func() {
					<-start
					if n == 4 {
						if err := b.DeleteIntegration(ctx, b.caller, i); err != nil {
							t.Error(err)
						}
						return
					}
					if _, err := b.key(t, b.caller, i); !fault.Is(err, fault.NotFound) {
						errs <- err // nil: it was made, and deleted again
					}
				})
			}
			close(start)
			group.Wait()
			close(errs)
			for err := range errs {
				must(t, err)
				made++
			}
		}
		b.wantRows(t, map[string]int{"api_keys": 0, "integrations": 0})
		t.Logf("%d keys were made before their integration went", made)
	})
}

func TestABrokerConfigIsKeptAndHoldsTheCallsAtOnce(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		i := b.integration(t, b.caller)
		got, err := b.BrokerConfig(ctx, b.caller, i)
		if err != nil || !reflect.DeepEqual(got, integration.Default()) {
			t.Errorf("before: got %+v, %v, want the default", got, err)
		}
		if limits, err := b.Limits(ctx, b.caller, i); err != nil || !reflect.DeepEqual(limits, broker.Limits{}) {
			t.Errorf("before: the broker is told %+v, %v", limits, err)
		}
		for _, want := range []integration.Config{
			{Monthly: ptr(int64(1)), Daily: ptr(int64(1 << 62)), MaxRetries: 5, Backoff: 1_234_567 * time.Microsecond, Timeout: ptr(290 * time.Millisecond), Allowed: []id.Agent{b.agent.ID}},
			{Daily: ptr(int64(2)), Allowed: []id.Agent{}},
		} {
			stored, err := b.EditBrokerConfig(ctx, b.caller, i, func(integration.Config) integration.Config { return want })
			if err != nil || !reflect.DeepEqual(stored, want) {
				t.Errorf("put: got %+v, %v, want %+v", stored, err, want)
			}
			if got, err := b.BrokerConfig(ctx, b.caller, i); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("read: got %+v, %v, want %+v", got, err, want)
			}
			limits, err := b.Limits(ctx, b.caller, i)
			told := broker.Limits{Monthly: want.Monthly, Daily: want.Daily, MaxRetries: want.MaxRetries, Backoff: want.Backoff, Allowed: want.Allowed}
			if want.Timeout != nil {
				told.Timeout = *want.Timeout
			}
			if err != nil || !reflect.DeepEqual(limits, told) {
				t.Errorf("the broker is told %+v, %v, want %+v", limits, err, told)
			}
		}
	})
}

// Edits of one configuration at the same time all happen, one after another.
func TestNoEditOfABrokerConfigIsLost(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		i := b.integration(t, b.caller)
		const edits = 8
		errs := make([]error, edits)
		var group sync.WaitGroup
		for n := range edits {
			group.Go(func() {
				_, errs[n] = b.EditBrokerConfig(ctx, b.caller, i, func(c integration.Config) integration.Config {
					c.Allowed = append(c.Allowed, id.Agent(fmt.Sprint(n)))
					return c
				})
			})
		}
		group.Wait()
		must(t, errors.Join(errs...))
		if got, err := b.BrokerConfig(ctx, b.caller, i); err != nil || len(got.Allowed) != edits {
			t.Errorf("got %q, %v, want %d edits", got.Allowed, err, edits)
		}
	})
}

func TestAllowedAgentsAreThoseThatTheUserSees(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		agent := func(owner id.User, visibility string, active bool) id.Agent {
			a := b.agent
			a.ID, a.Owner, a.Visibility, a.Active = id.New[id.Agent](), owner, visibility, active
			a.Slug = string(a.ID)
			must(t, b.CreateAgents(ctx, made(a)))
			return a.ID
		}
		seen := []id.Agent{b.agent.ID, agent(b.owner, "public", false), agent(b.caller, "private", true), agent(b.caller, "private", false)}
		unseen := []id.Agent{agent(b.owner, "private", true), id.New[id.Agent]()}
		got, err := b.SeenAgents(ctx, b.caller, append(slices.Clone(unseen), seen...))
		slices.Sort(got)
		slices.Sort(seen)
		if err != nil || !slices.Equal(got, seen) {
			t.Errorf("got %q, %v, want %q", got, err, seen)
		}
		if got, err := b.SeenAgents(ctx, b.caller, nil); err != nil || len(got) != 0 {
			t.Errorf("of none: got %q, %v", got, err)
		}
	})
}
