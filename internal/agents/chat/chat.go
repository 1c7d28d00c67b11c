package chat

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// How turns are kept alive and given up (contract §10.4, 10.5).
const (
	// DefaultTurnTimeout is the longest turn.
	DefaultTurnTimeout = 55 * time.Second
	// DefaultCallTimeout is a little less than the 25 s after which the broker and
	// network calls give up (contract §5.3, 6.5): a late answer helps nobody.
	DefaultCallTimeout = 24 * time.Second
	// Lease is how long a turn survives the silence of its node. Clocks of nodes
	// that share a database must agree to about half of it.
	Lease = 5 * time.Second
	// renewEvery is the period of the lease renewal and of the search for
	// abandoned turns.
	renewEvery = time.Second
	// KeepEvents is how long the events of an ended turn can be read.
	KeepEvents = time.Hour
	sweepEvery = time.Minute
	// startTimeout bounds the transaction that accepts a message: it does not end
	// when the client leaves, because nobody would know whether it happened.
	startTimeout = 10 * time.Second
)

// Options say how turns run.
type Options struct {
	Store       Store
	Brain       brain.Brain
	Encode      func(Payload) ([]byte, error) // an event's data, one line of JSON
	Now         clock.Now
	Log         *slog.Logger
	TurnTimeout time.Duration // 0: DefaultTurnTimeout
	// CallTimeout bounds the turn of a delivery that somebody waits for, if that is
	// less than TurnTimeout. 0: DefaultCallTimeout
	CallTimeout time.Duration
	// Grace is how long turns may run on after Drain.
	Grace time.Duration
	// Shared says that other nodes may use the same database. Otherwise every
	// running turn of another node is one that a crash left behind.
	Shared bool
}

// Service runs turns. It is safe for concurrent use.
type Service struct {
	Options
	store Store
	node  string // of this process; new at every start
	hub   *hub

	mu       sync.Mutex
	running  map[id.Message]*run
	stopping bool          // no more turns
	idle     chan struct{} // closed when stopping and nothing runs

	drain    sync.Once
	draining chan struct{} // closed by Drain
	overdue  chan struct{} // closed at the end of the grace period
	closed   chan struct{} // closed when Run is over
}

