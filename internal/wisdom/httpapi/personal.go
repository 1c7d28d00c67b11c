package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

// Personal serves the user's entities (contract §9). What the host answers is passed on
// as it is: the api types here only describe it.
type Personal struct {
	Service *personal.Service
}

func (h *Personal) routes() []httpx.Route {
	const entities, entity = "/personal/entities", "/personal/entities/{name}"
	return []httpx.Route{
		httpx.Post(entities, httpx.JWT, h.create, httpx.Status(http.StatusCreated), httpx.Returns[api.Entity](),
			httpx.Doc("Create an entity")),
		httpx.Get(entities, httpx.JWT, h.list, httpx.Returns[[]api.Entity](), httpx.Doc("List your entities, oldest first")),
		httpx.Get(entity, httpx.JWT, h.get, httpx.Returns[api.Entity](), httpx.Doc("Read an entity")),
		httpx.Patch(entity, httpx.JWT, h.patch, httpx.Returns[api.Entity](), httpx.Doc("Change an entity")),
		httpx.Delete(entity, httpx.JWT, h.delete, httpx.Doc("Delete an entity with all it knows")),
		httpx.Post(entity+"/pause", httpx.JWT, h.pause, httpx.Returns[api.Entity](), httpx.Doc("Pause an entity from its next message on")),
		httpx.Post(entity+"/resume", httpx.JWT, h.resume, httpx.Returns[api.Entity](), httpx.Doc("Resume an entity")),
		httpx.Post(entity+"/messages", httpx.JWT, h.send, httpx.Status(http.StatusCreated), httpx.Returns[api.ChatAnswer](), httpx.Streams(),
			httpx.Doc("Send a message; with Accept: text/event-stream the answer is an event stream (200)")),
		httpx.Get(entity+"/messages", httpx.JWT, h.messages, httpx.Returns[[]api.ChatMessage](),
			httpx.Doc("Read the newest page of the history, or the one before a message, oldest first")),
		httpx.Get(entity+"/messages/{message_id}/events", httpx.JWT, h.events, httpx.Streams(),
			httpx.Doc("Follow the event stream of a message, from behind Last-Event-ID")),
		httpx.Get(entity+"/memories", httpx.JWT, h.memories, httpx.Returns[[]api.Memory](), httpx.Doc("List memories by key")),
		httpx.Delete(entity+"/memories", httpx.JWT, h.forget, httpx.Doc("Delete every memory")),
		httpx.Get(entity+"/memories/{key}", httpx.JWT, h.memory, httpx.Returns[api.Memory](), httpx.Doc("Read a memory")),
		httpx.Put(entity+"/memories/{key}", httpx.JWT, h.putMemory, httpx.Returns[api.Memory](),
			httpx.Doc("Set a memory; 201 if it is new")),
		httpx.Delete(entity+"/memories/{key}", httpx.JWT, h.deleteMemory, httpx.Doc("Delete a memory")),
		httpx.Get(entity+"/export", httpx.JWT, h.export, httpx.Returns[api.Export](), httpx.Doc("Download all that is stored about an entity")),
		httpx.Get("/personal/usage", httpx.JWT, h.usage, httpx.Doc("Read what you have used of your plan")),
	}
}

// passOn is the reply for a success of the host. Without JSON it is a 204.
func passOn(a personal.Answer, err error) (httpx.Reply, error) {
	return httpx.Reply{Raw: a.JSON, Header: replayed(a.Replayed)}, err
}

func replayed(yes bool) http.Header {
	if !yes {
		return nil
	}
	return http.Header{"Idempotency-Replayed": {"true"}}
}

// passStream is the reply for a stream of the host: every piece goes on at once, and
// if the host breaks off the client's connection is aborted.
func passStream(s personal.Stream, mediaType string, header http.Header) httpx.Reply {
	return httpx.Reply{Status: http.StatusOK, Header: header, StreamType: mediaType, Stream: func(_ context.Context, w *httpx.Stream) error {
		defer func() { _ = s.Body.Close() }() // it was only read
		piece := make([]byte, 16<<10)
		for {
			n, err := s.Body.Read(piece)
			if n > 0 {
				if _, err := w.Write(piece[:n]); err != nil {
					return err
				}
				if err := w.Flush(); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}}
}

type createEntityInput struct {
	Once httpx.IdempotencyKey `header:"Idempotency-Key"`
	Body httpx.Object
}

func (h *Personal) create(ctx context.Context, p principal.Principal, in *createEntityInput) (httpx.Reply, error) {
	return passOn(h.Service.Create(ctx, p, in.Body, string(in.Once)))
}

func (h *Personal) list(ctx context.Context, p principal.Principal, _ *struct{}) (httpx.Reply, error) {
	return passOn(h.Service.List(ctx, p))
}

type entityInput struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
}

func (h *Personal) get(ctx context.Context, p principal.Principal, in *entityInput) (httpx.Reply, error) {
	return passOn(h.Service.Get(ctx, p, in.Name))
}

type patchEntityInput struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Body httpx.Object
}

func (h *Personal) patch(ctx context.Context, p principal.Principal, in *patchEntityInput) (httpx.Reply, error) {
	return passOn(h.Service.Patch(ctx, p, in.Name, in.Body))
}

