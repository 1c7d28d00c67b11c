package chat

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// lastWrites is the part of the grace period that is left for turns to say that they
// were interrupted.
const lastWrites = 3 * time.Second

var errOverdue = errors.New("some turns could not be ended: the next start will fail them")

// Run renews the leases of this process's turns and fails turns that another process
// left behind, every second, and drops old events. When ctx ends it takes no more
// messages, and goes on until its turns have ended or the grace period has.
func (s *Service) Run(ctx context.Context) error {
	defer close(s.closed)
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	group.Go(func() { s.every(work, renewEvery, "leases of turns", s.Keep) })
	group.Go(func() { s.every(work, sweepEvery, "old events", s.Sweep) })
	<-ctx.Done()
	s.refuse()
	s.Drain()
	var err error
	select {
	case <-s.idle:
	case <-s.overdue:
		select {
		case <-s.idle: // both were ready, and select takes either
		default:
			err = errOverdue
		}
	}
	stop()
	group.Wait()
	return err
}

// Drain begins the grace period: shortly before its end the turns that still run are
// failed, and no more are taken. Readers of turns of other nodes are cut off at once,
// so that they go on elsewhere. It does not wait.
func (s *Service) Drain() {
	s.drain.Do(func() {
		close(s.draining)
		time.AfterFunc(max(s.Grace-lastWrites, s.Grace/2), s.interrupt)
		time.AfterFunc(s.Grace, func() { close(s.overdue) })
	})
}

// refuse takes no more turns.
func (s *Service) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		if len(s.running) == 0 {
			close(s.idle)
		}
	}
}

// interrupt takes no more turns and fails those that run.
func (s *Service) interrupt() {
	s.refuse()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		r.cancel(errStopping)
	}
}

// every calls work now and then until ctx ends. A failure is logged when it begins.
func (s *Service) every(ctx context.Context, period time.Duration, what string, work func(context.Context) error) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	failing := false
	for {
		err := work(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			s.Log.LogAttrs(ctx, slog.LevelError, "background work fails", slog.String("work", what), slog.String("error", err.Error()))
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
