package store

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

// call records that users called an agent just now.
func (b trustBench) call(t *testing.T, a registry.Agent, users ...principal.Principal) {
	t.Helper()
	var calls []registry.Call
	for _, p := range users {
		calls = append(calls, registry.Call{Agent: a.ID, User: p.User, At: b.clock.Now(), Success: true, Latency: time.Second})
	}
	if err := b.store.RecordCalls(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
}

func TestARatingIsOnePerUserAndAgent(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		owner, ann, bob := b.user(t), b.user(t), b.user(t)
		a, other := b.add(t, owner, named("weather oracle")), b.add(t, owner, named("other"))
		b.call(t, a, ann, bob, ann)
		b.call(t, other, ann)

		first, err := b.Rate(t.Context(), ann, a.Slug, 5, ptr("very good"))
		want := registry.Rating{ID: first.ID, User: ann.User, Agent: a.ID, Score: 5, Comment: ptr("very good"), Created: b.clock.Now(), Updated: b.clock.Now()}
		if err != nil || !reflect.DeepEqual(first, want) || first.ID == "" {
			t.Errorf("got %+v, %v, want %+v", first, err, want)
		}
		b.clock.Add(time.Hour)
		byBob, err := b.Rate(t.Context(), bob, a.Slug, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.wantRating(t, a, 7, 2)
		if _, err := b.Rate(t.Context(), ann, other.Slug, 1, nil); err != nil {
			t.Fatal(err)
		}
		b.clock.Add(time.Hour)
		want.Score, want.Comment, want.Updated = 4, nil, b.clock.Now()
		if again, err := b.Rate(t.Context(), ann, a.Slug, 4, nil); err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("once more: got %+v, %v, want %+v", again, err, want)
		}
		b.wantRating(t, a, 6, 2)
		b.wantRating(t, other, 1, 1)
		for _, tt := range []struct {
			limit, offset int
			want          []registry.Rating
		}{
			{20, 0, []registry.Rating{want, byBob}}, {1, 0, []registry.Rating{want}}, {1, 1, []registry.Rating{byBob}}, {20, 2, []registry.Rating{}},
		} {
			if got, err := b.Ratings(t.Context(), bob, a.Slug, tt.limit, tt.offset); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ratings, limit %d, offset %d: got %+v, %v, want %+v", tt.limit, tt.offset, got, err, tt.want)
			}
		}
		if got, err := b.Agent(t.Context(), bob, a.Slug); err != nil || !got.Updated.Equal(a.Updated) {
			t.Errorf("updated_at moved to %v, %v", got.Updated, err)
		}
		if err := b.Delete(t.Context(), owner, a.ID); err != nil {
			t.Fatal(err)
		}
		b.wantRows(t, "agent_ratings", 1)
		b.wantRows(t, "agent_callers", 1)
	})
}

// wantRating looks at the row and at the memory copy.
func (b trustBench) wantRating(t *testing.T, a registry.Agent, sum, count int64) {
	t.Helper()
	viewer := principal.Principal{User: id.New[id.User]()}
	stored, err := b.Agent(t.Context(), viewer, a.Slug)
	if err != nil || stored.RatingSum != sum || stored.RatingCount != count {
		t.Errorf("%s is stored with %d from %d, %v, want %d from %d", a.Name, stored.RatingSum, stored.RatingCount, err, sum, count)
	}
	found, err := b.Discover(t.Context(), viewer, registry.Discovery{Text: a.Name, Limit: 1})
	if err != nil || len(found.Agents) != 1 || found.Agents[0].RatingSum != sum || found.Agents[0].RatingCount != count {
		t.Errorf("%s is found as %+v, %v, want %d from %d", a.Name, found.Agents, err, sum, count)
	}
}

