package api

// InvokeRequest asks an agent something.
type InvokeRequest struct {
	AgentID        string  `json:"agent_id"` // slug
	Input          Object  `json:"input"`
	ConversationID *string `json:"conversation_id,omitempty"`
	MessageID      *string `json:"message_id,omitempty"`
	ExternalUserID *string `json:"external_user_id,omitempty"`
}

// InvokeResponse is the outcome of an invocation, failures and refusals included.
type InvokeResponse struct {
	Success        bool    `json:"success"`
	Data           Object  `json:"data"`
	Error          *string `json:"error"`      // a fixed text
	ErrorCode      *string `json:"error_code"` // stable; null on success
	StatusCode     int     `json:"status_code"`
	LatencyMS      int64   `json:"latency_ms"` // in all, retries included
	ConversationID *string `json:"conversation_id"`
	InvocationID   *string `json:"invocation_id"`   // of the log row
	CreditsCharged *int64  `json:"credits_charged"` // always null
}

// Names of the events of POST /broker/invoke/stream. EventDone comes exactly once and
// last; before it come chunks and, on failure, EventInvokeError, or one EventResult of
// an agent that does not stream.
const (
	EventChunk       = "chunk"  // what the agent sent: any JSON
	EventResult      = "result" // InvokeResponse
	EventInvokeError = "error"  // InvokeError
	EventDone        = "done"   // InvokeDone
)

// InvokeError is the data of the error event of an invocation.
type InvokeError struct {
	Error      string `json:"error"`
	ErrorCode  string `json:"error_code"`
	StatusCode int    `json:"status_code"`
}

// InvokeDone is the data of the last event of an invocation.
type InvokeDone struct {
	Success        bool    `json:"success"`
	StatusCode     int     `json:"status_code"`
	LatencyMS      int64   `json:"latency_ms"`
	ConversationID *string `json:"conversation_id"`
	InvocationID   *string `json:"invocation_id"`
}

// Actor is what acted for a user: the user, an API key of theirs, or a service.
type Actor struct {
	Type string `json:"type"` // "user", "api_key" or "service"
	ID   string `json:"id"`
}

// InvocationLog is one attempt at an agent. Who only owns the agent sees neither the
// caller nor what was said.
type InvocationLog struct {
	ID                 string  `json:"id"`
	Kind               string  `json:"kind" enum:"invoke,stream,network"`
	CallerUserID       *string `json:"caller_user_id"`
	Actor              *Actor  `json:"actor"`
	TargetAgentID      *string `json:"target_agent_id"` // null after its deletion, as the next three
	AgentID            *string `json:"agent_id"`        // the same, the agent's id and not its slug
	AgentIdentifier    *string `json:"agent_identifier"`
	AgentName          *string `json:"agent_name"`
	Success            bool    `json:"success"`
	Refused            bool    `json:"refused"` // before the agent was asked
	StatusCode         int     `json:"status_code"`
	LatencyMS          int64   `json:"latency_ms"`
	ErrorCode          *string `json:"error_code"`
	ErrorMessage       *string `json:"error_message"`
	Status             string  `json:"status" enum:"success,error,timeout"`
	IntegrationID      *string `json:"integration_id"`
	ConversationID     *string `json:"conversation_id"`
	MessageID          *string `json:"message_id"`
	ParentInvocationID *string `json:"parent_invocation_id"`
	RequestPayload     Object  `json:"request_payload"`
	ResponsePayload    Object  `json:"response_payload"`
	Input              Object  `json:"input"`  // = request_payload, or {}
	Output             Object  `json:"output"` // = response_payload
	RequestID          string  `json:"request_id"`
	CreatedAt          Time    `json:"created_at"`
	Timestamp          Time    `json:"timestamp"` // = created_at
}

// Conversation is an exchange with agents through the broker.
type Conversation struct {
	ID             string  `json:"id"`
	UserID         string  `json:"user_id"`
	IntegrationID  *string `json:"integration_id"`
	Title          *string `json:"title"`
	ExternalUserID *string `json:"external_user_id"`
	CreatedAt      Time    `json:"created_at"`
	UpdatedAt      Time    `json:"updated_at"`
}

// ConversationPatch changes a conversation; nil keeps what is there.
type ConversationPatch struct {
	Title         *string `json:"title,omitempty"`
	IntegrationID *string `json:"integration_id,omitempty"`
}

// Message is one thing said in a conversation.
type Message struct {
	ID             string  `json:"id"`
	ConversationID string  `json:"conversation_id"`
	Role           string  `json:"role" enum:"user,assistant,system,tool"`
	Content        string  `json:"content"`
	Metadata       Object  `json:"metadata"`
	AgentID        *string `json:"agent_id"` // slug of the agent that said it
	CreatedAt      Time    `json:"created_at"`
}

// NewIntegration makes an integration.
type NewIntegration struct {
	Name     string  `json:"name"`
	Kind     *string `json:"kind,omitempty"`
	Metadata Object  `json:"metadata,omitempty"`
}

// Integration is a product of the user's that calls agents with keys of its own.
type Integration struct {
	ID        string  `json:"id"`
	UserID    string  `json:"user_id"`
	Name      string  `json:"name"`
	Kind      *string `json:"kind"`
	Metadata  Object  `json:"metadata"`
	CreatedAt Time    `json:"created_at"`
	UpdatedAt Time    `json:"updated_at"`
}

// IntegrationSummary is an integration in the list of them.
type IntegrationSummary struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Kind      *string `json:"kind"`
	CreatedAt Time    `json:"created_at"`
	HasAPIKey bool    `json:"has_api_key"`
}

// BrokerConfig holds the calls that are made with the keys of an integration.
type BrokerConfig struct {
	MonthlyQuota          *int64   `json:"monthly_quota"` // invocations in a calendar month, UTC; null: any number
	DailyQuota            *int64   `json:"daily_quota"`
	MaxRetries            int      `json:"max_retries"`             // 0..5
	RetryBackoffSeconds   float64  `json:"retry_backoff_seconds"`   // >= 0
	RequestTimeoutSeconds *float64 `json:"request_timeout_seconds"` // at most 25; null: the broker's
	AllowedAgentIDs       []string `json:"allowed_agent_ids"`       // ids of agents, not slugs; empty: all
}

// PlatformStatus tells whether invocations are halted.
type PlatformStatus struct {
	Halted bool  `json:"halted"`
	Since  *Time `json:"since"`
}

// SafetyStatus is what everybody may know of PlatformStatus.
type SafetyStatus struct {
	Halted bool `json:"halted"`
}
