package broker

import (
	"context"
	"fmt"

	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Sink takes the events of a stream, in the order of contract §5.5. An error means that
// nobody listens any more.
type Sink interface {
	Chunk(value []byte) error // JSON on one line
	Result(Result) error      // of an agent that does not stream, and succeeded
	Fail(Result) error        // what is refused or failed
	Done(Result) error        // once, last
}

// Streaming is an invocation whose answer is wanted as it comes. Run must be called.
type Streaming struct {
	service *Service
	attempt attempt
}

// Stream is Invoke for callers that want the answer as it comes: it does everything that
// comes before the call. Refusals are told by Run.
//
// Faults: 503 platform_halted.
func (s *Service) Stream(ctx context.Context, p principal.Principal, r Request) (*Streaming, error) {
	a, err := s.begin(ctx, p, r, KindStream)
	if err != nil {
		return nil, err
	}
	return &Streaming{s, a}, nil
}

// Run calls the agent and tells out what comes of it. When ctx ends or out takes nothing
// more, the call is cancelled; that is logged like any other end, and is the error.
func (s *Streaming) Run(ctx context.Context, out Sink) error {
	if refused := s.attempt.refused; refused != nil {
		return ended(out, *refused)
	}
	var emit func([]byte) error
	if s.attempt.streams() {
		emit = func(chunk []byte) error {
			if err := out.Chunk(chunk); err != nil {
				return fmt.Errorf("%w: %w", errLeft, err)
			}
			return nil
		}
	}
	result, err := s.service.run(ctx, s.attempt, s.service.target(&s.attempt, emit != nil), emit)
	switch {
	case err != nil:
		return err
	case result.Code == Cancelled:
		return errLeft
	case result.Success && emit == nil:
		if err := out.Result(result); err != nil {
			return fmt.Errorf("hand a result over: %w", err)
		}
	}
	return ended(out, result)
}

// streams tells whether the agent's answer comes in chunks. Imported agents and hosted
// entities answer as a whole, whatever their card says.
func (a *attempt) streams() bool {
	return a.agent.Streaming && a.agent.HostedEntity == nil && a.agent.Dialect == ""
}

// ended tells the failure, if it is one, and the end.
func ended(out Sink, result Result) error {
	if !result.Success {
		if err := out.Fail(result); err != nil {
			return fmt.Errorf("hand a failure over: %w", err)
		}
	}
	if err := out.Done(result); err != nil {
		return fmt.Errorf("end a stream: %w", err)
	}
	return nil
}
