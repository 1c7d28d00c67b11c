package store

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/embedding"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

type anyURL struct{}

func (anyURL) Check(context.Context, string) error { return nil }

// agentBench is a registry on a new database.
type agentBench struct {
	*registry.Service
	store *Store
	clock *testkit.Clock
}

func newAgentBench(t *testing.T, url string) agentBench {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: Migrations(), Service: "wisdom"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	clock := testkit.NewClock(time.Date(2026, 4, 23, 12, 0, 0, 123456000, time.UTC))
	s := New(db)
	return agentBench{registry.New(s, anyURL{}, runCatalog(t, s, clock.Now), clock.Now), s, clock}
}

// runCatalog is a catalog that follows s until the test ends.
func runCatalog(t *testing.T, s *Store, now clock.Now) *registry.Catalog {
	t.Helper()
	table, err := embedding.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	catalog := registry.NewCatalog(registry.CatalogConfig{Feed: s, Embedder: table, Older: func(string) registry.Embedder { return nil }, Now: now,
		Log: slog.New(slog.DiscardHandler), Degraded: func() {}})
	if err := catalog.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- catalog.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return catalog
}

// user adds an account.
func (b agentBench) user(t testing.TB) principal.Principal {
	t.Helper()
	user := id.New[id.User]()
	account := auth.Account{User: auth.User{ID: user, Email: string(user) + "@example.org", Active: true, Plan: auth.Free, Created: b.clock.Now(), Updated: b.clock.Now()}, PasswordHash: "x"}
	if err := b.store.CreateUser(t.Context(), account, account.Email); err != nil {
		t.Fatal(err)
	}
	return principal.Principal{User: user, Via: principal.JWT}
}

func ptr[T any](v T) *T { return &v }

func named(name string) registry.Change {
	return registry.Change{Name: &name, Description: ptr("about " + name), Endpoint: ptr("https://a.example/x")}
}

func (b agentBench) add(t testing.TB, p principal.Principal, c registry.Change) registry.Agent {
	t.Helper()
	a, created, err := b.Register(t.Context(), p, registry.Registration{Change: c})
	if err != nil || !created {
		t.Fatalf("register: created %v, %v", created, err)
	}
	return a
}

func slugs(agents []registry.Agent) []string {
	list := []string{}
	for _, a := range agents {
		list = append(list, a.Slug)
	}
	return list
}

func TestAnAgentIsStoredWhole(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		owner, stranger := b.user(t), b.user(t)
		full := registry.Change{
			Name: ptr("Wetter % Ö\\"), Description: ptr("d"), Endpoint: ptr("https://a.example/x"), AuthType: ptr("api_key"), InputSchema: []byte(`{"type":"object","x":1e3}`),
			Tags: []string{"weather", "<&>", "ö"}, Category: ptr("data"), Visibility: ptr(registry.Private), PricingStrategy: ptr("flat"), BasePrice: ptr(0.1),
			PricingEnabled: ptr(true), Streaming: ptr(true),
		}
		for _, c := range []registry.Change{full, named("plain")} {
			a := b.add(t, owner, c)
			got, err := b.Agent(t.Context(), owner, a.Slug)
			if err != nil || !reflect.DeepEqual(got, a) {
				t.Errorf("by slug: got %+v, %v, want %+v", got, err, a)
			}
			byID, err := b.store.OwnedAgent(t.Context(), owner.User, a.ID)
			if err != nil || !reflect.DeepEqual(byID, a) {
				t.Errorf("by id: got %+v, %v, want %+v", byID, err, a)
			}
			list, err := b.List(t.Context(), owner, registry.Query{Limit: 100, Search: a.Name})
			if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], a) {
				t.Errorf("in the list: got %+v, %v, want %+v", list, err, a)
			}
			mine, err := b.Mine(t.Context(), owner, 500, 0)
			if err != nil || !slices.ContainsFunc(mine, func(m registry.Agent) bool { return reflect.DeepEqual(m, a) }) {
				t.Errorf("among mine: got %+v, %v, want %+v", mine, err, a)
			}
			changed, err := b.Update(t.Context(), owner, a.ID, registry.Change{})
			if err != nil || !reflect.DeepEqual(changed, a) {
				t.Errorf("after an empty change: got %+v, %v, want %+v", changed, err, a)
			}
			if err := b.store.CreateAgent(t.Context(), a, registry.Content{}); !fault.Is(err, fault.Conflict) {
				t.Errorf("the same slug again: got %v, want a conflict", err)
			}
		}
		seen, err := b.List(t.Context(), stranger, registry.Query{Limit: 100})
		if err != nil || len(seen) != 1 || seen[0].Endpoint != nil {
			t.Errorf("a stranger sees %+v, %v, want the public one without its endpoint", seen, err)
		}
	})
}

