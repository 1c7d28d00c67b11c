package registration_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/httpapi"
	"github.com/IntunoAI/intuno-go/internal/agents/registration"
	"github.com/IntunoAI/intuno-go/internal/agents/store"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

var (
	ada   = principal.Principal{User: "7c9e6679-7425-40de-944b-e07fc1f90ae7", Via: principal.Host}
	grace = principal.Principal{User: "16fd2706-8baf-433b-82eb-8c7fada847da", Via: principal.Host}
)

// listed is what a registry says of one entity.
type listed struct {
	id     id.Agent
	title  string
	active bool
}

// registry is wisdom as a test makes it up: one agent per owner and entity name.
type registry struct {
	mu     sync.Mutex
	agents map[string]*listed // by owner/name
	calls  []string
	fail   func(call string) (before, after error) // of every call; nil: never
	hook   func(call string)                       // during every call, unlocked
}

func newRegistry() *registry { return &registry{agents: map[string]*listed{}} }

// do is one call: it may fail before or after it has its effect.
func (r *registry) do(call string, effect func() error) error {
	r.mu.Lock()
	r.calls = append(r.calls, call)
	fail, hook := r.fail, r.hook
	r.mu.Unlock()
	if hook != nil {
		hook(call)
	}
	var before, after error
	r.mu.Lock()
	defer r.mu.Unlock()
	if fail != nil {
		before, after = fail(call)
	}
	if before != nil {
		return before
	}
	if err := effect(); err != nil {
		return err
	}
	return after
}

func (r *registry) Register(_ context.Context, owner id.User, name, title string) (agent id.Agent, err error) {
	err = r.do("register "+name, func() error {
		key := string(owner) + "/" + name
		if r.agents[key] == nil {
			r.agents[key] = &listed{id: id.New[id.Agent]()}
		}
		r.agents[key].title, r.agents[key].active = title, true
		agent = r.agents[key].id
		return nil
	})
	return agent, err
}

func (r *registry) find(owner id.User, agent id.Agent) string {
	for key, a := range r.agents {
		if a.id == agent && len(key) > len(owner) && key[:len(owner)] == string(owner) {
			return key
		}
	}
	return ""
}

func (r *registry) Update(_ context.Context, owner id.User, agent id.Agent, title string, active bool) error {
	return r.do(fmt.Sprintf("update %s %v", title, active), func() error {
		key := r.find(owner, agent)
		if key == "" {
			return fault.Missing("Agent")
		}
		r.agents[key].title, r.agents[key].active = title, active
		return nil
	})
}

func (r *registry) Remove(_ context.Context, owner id.User, agent id.Agent) error {
	return r.do("remove", func() error {
		key := r.find(owner, agent)
		if key == "" {
			return fault.Missing("Agent")
		}
		delete(r.agents, key)
		return nil
	})
}

func (r *registry) state(owner principal.Principal, name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.agents[string(owner.User)+"/"+name]
	if a == nil {
		return "absent"
	}
	return fmt.Sprintf("%s %v", a.title, a.active)
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.calls)
}

// world is one database, and the registry that it is told of.
type world struct {
	t        *testing.T
	db       *sqldb.DB
	rows     *store.Store
	now      *testkit.Clock
	registry *registry
	entities *entity.Service
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: store.Migrations(), Service: store.Service})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &world{t: t, db: db, rows: store.New(db), now: testkit.NewClock(time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)), registry: newRegistry()}
	w.entities = &entity.Service{Store: w.rows, Now: w.now.Now, Encode: httpapi.EncodeEntity}
	return w
}

func onBoth(t *testing.T, body func(w *world)) {
	testkit.Engines(t, func(t *testing.T, open func() string) { body(newWorld(t, open())) })
}

func (w *world) worker() *registration.Worker {
	return registration.New(w.rows, w.registry, w.now.Now, slog.New(slog.DiscardHandler))
}

