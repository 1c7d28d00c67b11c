package api

import "encoding/json"

// Network is a group of participants that talk to each other, of one user.
type Network struct {
	ID           string `json:"id"`
	OwnerID      string `json:"owner_id"`
	Name         string `json:"name"`
	TopologyType string `json:"topology_type"` // "mesh", "star", "ring" or "custom"
	Metadata     Object `json:"metadata"`
	Metadata2    Object `json:"metadata_"` // the same
	Status       string `json:"status"`    // "active", "paused" or "closed"
	CreatedAt    Time   `json:"created_at"`
	UpdatedAt    Time   `json:"updated_at"`
}

// NewNetwork asks for a network. What is empty has its default.
type NewNetwork struct {
	Name         string `json:"name"`
	TopologyType string `json:"topology_type,omitempty"` // default "mesh"
	Metadata     Object `json:"metadata,omitempty"`
}

// NetworkPatch changes a network; nil keeps what is there.
type NetworkPatch struct {
	Name         *string `json:"name,omitempty"`
	TopologyType *string `json:"topology_type,omitempty"`
	Status       *string `json:"status,omitempty"`
	Metadata     Object  `json:"metadata,omitempty"`
}

// Participant is somebody in a network.
type Participant struct {
	ID              string  `json:"id"`
	NetworkID       string  `json:"network_id"`
	AgentID         *string `json:"agent_id"`         // the agent's id, not its slug
	ParticipantType string  `json:"participant_type"` // "agent", "persona" or "orchestrator"
	Name            string  `json:"name"`
	CallbackURL     *string `json:"callback_url"`
	PollingEnabled  bool    `json:"polling_enabled"`
	Capabilities    Object  `json:"capabilities"`
	Status          string  `json:"status"` // "active", "disconnected" or "removed"
	CreatedAt       Time    `json:"created_at"`
	UpdatedAt       Time    `json:"updated_at"`
}

// JoinedParticipant is a participant with the secret that signs what it is sent, which
// is shown once.
type JoinedParticipant struct {
	Participant
	WebhookSecret string `json:"webhook_secret"` // "whsec_" and 32 bytes in base64
}

// NewParticipant joins a network. What is nil or empty has its default.
type NewParticipant struct {
	Name            string  `json:"name"`
	AgentID         *string `json:"agent_id,omitempty"`         // the agent's id, not its slug
	ParticipantType string  `json:"participant_type,omitempty"` // default "agent"
	CallbackURL     *string `json:"callback_url,omitempty"`
	PollingEnabled  bool    `json:"polling_enabled,omitempty"`
	Capabilities    Object  `json:"capabilities,omitempty"`
}

// ParticipantPatch changes a participant; nil keeps what is there.
type ParticipantPatch struct {
	CallbackURL    *string `json:"callback_url,omitempty"` // "" clears it
	PollingEnabled *bool   `json:"polling_enabled,omitempty"`
	Capabilities   Object  `json:"capabilities,omitempty"`
	Status         *string `json:"status,omitempty"`
}

// WebhookSecret is a new secret of a participant. The one before signs too until then.
type WebhookSecret struct {
	WebhookSecret      string `json:"webhook_secret"`
	PreviousValidUntil Time   `json:"previous_valid_until"`
}

// NewNetworkMessage is what one participant says to another.
type NewNetworkMessage struct {
	SenderParticipantID    string `json:"sender_participant_id"`
	RecipientParticipantID string `json:"recipient_participant_id"`
	Content                string `json:"content"`
	Metadata               Object `json:"metadata,omitempty"`
}

// CallbackMessage is what the holder of a signed reply URL says.
type CallbackMessage struct {
	Content                string  `json:"content"`
	RecipientParticipantID *string `json:"recipient_participant_id,omitempty"` // nil: everybody who reads
	ChannelType            string  `json:"channel_type,omitempty"`             // default "message"
	Metadata               Object  `json:"metadata,omitempty"`
	InReplyToID            *string `json:"in_reply_to_id,omitempty"`
}

// NetworkMessage is something said in a network.
type NetworkMessage struct {
	ID                     string  `json:"id"`
	NetworkID              string  `json:"network_id"`
	SenderParticipantID    string  `json:"sender_participant_id"`
	RecipientParticipantID *string `json:"recipient_participant_id"`
	ChannelType            string  `json:"channel_type"` // "call", "message" or "mailbox"
	Content                string  `json:"content"`
	Metadata               Object  `json:"metadata"`
	Metadata2              Object  `json:"metadata_"` // the same
	Status                 string  `json:"status"`    // "pending", "delivered", "read" or "failed"
	InReplyToID            *string `json:"in_reply_to_id"`
	CreatedAt              Time    `json:"created_at"`
	UpdatedAt              Time    `json:"updated_at"`
}

// CallResult is the answer of a participant to a call.
type CallResult struct {
	Success   bool            `json:"success"`    // always true: other outcomes are errors
	MessageID string          `json:"message_id"` // of the outgoing message
	Response  json.RawMessage `json:"response"`   // any JSON
}

// Acknowledgement tells how many messages are read now.
type Acknowledgement struct {
	Acknowledged int `json:"acknowledged"`
}

// MessageIDs lists messages to be acknowledged, up to 500.
type MessageIDs struct {
	MessageIDs []string `json:"message_ids"`
}

// NetworkContext is the last things said in a network, in order.
type NetworkContext struct {
	NetworkID string         `json:"network_id"`
	Entries   []ContextEntry `json:"entries"`
}

// ContextEntry is one thing said.
type ContextEntry struct {
	Sender    string  `json:"sender"`    // name of the participant
	Recipient *string `json:"recipient"` // the same
	Channel   string  `json:"channel"`
	Content   string  `json:"content"`
	MessageID string  `json:"message_id"`
	Timestamp Seconds `json:"timestamp"`
}

// DeadLetter is a message that could not be delivered.
type DeadLetter struct {
	NetworkMessage
	Attempts       int    `json:"attempts"`
	LastStatusCode *int   `json:"last_status_code"` // of HTTP; null: there was none
	LastError      string `json:"last_error"`       // a fixed text
	FailedAt       Time   `json:"failed_at"`
}

// DeliveryPayload is what a webhook gets (contract §6.6).
type DeliveryPayload struct {
	NetworkID              string                `json:"network_id"`
	MessageID              string                `json:"message_id"`
	Channel                string                `json:"channel"` // "call" or "message"
	Sender                 DeliveryParticipant   `json:"sender"`
	Content                string                `json:"content"`
	Message                *string               `json:"message,omitempty"` // the content again; to the endpoints of registered agents only
	Context                []ContextEntry        `json:"context"`
	ReplyURL               string                `json:"reply_url"`
	NetworkParticipants    []DeliveryParticipant `json:"network_participants"`
	ChannelType            string                `json:"channel_type"`
	SenderParticipantID    string                `json:"sender_participant_id"`
	RecipientParticipantID string                `json:"recipient_participant_id"`
	Metadata               Object                `json:"metadata"`
	InReplyToID            *string               `json:"in_reply_to_id"`
	CreatedAt              Time                  `json:"created_at"`
}

// DeliveryParticipant names a participant in a delivery.
type DeliveryParticipant struct {
	ParticipantID string `json:"participant_id"`
	Name          string `json:"name"`
}
