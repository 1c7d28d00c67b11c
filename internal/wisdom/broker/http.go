package broker

import (
	"context"
	"fmt"
	"strings"
)

// maxAnswer is the most that an agent may answer, in bytes after decompression
// (contract §5.3).
const maxAnswer = 1 << 20

// HTTP sends calls to agents that take the bare input and answer with JSON (contract
// §5.3).
type HTTP struct{ sender Sender }

var _ Target = HTTP{}

// NewHTTP returns the target.
func NewHTTP(sender Sender) HTTP { return HTTP{sender} }

// Send implements Target. Nothing is emitted.
func (t HTTP) Send(ctx context.Context, c Call, _ func([]byte) error) (Reply, error) {
	status, body, err := t.sender.Send(ctx, Outgoing{URL: endpoint(c), Header: c.Header("application/json"), Body: c.Input, MaxBody: maxAnswer})
	if err != nil {
		return Reply{}, fmt.Errorf("ask an agent: %w", err)
	}
	return Reply{Status: status, Body: body}, nil
}

func endpoint(c Call) string {
	if c.Agent.Endpoint == nil {
		return "" // which no sender takes
	}
	return *c.Agent.Endpoint
}

// Header is everything that an agent is sent besides the body: nothing about the caller,
// and at most one credential (contract §5.3).
func (c Call) Header(accept string) map[string]string {
	header := map[string]string{
		"Content-Type":    "application/json",
		"Accept":          accept,
		"User-Agent":      "Intuno-Broker/1.0",
		"X-Request-ID":    c.RequestID,
		"Idempotency-Key": string(c.ID),
	}
	if c.Credential == nil {
		return header
	}
	name, value := c.Credential.Line()
	for ours := range header {
		if strings.EqualFold(ours, name) {
			delete(header, ours) // one line of a name: the owner chose it for the credential
		}
	}
	header[name] = value
	return header
}
