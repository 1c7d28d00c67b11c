package intuno

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/IntunoAI/intuno-go/api"
)

// The methods of this file need a token: neither API keys nor service keys reach entities.

// CreateEntity makes an entity, a private assistant. If the plan allows no more, the error
// has the code entity_quota_exceeded and the members limit and used.
func (c *Client) CreateEntity(ctx context.Context, entity api.NewEntity, opts ...CallOption) (api.Entity, error) {
	return call[api.Entity](ctx, c, newRequest(http.MethodPost, "/personal/entities").send(entity).apply(opts))
}

// Entities lists your entities, oldest first.
func (c *Client) Entities(ctx context.Context) ([]api.Entity, error) {
	return call[[]api.Entity](ctx, c, newRequest(http.MethodGet, "/personal/entities"))
}

// Entity reads an entity.
func (c *Client) Entity(ctx context.Context, name string) (api.Entity, error) {
	return call[api.Entity](ctx, c, newRequest(http.MethodGet, "/personal/entities/{name}", name))
}

// UpdateEntity changes an entity. A change of nothing is refused.
func (c *Client) UpdateEntity(ctx context.Context, name string, change api.EntityPatch) (api.Entity, error) {
	return call[api.Entity](ctx, c, newRequest(http.MethodPatch, "/personal/entities/{name}", name).send(change))
}

// DeleteEntity deletes an entity with all it knows.
func (c *Client) DeleteEntity(ctx context.Context, name string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/personal/entities/{name}", name))
}

// PauseEntity pauses an entity from its next message on. The reason may be empty.
func (c *Client) PauseEntity(ctx context.Context, name, reason string) (api.Entity, error) {
	return call[api.Entity](ctx, c, newRequest(http.MethodPost, "/personal/entities/{name}/pause", name).send(api.Pause{Reason: reason}))
}

// ResumeEntity ends a pause.
func (c *Client) ResumeEntity(ctx context.Context, name string) (api.Entity, error) {
	return call[api.Entity](ctx, c, newRequest(http.MethodPost, "/personal/entities/{name}/resume", name))
}

const messagesRoute = "/personal/entities/{name}/messages"

// SendMessage says something to an entity and waits for the end of its turn, about a
// minute at most. The turn goes on if ctx ends.
func (c *Client) SendMessage(ctx context.Context, name, content string, opts ...CallOption) (api.ChatAnswer, error) {
	r := newRequest(http.MethodPost, messagesRoute, name).send(api.NewMessage{Content: content}).apply(opts)
	r.turn = true
	return call[api.ChatAnswer](ctx, c, r)
}

// StreamMessage says something to an entity and returns the events of its turn. A
// connection that breaks after the first event is replaced, and the stream goes on where
// it was. ctx holds for the whole stream.
func (c *Client) StreamMessage(ctx context.Context, name, content string, opts ...CallOption) (*Stream, error) {
	r := newRequest(http.MethodPost, messagesRoute, name).send(api.NewMessage{Content: content}).apply(opts)
	r.turn = true
	return c.turn(ctx, r, name, "")
}

// FollowMessage returns the events of the turn of a message, from behind event number
// after; 0 means all. Several readers may follow the same turn. An hour after its end only
// its last event is left.
func (c *Client) FollowMessage(ctx context.Context, name, message string, after int64) (*Stream, error) {
	r := resumeAt(name, message, after)
	s, err := c.turn(ctx, r, name, message)
	if err == nil {
		s.last = after
	}
	return s, err
}

// turn returns the events of a turn, which is the one of message if that is known.
func (c *Client) turn(ctx context.Context, r *request, name, message string) (*Stream, error) {
	s, err := c.stream(ctx, r, func(raw rawEvent) (Event, bool, error) {
		e, err := turnEvent(raw)
		if started, ok := e.Data.(api.MessageStarted); ok && message == "" {
			message = started.MessageID
		}
		return e, raw.name == api.EventReplyCompleted || raw.name == api.EventError, err
	})
	if err != nil {
		return nil, err
	}
	s.resume = func(last int64) *request {
		if message == "" {
			return nil // it may be that the turn never began
		}
		if again := resumeAt(name, message, last); again.fault == nil {
			return again
		}
		return nil
	}
	return s, nil
}

// turnEvent reads an event of a turn.
func turnEvent(raw rawEvent) (Event, error) {
	e := Event{ID: eventNumber(raw.id), Name: raw.name}
	var err error
	switch raw.name {
	case api.EventMessageStarted:
		e.Data, err = decodeAs[api.MessageStarted](raw)
	case api.EventReplyDelta:
		e.Data, err = decodeAs[api.ReplyDelta](raw)
	case api.EventToolCall:
		e.Data, err = decodeAs[api.ToolCallEvent](raw)
	case api.EventToolResult:
		e.Data, err = decodeAs[api.ToolResultEvent](raw)
	case api.EventReplyCompleted:
		e.Data, err = decodeAs[api.ChatAnswer](raw)
	case api.EventError:
		e.Data, err = decodeAs[api.TurnError](raw)
	default:
		e.Data, err = decodeAs[json.RawMessage](raw)
	}
	return e, err
}