func (w *world) create(p principal.Principal, name string) {
	w.t.Helper()
	if _, err := w.entities.Create(w.t.Context(), p, entity.Draft{Name: name}, entity.Once{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) change(p principal.Principal, name, what string) {
	w.t.Helper()
	var err error
	switch what {
	case "pause":
		_, err = w.entities.Pause(w.t.Context(), p, name, nil)
	case "resume":
		_, err = w.entities.Resume(w.t.Context(), p, name)
	case "delete":
		err = w.entities.Delete(w.t.Context(), p, name)
	case "create":
		w.create(p, name)
	default:
		_, err = w.entities.Patch(w.t.Context(), p, name, entity.Patch{DisplayName: &what})
	}
	if err != nil {
		w.t.Fatalf("%s %s: %v", what, name, err)
	}
}

// settle works until nothing is due, and returns how many attempts that took.
func (w *world) settle(worker *registration.Worker) (n int) {
	w.t.Helper()
	for {
		did, err := worker.Step(w.t.Context())
		if err != nil && fault.As(err) == nil {
			w.t.Fatal(err)
		}
		if !did {
			return n
		}
		n++
	}
}

// pass lets every wait and lease end.
func (w *world) pass() { w.now.Add(3 * time.Hour) }

func (w *world) want(p principal.Principal, name, want string) {
	w.t.Helper()
	if got := w.registry.state(p, name); got != want {
		w.t.Errorf("the registry says %q of %s, want %q", got, name, want)
	}
}

func (w *world) pending() (n int) {
	w.t.Helper()
	if err := w.db.Read().QueryRowContext(w.t.Context(), "SELECT COUNT(*) FROM registrations WHERE status = 'pending'").Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestTheRegistryFollowsTheEntity(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		worker := w.worker()
		for _, step := range []struct{ change, want, calls string }{
			{"create", "aria true", "[register aria]"},
			{"Aria", "Aria true", "[update Aria true]"},
			{"pause", "Aria false", "[update Aria false]"},
			{"pause", "Aria false", "[]"},
			{"resume", "Aria true", "[update Aria true]"},
			{"delete", "absent", "[remove]"},
			{"create", "aria true", "[register aria]"},
		} {
			w.registry.calls = nil
			w.change(ada, "aria", step.change)
			w.settle(worker)
			w.want(ada, "aria", step.want)
			if got := fmt.Sprint(w.registry.calls); got != step.calls {
				w.t.Errorf("%s: got %s, want %s", step.change, got, step.calls)
			}
		}
		text := "be brief"
		w.registry.calls = nil
		if _, err := w.entities.Patch(w.t.Context(), ada, "aria", entity.Patch{Instructions: &text}); err != nil {
			w.t.Fatal(err)
		}
		if n := w.settle(worker); n != 0 {
			w.t.Errorf("the registry is told of instructions: %v", w.registry.calls)
		}
		if _, err := w.entities.Pause(w.t.Context(), grace, "aria", nil); !fault.Is(err, fault.NotFound) {
			w.t.Errorf("another owner: got %v", err)
		}
		if n := w.pending(); n != 0 {
			w.t.Errorf("%d rows are pending", n)
		}
	})
}

func TestWhatWasNeverToldNeedsNoRemoval(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		w.create(ada, "aria")
		w.change(ada, "aria", "delete")
		if n := w.settle(w.worker()); n != 0 || w.registry.count() != 0 {
			w.t.Errorf("%d attempts, %v", n, w.registry.calls)
		}
	})
}

func TestAnAnswerThatWasLostIsFoundAgain(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	onBoth(t, func(w *world) {
		worker := w.worker()
		for _, test := range []struct{ change, want string }{{"pause", "aria false"}, {"delete", "absent"}, {"Aria", "Aria true"}} {
			owner := principal.Principal{User: id.New[id.User](), Via: principal.Host}
			w.registry.fail = func(string) (error, error) { return nil, lost } // done, but nobody hears of it
			w.create(owner, "aria")
			if did, err := worker.Step(w.t.Context()); !did || !errors.Is(err, lost) {
				w.t.Fatalf("got %v, %v", did, err)
			}
			w.want(owner, "aria", "aria true")
			w.change(owner, "aria", test.change)
			w.registry.fail = nil
			w.settle(worker)
			w.want(owner, "aria", test.want)
		}
	})
}

func TestAnAgentThatSomebodyRemovedComesBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		worker := w.worker()
		w.create(ada, "aria")
		w.settle(worker)
		clear(w.registry.agents)
		w.change(ada, "aria", "pause")
		w.settle(worker)
		w.want(ada, "aria", "aria false")
		clear(w.registry.agents)
		w.change(ada, "aria", "delete")
		w.settle(worker)
		w.want(ada, "aria", "absent")
		if n := w.pending(); n != 0 {
			w.t.Errorf("%d rows are pending", n)
		}
	})
}

