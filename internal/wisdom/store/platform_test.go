package store

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/platform"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

func TestTheHaltKeepsSinceWhen(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s, ctx := newStore(t, open(), nil, nil), t.Context()
		at := time.Date(2026, 4, 23, 12, 0, 0, 123456000, time.UTC)
		want := func(sentence string, since *time.Time) {
			t.Helper()
			if got, err := s.Halted(ctx); err != nil || !reflect.DeepEqual(got, since) {
				t.Errorf("%s: got %v, %v, want %v", sentence, got, err, since)
			}
		}
		want("at first", nil)
		must(t, s.Resume(ctx))
		for n := range 2 {
			since, err := s.Halt(ctx, at.Add(time.Duration(n)*time.Hour))
			if err != nil || !since.Equal(at) {
				t.Errorf("halt %d: got %v, %v, want %v", n, since, err, at)
			}
			want("halted", &at)
		}
		must(t, s.Resume(ctx))
		want("resumed", nil)
		at = at.Add(time.Minute)
		_, err := s.Halt(ctx, at)
		must(t, err)
		want("halted anew", &at)
	})
}

// What one node switches, another obeys within a second, and itself at once.
func TestNodesObeyEachOthersHalt(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url, now := open(), testkit.NewClock(time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC))
		s, ctx := newStore(t, url, nil, nil), t.Context()
		here, there := platform.New(s, now.Now), platform.New(s, now.Now)
		admin := principal.Principal{User: "a", Via: principal.JWT, Admin: true}
		want := func(sentence string, node *platform.Service, halted bool) {
			t.Helper()
			if err := node.Running(ctx); fault.HasCode(err, "platform_halted") != halted || !halted && err != nil {
				t.Errorf("%s: got %v, want halted %v", sentence, err, halted)
			}
		}
		for range 2 {
			want("running here", here, false)
			want("running there", there, false)
			_, err := here.Halt(ctx, admin)
			must(t, err)
			want("halted here, at once", here, true)
			now.Add(time.Second)
			want("halted there, a second later", there, true)
			must(t, there.Resume(ctx, admin))
			want("resumed there, at once", there, false)
			now.Add(time.Second)
			want("resumed here, a second later", here, false)
		}
	})
}

func TestADisabledAgentIsInactiveUntilItIsEnabled(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		owner, admin := b.user(t), b.user(t)
		host := owner
		host.Via, admin.Admin = principal.Delegation, true
		yes, no := true, false
		entity := registry.Registration{HostedEntity: ptr("aria"), Change: registry.Change{Name: ptr("Aria"), Description: ptr("d"), Visibility: ptr(registry.Public)}}
		card := registry.Imported{Name: "card", Description: "d", Version: "1", Endpoint: "https://a.example/x", Dialect: "1.0", AuthType: registry.AuthPublic, Tags: []string{}}
		register := func(t *testing.T) registry.Agent {
			a, _, err := b.Register(t.Context(), host, entity)
			must(t, err)
			return a
		}
		importCard := func(t *testing.T) registry.Agent {
			a, err := b.Import(t.Context(), owner, "https://a.example/card", card, ptr(registry.Public))
			must(t, err)
			return a
		}
		set := func(active *bool) func(*testing.T, registry.Agent) {
			return func(t *testing.T, a registry.Agent) {
				_, err := b.Update(t.Context(), owner, a.ID, registry.Change{Active: active, Description: ptr("set " + string(id.New[id.User]()))})
				must(t, err)
			}
		}
		refused := func(t *testing.T, a registry.Agent) {
			if _, err := b.Update(t.Context(), owner, a.ID, registry.Change{Active: &yes}); !fault.HasCode(err, "agent_disabled") || !fault.Is(err, fault.Forbidden) {
				t.Errorf("got %v, want agent_disabled", err)
			}
		}
		again := func(t *testing.T, a registry.Agent) {
			for _, f := range []func(*testing.T) registry.Agent{register, importCard} {
				if got := f(t); got.ID == a.ID && got.Active {
					t.Error("it was switched on")
				}
			}
		}
		refresh := func(t *testing.T, a registry.Agent) {
			got, err := b.Refresh(t.Context(), owner, a.Slug, func(registry.Agent) (registry.Imported, error) { return card, nil })
			must(t, err)
			if got.Active {
				t.Error("a refresh switched it on")
			}
		}
		nothing := func(*testing.T, registry.Agent) {}
		for _, tt := range []struct {
			sentence      string
			agent         func(*testing.T) registry.Agent
			before, while func(*testing.T, registry.Agent)
			after         bool
		}{
			{"an active one is active again", register, nothing, nothing, true},
			{"an inactive one stays so", register, set(&no), nothing, false},
			{"its owner cannot switch it on", register, nothing, refused, true},
			{"its owner cannot switch it on, also if it was off", register, set(&no), refused, false},
			{"its owner may change everything else", register, nothing, set(nil), true},
			{"its owner may switch it off", register, nothing, set(&no), false},
			{"registering anew is what it would have been, later", register, set(&no), again, true},
			{"importing anew leaves it", importCard, nothing, again, true},
			{"importing anew leaves an inactive one", importCard, set(&no), again, false},
			{"refreshing leaves it", importCard, nothing, refresh, true},
		} {
			t.Run(tt.sentence, func(t *testing.T) {
				a := tt.agent(t)
				tt.before(t, a)
				for range 2 { // once more changes nothing
					got, err := b.Disable(t.Context(), admin, a.ID)
					if err != nil || got.Active || got.Endpoint != nil {
						t.Errorf("disable: got %+v, %v", got, err)
					}
				}
				tt.while(t, a)
				b.wantActive(t, owner, a, false)
				for range 2 {
					got, err := b.Enable(t.Context(), admin, a.ID)
					if err != nil || got.Active != tt.after {
						t.Errorf("enable: got active %v, %v, want %v", got.Active, err, tt.after)
					}
				}
				b.wantActive(t, owner, a, tt.after)
				set(&yes)(t, a)
				b.wantActive(t, owner, a, true)
				must(t, b.Delete(t.Context(), owner, a.ID))
			})
		}
	})
}

