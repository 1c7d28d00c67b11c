package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/agents/store"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

const (
	ada   = id.User("7c9e6679-7425-40de-944b-e07fc1f90ae7")
	grace = id.User("16fd2706-8baf-433b-82eb-8c7fada847da")
)

var start = time.Date(2026, 4, 23, 12, 0, 0, 123456000, time.UTC)

// onBoth runs body on each engine with an empty store.
func onBoth(t *testing.T, body func(t *testing.T, s *store.Store, db *sqldb.DB)) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		db, err := sqldb.Open(t.Context(), sqldb.Options{URL: open(), Migrations: store.Migrations(), Service: store.Service})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		body(t, store.New(db), db)
	})
}

func accept(*entity.Record) entity.Admission { return entity.Admission{} }

// create makes an entity and returns where its memories are.
func create(t *testing.T, s *store.Store, owner id.User, name string) (entity.Entity, memory.Of) {
	t.Helper()
	temperature := 0.30000000000000004
	e := entity.Entity{ID: id.New[id.Entity](), Owner: owner, Name: name, DisplayName: "ä", Tools: []string{"clock", "memory"},
		Temperature: &temperature, Status: entity.Active, Created: start, Updated: start}
	if _, err := s.CreateEntity(t.Context(), e, entity.Once{}, nil, accept); err != nil {
		t.Fatal(err)
	}
	return e, memory.Of{Owner: owner, Entity: e.ID}
}

var errFull = errors.New("full")

func put(t *testing.T, s *store.Store, of memory.Of, key, value string) (memory.Memory, bool, error) {
	t.Helper()
	return s.PutMemory(t.Context(), of, memory.Memory{Key: key, Value: value, Source: memory.ByUser, Created: start, Updated: start}, 10, errFull)
}