func TestWhatIsNotYoursIsMissing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		owner, stranger := b.user(t), b.user(t)
		c := named("hidden")
		c.Visibility = ptr(registry.Private)
		a := b.add(t, owner, c)
		unknown := id.New[id.Agent]()

		_, getForeign := b.Agent(t.Context(), stranger, a.Slug)
		_, getUnknown := b.Agent(t.Context(), stranger, "hidden-00000000")
		_, getByID := b.Agent(t.Context(), owner, string(a.ID))
		_, putForeign := b.Update(t.Context(), stranger, a.ID, named("mine now"))
		_, putUnknown := b.Update(t.Context(), stranger, unknown, named("mine now"))
		_, storeForeign := b.store.UpdateAgent(t.Context(), stranger.User, a.ID, func(a registry.Agent) (registry.Agent, *registry.Content) { t.Error("edited"); return a, nil })
		deleteForeign, deleteUnknown := b.Delete(t.Context(), stranger, a.ID), b.Delete(t.Context(), stranger, unknown)
		for i, err := range []error{getForeign, getUnknown, getByID, putForeign, putUnknown, storeForeign, deleteForeign, deleteUnknown} {
			if f := fault.As(err); f == nil || f.Kind != fault.NotFound || f.Detail != "Agent not found" {
				t.Errorf("case %d: got %v, want: Agent not found", i, err)
			}
		}
		if got, err := b.Agent(t.Context(), owner, a.Slug); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("afterwards: got %+v, %v, want %+v", got, err, a)
		}
		if err := b.Delete(t.Context(), owner, a.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Agent(t.Context(), owner, a.Slug); !fault.Is(err, fault.NotFound) {
			t.Errorf("after the delete: got %v, want missing", err)
		}
		for _, table := range []string{"agent_tags", "agent_search"} {
			var n int
			if err := b.store.db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s has %d rows after the delete (%v), want 0", table, n, err)
			}
		}
	})
}

