// Package queue runs work that is kept as rows: a store claims what is due by lease, and
// claims again what a dead process left behind. It has the loop, the bounds and the
// waiting; what a job is, how it is claimed and what becomes of it is the caller's.
package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

const (
	// A queue that rests because its store or its peer is away does so for restFirst, then
	// doubled with every failure up to restLongest.
	restFirst, restLongest = time.Second, 30 * time.Second
	// claimTime bounds a claim, which the end of the queue does not break off.
	claimTime = 5 * time.Second
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
func (q *Queue[J]) Run(ctx context.Context) error {
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	poll := time.NewTicker(q.o.Poll)
	defer poll.Stop()
	l := &loop[J]{Queue: q, work: work, ended: make(chan error, q.o.Room), poll: poll.C, look: true}
	for ctx.Err() == nil {
		if l.look && l.rested == nil && l.running < q.o.Room {
			l.claim(ctx)
		}
		l.wait(ctx)
	}
	if q.o.Grace > 0 {
		defer time.AfterFunc(q.o.Grace, end).Stop()
	} else {
		end()
	}
	for ; l.running > 0; l.running-- {
		<-l.ended
	}
	return nil
}

// loop is one Run.
type loop[J any] struct {
	*Queue[J]
	work    context.Context // of the jobs
	ended   chan error      // has room for every job
	poll    <-chan time.Time
	running int
	look    bool // there may be jobs that are due

	rest     time.Duration    // the last one; 0: all is well
	rested   <-chan time.Time // nil: it does not rest
	claiming bool             // it rests because of a claim
}

// claim takes what is due and starts it.
func (l *loop[J]) claim(ctx context.Context) {
	room := min(l.o.Batch, l.o.Room-l.running)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTime)
	jobs, err := l.o.Claim(bounded, room)
	cancel()
	if err != nil {
		l.pause(ctx, fmt.Errorf("claim what is due: %w", err))
		l.claiming = true
		return
	}
	if l.claiming {
		l.rest, l.claiming = 0, false
	}
	l.look = len(jobs) >= room
	l.running += len(jobs)
	for _, j := range jobs {
		go func() { l.ended <- l.do(j) }()
	}
}

// do is one job. A panic in it must not end the process, which would begin with the same
// job again.
func (l *loop[J]) do(j J) (err error) {
	defer func() {
		if r := recover(); r != nil {
			l.o.Log.ErrorContext(l.work, l.o.Name+": a job panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	return l.o.Work(l.work, j)
}

// wait returns when something may have to be done, at once if it is known already.
func (l *loop[J]) wait(ctx context.Context) {
	if !l.look || l.rested != nil || l.running >= l.o.Room {
		select {
		case <-ctx.Done():
		case err := <-l.ended:
			l.end(ctx, err)
		case <-l.wake:
			l.look = true
		case <-l.poll:
			l.look = true
		case <-l.rested:
			l.rested, l.look = nil, true
		}
	}
	for { // whoever has ended makes room, all of them before the next claim
		select {
		case err := <-l.ended:
			l.end(ctx, err)
		default:
			return
		}
	}
}

// end notes that a job has ended.
func (l *loop[J]) end(ctx context.Context, err error) {
	l.running--
	switch {
	case err == nil:
		if !l.claiming && l.rested == nil {
			l.rest = 0
		}
	case ctx.Err() == nil:
		l.pause(ctx, err)
	}
}

// pause rests, unless it does so already, and tells of the first time.
func (l *loop[J]) pause(ctx context.Context, err error) {
	if l.rested != nil {
		return
	}
	if l.rest == 0 {
		l.o.Log.LogAttrs(ctx, slog.LevelError, l.o.Name+" wait", slog.String("error", err.Error()))
	}
	l.rest = min(max(2*l.rest, restFirst), restLongest)
	l.rested = time.After(l.rest)
}
