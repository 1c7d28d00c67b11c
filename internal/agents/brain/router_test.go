package brain_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/agents/store"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// notes is a sink that writes down what a brain does.
type notes struct {
	text  strings.Builder
	calls int
	err   error // of every call, when set
}

func (n *notes) Say(_ context.Context, text string) error {
	fmt.Fprintf(&n.text, "say %s", text)
	return n.err
}

func (n *notes) Call(_ context.Context, function string, arguments []byte) (string, error) {
	n.calls++
	fmt.Fprintf(&n.text, "%s(%s) ", function, arguments)
	return fmt.Sprint("t", n.calls), n.err
}

func (n *notes) Result(_ context.Context, call string, ok bool, summary string) error {
	fmt.Fprintf(&n.text, "%s %v %q ", call, ok, summary)
	return n.err
}

type world struct {
	t      *testing.T
	router *brain.Router
	entity entity.Entity
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: testkit.SQLite(t), Migrations: store.Migrations(), Service: store.Service})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	now := testkit.NewClock(time.Date(2026, 4, 23, 12, 34, 56, 0, time.UTC))
	rows := store.New(db)
	e := entity.Entity{ID: id.New[id.Entity](), Owner: id.New[id.User](), Name: "aria", MemoryEnabled: true, Status: entity.Active,
		Tools: []string{entity.ToolMemory, entity.ToolClock}}
	_, err = rows.CreateEntity(t.Context(), e, entity.Once{}, nil, func(*entity.Record) entity.Admission { return entity.Admission{} })
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, entity: e, router: &brain.Router{Memories: &memory.Service{Store: rows, Now: now.Now}, Now: now.Now,
		Network: &network{}, MaxDistance: 1.8, Reserve: 3 * time.Second}}
}

func (w *world) turn(content string) string {
	w.t.Helper()
	var out notes
	if err := w.router.Turn(w.t.Context(), brain.Turn{Entity: w.entity, Content: content}, &out); err != nil {
		w.t.Fatal(err)
	}
	return out.text.String()
}

const unknown = `say I know no agent for that.`

func TestRouterCommands(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct{ content, want string }{
		{"recall", `recall({}) t1 true "0 keys" say I remember nothing yet.`},
		{"remember city: Rome", `remember({"key":"city","value":"Rome"}) t1 true "stored" say I will remember city.`},
		{"recall city", `recall({"key":"city"}) t1 true "Rome" say Rome`},
		{"REMEMBER City = Oslo ", `remember({"key":"city","value":"Oslo"}) t1 true "replaced" say I will remember the new city.`},
		{" Recall  CITY\n", `recall({"key":"city"}) t1 true "Oslo" say Oslo`},
		{"remember Favourite  Food:pasta: with = and\nmore", `remember({"key":"favourite-food","value":"pasta: with = and\nmore"}) t1 true "stored" say I will remember favourite-food.`},
		{"recall favourite food", "recall({\"key\":\"favourite-food\"}) t1 true \"pasta: with = and\\nmore\" say pasta: with = and\nmore"},
		{"recall", `recall({}) t1 true "2 keys" say I remember:` + "\ncity\nfavourite-food"},
		{"recall nothing", `recall({"key":"nothing"}) t1 false "Memory not found" say I remember nothing about nothing.`},
		{"forget city", `forget({"key":"city"}) t1 true "forgotten" say I have forgotten city.`},
		{"Forget City", `forget({"key":"city"}) t1 true "there was nothing to forget" say I have forgotten city.`},
		{"recall city", `recall({"key":"city"}) t1 false "Memory not found" say I remember nothing about city.`},
		{"time", `now({}) t1 true "2026-04-23T12:34:56Z" say It is 12:34:56 UTC on 23 April 2026.`},
		{"What  time is it?", `now({}) t1 true "2026-04-23T12:34:56Z" say It is 12:34:56 UTC on 23 April 2026.`},
		{"remember !!!: x", `say I need a name with a letter from a to z or a digit for that.`},
		{"remember long: " + strings.Repeat("ä", 8193), `remember({"key":"long","value":"` + strings.Repeat("ä", 8193) + `"}) t1 false "must have 1 to 8192 characters" say I cannot remember long: must have 1 to 8192 characters.`},
		{"remember <b>: &", `remember({"key":"b","value":"&"}) t1 true "stored" say I will remember b.`},
	} {
		if got := w.turn(test.content); got != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.content, got, test.want)
		}
	}
}

