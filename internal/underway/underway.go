// Package underway keeps account of the calls that this process makes: how many of one
// callee, so that one that hangs does not use up what others need too, and all of them, so
// that they can be ended before the process does.
//
// Not here: what a call is, and what becomes of one that was ended.
package underway

import (
	"context"
	"errors"
	"sync"
)

// ErrCut is why a call ended that the process could not wait for.
var ErrCut = errors.New("the process stops")

// Calls are those that may be cut off. The zero value is ready. It is safe for concurrent
// use.
type Calls struct {
	mu    sync.Mutex
	noted map[*call]struct{}
	cut   bool
}

type call struct{ end context.CancelCauseFunc }

// Enter notes a call until leave is called. Its context ends when all are cut; the cause
// is ErrCut then.
func (c *Calls) Enter(ctx context.Context) (_ context.Context, leave func()) {
	ctx, end := context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		end(ErrCut)
	}
	if c.noted == nil {
		c.noted = map[*call]struct{}{}
	}
	this := &call{end}
	c.noted[this] = struct{}{}
	return ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.noted, this)
		end(nil)
	}
}

// Cut ends every call that is under way, and those that begin from now on. It does not
// wait.
func (c *Calls) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for of := range c.noted {
		of.end(ErrCut)
	}
}

// Slots bound how many calls of one callee are under way at once. It is safe for concurrent
// use.
type Slots[K comparable] struct {
	most   int
	mu     sync.Mutex
	callee map[K]*slot
}

type slot struct {
	taken chan struct{} // holds one token for each call
	users int           // calls that are under way or wait
}

// NewSlots returns Slots of which each callee has most.
func NewSlots[K comparable](most int) *Slots[K] {
	return &Slots[K]{most: most, callee: map[K]*slot{}}
}

// Take waits for a slot of a callee, which is the caller's until release. False: ctx ended
// first, and nothing is to be released.
func (s *Slots[K]) Take(ctx context.Context, callee K) (release func(), ok bool) {
	s.mu.Lock()
	of := s.callee[callee]
	if of == nil {
		of = &slot{taken: make(chan struct{}, s.most)}
		s.callee[callee] = of
	}
	of.users++
	s.mu.Unlock()
	select {
	case of.taken <- struct{}{}:
		return func() { <-of.taken; s.leave(callee, of) }, true
	case <-ctx.Done():
		s.leave(callee, of)
		return nil, false
	}
}

// leave forgets a callee that nobody calls.
func (s *Slots[K]) leave(callee K, of *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of.users--; of.users == 0 {
		delete(s.callee, callee)
	}
}
