package underway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestACutEndsWhatIsUnderWayAndWhatBeginsLater(t *testing.T) {
	var c Calls
	left, leave := c.Enter(t.Context())
	leave()
	running, leave := c.Enter(t.Context())
	c.Cut()
	later, leaveLater := c.Enter(t.Context())
	if err := context.Cause(left); errors.Is(err, ErrCut) {
		t.Errorf("one that had ended: got %v", err)
	}
	for _, ctx := range []context.Context{running, later} {
		if err := context.Cause(ctx); !errors.Is(err, ErrCut) {
			t.Errorf("got %v, want that it was cut", err)
		}
	}
	leave()
	leaveLater()
	if n := len(c.noted); n != 0 {
		t.Errorf("%d calls are still noted", n)
	}
}

func TestOneThatHangsTakesNoMoreThanItsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots[string](3)
		var releases []func()
		for range 3 {
			release, ok := s.Take(t.Context(), "dead")
			if !ok {
				t.Fatal("no slot although there are some")
			}
			releases = append(releases, release)
		}
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok := s.Take(limited, "dead"); ok {
			t.Error("one slot too many")
		}
		if release, ok := s.Take(t.Context(), "other"); !ok {
			t.Error("another waits for the dead one")
		} else {
			release()
		}
		waited := make(chan bool)
		go func() {
			release, ok := s.Take(t.Context(), "dead")
			if ok {
				release()
			}
			waited <- ok
		}()
		synctest.Wait()
		releases[0]()
		if !<-waited {
			t.Error("who waits gets no slot that becomes free")
		}
		for _, release := range releases[1:] {
			release()
		}
		if len(s.callee) != 0 {
			t.Errorf("%d callees are remembered", len(s.callee))
		}
	})
}
