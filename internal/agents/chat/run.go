package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// Why a turn's context ended.
var (
	errTimeout  = errors.New("the turn took too long")
	errStopping = errors.New("the process stops")
	errDeleted  = errors.New("the entity was deleted")
)

// How the end of a turn is written. It is tried again until it is: the history must
// not keep a running message because the database was away.
const (
	endTimeout   = 10 * time.Second // of one attempt
	endFirstWait = 50 * time.Millisecond
	endLongest   = 2 * time.Second
	endAttempts  = 5 // with the reply; then the turn is failed
)

// run is a turn of this process.
type run struct {
	Holder
	cancel context.CancelCauseFunc
	entity id.Entity     // "" until the turn is in the database; guarded by Service.mu
	done   chan struct{} // closed at the end

	// The end, set before done is closed. Unless known, it is in the history.
	known  bool
	answer Answer
	err    error
}

// enter announces a turn. The context that it returns outlives the request.
func (s *Service) enter(ctx context.Context, h Holder) (context.Context, *run, error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	r := &run{Holder: h, cancel: cancel, done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		cancel(errStopping)
		return nil, nil, stopping()
	}
	s.running[h.Message] = r
	return ctx, r, nil
}

func stopping() *fault.Error {
	return fault.New(fault.Unavailable, "not_ready", "The service is about to stop").After(time.Second)
}

// leave is the end of what enter began.
func (s *Service) leave(r *run) {
	r.cancel(nil)
	close(r.done)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, r.Message)
	if s.stopping && len(s.running) == 0 {
		close(s.idle)
	}
}

// begin runs an accepted turn in the background, at most for the time limit.
func (s *Service) begin(ctx context.Context, r *run, t brain.Turn, created time.Time, limit time.Duration) {
	s.mu.Lock()
	r.entity = t.Entity.ID
	s.mu.Unlock()
	go func() {
		defer s.leave(r)
		limited, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
		defer cancel()
		out := &sink{service: s, run: r}
		err := s.think(limited, t, out)
		s.finish(context.WithoutCancel(ctx), r, t.Entity, created, out, errors.Join(err, out.close()))
	}()
}

// think asks the brain and stops waiting for it when ctx ends. From then on a brain
// that does not listen is ignored: its sink is closed.
func (s *Service) think(ctx context.Context, t brain.Turn, out *sink) error {
	result := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				result <- fmt.Errorf("the brain panicked: %v", p)
			}
		}()
		result <- s.Brain.Turn(ctx, t, out)
	}()
	select {
	case err := <-result:
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finish writes the end of a turn, however long that takes.
func (s *Service) finish(ctx context.Context, r *run, e entity.Entity, created time.Time, out *sink, cause error) {
	if errors.Is(cause, ErrLost) || errors.Is(cause, errDeleted) {
		s.hub.wake(r.Message)
		return
	}
	failure := s.failure(ctx, r, cause)
	wait := endFirstWait
	for attempt := 1; ; attempt++ {
		err := s.end(ctx, r, e, created, out, failure)
		if err == nil || errors.Is(err, ErrLost) {
			s.hub.wake(r.Message)
			return
		}
		s.Log.LogAttrs(ctx, slog.LevelError, "the end of a turn could not be written, trying again",
			slog.String("message", string(r.Message)), slog.Int("attempt", attempt), slog.String("error", err.Error()))
		if attempt == endAttempts && failure == nil {
			failure = brainFailed()
		}
		select {
		case <-s.overdue: // whoever finds the lease ended will fail the turn
			r.known, r.err = true, interrupted()
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, endLongest)
	}
}

// failure is what becomes of cause: nil for a completed turn.
func (s *Service) failure(ctx context.Context, r *run, cause error) *fault.Error {
	switch {
	case cause == nil:
		return nil
	case errors.Is(cause, errTimeout):
		return timedOut()
	case errors.Is(cause, errStopping):
		return interrupted()
	}
	s.Log.LogAttrs(ctx, slog.LevelError, "the brain failed",
		slog.String("message", string(r.Message)), slog.String("error", cause.Error()))
	return brainFailed()
}

// end tries once to write the end of a turn: its reply, or its failure.
func (s *Service) end(ctx context.Context, r *run, e entity.Entity, created time.Time, out *sink, failure *fault.Error) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	at := s.Now()
	if at.Before(created) { // a clock that steps back must not show
		at = created
	}
	ending := Ending{Owner: r.Owner, Message: r.Message, Node: s.node, At: at, Failure: failure}
	answer := Answer{}
	var last Payload = Failure{Message: r.Message, Fault: failure}
	if failure == nil {
		reply := out.result()
		ending.Reply = &reply
		answer = Answer{Message: r.Message, Reply: reply.Content, ReplyID: reply.ID, Entity: e.Name, Owner: r.Owner,
			ToolCalls: reply.ToolCalls, Created: created, Completed: at}
		last = answer
	}
	var err error
	if ending.Last, err = s.event(last); err != nil {
		return err
	}
	if err := s.store.EndTurn(ctx, ending); err != nil {
		return err
	}
	r.known, r.answer = true, answer
	if failure != nil {
		r.err = failure
	}
	return nil
}

// Gone cancels the turn of an entity that was deleted.
func (s *Service) Gone(of id.Entity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		if r.entity == of {
			r.cancel(errDeleted)
		}
	}
}
