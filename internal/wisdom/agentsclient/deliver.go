package agentsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

var _ broker.Host = (*Client)(nil)

// delivery is the body of a delivery (contract §10.7).
type delivery struct {
	Kind   string         `json:"kind"`
	ID     id.Invocation  `json:"id"`
	Input  jsontext.Value `json:"input"`
	Caller id.User        `json:"caller_user_id"`
	Depth  int            `json:"depth"`
}

// deliveries may take as long as a chat: the entity thinks about what it is asked.
var deliveries = route{http.MethodPost, "/entities/{name}/deliveries", wantObject, true}

// Deliver implements broker.Host. The request is sent at most once, and waits for its
// answer no longer than a chat does, whatever the deadline of ctx. A repeated id is
// answered by the host with what it answered first.
func (c *Client) Deliver(ctx context.Context, d broker.Delivery) (status int, body []byte, err error) {
	text, err := jsonv2.Marshal(delivery{Kind: "invoke", ID: d.ID, Input: d.Input, Caller: d.Caller, Depth: d.Depth})
	if err != nil {
		return 0, nil, fmt.Errorf("write a delivery: %w", err)
	}
	x, err := c.sendAs(ctx, &deliveries, &personal.Call{User: d.Owner, Name: d.Entity, RequestID: d.RequestID, Body: text})
	if err != nil {
		return 0, nil, undelivered(ctx, err)
	}
	switch status = x.StatusCode; {
	case status >= 200 && status <= 299:
		body, err = readContent(x)
		if err != nil {
			return 0, nil, undelivered(ctx, err)
		}
		return status, body, nil
	case status >= 400 && status <= 499 && status != http.StatusUnauthorized:
		_, _ = x.body(maxRefusal) // only so that the connection can be used again
		return status, nil, nil
	}
	x.discard()
	switch status {
	case http.StatusUnauthorized:
		return 0, nil, undelivered(ctx, errOurKey)
	case http.StatusGatewayTimeout:
		return 0, nil, fmt.Errorf("deliver to an entity: %w: its turn was too long", broker.ErrDeadline)
	}
	return 0, nil, undelivered(ctx, fmt.Errorf("status %d", status))
}

// readContent returns a body that is an object with the member content, a string or null.
func readContent(x *exchange) ([]byte, error) {
	a, err := readAnswer(x, wantObject)
	if err != nil {
		return nil, err
	}
	lawful := false
	err = members(a.JSON, func(name, value jsontext.Value) {
		if string(name) == "content" {
			lawful = value.Kind() == '"' || value.Kind() == 'n'
		}
	})
	if err == nil && !lawful {
		err = errShape
	}
	return a.JSON, err
}

// undelivered types what a delivery died of.
func undelivered(ctx context.Context, err error) error {
	kind := broker.ErrUnreachable
	var network net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("deliver to an entity: %w", ctx.Err()) // the caller left
	case errors.Is(err, errTooLarge):
		kind = broker.ErrTooLarge
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout() && !errors.Is(err, personal.ErrNothingDone):
		kind = broker.ErrDeadline
	}
	return fmt.Errorf("deliver to an entity: %w: %w", kind, err)
}
