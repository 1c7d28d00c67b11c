package chat_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/httpapi"
	"github.com/IntunoAI/intuno-go/internal/agents/store"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

var ada = principal.Principal{User: "7c9e6679-7425-40de-944b-e07fc1f90ae7", Via: principal.Host}

// world is one database with the entity aria, and a clock that all nodes share.
type world struct {
	t      *testing.T
	db     *sqldb.DB
	store  chat.Store
	now    *testkit.Clock
	shared bool
}

func onBoth(t *testing.T, body func(w *world)) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		db, err := sqldb.Open(t.Context(), sqldb.Options{URL: open(), Migrations: store.Migrations(), Service: store.Service})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		rows := store.New(db)
		now := testkit.NewClock(time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC))
		entities := &entity.Service{Store: rows, Now: now.Now, Encode: httpapi.EncodeEntity}
		if _, err := entities.Create(t.Context(), ada, entity.Draft{Name: "aria"}, entity.Once{}); err != nil {
			t.Fatal(err)
		}
		body(&world{t: t, db: db, store: rows, now: now, shared: db.Dialect().Shared()})
	})
}

// script is a brain that a test writes.
type script func(ctx context.Context, t brain.Turn, out brain.Sink) error

func (s script) Turn(ctx context.Context, t brain.Turn, out brain.Sink) error { return s(ctx, t, out) }

func says(text string) script {
	return func(ctx context.Context, _ brain.Turn, out brain.Sink) error { return out.Say(ctx, text) }
}

// blocked waits for release before it says the rest.
func blocked() (b script, started, release chan struct{}) {
	started, release = make(chan struct{}, 9), make(chan struct{})
	return func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
		if err := out.Say(ctx, "so "); err != nil {
			return err
		}
		started <- struct{}{}
		select {
		case <-release:
		case <-ctx.Done():
			return ctx.Err()
		}
		return out.Say(ctx, "slow")
	}, started, release
}

// node is a process on the world's database.
func (w *world) node(b brain.Brain, change ...func(*chat.Options)) *chat.Service {
	o := chat.Options{Store: w.store, Brain: b, Encode: httpapi.EncodeEvent, Now: w.now.Now, Log: slog.New(slog.DiscardHandler),
		TurnTimeout: time.Minute, Grace: time.Minute, Shared: w.shared}
	for _, f := range change {
		f(&o)
	}
	return chat.New(o)
}

func (w *world) send(s *chat.Service, content, key string) (*chat.Sent, error) {
	return s.Send(w.t.Context(), ada, "aria", content, entity.Once{Key: key, Fingerprint: content})
}

func (w *world) mustSend(s *chat.Service, content, key string) *chat.Sent {
	w.t.Helper()
	sent, err := w.send(s, content, key)
	if err != nil || sent.Refusal != nil {
		w.t.Fatalf("send %s: %v %v", content, err, sent)
	}
	return sent
}

// events are the names of a turn's events, to its end.
func (w *world) events(s *chat.Service, message id.Message) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	f := s.Follow(ada, "aria", message, 0)
	defer f.Close()
	var names []string
	for {
		events, err := f.Next(ctx)
		if errors.Is(err, io.EOF) {
			return strings.Join(names, " ")
		}
		if err != nil {
			w.t.Fatalf("after %v: %v", names, err)
		}
		for _, e := range events {
			if e.Seq != int64(len(names)+1) {
				w.t.Errorf("event %d has the number %d", len(names)+1, e.Seq)
			}
			names = append(names, e.Name)
		}
	}
}

// history is the state of aria's messages from old to new.
func (w *world) history(s *chat.Service) string {
	w.t.Helper()
	list, err := s.History(w.t.Context(), ada, "aria", nil, 200)
	if err != nil {
		w.t.Fatal(err)
	}
	var states []string
	for _, m := range list {
		state := string(m.Role) + ":" + m.Content + ":" + string(m.Status)
		if m.Error != nil {
			state += ":" + *m.Error
		}
		states = append(states, state)
	}
	return strings.Join(states, ", ")
}

func (w *world) wantInterrupted(sent *chat.Sent) {
	w.t.Helper()
	_, err := sent.Wait(w.t.Context())
	if f := fault.As(err); f == nil || f.Code != "brain_error" || f.Detail != "The turn was interrupted" || f.Kind != fault.Upstream {
		w.t.Errorf("who waited got %v, want brain_error: The turn was interrupted", err)
	}
}