func TestWhatIsNoCommand(t *testing.T) {
	w := newWorld(t)
	w.entity.Tools = append(w.entity.Tools, entity.ToolDiscover)
	for _, content := range []string{"hello", "remember", "remember to buy milk", "remember : x", "remember city:", "remember city: ", "rememberer a: b",
		"remember a\nb: c", "recalling", "recallcity", "forget", "forget ", "timer", "time flies", "what time is it in Rome", "please recall city", "?", " "} {
		got := w.turn(content)
		if asked := strings.HasPrefix(got, "discover_agents("); asked != (strings.TrimSpace(content) != "") || !strings.Contains(got, unknown) {
			t.Errorf("%q: got %s, want it asked of the network, and %s", content, got, unknown)
		}
	}
}

func TestPermissionsAreObeyed(t *testing.T) {
	w := newWorld(t)
	if got := w.turn("remember city: Rome"); !strings.Contains(got, "stored") {
		t.Fatal(got)
	}
	for _, test := range []struct {
		tools   []string
		enabled bool
		memory  string
		clock   string
	}{
		{[]string{entity.ToolClock}, true, `tools do not include "memory"`, "It is"},
		{[]string{entity.ToolMemory}, false, "my memory is switched off", `tools do not include "clock"`},
		{nil, false, `tools do not include "memory"`, `tools do not include "clock"`},
	} {
		w.entity.Tools, w.entity.MemoryEnabled = test.tools, test.enabled
		for _, content := range []string{"remember city: Oslo", "recall city", "recall", "forget city", "remember !: x"} {
			if got := w.turn(content); !strings.HasPrefix(got, "say I am not allowed") || !strings.Contains(got, test.memory) {
				t.Errorf("tools %v, memory %v, %q: got %s", test.tools, test.enabled, content, got)
			}
		}
		if got := w.turn("time"); !strings.Contains(got, test.clock) {
			t.Errorf("tools %v: time: got %s", test.tools, got)
		}
	}
	w.entity.Tools, w.entity.MemoryEnabled = []string{entity.ToolMemory}, true
	if got := w.turn("recall city"); !strings.HasSuffix(got, "say Rome") {
		t.Errorf("got %s, want the memory untouched", got)
	}
}

func TestTheLimitIsSaidInTheReply(t *testing.T) {
	w := newWorld(t)
	w.router.Memories = full{w.router.Memories}
	got := w.turn("remember one-more: x")
	want := `remember({"key":"one-more","value":"x"}) t1 false "An entity can have at most 1000 memories" say I cannot remember one-more: An entity can have at most 1000 memories.`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// full is a memory whose limit is reached: the real rule with no room.
type full struct{ brain.Memories }

func (f full) Put(ctx context.Context, of memory.Of, key, value string, by memory.Source) (memory.Memory, bool, error) {
	service, _ := f.Memories.(*memory.Service)
	return (&memory.Service{Store: noRoom{service.Store}, Now: service.Now}).Put(ctx, of, key, value, by)
}

type noRoom struct{ memory.Store }

func (n noRoom) PutMemory(ctx context.Context, of memory.Of, m memory.Memory, _ int, full error) (memory.Memory, bool, error) {
	return n.Store.PutMemory(ctx, of, m, 0, full)
}

func TestManyKeysAreListedAsFarAsAReplyHolds(t *testing.T) {
	w := newWorld(t)
	w.router.Memories = many{w.router.Memories}
	got := w.turn("recall")
	_, reply, _ := strings.Cut(got, "say ")
	if n := len(reply); n > 65536 || n < 64000 || !strings.HasSuffix(reply, "\nand 497 more") {
		t.Errorf("got %d characters that end with %q", n, reply[len(reply)-40:])
	}
}

// many has a thousand keys of 128 characters.
type many struct{ brain.Memories }

func (many) List(_ context.Context, _ memory.Of, q memory.Query) (list []memory.Memory, err error) {
	for i := range 1000 {
		key := fmt.Sprintf("%0128d", i)
		if key > q.After && len(list) < q.Limit {
			list = append(list, memory.Memory{Key: key})
		}
	}
	return list, nil
}

func TestErrorsEndTheTurn(t *testing.T) {
	w := newWorld(t)
	boom := errors.New("boom")
	turn := brain.Turn{Entity: w.entity, Content: "recall city"}
	if err := w.router.Turn(t.Context(), turn, &notes{err: boom}); !errors.Is(err, boom) {
		t.Errorf("sink: got %v, want %v", err, boom)
	}
	w.router.Memories = broken{w.router.Memories, boom}
	var out notes
	if err := w.router.Turn(t.Context(), turn, &out); !errors.Is(err, boom) || strings.Contains(out.text.String(), "boom") {
		t.Errorf("memory: got %v and %s, want %v, unsaid", err, out.text.String(), boom)
	}
}

type broken struct {
	brain.Memories
	err error
}

func (b broken) Get(context.Context, memory.Of, string) (memory.Memory, error) {
	return memory.Memory{}, b.err
}