func TestAnyOrderOfChangesAndFailuresEndsRight(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		dice := rand.New(rand.NewPCG(1, 2))
		away := errors.New("away")
		w.registry.fail = func(string) (before, after error) {
			switch dice.IntN(4) {
			case 0:
				return away, nil
			case 1:
				return nil, away
			}
			return nil, nil
		}
		workers := []*registration.Worker{w.worker(), w.worker()}
		exists, want := false, "absent"
		for n := range 120 {
			change := []string{"pause", "resume", "delete", fmt.Sprint("title-", n)}[dice.IntN(4)]
			if !exists {
				change = "create"
			}
			w.change(ada, "aria", change)
			e, err := w.entities.Get(w.t.Context(), ada, "aria")
			if exists = err == nil; exists {
				want = fmt.Sprintf("%s %v", e.DisplayName, e.Status == entity.Active)
			} else {
				want = "absent"
			}
			for range dice.IntN(3) {
				_, _ = workers[dice.IntN(2)].Step(w.t.Context())
				w.now.Add(time.Duration(dice.IntN(300)) * time.Second)
			}
		}
		w.registry.fail = nil
		w.pass()
		w.settle(workers[0])
		w.want(ada, "aria", want)
	})
}

func TestWhatChangesDuringAnAttemptIsDoneNext(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		worker := w.worker()
		w.create(ada, "aria")
		var once sync.Once
		w.registry.hook = func(string) { once.Do(func() { w.change(ada, "aria", "pause") }) }
		if n := w.settle(worker); n != 2 {
			w.t.Errorf("%d attempts, want two", n)
		}
		w.want(ada, "aria", "aria false")
	})
}

func TestACrashedAttemptIsRepeatedAfterItsLease(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		w.create(ada, "aria")
		if _, found, err := w.rows.ClaimRegistration(w.t.Context(), "dead", w.now.Now(), w.now.Now().Add(time.Minute)); err != nil || !found {
			w.t.Fatalf("got %v, %v", found, err)
		}
		if n := w.settle(w.worker()); n != 0 {
			w.t.Errorf("%d attempts under another's lease", n)
		}
		w.now.Add(time.Minute)
		w.settle(w.worker())
		w.want(ada, "aria", "aria true")
	})
}

// A process that was suspended during its attempt comes back after another has done newer
// things: its late call must not be the last word.
func TestALateAttemptIsSetRight(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		slow, other := w.worker(), w.worker()
		for change, want := range map[string]string{"pause": "aria false", "delete": "absent"} {
			owner := principal.Principal{User: id.New[id.User](), Via: principal.Host}
			w.create(owner, "aria")
			w.registry.hook = func(string) {
				w.registry.hook = nil
				w.now.Add(2 * time.Minute) // longer than the lease
				w.change(owner, "aria", change)
				w.settle(other)
			}
			if did, err := slow.Step(w.t.Context()); !did || err != nil {
				w.t.Errorf("got %v, %v", did, err)
			}
			w.settle(other)
			w.want(owner, "aria", want)
			if n := w.pending(); n != 0 {
				w.t.Errorf("%d rows are pending", n)
			}
		}
	})
}

