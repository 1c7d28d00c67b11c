// Package brain turns a message into a reply. A brain gets one turn and writes
// what it says and which tools it uses to a sink; the router here follows fixed
// commands and needs no model.
//
// A brain never decides for whom it acts: the owner is part of the turn, and
// nothing in a message, a tool's arguments or a tool's answer can change it. How
// turns are stored, limited in time and shown is not here: see chat.
package brain

import (
	"context"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// Turn is one message to answer.
type Turn struct {
	Entity   entity.Entity // as it was when the message was accepted
	Message  id.Message
	Content  string // what was said, at most 65536 characters; to the network it may be nothing
	Depth    int    // of the invocations that led here; calls from the turn carry it
	Request  string // id of the request that brought it, for logs; may be ""
	Stranger bool   // not the owner speaks: Entity is cut down to entity.ForStranger
}

// Memories names the entity's memories. The owner is the entity's owner.
func (t Turn) Memories() memory.Of {
	return memory.Of{Owner: t.Entity.Owner, Entity: t.Entity.ID}
}

// Sink takes what a brain does, in order. Each call is durable when it returns and
// then visible to readers. An error means that the turn is over: the brain stops
// and returns it.
type Sink interface {
	// Say adds whole characters to the reply. What exceeds the longest reply is
	// dropped.
	Say(ctx context.Context, text string) error
	// Call announces the use of a function with a JSON object of arguments, and
	// names the call.
	Call(ctx context.Context, function string, arguments []byte) (call string, err error)
	// Result tells how a call ended. The summary is cut to 2000 characters.
	Result(ctx context.Context, call string, ok bool, summary string) error
}

// Brain answers messages. What it said is the reply. An error other than one of
// the sink fails the turn with fixed texts; its own text is only logged. Turn must
// return soon after ctx ends, and is called for many entities at once.
type Brain interface {
	Turn(ctx context.Context, t Turn, out Sink) error
}
