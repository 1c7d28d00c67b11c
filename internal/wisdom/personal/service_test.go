package personal_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

var noon = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)

// bench is the Service on a real store, before a host that does what the test says.
type bench struct {
	*personal.Service
	store *store.Store
	clock *testkit.Clock
	host  *scripted
	reads *countingStore
}

// scripted is the host. Without a script it has what it was asked to create.
type scripted struct {
	mu    sync.Mutex // the settler asks from several goroutines
	calls []personal.Call
	do    func(personal.Call) (personal.Answer, error)
	open  func(personal.Call) (personal.Stream, error)
}

func (h *scripted) Do(_ context.Context, c personal.Call) (personal.Answer, error) {
	h.note(c)
	return h.do(c)
}

func (h *scripted) Open(_ context.Context, c personal.Call) (personal.Stream, error) {
	h.note(c)
	return h.open(c)
}

func (h *scripted) note(c personal.Call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
}

// ops are the routes that were asked, since the last call of ops.
func (h *scripted) ops() (ops []personal.Op) {
	for _, c := range h.calls {
		ops = append(ops, c.Op)
	}
	h.calls = nil
	return ops
}

// countingStore counts every call of the store.
type countingStore struct {
	*store.Store
	n atomic.Int64
}

func (s *countingStore) Slots(ctx context.Context, user id.User) ([]personal.Slot, error) {
	s.n.Add(1)
	return s.Store.Slots(ctx, user)
}

