package wisdom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// agentSender is how package broker reaches agents.
type agentSender struct{ client *egress.Client }

var _ broker.Sender = agentSender{}

// anyTime is longer than any call: the contexts of the broker bound them.
const anyTime = time.Hour

func (s agentSender) request(o broker.Outgoing) egress.Request {
	r := post(o.URL, o.Header, o.Body, o.MaxBody)
	r.Idle = o.Idle
	return r
}

func post(url string, header map[string]string, body []byte, maxBody int64) egress.Request {
	lines := make(http.Header, len(header))
	for name, value := range header {
		lines[name] = []string{value}
	}
	return egress.Request{Method: http.MethodPost, URL: url, Header: lines, Body: body, Timeout: anyTime, MaxBody: maxBody}
}

// Send implements broker.Sender.
func (s agentSender) Send(ctx context.Context, o broker.Outgoing) (int, []byte, error) {
	response, err := s.client.Do(ctx, s.request(o))
	if err != nil {
		return 0, nil, unsent(err)
	}
	return response.Status, response.Body, nil
}

// pieceSize is the most of a stream that is handed over at once, in bytes.
const pieceSize = 16 << 10

// Stream implements broker.Sender.
func (s agentSender) Stream(ctx context.Context, o broker.Outgoing, take func(piece []byte) error) (int, []byte, error) {
	stream, err := s.client.Open(ctx, s.request(o))
	if err != nil {
		return 0, nil, unsent(err)
	}
	defer stream.Body.Close() // it was only read
	if stream.Status < 200 || stream.Status > 299 {
		body, err := io.ReadAll(stream.Body)
		return stream.Status, body, unsent(err)
	}
	piece := make([]byte, pieceSize)
	for {
		n, err := stream.Body.Read(piece)
		if n > 0 {
			if err := take(piece[:n]); err != nil {
				return stream.Status, nil, err
			}
		}
		if errors.Is(err, io.EOF) {
			return stream.Status, nil, nil
		}
		if err != nil {
			return stream.Status, nil, unsent(err)
		}
	}
}

// unsent says in the words of the broker what a request died of.
func unsent(err error) error {
	kind := broker.ErrUnreachable
	switch {
	case err == nil:
		return nil
	case errors.Is(err, egress.ErrDeadline):
		kind = broker.ErrDeadline
	case errors.Is(err, egress.ErrTooLarge), errors.Is(err, egress.ErrHeaderTooLarge):
		kind = broker.ErrTooLarge
	case errors.Is(err, egress.ErrUnreachable):
	default:
		return fmt.Errorf("ask an agent: %w", err) // a refusal by the rules, or the caller left
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// networkSender is how package network reaches the participants of networks.
type networkSender struct {
	client *egress.Client
	now    clock.Now
}

var _ network.Sender = networkSender{}

// What is read of the body of an answer that is only its status, and how long is waited for
// it: so that the connection can be used again.
const (
	spareBytes = 16 << 10
	spareTime  = 100 * time.Millisecond
	// anySize is larger than any body, which then is cut off rather than refused.
	anySize = math.MaxInt64 / 4
)

// Send implements network.Sender.
func (s networkSender) Send(ctx context.Context, o network.Outgoing) (network.Answer, error) {
	if o.MaxBody == 0 {
		return s.status(ctx, o)
	}
	response, err := s.client.Do(ctx, post(o.URL, o.Header, o.Body, o.MaxBody))
	if err != nil {
		return network.Answer{}, undelivered(unsent(err))
	}
	return network.Answer{Status: response.Status, Body: response.Body, RetryAfter: s.retryAfter(response.Header)}, nil
}

func (s networkSender) status(ctx context.Context, o network.Outgoing) (network.Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.client.Open(ctx, post(o.URL, o.Header, o.Body, anySize))
	if err != nil {
		return network.Answer{}, undelivered(unsent(err))
	}
	defer stream.Body.Close() // it was only read
	defer time.AfterFunc(spareTime, cancel).Stop()
	_, _ = io.CopyN(io.Discard, stream.Body, spareBytes)
	return network.Answer{Status: stream.Status, RetryAfter: s.retryAfter(stream.Header)}, nil
}

// retryAfter reads the header of that name: seconds, or a date (RFC 9110 §10.2.3).
func (s networkSender) retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(s.now()))
	}
	return 0
}

// undelivered says in the words of networks what a request died of.
func undelivered(err error) error {
	kind := network.ErrUnreachable
	switch {
	case errors.Is(err, broker.ErrDeadline):
		kind = network.ErrDeadline
	case errors.Is(err, broker.ErrTooLarge):
		kind = network.ErrTooLarge
	case errors.Is(err, broker.ErrA2A):
		kind = network.ErrRefused
	case errors.Is(err, broker.ErrUnreachable):
	default:
		return err // a refusal by the rules, or the caller left
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// networkA2A is how package network reaches agents that were imported from a card: with
// the target of the broker.
type networkA2A struct{ target broker.A2A }

var _ network.A2A = networkA2A{}

// Send implements network.A2A. The message has the id of the delivery, so that an agent can
// tell a second attempt from a second message.
func (a networkA2A) Send(ctx context.Context, to registry.Callee, message id.NetworkMessage, requestID string, payload []byte) (network.Answer, error) {
	reply, err := a.target.Send(ctx, broker.Call{ID: id.Invocation(message), RequestID: requestID, Agent: to.Agent, Credential: to.Credential, Input: payload}, nil)
	if err != nil {
		return network.Answer{}, undelivered(err)
	}
	if reply.Status >= 200 && reply.Status <= 299 && !jsontext.Value(reply.Body).IsValid() {
		return network.Answer{}, fmt.Errorf("%w: status %d without JSON", network.ErrRefused, reply.Status)
	}
	return network.Answer{Status: reply.Status, Body: reply.Body}, nil
}