// count counts the rows of a table, or fails the test.
func count(t *testing.T, db *sqldb.DB, from string, args ...any) (n int) {
	t.Helper()
	if err := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+from, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnEntityComesBackAsItWasKept(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, _ *sqldb.DB) {
		e, _ := create(t, s, ada, "aria")
		got, err := s.Entity(t.Context(), ada, "aria")
		if err != nil || fmt.Sprintf("%+v", got.Tools) != "[clock memory]" || *got.Temperature != *e.Temperature || !got.Created.Equal(start) || got.LastActive != nil {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := s.Entity(t.Context(), grace, "aria"); !fault.Is(err, fault.NotFound) {
			t.Errorf("another owner: got %v, want NotFound", err)
		}
		model, reason, later := "m", "r", start.Add(time.Second)
		edited, err := s.EditEntity(t.Context(), ada, "aria", func(e entity.Entity) (entity.Entity, bool) {
			e.Model, e.Temperature, e.Tools, e.Status, e.PauseReason, e.Updated = &model, nil, nil, entity.Paused, &reason, later
			return e, true
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err = s.Entity(t.Context(), ada, "aria")
		if err != nil || *got.Model != "m" || got.Temperature != nil || len(got.Tools) != 0 || got.Status != entity.Paused || *got.PauseReason != "r" || !got.Updated.Equal(edited.Updated) {
			t.Errorf("edited: got %+v, %v", got, err)
		}
		if _, err := s.EditEntity(t.Context(), grace, "aria", func(e entity.Entity) (entity.Entity, bool) { return e, true }); !fault.Is(err, fault.NotFound) {
			t.Errorf("edit by another owner: got %v, want NotFound", err)
		}
	})
}

func TestConcurrentEditsAllCount(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, _ *sqldb.DB) {
		create(t, s, ada, "aria")
		var group sync.WaitGroup
		for range 30 {
			group.Go(func() {
				_, err := s.EditEntity(t.Context(), ada, "aria", func(e entity.Entity) (entity.Entity, bool) {
					e.Instructions += "x"
					return e, true
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if got, _ := s.Entity(t.Context(), ada, "aria"); len(got.Instructions) != 30 {
			t.Errorf("got %d edits, want 30", len(got.Instructions))
		}
	})
}

func TestMemoriesSortByBytesAndPrefixesAreLiteral(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, _ *sqldb.DB) {
		_, of := create(t, s, ada, "aria")
		_, other := create(t, s, ada, "other")
		if _, _, err := put(t, s, other, "a-other", "x"); err != nil {
			t.Fatal(err)
		}
		keys := []string{"a", "a-b", "a.b", "a0", "a_b", "aa", "b", "z9", "0", "a-"}
		for _, key := range keys {
			if _, isNew, err := put(t, s, of, key, "v "+key); err != nil || !isNew {
				t.Fatal(isNew, err)
			}
		}
		slices.Sort(keys)
		list := func(q memory.Query) string {
			got, err := s.Memories(t.Context(), of, q)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, m := range got {
				if m.Value != "v "+m.Key || m.Source != memory.ByUser || !m.Created.Equal(start) {
					t.Errorf("got %+v", m)
				}
				found = append(found, m.Key)
			}
			return strings.Join(found, " ")
		}
		for _, test := range []struct {
			query memory.Query
			want  string
		}{
			{memory.Query{Limit: 99}, strings.Join(keys, " ")},
			{memory.Query{Limit: 3}, "0 a a-"},
			{memory.Query{Limit: 3, After: "a-"}, "a-b a.b a0"},
			{memory.Query{Limit: 99, After: "a-", Prefix: "a"}, "a-b a.b a0 a_b aa"},
			{memory.Query{Limit: 99, Prefix: "a_"}, "a_b"},
			{memory.Query{Limit: 99, Prefix: "%"}, ""},
			{memory.Query{Limit: 99, Prefix: "a%"}, ""},
			{memory.Query{Limit: 99, Prefix: "A"}, ""},
			{memory.Query{Limit: 99, Prefix: "\u07ff\U0010ffff"}, ""},
			{memory.Query{Limit: 99, After: "zz"}, ""},
			{memory.Query{Limit: 99, After: "a1", Prefix: "0"}, ""},
		} {
			if got := list(test.query); got != test.want {
				t.Errorf("%+v: got %q, want %q", test.query, got, test.want)
			}
		}
	})
}

func TestTheMemoryLimitHoldsWhenManyWrite(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, db *sqldb.DB) {
		_, of := create(t, s, ada, "aria")
		results := make([]error, 40)
		var group sync.WaitGroup
		for i := range results {
			group.Go(func() { _, _, results[i] = put(t, s, of, fmt.Sprintf("k%d", i), "v") })
		}
		group.Wait()
		stored := 0
		for _, err := range results {
			if err == nil {
				stored++
			} else if !errors.Is(err, errFull) {
				t.Errorf("got %v, want %v", err, errFull)
			}
		}
		if n := count(t, db, "memories"); stored != 10 || n != 10 {
			t.Errorf("%d were accepted, %d are there, want 10", stored, n)
		}
		list, _ := s.Memories(t.Context(), of, memory.Query{Limit: 99})
		for _, m := range list { // replacing at the limit works
			if now, isNew, err := put(t, s, of, m.Key, "new"); err != nil || isNew || now.Value != "new" {
				t.Errorf("replace at the limit: %+v %v %v", now, isNew, err)
			}
		}
		if err := s.DeleteMemory(t.Context(), of, list[0].Key); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteMemory(t.Context(), of, list[0].Key); !fault.Is(err, fault.NotFound) {
			t.Errorf("delete twice: got %v, want NotFound", err)
		}
		if _, isNew, err := put(t, s, of, "again", "v"); err != nil || !isNew {
			t.Errorf("after a delete: %v %v", isNew, err)
		}
		if _, _, err := put(t, s, of, "again2", "v"); !errors.Is(err, errFull) {
			t.Errorf("got %v, want %v", err, errFull)
		}
		if err := s.DeleteMemories(t.Context(), of); err != nil {
			t.Fatal(err)
		}
		for i := range 11 {
			if _, _, err := put(t, s, of, fmt.Sprintf("n%d", i), "v"); (err == nil) != (i < 10) {
				t.Errorf("after forgetting all, put %d: %v", i, err)
			}
		}
	})
}

func TestMemoriesOfAForeignOrMissingEntity(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, db *sqldb.DB) {
		_, of := create(t, s, ada, "aria")
		if _, _, err := put(t, s, of, "k", "v"); err != nil {
			t.Fatal(err)
		}
		for name, wrong := range map[string]memory.Of{
			"another owner": {Owner: grace, Entity: of.Entity},
			"no entity":     {Owner: ada, Entity: id.New[id.Entity]()},
		} {
			if _, _, err := put(t, s, wrong, "k", "mine"); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: put: got %v, want NotFound", name, err)
			}
			if _, err := s.Memory(t.Context(), wrong, "k"); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: get: got %v, want NotFound", name, err)
			}
			if err := s.DeleteMemory(t.Context(), wrong, "k"); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: delete: got %v, want NotFound", name, err)
			}
			if list, err := s.Memories(t.Context(), wrong, memory.Query{Limit: 9}); err != nil || len(list) != 0 {
				t.Errorf("%s: list: got %v %v", name, list, err)
			}
			if err := s.DeleteMemories(t.Context(), wrong); err != nil {
				t.Errorf("%s: delete all: %v", name, err)
			}
		}
		if m, err := s.Memory(t.Context(), of, "k"); err != nil || m.Value != "v" {
			t.Errorf("got %+v %v, want it untouched", m, err)
		}
		if n := count(t, db, "memories"); n != 1 {
			t.Errorf("got %d memories, want 1", n)
		}
	})
}