func (s *countingStore) ChangeSlots(ctx context.Context, user id.User, change func(personal.Book) (personal.Change, error)) error {
	s.n.Add(1)
	return s.Store.ChangeSlots(ctx, user, change)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: testkit.SQLite(t), Migrations: store.Migrations(), Service: "wisdom"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &bench{store: store.New(db), clock: testkit.NewClock(noon), host: &scripted{}}
	b.reads = &countingStore{Store: b.store}
	b.Service, err = personal.New(personal.Config{
		Free: personal.Limits{Entities: 1, PerMinute: 2, PerMonth: 5}, Pro: personal.Limits{Entities: 3, PerMinute: 4, PerMonth: 50},
		Store: b.reads, Host: b.host, Log: slog.New(slog.DiscardHandler), Now: b.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) user(t *testing.T, plan auth.Plan) principal.Principal {
	t.Helper()
	user := id.New[id.User]()
	account := auth.Account{User: auth.User{ID: user, Email: string(user) + "@example.org", Active: true, Plan: plan, Created: noon, Updated: noon}, PasswordHash: "x"}
	if err := b.store.CreateUser(t.Context(), account, account.Email); err != nil {
		t.Fatal(err)
	}
	return principal.Principal{User: user, Via: principal.JWT, Request: "req-7"}
}

// slots tells the user's slots as "name:state:holders".
func (b *bench) slots(t *testing.T, p principal.Principal) string {
	t.Helper()
	slots, err := b.store.Slots(t.Context(), p.User)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range slots {
		all = append(all, s.Name+":"+string(s.State)+":"+string(rune('0'+s.Holders)))
	}
	return strings.Join(all, " ")
}

func (b *bench) settle(t *testing.T, after time.Duration) {
	t.Helper()
	b.clock.Add(after)
	if _, err := b.SettleDue(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func entityOf(p principal.Principal) personal.Answer {
	return personal.Answer{Status: 200, JSON: []byte(`{}`), Owner: string(p.User), Owned: true}
}

func answers(a personal.Answer, err error) func(personal.Call) (personal.Answer, error) {
	return func(personal.Call) (personal.Answer, error) { return a, err }
}

func named(name string) []byte { return []byte(`{"name":"` + name + `","instructions":"x"}`) }

func refusal(kind fault.Kind) error { return fault.New(kind, "x", "no") }

var (
	errHost    = fault.New(fault.Upstream, "entity_host_error", "The entity service is unavailable")
	errMissing = fault.Missing("Entity")
)

func errUnsent() error {
	return fault.New(fault.Upstream, "entity_host_error", "x").Because(personal.ErrNothingDone)
}

func wantKind(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("got error %v, want a fault of kind %d", err, kind)
	}
}

func wantSlots(t *testing.T, b *bench, p principal.Principal, want string) {
	t.Helper()
	if got := b.slots(t, p); got != want {
		t.Errorf("got slots %q, want %q", got, want)
	}
}

// The table of contract §9.4.
func TestTheSlotOfACreateFollowsItsOutcome(t *testing.T) {
	b := newBench(t)
	foreign := personal.Answer{Status: 201, JSON: []byte(`{}`), Owner: "someone else", Owned: true}
	tests := []struct {
		name   string
		answer personal.Answer
		err    error
		kind   fault.Kind // of the answer to the client, 0 for success
		slots  string
	}{
		{"2xx confirms", personal.Answer{Status: 201, Owned: true}, nil, 0, "aria:confirmed:0"},
		{"400 releases", personal.Answer{}, refusal(fault.BadRequest), fault.BadRequest, ""},
		{"409 releases", personal.Answer{}, refusal(fault.Conflict), fault.Conflict, ""},
		{"422 releases", personal.Answer{}, refusal(fault.Invalid), fault.Invalid, ""},
		{"429 releases", personal.Answer{}, refusal(fault.RateLimited), fault.RateLimited, ""},
		{"any other 4xx releases", personal.Answer{}, &fault.Error{Kind: fault.Other, Status: 418}, fault.Other, ""},
		{"never sent releases", personal.Answer{}, errUnsent(), fault.Upstream, ""},
		{"5xx holds", personal.Answer{}, errHost, fault.Upstream, "aria:reserved:1"},
		{"a foreign owner is a 502 and holds", foreign, nil, fault.Upstream, "aria:reserved:1"},
		{"no owner is a 502 and holds", personal.Answer{Status: 201}, nil, fault.Upstream, "aria:reserved:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := b.user(t, auth.Free)
			if tt.answer.Owned && tt.answer.Owner == "" {
				tt.answer.Owner = string(p.User)
			}
			b.host.do = answers(tt.answer, tt.err)
			_, err := b.Create(t.Context(), p, named("aria"), "")
			if tt.kind == 0 && err != nil || tt.kind != 0 && !fault.Is(err, tt.kind) {
				t.Errorf("got %v, want kind %d", err, tt.kind)
			}
			wantSlots(t, b, p, tt.slots)
			c := b.host.calls[len(b.host.calls)-1]
			if c.User != p.User || c.RequestID != "req-7" || string(c.Body) != string(named("aria")) {
				t.Errorf("got call %+v, want it to act for the user with the body as it is", c)
			}
		})
	}
}

func TestAHeldSlotIsSettledAfter90Seconds(t *testing.T) {
	for _, exists := range []bool{true, false} {
		b := newBench(t)
		p := b.user(t, auth.Free)
		b.host.do = answers(personal.Answer{}, errHost)
		_, err := b.Create(t.Context(), p, named("aria"), "")
		wantKind(t, err, fault.Upstream)
		b.host.ops()
		b.settle(t, 89*time.Second)
		if ops := b.host.ops(); len(ops) > 0 {
			t.Errorf("after 89 s the host was asked %v, want nothing", ops)
		}
		b.settle(t, time.Second) // no answer: asked again later
		wantSlots(t, b, p, "aria:reserved:1")
		b.host.do = answers(entityOf(principal.Principal{User: "x"}), nil)
		b.settle(t, time.Minute) // somebody else's: neither yes nor no
		wantSlots(t, b, p, "aria:reserved:1")
		b.host.do = answers(entityOf(p), nil)
		want := "aria:confirmed:0"
		if !exists {
			b.host.do, want = answers(personal.Answer{}, errMissing), ""
		}
		b.settle(t, time.Minute)
		wantSlots(t, b, p, want)
	}
}

func TestOverTheCapNothingIsSent(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	b.host.do = answers(entityOf(p), nil)
	if _, err := b.Create(t.Context(), p, named("aria"), "k1"); err != nil {
		t.Fatal(err)
	}
	b.host.ops()
	for _, name := range []string{"bob", "aria"} {
		_, err := b.Create(t.Context(), p, named(name), "")
		f := fault.As(err)
		if f == nil || f.Code != "entity_quota_exceeded" || f.Kind != fault.RateLimited || f.RetryAfter != 0 ||
			f.Extra["limit"] != 1 || f.Extra["used"] != 1 || f.Detail != "Entity limit reached for your plan" {
			t.Errorf("%s: got %#v, want the quota with limit and used", name, f)
		}
	}
	_, err := b.Create(t.Context(), p, named("bob"), "k1")
	if !fault.HasCode(err, "idempotency_key_reused") || !fault.Is(err, fault.Invalid) {
		t.Errorf("key of another entity: got %v, want 422", err)
	}
	if ops := b.host.ops(); len(ops) > 0 {
		t.Errorf("the host was asked %v, want nothing", ops)
	}
	if _, err := b.Create(t.Context(), p, named("aria"), "k1"); err != nil {
		t.Errorf("the key of the entity itself: got %v, want it forwarded", err)
	}
	wantSlots(t, b, p, "aria:confirmed:0")
	b.clock.Add(24 * time.Hour)
	if _, err = b.Create(t.Context(), p, named("aria"), "k1"); !fault.HasCode(err, "entity_quota_exceeded") {
		t.Errorf("a day later: got %v, want the key forgotten", err)
	}
}

func TestOnlyAKeyThatMayHaveCreatedIsRemembered(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Pro)
	b.host.do = answers(entityOf(p), nil)
	_, err := b.Create(t.Context(), p, named("aria"), "k1")
	b.host.do = answers(personal.Answer{}, refusal(fault.Conflict))
	_, _ = b.Create(t.Context(), p, named("aria"), "k2") // refused: its key is free again
	b.host.do = answers(entityOf(p), nil)
	_, err2 := b.Create(t.Context(), p, named("bob"), "k2")
	_, err3 := b.Create(t.Context(), p, named("carl"), "")
	if err = errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	for key, name := range map[string]string{"k1": "aria", "k2": "bob"} { // now at the cap
		if _, err := b.Create(t.Context(), p, named(name), key); err != nil {
			t.Errorf("%s: got %v, want its slot reused", key, err)
		}
	}
	wantSlots(t, b, p, "aria:confirmed:0 bob:confirmed:0 carl:confirmed:0")
}

func TestBadNamesAreRefusedBeforeAnything(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	for body, typ := range map[string]string{
		`{}`: "missing", `{"Name":"aria"}`: "missing", `{"name":null}`: "string_type", `{"name":7}`: "string_type", `{"name":["a"]}`: "string_type",
		`{"name":""}`: "string_pattern_mismatch", `{"name":"A"}`: "string_pattern_mismatch", `{"name":"../x"}`: "string_pattern_mismatch",
		`{"name":"` + strings.Repeat("a", 64) + `"}`: "string_pattern_mismatch", `{"name":"a\u0000"}`: "string_pattern_mismatch", `[]`: "object_type",
	} {
		_, err := b.Create(t.Context(), p, []byte(body), "")
		f := fault.As(err)
		if f == nil || f.Kind != fault.Invalid || len(f.Problems) != 1 || f.Problems[0].Type != typ || f.Problems[0].Loc[0] != "body" {
			t.Errorf("%s: got %v, want %s", body, err, typ)
		}
	}
	wantSlots(t, b, p, "")
	if ops := b.host.ops(); len(ops) > 0 {
		t.Errorf("the host was asked %v, want nothing", ops)
	}
}

// hasAria is a host with one entity; deletes are answered with err.
func hasAria(p principal.Principal, gone *bool, err error) func(personal.Call) (personal.Answer, error) {
	return func(c personal.Call) (personal.Answer, error) {
		switch {
		case *gone:
			return personal.Answer{}, errMissing
		case c.Op == personal.DeleteEntity:
			return personal.Answer{Status: 204}, err
		}
		return entityOf(p), nil
	}
}

func TestADeleteFreesTheSlotIfTheEntityIsGone(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		slots string
	}{
		{"204", nil, ""},
		{"404", errMissing, ""},
		{"409 keeps it until it is looked at", refusal(fault.Conflict), "aria:unknown:0"},
		{"an unknown end too", errHost, "aria:unknown:0"},
		{"never sent too", errUnsent(), "aria:unknown:0"},
	}
	b := newBench(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := b.user(t, auth.Free)
			gone := false
			b.host.do = hasAria(p, &gone, tt.err)
			if _, err := b.Create(t.Context(), p, named("aria"), "k"); err != nil {
				t.Fatal(err)
			}
			b.host.ops()
			if err := b.Delete(t.Context(), p, "aria"); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if got := b.host.ops(); !slices.Equal(got, []personal.Op{personal.GetEntity, personal.DeleteEntity}) {
				t.Errorf("the host was asked %v, want a look first", got)
			}
			wantSlots(t, b, p, tt.slots)
			gone = errors.Is(tt.err, errHost) // it took effect unseen
			b.settle(t, 91*time.Second)
			want := ""
			if tt.slots != "" && !gone {
				want = "aria:confirmed:0"
			}
			wantSlots(t, b, p, want)
		})
	}
}