func TestWhoMayRate(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		owner, caller, other := b.user(t), b.user(t), b.user(t)
		public, hidden, asleep := b.add(t, owner, named("public")), b.add(t, owner, named("hidden")), b.add(t, owner, named("asleep"))
		for _, a := range []registry.Agent{public, hidden, asleep} {
			b.call(t, a, owner, caller)
		}
		for agent, c := range map[id.Agent]registry.Change{hidden.ID: {Visibility: ptr(registry.Private)}, asleep.ID: {Active: ptr(false)}} {
			if _, err := b.Update(t.Context(), owner, agent, c); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			sentence string
			p        principal.Principal
			slug     string
			want     string
		}{
			{"a caller", caller, public.Slug, ""},
			{"a caller of what is inactive now", caller, asleep.Slug, ""},
			{"one who never called", other, public.Slug, "rating_not_allowed"},
			{"the owner, who called", owner, public.Slug, "rating_not_allowed"},
			{"the owner of a private one", owner, hidden.Slug, "rating_not_allowed"},
			{"a caller of what is private now", caller, hidden.Slug, "not_found"},
			{"one who never called what is private", other, hidden.Slug, "not_found"},
			{"an unknown agent", caller, "public-00000000", "not_found"},
			{"an agent by its id", caller, string(public.ID), "not_found"},
		} {
			_, err := b.Rate(t.Context(), tt.p, tt.slug, 3, nil)
			if got := code(err); got != tt.want {
				t.Errorf("%s: got %q, %v, want %q", tt.sentence, got, err, tt.want)
			}
			_, err = b.Ratings(t.Context(), tt.p, tt.slug, 20, 0)
			if got, want := code(err), strings.ReplaceAll(tt.want, "rating_not_allowed", ""); got != want {
				t.Errorf("%s: the list: got %q, %v, want %q", tt.sentence, got, err, want)
			}
		}
		// It went private after the service had looked.
		if _, err := b.store.PutRating(t.Context(), registry.Rating{ID: "x", User: caller.User, Agent: hidden.ID, Score: 1}); !fault.Is(err, fault.NotFound) {
			t.Errorf("into a private agent: got %v, want missing", err)
		}
		b.wantRows(t, "agent_ratings", 2)
	})
}

func code(err error) string {
	if f := fault.As(err); f != nil {
		return f.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// Raters, re-raters, callers and the owner at once, on two nodes: nothing is lost.
func TestFiftyConcurrentRatersAddUp(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		nodes := []trustBench{newTrustBench(t, url), newTrustBench(t, url)}
		b := nodes[0]
		owner := b.user(t)
		a := b.add(t, owner, named("busy"))
		const raters, rounds = 25, 2
		var users []principal.Principal
		for range raters {
			users = append(users, b.user(t))
		}
		b.call(t, a, users...)
		last := make([]error, 2*raters)
		parallel(2*raters, func(i int) { // each user twice at once
			for round := range rounds {
				node := nodes[(i+round)%2]
				if _, err := node.Rate(t.Context(), users[i%raters], a.Slug, 1+rand.N(5), nil); err != nil {
					last[i] = err
				}
				if i%10 == 0 {
					if _, err := node.Update(t.Context(), owner, a.ID, registry.Change{BasePrice: ptr(float64(i))}); err != nil {
						last[i] = err
					}
					node.call(t, a, users[i%raters])
				}
			}
		})
		for i, err := range last {
			if err != nil {
				t.Errorf("rater %d: %v", i, err)
			}
		}
		var sum, count int64
		if err := b.store.db.Read().QueryRowContext(t.Context(), "SELECT CAST(SUM(score) AS BIGINT), COUNT(*) FROM agent_ratings").Scan(&sum, &count); err != nil {
			t.Fatal(err)
		}
		got, err := b.Agent(t.Context(), owner, a.Slug)
		if err != nil || got.RatingSum != sum || got.RatingCount != count || count != raters {
			t.Errorf("got %d from %d, %v, want %d from %d raters", got.RatingSum, got.RatingCount, err, sum, raters)
		}
		if want := int64(raters + rounds*len(users)/5); got.Figures.Calls != want {
			t.Errorf("got %d calls, want %d", got.Figures.Calls, want)
		}
	})
}