// begin starts a turn whatever is there.
func begin(t *testing.T, s *store.Store, owner id.User, name, node, onceKey string) chat.Holder {
	t.Helper()
	h := chat.Holder{Owner: owner, Message: id.New[id.Message](), Node: node}
	_, err := s.StartTurn(t.Context(), chat.Start{Holder: h, Entity: name, Content: "hello", Now: start, Lease: start.Add(5 * time.Second),
		Once: entity.Once{Key: onceKey, Fingerprint: "f"}, Started: started},
		func(chat.Current) chat.Verdict { return chat.Verdict{} })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func completed(h chat.Holder) chat.Ending {
	return chat.Ending{Owner: h.Owner, Message: h.Message, Node: h.Node, At: start.Add(time.Second), Last: chat.Event{Name: "reply.completed", Data: []byte("{}")},
		Reply: &chat.Reply{ID: id.New[id.Message](), Content: "hi"}}
}

func failed(h chat.Holder, node string, lapsed time.Time) chat.Ending {
	return chat.Ending{Owner: h.Owner, Message: h.Message, Node: node, Lapsed: lapsed, At: start.Add(time.Second),
		Last: chat.Event{Name: "error", Data: []byte("{}")}, Failure: fault.New(fault.Upstream, "brain_error", "text")}
}

func TestDeletingAnEntityLeavesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, db *sqldb.DB) {
		for _, owner := range []id.User{ada, grace} {
			e := entity.Entity{ID: id.New[id.Entity](), Owner: owner, Name: "aria", Created: start, Updated: start}
			if _, err := s.CreateEntity(t.Context(), e, entity.Once{Key: "c", Fingerprint: "f"}, []byte("{}"), accept); err != nil {
				t.Fatal(err)
			}
			if _, _, err := put(t, s, memory.Of{Owner: owner, Entity: e.ID}, "k", "v"); err != nil {
				t.Fatal(err)
			}
			h := begin(t, s, owner, "aria", "n", "k1")
			if err := s.EndTurn(t.Context(), completed(h)); err != nil {
				t.Fatal(err)
			}
			begin(t, s, owner, "aria", "n", "k2")
		}
		tables := []string{"entities", "memories", "messages", "turns", "events", "idempotency"}
		before := map[string]int{}
		for _, table := range tables {
			before[table] = count(t, db, table)
		}
		if _, err := s.DeleteEntity(t.Context(), ada, "aria"); err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			mine, all := count(t, db, table+" WHERE owner_id = $1", string(ada)), count(t, db, table)
			if before[table] == 0 || mine != 0 || all != before[table]/2 {
				t.Errorf("%s: %d rows before, %d after, %d of them of the deleted", table, before[table], all, mine)
			}
		}
		if _, err := s.DeleteEntity(t.Context(), ada, "aria"); !fault.Is(err, fault.NotFound) {
			t.Errorf("delete twice: got %v, want NotFound", err)
		}
	})
}