func TestListsFilterSortAndPage(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		owner, stranger := b.user(t), b.user(t)
		day := 24 * time.Hour
		add := func(p principal.Principal, name, description string, private bool, category string, tags ...string) registry.Agent {
			c := registry.Change{Name: &name, Description: &description, Endpoint: ptr("https://a.example"), Category: &category, Tags: tags}
			if private {
				c.Visibility = ptr(registry.Private)
			}
			return b.add(t, p, c)
		}
		// Created one day apart; their names are in another order than their ages, and
		// not in the order of their bytes.
		old := add(owner, "beta 100%", "Rechnet\\in EURO", false, "math", "x", "y")
		b.clock.Add(day)
		secret := add(owner, "Alpha", "under_score ÉCOLE", true, "data", "y")
		b.clock.Add(day)
		foreign := add(stranger, "álpha foreign", "nobody's", true, "math", "x")
		b.clock.Add(day)
		late := add(stranger, "alpha zwei", "10% off; σίσυφος", false, "Math", "z")
		b.clock.Add(day)
		asleep := add(owner, "asleep", "inactive", false, "math", "x")
		if _, err := b.Update(t.Context(), owner, asleep.ID, registry.Change{Active: ptr(false)}); err != nil {
			t.Fatal(err)
		}
		b.clock.Add(time.Hour)
		if _, err := b.Update(t.Context(), owner, old.ID, registry.Change{PricingEnabled: ptr(true)}); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			sentence string
			q        registry.Query
			want     []registry.Agent
		}{
			{"newest first; mine and public, no foreign private, no inactive one", registry.Query{}, []registry.Agent{late, secret, old}},
			{"oldest first", registry.Query{Ascending: true}, []registry.Agent{old, secret, late}},
			{"last changed first", registry.Query{Sort: registry.ByUpdated}, []registry.Agent{old, late, secret}},
			{"last changed last", registry.Query{Sort: registry.ByUpdated, Ascending: true}, []registry.Agent{secret, late, old}},
			{"by name in any case", registry.Query{Sort: registry.ByName, Ascending: true}, []registry.Agent{secret, late, old}},
			{"by name backwards", registry.Query{Sort: registry.ByName}, []registry.Agent{old, late, secret}},
			{"a page", registry.Query{Limit: 1, Offset: 1}, []registry.Agent{secret}},
			{"beyond the end", registry.Query{Offset: 1000000}, nil},
			{"any of the tags", registry.Query{Tags: []string{"x", "z", "x", "none"}}, []registry.Agent{late, old}},
			{"a tag in its own case only", registry.Query{Tags: []string{"X"}}, nil},
			{"an agent with both tags once", registry.Query{Tags: []string{"x", "y"}}, []registry.Agent{secret, old}},
			{"the category exactly", registry.Query{Category: "math"}, []registry.Agent{old}},
			{"part of a name in any case", registry.Query{Search: "ALPHA"}, []registry.Agent{late, secret}},
			{"part of a description beyond ASCII", registry.Query{Search: "école"}, []registry.Agent{secret}},
			{"another beyond ASCII", registry.Query{Search: "ΣΊΣΥΦΟΣ"}, []registry.Agent{late}},
			{"a percent sign is literal", registry.Query{Search: "0%"}, []registry.Agent{late, old}},
			{"a percent sign is no wildcard", registry.Query{Search: "a%a"}, nil},
			{"an underscore is literal", registry.Query{Search: "r_s"}, []registry.Agent{secret}},
			{"an underscore is no wildcard", registry.Query{Search: "a_pha"}, nil},
			{"a backslash is literal", registry.Query{Search: `T\IN`}, []registry.Agent{old}},
			{"a quote is literal", registry.Query{Search: "' OR '1'='1"}, nil},
			{"the last days", registry.Query{Days: 2}, []registry.Agent{late}},
			{"more days", registry.Query{Days: 4}, []registry.Agent{late, secret}},
			{"a day is 24 hours", registry.Query{Days: 5}, []registry.Agent{late, secret, old}},
			{"everything at once", registry.Query{Tags: []string{"y"}, Search: "e", Category: "data", Days: 365, Sort: registry.ByName, Ascending: true}, []registry.Agent{secret}},
		} {
			if tt.q.Limit == 0 {
				tt.q.Limit = 20
			}
			got, err := b.List(t.Context(), owner, tt.q)
			if err != nil || !slices.Equal(slugs(got), slugs(tt.want)) {
				t.Errorf("%s: got %q, %v, want %q", tt.sentence, slugs(got), err, slugs(tt.want))
			}
		}
		if got, err := b.List(t.Context(), stranger, registry.Query{Limit: 20}); err != nil || !slices.Equal(slugs(got), slugs([]registry.Agent{late, foreign, old})) {
			t.Errorf("the stranger's list: got %q, %v", slugs(got), err)
		}
		if got, err := b.Mine(t.Context(), owner, 500, 0); err != nil || !slices.Equal(slugs(got), slugs([]registry.Agent{asleep, secret, old})) {
			t.Errorf("mine: got %q, %v", slugs(got), err)
		}
		if got, err := b.Mine(t.Context(), owner, 1, 1); err != nil || !slices.Equal(slugs(got), slugs([]registry.Agent{secret})) {
			t.Errorf("a page of mine: got %q, %v", slugs(got), err)
		}
		if got, err := b.Agent(t.Context(), stranger, asleep.Slug); err != nil || got.Active {
			t.Errorf("an inactive agent by slug: got %+v, %v, want it, inactive", got, err)
		}
	})
}

func TestSearchAndTagsFollowAnUpdate(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		owner := b.user(t)
		c := named("before")
		c.Tags = []string{"old"}
		a := b.add(t, owner, c)
		if _, err := b.Update(t.Context(), owner, a.ID, registry.Change{Name: ptr("after"), Description: ptr("new"), Tags: []string{"new", "more"}}); err != nil {
			t.Fatal(err)
		}
		for want, queries := range map[int][]registry.Query{
			0: {{Search: "before"}, {Tags: []string{"old"}}},
			1: {{Search: "AFTER"}, {Search: "new"}, {Tags: []string{"more"}}, {Tags: []string{"new"}}},
		} {
			for _, q := range queries {
				q.Limit = 20
				if got, err := b.List(t.Context(), owner, q); err != nil || len(got) != want {
					t.Errorf("%+v: got %d agents, %v, want %d", q, len(got), err, want)
				}
			}
		}
	})
}

