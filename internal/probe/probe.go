// Package probe keeps the last state of what a service depends on, so that readiness
// probes, which anybody may send, do not become queries.
package probe

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/IntunoAI/intuno-go/internal/clock"
)

const (
	fresh   = time.Second     // how old a state may be
	timeout = 2 * time.Second // of one look
)

// State is what a look found: each dependency by name, "ok" or a short fixed text.
type State struct {
	Ready  bool // requests should be sent here
	Checks map[string]string

	at time.Time
}

// Probe is safe for concurrent use.
type Probe struct {
	look   func(ctx context.Context) State
	now    clock.Now
	last   atomic.Pointer[State]
	flight singleflight.Group
}

// New returns a probe that calls look at most once a second, and never twice at the
// same time.
func New(now clock.Now, look func(ctx context.Context) State) *Probe {
	return &Probe{look: look, now: now}
}

// State returns the last state, looking again if it is a second old. A look that has
// begun is finished even if the caller leaves: others wait for it too.
func (p *Probe) State(ctx context.Context) State {
	if s := p.last.Load(); s != nil && p.now().Sub(s.at) < fresh {
		return *s
	}
	s, _, _ := p.flight.Do("", func() (any, error) {
		began := p.now()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		s := p.look(ctx)
		s.at = began
		p.last.Store(&s)
		return s, nil
	})
	state, _ := s.(State)
	return state
}
