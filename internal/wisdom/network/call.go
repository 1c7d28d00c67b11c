package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/underway"
)

const (
	// callMargin is what a receiver has less than the whole call: what comes of it must be
	// stored in that time.
	callMargin = time.Second
	// callGrace is how long after its end a pending call counts as one of a process that
	// died: clocks differ.
	callGrace = 10 * time.Second
	// callsAtOnce is how many calls of one participant this process has under way. The
	// others wait for one of them to end, within their own deadline: a receiver that hangs
	// must not use up the connections to a host on which others live too.
	callsAtOnce = 64
	// maxContent is the longest content of a message, in characters (contract §1.2).
	maxContent = 65536
	// maxJSONDepth is the deepest nesting that counts as JSON: what receivers answer is held
	// to the rules for what clients send (contract §1.2).
	maxJSONDepth = 64
)

// CallResult is the answer to a call.
type CallResult struct {
	Message  id.NetworkMessage // outgoing
	Response []byte            // JSON
}

// Call says something and waits for the answer (contract §6.5). It goes on when ctx ends,
// to its own deadline, so that what the receiver has done is recorded. Faults: those of
// Send, recipient_not_callable (400), target_unreachable (502), call_timeout (504).
func (s *Service) Call(ctx context.Context, p principal.Principal, network id.Network, say Saying) (CallResult, error) {
	began := s.config.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.CallTimeout)
	defer cancel()
	result, err := s.call(ctx, p, network, say, began)
	if err != nil && ctx.Err() != nil && fault.As(err) == nil {
		err = callTimeout().Because(err) // it was our own store that took too long
	}
	return result, err
}

func (s *Service) call(ctx context.Context, p principal.Principal, network id.Network, say Saying, began time.Time) (CallResult, error) {
	if err := s.config.Platform.Running(ctx); err != nil {
		return CallResult{}, err
	}
	say.InReplyTo = ""
	c := parcel{Actor: p.Actor(), Request: p.Request}
	var t target
	var err error
	c.Message, err = s.post(ctx, p.User, network, func(ctx context.Context, state *State) (Draft, error) {
		_, recipient, err := s.check(ctx, p, state, say)
		if err != nil {
			return Draft{}, err
		}
		if t, err = s.callee(ctx, &recipient); err != nil {
			return Draft{}, err
		}
		d := s.draft(state, say, Call)
		if c.Keys, err = s.openSecrets(recipient, d.Created); err != nil {
			return Draft{}, err
		}
		c.State, c.To = *state, &recipient
		d.Depth, d.Actor, d.Request = p.Depth, c.Actor, c.Request
		d.CallUntil = began.Add(s.config.CallTimeout + callGrace)
		return d, nil
	})
	if err != nil {
		return CallResult{}, err
	}
	r := s.attempt(ctx, t, c)
	if s.config.Ended != nil {
		s.config.Ended(Call, r.ok())
	}
	if !r.ok() {
		return CallResult{}, s.callFailed(ctx, &c, r)
	}
	return s.callAnswered(ctx, &c, r)
}

// callee finds where a participant is called. Fault: recipient_not_callable (400).
func (s *Service) callee(ctx context.Context, recipient *Participant) (target, error) {
	t, err := s.aim(ctx, recipient)
	if err == nil && !t.callable() {
		err = fault.New(fault.BadRequest, "recipient_not_callable", "The recipient has neither a callback nor an agent that can be called")
	}
	return t, err
}

// attempt is the one attempt of a call.
func (s *Service) attempt(ctx context.Context, t target, c parcel) sent {
	end, _ := ctx.Deadline()
	ctx, left := s.underway.Enter(ctx)
	defer left()
	ctx, cancel := context.WithDeadline(ctx, end.Add(-min(callMargin, s.config.CallTimeout/5)))
	defer cancel()
	release, ok := s.slots.Take(ctx, c.Recipient)
	if !ok {
		return sent{err: ErrDeadline} // nobody was asked: nothing to be logged
	}
	defer release()
	r := s.send(ctx, t, c)
	if !r.ok() && errors.Is(context.Cause(ctx), underway.ErrCut) {
		r.Answer, r.err = Answer{}, ErrDeadline
		if r.log != nil { // it says nothing about the agent
			f := r.fail()
			r.log.Status, r.log.Code, r.log.Reached = f.status, f.code, false
		}
	}
	return r
}

