package recent_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/recent"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// source answers how often it was asked.
type source struct {
	cache *recent.Cache[int]
	clock *testkit.Clock
	asked int
}

func newSource() *source {
	clock := testkit.NewClock(time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC))
	return &source{cache: recent.New[int](clock.Now, 100), clock: clock}
}

func (s *source) want(t *testing.T, sentence, name string, want int) {
	t.Helper()
	got, err := s.cache.Get(t.Context(), name, func(context.Context) (int, error) { s.asked++; return s.asked, nil })
	if err != nil || got != want {
		t.Errorf("%s: got %d, %v, want %d", sentence, got, err, want)
	}
}

func TestAnAnswerIsBelievedForLessThanASecond(t *testing.T) {
	s := newSource()
	s.want(t, "the first", "a", 1)
	s.clock.Add(899 * time.Millisecond)
	s.want(t, "a little later", "a", 1)
	s.want(t, "another name", "b", 2)
	s.clock.Add(time.Millisecond)
	s.want(t, "too late", "a", 3)
	s.clock.Add(-time.Second)
	s.want(t, "a clock that went back", "a", 4)
	s.cache.Drop()
	s.want(t, "after a change", "a", 5)
	s.want(t, "after a change, another name", "b", 6)
}

func TestOneNameIsForgotten(t *testing.T) {
	s := newSource()
	for i := range 50 {
		s.want(t, "a new name", fmt.Sprint(i), i+1)
	}
	s.cache.Forget("7")
	s.want(t, "the one that was forgotten", "7", 51)
	for i := range 50 {
		if _, err := s.cache.Get(t.Context(), fmt.Sprint(i), func(context.Context) (int, error) { s.asked++; return 0, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked > 55 {
		t.Errorf("%d of 49 others were forgotten too", s.asked-51)
	}

	started, let, old := make(chan struct{}), make(chan struct{}), make(chan int)
	go func() {
		v, _ := s.cache.Get(t.Context(), "slow", func(context.Context) (int, error) { close(started); <-let; return -1, nil })
		old <- v
	}()
	<-started
	s.cache.Forget("slow")
	asked := s.asked
	s.want(t, "after a change while it is read", "slow", asked+1)
	close(let)
	if got := <-old; got != -1 {
		t.Errorf("who came before the change: got %d, want what was read then", got)
	}
	s.want(t, "and what was read before it is not kept", "slow", asked+1)
}

func TestWhatFailsIsNotRemembered(t *testing.T) {
	s := newSource()
	down := errors.New("down")
	if _, err := s.cache.Get(t.Context(), "a", func(context.Context) (int, error) { return 9, down }); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
	if _, err := s.cache.Get(t.Context(), "a", func(context.Context) (int, error) { panic("oh") }); err == nil {
		t.Error("a panic is no error")
	}
	s.want(t, "afterwards", "a", 1)
}

func TestConcurrentReadersShareOneLoadUnlessSomethingChangedMeanwhile(t *testing.T) {
	s := newSource()
	var loads atomic.Int64
	started, let := make(chan struct{}, 100), make(chan struct{})
	load := func(context.Context) (int, error) {
		n := loads.Add(1)
		started <- struct{}{}
		<-let
		return int(n), nil
	}
	var group sync.WaitGroup
	get := func(want int) {
		group.Go(func() {
			if got, err := s.cache.Get(t.Context(), "a", load); err != nil || got != want {
				t.Errorf("got %d, %v, want %d", got, err, want)
			}
		})
	}
	get(1)
	<-started
	for range 20 {
		get(1)
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.cache.Get(ctx, "a", load); !errors.Is(err, context.Canceled) {
		t.Errorf("one who left: got %v", err)
	}
	time.Sleep(20 * time.Millisecond) // they join
	s.cache.Drop()
	get(2) // who comes after a change does not join a read from before it
	<-started
	close(let)
	group.Wait()
	get(2) // and what was read before it is not kept
	group.Wait()
	if n := loads.Load(); n != 2 {
		t.Errorf("%d loads, want 2", n)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	s := newSource()
	for i := range 10000 {
		s.want(t, "a new name", fmt.Sprint(i), i+1)
	}
	before := s.asked
	for i := range 10000 {
		if _, err := s.cache.Get(t.Context(), fmt.Sprint(i), func(context.Context) (int, error) { s.asked++; return 0, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked-before < 9000 {
		t.Errorf("%d of 10000 were kept, want about 100", 10000-(s.asked-before))
	}
}