func TestOnlyTheHolderWritesToATurn(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, _ *sqldb.DB) {
		create(t, s, ada, "aria")
		h := begin(t, s, ada, "aria", "node1", "")
		event := chat.Event{Name: "reply.delta", Data: []byte("{}")}
		for want := int64(2); want < 4; want++ {
			if seq, err := s.AppendEvent(t.Context(), h, event); err != nil || seq != want {
				t.Errorf("got number %d, %v, want %d", seq, err, want)
			}
		}
		stranger, other := h, h
		stranger.Owner, other.Node = grace, "node2"
		for name, wrong := range map[string]chat.Holder{"another owner": stranger, "another node": other} {
			if _, err := s.AppendEvent(t.Context(), wrong, event); !errors.Is(err, chat.ErrLost) {
				t.Errorf("%s: append: got %v, want ErrLost", name, err)
			}
			if err := s.EndTurn(t.Context(), completed(wrong)); !errors.Is(err, chat.ErrLost) {
				t.Errorf("%s: complete: got %v, want ErrLost", name, err)
			}
		}
		// Its lease ends five seconds after its start.
		if err := s.EndTurn(t.Context(), failed(h, "node2", start.Add(5*time.Second-time.Microsecond))); !errors.Is(err, chat.ErrLost) {
			t.Errorf("a moment before: got %v, want ErrLost", err)
		}
		if err := s.EndTurn(t.Context(), failed(h, "node2", start.Add(5*time.Second))); err != nil {
			t.Errorf("when the lease has ended: %v", err)
		}
		// From now on the zombie writes nothing.
		if _, err := s.AppendEvent(t.Context(), h, event); !errors.Is(err, chat.ErrLost) {
			t.Errorf("zombie appends: got %v, want ErrLost", err)
		}
		if err := s.EndTurn(t.Context(), completed(h)); !errors.Is(err, chat.ErrLost) {
			t.Errorf("zombie completes: got %v, want ErrLost", err)
		}
		turn, err := s.Turn(t.Context(), ada, "aria", h.Message)
		if err != nil || turn.Last != 4 || turn.Failure == nil || turn.Failure.Detail != "text" {
			t.Errorf("got %+v %v, want it failed with 4 events", turn, err)
		}
		events, err := s.Events(t.Context(), ada, h.Message, 2, 99)
		if err != nil || len(events) != 2 || events[1].Seq != 4 || events[1].Name != "error" || !bytes.Equal(events[1].Data, []byte("{}")) {
			t.Errorf("got %v %v", events, err)
		}
		if events, err := s.Events(t.Context(), grace, h.Message, 0, 99); err != nil || len(events) != 0 {
			t.Errorf("another owner reads %v %v", events, err)
		}
	})
}

