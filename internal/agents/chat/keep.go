package chat

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
)

const (
	keepTimeout = 3 * time.Second // of one round of renewals, less than Lease
	lapsedBatch = 100
	sweepBatch  = 50
)

// Keep renews the leases once and fails abandoned turns.
func (s *Service) Keep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	// Its own turns first: after the process was suspended all leases are over.
	if err := s.renew(ctx); err != nil {
		return err
	}
	now := s.Now()
	at := now
	if !s.Shared {
		at = clock.FromMicros(math.MaxInt64)
	}
	lapsed, err := s.store.LapsedTurns(ctx, at, s.node, lapsedBatch)
	if err != nil {
		return fmt.Errorf("find abandoned turns: %w", err)
	}
	for _, h := range lapsed {
		if err := s.abandon(ctx, h, now, at); err != nil {
			return err
		}
	}
	return nil
}

// renew also notices the turns that this process lost, and those that it holds
// without running them: their start was reported to have failed.
func (s *Service) renew(ctx context.Context) error {
	s.mu.Lock()
	begun := map[id.Message]*run{}
	for m, r := range s.running {
		if r.entity != "" {
			begun[m] = r
		}
	}
	s.mu.Unlock()
	now := s.Now()
	held, err := s.store.RenewLeases(ctx, s.node, now.Add(Lease))
	if err != nil {
		return fmt.Errorf("renew leases: %w", err)
	}
	for _, m := range held {
		if begun[m.Message] != nil {
			delete(begun, m.Message)
		} else if !s.runs(m.Message) {
			if err := s.abandon(ctx, m, now, time.Time{}); err != nil {
				return err
			}
		}
	}
	for _, r := range begun {
		r.cancel(ErrLost)
	}
	return nil
}

// abandon fails a turn that nobody runs, if its lease ended at or before lapsed or
// this process holds it.
func (s *Service) abandon(ctx context.Context, h Holder, now, lapsed time.Time) error {
	end, err := s.abandoned(h, now)
	if err != nil {
		return err
	}
	end.Node, end.Lapsed = s.node, lapsed
	if err := s.store.EndTurn(ctx, end); err != nil && !errors.Is(err, ErrLost) {
		return fmt.Errorf("fail abandoned turn %s: %w", h.Message, err)
	}
	s.hub.wake(h.Message)
	return nil
}

// Sweep drops the events whose time is over.
func (s *Service) Sweep(ctx context.Context) error {
	for {
		n, err := s.store.SweepEvents(ctx, s.Now().Add(-KeepEvents), sweepBatch)
		if err != nil {
			return fmt.Errorf("drop old events: %w", err)
		}
		if n < sweepBatch {
			return nil
		}
	}
}
