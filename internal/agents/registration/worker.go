package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/queue"
)

// How the registry is told.
const (
	workers = 2 // of a process
	// attemptTimeout bounds one attempt, at most five requests. It is less than
	// the lease, so that no two attempts work on one job at a time.
	attemptTimeout = 20 * time.Second
	lease          = time.Minute
	writeTimeout   = 5 * time.Second // to keep the outcome
	poll           = 2 * time.Second // in case another node wrote, or a wait is over
	maxReason      = 300             // bytes
)

// Waits before an attempt is repeated: doubled with every failure, and a random half
// shorter, so that many that failed together do not come back together.
const (
	awayFirst, awayLongest       = 2 * time.Second, 5 * time.Minute // wisdom cannot be reached, or cannot work
	refusedFirst, refusedLongest = time.Minute, time.Hour           // it refuses: a person must change something
)

// Worker makes the registry say what is wanted. It is safe for concurrent use.
type Worker struct {
	Store    Store
	Registry Registry
	Now      clock.Now
	Log      *slog.Logger

	queue *queue.Queue[Job]
}

// New returns a Worker. Run does its work.
func New(store Store, registry Registry, now clock.Now, log *slog.Logger) *Worker {
	w := &Worker{Store: store, Registry: registry, Now: now, Log: log}
	w.queue = queue.New(queue.Options[Job]{Name: "registrations", Claim: w.claim, Work: w.work, Room: workers, Batch: 1, Poll: poll, Log: log})
	return w
}

// Wake makes a running worker look for jobs now. It does not wait.
func (w *Worker) Wake() { w.queue.Wake() }

// Run works until ctx ends. An attempt that is running then is given up and repeated by
// whoever works next.
func (w *Worker) Run(ctx context.Context) error { return w.queue.Run(ctx) }

// claim takes one job that is due, whatever the room: none waits for another's attempt.
func (w *Worker) claim(ctx context.Context, _ int) ([]Job, error) {
	now := w.Now()
	job, found, err := w.Store.ClaimRegistration(ctx, id.New[string](), now, now.Add(lease))
	if err != nil || !found {
		return nil, err
	}
	return []Job{job}, nil
}

// work makes one attempt. An error means that other jobs would fare no better now: the
// database or wisdom is away.
func (w *Worker) work(ctx context.Context, job Job) error {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	failure := w.attempt(attempt, &job)

	// The outcome is kept also when the process stops.
	keeping, done := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer done()
	var err error
	if failure == nil {
		err = w.Store.SettleRegistration(keeping, job)
	} else {
		reason := failure.Error()
		err = w.Store.PostponeRegistration(keeping, job, w.Now().Add(wait(failure, job.Attempts)), reason[:min(len(reason), maxReason)])
	}
	switch {
	case errors.Is(err, ErrLost): // nothing was lost: the job is due again
	case err != nil:
		return fmt.Errorf("keep the outcome of a registration: %w", err)
	case failure != nil && refused(failure):
		w.Log.LogAttrs(ctx, slog.LevelWarn, "wisdom refuses a registration", slog.String("owner", string(job.Owner)),
			slog.String("entity", job.Entity), slog.Int("attempt", job.Attempts), slog.String("error", failure.Error()))
	case failure != nil:
		return failure
	}
	return nil
}

// attempt makes the registry say what is wanted. A new entity does not take over the agent
// of a deleted one, which may be public, and has its ratings.
func (w *Worker) attempt(ctx context.Context, j *Job) error {
	if j.Stale && j.Wanted != Removed {
		former := *j
		former.Wanted = Removed
		err := w.tell(ctx, &former)
		if j.Agent, j.Stale = former.Agent, err != nil; err != nil {
			return fmt.Errorf("make room: %w", err)
		}
	}
	return w.tell(ctx, j)
}

// tell is an attempt without regard to former entities. An agent whose id is not known, or
// that somebody removed, is found by registering it: that has the same effect however often
// it is done.
func (w *Worker) tell(ctx context.Context, j *Job) error {
	if j.Agent != "" {
		err := w.change(ctx, j)
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		j.Agent = ""
	}
	agent, err := w.Registry.Register(ctx, j.Owner, j.Entity, j.Title)
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if j.Agent = agent; j.Wanted == Active {
		return nil
	}
	return w.change(ctx, j)
}

func (w *Worker) change(ctx context.Context, j *Job) error {
	if j.Wanted != Removed {
		return wrap("update", w.Registry.Update(ctx, j.Owner, j.Agent, j.Title, j.Wanted == Active))
	}
	if err := w.Registry.Remove(ctx, j.Owner, j.Agent); err != nil {
		return wrap("remove", err)
	}
	j.Agent = ""
	return nil
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// refused tells whether wisdom answered, and repeating the same would get the same
// answer. A refused service key is not about one job.
func refused(err error) bool {
	f := fault.As(err)
	if f == nil {
		return false
	}
	switch f.Kind {
	case fault.BadRequest, fault.Forbidden, fault.NotFound, fault.Conflict, fault.Invalid, fault.Other, fault.RateLimited,
		fault.TooLarge, fault.Unsupported, fault.MethodNotAllowed:
		return true
	}
	return false
}

// wait is how long a job that failed waits. An owner whom wisdom does not know is
// asked about rarely: a deactivated one may come back.
func wait(failure error, attempts int) time.Duration {
	first, longest := awayFirst, awayLongest
	f := fault.As(failure)
	switch {
	case fault.Is(failure, fault.RateLimited):
		first = max(first, f.RetryAfter)
	case fault.Is(failure, fault.NotFound):
		first, longest = refusedLongest, refusedLongest
	case refused(failure):
		first, longest = refusedFirst, refusedLongest
	}
	d := first
	for n := 1; n < attempts && d < longest; n++ {
		d *= 2
	}
	d = min(d, max(first, longest))
	return d - rand.N(d/2)
}
