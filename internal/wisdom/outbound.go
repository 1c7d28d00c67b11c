package wisdom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
)

// agentSender is how package broker reaches agents.
type agentSender struct{ client *egress.Client }

var _ broker.Sender = agentSender{}

// anyTime is longer than any call: the contexts of the broker bound them.
const anyTime = time.Hour

func (s agentSender) request(o broker.Outgoing) egress.Request {
	header := make(http.Header, len(o.Header))
	for name, value := range o.Header {
		header[name] = []string{value}
	}
	return egress.Request{Method: http.MethodPost, URL: o.URL, Header: header, Body: o.Body, Timeout: anyTime, Idle: o.Idle, MaxBody: o.MaxBody}
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
