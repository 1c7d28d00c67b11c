package platform_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/platform"
)

// counted is a switch that counts who looks, and can be out of reach. The real ones are
// tested in package store.
type counted struct {
	mu    sync.Mutex
	since *time.Time
	err   error
	looks atomic.Int64
	wait  chan struct{} // nil: looks do not wait
}

func (c *counted) Halt(_ context.Context, at time.Time) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = &at
	return at, c.err
}

func (c *counted) Resume(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = nil
	return c.err
}

func (c *counted) Halted(context.Context) (*time.Time, error) {
	c.looks.Add(1)
	c.mu.Lock()
	since, err := c.since, c.err
	c.mu.Unlock()
	if c.wait != nil {
		<-c.wait
	}
	return since, err
}

var (
	noon  = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	admin = principal.Principal{User: "a", Via: principal.JWT, Admin: true}
)

func TestTheSwitchIsLookedAtOnceASecondForAll(t *testing.T) {
	now, c := testkit.NewClock(noon), &counted{}
	s := platform.New(c, now.Now)
	for round := range int64(3) {
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				if err := s.Running(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if got := c.looks.Load(); got != round+1 {
			t.Errorf("round %d: %d looks, want %d", round, got, round+1)
		}
		now.Add(900 * time.Millisecond)
	}
}

// A look that began before the halt must not be believed after it.
func TestAHaltActsAtOnceOnThisNode(t *testing.T) {
	now, c := testkit.NewClock(noon), &counted{wait: make(chan struct{})}
	s := platform.New(c, now.Now)
	early := make(chan error, 1)
	go func() { early <- s.Running(t.Context()) }()
	for c.looks.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := s.Halt(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	close(c.wait)
	if err := <-early; err != nil {
		t.Errorf("who asked before the halt got %v", err)
	}
	if err := s.Running(t.Context()); !fault.HasCode(err, "platform_halted") || !fault.Is(err, fault.Unavailable) {
		t.Errorf("after the halt: got %v, want platform_halted", err)
	}
	if err := s.Resume(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	if err := s.Running(t.Context()); err != nil {
		t.Errorf("after the resume: got %v", err)
	}
}

func TestASwitchThatCannotBeReadIsNotTakenForOff(t *testing.T) {
	now, c := testkit.NewClock(noon), &counted{}
	s := platform.New(c, now.Now)
	if err := s.Running(t.Context()); err != nil {
		t.Fatal(err)
	}
	down := errors.New("no database")
	c.err = down
	if err := s.Running(t.Context()); err != nil {
		t.Errorf("what was read a moment ago: got %v", err)
	}
	now.Add(time.Second)
	for _, err := range []error{s.Running(t.Context()), second(s.Status(t.Context(), admin)), second(s.Halt(t.Context(), admin)), s.Resume(t.Context(), admin)} {
		if !errors.Is(err, down) || fault.As(err) != nil {
			t.Errorf("got %v, want the cause, hidden", err)
		}
	}
	c.err = nil
	if err := s.Running(t.Context()); err != nil {
		t.Errorf("the failure was remembered: got %v", err)
	}
}

func TestOnlyAdministratorsSwitch(t *testing.T) {
	c := &counted{}
	s := platform.New(c, testkit.NewClock(noon).Now)
	for _, p := range []principal.Principal{{}, {User: "u", Via: principal.JWT}, {User: "u", Via: principal.Delegation}} {
		for _, err := range []error{second(s.Halt(t.Context(), p)), s.Resume(t.Context(), p), second(s.Status(t.Context(), p))} {
			if !fault.HasCode(err, "forbidden") {
				t.Errorf("%+v: got %v, want forbidden", p, err)
			}
		}
	}
	if since, err := s.Halted(t.Context()); err != nil || since != nil {
		t.Errorf("got %v, %v", since, err)
	}
}

func second[T any](_ T, err error) error { return err }