func TestAZombieIsFenced(t *testing.T) {
	onBoth(t, func(w *world) {
		slow, started, release := blocked()
		a, b := w.node(slow), w.node(says("quick"))
		first := w.mustSend(a, "first", "")
		<-started
		// Node a is silent for as long as a lease.
		if w.shared {
			if _, err := w.send(b, "early", ""); !fault.HasCode(err, "turn_in_progress") {
				t.Errorf("while the lease lasts: got %v, want turn_in_progress", err)
			}
		}
		if w.shared { // elsewhere another process is proof that the first is gone
			w.now.Add(chat.Lease)
		}
		second := w.mustSend(b, "second", "")
		if answer, err := second.Wait(t.Context()); err != nil || answer.Reply != "quick" {
			t.Errorf("second: got %+v, %v", answer, err)
		}
		close(release) // and comes back
		w.wantInterrupted(first)
		if got, want := w.events(b, first.Message), "message.started reply.delta error"; got != want {
			t.Errorf("first: got %s, want %s", got, want)
		}
		if got, want := w.history(b), "user:first:failed:The turn was interrupted, user:second:completed, assistant:quick:completed"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestARestartFailsWhatACrashLeft(t *testing.T) {
	onBoth(t, func(w *world) {
		slow, started, _ := blocked()
		dead := w.node(slow)
		left := w.mustSend(dead, "first", "k")
		<-started
		if w.shared { // another node may run it: only the lease tells
			w.now.Add(chat.Lease - time.Microsecond)
			other := w.node(says("x"))
			if err := other.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := w.history(other); got != "user:first:running" {
				t.Errorf("before the lease ended: got %s", got)
			}
			w.now.Add(time.Microsecond)
		}
		next := w.node(says("hello"))
		if err := next.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := w.history(next), "user:first:failed:The turn was interrupted"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := w.events(next, left.Message), "message.started reply.delta error"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		sent := w.mustSend(next, "other body", "k") // the key is free
		if answer, err := sent.Wait(t.Context()); err != nil || answer.Reply != "hello" {
			t.Errorf("got %+v %v", answer, err)
		}
	})
}

func TestTheNextMessageFailsWhatACrashLeft(t *testing.T) {
	onBoth(t, func(w *world) {
		slow, started, _ := blocked()
		left := w.mustSend(w.node(slow), "first", "k")
		<-started
		if w.shared {
			w.now.Add(chat.Lease)
		}
		next := w.node(says("hello")) // before it looked for abandoned turns
		if sent := w.mustSend(next, "other body", "k"); sent.Replayed {
			t.Error("replayed a turn that never ended")
		} else if _, err := sent.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if got, want := w.events(next, left.Message), "message.started reply.delta error"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		again := w.mustSend(next, "other body", "k")
		if answer, err := again.Wait(t.Context()); err != nil || !again.Replayed || answer.Reply != "hello" {
			t.Errorf("got %+v %v, want it replayed", answer, err)
		}
	})
}

func TestALongTurnKeepsItsLease(t *testing.T) {
	onBoth(t, func(w *world) {
		slow, started, release := blocked()
		a, b := w.node(slow), w.node(says("x"))
		sent := w.mustSend(a, "first", "")
		<-started
		for range 30 {
			w.now.Add(time.Second)
			if err := a.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if w.shared {
				if err := b.Keep(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.now.Add(time.Hour) // as after a suspended machine: its own turns are renewed first
		if err := a.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(release)
		if answer, err := sent.Wait(t.Context()); err != nil || answer.Reply != "so slow" {
			t.Errorf("got %+v %v", answer, err)
		}
	})
}

func TestANodeThatLostItsTurnStopsTheBrain(t *testing.T) {
	onBoth(t, func(w *world) {
		stopped, started := make(chan error, 1), make(chan struct{})
		a := w.node(script(func(ctx context.Context, _ brain.Turn, _ brain.Sink) error {
			close(started)
			<-ctx.Done()
			stopped <- context.Cause(ctx)
			return ctx.Err()
		}))
		sent := w.mustSend(a, "first", "")
		<-started
		if w.shared {
			w.now.Add(chat.Lease)
		}
		if err := w.node(says("x")).Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-stopped; !errors.Is(err, chat.ErrLost) {
			t.Errorf("the brain was stopped by %v, want ErrLost", err)
		}
		w.wantInterrupted(sent)
	})
}

// flaky breaks some methods of a store.
type flaky struct {
	chat.Store
	start func(error) error
	event func(error) error
	end   func(chat.Ending) error
}

var errBroken = errors.New("connection lost")

func (f flaky) StartTurn(ctx context.Context, s chat.Start, admit func(chat.Current) chat.Verdict) (chat.Accepted, error) {
	accepted, err := f.Store.StartTurn(ctx, s, admit)
	if f.start != nil {
		err = f.start(err)
	}
	return accepted, err
}

func (f flaky) AppendEvent(ctx context.Context, h chat.Holder, e chat.Event) (int64, error) {
	n, err := f.Store.AppendEvent(ctx, h, e)
	if f.event != nil {
		err = f.event(err)
	}
	return n, err
}

func (f flaky) EndTurn(ctx context.Context, e chat.Ending) error {
	if f.end != nil {
		if err := f.end(e); err != nil {
			return err
		}
	}
	return f.Store.EndTurn(ctx, e)
}

func TestAStartThatOnlySeemedToFailIsCleanedUp(t *testing.T) {
	onBoth(t, func(w *world) {
		var broken atomic.Bool
		broken.Store(true)
		rows := w.store
		s := w.node(says("hello"), func(o *chat.Options) {
			o.Store = flaky{Store: rows, start: func(err error) error {
				if broken.Load() {
					return errBroken
				}
				return err
			}}
		})
		if _, err := w.send(s, "first", "k"); !errors.Is(err, errBroken) {
			t.Fatalf("got %v, want %v", err, errBroken)
		}
		broken.Store(false)
		if got := w.history(s); got != "user:first:running" {
			t.Fatalf("got %s", got)
		}
		if err := s.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.history(s); got != "user:first:failed:The turn was interrupted" {
			t.Errorf("got %s", got)
		}
		if _, err := w.mustSend(s, "first", "k").Wait(t.Context()); err != nil {
			t.Errorf("retry: %v", err)
		}
	})
}

func TestTheEndIsWrittenWhenTheDatabaseIsBack(t *testing.T) {
	onBoth(t, func(w *world) {
		rows := w.store
		for _, test := range []struct {
			name string
			end  func(n int64, e chat.Ending) bool // breaks it
			want string
		}{
			{"a short break", func(n int64, _ chat.Ending) bool { return n <= 2 }, "completed"},
			{"a reply that cannot be kept", func(_ int64, e chat.Ending) bool { return e.Reply != nil }, "failed:The entity could not answer"},
		} {
			var calls atomic.Int64
			s := w.node(says("hello"), func(o *chat.Options) {
				o.Store = flaky{Store: rows, end: func(e chat.Ending) error {
					if test.end(calls.Add(1), e) {
						return errBroken
					}
					return nil
				}}
			})
			sent := w.mustSend(s, test.name, "")
			_, err := sent.Wait(t.Context())
			if got := w.history(s); !strings.Contains(got, "user:"+test.name+":"+test.want) || (err == nil) != (test.want == "completed") {
				t.Errorf("%s: got %v and %s, want %s", test.name, err, got, test.want)
			}
		}
	})
}

func TestAnEventThatWasNotKeptFailsTheTurn(t *testing.T) {
	onBoth(t, func(w *world) {
		rows := w.store
		var calls atomic.Int64
		s := w.node(script(func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
			_ = out.Say(ctx, "one ")
			_ = out.Say(ctx, "two ") // the brain does not care
			_ = out.Say(ctx, "three")
			return nil
		}), func(o *chat.Options) {
			o.Store = flaky{Store: rows, event: func(err error) error {
				if calls.Add(1) == 2 {
					return errBroken
				}
				return err
			}}
		})
		sent := w.mustSend(s, "x", "")
		if _, err := sent.Wait(t.Context()); !fault.HasCode(err, "brain_error") {
			t.Errorf("got %v, want brain_error", err)
		}
		if got := w.history(s); got != "user:x:failed:The entity could not answer" {
			t.Errorf("got %s", got)
		}
	})
}

func TestStopping(t *testing.T) {
	onBoth(t, func(w *world) {
		slow, started, release := blocked()
		s := w.node(slow)
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		sent := w.mustSend(s, "first", "")
		<-started
		s.Drain()
		if _, err := w.send(s, "second", ""); !fault.HasCode(err, "turn_in_progress") {
			t.Errorf("while others finish, messages are still looked at: got %v", err)
		}
		stop()
		for { // refused as soon as Run noticed
			if _, err := w.send(s, "second", ""); fault.HasCode(err, "not_ready") {
				break
			}
		}
		close(release)
		if answer, err := sent.Wait(t.Context()); err != nil || answer.Reply != "so slow" {
			t.Errorf("a turn that ends in time: got %+v %v", answer, err)
		}
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func TestTheGracePeriodInterruptsTurns(t *testing.T) {
	onBoth(t, func(w *world) {
		slow, started, _ := blocked()
		s := w.node(slow, func(o *chat.Options) { o.Grace = 500 * time.Millisecond })
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		sent := w.mustSend(s, "first", "")
		<-started
		stop()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
		w.wantInterrupted(sent)
		if got := w.history(s); got != "user:first:failed:The turn was interrupted" {
			t.Errorf("got %s", got)
		}
		if got, want := w.events(s, sent.Message), "message.started reply.delta error"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestAReaderOfAnotherNodesTurnIsSentAwayWhenItsNodeStops(t *testing.T) {
	onBoth(t, func(w *world) {
		if !w.shared {
			return // there is no other node
		}
		slow, started, release := blocked()
		a, b := w.node(slow), w.node(slow)
		sent := w.mustSend(a, "first", "")
		<-started
		own, foreign := a.Follow(ada, "aria", sent.Message, 2), b.Follow(ada, "aria", sent.Message, 2)
		defer own.Close()
		defer foreign.Close()
		a.Drain()
		b.Drain()
		if _, err := foreign.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("reader at the other node: got %v, want an error that makes it come back", err)
		}
		close(release)
		if events, err := own.Next(t.Context()); err != nil || events[0].Seq != 3 {
			t.Errorf("reader at the turn's node: got %v %v", events, err)
		}
	})
}

func TestLimitsOfWhatABrainSays(t *testing.T) {
	onBoth(t, func(w *world) {
		s := w.node(script(func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
			call, err := out.Call(ctx, "tool", []byte(`{"n": 12345678901234567890}`))
			if err != nil {
				return err
			}
			if err := out.Result(ctx, "t9", true, ""); err == nil {
				return errors.New("a result without a call was taken")
			}
			if err := out.Result(ctx, call, true, strings.Repeat("ä", 2001)+"\x00"); err != nil {
				return err
			}
			if err := out.Result(ctx, call, true, ""); err == nil {
				return errors.New("a second result was taken")
			}
			if _, err := out.Call(ctx, "forgotten", []byte(`{}`)); err != nil {
				return err
			}
			for _, text := range []string{"a\x00b\xff", strings.Repeat("ö", 65530), "0123456789", ""} {
				if err := out.Say(ctx, text); err != nil {
					return err
				}
			}
			return nil
		}))
		sent := w.mustSend(s, "x", "")
		answer, err := sent.Wait(t.Context())
		if want := "ab\ufffd" + strings.Repeat("ö", 65530) + "012"; err != nil || answer.Reply != want {
			t.Errorf("got %d bytes %v, want %d", len(answer.Reply), err, len(want))
		}
		if got := answer.ToolCalls; len(got) != 2 || got[0] != (chat.ToolCall{ID: "t1", Tool: "tool", OK: true}) || got[1] != (chat.ToolCall{ID: "t2", Tool: "forgotten"}) {
			t.Errorf("got %v", got)
		}
		f := s.Follow(ada, "aria", sent.Message, 0)
		defer f.Close()
		events, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := string(events[1].Data); !strings.HasSuffix(got, `"arguments":{"n":12345678901234567890}}`) {
			t.Errorf("got %s", got)
		}
		if got, want := string(events[2].Data), `"summary":"`+strings.Repeat("ä", 2000)+`"}`; !strings.HasSuffix(got, want) {
			t.Errorf("got %s, want a summary of 2000 characters", got)
		}
	})
}

// A caller gives up after 25 s: a turn that it waits for must not keep the entity busy
// for longer, one that nobody waits for may.
func TestADeliveryThatSomebodyWaitsForHasLessTime(t *testing.T) {
	onBoth(t, func(w *world) {
		b, _, release := blocked()
		defer close(release)
		s := w.node(b, func(o *chat.Options) { o.CallTimeout, o.TurnTimeout = 50*time.Millisecond, time.Minute })
		p := ada
		for _, kind := range []chat.Kind{chat.Invoke, chat.NetworkCall} {
			_, err := s.Deliver(t.Context(), p, "aria", chat.Delivery{ID: id.New[string](), Kind: kind, Caller: ada.User, Input: []byte(`{"message":"hello"}`)})
			if !fault.HasCode(err, "turn_timeout") {
				t.Errorf("%s: got %v, want turn_timeout", kind, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := s.Deliver(ctx, p, "aria", chat.Delivery{ID: id.New[string](), Kind: chat.NetworkSend, Caller: ada.User, Input: []byte(`{"content":"hello"}`)})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("message: got %v, want the end of the caller's patience", err)
		}
	})
}
