package httpapi

import (
	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// AgentFor is the wire form of an agent as the service showed it to p, for the other
// faces of the same rules.
func AgentFor(a registry.Agent, p principal.Principal) api.Agent { return toAgent(a, p) }

// Conversations is the wire form of a list.
func Conversations(list []conversation.Conversation) []api.Conversation {
	return toConversations(list)
}

// Message is the wire form of one thing said.
func Message(m conversation.Message) api.Message { return toMessage(m) }
