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
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

var (
	_ broker.Host  = (*Client)(nil)
	_ network.Host = (*Client)(nil)
)

// delivery is the body of a delivery (contract §10.7).
type delivery struct {
	Kind    string         `json:"kind"`
	ID      string         `json:"id"`
	Input   jsontext.Value `json:"input,omitzero"`   // of an invocation
	Payload jsontext.Value `json:"payload,omitzero"` // of something said in a network
	Caller  id.User        `json:"caller_user_id"`
	Depth   int            `json:"depth"`
}

// deliveries may take as long as a chat: the entity thinks about what it is asked.
var deliveries = route{http.MethodPost, "/entities/{name}/deliveries", wantObject, true}

// Deliver implements broker.Host. The request is sent at most once, and waits for its
// answer no longer than a chat does, whatever the deadline of ctx. A repeated id is
// answered by the host with what it answered first.
func (c *Client) Deliver(ctx context.Context, d broker.Delivery) (status int, body []byte, err error) {
	return c.deliver(ctx, personal.Call{User: d.Owner, Name: d.Entity, RequestID: d.RequestID},
		delivery{Kind: "invoke", ID: string(d.ID), Input: d.Input, Caller: d.Caller, Depth: d.Depth})
}

// DeliverMessage implements network.Host as Deliver does broker.Host: a refusal of the host
// is an answer with its 4xx status and no body.
func (c *Client) DeliverMessage(ctx context.Context, d network.HostDelivery) (network.Answer, error) {
	status, body, err := c.deliver(ctx, personal.Call{User: d.Owner, Name: d.Entity, RequestID: d.RequestID},
		delivery{Kind: d.Kind, ID: string(d.ID), Payload: d.Payload, Caller: d.Caller, Depth: d.Depth})
	switch {
	case err == nil:
		return network.Answer{Status: status, Body: body}, nil
	case errors.Is(err, broker.ErrDeadline):
		err = fmt.Errorf("%w: %w", network.ErrDeadline, err)
	case errors.Is(err, broker.ErrTooLarge):
		err = fmt.Errorf("%w: %w", network.ErrTooLarge, err)
	case errors.Is(err, broker.ErrUnreachable):
		err = fmt.Errorf("%w: %w", network.ErrUnreachable, err)
	}
	return network.Answer{}, err
}

func (c *Client) deliver(ctx context.Context, call personal.Call, d delivery) (status int, body []byte, err error) {
	if call.Body, err = jsonv2.Marshal(d); err != nil {
		return 0, nil, fmt.Errorf("write a delivery: %w", err)
	}
	x, err := c.sendAs(ctx, &deliveries, &call)
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