// An entity that is made under the name of a deleted one is not that one: its agent must
// not be public because the other was.
func TestANewEntityGetsAnAgentOfItsOwn(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	onBoth(t, func(w *world) {
		worker := w.worker()
		agent := func() id.Agent {
			w.t.Helper()
			w.pass()
			w.settle(worker)
			w.want(ada, "aria", "aria true")
			return w.registry.agents[string(ada.User)+"/aria"].id
		}
		again := func() { w.change(ada, "aria", "delete"); w.change(ada, "aria", "create") }
		w.create(ada, "aria")
		former := agent()
		for _, test := range []struct {
			name  string
			begin func()
			calls string
		}{
			{"at once", again, "[remove register aria]"},
			{"twice", func() { again(); again() }, "[remove register aria]"},
			{"and changed", func() { again(); w.change(ada, "aria", "pause"); w.change(ada, "aria", "resume") }, "[remove register aria]"},
			{"during the removal", func() {
				w.change(ada, "aria", "delete")
				w.registry.hook = func(string) { w.registry.hook = nil; w.change(ada, "aria", "create") }
			}, "[remove register aria]"},
			{"during a registration", func() {
				w.change(ada, "aria", "Title")
				w.registry.hook = func(string) { w.registry.hook = nil; again() }
			}, "[update Title true remove register aria]"},
			{"the removal is refused", func() {
				w.registry.fail = func(string) (error, error) { w.registry.fail = nil; return lost, nil }
				again()
				_, _ = worker.Step(w.t.Context())
			}, "[remove remove register aria]"},
			{"the registration is refused", func() {
				w.registry.fail = func(call string) (error, error) {
					if call == "remove" {
						return nil, nil
					}
					w.registry.fail = nil
					return lost, nil
				}
				again()
				_, _ = worker.Step(w.t.Context())
			}, "[remove register aria register aria]"},
			{"the answer of the removal is lost", func() {
				w.registry.fail = func(string) (error, error) { w.registry.fail = nil; return nil, lost }
				again()
				_, _ = worker.Step(w.t.Context())
			}, "[remove remove register aria remove register aria]"},
		} {
			w.registry.calls = nil
			test.begin()
			now := agent()
			if got := fmt.Sprint(w.registry.calls); now == former || got != test.calls {
				w.t.Errorf("%s: got agent %s after %s, calls %s, want %s", test.name, now, former, got, test.calls)
			}
			former = now
		}
		if n := w.pending(); n != 0 {
			w.t.Errorf("%d rows are pending", n)
		}
	})
}

// The late call may also come between that of the attempt that has the job now and its
// settling.
func TestALateAttemptDuringAnotherIsSetRight(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		worker := w.worker()
		w.create(ada, "aria")
		w.settle(worker)
		w.change(ada, "aria", "Title")
		late, found, err := w.rows.ClaimRegistration(w.t.Context(), "late", w.now.Now(), w.now.Now().Add(time.Minute))
		if err != nil || !found {
			w.t.Fatalf("got %v, %v", found, err)
		}
		w.now.Add(2 * time.Minute)
		w.change(ada, "aria", "pause")
		now, found, err := w.rows.ClaimRegistration(w.t.Context(), "now", w.now.Now(), w.now.Now().Add(time.Minute))
		if err != nil || !found {
			w.t.Fatalf("got %v, %v", found, err)
		}
		ctx := w.t.Context()
		if err := errors.Join(w.registry.Update(ctx, ada.User, now.Agent, "Title", false), w.registry.Update(ctx, ada.User, late.Agent, "Title", true)); err != nil {
			w.t.Fatal(err)
		}
		if err := w.rows.SettleRegistration(ctx, late); !errors.Is(err, registration.ErrLost) {
			w.t.Errorf("the late attempt: got %v", err)
		}
		if err := w.rows.SettleRegistration(ctx, now); err != nil {
			w.t.Errorf("the other: %v", err)
		}
		w.settle(worker)
		w.want(ada, "aria", "Title false")
	})
}

func TestManyNodesDoEachJobOnce(t *testing.T) {
	t.Parallel()
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		first := newWorld(t, url)
		nodes := []*world{first, newWorld(t, url), newWorld(t, url)}
		for _, n := range nodes {
			n.registry, n.now = first.registry, first.now
		}
		const entities = 40
		for i := range entities {
			first.create(ada, fmt.Sprint("aria-", i))
		}
		var group sync.WaitGroup
		for _, n := range nodes {
			for range 2 {
				group.Go(func() {
					for first.pending() > 0 {
						if _, err := n.worker().Step(t.Context()); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
		}
		group.Wait()
		if got := first.registry.count(); got != entities || len(first.registry.agents) != entities {
			t.Errorf("%d calls made %d agents, want %d of each", got, len(first.registry.agents), entities)
		}
	})
}

func TestFailuresAreRepeatedLessAndLess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.SQLite(t))
	worker := w.worker()
	for _, test := range []struct {
		name           string
		err            error
		stops          bool          // the worker rests
		least, longest time.Duration // of the waits, while it fails 12 times
	}{
		{"wisdom is away", fault.New(fault.Upstream, "x", "x"), true, time.Second, 5 * time.Minute},
		{"the network breaks", errors.New("reset"), true, time.Second, 5 * time.Minute},
		{"the key is refused", fault.New(fault.Unauthorized, "x", "x"), true, time.Second, 5 * time.Minute},
		{"refused", fault.New(fault.Invalid, "x", "x"), false, 30 * time.Second, time.Hour},
		{"the owner is deactivated", fault.Missing("User"), false, 30 * time.Minute, time.Hour},
		{"too often", fault.New(fault.RateLimited, "x", "x").After(40 * time.Second), false, 20 * time.Second, 5 * time.Minute},
	} {
		w.registry.fail = func(string) (error, error) { return test.err, nil }
		w.create(ada, "aria")
		last := time.Duration(0)
		for range 12 {
			did, err := worker.Step(t.Context())
			if !did || (err != nil) != test.stops {
				t.Fatalf("%s: got %v, %v", test.name, did, err)
			}
			last = w.wait()
			w.now.Add(last)
			if last < test.least || last > test.longest {
				t.Errorf("%s: waited %v, want %v to %v", test.name, last, test.least, test.longest)
			}
		}
		if last < test.longest/2 {
			t.Errorf("%s: waited %v in the end, want about %v", test.name, last, test.longest)
		}
		w.registry.fail = nil
		w.pass()
		w.settle(worker)
		w.want(ada, "aria", "aria true") // it never gives up
		w.change(ada, "aria", "delete")
		w.settle(worker)
	}
}

