package personal

import (
	"context"
	"errors"
	"io"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// Host is wisdom-agents as the rules see it. Every method acts for Call.User and
// is sent at most once: nothing is retried once a byte of it may have left.
//
// An error is a *fault.Error that the client may see. A 4xx kind is the host's own
// refusal; anything else says nothing about what the host did, unless NothingDone.
type Host interface {
	// Do asks and reads the whole answer, at most 1 MiB.
	Do(ctx context.Context, c Call) (Answer, error)
	// Open asks for an answer that is passed on while it arrives. The caller
	// closes the Body; the end of ctx closes it too.
	Open(ctx context.Context, c Call) (Stream, error)
}

// ErrNothingDone is in the chain of an error that is no refusal of the host but
// after which the host certainly did nothing: the request never left, or our own
// key was refused.
var ErrNothingDone = errors.New("the host did nothing")

// NothingDone reports whether err proves that the host did not act on the call.
// Every other error leaves the outcome unknown.
func NothingDone(err error) bool {
	if errors.Is(err, ErrNothingDone) {
		return true
	}
	switch f := fault.As(err); {
	case f == nil:
		return false
	case f.Kind == fault.Other:
		return f.Status >= 400 && f.Status < 500
	default:
		return f.Kind != fault.Internal && f.Kind != fault.Upstream && f.Kind != fault.Unavailable && f.Kind != fault.Timeout
	}
}

// unusable is the one answer for whatever the host did wrong (contract §9.3).
func unusable(cause error) *fault.Error {
	return fault.New(fault.Upstream, "entity_host_error", "The entity service is unavailable").Because(cause)
}

// Op is one route of the host.
type Op uint8

// The routes of the host behind /personal (contract §9.1).
const (
	CreateEntity Op = iota + 1
	ListEntities
	GetEntity
	PatchEntity
	DeleteEntity
	PauseEntity
	ResumeEntity
	SendMessage
	StreamMessage // SendMessage, answered as an event stream
	FollowMessage // the event stream of an earlier message
	ListMessages
	ListMemories
	GetMemory
	PutMemory
	DeleteMemory
	ForgetMemories
	ExportEntity
)

var opNames = [...]string{"", "create entity", "list entities", "get entity", "patch entity", "delete entity", "pause entity",
	"resume entity", "send message", "stream message", "follow message", "list messages", "list memories", "get memory",
	"put memory", "delete memory", "forget memories", "export entity"}

// String names the route, for logs.
func (o Op) String() string { return opNames[o] }

// Call is one request to the host, as values: no byte of the client's request is in
// it that was not checked.
type Call struct {
	Op        Op
	User      id.User
	RequestID string // of the request that causes the call; the settler has none
	Name      string // of the entity
	Key       string // of the memory
	Message   id.Message
	Once      string // Idempotency-Key; "" for none
	Body      []byte // compact JSON; nil for none

	// Query. The zero value leaves a parameter out.
	Limit  int
	Before id.Message // older than this message
	Prefix string     // of memory keys
	After  string     // memory keys after this one, or events after this number
}

// Answer is a success of the host, of the JSON type that the route promises.
type Answer struct {
	Status   int    // 2xx, as the host said
	JSON     []byte // nil if the route answers without a body
	Owner    string // owner_user_id of a JSON object; "" if absent or not a string
	Owned    bool   // the object carries owner_user_id
	Items    []Item // the elements, if JSON is a list
	Replayed bool   // the host repeated a stored answer (Idempotency-Replayed)
}

// Item is one object of a list.
type Item struct {
	Name  string // its name, "" if it has none
	Owner string
	Owned bool
	JSON  []byte // part of Answer.JSON
}

// Stream is a success of the host whose body is still arriving.
type Stream struct {
	// Body ends with io.EOF only if the host ended it in good order. Any other end,
	// too long a silence included, is another error.
	Body     io.ReadCloser
	Replayed bool
}

// ValidName reports whether s can be an entity's name: ^[a-z0-9][a-z0-9_-]{0,62}$.
func ValidName(s string) bool { return matches(s, 63, false) }

// ValidKey reports whether s can be a memory's key: ^[a-z0-9][a-z0-9._-]{0,127}$.
func ValidKey(s string) bool { return matches(s, 128, true) }

func matches(s string, most int, dots bool) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '_' || c == '-' || c == '.' && dots):
		default:
			return false
		}
	}
	return true
}