// wantActive looks wherever an agent shows.
func (b trustBench) wantActive(t *testing.T, p principal.Principal, a registry.Agent, active bool) {
	t.Helper()
	ctx := t.Context()
	got, err := b.Agent(ctx, p, a.Slug)
	must(t, err)
	listed, err := b.List(ctx, p, registry.Query{Limit: 100})
	must(t, err)
	found, err := b.Discover(ctx, p, registry.Discovery{Text: a.Name, Limit: 50})
	must(t, err)
	must(t, b.store.RecordCalls(ctx, []registry.Call{{Agent: a.ID, User: p.User, At: b.clock.Now(), Success: true}}))
	trending, err := b.Trending(ctx, p, 7, 100)
	must(t, err)
	called, _, err := b.store.CalledAgent(ctx, a.Slug)
	must(t, err)
	is := func(x registry.Agent) bool { return x.ID == a.ID }
	for where, got := range map[string]bool{"read": got.Active, "list": slices.ContainsFunc(listed, is), "discovery": slices.ContainsFunc(found.Agents, is),
		"trending": slices.ContainsFunc(trending, is), "the broker": called.Active} {
		if got != active {
			t.Errorf("%s: active %v, want %v", where, got, active)
		}
	}
}

func TestDisabledAgentsAreListedLastDisabledFirstToAdministratorsOnly(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		owner, admin := b.user(t), b.user(t)
		admin.Admin = true
		var want []id.Agent
		for _, name := range []string{"a", "b", "c", "d"} {
			c := named(name)
			c.Visibility = ptr(registry.Private)
			a := b.add(t, owner, c)
			b.clock.Add(time.Second)
			if name == "d" {
				continue
			}
			_, err := b.Disable(t.Context(), admin, a.ID)
			must(t, err)
			want = slices.Insert(want, 0, a.ID)
		}
		_, err := b.Disable(t.Context(), admin, want[2]) // keeps its place
		must(t, err)
		for _, page := range [][2]int{{100, 0}, {1, 0}, {1, 1}, {2, 2}, {2, 3}} {
			found, err := b.Disabled(t.Context(), admin, page[0], page[1])
			var got []id.Agent
			for _, a := range found {
				got = append(got, a.ID)
			}
			expected := want[page[1]:]
			if expected = expected[:min(page[0], len(expected))]; err != nil || !slices.Equal(got, expected) {
				t.Errorf("page %v: got %q, %v, want %q", page, got, err, expected)
			}
		}
		for i, err := range []error{
			second(b.Disable(t.Context(), owner, want[0])), second(b.Enable(t.Context(), owner, want[0])), second(b.Disabled(t.Context(), owner, 10, 0)),
		} {
			if !fault.Is(err, fault.Forbidden) {
				t.Errorf("case %d: the owner got %v, want it forbidden", i, err)
			}
		}
		unknown := id.New[id.Agent]()
		wantMissing(t, "disable", second(b.Disable(t.Context(), admin, unknown)))
		wantMissing(t, "enable", second(b.Enable(t.Context(), admin, unknown)))
		if plan := explain(t, b.store, testkit.Queries(t, "query")["DisabledAgents"], []any{0, 10}); !b.store.db.Dialect().Shared() && (!strings.Contains(plan, "agents_disabled") || strings.Contains(plan, "TEMP B-TREE")) {
			t.Errorf("the plan is\n%s", plan)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// An owner who switches an agent on while it is disabled is refused, or came first: it
// is never active afterwards.
func TestDisablingWinsAgainstItsOwner(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		owner, admin := b.user(t), b.user(t)
		admin.Admin = true
		yes := true
		for n := range 5 {
			a := b.add(t, owner, named("a"))
			var group sync.WaitGroup
			for range 4 {
				group.Go(func() {
					got, err := b.Update(t.Context(), owner, a.ID, registry.Change{Active: &yes, Description: ptr(string(id.New[id.User]()))})
					if !fault.HasCode(err, "agent_disabled") && (err != nil || !got.Active) {
						t.Errorf("got active %v, %v, want it active or refused", got.Active, err)
					}
				})
			}
			group.Go(func() {
				if _, err := b.Disable(t.Context(), admin, a.ID); err != nil {
					t.Error(err)
				}
			})
			group.Wait()
			if got, err := b.Agent(t.Context(), owner, a.Slug); err != nil || got.Active {
				t.Errorf("round %d: got active %v, %v", n, got.Active, err)
			}
		}
	})
}