func TestA404FreesASlotOnlyAfterASecondLook(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	b.host.do = answers(entityOf(p), nil)
	if _, err := b.Create(t.Context(), p, named("aria"), ""); err != nil {
		t.Fatal(err)
	}
	b.host.ops()
	b.host.do = func(c personal.Call) (personal.Answer, error) {
		if c.Op == personal.GetMemory {
			return personal.Answer{}, errMissing
		}
		return entityOf(p), nil
	}
	_, err := b.Memory(t.Context(), p, "aria", "town")
	wantKind(t, err, fault.NotFound)
	wantSlots(t, b, p, "aria:confirmed:0")
	if got := b.host.ops(); !slices.Equal(got, []personal.Op{personal.GetMemory, personal.GetEntity}) {
		t.Errorf("the host was asked %v, want for the entity too", got)
	}
	b.host.do = answers(personal.Answer{}, errMissing)
	_, err = b.Get(t.Context(), p, "bob")
	wantKind(t, err, fault.NotFound)
	if got := b.host.ops(); len(got) != 1 {
		t.Errorf("name without a slot: the host was asked %v, want once", got)
	}
	_, err = b.Resume(t.Context(), p, "aria")
	wantKind(t, err, fault.NotFound)
	wantSlots(t, b, p, "")
	if _, err = b.Create(t.Context(), p, named("carl"), ""); fault.HasCode(err, "entity_quota_exceeded") {
		t.Errorf("got %v, want room for another entity", err)
	}
}

