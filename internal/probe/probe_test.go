package probe

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestManyProbesLookOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		p := New(time.Now, func(ctx context.Context) State {
			looks.Add(1)
			time.Sleep(100 * time.Millisecond)
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > timeout {
				t.Error("a look has no deadline")
			}
			return State{Ready: true, Checks: map[string]string{"database": "ok"}}
		})
		ask := func() {
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() {
					ctx, leave := context.WithCancel(t.Context())
					leave() // a client that left does not spoil the look for the others
					if s := p.State(ctx); !s.Ready || s.Checks["database"] != "ok" {
						t.Errorf("state = %+v", s)
					}
				})
			}
			group.Wait()
		}
		ask()
		ask()
		if n := looks.Load(); n != 1 {
			t.Errorf("100 probes looked %d times, want 1", n)
		}
		time.Sleep(fresh)
		ask()
		if n := looks.Load(); n != 2 {
			t.Errorf("a second later: %d looks, want 2", n)
		}
	})
}