// New returns a Service that takes messages. Run must be called once, or turns lose
// their lease.
func New(o Options) *Service {
	if o.TurnTimeout == 0 {
		o.TurnTimeout = DefaultTurnTimeout
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	return &Service{Options: o, store: o.Store, node: id.New[string](), hub: newHub(),
		running: map[id.Message]*run{},
		idle:    make(chan struct{}), draining: make(chan struct{}), overdue: make(chan struct{}), closed: make(chan struct{})}
}

// Sent is the outcome of Send.
type Sent struct {
	Message  id.Message   // names the turn
	Refusal  *fault.Error // the kept refusal of the first request with this key
	Replayed bool         // the turn, or the refusal, is that of an earlier request

	service *Service
	owner   id.User
	entity  string
	run     *run
}

// Send accepts a message; the turn then runs whether or not anybody waits for it.
// Faults: entity_paused, turn_in_progress, not_ready while the process stops, and
// those of a repeated key (contract §1.6).
func (s *Service) Send(ctx context.Context, p principal.Principal, name, content string, once entity.Once) (*Sent, error) {
	now := s.Now()
	t := brain.Turn{Message: id.New[id.Message](), Content: content, Depth: chatDepth, Request: p.Request}
	accepted, r, err := s.start(ctx, p.User, name, t, Start{Content: content, Once: once, Now: now},
		func(c Current) Verdict { return s.admit(c, p.User, once, now) })
	sent := &Sent{Message: t.Message, service: s, owner: p.User, entity: name, run: r}
	switch {
	case err != nil:
		return nil, err
	case accepted.Refusal != nil:
		return nil, accepted.Refusal
	case accepted.Replay != nil:
		sent.Message, sent.Refusal, sent.Replayed = accepted.Replay.Message, accepted.Replay.Refusal, true
	}
	return sent, nil
}

// chatDepth is the depth of a turn that a user began: that of one which a user's
// invocation began.
const chatDepth = 1

// start asks the store to accept a turn, and begins it: then run is not nil. t lacks the
// entity, and start what t has.
func (s *Service) start(ctx context.Context, owner id.User, name string, t brain.Turn, start Start, admit func(Current) Verdict) (Accepted, *run, error) {
	start.Holder, start.Entity, start.Lease = Holder{Owner: owner, Message: t.Message, Node: s.node}, name, start.Now.Add(Lease)
	start.Started = func(created time.Time) (Event, error) {
		return s.event(Started{Message: t.Message, Entity: name, Created: created})
	}
	// The turn is known here before it is known to the database, so that neither
	// Drain nor a deletion can overlook it.
	turnCtx, r, err := s.enter(ctx, start.Holder)
	if err != nil {
		return Accepted{}, nil, err
	}
	starting, cancel := context.WithTimeout(turnCtx, startTimeout)
	defer cancel()
	accepted, err := s.store.StartTurn(starting, start, admit)
	if accepted.Ended != nil {
		s.hub.wake(*accepted.Ended)
	}
	if err != nil || accepted.Replay != nil || accepted.Refusal != nil || accepted.Delivered != nil {
		s.leave(r)
		return accepted, nil, err
	}
	t.Entity = accepted.Entity
	if t.Stranger {
		t.Entity = t.Entity.ForStranger()
	}
	limit := s.TurnTimeout
	if d := start.Delivery; d != nil && d.Kind != NetworkSend {
		limit = min(limit, s.CallTimeout)
	}
	s.begin(turnCtx, r, t, accepted.Created, limit)
	return accepted, r, nil
}

// admit decides about a message.
func (s *Service) admit(c Current, owner id.User, once entity.Once, now time.Time) Verdict {
	live := c.Running != nil && s.live(*c.Running, now)
	record := c.Record
	if record != nil && record.Running && !(live && c.Running.Message == record.Message) {
		record = nil // the process that ran it is gone, and its answer with it
	}
	switch a := entity.Admit(record, once, now); {
	case a.Replay:
		return Verdict{Replay: true}
	case a.Refusal != nil:
		return Verdict{Refusal: a.Refusal}
	}
	return s.admitTurn(c, owner, now)
}

// admitTurn decides about a turn that is not a repetition.
func (s *Service) admitTurn(c Current, owner id.User, now time.Time) Verdict {
	switch {
	case c.Entity.Status == entity.Paused:
		return Verdict{Keep: true, Refusal: fault.New(fault.Conflict, "entity_paused", "The entity is paused")}
	case c.Running != nil && s.live(*c.Running, now):
		return Verdict{Refusal: fault.New(fault.Conflict, "turn_in_progress",
			"The entity is still answering another message").After(time.Second)}
	case c.Running == nil:
		return Verdict{}
	}
	end, err := s.abandoned(Holder{Owner: owner, Message: c.Running.Message}, now)
	if err != nil {
		return Verdict{Refusal: fault.New(fault.Internal, "internal_error", "Internal error").Because(err)}
	}
	end.Lapsed = c.Running.Lease
	return Verdict{End: &end}
}

// live reports whether somebody still runs the turn.
func (s *Service) live(t RunningTurn, now time.Time) bool {
	return (s.Shared || t.Node == s.node) && t.Lease.After(now)
}

// abandoned is the end of a turn whose node is gone.
func (s *Service) abandoned(h Holder, now time.Time) (Ending, error) {
	last, err := s.event(Failure{Message: h.Message, Fault: interrupted()})
	return Ending{Owner: h.Owner, Message: h.Message, At: now, Last: last, Failure: interrupted()}, err
}

func (s *Service) event(p Payload) (Event, error) {
	data, err := s.Encode(p)
	if err != nil {
		return Event{}, fmt.Errorf("encode event %s: %w", p.event(), err)
	}
	return Event{Name: p.event(), Data: data}, nil
}

// Wait returns the answer of the turn when it ends. If the client leaves (ctx ends)
// the turn goes on. Faults: brain_error, turn_timeout, not_found if the entity was
// deleted meanwhile.
func (t *Sent) Wait(ctx context.Context) (Answer, error) {
	if t.run != nil {
		select {
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("wait for the turn: %w", ctx.Err())
		case <-t.run.done:
		}
		if t.run.known {
			return t.run.answer, t.run.err
		}
	}
	return t.service.outcome(ctx, t.owner, t.entity, t.Message)
}

// outcome reads the end of a turn from the history.
func (s *Service) outcome(ctx context.Context, owner id.User, name string, message id.Message) (Answer, error) {
	state, err := s.store.Turn(ctx, owner, name, message)
	switch {
	case fault.Is(err, fault.NotFound):
		return Answer{}, fault.Missing("Entity")
	case err != nil:
		return Answer{}, err
	case state.Failure != nil:
		return Answer{}, state.Failure
	case state.ReplyID == nil:
		return Answer{}, fmt.Errorf("turn %s has no end", message)
	}
	return s.answer(ctx, state)
}

// answer rebuilds the answer of a completed turn.
func (s *Service) answer(ctx context.Context, state TurnState) (Answer, error) {
	reply, err := s.store.Message(ctx, state.Owner, *state.ReplyID)
	if err != nil {
		return Answer{}, fmt.Errorf("read reply: %w", err)
	}
	return Answer{Message: state.Message, Reply: reply.Content, ReplyID: reply.ID, Entity: state.Entity, Owner: state.Owner,
		ToolCalls: reply.ToolCalls, Created: state.Created, Completed: reply.Created}, nil
}
