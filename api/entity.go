package api

// Entity is a user's private assistant, as the entity host describes it.
type Entity struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"` // unique per owner; never changes
	DisplayName   string   `json:"display_name"`
	Instructions  string   `json:"instructions"`
	Model         *string  `json:"model"`       // null: the host's default
	Temperature   *float64 `json:"temperature"` // 0..2; null: the model's default
	Tools         []string `json:"tools"`
	MemoryEnabled bool     `json:"memory_enabled"`
	Status        string   `json:"status"` // "active" or "paused"
	PauseReason   *string  `json:"pause_reason"`
	OwnerUserID   string   `json:"owner_user_id"`
	CreatedAt     Time     `json:"created_at"`
	UpdatedAt     Time     `json:"updated_at"`
	LastActiveAt  *Time    `json:"last_active_at"` // when a message was last accepted
}

// ToolCall says that an entity used a tool during a turn.
type ToolCall struct {
	CallID string `json:"call_id"` // "t1", "t2", ... per turn
	Tool   string `json:"tool"`
	OK     bool   `json:"ok"`
}

// ChatAnswer is the end of a turn that an entity completed. It is also the data of
// the event reply.completed.
type ChatAnswer struct {
	MessageID      string     `json:"message_id"` // the user's message; it names the turn
	Reply          string     `json:"reply"`
	ReplyMessageID string     `json:"reply_message_id"`
	Entity         string     `json:"entity"`
	OwnerUserID    string     `json:"owner_user_id"`
	ToolCalls      []ToolCall `json:"tool_calls"`
	CreatedAt      Time       `json:"created_at"`
	CompletedAt    Time       `json:"completed_at"`
}

// ChatMessage is one message of an entity's history.
type ChatMessage struct {
	ID        string     `json:"id"`
	Role      string     `json:"role"` // "user" or "assistant"
	Content   string     `json:"content"`
	InReplyTo *string    `json:"in_reply_to"`
	Status    string     `json:"status"` // "running", "completed" or "failed"
	Error     *string    `json:"error"`
	ToolCalls []ToolCall `json:"tool_calls"`
	CreatedAt Time       `json:"created_at"`
}

// Memory is one thing that an entity remembers.
type Memory struct {
	Key       string `json:"key"`
	Value     string `json:"value"`
	Source    string `json:"source"` // who wrote the value: "user" or "entity"
	CreatedAt Time   `json:"created_at"`
	UpdatedAt Time   `json:"updated_at"`
}

// Export is everything that the host keeps of an entity.
type Export struct {
	Version    int           `json:"version"` // 1
	ExportedAt Time          `json:"exported_at"`
	Entity     Entity        `json:"entity"`
	Memories   []Memory      `json:"memories"`
	Messages   []ChatMessage `json:"messages"`
	Deliveries []Delivery    `json:"deliveries"`
}

// Delivery is something that the agent network said to an entity, and what the entity
// answered.
type Delivery struct {
	ID           string  `json:"id"`             // of the invocation or network message
	Kind         string  `json:"kind"`           // "invoke", "call" or "message"
	CallerUserID *string `json:"caller_user_id"` // on whose behalf it was said; null: not the owner's
	Depth        int     `json:"depth"`          // how many invocations led to it
	Input        Object  `json:"input"`          // as it came
	Content      *string `json:"content"`        // null: nothing, or not yet
	Status       string  `json:"status"`         // "running", "completed" or "failed"
	Error        *string `json:"error"`
	CreatedAt    Time    `json:"created_at"`
	CompletedAt  *Time   `json:"completed_at"`
}

// Names of the events of a turn's stream, in the order in which they can occur.
// Exactly one of EventReplyCompleted and EventError ends a stream.
const (
	EventMessageStarted = "message.started" // MessageStarted
	EventReplyDelta     = "reply.delta"     // ReplyDelta
	EventToolCall       = "tool.call"       // ToolCallEvent
	EventToolResult     = "tool.result"     // ToolResultEvent
	EventReplyCompleted = "reply.completed" // ChatAnswer
	EventError          = "error"           // TurnError
)

// MessageStarted is the data of the first event of a turn.
type MessageStarted struct {
	MessageID string `json:"message_id"`
	Entity    string `json:"entity"`
	CreatedAt Time   `json:"created_at"`
}

// ReplyDelta is a piece of the reply. The pieces joined are the reply.
type ReplyDelta struct {
	MessageID string `json:"message_id"`
	Text      string `json:"text"`
}

// ToolCallEvent announces the use of a tool.
type ToolCallEvent struct {
	MessageID string `json:"message_id"`
	CallID    string `json:"call_id"`
	Tool      string `json:"tool"`
	Arguments Object `json:"arguments"`
}

// ToolResultEvent tells how the use of a tool ended.
type ToolResultEvent struct {
	MessageID string `json:"message_id"`
	CallID    string `json:"call_id"`
	Tool      string `json:"tool"`
	OK        bool   `json:"ok"`
	Summary   string `json:"summary"` // at most 2000 characters
}

// TurnError is the data of the event that ends the stream of a failed turn.
type TurnError struct {
	MessageID string `json:"message_id"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Status    int    `json:"status"` // the HTTP status that a plain request was answered with
}
