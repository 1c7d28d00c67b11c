package network

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/queue"
)

const (
	leaseTime   = 15 * time.Second
	renewEvery  = 5 * time.Second
	renewAgain  = time.Second // after a renewal that failed
	leaseMargin = time.Second // that an attempt ends before its lease does: clocks differ a little

	mostLanes   = 2048 // in hand of one process
	mostFailing = 1024 // of them, whose last delivery failed
	mostOfOwner = 512  // of one owner: as many more as one claim takes may be added
	mostClaimed = 256  // of one claim

	endGrace   = 3 * time.Second // that attempts are left when the process ends; then they are broken off
	writeTime  = 5 * time.Second // of one settlement
	callsEvery = 5 * time.Second // calls that a dead process left are looked for
	purgeEvery = 10 * time.Second
	breath     = 20 * time.Millisecond // between two pieces of one work, for those who wait for the database
)

// carrier has the lanes that this process delivers.
type carrier struct {
	*Service
	worker string
	queue  *queue.Queue[*holding]

	mu      sync.Mutex
	held    map[*holding]struct{}
	owners  map[id.User]int
	failing int
}

// holding is a lane that this process has leased.
type holding struct {
	Lane
	lease time.Time   // under the lock of carrier
	timer *time.Timer // the same: breaks the turn off when the lease ends; nil: it has not begun
}

func newCarrier(s *Service) *carrier {
	c := &carrier{Service: s, worker: id.New[string](), held: map[*holding]struct{}{}, owners: map[id.User]int{}}
	c.queue = queue.New(queue.Options[*holding]{Name: "deliveries", Claim: c.claim, Work: c.work, Room: mostLanes, Batch: mostClaimed,
		Poll: s.config.Poll, Grace: endGrace, Log: s.config.Log})
	return c
}

// wake has the queue look for deliveries now.
func (s *Service) wake() { s.carrier.queue.Wake() }

// Delivering is how many recipients this process is delivering to.
func (s *Service) Delivering() int {
	s.carrier.mu.Lock()
	defer s.carrier.mu.Unlock()
	return len(s.carrier.held)
}

// Run delivers, and does what else there is to do in the background, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		// Leases are renewed until the last attempt has ended.
		renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
		var renewer sync.WaitGroup
		renewer.Go(func() { s.carrier.renew(renewing) })
		err := s.carrier.queue.Run(ctx)
		stop()
		renewer.Wait()
		return err
	})
	group.Go(func() error {
		s.every(ctx, callsEvery, "calls that a dead process left", func(ctx context.Context) (bool, error) {
			_, err := s.config.Store.FailCalls(ctx, s.config.Now())
			return false, err
		})
		return nil
	})
	group.Go(func() error {
		s.every(ctx, purgeEvery, "what deleted networks left behind", s.config.Store.Purge)
		return nil
	})
	group.Go(func() error {
		s.reseal(ctx)
		return nil
	})
	return group.Wait()
}

// every does something now and then until ctx ends, and again after a breath if there is
// more of it. It tells of the first of several failures.
func (s *Service) every(ctx context.Context, d time.Duration, what string, do func(context.Context) (more bool, err error)) {
	failing := false
	for ctx.Err() == nil {
		more, err := do(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			s.config.Log.ErrorContext(ctx, what+": not cleared away", "error", err)
		}
		failing = err != nil
		wait := d
		if more && !failing {
			wait = breath
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// claim leases lanes that are due. Neither one owner nor those whose receivers fail take
// all the room. While the platform is halted none is leased: each would be given back as it
// is, again and again.
func (c *carrier) claim(ctx context.Context, room int) ([]*holding, error) {
	if fault.HasCode(c.config.Platform.Running(ctx), "platform_halted") {
		return nil, nil
	}
	now := c.config.Now()
	q := Claim{Worker: c.worker, Now: now, Lease: now.Add(leaseTime), Limit: room}
	c.mu.Lock()
	q.Failing = min(room, max(0, mostFailing-c.failing))
	for owner, n := range c.owners {
		if n >= mostOfOwner {
			q.Not = append(q.Not, owner)
		}
	}
	c.mu.Unlock()
	lanes, err := c.config.Store.Claim(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("claim lanes: %w", err)
	}
	list := make([]*holding, len(lanes))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, l := range lanes {
		h := &holding{Lane: l, lease: q.Lease}
		list[i] = h
		c.held[h] = struct{}{}
		c.owners[h.Owner]++
		if h.Failing {
			c.failing++
		}
	}
	return list, nil
}

// begin starts the watch over the lease of h: end is called when it runs out.
func (c *carrier) begin(h *holding, end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.timer = time.AfterFunc(c.left(h.lease), end)
}

// left is how long a turn may go on under a lease.
func (c *carrier) left(lease time.Time) time.Duration {
	return max(0, lease.Sub(c.config.Now())-leaseMargin)
}

// release forgets h, which has been given back or lost.
func (c *carrier) release(h *holding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
	}
	delete(c.held, h)
	if c.owners[h.Owner]--; c.owners[h.Owner] == 0 {
		delete(c.owners, h.Owner)
	}
	if h.Failing {
		c.failing--
	}
}

// renew makes the leases of all lanes in hand longer, until ctx ends. A lane that could
// not be renewed in time is not delivered to any more: see begin.
func (c *carrier) renew(ctx context.Context) {
	wait := renewEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		bounded, cancel := context.WithTimeout(ctx, writeTime)
		err := c.renewAll(bounded)
		cancel()
		if wait = renewEvery; err != nil {
			wait = renewAgain
			c.config.Log.LogAttrs(ctx, slog.LevelWarn, "leases of deliveries not renewed", slog.String("error", err.Error()))
		}
	}
}

func (c *carrier) renewAll(ctx context.Context) error {
	lease := c.config.Now().Add(leaseTime)
	c.mu.Lock()
	of := make(map[id.Participant]*holding, len(c.held))
	lanes := make([]id.Participant, 0, len(c.held))
	for h := range c.held {
		if h.lease.Before(lease.Add(-renewAgain)) { // not one that was claimed just now
			of[h.Recipient] = h
			lanes = append(lanes, h.Recipient)
		}
	}
	c.mu.Unlock()
	if len(lanes) == 0 {
		return nil
	}
	kept, err := c.config.Store.Renew(ctx, c.worker, lanes, lease)
	if err != nil {
		return fmt.Errorf("renew leases: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, recipient := range kept {
		h := of[recipient]
		if _, held := c.held[h]; !held {
			continue // given back meanwhile
		}
		h.lease = lease
		if h.timer != nil && h.timer.Stop() { // not over already
			h.timer.Reset(c.left(lease))
		}
	}
	return nil
}