func TestCallsAreAddedUpExactly(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		nodes := []trustBench{newTrustBench(t, url), newTrustBench(t, url)}
		b := nodes[0]
		owner, gone := b.user(t), b.user(t)
		var agents []registry.Agent
		for range 4 {
			agents = append(agents, b.add(t, owner, named("a")))
		}
		deleted := b.add(t, gone, named("deleted"))
		if err := b.Delete(t.Context(), gone, deleted.ID); err != nil {
			t.Fatal(err)
		}
		agents = append(agents, deleted)
		users := []id.User{owner.User, gone.User}
		type place struct {
			agent id.Agent
			hour  registry.Hour
		}
		const workers, batches = 50, 2
		work := make([][][]registry.Call, workers)
		want, callers := map[place]registry.Figures{}, map[string]bool{}
		for i := range work {
			for range batches {
				var batch []registry.Call
				for range 1 + rand.N(8) {
					c := registry.Call{Agent: agents[rand.N(len(agents))].ID, User: users[rand.N(2)], At: b.clock.Now().Add(-time.Duration(rand.N(3)) * time.Hour),
						Success: rand.N(2) == 0, Latency: time.Duration(rand.N(3000)) * time.Millisecond}
					batch = append(batch, c)
					if c.Agent != deleted.ID {
						p := place{c.Agent, registry.HourOf(c.At)}
						want[p] = want[p].Plus(c.Figures())
						callers[string(c.Agent)+string(c.User)] = true
					}
				}
				work[i] = append(work[i], batch)
			}
		}
		errs := make([]error, workers)
		parallel(workers, func(i int) {
			for n, batch := range work[i] {
				if err := nodes[(i+n)%2].store.RecordCalls(t.Context(), batch); err != nil {
					errs[i] = err
				}
			}
		})
		for i, err := range errs {
			if err != nil {
				t.Errorf("worker %d: %v", i, err)
			}
		}
		got := map[place]registry.Figures{}
		rows, err := b.store.db.Read().QueryContext(t.Context(), "SELECT agent_id, hour, calls, successes, latency_ms FROM agent_hours")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var p place
			var f registry.Figures
			if err := rows.Scan(&p.agent, &p.hour, &f.Calls, &f.Successes, &f.LatencyMS); err != nil {
				t.Fatal(err)
			}
			got[p] = f
		}
		if err := rows.Err(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
		b.wantRows(t, "agent_callers", len(callers))
		b.catalog.Sync(t.Context())
		var shown, all registry.Figures
		found, err := b.Discover(t.Context(), owner, registry.Discovery{Text: "a", Limit: 10})
		for _, a := range found.Agents {
			shown = shown.Plus(a.Figures)
		}
		for _, f := range want {
			all = all.Plus(f)
		}
		if err != nil || shown != all {
			t.Errorf("discovery shows %+v, %v, want %+v", shown, err, all)
		}
	})
}

// Agents that are called and agents that are deleted at once: calls of what is there
// are all counted, and nothing is left of what is gone.
func TestACallOfAnAgentThatGoesIsNoFault(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		owner := b.user(t)
		kept := b.add(t, owner, named("kept"))
		const n = 10
		agents := make([]registry.Agent, n)
		for i := range agents {
			agents[i] = b.add(t, owner, named("going"))
			b.call(t, agents[i], owner)
		}
		errs := make([]error, 2*n)
		parallel(2*n, func(i int) {
			if i < n {
				errs[i] = b.Delete(t.Context(), owner, agents[i].ID)
				return
			}
			at := b.clock.Now()
			errs[i] = b.store.RecordCalls(t.Context(), []registry.Call{{Agent: agents[i-n].ID, User: owner.User, At: at}, {Agent: kept.ID, User: owner.User, At: at}})
		})
		for i, err := range errs {
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		if got, err := b.Agent(t.Context(), owner, kept.Slug); err != nil || got.Figures.Calls != n {
			t.Errorf("got %d calls, %v, want %d", got.Figures.Calls, err, n)
		}
		b.wantRows(t, "agent_hours", 1)
		b.wantRows(t, "agent_callers", 1)
	})
}

