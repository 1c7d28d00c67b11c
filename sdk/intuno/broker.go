package intuno

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/IntunoAI/intuno-go/api"
)

// Object is the JSON object of v, such as a map or a struct, for members of type
// api.Object.
func Object(v any) (api.Object, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("intuno: %w: %w", ErrArgument, err)
	}
	if len(text) == 0 || text[0] != '{' {
		return nil, fmt.Errorf("intuno: %w: not a JSON object", ErrArgument)
	}
	return text, nil
}

// Invoke asks an agent and waits for its answer, at most 25 s. If the invocation does not
// succeed, the error is an *InvokeError, and the response is returned too.
func (c *Client) Invoke(ctx context.Context, invocation api.InvokeRequest) (api.InvokeResponse, error) {
	response, err := call[api.InvokeResponse](ctx, c, newRequest(http.MethodPost, "/broker/invoke").send(invocation))
	if err == nil && !response.Success {
		err = &InvokeError{response}
	}
	return response, err
}

// LogQuery selects invocations.
type LogQuery struct {
	AgentID  string // id, not slug
	From, To time.Time
	Status   string // "success", "error" or "timeout"
	Page            // Limit 1 to 100; 0: 50
}

// Logs lists the invocations that you made or that reached your agents, newest first.
func (c *Client) Logs(ctx context.Context, query LogQuery) ([]api.InvocationLog, error) {
	q := query.query()
	text(q, "agent_id", query.AgentID)
	moment(q, "from_date", query.From)
	moment(q, "to_date", query.To)
	text(q, "status", query.Status)
	return call[[]api.InvocationLog](ctx, c, newRequest(http.MethodGet, "/broker/logs").with(q))
}

// AllLogs walks the pages of Logs.
func (c *Client) AllLogs(ctx context.Context, query LogQuery) iter.Seq2[api.InvocationLog, error] {
	return pages(query.Page, 100, func(p Page) ([]api.InvocationLog, error) {
		query.Page = p
		return c.Logs(ctx, query)
	})
}

// AgentLogs lists your invocations of an agent, by its id; Limit is 1 to 100.
func (c *Client) AgentLogs(ctx context.Context, id string, page Page) ([]api.InvocationLog, error) {
	return call[[]api.InvocationLog](ctx, c, newRequest(http.MethodGet, "/broker/logs/agent/{agent_uuid}", id).with(page.query()))
}

// AllAgentLogs walks the pages of AgentLogs.
func (c *Client) AllAgentLogs(ctx context.Context, id string, page Page) iter.Seq2[api.InvocationLog, error] {
	return pages(page, 100, func(p Page) ([]api.InvocationLog, error) { return c.AgentLogs(ctx, id, p) })
}

// InvokeStream asks an agent and returns the events of the invocation, of which
// api.EventDone is the last. It is never resumed: an invocation that broke off is not asked
// again. ctx holds for the whole stream. Services cannot use it.
func (c *Client) InvokeStream(ctx context.Context, invocation api.InvokeRequest) (*Stream, error) {
	return c.stream(ctx, newRequest(http.MethodPost, "/broker/invoke/stream").send(invocation), invokeEvent)
}

// invokeEvent reads an event of an invocation.
func invokeEvent(raw rawEvent) (Event, bool, error) {
	e := Event{Name: raw.name}
	var err error
	switch raw.name {
	case api.EventResult:
		e.Data, err = decodeAs[api.InvokeResponse](raw)
	case api.EventInvokeError:
		e.Data, err = decodeAs[api.InvokeError](raw)
	case api.EventDone:
		e.Data, err = decodeAs[api.InvokeDone](raw)
	default:
		e.Data, err = decodeAs[json.RawMessage](raw)
	}
	return e, raw.name == api.EventDone, err
}