func TestA404NeverFreesTheSlotOfACreateInFlight(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	b.host.do = answers(personal.Answer{}, errHost)
	_, _ = b.Create(t.Context(), p, named("aria"), "")
	b.host.do = answers(personal.Answer{}, errMissing)
	_, err := b.Get(t.Context(), p, "aria")
	wantKind(t, err, fault.NotFound)
	wantKind(t, b.Delete(t.Context(), p, "aria"), fault.NotFound)
	wantSlots(t, b, p, "aria:reserved:1")
}

func TestAnEntityWithoutASlotGetsOneEvenAboveTheCap(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	b.host.do = answers(entityOf(p), nil)
	if _, err := b.Get(t.Context(), p, "aria"); err != nil {
		t.Fatal(err)
	}
	b.host.do = answers(personal.Answer{Status: 200, JSON: []byte(`[]`), Items: []personal.Item{
		{Name: "bob", Owner: string(p.User), Owned: true}, {Name: "carl", Owner: string(p.User), Owned: true},
		{Name: "../x", Owner: string(p.User), Owned: true}}}, nil)
	if _, err := b.List(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	wantSlots(t, b, p, "aria:unknown:0 bob:unknown:0 carl:unknown:0")
	_, err := b.Create(t.Context(), p, named("dora"), "")
	if f := fault.As(err); f == nil || f.Extra["used"] != 3 || f.Extra["limit"] != 1 {
		t.Errorf("got %v, want 3 used of 1", err)
	}
	b.host.do = func(c personal.Call) (personal.Answer, error) {
		if c.Name == "bob" {
			return personal.Answer{}, errMissing // the list was old
		}
		return entityOf(p), nil
	}
	b.settle(t, 0)
	wantSlots(t, b, p, "aria:confirmed:0 carl:confirmed:0")
}

func TestAWarmReadNeedsNoQuery(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	b.host.do = answers(entityOf(p), nil)
	if _, err := b.Create(t.Context(), p, named("aria"), ""); err != nil {
		t.Fatal(err)
	}
	get := func() int64 {
		before := b.reads.n.Load()
		if _, err := b.Get(t.Context(), p, "aria"); err != nil {
			t.Fatal(err)
		}
		return b.reads.n.Load() - before
	}
	if n := get(); n != 0 {
		t.Errorf("got %d queries after the create, want none", n)
	}
	b.clock.Add(time.Minute)
	if n := get(); n != 1 {
		t.Errorf("got %d queries a minute later, want 1", n)
	}
	if n := get(); n != 0 {
		t.Errorf("got %d queries after that, want none", n)
	}
}

func TestASettledSlotIsLookedAtOnceADay(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	b.host.do = answers(entityOf(p), nil)
	if _, err := b.Create(t.Context(), p, named("aria"), ""); err != nil {
		t.Fatal(err)
	}
	b.host.ops()
	b.settle(t, 24*time.Hour-time.Second)
	if got := b.host.ops(); len(got) > 0 {
		t.Errorf("the host was asked %v within a day, want nothing", got)
	}
	b.settle(t, time.Second)
	wantSlots(t, b, p, "aria:confirmed:0")
	b.host.do = answers(personal.Answer{}, errMissing) // lost without our doing
	b.settle(t, 24*time.Hour)
	wantSlots(t, b, p, "")
}

// A process that stood still between the reservation and the sending must not send.
func TestALateCreateIsNotSent(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	b.host.do = answers(entityOf(p), nil)
	still := &stillStore{b.reads, b.clock}
	late, err := personal.New(personal.Config{Free: b.Free, Pro: b.Pro, Store: still, Host: b.host, Log: b.Log, Now: b.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, err = late.Create(t.Context(), p, named("aria"), "")
	wantKind(t, err, fault.Upstream)
	if got := b.host.ops(); len(got) > 0 {
		t.Errorf("the host was asked %v, want nothing", got)
	}
	wantSlots(t, b, p, "")
}

type stillStore struct {
	*countingStore
	clock *testkit.Clock
}

func (s *stillStore) ChangeSlots(ctx context.Context, user id.User, change func(personal.Book) (personal.Change, error)) error {
	err := s.countingStore.ChangeSlots(ctx, user, change)
	s.clock.Add(31 * time.Second)
	return err
}

func TestTheHostsTimeMustFitIntoTheSettleTime(t *testing.T) {
	if _, err := personal.New(personal.Config{Timeout: time.Minute, Settle: time.Minute}); err == nil {
		t.Error("got no error")
	}
}

func TestTheSettlerRunsByItself(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	looked := make(chan struct{}, 10)
	b.host.do = func(personal.Call) (personal.Answer, error) {
		looked <- struct{}{}
		return entityOf(p), nil
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	if _, err := b.Get(t.Context(), p, "aria"); err != nil { // no slot yet: wakes the settler
		t.Fatal(err)
	}
	for range 2 {
		select {
		case <-looked:
		case <-time.After(4 * time.Second):
			t.Fatal("the settler did not look at once")
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("got %v, want a quiet end", err)
	}
}
