package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/embedding"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// bag is a model for tests: a text is the bag of its words, each a direction that its
// hash chooses. It can be switched off.
type bag struct {
	name string
	dim  int
	down *atomic.Bool
}

func newBag(name string, dim int) bag {
	return bag{name, dim, &atomic.Bool{}}
}

func (b bag) Model() string { return b.name }

func (b bag) Query(_ context.Context, text string) ([]float32, error) {
	if b.down.Load() {
		return nil, errors.New("down")
	}
	v := make([]float32, b.dim)
	for word := range strings.FieldsSeq(strings.ToLower(strings.Trim(text, ".:"))) {
		h := fnv.New32a()
		_, _ = h.Write([]byte(strings.Trim(word, ".:") + b.name))
		v[h.Sum32()%uint32(b.dim)] = 1
	}
	return v, nil
}

func (b bag) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	var vectors [][]float32
	for _, text := range texts {
		if strings.Contains(text, "poison") {
			return nil, errors.New("no idea what this is")
		}
		v, err := b.Query(ctx, text)
		if err != nil {
			return nil, err
		}
		vectors = append(vectors, v)
	}
	return vectors, nil
}

// node is one process with a catalog of its own.
type node struct {
	*registry.Service
	catalog *registry.Catalog
	store   *Store
	stop    func()

	stopFollowing func()
}

func newNode(t *testing.T, url string, now clock.Now, model registry.Embedder, older ...registry.Embedder) node {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: Migrations(), Service: "wisdom"})
	if err != nil {
		t.Fatal(err)
	}
	s := New(db)
	catalog := registry.NewCatalog(registry.CatalogConfig{Feed: s, Embedder: model, Now: now, Log: slog.New(slog.DiscardHandler), Degraded: func() {},
		Older: func(name string) registry.Embedder {
			for _, m := range older {
				if m.Model() == name {
					return m
				}
			}
			return nil
		}})
	if err := catalog.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- catalog.Run(ctx) }()
	stopFollowing := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	n := node{registry.New(s, anyURL{}, catalog, now), catalog, s, sync.OnceFunc(func() {
		stopFollowing()
		_ = db.Close()
	}), stopFollowing}
	t.Cleanup(n.stop)
	return n
}

