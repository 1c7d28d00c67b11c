package api

import (
	"encoding/json"
	"fmt"
)

// NewUser asks for an account.
type NewUser struct {
	Email     string  `json:"email"`
	Password  string  `json:"password"` // 8 to 128 characters
	FirstName *string `json:"first_name,omitempty"`
	LastName  *string `json:"last_name,omitempty"`
}

// Login asks for a token.
type Login struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

// PasswordChange replaces a password.
type PasswordChange struct {
	OldPassword string `json:"old_password"`
	NewPassword string `json:"new_password"`
}

// NewAPIKey asks for an API key.
type NewAPIKey struct {
	Name      string `json:"name"`
	ExpiresAt *Time  `json:"expires_at,omitempty"` // nil: never
}

// NewAgent registers an agent. What is nil or empty has its default.
type NewAgent struct {
	Name              string   `json:"name"`
	Description       string   `json:"description"`
	Endpoint          string   `json:"endpoint,omitempty"`  // required unless HostedEntity is set
	AuthType          string   `json:"auth_type,omitempty"` // "public" (default), "api_key" or "bearer_token"
	InputSchema       Object   `json:"input_schema,omitempty"`
	Tags              []string `json:"tags,omitempty"`
	Category          *string  `json:"category,omitempty"`
	Visibility        string   `json:"visibility,omitempty"` // "public" (default) or "private" (default of hosted entities)
	PricingStrategy   *string  `json:"pricing_strategy,omitempty"`
	BasePrice         *float64 `json:"base_price,omitempty"`
	PricingEnabled    *bool    `json:"pricing_enabled,omitempty"`
	SupportsStreaming *bool    `json:"supports_streaming,omitempty"`
	HostedEntity      *string  `json:"hosted_entity,omitempty"` // for the entity host only: the entity's name
}

// AgentPatch changes an agent; nil keeps what is there. An empty Category or
// PricingStrategy, an InputSchema {} and empty Tags that are not nil clear it.
type AgentPatch struct {
	Name              *string  `json:"name,omitempty"`
	Description       *string  `json:"description,omitempty"`
	Endpoint          *string  `json:"endpoint,omitempty"`
	AuthType          *string  `json:"auth_type,omitempty"`
	InputSchema       Object   `json:"input_schema,omitempty"`
	Tags              []string `json:"tags,omitzero"`
	Category          *string  `json:"category,omitempty"`
	Visibility        *string  `json:"visibility,omitempty"`
	PricingStrategy   *string  `json:"pricing_strategy,omitempty"`
	BasePrice         *float64 `json:"base_price,omitempty"`
	PricingEnabled    *bool    `json:"pricing_enabled,omitempty"`
	SupportsStreaming *bool    `json:"supports_streaming,omitempty"`
	IsActive          *bool    `json:"is_active,omitempty"`
}

// NewCredential is what an agent wants to see from its callers.
type NewCredential struct {
	CredentialType string  `json:"credential_type"` // "api_key" or "bearer_token"
	Value          string  `json:"value"`
	AuthHeader     *string `json:"auth_header,omitempty"` // nil: X-API-Key or Authorization, by type
	AuthScheme     *string `json:"auth_scheme,omitempty"` // nil: Bearer for bearer_token, else none; empty: none
}

// NewRating rates an agent.
type NewRating struct {
	Score   int     `json:"score"` // 1 to 5
	Comment *string `json:"comment,omitempty"`
}

// CardImport registers the agent that an A2A card describes.
type CardImport struct {
	URL        string `json:"url"`                  // of the card, or of what is above it
	Visibility string `json:"visibility,omitempty"` // "public" or "private"; empty: public, or what the import has
}

// CardImports imports several cards.
type CardImports struct {
	URLs []string `json:"urls"` // 1 to 20
}

// RPCRequest is a JSON-RPC 2.0 request.
type RPCRequest struct {
	JSONRPC string          `json:"jsonrpc"` // "2.0"
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params,omitempty"`
}

// NewEntity makes an entity. What is nil or empty has its default.
type NewEntity struct {
	Name          string   `json:"name"`
	DisplayName   string   `json:"display_name,omitempty"` // default: the name
	Instructions  string   `json:"instructions,omitempty"`
	Model         *string  `json:"model,omitempty"`
	Temperature   *float64 `json:"temperature,omitempty"` // 0 to 2
	Tools         []string `json:"tools,omitzero"`        // nil: the default ones; empty: none
	MemoryEnabled *bool    `json:"memory_enabled,omitempty"`
}

// EntityPatch changes an entity; what is nil, or the zero Optional, stays.
type EntityPatch struct {
	DisplayName   *string           `json:"display_name,omitempty"`
	Instructions  *string           `json:"instructions,omitempty"`
	Model         Optional[string]  `json:"model,omitzero"`
	Temperature   Optional[float64] `json:"temperature,omitzero"`
	Tools         []string          `json:"tools,omitzero"` // empty: none
	MemoryEnabled *bool             `json:"memory_enabled,omitempty"`
}

// Pause pauses an entity.
type Pause struct {
	Reason string `json:"reason,omitempty"` // at most 280 characters
}

// NewMessage says something to an entity.
type NewMessage struct {
	Content string `json:"content"` // 1 to 65536 characters
}

// MemoryValue sets a memory.
type MemoryValue struct {
	Value string `json:"value"` // 1 to 8192 characters
}

// Problem is one item of the detail of a validation_error.
type Problem struct {
	Type  string          `json:"type"` // stable, such as "string_too_long"
	Loc   []any           `json:"loc"`  // where the value is: body, query, path or header, and so on
	Msg   string          `json:"msg"`
	Input json.RawMessage `json:"input"` // the value; null where it is secret or large
	Ctx   Object          `json:"ctx"`   // the bound that was broken
}

// Optional is a member of a patch that may also be null. The zero value is absent.
type Optional[T any] struct {
	set   bool
	value *T
}

// Value is a member with a value.
func Value[T any](v T) Optional[T] { return Optional[T]{set: true, value: &v} }

// Null is a member that is null, which resets what is there.
func Null[T any]() Optional[T] { return Optional[T]{set: true} }

// IsZero reports whether the member is absent, for the option omitzero.
func (o Optional[T]) IsZero() bool { return !o.set }

// MarshalJSON implements json.Marshaler.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(o.value)
	if err != nil {
		return nil, fmt.Errorf("optional member: %w", err)
	}
	return text, nil
}
