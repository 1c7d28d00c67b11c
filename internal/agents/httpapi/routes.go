package httpapi

import (
	"context"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/export"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// API is the rules behind the routes.
type API struct {
	Entities *entity.Service
	Memories *memory.Service
	Chat     *chat.Service
	Exports  *export.Service
}

// Routes is every route of the host (contract §10.3). Unknown members of a body are
// refused: build the edge with ClosedBodies.
func (a *API) Routes() []httpx.Route {
	created := httpx.Status(http.StatusCreated)
	return []httpx.Route{
		httpx.Get("/health", httpx.Public, health, httpx.Probe(), httpx.Doc("The process is alive; no dependency is asked")),

		httpx.Post("/entities", httpx.Host, a.createEntity, created, httpx.Returns[api.Entity](), httpx.Doc("Create an entity")),
		httpx.Get("/entities", httpx.Host, a.listEntities, httpx.Doc("List the user's entities, oldest first")),
		httpx.Get("/entities/{name}", httpx.Host, a.getEntity, httpx.Doc("Read an entity")),
		httpx.Patch("/entities/{name}", httpx.Host, a.patchEntity, httpx.Doc("Change an entity")),
		httpx.Delete("/entities/{name}", httpx.Host, a.deleteEntity, httpx.Doc("Delete an entity with everything it said and remembers")),
		httpx.Post("/entities/{name}/pause", httpx.Host, a.pauseEntity, httpx.Doc("Take no more messages")),
		httpx.Post("/entities/{name}/resume", httpx.Host, a.resumeEntity, httpx.Doc("Take messages again")),

		httpx.Post("/entities/{name}/chat", httpx.Host, a.sendMessage, created, httpx.Returns[api.ChatAnswer](), httpx.Streams(), httpx.Doc("Send a message and wait for the reply, or stream it")),
		httpx.Get("/entities/{name}/chat", httpx.Host, a.listMessages, httpx.Doc("Read the history, newest page first")),
		httpx.Get("/entities/{name}/chat/{message_id}/events", httpx.Host, a.followTurn, httpx.Streams(), httpx.Doc("Follow a turn as an event stream")),

		httpx.Get("/entities/{name}/memories", httpx.Host, a.listMemories, httpx.Doc("List what the entity remembers, by key")),
		httpx.Delete("/entities/{name}/memories", httpx.Host, a.deleteMemories, httpx.Doc("Forget everything")),
		httpx.Get("/entities/{name}/memories/{key}", httpx.Host, a.getMemory, httpx.Doc("Read a memory")),
		httpx.Put("/entities/{name}/memories/{key}", httpx.Host, a.putMemory, httpx.Returns[api.Memory](), httpx.Doc("Write a memory")),
		httpx.Delete("/entities/{name}/memories/{key}", httpx.Host, a.deleteMemory, httpx.Doc("Forget a memory")),

		httpx.Post("/entities/{name}/deliveries", httpx.Host, a.deliver, httpx.Doc("Hand over what the agent network says, and wait for what the entity answers")),

		httpx.Get("/entities/{name}/export", httpx.Host, a.exportEntity, httpx.Returns[api.Export](), httpx.Doc("Take everything away")),
	}
}

type healthAnswer struct {
	Status string `json:"status"`
}

func health(context.Context, principal.Principal, *struct{}) (healthAnswer, error) {
	return healthAnswer{Status: "healthy"}, nil
}

// named is the input of a route about one entity.
type named struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
}

// replayed marks an answer that was given before.
func replayed() http.Header { return http.Header{"Idempotency-Replayed": {"true"}} }

// repeat is a refusal that was kept under the request's key.
func repeat(refusal *fault.Error) error {
	again := *refusal
	again.Replayed = true
	return &again
}