func TestPagesOfAgentsOfTheSameMomentNeitherOverlapNorMiss(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		owner := b.user(t)
		const n = 25
		for i := range n {
			c := named("same")
			if i%2 == 0 {
				c.Visibility = ptr(registry.Private)
			}
			b.add(t, owner, c)
		}
		for _, sort := range []registry.Sort{registry.ByCreated, registry.ByUpdated, registry.ByName} {
			for _, ascending := range []bool{false, true} {
				var ids []id.Agent
				for offset := 0; offset < n; offset += 4 {
					page, err := b.List(t.Context(), owner, registry.Query{Sort: sort, Ascending: ascending, Limit: 4, Offset: offset})
					if err != nil {
						t.Fatal(err)
					}
					for _, a := range page {
						ids = append(ids, a.ID)
					}
				}
				want := slices.Sorted(slices.Values(ids))
				if !ascending {
					slices.Reverse(want)
				}
				if len(slices.Compact(slices.Clone(want))) != n || !slices.Equal(ids, want) {
					t.Errorf("sort %v, ascending %v: the pages are not all %d agents in the order of their ids", sort, ascending, n)
				}
			}
		}
	})
}

// Whoever owns what, and however it changes: no foreign private agent is ever shown,
// and every other one is.
func TestNobodySeesAForeignPrivateAgent(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		type known struct {
			registry.Agent
			private bool
		}
		var agents []known
		users := []principal.Principal{b.user(t), b.user(t), b.user(t)}
		steps := 0
		rapid.Check(t, func(rt *rapid.T) {
			if steps++; steps > 25 { // each step is a few dozen statements
				return
			}
			who := rapid.SampledFrom(users).Draw(rt, "who")
			switch action := rapid.IntRange(0, 5).Draw(rt, "action"); {
			case action < 3 || len(agents) == 0:
				c := named("n")
				private := rapid.Bool().Draw(rt, "private")
				if private {
					c.Visibility = ptr(registry.Private)
				}
				agents = append(agents, known{b.add(t, who, c), private})
			case action == 3:
				i := rapid.IntRange(0, len(agents)-1).Draw(rt, "which")
				private := rapid.Bool().Draw(rt, "private")
				visibility := map[bool]string{true: registry.Private, false: registry.Public}[private]
				_, err := b.Update(t.Context(), who, agents[i].ID, registry.Change{Visibility: &visibility})
				if (err == nil) != (agents[i].Owner == who.User) {
					t.Fatalf("update by %s of an agent of %s: %v", who.User, agents[i].Owner, err)
				}
				if err == nil {
					agents[i].private = private
				}
			case action == 4:
				i := rapid.IntRange(0, len(agents)-1).Draw(rt, "which")
				err := b.Delete(t.Context(), who, agents[i].ID)
				if (err == nil) != (agents[i].Owner == who.User) {
					t.Fatalf("delete by %s of an agent of %s: %v", who.User, agents[i].Owner, err)
				}
				if err == nil {
					agents = slices.Delete(agents, i, i+1)
				}
			case action == 5:
				p := who
				p.Via = principal.Delegation
				entity := rapid.SampledFrom([]string{"aria", "bob"}).Draw(rt, "entity")
				a, created, err := b.Register(t.Context(), p, registry.Registration{Change: registry.Change{Name: &entity, Description: &entity}, HostedEntity: &entity})
				if err != nil {
					t.Fatal(err)
				}
				if created {
					agents = append(agents, known{a, true})
				}
			}
			for _, viewer := range users {
				var visible, own []string
				for _, a := range agents {
					if !a.private || a.Owner == viewer.User {
						visible = append(visible, a.Slug)
					}
					if a.Owner == viewer.User {
						own = append(own, a.Slug)
					}
					got, err := b.Agent(t.Context(), viewer, a.Slug)
					if (err == nil) != (!a.private || a.Owner == viewer.User) {
						t.Fatalf("%s reads %s of %s, private %v: %v", viewer.User, a.Slug, a.Owner, a.private, err)
					}
					if a.Owner != viewer.User && (got.Endpoint != nil || got.HostedEntity != nil) {
						t.Fatalf("%s sees endpoint %v, entity %v of %s", viewer.User, got.Endpoint, got.HostedEntity, a.Owner)
					}
				}
				slices.Sort(visible)
				slices.Sort(own)
				for name, list := range map[string]func() ([]registry.Agent, error){
					"list": func() ([]registry.Agent, error) { return b.List(t.Context(), viewer, registry.Query{Limit: 100}) },
					"search": func() ([]registry.Agent, error) {
						return b.List(t.Context(), viewer, registry.Query{Limit: 100, Sort: registry.ByName, Search: ""})
					},
					"new": func() ([]registry.Agent, error) {
						return b.List(t.Context(), viewer, registry.Query{Limit: 100, Days: 7})
					},
					"mine": func() ([]registry.Agent, error) { return b.Mine(t.Context(), viewer, 500, 0) },
				} {
					want := visible
					if name == "mine" {
						want = own
					}
					got, err := list()
					if names := slices.Sorted(slices.Values(slugs(got))); err != nil || !slices.Equal(names, want) {
						t.Fatalf("%s of %s: got %q, %v, want %q", name, viewer.User, names, err, want)
					}
					for _, a := range got {
						if a.Owner != viewer.User && (a.Endpoint != nil || a.HostedEntity != nil) {
							t.Fatalf("%s shows %s the endpoint or entity of %s", name, viewer.User, a.Owner)
						}
					}
				}
			}
		})
	})
}