func TestWhatIsKeptUnderAKey(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, db *sqldb.DB) {
		create(t, s, ada, "aria")
		h := begin(t, s, ada, "aria", "n", "k")
		if n := count(t, db, "idempotency WHERE status IS NULL AND message_id = $1", string(h.Message)); n != 1 {
			t.Errorf("while the turn runs: got %d records, want 1 that runs", n)
		}
		if err := s.EndTurn(t.Context(), failed(h, "n", time.Time{})); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "idempotency"); n != 0 {
			t.Errorf("after a failed turn: got %d records, want none", n)
		}
		h = begin(t, s, ada, "aria", "n", "k")
		if err := s.EndTurn(t.Context(), completed(h)); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "idempotency WHERE status = 201 AND message_id = $1", string(h.Message)); n != 1 {
			t.Errorf("after a completed turn: got %d records, want 1", n)
		}
	})
}

func TestManyAppendsGetEveryNumberOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, _ *sqldb.DB) {
		create(t, s, ada, "aria")
		h := begin(t, s, ada, "aria", "node1", "")
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if _, err := s.AppendEvent(t.Context(), h, chat.Event{Name: "reply.delta", Data: []byte("{}")}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		events, err := s.Events(t.Context(), ada, h.Message, 0, 99)
		if err != nil || len(events) != 21 {
			t.Fatalf("got %d events, %v, want 21", len(events), err)
		}
		for i, e := range events {
			if e.Seq != int64(i+1) {
				t.Errorf("event %d has the number %d", i+1, e.Seq)
			}
		}
	})
}

// started is the first event of a turn, whenever that began.
func started(time.Time) (chat.Event, error) {
	return chat.Event{Name: "message.started", Data: []byte("{}")}, nil
}

func TestTheDatabaseAllowsOneRunningTurn(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, db *sqldb.DB) {
		create(t, s, ada, "aria")
		begin(t, s, ada, "aria", "node1", "")
		// admit lies: it accepts although a turn runs.
		h := chat.Holder{Owner: ada, Message: id.New[id.Message](), Node: "node2"}
		_, err := s.StartTurn(t.Context(), chat.Start{Holder: h, Entity: "aria", Now: start, Lease: start, Started: started}, func(chat.Current) chat.Verdict { return chat.Verdict{} })
		if err == nil {
			t.Error("a second turn was accepted")
		}
		if n := count(t, db, "messages"); n != 1 {
			t.Errorf("got %d messages, want 1: the refused one is rolled back", n)
		}
	})
}

func TestLeases(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, _ *sqldb.DB) {
		for _, name := range []string{"a", "b", "c"} {
			create(t, s, ada, name)
		}
		a, b := begin(t, s, ada, "a", "node1", ""), begin(t, s, ada, "b", "node2", "")
		c := begin(t, s, ada, "c", "node1", "")
		if err := s.EndTurn(t.Context(), completed(c)); err != nil {
			t.Fatal(err)
		}
		held, err := s.RenewLeases(t.Context(), "node1", start.Add(8*time.Second))
		if err != nil || len(held) != 1 || held[0] != a {
			t.Errorf("node1 holds %v, %v, want only %v", held, err, a)
		}
		for _, test := range []struct {
			at     time.Duration
			except string
			want   []id.Message
		}{
			{5*time.Second - time.Microsecond, "", nil},
			{5 * time.Second, "", []id.Message{b.Message}},
			{5 * time.Second, "node2", nil},
			{8 * time.Second, "node2", []id.Message{a.Message}},
		} {
			lapsed, err := s.LapsedTurns(t.Context(), start.Add(test.at), test.except, 9)
			var got []id.Message
			for _, h := range lapsed {
				got = append(got, h.Message)
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("after %v except %q: got %v %v, want %v", test.at, test.except, got, err, test.want)
			}
		}
	})
}

