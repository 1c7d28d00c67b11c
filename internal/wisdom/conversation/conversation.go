// Package conversation shows what users and agents said to each other through the
// broker, which alone writes it: reading, naming and deleting are here, making is not.
package conversation

import (
	"context"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
)

// Conversation is one exchange with agents. Nil is null.
type Conversation struct {
	ID           id.Conversation
	User         id.User
	Integration  *id.Integration
	Title        *string
	ExternalUser *string
	Created      time.Time
	Updated      time.Time
}

// Message is one thing said.
type Message struct {
	ID           id.Message
	Conversation id.Conversation
	Role         string // user, assistant, system or tool
	Content      string
	Metadata     []byte  // a JSON object; nil: null
	Large        bool    // Content and Metadata are too large for a list; see Service.Whole
	Agent        *string // slug of the agent that said it
	Created      time.Time
}

// Query selects conversations. Zero values do not filter.
type Query struct {
	Integration  id.Integration
	ExternalUser *string
	Limit        int
	Offset       int
}

// Patch is what may change; nil keeps it.
type Patch struct {
	Title       *string
	Integration *id.Integration
}

// Store keeps conversations. within is the integration whose conversations alone may be
// seen; "": all. What is unknown or somebody else's is fault.NotFound.
type Store interface {
	Conversations(ctx context.Context, user id.User, within id.Integration, q Query) ([]Conversation, error)
	Conversation(ctx context.Context, user id.User, within id.Integration, c id.Conversation) (Conversation, error)
	// PatchConversation is fault.NotFound also if the new integration is not the user's.
	PatchConversation(ctx context.Context, user id.User, within id.Integration, c id.Conversation, p Patch, at time.Time) (Conversation, error)
	DeleteConversation(ctx context.Context, user id.User, within id.Integration, c id.Conversation) error
	// Messages lists oldest first. What is said by a message that would make a long list
	// too large for memory is left out.
	Messages(ctx context.Context, user id.User, within id.Integration, c id.Conversation, limit, offset int) ([]Message, error)
	Message(ctx context.Context, user id.User, within id.Integration, c id.Conversation, m id.Message) (Message, error)
	DeleteMessage(ctx context.Context, user id.User, within id.Integration, c id.Conversation, m id.Message) error
}
