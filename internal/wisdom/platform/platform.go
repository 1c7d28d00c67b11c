// Package platform holds the switch by which an administrator stops every invocation
// of agents at once (contract §13.4).
//
// Not here: who asks whether it is on (the broker and whatever else calls agents), and
// switching off single agents (registry).
package platform

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/recent"
)

// Store keeps the switch, for all nodes.
type Store interface {
	// Halt switches it on and returns since when it is: earlier than at if it was on.
	Halt(ctx context.Context, at time.Time) (since time.Time, err error)
	// Resume switches it off, whether or not it is on.
	Resume(ctx context.Context) error
	// Halted returns since when it is on; nil: it is off.
	Halted(ctx context.Context) (since *time.Time, err error)
}

// Service is safe for concurrent use.
type Service struct {
	store  Store
	now    clock.Now
	halted *recent.Cache[*time.Time] // under the name ""
}

// New returns the service.
func New(store Store, now clock.Now) *Service {
	return &Service{store: store, now: now, halted: recent.New[*time.Time](now, 1)}
}

// Running is a 503 platform_halted fault while the platform is halted: by this node at
// once, by another within a second.
//
// It is an error too if that cannot be found out. A switch for emergencies must not be
// overlooked, and the strictness costs nothing: whoever calls an agent must first write
// to the same database.
func (s *Service) Running(ctx context.Context) error {
	since, err := s.Halted(ctx)
	switch {
	case err != nil:
		return err
	case since != nil:
		return fault.New(fault.Unavailable, "platform_halted", "The platform is halted: agents cannot be called now")
	}
	return nil
}

// Halted tells since when the platform is halted, nil if it is not, as late as Running.
func (s *Service) Halted(ctx context.Context) (*time.Time, error) {
	since, err := s.halted.Get(ctx, "", s.store.Halted)
	if err != nil {
		return nil, fmt.Errorf("read whether the platform is halted: %w", err)
	}
	return since, nil
}

// Halt refuses every invocation that has not begun, here at once and on other nodes
// within a second. It returns since when the platform is halted, which stays if it was.
// Fault: forbidden (403).
func (s *Service) Halt(ctx context.Context, p principal.Principal) (time.Time, error) {
	if !p.Admin {
		return time.Time{}, administratorsOnly()
	}
	since, err := s.store.Halt(ctx, s.now())
	s.halted.Drop() // after an error too: it may have happened
	if err != nil {
		return time.Time{}, fmt.Errorf("halt the platform: %w", err)
	}
	return since, nil
}

// Resume takes back Halt, once or again. Fault: forbidden (403).
func (s *Service) Resume(ctx context.Context, p principal.Principal) error {
	if !p.Admin {
		return administratorsOnly()
	}
	err := s.store.Resume(ctx)
	s.halted.Drop()
	if err != nil {
		return fmt.Errorf("resume the platform: %w", err)
	}
	return nil
}

// Status is Halted as it is at this moment. Fault: forbidden (403).
func (s *Service) Status(ctx context.Context, p principal.Principal) (*time.Time, error) {
	if !p.Admin {
		return nil, administratorsOnly()
	}
	since, err := s.store.Halted(ctx)
	if err != nil {
		return nil, fmt.Errorf("read whether the platform is halted: %w", err)
	}
	return since, nil
}

func administratorsOnly() *fault.Error {
	return fault.New(fault.Forbidden, "forbidden", "Administrators only")
}