func TestSweeping(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, db *sqldb.DB) {
		create(t, s, ada, "aria")
		for i := range 3 {
			h := begin(t, s, ada, "aria", "n", fmt.Sprint("k", i))
			if err := s.EndTurn(t.Context(), completed(h)); err != nil {
				t.Fatal(err)
			}
		}
		running := begin(t, s, ada, "aria", "n", "k3")
		ended := start.Add(time.Second)
		for _, test := range []struct {
			before time.Time
			want   []int
		}{{ended.Add(-time.Microsecond), []int{0}}, {ended, []int{2, 1, 0}}} {
			for _, want := range test.want {
				if n, err := s.SweepEvents(t.Context(), test.before, 2); err != nil || n != want {
					t.Errorf("swept %d turns, %v, want %d", n, err, want)
				}
			}
		}
		if n := count(t, db, "events"); n != 1 || count(t, db, "events WHERE message_id = $1", string(running.Message)) != 1 {
			t.Errorf("got %d events, want only that of the running turn", n)
		}
		for _, want := range []int{2, 1, 0} { // the running one stays
			if n, err := s.ForgetOnce(t.Context(), start, 2); err != nil || n != want {
				t.Errorf("forgot %d, %v, want %d", n, err, want)
			}
		}
	})
}

// deliver keeps a delivery that was answered.
func deliver(t *testing.T, s *store.Store, owner id.User, name, delivery string, input []byte, at time.Time, e chat.Ending) {
	t.Helper()
	h := chat.Holder{Owner: owner, Message: id.New[id.Message](), Node: "n"}
	accepted, err := s.StartTurn(t.Context(), chat.Start{Holder: h, Entity: name, Now: at, Lease: at.Add(chat.Lease),
		Delivery: &chat.Delivery{ID: delivery, Kind: chat.Invoke, Caller: grace, Input: input},
		Started: func(time.Time) (chat.Event, error) {
			return chat.Event{Name: "message.started", Data: []byte("{}")}, nil
		},
	}, func(c chat.Current) chat.Verdict {
		return chat.Verdict{Replay: c.Delivered != nil && c.Delivered.Status == chat.Completed}
	})
	if err != nil || accepted.Delivered != nil {
		t.Fatalf("got %+v, %v", accepted, err)
	}
	e.Owner, e.Message, e.Node, e.At = owner, h.Message, "n", at
	if err := s.EndTurn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// Anybody may invoke a public agent: what is kept of that has a bound.
func TestOldDeliveriesAreDropped(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, db *sqldb.DB) {
		_, aria := create(t, s, ada, "aria")
		_, other := create(t, s, ada, "other")
		kept := func(of memory.Of) (ids []string) {
			t.Helper()
			rows, err := db.Read().QueryContext(t.Context(), "SELECT id FROM deliveries WHERE entity_id = $1 ORDER BY created_us, id", string(of.Entity))
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				ids = append(ids, "")
				if err := rows.Scan(&ids[len(ids)-1]); err != nil {
					t.Fatal(err)
				}
			}
			return ids
		}
		say := func(content string) chat.Ending {
			return chat.Ending{Reply: &chat.Reply{ID: id.New[id.Message](), Content: content}, Last: chat.Event{Name: "reply.completed", Data: []byte("{}")}}
		}
		deliver(t, s, ada, "other", "d", []byte("{}"), start, say("x"))
		// By their number.
		for i := range chat.KeptDeliveries {
			_, err := db.Write().ExecContext(t.Context(), `INSERT INTO deliveries (entity_id, id, owner_id, turn_id, kind, caller_id, depth, input, size, status, created_us)
				VALUES ($1, $2, $3, 't', 'invoke', $3, 1, '{}', 2, 'completed', $4)`, string(aria.Entity), fmt.Sprintf("old-%03d", i), string(ada), i/2)
			if err != nil {
				t.Fatal(err)
			}
		}
		deliver(t, s, ada, "aria", "new", []byte("{}"), start, say("x"))
		if ids := kept(aria); len(ids) != chat.KeptDeliveries || ids[0] != "old-001" || ids[len(ids)-1] != "new" {
			t.Errorf("got %d from %s to %s", len(ids), ids[0], ids[len(ids)-1])
		}
		// By their size, the answers included.
		half := strings.Repeat("x", chat.KeptDeliveryBytes/2-1)
		deliver(t, s, ada, "aria", "large-input", []byte(half), start.Add(time.Millisecond), say(""))
		deliver(t, s, ada, "aria", "large-answer", nil, start.Add(time.Second), say(half))
		if ids := kept(aria); strings.Join(ids, " ") != "large-input large-answer" {
			t.Errorf("got %d from %s to %s", len(ids), ids[0], ids[len(ids)-1])
		}
		deliver(t, s, ada, "aria", "fails", []byte("{} "), start.Add(2*time.Second),
			chat.Ending{Failure: fault.New(fault.Upstream, "brain_error", "x"), Last: chat.Event{Name: "error", Data: []byte("{}")}})
		if ids := kept(aria); strings.Join(ids, " ") != "large-answer fails" {
			t.Errorf("got %d from %s to %s", len(ids), ids[0], ids[len(ids)-1])
		}
		if ids := kept(other); len(ids) != 1 {
			t.Errorf("another entity keeps %v", ids)
		}
		// Turns go with their events, but for those of messages.
		if err := s.EndTurn(t.Context(), completed(begin(t, s, ada, "other", "n", "k"))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SweepEvents(t.Context(), start.Add(time.Hour), 100); err != nil {
			t.Fatal(err)
		}
		if turns, events := count(t, db, "turns"), count(t, db, "events"); turns != 1 || events != 0 {
			t.Errorf("%d turns and %d events are left", turns, events)
		}
	})
}