func TestFiftyRegistrationsOfOneEntityMakeOneAgent(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		p := b.user(t)
		p.Via = principal.Delegation
		const n = 50
		var created [n]bool
		var agents [n]registry.Agent
		var errs [n]error
		parallel(n, func(i int) {
			name := fmt.Sprintf("Aria %d", i)
			agents[i], created[i], errs[i] = b.Register(t.Context(), p, registry.Registration{HostedEntity: ptr("aria"),
				Change: registry.Change{Name: &name, Description: ptr("d"), Tags: []string{"t", fmt.Sprintf("t%d", i)}}})
		})
		firsts := 0
		for i := range n {
			if errs[i] != nil {
				t.Fatalf("registration %d: %v", i, errs[i])
			}
			if created[i] {
				firsts++
			}
			if agents[i].ID != agents[0].ID || agents[i].Slug != agents[0].Slug || agents[i].Visibility != registry.Private || *agents[i].HostedEntity != "aria" {
				t.Errorf("registration %d answered %+v", i, agents[i])
			}
		}
		mine, err := b.Mine(t.Context(), p, 500, 0)
		if err != nil || len(mine) != 1 || firsts != 1 {
			t.Fatalf("got %d agents, %d first registrations, %v, want 1 and 1", len(mine), firsts, err)
		}
		found, err := b.List(t.Context(), p, registry.Query{Tags: []string{mine[0].Tags[1]}, Search: mine[0].Name, Limit: 20})
		if err != nil || len(found) != 1 {
			t.Errorf("the survivor is not found by its own tag and name: %d, %v", len(found), err)
		}
	})
}

func parallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	wg.Wait()
}