// wait is how long the one job waits.
func (w *world) wait() time.Duration {
	w.t.Helper()
	var at int64
	if err := w.db.Read().QueryRowContext(w.t.Context(), "SELECT run_at_us FROM registrations").Scan(&at); err != nil {
		w.t.Fatal(err)
	}
	return clock.FromMicros(at).Sub(w.now.Now())
}

func TestOneBadEntityDoesNotHinderOthers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		w.registry.fail = func(call string) (error, error) {
			if call == "register bad" {
				return fault.New(fault.Invalid, "x", "x"), nil
			}
			return nil, nil
		}
		for _, name := range []string{"a", "bad", "c"} {
			w.create(ada, name)
		}
		w.settle(w.worker())
		w.want(ada, "a", "a true")
		w.want(ada, "bad", "absent")
		w.want(ada, "c", "c true")
	})
}

func TestRunWorksWhenWokenAndJoins(t *testing.T) {
	t.Parallel()
	url := testkit.SQLite(t)
	synctest.Test(t, func(t *testing.T) { // time passes at once; a goroutine that is left over fails the test
		w := newWorld(t, url)
		worker := registration.New(w.rows, w.registry, clock.System, slog.New(slog.DiscardHandler))
		w.entities.Changed, w.entities.Now = worker.Wake, clock.System
		w.registry.fail = func(string) (error, error) { return errors.New("away"), nil }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- worker.Run(ctx) }()
		w.create(ada, "aria")
		time.Sleep(4 * time.Minute)
		if n := w.registry.count(); n < 5 || n > 15 {
			t.Errorf("%d attempts in 4 minutes while wisdom is away", n)
		}
		w.registry.mu.Lock()
		w.registry.fail = nil
		w.registry.mu.Unlock()
		time.Sleep(5 * time.Minute)
		w.want(ada, "aria", "aria true")
		began := time.Now()
		w.change(ada, "aria", "pause")
		for w.registry.state(ada, "aria") != "aria false" {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("a change is told after %v, want at once", took)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func TestEntitiesOfTheVersionBeforeAreRegistered(t *testing.T) {
	t.Parallel()
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		first, err := fs.ReadFile(store.Migrations(), "00001_entities.sql")
		if err != nil {
			t.Fatal(err)
		}
		db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Service: store.Service,
			Migrations: fstest.MapFS{"00001_entities.sql": {Data: first}}})
		if err != nil {
			t.Fatal(err)
		}
		for i, status := range []string{"active", "paused"} {
			_, err := db.Write().ExecContext(t.Context(), `INSERT INTO entities (id, owner_id, name, display_name, instructions, tools, memory_enabled, status, memory_count, created_us, updated_us)
				VALUES ($1, $2, $3, 'Old', '', '', TRUE, $4, 0, 0, 0)`, string(id.New[id.Entity]()), string(ada.User), fmt.Sprint("old-", i), status)
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, url)
		w.settle(w.worker())
		w.want(ada, "old-0", "Old true")
		w.want(ada, "old-1", "Old false")
		if n := w.settle(w.worker()); n != 0 {
			t.Errorf("%d attempts more, want each told once", n)
		}
	})
}