func TestASnapshotDoesNotMove(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, _ *sqldb.DB) {
		_, of := create(t, s, ada, "aria")
		if _, _, err := put(t, s, of, "a", "before"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Snapshot(t.Context(), grace, "aria"); !fault.Is(err, fault.NotFound) {
			t.Errorf("another owner: got %v, want NotFound", err)
		}
		snapshot, err := s.Snapshot(t.Context(), ada, "aria")
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range map[string]string{"a": "after", "b": "after"} {
			if _, _, err := put(t, s, of, key, value); err != nil {
				t.Fatal(err)
			}
		}
		begin(t, s, ada, "aria", "n", "")
		memories, err1 := snapshot.Memories(t.Context(), "", 9)
		messages, err2 := snapshot.Messages(t.Context(), 0, 9)
		if err := errors.Join(err1, err2); err != nil || len(memories) != 1 || memories[0].Value != "before" || len(messages) != 0 {
			t.Errorf("got %v %v %v, want what was there", memories, messages, err)
		}
		if err := snapshot.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOwnersAreNamedInEveryReadOfMessages(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store, _ *sqldb.DB) {
		e, _ := create(t, s, ada, "aria")
		h := begin(t, s, ada, "aria", "n", "")
		ctx := context.WithoutCancel(t.Context())
		if _, err := s.Message(ctx, grace, h.Message); !fault.Is(err, fault.NotFound) {
			t.Errorf("message: got %v, want NotFound", err)
		}
		if _, err := s.MessageSeq(ctx, grace, e.ID, h.Message); !fault.Is(err, fault.NotFound) {
			t.Errorf("number: got %v, want NotFound", err)
		}
		if list, err := s.MessagesBefore(ctx, grace, e.ID, 99, 9); err != nil || len(list) != 0 {
			t.Errorf("page: got %v %v", list, err)
		}
		if _, err := s.Turn(ctx, grace, "aria", h.Message); !fault.Is(err, fault.NotFound) {
			t.Errorf("turn: got %v, want NotFound", err)
		}
		create(t, s, ada, "other")
		if _, err := s.Turn(ctx, ada, "other", h.Message); !fault.Is(err, fault.NotFound) {
			t.Errorf("turn of another entity: got %v, want NotFound", err)
		}
	})
}
