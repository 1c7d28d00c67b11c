package broker

import (
	"context"
	"errors"
	"sync"

	"github.com/IntunoAI/intuno-go/internal/id"
)

// errCut is why a call ended that the process could not wait for.
var errCut = errors.New("the process stops")

// underway are the calls that agents are asked by now.
type underway struct {
	mu    sync.Mutex
	calls map[id.Invocation]context.CancelCauseFunc
	cut   bool
}

// enter notes a call until leave is called. Its context ends when all are cut.
func (u *underway) enter(ctx context.Context, call id.Invocation) (_ context.Context, leave func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cut {
		cancel(errCut)
	}
	u.calls[call] = cancel
	return ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.calls, call)
		cancel(nil)
	}
}

// Cut ends every call that is under way, and those that begin from now on, as if its time
// were over: the process is about to stop, and their callers and the log shall still hear
// of it. It does not wait.
func (s *Service) Cut() {
	s.underway.mu.Lock()
	defer s.underway.mu.Unlock()
	s.underway.cut = true
	for _, cancel := range s.underway.calls {
		cancel(errCut)
	}
}