func (h *Personal) delete(ctx context.Context, p principal.Principal, in *entityInput) (httpx.None, error) {
	return httpx.None{}, h.Service.Delete(ctx, p, in.Name)
}

type pauseEntityInput struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Body *httpx.Object
}

func (h *Personal) pause(ctx context.Context, p principal.Principal, in *pauseEntityInput) (httpx.Reply, error) {
	var body []byte
	if in.Body != nil {
		body = *in.Body
	}
	return passOn(h.Service.Pause(ctx, p, in.Name, body))
}

func (h *Personal) resume(ctx context.Context, p principal.Principal, in *entityInput) (httpx.Reply, error) {
	return passOn(h.Service.Resume(ctx, p, in.Name))
}

type sendMessageInput struct {
	Name   string               `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Once   httpx.IdempotencyKey `header:"Idempotency-Key"`
	Accept string               `header:"Accept"`
	Body   sendMessageBody
}

type sendMessageBody struct {
	Content string `json:"content" minLength:"1" maxLength:"65536"`
}

func (h *Personal) send(ctx context.Context, p principal.Principal, in *sendMessageInput) (httpx.Reply, error) {
	if !httpx.AcceptsEvents(in.Accept) {
		return passOn(h.Service.Send(ctx, p, in.Name, in.Body.Content, string(in.Once)))
	}
	s, err := h.Service.SendStream(ctx, p, in.Name, in.Body.Content, string(in.Once))
	if err != nil {
		return httpx.Reply{}, err
	}
	return passStream(s, httpx.EventStream, replayed(s.Replayed)), nil
}

type messagesInput struct {
	Name   string  `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Limit  int     `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Before *string `query:"before" format:"uuid" doc:"Only messages before this one"`
}

func (h *Personal) messages(ctx context.Context, p principal.Principal, in *messagesInput) (httpx.Reply, error) {
	var before id.Message
	if in.Before != nil {
		before = id.Message(*in.Before)
	}
	return passOn(h.Service.Messages(ctx, p, in.Name, in.Limit, before))
}

type eventsInput struct {
	Name      string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	MessageID string `path:"message_id" format:"uuid"`
	Last      string `header:"Last-Event-ID" doc:"The number of the last event that was seen"`
}

func (h *Personal) events(ctx context.Context, p principal.Principal, in *eventsInput) (httpx.Reply, error) {
	s, err := h.Service.Events(ctx, p, in.Name, id.Message(in.MessageID), in.Last)
	if err != nil {
		return httpx.Reply{}, err
	}
	return passStream(s, httpx.EventStream, nil), nil
}

type memoriesInput struct {
	Name   string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Prefix string `query:"prefix" maxLength:"128"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"100"`
	After  string `query:"after" maxLength:"128" doc:"Only keys behind this one"`
}

func (h *Personal) memories(ctx context.Context, p principal.Principal, in *memoriesInput) (httpx.Reply, error) {
	return passOn(h.Service.Memories(ctx, p, in.Name, in.Limit, in.Prefix, in.After))
}

func (h *Personal) forget(ctx context.Context, p principal.Principal, in *entityInput) (httpx.None, error) {
	return httpx.None{}, h.Service.Forget(ctx, p, in.Name)
}

type memoryInput struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Key  string `path:"key" pattern:"^[a-z0-9][a-z0-9._-]{0,127}$"`
}

func (h *Personal) memory(ctx context.Context, p principal.Principal, in *memoryInput) (httpx.Reply, error) {
	return passOn(h.Service.Memory(ctx, p, in.Name, in.Key))
}

type putMemoryInput struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Key  string `path:"key" pattern:"^[a-z0-9][a-z0-9._-]{0,127}$"`
	Body httpx.Object
}

func (h *Personal) putMemory(ctx context.Context, p principal.Principal, in *putMemoryInput) (httpx.Reply, error) {
	a, err := h.Service.PutMemory(ctx, p, in.Name, in.Key, in.Body)
	reply, err := passOn(a, err)
	if a.Status == http.StatusCreated {
		reply.Status = http.StatusCreated
	}
	return reply, err
}

func (h *Personal) deleteMemory(ctx context.Context, p principal.Principal, in *memoryInput) (httpx.None, error) {
	return httpx.None{}, h.Service.DeleteMemory(ctx, p, in.Name, in.Key)
}

func (h *Personal) export(ctx context.Context, p principal.Principal, in *entityInput) (httpx.Reply, error) {
	s, err := h.Service.Export(ctx, p, in.Name)
	if err != nil {
		return httpx.Reply{}, err
	}
	name := http.Header{"Content-Disposition": {`attachment; filename="` + in.Name + `.json"`}} // the name has no quotes
	return passStream(s, "application/json", name), nil
}

func (h *Personal) usage(ctx context.Context, p principal.Principal, _ *struct{}) (api.Usage, error) {
	u, err := h.Service.Usage(ctx, p)
	if err != nil {
		return api.Usage{}, err
	}
	return api.Usage{
		Plan:     u.Plan,
		Entities: api.Used{Used: u.Entities, Limit: u.Limits.Entities},
		Messages: api.Used{Used: u.Messages, Limit: u.Limits.PerMonth},
		ResetsAt: api.At(u.ResetsAt),
	}, nil
}