func TestAnotherRegistrationOfAnEntityKeepsWhatItDoesNotName(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		p, other := b.user(t), b.user(t)
		p.Via, other.Via = principal.Delegation, principal.Delegation
		r := registry.Registration{HostedEntity: ptr("aria"), Change: registry.Change{Name: ptr("Aria"), Description: ptr("d"), Tags: []string{"a"}}}
		first, created, err := b.Register(t.Context(), p, r)
		if err != nil || !created || !strings.HasPrefix(first.Slug, "entity-aria-") || first.Trust != registry.Hosted || first.Endpoint != nil {
			t.Fatalf("got %+v, %v, %v", first, created, err)
		}
		b.clock.Add(time.Hour)
		if _, err := b.Update(t.Context(), p, first.ID, registry.Change{Visibility: ptr(registry.Public), Category: ptr("fun"), Active: ptr(false)}); err != nil {
			t.Fatal(err)
		}
		b.clock.Add(time.Hour)
		r.Name, r.Tags = ptr("Aria 2"), nil
		second, created, err := b.Register(t.Context(), p, r)
		want := first
		want.Name, want.Visibility, want.Category, want.Updated, want.ContentChanged = "Aria 2", registry.Public, ptr("fun"), b.clock.Now(), b.clock.Now()
		if err != nil || created || !reflect.DeepEqual(second, want) {
			t.Errorf("got %+v, %v, %v, want %+v, updated", second, created, err, want)
		}
		if foreign, created, err := b.Register(t.Context(), other, r); err != nil || !created || foreign.ID == first.ID {
			t.Errorf("another owner's entity of the same name: got %+v, %v, %v, want another agent", foreign, created, err)
		}
	})
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		p := b.user(t)
		a := b.add(t, p, named("busy"))
		changes := []registry.Change{
			{Name: ptr("B")}, {Description: ptr("B")}, {Endpoint: ptr("https://b.example")}, {AuthType: ptr("api_key")}, {InputSchema: []byte(`{"b":1}`)},
			{Tags: []string{"b"}}, {Category: ptr("b")}, {Visibility: ptr(registry.Private)}, {PricingStrategy: ptr("b")}, {BasePrice: ptr(2.0)},
			{PricingEnabled: ptr(true)}, {Streaming: ptr(true)}, {Active: ptr(false)},
		}
		errs := make([]error, len(changes))
		parallel(len(changes), func(i int) { _, errs[i] = b.Update(t.Context(), p, a.ID, changes[i]) })
		for i, err := range errs {
			if err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		}
		want := a
		want.Name, want.Description, want.Endpoint, want.AuthType, want.InputSchema = "B", "B", ptr("https://b.example"), "api_key", []byte(`{"b":1}`)
		want.Tags, want.Category, want.Visibility, want.PricingStrategy, want.BasePrice = []string{"b"}, ptr("b"), registry.Private, ptr("b"), ptr(2.0)
		want.PricingEnabled, want.Streaming, want.Active = true, true, false
		if got, err := b.Agent(t.Context(), p, a.Slug); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

// The list without filters reads as many rows as it returns, on both engines, also
// behind many private agents of others.
func TestTheDefaultListsWalkAnIndex(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		viewer, owner := b.user(t), b.user(t)
		fill := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
			INSERT INTO agents (id, slug, owner_id, name, name_sort, description, version, auth_type, tags, visibility, trust, is_active, supports_streaming, pricing_enabled, created_us, updated_us, content_us)
			SELECT 'a' || i, 's' || i, $1, 'n', $2, 'd', '1', 'public', '[]', CASE WHEN i % 2 = 0 THEN 'public' ELSE 'private' END, 'self-signed', true, false, false, i, i, i FROM n`
		for _, statement := range []string{fill, "ANALYZE"} {
			var args []any
			if statement == fill {
				args = []any{string(owner.User), []byte("n")}
			}
			if _, err := b.store.db.Write().ExecContext(t.Context(), statement, args...); err != nil {
				t.Fatal(err)
			}
		}
		for sort, index := range map[registry.Sort]string{registry.ByCreated: "agents_public_by_created", registry.ByUpdated: "agents_public_by_updated", registry.ByName: "agents_public_by_name"} {
			for _, ascending := range []bool{false, true} {
				text, args := visibleAgentsQuery(b.store.db.Dialect(), viewer.User, registry.Query{Sort: sort, Ascending: ascending, Limit: 1}, time.Time{})
				plan := explain(t, b.store, text, args)
				if !strings.Contains(plan, index) || strings.Contains(plan, "SCAN agents\n") || strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "agents_by_owner") {
					t.Errorf("sort %v, ascending %v does not walk %s:\n%s", sort, ascending, index, plan)
				}
			}
		}
	})
}

// explain returns the engine's plan of a query.
func explain(t *testing.T, s *Store, text string, args []any) string {
	t.Helper()
	prefix := "EXPLAIN QUERY PLAN "
	if s.db.Dialect().Shared() {
		prefix = "EXPLAIN "
	}
	rows, err := s.db.Read().QueryContext(t.Context(), prefix+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(any)
		}
		if err := rows.Scan(cells...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&plan, *cells[len(cells)-1].(*any)) // the last column is the text
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
