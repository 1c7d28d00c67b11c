package httpapi

import (
	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
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

// NetworkFor is the wire form of a network, for its owner.
func NetworkFor(n network.Network) api.Network { return toNetwork(n) }

// JoinedParticipant is the wire form of a participant with the secret of its webhooks,
// which only the one who let it join is shown.
func JoinedParticipant(p network.Participant, webhook secret.String) api.JoinedParticipant {
	return api.JoinedParticipant{Participant: toParticipant(p), WebhookSecret: webhook.Reveal()}
}

// ContextEntry is the wire form of one thing said in a network.
func ContextEntry(e network.Entry) api.ContextEntry { return toContextEntry(e) }
