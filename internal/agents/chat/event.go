package chat

import (
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// Event is one step of a turn as readers get it.
type Event struct {
	Seq  int64 // 1, 2, 3, ... per turn
	Name string
	Data []byte // one line of JSON
}

// Last reports whether the event ends its turn.
func (e Event) Last() bool { return e.Name == (Answer{}).event() || e.Name == (Failure{}).event() }

// Payload is what an event says. Encode turns it into the event's data.
type Payload interface{ event() string }

// Started says that the message was accepted. It is always the first event.
type Started struct {
	Message id.Message
	Entity  string
	Created time.Time
}

// Delta is a piece of the reply.
type Delta struct {
	Message id.Message
	Text    string
}

// Called says that a tool is used.
type Called struct {
	Message   id.Message
	Call      string
	Tool      string
	Arguments []byte // JSON object
}

// Resulted says how the use of a tool ended.
type Resulted struct {
	Message id.Message
	Call    string
	Tool    string
	OK      bool
	Summary string // at most MaxSummary characters
}

// Answer is the end of a completed turn.
type Answer struct {
	Message   id.Message
	Reply     string
	ReplyID   id.Message
	Entity    string
	Owner     id.User
	ToolCalls []ToolCall
	Created   time.Time
	Completed time.Time
}

// Failure is the end of a failed turn.
type Failure struct {
	Message id.Message
	Fault   *fault.Error
}

func (Started) event() string  { return "message.started" }
func (Delta) event() string    { return "reply.delta" }
func (Called) event() string   { return "tool.call" }
func (Resulted) event() string { return "tool.result" }
func (Answer) event() string   { return "reply.completed" }
func (Failure) event() string  { return "error" }

// How a turn can fail. The texts are fixed: what a brain or a model said is logged.
func brainFailed() *fault.Error {
	return fault.New(fault.Upstream, codeBrain, "The entity could not answer")
}

func interrupted() *fault.Error {
	return fault.New(fault.Upstream, codeBrain, "The turn was interrupted")
}

func timedOut() *fault.Error {
	return fault.New(fault.Timeout, codeTimeout, "The entity did not answer in time")
}

const (
	codeBrain   = "brain_error"
	codeTimeout = "turn_timeout"
)

// FailureOf is the fault of a failed turn, read back from the history.
func FailureOf(code, detail string) *fault.Error {
	kind := fault.Upstream
	switch code {
	case codeTimeout:
		kind = fault.Timeout
	case "not_found":
		kind = fault.NotFound
	}
	return fault.New(kind, code, "%s", detail)
}
