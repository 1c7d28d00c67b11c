package httpapi

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

type sendInput struct {
	Name   string               `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Key    httpx.IdempotencyKey `header:"Idempotency-Key"`
	Accept string               `header:"Accept"`
	Body   sendBody
}

type sendBody struct {
	Content string `json:"content" minLength:"1" maxLength:"65536"`
}

func (a *API) sendMessage(ctx context.Context, p principal.Principal, in *sendInput) (httpx.Reply, error) {
	key, err := once(in.Key, map[string]any{"content": in.Body.Content})
	if err != nil {
		return httpx.Reply{}, err
	}
	sent, err := a.Chat.Send(ctx, p, in.Name, in.Body.Content, key)
	if err != nil {
		return httpx.Reply{}, err
	}
	if sent.Refusal != nil {
		return httpx.Reply{}, repeat(sent.Refusal)
	}
	var reply httpx.Reply
	if httpx.AcceptsEvents(in.Accept) {
		if reply, err = a.events(ctx, p, in.Name, sent.Message, 0); err != nil {
			return httpx.Reply{}, err
		}
	} else {
		answer, err := sent.Wait(ctx)
		if ctx.Err() != nil {
			return httpx.Reply{}, clientLeft()
		}
		if err != nil {
			return httpx.Reply{}, err
		}
		reply = httpx.Reply{Status: http.StatusCreated, JSON: wireAnswer(answer)}
	}
	if sent.Replayed {
		reply.Header = replayed()
	}
	return reply, nil
}

// clientLeft is what the log gets when nobody waits for the answer any more.
func clientLeft() error {
	f := fault.New(fault.Other, api.CodeBadRequest, "The client left")
	f.Status = statusClientLeft
	return f
}

// statusClientLeft is never sent: there is nobody to read it.
const statusClientLeft = 499

type historyInput struct {
	Name   string  `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Limit  int     `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Before *string `query:"before" format:"uuid"`
}

func (a *API) listMessages(ctx context.Context, p principal.Principal, in *historyInput) ([]api.ChatMessage, error) {
	page, err := a.Chat.History(ctx, p, in.Name, (*id.Message)(in.Before), in.Limit)
	if err != nil {
		return nil, err
	}
	list := make([]api.ChatMessage, len(page))
	for i, m := range page {
		list[i] = wireMessage(m)
	}
	return list, nil
}

type followInput struct {
	Name    string  `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Message string  `path:"message_id" format:"uuid"`
	After   *string `query:"after"`
}

func (a *API) followTurn(ctx context.Context, p principal.Principal, in *followInput) (httpx.Reply, error) {
	after, err := eventNumber(in.After)
	if err != nil {
		return httpx.Reply{}, err
	}
	return a.events(ctx, p, in.Name, id.Message(in.Message), after)
}

// eventNumber reads the number of the last event that a reader has. It travels from
// Last-Event-ID, hence 400 instead of 422 (contract §10.5).
func eventNumber(text *string) (int64, error) {
	if text == nil {
		return 0, nil
	}
	n, err := strconv.ParseUint(*text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fault.New(fault.BadRequest, api.CodeBadRequest, "The number of an event is a non-negative integer")
	}
	return int64(min(n, math.MaxInt64)), nil //nolint:gosec // cut to the range
}

const (
	retryAfter   = 2000 // milliseconds until a reader that was cut off comes back
	commentEvery = 15 * time.Second
)

// events answers with the events of a turn after the given one, until its end.
func (a *API) events(ctx context.Context, p principal.Principal, name string, message id.Message, after int64) (httpx.Reply, error) {
	if err := a.Chat.HasTurn(ctx, p, name, message); err != nil {
		return httpx.Reply{}, err
	}
	return httpx.Reply{Status: http.StatusOK, StreamType: httpx.EventStream, Stream: func(ctx context.Context, w *httpx.Stream) error {
		follower := a.Chat.Follow(p, name, message, after)
		defer follower.Close()
		if err := w.Retry(retryAfter); err != nil {
			return err
		}
		for {
			err := passOn(ctx, follower, w)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}}, nil
}

// passOn sends the next events, or a comment when there are none for a while.
func passOn(ctx context.Context, follower *chat.Follower, w *httpx.Stream) error {
	waiting, cancel := context.WithTimeout(ctx, commentEvery)
	defer cancel()
	events, err := follower.Next(waiting)
	if err != nil {
		if waiting.Err() != nil && ctx.Err() == nil {
			return w.Comment("still here")
		}
		return err
	}
	for _, e := range events {
		if err := w.Event(e.Seq, e.Name, e.Data); err != nil {
			return err
		}
	}
	return nil
}
