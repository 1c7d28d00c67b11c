package brain

import (
	"context"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// Acting says on whose behalf, and how deep, the network is used. It is made from a turn
// only, and there from what is stored of the entity: nothing that was said, by a user, a
// model, an agent or a network, is part of it.
type Acting struct {
	Owner   id.User // of the entity
	Depth   int
	Request string // id of the request that caused it, for logs; may be ""
}

func (t Turn) acting() Acting {
	return Acting{Owner: t.Entity.Owner, Depth: t.Depth, Request: t.Request}
}

// Agent is an agent that was discovered. All of it was written by its owner.
type Agent struct {
	ID          string // slug
	Name        string
	Description string
	Public      bool     // everybody may see it
	Hosted      bool     // it is an entity of this host, or of one like it
	InputSchema []byte   // JSON object; nil: none
	Distance    *float64 // to the query, 0 to 4, lower is better; nil: not known
}

// Outcome is how an invocation went.
type Outcome struct {
	OK     bool
	Data   []byte // JSON object that the agent answered
	Failed string // if not OK: why, a fixed text of the broker
	// Declined says of one that is not OK that the agent was reached and takes no such
	// input: it answered 400 or 422.
	Declined bool
}

// Network is the agents that an entity may find and ask. What cannot be done is a fault
// with a text for the reply; any other error says that ctx ended.
type Network interface {
	// Discover lists agents for a query of at most MaxQuery characters, the best first.
	Discover(ctx context.Context, a Acting, query string, limit int) ([]Agent, error)
	// Invoke asks an agent, with a JSON object.
	Invoke(ctx context.Context, a Acting, agent string, input []byte) (Outcome, error)
}

// MaxQuery is the longest query, in characters (contract §4.4).
const MaxQuery = 4000

// NoNetwork is the network of a host that has none.
type NoNetwork struct{}

var _ Network = NoNetwork{}

func off() *fault.Error {
	return fault.New(fault.Unavailable, "not_ready", "the agent network is switched off on this host")
}

// Discover implements Network.
func (NoNetwork) Discover(context.Context, Acting, string, int) ([]Agent, error) { return nil, off() }

// Invoke implements Network.
func (NoNetwork) Invoke(context.Context, Acting, string, []byte) (Outcome, error) {
	return Outcome{}, off()
}
