package chat

import (
	"context"
	"errors"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// ErrLost says that a turn is no longer run by the node that writes: somebody ended
// it, or its entity was deleted. Nothing was written.
var ErrLost = errors.New("the turn was taken away")

// Holder names a running turn and the node that runs it: the fence of every write.
type Holder struct {
	Owner   id.User
	Message id.Message
	Node    string
}

// Start is a message or a delivery that wants to become a turn.
type Start struct {
	Holder
	Entity   string    // name
	Delivery *Delivery // nil: a message
	Content  string    // of a message
	Once     entity.Once
	Now      time.Time
	Lease    time.Time
	// Started makes the first event, number 1, from when the message counts as sent.
	Started func(created time.Time) (Event, error)
}

// Current is what a store found when a message came in.
type Current struct {
	Entity    entity.Entity
	Record    *entity.Record // of the message's Idempotency-Key
	Delivered *DeliveryState // of the delivery's id
	Running   *RunningTurn   // of the entity
}

// RunningTurn is a turn that has not ended, as the database knows it.
type RunningTurn struct {
	Message id.Message
	Node    string
	Lease   time.Time
}

// Verdict says what becomes of a message.
type Verdict struct {
	Replay  bool         // answer with the record, or as the delivery was answered
	Refusal *fault.Error // or refuse
	Keep    bool         // and keep the refusal under the Idempotency-Key
	End     *Ending      // or accept it, after failing a turn that was abandoned
}

// Ending ends a turn.
type Ending struct {
	Owner   id.User
	Message id.Message
	// Who may end it: its node, or anybody once the lease ended at or before
	// Lapsed. A zero Lapsed means only the node.
	Node   string
	Lapsed time.Time

	At      time.Time
	Last    Event        // the last event; the store numbers it
	Reply   *Reply       // of a completed turn; nil fails it
	Failure *fault.Error // of a failed turn
}

// Reply is what the entity answered.
type Reply struct {
	ID        id.Message
	Content   string
	ToolCalls []ToolCall
}

// Accepted is the outcome of StartTurn. Replay, Delivered and Refusal are what the Verdict
// says; without them the turn runs.
type Accepted struct {
	Entity    entity.Entity
	Replay    *entity.Record
	Delivered *DeliveryState
	Refusal   *fault.Error
	Ended     *id.Message // an abandoned turn that was failed on the way
	Created   time.Time   // when the message counts as sent: after the one before it
}

// TurnState is what readers need to know of a turn.
type TurnState struct {
	Message id.Message
	Entity  string // name
	Owner   id.User
	Last    int64 // number of the newest event
	Ended   *time.Time
	Created time.Time
	ReplyID *id.Message  // of a completed turn
	Failure *fault.Error // of a failed turn
}

// Store keeps turns, their events and the history. Every method finds only what
// belongs to the owner; anything else is fault.Missing.
type Store interface {
	// StartTurn looks, asks admit, and does what it says, in one transaction. admit
	// is pure: it may run twice.
	StartTurn(ctx context.Context, s Start, admit func(Current) Verdict) (Accepted, error)
	// AppendEvent numbers the event and keeps it. ErrLost if the holder lost the turn.
	AppendEvent(ctx context.Context, h Holder, e Event) (int64, error)
	// EndTurn keeps the last event, the reply, the status of the message or delivery
	// and what is answered to the Idempotency-Key, in one transaction, and drops what the
	// entity has beyond KeptDeliveries and KeptDeliveryBytes. ErrLost if it is not the
	// caller's to end.
	EndTurn(ctx context.Context, e Ending) error

	// RenewLeases renews every turn that the node runs, and names them.
	RenewLeases(ctx context.Context, node string, until time.Time) ([]Holder, error)
	// LapsedTurns lists turns of nodes other than except whose lease ended.
	LapsedTurns(ctx context.Context, at time.Time, except string, limit int) ([]Holder, error)
	// SweepEvents drops the events of up to limit turns that ended before the time, and
	// what else there is of turns that were for a delivery.
	SweepEvents(ctx context.Context, before time.Time, limit int) (int, error)

	// Delivery is the state of a delivery to the entity.
	Delivery(ctx context.Context, owner id.User, entityName, delivery string) (DeliveryState, error)
	Turn(ctx context.Context, owner id.User, entityName string, message id.Message) (TurnState, error)
	Events(ctx context.Context, owner id.User, message id.Message, after int64, limit int) ([]Event, error)

	EntityID(ctx context.Context, owner id.User, name string) (id.Entity, error)
	Message(ctx context.Context, owner id.User, message id.Message) (Message, error)
	MessageSeq(ctx context.Context, owner id.User, of id.Entity, message id.Message) (int64, error)
	// MessagesBefore lists from new to old.
	MessagesBefore(ctx context.Context, owner id.User, of id.Entity, seq int64, limit int) ([]Message, error)
}