// Cut ends every call that is under way, and those that begin from now on, as if its time
// were over: the process is about to stop, and their callers and the log shall still hear
// of it. It does not wait.
func (s *Service) Cut() { s.underway.Cut() }

// callFailed records that nothing usable came back. What cannot be recorded now has
// failed when its time is over.
func (s *Service) callFailed(ctx context.Context, c *parcel, r sent) error {
	err := errors.Join(r.err, s.config.Store.FailCall(ctx, c.Network, c.ID, s.config.Now(), r.log))
	switch {
	case errors.Is(r.err, ErrDeadline), errors.Is(r.err, context.DeadlineExceeded):
		return callTimeout().Because(err)
	case r.ours():
		return fmt.Errorf("call a participant: %w", err)
	}
	return fault.New(fault.Upstream, "target_unreachable", "The recipient could not be reached, or did not answer with success").Because(err)
}

func callTimeout() *fault.Error {
	return fault.New(fault.Timeout, "call_timeout", "The recipient did not answer in time")
}

// callAnswered stores the answer as a message of the recipient.
func (s *Service) callAnswered(ctx context.Context, c *parcel, r sent) (CallResult, error) {
	response, text := responseOf(r.Body)
	now := s.config.Now()
	_, err := s.config.Store.Post(ctx, Draft{Answers: c.ID, Actor: c.Actor, Request: c.Request, Log: r.log, Message: Message{
		ID: id.New[id.NetworkMessage](), Network: c.Network, Sender: c.Recipient, Recipient: c.Sender, Channel: Call,
		Content: storable(text), Metadata: []byte(`{"in_reply_to":"` + string(c.ID) + `"}`), InReplyTo: c.ID,
		Status: Delivered, Depth: c.Depth + 1, Created: now, Updated: now}})
	if fault.Is(err, fault.NotFound) { // it was deleted meanwhile; the receiver was called all the same
		err = errors.Join(err, s.config.Store.FailCall(ctx, c.Network, c.ID, now, r.log))
	}
	if err != nil {
		return CallResult{}, missing("Network", "store the answer to a call", err)
	}
	return CallResult{c.ID, response}, nil
}

// responseOf is what a receiver answered: as JSON, and as the content of a message
// (contract §6.5).
func responseOf(body []byte) (response []byte, text string) {
	if len(bytes.TrimSpace(body)) == 0 {
		return []byte("null"), "null"
	}
	if value, err := compact(body); err == nil {
		return value, string(value)
	}
	text = strings.ToValidUTF8(string(body), "\uFFFD")
	response, _ = jsontext.AppendQuote([]byte(`{"raw_response":`), text) // fails only for what is not UTF-8
	return append(response, '}'), text
}

var (
	errDeepJSON = errors.New("nested deeper than 64 levels")
	errTrailing = errors.New("data after the value")
)

// compact is the one JSON value that text is, without white space and otherwise as it was
// written: no number is rounded. What contract §1.2 does not take for well-formed is an
// error.
func compact(text []byte) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	for {
		if _, err := d.ReadToken(); err != nil {
			return nil, fmt.Errorf("read JSON: %w", err)
		}
		if d.StackDepth() > maxJSONDepth {
			return nil, errDeepJSON
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	v := jsontext.Value(bytes.Clone(text))
	if err := v.Compact(); err != nil {
		return nil, fmt.Errorf("compact JSON: %w", err)
	}
	return v, nil
}

// storable is what of a text can be kept as the content of a message: no U+0000, which
// PostgreSQL does not take, and at most maxContent characters. text is UTF-8.
func storable(text string) string {
	text = strings.ReplaceAll(text, "\x00", "\uFFFD")
	if len(text) <= maxContent || utf8.RuneCountInString(text) <= maxContent {
		return text
	}
	n := 0
	for i := range text {
		if n == maxContent {
			return text[:i]
		}
		n++
	}
	return text
}
