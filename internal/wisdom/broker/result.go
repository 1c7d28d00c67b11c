package broker

import (
	"context"
	"errors"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// Cancelled is the error_code of a stream whose caller left before its end. It shows in
// logs only: nobody is there to be answered.
const Cancelled Code = "cancelled"

// statusCancelled is what nginx made usual for a client that left.
const statusCancelled = 499

// errLeft is what an emit fails with when nobody takes the chunks any more.
var errLeft = errors.New("the caller left")

// statuses are the status_code of every code but those that carry the agent's own
// (contract §5.2, §5.4).
var statuses = map[Code]int{
	ConversationNotFound: 404,
	IntegrationMismatch:  403,
	MessageNotFound:      404,
	AgentNotFound:        404,
	AgentNotAllowed:      403,
	QuotaExceeded:        429,
	DepthExceeded:        508,
	UnsafeURL:            400,
	CredentialMissing:    503,

	AgentTimeout:          408,
	AgentUnreachable:      500,
	AgentResponseTooLarge: 502,
	AgentA2AError:         502,
	Cancelled:             statusCancelled,
}

var texts = map[Code]string{
	ConversationNotFound: "Conversation not found",
	IntegrationMismatch:  "The conversation does not belong to the integration of the API key",
	MessageNotFound:      "Message not found in the conversation",
	AgentNotFound:        "Agent not found",
	AgentNotAllowed:      "The integration may not call this agent",
	QuotaExceeded:        "The invocation quota of the integration is used up",
	DepthExceeded:        "Too many invocations inside one another",
	UnsafeURL:            "The endpoint of the agent is not allowed",
	CredentialMissing:    "No usable credential is stored for the agent",

	AgentInvalidJSON:      "Agent did not answer with JSON",
	AgentError:            "Agent answered with an error",
	AgentTimeout:          "Agent did not answer in time",
	AgentUnreachable:      "Agent could not be reached",
	AgentResponseTooLarge: "The answer of the agent is too large",
	AgentA2AError:         "Agent reported an error or a failed task",
	Cancelled:             "The caller left before the agent had answered",
}

// Text is what to tell people; "" for no code.
func (c Code) Text() string { return texts[c] }

// failure is the result of a code that has its own status.
func failure(c Code) Result { return Result{Code: c, Status: statuses[c]} }

// resultOf is the mapping of contract §5.4: what an agent answered, or what the attempt
// died of, as success, data, code and status.
//
// What is not one of the errors of Target is agent_unreachable too: no call that was
// begun ends without a result.
func resultOf(r Reply, err error) Result {
	switch {
	case err == nil:
	case fault.HasCode(err, string(UnsafeURL)):
		return failure(UnsafeURL)
	case errors.Is(err, errLeft), errors.Is(err, context.Canceled):
		return failure(Cancelled)
	case errors.Is(err, ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		return failure(AgentTimeout)
	case errors.Is(err, ErrTooLarge):
		return failure(AgentResponseTooLarge)
	case errors.Is(err, ErrA2A):
		return failure(AgentA2AError)
	default:
		return failure(AgentUnreachable)
	}
	if r.Status < 200 || r.Status > 299 {
		return Result{Code: AgentError, Status: r.Status}
	}
	if len(r.Body) == 0 {
		return Result{Success: true, Status: r.Status, Data: emptyObject}
	}
	value, err := compact(r.Body)
	if err != nil {
		return Result{Code: AgentInvalidJSON, Status: r.Status}
	}
	if value[0] != '{' {
		value = wrap("result", value)
	}
	return Result{Success: true, Status: r.Status, Data: value}
}

// reached tells whether an attempt that ended so reached the agent: only then does it
// count in the agent's figures. An agent that is not there has no quality; and a caller
// that leaves says nothing about it.
func reached(c Code) bool {
	switch c {
	case AgentUnreachable, UnsafeURL, Cancelled:
		return false
	}
	return true
}

// worthAnother tells whether contract §5.4 lets the attempt be made again.
func worthAnother(r Result) bool {
	return r.Code == AgentUnreachable || r.Code == AgentError && (r.Status >= 500 || r.Status == 408)
}

// refusal tells whether a code is one of contract §5.2: the agent was not asked.
func (c Code) refusal() bool {
	switch c {
	case ConversationNotFound, IntegrationMismatch, MessageNotFound, AgentNotFound, AgentNotAllowed, QuotaExceeded, DepthExceeded, UnsafeURL, CredentialMissing:
		return true
	}
	return false
}
