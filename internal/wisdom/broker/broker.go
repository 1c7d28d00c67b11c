// Package broker invokes agents for users: one pipeline of checks, one record of what
// was said, one log, for every way in (invoke, stream, MCP, A2A) and every kind of
// agent (plain HTTP, stream, A2A, hosted entity). A target only sends; it cannot skip
// the allow-list, the quota, the address check, the credential or the log.
//
// Not here: which agents exist and who may see them (registry), reading conversations
// (conversation), and how bytes leave (Sender and Host, filled in by package wisdom).
package broker

import (
	"context"
	"errors"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// MaxDepth is how many invocations may be inside one another (contract §5.2).
const MaxDepth = 8

// Request is what a caller wants invoked.
type Request struct {
	Agent        string          // slug; an impossible one is simply not found
	Input        []byte          // a JSON object
	Conversation id.Conversation // "": a new one
	Message      id.Message      // the user's message, if it is stored already; "": it is not
	ExternalUser *string         // nil: keeps what the conversation has
}

// Result is the answer of an invocation, refusals and failures included.
type Result struct {
	Success      bool
	Data         []byte // a JSON object; nil: null
	Code         Code   // "" on success
	Status       int
	Latency      time.Duration   // in all, retries included
	Conversation id.Conversation // "" if refused
	Invocation   id.Invocation   // the log row; "" if no agent was resolved
}

// Code is a stable error_code of contract §5.2 and §5.4.
type Code string

// The codes of refusals, in the order of the checks, and of failures.
const (
	ConversationNotFound Code = "conversation_not_found"
	IntegrationMismatch  Code = "integration_mismatch"
	MessageNotFound      Code = "message_not_found"
	AgentNotFound        Code = "agent_not_found"
	AgentNotAllowed      Code = "agent_not_allowed"
	QuotaExceeded        Code = "quota_exceeded"
	DepthExceeded        Code = "depth_exceeded"
	UnsafeURL            Code = "unsafe_url"
	CredentialMissing    Code = "credential_missing"

	AgentInvalidJSON      Code = "agent_invalid_json"
	AgentError            Code = "agent_error"
	AgentTimeout          Code = "agent_timeout"
	AgentUnreachable      Code = "agent_unreachable"
	AgentResponseTooLarge Code = "agent_response_too_large"
	AgentA2AError         Code = "agent_a2a_error"
)

// What an attempt to reach an agent can die of, besides a 400 unsafe_url fault and the
// caller's own leaving.
var (
	ErrUnreachable = errors.New("the agent cannot be reached") // DNS, connect, TLS, broken answer
	ErrDeadline    = errors.New("the agent did not answer in time")
	ErrTooLarge    = errors.New("the answer of the agent is larger than allowed")
	ErrA2A         = errors.New("the A2A agent reported an error or a failed task")
)

// Call is one invocation as a target sends it. The deadline is that of the context.
type Call struct {
	ID         id.Invocation
	RequestID  string
	Caller     id.User
	Depth      int                  // of this call: what a hosted entity is told
	Agent      registry.Agent       // with its endpoint, whoever the caller is
	Credential *registry.Credential // nil: the agent is public
	Input      []byte               // a JSON object
	Stream     bool                 // chunks are wanted as they come, if the agent streams
	Context    string               // contextId of A2A, of an earlier call in this conversation; "": none
}

// Reply is what an agent answered, whatever its status.
type Reply struct {
	Status  int
	Body    []byte // as it came; of a stream {"text": what its chunks say}, or nothing
	Text    string // of a stream: what its chunks say, joined
	Context string // contextId of A2A to be kept with the conversation; "": none
}

// Target sends calls to one kind of agent. emit takes the chunks of a stream, each one
// JSON value; it is nil if no stream is wanted. Errors are those above, or a 400
// unsafe_url fault when the dial found the address out.
type Target interface {
	Send(ctx context.Context, c Call, emit func(chunk []byte) error) (Reply, error)
}

// Outgoing is a POST to a third party. Its deadline is that of the context.
type Outgoing struct {
	URL     string
	Header  map[string]string
	Body    []byte
	Idle    time.Duration // longest wait for the header, then for each next piece; 0: no bound of its own
	MaxBody int64         // bytes of the answer, after decompression
}

// Sender is the way to third parties: it obeys contract §16. Errors are those of Target.
type Sender interface {
	Send(ctx context.Context, o Outgoing) (status int, body []byte, err error)
	// Stream hands the answer over piece by piece if its status is 2xx; piece is not kept
	// after take has returned. Otherwise body is what Send would return.
	Stream(ctx context.Context, o Outgoing, take func(piece []byte) error) (status int, body []byte, err error)
}

// Delivery is an invocation of a hosted entity (contract §10.7).
type Delivery struct {
	ID        id.Invocation
	Owner     id.User // of the entity
	Entity    string  // its name
	Caller    id.User
	Depth     int
	RequestID string
	Input     []byte // a JSON object
}

// Host is wisdom-agents: the only way to hosted entities.
type Host interface {
	// Deliver returns the JSON object that the host answered, or the 4xx status of its
	// refusal with a nil body. Errors are those of Target.
	Deliver(ctx context.Context, d Delivery) (status int, body []byte, err error)
}

// Callees finds what is to be called.
type Callees interface {
	// Callee finds an agent that viewer may see, active or not, by its slug, with its
	// endpoint and the credential that calls are made with, both of one moment. At most a
	// second old. fault.NotFound if there is none.
	Callee(ctx context.Context, viewer id.User, slug string) (registry.Callee, error)
}

// Platform can be halted by an administrator.
type Platform interface {
	// Running is a 503 platform_halted fault while the platform is halted. At most a
	// second late.
	Running(ctx context.Context) error
}

// URLs tells whether an endpoint may be contacted, without asking any name server; if
// not, 400 unsafe_url.
type URLs interface {
	Admit(rawURL string) error
}

// Limits hold the calls made with the keys of an integration (contract §7.2). The zero
// value limits nothing.
type Limits struct {
	Monthly, Daily *int64 // invocations per calendar month and day, UTC; nil: any number
	MaxRetries     int    // 0 to 5
	Backoff        time.Duration
	Timeout        time.Duration // in all; 0: that of the broker
	Allowed        []id.Agent    // empty: all
}

// Thread is what the pipeline must know about a conversation.
type Thread struct {
	Integration  id.Integration // "": none
	ExternalUser *string
	HasMessage   bool   // the message that was asked for belongs to it
	Context      string // contextId of A2A with the agent; "": none
}

// Opening is what is written before a call.
type Opening struct {
	User           id.User
	Integration    id.Integration // of the key; "": none, nothing is counted
	Conversation   id.Conversation
	New            bool       // the conversation is made
	ExternalUser   *string    // nil keeps what is there
	Message        id.Message // "": the message is stored already
	Content        string
	Metadata       []byte // a JSON object
	Monthly, Daily *int64
	At             time.Time

	ExternalUserBefore *string // what taking this back restores
}

// Ending is what is written after a call, or instead of one.
type Ending struct {
	Log Log
	// Undo takes back what the Opening with these values wrote and counted: the dial
	// found out that the call is refused.
	Undo *Opening

	Message  id.Message // of the assistant; "": nothing is stored
	Content  string
	Metadata []byte // a JSON object
	Context  string // contextId of A2A to be kept; "": as it was
	Reached  bool   // the attempt counts in the figures of the agent
}

// Kinds of log rows.
const (
	KindInvoke  = "invoke"
	KindStream  = "stream"
	KindNetwork = "network"
)

// Log is one attempt at an agent. Of a foreign caller the owner of the agent sees
// neither who it was nor what was said.
type Log struct {
	ID           id.Invocation
	Kind         string
	Caller       id.User // "" in what the owner of the agent sees
	Actor        principal.Actor
	Agent        id.Agent // "" after its deletion
	AgentOwner   id.User
	Slug, Name   string // of the agent, as they are now; "" after its deletion
	Success      bool
	Refused      bool
	Status       int
	LatencyMS    int64
	Code         Code
	Integration  id.Integration
	Conversation id.Conversation
	Message      id.Message // of the user
	Request      []byte     // a JSON object; nil: null
	Response     []byte
	Large        bool // Request and Response are there but too large for a list; see Service.Payloads
	RequestID    string
	At           time.Time
}

// LogQuery selects log rows. Zero values do not filter.
type LogQuery struct {
	Agent        id.Agent
	Conversation id.Conversation
	Mine         bool      // only calls that the viewer made
	From, To     time.Time // from inclusive, to inclusive
	Status       string    // "success", "error", "timeout"
	Limit        int
	Offset       int
}

// Store keeps what the broker writes. Every write is durable when it returns.
type Store interface {
	// Limits reads the broker config of the user's integration; zero if it has none.
	Limits(ctx context.Context, user id.User, integration id.Integration) (Limits, error)
	// Thread reads the user's conversation; message and agent may be "". fault.NotFound.
	Thread(ctx context.Context, user id.User, c id.Conversation, m id.Message, agent id.Agent) (Thread, error)
	// OverQuota tells whether the integration has used its quota up, without counting.
	OverQuota(ctx context.Context, user id.User, integration id.Integration, monthly, daily *int64, at time.Time) (bool, error)
	// Open counts and writes in one transaction. False: a quota is used up, nothing was
	// written. fault.NotFound: the conversation is gone, or has left the integration.
	Open(ctx context.Context, o Opening) (bool, error)
	// Close writes in one transaction. What was deleted in the meantime is left out.
	Close(ctx context.Context, e Ending) error
	// Logs lists the rows that viewer called or whose agent viewer owns, newest first. The
	// payloads of a row that would make a long list too large for memory are left out.
	Logs(ctx context.Context, viewer id.User, q LogQuery) ([]Log, error)
	// Payloads reads those of one row that caller made. fault.NotFound.
	Payloads(ctx context.Context, caller id.User, l id.Invocation) (request, response []byte, err error)
}
