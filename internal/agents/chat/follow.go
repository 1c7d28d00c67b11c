package chat

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// How readers notice new events of a turn that runs elsewhere.
const (
	pollShared = 150 * time.Millisecond // another node writes to the database
	pollLocal  = time.Second            // this process writes and wakes its readers; in case it could not
	eventChunk = 100                    // events read at once
)

// Follower reads the events of one turn. It is not safe for concurrent use; several
// may follow one turn. Close must be called.
type Follower struct {
	service *Service
	owner   id.User
	entity  string
	message id.Message
	after   int64 // number of the last event that was read
	wake    <-chan struct{}
	leave   func()
	ended   bool
}

// HasTurn is nil if the message names a turn of the user's entity. An unknown message,
// and one that is a reply, is fault.Missing.
func (s *Service) HasTurn(ctx context.Context, p principal.Principal, name string, message id.Message) error {
	_, err := s.store.Turn(ctx, p.User, name, message)
	return err
}

// Follow reads the events of a turn with a number greater than after.
func (s *Service) Follow(p principal.Principal, name string, message id.Message, after int64) *Follower {
	wake, leave := s.hub.join(message)
	return &Follower{service: s, owner: p.User, entity: name, message: message, after: after, wake: wake, leave: leave}
}

// Close ends the reading.
func (f *Follower) Close() { f.leave() }

// Next returns the next events, at least one. It waits for them until ctx ends; then
// it can be called again. After the last event it returns io.EOF.
func (f *Follower) Next(ctx context.Context) ([]Event, error) {
	for !f.ended {
		events, err := f.read(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
		if f.ended {
			break
		}
		if err := f.wait(ctx); err != nil {
			return nil, err
		}
	}
	return nil, io.EOF
}

// read returns what there is now. The turn is read before its events, so an ended
// turn without events has none any more.
func (f *Follower) read(ctx context.Context) ([]Event, error) {
	s := f.service
	turn, err := s.store.Turn(ctx, f.owner, f.entity, f.message)
	if fault.Is(err, fault.NotFound) { // deleted while it was followed
		f.ended = true
		return f.only(Failure{Message: f.message, Fault: fault.Missing("Entity")}, f.after+1)
	}
	if err != nil {
		return nil, fmt.Errorf("read turn: %w", err)
	}
	if turn.Last <= f.after { // nothing new
		f.ended = turn.Ended != nil
		return nil, nil
	}
	var events []Event
	if turn.Ended == nil || s.Now().Before(turn.Ended.Add(KeepEvents)) {
		if events, err = s.store.Events(ctx, f.owner, f.message, f.after, eventChunk); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
	}
	if len(events) > 0 {
		last := events[len(events)-1]
		f.after, f.ended = last.Seq, last.Last()
		return events, nil
	}
	if turn.Ended == nil {
		return nil, nil
	}
	f.ended = true
	return f.rebuild(ctx, turn)
}

// rebuild makes the last event of a turn from the history.
func (f *Follower) rebuild(ctx context.Context, turn TurnState) ([]Event, error) {
	if turn.Failure != nil {
		return f.only(Failure{Message: f.message, Fault: turn.Failure}, turn.Last)
	}
	answer, err := f.service.answer(ctx, turn)
	if err != nil {
		return nil, err
	}
	return f.only(answer, turn.Last)
}

func (f *Follower) only(p Payload, seq int64) ([]Event, error) {
	e, err := f.service.event(p)
	e.Seq = seq
	return []Event{e}, err
}

func (f *Follower) wait(ctx context.Context) error {
	s := f.service
	period, draining := pollLocal, (chan struct{})(nil)
	if s.Shared && !s.runs(f.message) {
		period, draining = pollShared, s.draining
	}
	poll := time.NewTimer(period)
	defer poll.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.wake:
		return nil
	case <-poll.C:
		return nil
	case <-s.closed:
	case <-draining:
	}
	select {
	case <-f.wake: // a turn of this process has ended: its last event is still read
		return nil
	default:
		return errStopping
	}
}

func (s *Service) runs(m id.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[m] != nil
}