func (n node) register(t testing.TB, p principal.Principal, name, description string) registry.Agent {
	t.Helper()
	a, _, err := n.Register(t.Context(), p, registry.Registration{Change: registry.Change{Name: &name, Description: &description, Endpoint: ptr("https://a.example.org/")}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// names are those that are found, best first.
func (n node) names(t testing.TB, p principal.Principal, text string) []string {
	t.Helper()
	found, err := n.Discover(t.Context(), p, registry.Discovery{Text: text, Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range found.Agents {
		names = append(names, a.Name)
	}
	return names
}

// within asks again and again for a second, which is the bound for other nodes.
func within(t testing.TB, what string, done func() bool) {
	t.Helper()
	end := time.Now().Add(time.Second)
	for !done() {
		if time.Now().After(end) {
			t.Fatalf("not within a second: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestAnAgentIsFoundWhenItsRegistrationReturns(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		n := newNode(t, open(), clock.System, newBag("m", 1024))
		ada, bob := agentBench{store: n.store, clock: testkit.NewClock(clock.System())}.user(t), agentBench{store: n.store, clock: testkit.NewClock(clock.System())}.user(t)
		a := n.register(t, ada, "Weather", "tells rain")
		if got := n.names(t, bob, "rain"); !slices.Equal(got, []string{"Weather"}) {
			t.Fatalf("after the registration: found %q", got)
		}
		for _, step := range []struct {
			sentence string
			change   registry.Change
			want     []string
			byOwner  []string
		}{
			{"a new description", registry.Change{Description: ptr("tells snow")}, nil, nil},
			{"the old one again", registry.Change{Description: ptr("tells rain")}, []string{"Weather"}, []string{"Weather"}},
			{"inactive", registry.Change{Active: ptr(false)}, nil, nil},
			{"active again", registry.Change{Active: ptr(true)}, []string{"Weather"}, []string{"Weather"}},
			{"private", registry.Change{Visibility: ptr("private")}, nil, []string{"Weather"}},
			{"renamed", registry.Change{Visibility: ptr("public"), Name: ptr("Rain")}, []string{"Rain"}, []string{"Rain"}},
		} {
			if _, err := n.Update(t.Context(), ada, a.ID, step.change); err != nil {
				t.Fatal(err)
			}
			words := func(p principal.Principal) (names []string) {
				for _, name := range n.names(t, p, "rain") {
					found, err := n.Discover(t.Context(), p, registry.Discovery{Text: "rain", Limit: 50, Threshold: ptr(1.999)})
					if err != nil || len(found.Agents) == 0 {
						return nil // it is only there because so few are
					}
					names = append(names, name)
				}
				return names
			}
			if got := words(bob); !slices.Equal(got, step.want) {
				t.Errorf("%s: others find %q, want %q", step.sentence, got, step.want)
			}
			if got := words(ada); !slices.Equal(got, step.byOwner) {
				t.Errorf("%s: the owner finds %q, want %q", step.sentence, got, step.byOwner)
			}
		}
		if err := n.Delete(t.Context(), ada, a.ID); err != nil {
			t.Fatal(err)
		}
		if got := n.names(t, ada, "rain"); got != nil {
			t.Errorf("deleted, but found: %q", got)
		}
	})
}

func TestTheRegistryLoadsAsItWas(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		now := testkit.NewClock(clock.System())
		n := newNode(t, url, now.Now, newBag("m", 1024))
		ada := agentBench{store: n.store, clock: now}.user(t)
		for i := range 40 {
			n.register(t, ada, fmt.Sprintf("Agent %d", i), fmt.Sprintf("word%d word%d common", i, i%7))
			now.Add(time.Second)
		}
		want := n.names(t, ada, "word3 common")
		n.stop()
		if got := newNode(t, url, now.Now, newBag("m", 1024)).names(t, ada, "word3 common"); !slices.Equal(got, want) {
			t.Errorf("after a restart %q, before %q", got, want)
		}
	})
}

// Two processes on one database: what one writes, the other finds within a second.
func TestNodesFollowEachOther(t *testing.T) {
	url := testkit.Postgres(t)
	one, two := newNode(t, url, clock.System, newBag("m", 1024)), newNode(t, url, clock.System, newBag("m", 1024))
	ada := agentBench{store: one.store, clock: testkit.NewClock(clock.System())}.user(t)
	a := one.register(t, ada, "Weather", "tells rain")
	within(t, "registered", func() bool { return slices.Equal(two.names(t, ada, "rain"), []string{"Weather"}) })
	if _, err := two.Update(t.Context(), ada, a.ID, registry.Change{Name: ptr("Snow")}); err != nil {
		t.Fatal(err)
	}
	within(t, "renamed", func() bool { return slices.Equal(one.names(t, ada, "rain"), []string{"Snow"}) })
	if err := one.Delete(t.Context(), ada, a.ID); err != nil {
		t.Fatal(err)
	}
	within(t, "deleted", func() bool { return two.names(t, ada, "rain") == nil })

	// In parallel, through both: nothing is missed in whatever order they commit.
	var group sync.WaitGroup
	for i, n := range []node{one, two, one, two} {
		group.Go(func() {
			for j := range 15 {
				a := n.register(t, ada, fmt.Sprintf("Agent %d %d", i, j), "tells rain")
				if j%3 == 0 {
					if err := n.Delete(t.Context(), ada, a.ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	within(t, "all of them", func() bool {
		return len(one.names(t, ada, "rain")) == 40 && slices.Equal(one.names(t, ada, "rain"), two.names(t, ada, "rain"))
	})
}

// A transaction that began earlier may commit later: whoever has read past it by then
// must still see it.
func TestALateCommitIsNotMissed(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		ada := b.user(t)
		n := node{Service: b.Service}
		agents := []registry.Agent{n.register(t, ada, "A", "a"), n.register(t, ada, "B", "b")}
		low, _, err := b.store.Horizon(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen := map[id.Agent]bool{}
		read := func() {
			next, high, err := b.store.Horizon(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			stamps, err := b.store.AgentsChanged(t.Context(), low, high)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range stamps {
				seen[s.Agent] = true
			}
			low = next
		}
		touch := func(tx *sql.Tx, a registry.Agent) error { return b.store.touch(t.Context(), tx, a.ID, b.clock.Now()) }
		if b.store.db.Dialect().Shared() {
			err = b.store.db.Tx(t.Context(), func(early *sql.Tx) error {
				if err := touch(early, agents[0]); err != nil {
					return err
				}
				if err := b.store.db.Tx(t.Context(), func(late *sql.Tx) error { return touch(late, agents[1]) }); err != nil {
					return err
				}
				read()
				if seen[agents[0].ID] || !seen[agents[1].ID] {
					t.Errorf("before the early one commits: seen %v", seen)
				}
				return nil
			})
		} else {
			err = b.store.db.Tx(t.Context(), func(tx *sql.Tx) error {
				if err := touch(tx, agents[0]); err != nil {
					return err
				}
				read() // the writer has not committed
				return touch(tx, agents[1])
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		read()
		if !seen[agents[0].ID] || !seen[agents[1].ID] {
			t.Errorf("seen %v, want both", seen)
		}
	})
}

func TestAChangeOfModelServesTheOldVectorsUntilTheNewOnesAreMade(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		old, model := newBag("old", 1024), newBag("new", 2048)
		first := newNode(t, url, clock.System, old)
		ada := agentBench{store: first.store, clock: testkit.NewClock(clock.System())}.user(t)
		for i := range 150 {
			first.register(t, ada, fmt.Sprintf("Agent %d", i), fmt.Sprintf("topic%d", i))
		}
		first.stop()
		distance := func(n node, text string) float64 {
			found, err := n.Discover(t.Context(), ada, registry.Discovery{Text: text, Limit: 1, RankBy: registry.SimilarityOnly})
			if err != nil || found.Degraded || len(found.Agents) != 1 {
				t.Fatalf("found %+v, %v", found, err)
			}
			return *found.Agents[0].Similarity
		}
		model.down.Store(true)
		second := newNode(t, url, clock.System, model, old)
		if d := distance(second, "topic7"); d > 1.5 {
			t.Errorf("with the old vectors the distance is %v", d)
		}
		// What comes in the meantime is found by the old model too.
		second.register(t, ada, "Late", "latecomer")
		if d := distance(second, "latecomer"); d > 1.5 {
			t.Errorf("a newcomer's distance is %v", d)
		}
		model.down.Store(false)
		third := newNode(t, url, clock.System, model) // the old model cannot be asked any more
		made := func() int64 {
			models, err := third.store.VectorModels(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range models {
				if m.Model == "new" {
					return m.Vectors
				}
			}
			return 0
		}
		deadline := time.Now().Add(30 * time.Second)
		for made() < 151 {
			if time.Now().After(deadline) {
				t.Fatalf("%d vectors of the new model", made())
			}
			time.Sleep(20 * time.Millisecond)
		}
		within(t, "the new vectors serve", func() bool {
			found, err := third.Discover(t.Context(), ada, registry.Discovery{Text: "topic7", Limit: 1, RankBy: registry.SimilarityOnly, Threshold: ptr(1.5)})
			return err == nil && len(found.Agents) == 1 && found.Agents[0].Name == "Agent 7"
		})
	})
}

func TestWithoutTheModelWordsStillFind(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		model := newBag("m", 1024)
		n := newNode(t, open(), clock.System, model)
		ada := agentBench{store: n.store, clock: testkit.NewClock(clock.System())}.user(t)
		n.register(t, ada, "Weather", "tells rain")
		model.down.Store(true)
		n.register(t, ada, "Snow", "tells snow") // without a vector
		found, err := n.Discover(t.Context(), ada, registry.Discovery{Text: "snow please", Limit: 5, Threshold: ptr(0.1)})
		if err != nil || !found.Degraded || len(found.Agents) != 1 || found.Agents[0].Name != "Snow" || found.Agents[0].Similarity != nil {
			t.Fatalf("while the model is down: %+v, %v", found, err)
		}
	})
}

func TestALeaseHasOneHolder(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newAgentBench(t, open())
		now := b.clock.Now()
		var holders atomic.Int64
		var group sync.WaitGroup
		for i := range 16 {
			group.Go(func() {
				mine, err := b.store.Lease(t.Context(), "work", fmt.Sprint(i), now, now.Add(time.Minute))
				if err != nil {
					t.Error(err)
				}
				if mine {
					holders.Add(1)
				}
			})
		}
		group.Wait()
		if holders.Load() != 1 {
			t.Errorf("%d hold the lease", holders.Load())
		}
		later := now.Add(time.Minute + time.Millisecond)
		if mine, err := b.store.Lease(t.Context(), "work", "late", later, later.Add(time.Minute)); err != nil || !mine {
			t.Errorf("an expired lease: %v, %v", mine, err)
		}
		if mine, err := b.store.Lease(t.Context(), "work", "late", later.Add(time.Second), later.Add(2*time.Minute)); err != nil || !mine {
			t.Errorf("the holder renews: %v, %v", mine, err)
		}
	})
}

// Whoever runs an endpoint may put another model under the same name.
func TestAModelThatChangesItsDimensionIsEmbeddedAnew(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		first := newNode(t, url, clock.System, newBag("m", 512))
		ada := agentBench{store: first.store, clock: testkit.NewClock(clock.System())}.user(t)
		for i := range 70 {
			first.register(t, ada, fmt.Sprintf("Agent %d", i), fmt.Sprintf("topic%d", i))
		}
		first.stop()
		second := newNode(t, url, clock.System, newBag("m", 1024))
		second.register(t, ada, "Late", "latecomer")
		deadline := time.Now().Add(30 * time.Second)
		for {
			found, err := second.Discover(t.Context(), ada, registry.Discovery{Text: "topic7", Limit: 1, RankBy: registry.SimilarityOnly, Threshold: ptr(1.5)})
			if err != nil {
				t.Fatal(err)
			}
			if !found.Degraded && len(found.Agents) == 1 && found.Agents[0].Name == "Agent 7" {
				break
			}
			if !found.Degraded && len(found.Agents) == 0 {
				t.Fatal("agents lost their meaning, and nothing says so")
			}
			if time.Now().After(deadline) {
				t.Fatalf("still %+v", found)
			}
			time.Sleep(20 * time.Millisecond)
		}
		models, err := second.store.VectorModels(t.Context())
		if err != nil || len(models) != 1 || models[0].Vectors != 71 || models[0].Least != models[0].Bytes {
			t.Errorf("vectors: %+v, %v", models, err)
		}
		// The lease is free: another process need not wait for it to end.
		if mine, err := second.store.Lease(t.Context(), "embed agents", "another", clock.System(), clock.System().Add(time.Minute)); err != nil || !mine {
			t.Errorf("the lease is held after the work: %v, %v", mine, err)
		}
	})
}

// An endpoint may refuse one text, which is the text's fault, or all, which is not.
func TestATextThatTheModelRefusesKeepsNobodyElseFromBeingFound(t *testing.T) {
	var all atomic.Bool
	all.Store(true)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		if all.Load() || strings.Contains(string(text), "poison") {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		var body struct{ Input []string }
		_ = json.Unmarshal(text, &body)
		var data []string
		for i, input := range body.Input {
			vector := "[1,0]"
			if strings.Contains(input, "rain") {
				vector = "[0,1]"
			}
			data = append(data, fmt.Sprintf(`{"index":%d,"embedding":%s}`, i, vector))
		}
		fmt.Fprintf(w, `{"data":[%s]}`, strings.Join(data, ","))
	}))
	defer endpoint.Close()
	url := testkit.SQLite(t)
	model := func() *embedding.Remote {
		return embedding.NewEndpoint(embedding.Endpoint{BaseURL: endpoint.URL, Model: "m", Pause: time.Millisecond})
	}
	n := newNode(t, url, clock.System, model())
	ada := agentBench{store: n.store, clock: testkit.NewClock(clock.System())}.user(t)
	n.register(t, ada, "Weather", "tells rain")
	n.register(t, ada, "Poison", "poison")
	n.register(t, ada, "Paint", "paints walls")
	found, err := n.Discover(t.Context(), ada, registry.Discovery{Text: "train", Limit: 5})
	if err != nil || !found.Degraded {
		t.Errorf("an endpoint that refuses everything: %+v, %v", found, err)
	}
	n.stop()
	all.Store(false)
	n = newNode(t, url, clock.System, model())
	deadline := time.Now().Add(20 * time.Second)
	for {
		found, err := n.Discover(t.Context(), ada, registry.Discovery{Text: "train", Limit: 1, Threshold: ptr(0.5)})
		if err != nil {
			t.Fatal(err)
		}
		if !found.Degraded && len(found.Agents) == 1 && found.Agents[0].Name == "Weather" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the endpoint is well again, and the answer is %+v", found)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A text on which the model fails, whatever way, stops neither the others nor a change of
// model.
func TestOneBadTextHoldsNobodyUp(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		first := newNode(t, url, clock.System, newBag("old", 1024))
		ada := agentBench{store: first.store, clock: testkit.NewClock(clock.System())}.user(t)
		for i := range 100 {
			first.register(t, ada, fmt.Sprintf("Agent %d", i), map[bool]string{true: "poison", false: fmt.Sprintf("topic%d", i)}[i == 40])
		}
		first.stop()
		second := newNode(t, url, clock.System, newBag("new", 2048))
		deadline := time.Now().Add(30 * time.Second)
		for {
			models, err := second.store.VectorModels(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(models) == 2 && models[0].Vectors == 99 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("vectors: %+v", models)
			}
			time.Sleep(20 * time.Millisecond)
		}
		within(t, "the new model serves", func() bool {
			found, err := second.Discover(t.Context(), ada, registry.Discovery{Text: "topic99", Limit: 1, Threshold: ptr(1.5)})
			return err == nil && !found.Degraded && len(found.Agents) == 1 && found.Agents[0].Name == "Agent 99"
		})
		if got := second.names(t, ada, "poison"); len(got) == 0 || got[0] != "Agent 40" {
			t.Errorf("words do not find it: %q", got)
		}
	})
}

// While versions are mixed, one may write words that another cannot read.
func TestUnreadableWordsDoNotStopTheCopy(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		n := newNode(t, url, clock.System, newBag("m", 1024))
		ada, bob := agentBench{store: n.store, clock: testkit.NewClock(clock.System())}.user(t), agentBench{store: n.store, clock: testkit.NewClock(clock.System())}.user(t)
		a := n.register(t, ada, "Weather", "tells rain")
		other := n.register(t, ada, "Other", "tells snow")
		if err := n.store.db.Tx(t.Context(), func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(t.Context(), "UPDATE agent_search SET words = $1, analyzer = $2 WHERE agent_id = $3", "{\"v\":9}", "zz-later", string(a.ID)); err != nil {
				return err
			}
			return n.store.touch(t.Context(), tx, a.ID, clock.System())
		}); err != nil {
			t.Fatal(err)
		}
		for _, agent := range []registry.Agent{a, other} {
			if _, err := n.Update(t.Context(), ada, agent.ID, registry.Change{Visibility: ptr("private")}); err != nil {
				t.Fatal(err)
			}
		}
		if got := n.names(t, bob, "rain snow"); got != nil {
			t.Errorf("a stranger finds %q", got)
		}
		n.stop()
		if got := newNode(t, url, clock.System, newBag("m", 1024)).names(t, ada, "rain"); len(got) != 2 {
			t.Errorf("after a restart the owner finds %q", got)
		}
	})
}

// A copy that cannot follow shows nothing that the database would not show by now.
func TestACopyThatLagsShowsNoOneWhatBecamePrivate(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		now := testkit.NewClock(clock.System())
		n := newNode(t, open(), now.Now, newBag("m", 1024))
		ada, bob := agentBench{store: n.store, clock: now}.user(t), agentBench{store: n.store, clock: now}.user(t)
		a := n.register(t, ada, "Weather", "tells rain")
		n.names(t, bob, "rain")                                       // cached
		if err := n.store.db.Tx(t.Context(), func(tx *sql.Tx) error { // without a trace to follow
			_, err := tx.ExecContext(t.Context(), "UPDATE agents SET visibility = 'private' WHERE id = $1", string(a.ID))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		n.stopFollowing()
		now.Add(1500 * time.Millisecond)
		if got := n.names(t, bob, "rain"); got != nil {
			t.Errorf("a stranger finds %q", got)
		}
	})
}