func TestTrendingIsByCallsInTheWindow(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		ann, bob := b.user(t), b.user(t)
		type known struct {
			registry.Agent
			calls []registry.Call
		}
		var all []known
		for i := range 24 {
			c := named(fmt.Sprint("agent ", i))
			p := []principal.Principal{ann, bob}[i%2]
			if i%3 == 0 {
				c.Visibility = ptr(registry.Private)
			}
			a := b.add(t, p, c)
			if i%5 == 4 {
				if _, err := b.Update(t.Context(), p, a.ID, registry.Change{Active: ptr(false)}); err != nil {
					t.Fatal(err)
				}
				a.Active = false
			}
			all = append(all, known{Agent: a})
			if i%4 == 0 {
				b.clock.Add(time.Second) // several are of one moment
			}
		}
		now := b.clock.Now()
		ages := []time.Duration{0, time.Hour, 23 * time.Hour, 24 * time.Hour, 25 * time.Hour, 6 * 24 * time.Hour, 168 * time.Hour, 169 * time.Hour, 200 * 24 * time.Hour, 366 * 24 * time.Hour}
		var calls []registry.Call
		for i := range all {
			for range rand.N(6) {
				c := registry.Call{Agent: all[i].ID, User: ann.User, At: now.Add(-ages[rand.N(len(ages))]), Success: rand.N(3) > 0, Latency: time.Duration(rand.N(900)) * time.Millisecond}
				calls = append(calls, c)
				all[i].calls = append(all[i].calls, c)
			}
		}
		if err := b.store.RecordCalls(t.Context(), calls); err != nil {
			t.Fatal(err)
		}
		for _, viewer := range []principal.Principal{ann, bob} {
			for _, days := range []int{1, 7, 365} {
				for _, limit := range []int{1, 5, 100} {
					var want []registry.Agent
					for _, k := range all {
						a := k.Agent
						for _, c := range k.calls {
							if registry.HourOf(c.At) >= registry.HourOf(now)-registry.Hour(24*days) {
								a.Figures = a.Figures.Plus(c.Figures())
							}
						}
						if a.Figures.Calls > 0 && a.Active && (a.Visibility == registry.Public || a.Owner == viewer.User) {
							want = append(want, a.SeenBy(viewer.User))
						}
					}
					slices.SortFunc(want, func(x, y registry.Agent) int {
						return cmp.Or(cmp.Compare(y.Figures.Calls, x.Figures.Calls), y.Created.Compare(x.Created), cmp.Compare(y.ID, x.ID))
					})
					want = want[:min(limit, len(want))]
					got, err := b.Trending(t.Context(), viewer, days, limit)
					if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
						t.Errorf("%d days, limit %d: got %q, %v, want %q", days, limit, slugs(got), err, slugs(want))
					}
				}
			}
		}
	})
}

// The window is read along its index: calls of before cost nothing.
func TestTrendingReadsItsWindowOnly(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		owner := b.user(t)
		var calls []registry.Call
		for i := range 4 {
			a := b.add(t, owner, named(fmt.Sprint(i)))
			for hour := range 1000 {
				calls = append(calls, registry.Call{Agent: a.ID, User: owner.User, At: b.clock.Now().Add(-time.Duration(hour) * time.Hour)})
			}
		}
		if err := b.store.RecordCalls(t.Context(), calls); err != nil {
			t.Fatal(err)
		}
		text := testkit.Queries(t, "query")["TrendingAgents"]
		since := registry.HourOf(b.clock.Now()) - 48
		p := query.TrendingAgentsParams{Since: int64(since), Until: 24 * firstDay(since), Day: firstDay(since), Viewer: string(owner.User), Lim: 20}
		for _, analysed := range []bool{false, true} {
			if analysed {
				exec(t, b, "ANALYZE")
			} else if b.store.db.Dialect().Shared() {
				continue // PostgreSQL always knows its tables
			}
			days := b.store.db.Dialect().Shared() // PostgreSQL reads so few rows from the table
			if plan := explain(t, b.store, text, []any{p.Since, p.Until, p.Day, p.Viewer, p.Lim}); !strings.Contains(plan, "agent_hours_by_hour") || !days && !strings.Contains(plan, "agent_days_by_day") {
				t.Errorf("analysed %v: the plan is\n%s", analysed, plan)
			}
		}
	})
}