// ChatQuery selects messages of an entity's history.
type ChatQuery struct {
	Limit  int    // 1 to 200; 0: 50
	Before string // id of a message; empty: the newest page
}

// ChatMessages reads a page of the history, oldest first within the page. It may be shorter
// than Limit; an empty one is the end.
func (c *Client) ChatMessages(ctx context.Context, name string, query ChatQuery) ([]api.ChatMessage, error) {
	q := url.Values{}
	number(q, "limit", query.Limit)
	text(q, "before", query.Before)
	return call[[]api.ChatMessage](ctx, c, newRequest(http.MethodGet, messagesRoute, name).with(q))
}

// AllChatMessages walks the history from the newest message, or from before query.Before,
// to the oldest.
func (c *Client) AllChatMessages(ctx context.Context, name string, query ChatQuery) iter.Seq2[api.ChatMessage, error] {
	if query.Limit == 0 {
		query.Limit = 200
	}
	return follow(query.Before, func(before string) ([]api.ChatMessage, string, error) {
		query := query
		query.Before = before
		page, err := c.ChatMessages(ctx, name, query)
		if err != nil || len(page) == 0 {
			return nil, "", err
		}
		oldest := page[0].ID
		for i, j := 0, len(page)-1; i < j; i, j = i+1, j-1 {
			page[i], page[j] = page[j], page[i]
		}
		return page, oldest, nil
	})
}

const memoriesRoute = "/personal/entities/{name}/memories"

// MemoryQuery selects memories.
type MemoryQuery struct {
	Prefix string // of the key
	Limit  int    // 1 to 200; 0: 100
	After  string // a key; only those behind it
}

// Memories lists memories by key. A page may be shorter than Limit; an empty one is the
// end.
func (c *Client) Memories(ctx context.Context, name string, query MemoryQuery) ([]api.Memory, error) {
	q := url.Values{}
	number(q, "limit", query.Limit)
	text(q, "prefix", query.Prefix)
	text(q, "after", query.After)
	return call[[]api.Memory](ctx, c, newRequest(http.MethodGet, memoriesRoute, name).with(q))
}

// AllMemories walks the memories by key.
func (c *Client) AllMemories(ctx context.Context, name string, query MemoryQuery) iter.Seq2[api.Memory, error] {
	if query.Limit == 0 {
		query.Limit = 200
	}
	return follow(query.After, func(after string) ([]api.Memory, string, error) {
		query := query
		query.After = after
		page, err := c.Memories(ctx, name, query)
		if err != nil || len(page) == 0 {
			return nil, "", err
		}
		return page, page[len(page)-1].Key, nil
	})
}

// Memory reads a memory.
func (c *Client) Memory(ctx context.Context, name, key string) (api.Memory, error) {
	return call[api.Memory](ctx, c, newRequest(http.MethodGet, memoriesRoute+"/{key}", name, key))
}

// PutMemory sets a memory.
func (c *Client) PutMemory(ctx context.Context, name, key, value string) (api.Memory, error) {
	return call[api.Memory](ctx, c, newRequest(http.MethodPut, memoriesRoute+"/{key}", name, key).send(api.MemoryValue{Value: value}))
}

// DeleteMemory deletes a memory.
func (c *Client) DeleteMemory(ctx context.Context, name, key string) error {
	return c.do(ctx, newRequest(http.MethodDelete, memoriesRoute+"/{key}", name, key))
}

// DeleteMemories deletes every memory of an entity.
func (c *Client) DeleteMemories(ctx context.Context, name string) error {
	return c.do(ctx, newRequest(http.MethodDelete, memoriesRoute, name))
}

// ExportEntity downloads all that is stored about an entity: the JSON of an api.Export, of
// any size. The caller closes it; an error other than io.EOF while reading means that it is
// not complete. ctx holds until then.
func (c *Client) ExportEntity(ctx context.Context, name string) (io.ReadCloser, error) {
	r := newRequest(http.MethodGet, "/personal/entities/{name}/export", name)
	var f *feed
	err := c.retry(ctx, r, func() error {
		var err error
		f, err = c.open(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	if f.media != "application/json" {
		_ = f.Close()
		return nil, fmt.Errorf("intuno: %s: %w: not JSON", r.op(), ErrAnswer)
	}
	return f, nil
}

// Usage tells what you have used of your plan.
func (c *Client) Usage(ctx context.Context) (api.Usage, error) {
	return call[api.Usage](ctx, c, newRequest(http.MethodGet, "/personal/usage"))
}
