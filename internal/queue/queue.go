// Package queue runs work that is kept as rows: a store claims what is due by lease, and
// claims again what a dead process left behind. It has the loop, the bounds and the
// waiting; what a job is, how it is claimed and what becomes of it is the caller's.
package queue

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Options say how a Queue works.
type Options[J any] struct {
	Name string // for the log: "deliveries"
	// Claim leases up to room jobs that are due, none if nothing is. It is not given up when
	// the queue stops: nobody would know what was claimed.
	Claim func(ctx context.Context, room int) ([]J, error)
	// Work does a job and keeps its outcome. An error means that other jobs would fare no
	// better now: the queue rests for a while.
	Work func(ctx context.Context, j J) error

	Room  int           // jobs at a time
	Batch int           // jobs of one claim, at most
	Poll  time.Duration // between two looks if nobody wakes it: another node wrote, a wait is over
	Grace time.Duration // that running jobs are left after the end, before their ctx ends too
	Log   *slog.Logger
}

// Queue runs jobs. It is safe for concurrent use.
type Queue[J any] struct {
	o    Options[J]
	wake chan struct{}
}

// New returns a Queue. Run does its work.
func New[J any](o Options[J]) *Queue[J] { return &Queue[J]{o: o, wake: make(chan struct{}, 1)} }

// Wake makes a running queue look for jobs now. It does not wait.
func (q *Queue[J]) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, and returns when the last job has.
func (q *Queue[J]) Run(ctx context.Context) error { return errors.New("not built") }
