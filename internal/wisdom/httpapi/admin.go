package httpapi

import (
	"context"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/platform"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// Admin is the routes of administrators, and the public one that tells of what they
// switched (contract §13.4).
type Admin struct {
	Service  *auth.Service
	Registry *registry.Service
	Platform *platform.Service
}

func (h *Admin) routes() []httpx.Route {
	return []httpx.Route{
		httpx.Patch("/admin/users/{id}", httpx.Admin, h.updateUser, httpx.Doc("Activate or deactivate a user, or change the plan")),
		httpx.Post("/admin/agents/{uuid}/kill", httpx.Admin, h.kill, httpx.Doc("Make an agent inactive everywhere; its owner cannot switch it on")),
		httpx.Post("/admin/agents/{uuid}/reactivate", httpx.Admin, h.reactivate, httpx.Doc("Take a kill back: the agent is again as its owner has it")),
		httpx.Get("/admin/agents/disabled", httpx.Admin, h.disabled, httpx.Doc("List killed agents, the one killed last first")),
		httpx.Post("/admin/platform/halt", httpx.Admin, h.halt, httpx.Doc("Refuse every invocation of agents, on all nodes within a second")),
		httpx.Post("/admin/platform/resume", httpx.Admin, h.resume, httpx.Doc("Take a halt back")),
		httpx.Get("/admin/platform/status", httpx.Admin, h.status, httpx.Doc("Whether invocations are halted, and since when")),
		httpx.Get("/safety/status", httpx.Public, h.safety, httpx.Doc("Whether invocations are halted")),
	}
}

type updateUserInput struct {
	ID   string `path:"id" format:"uuid"`
	Body updateUserBody
}

type updateUserBody struct {
	IsActive *bool   `json:"is_active,omitempty" nullable:"true"`
	Plan     *string `json:"plan,omitempty" nullable:"true" enum:"free,pro"`
}

func (h *Admin) updateUser(ctx context.Context, p principal.Principal, in *updateUserInput) (api.User, error) {
	u, err := h.Service.AdminUpdate(ctx, p, id.User(in.ID), in.Body.IsActive, (*auth.Plan)(in.Body.Plan))
	return toUser(u), err
}

func (h *Admin) kill(ctx context.Context, p principal.Principal, in *agentUUIDInput) (api.Agent, error) {
	a, err := h.Registry.Disable(ctx, p, id.Agent(in.UUID))
	return toAgent(a, p), err
}

func (h *Admin) reactivate(ctx context.Context, p principal.Principal, in *agentUUIDInput) (api.Agent, error) {
	a, err := h.Registry.Enable(ctx, p, id.Agent(in.UUID))
	return toAgent(a, p), err
}

type disabledAgentsInput struct {
	Limit  int `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Offset int `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Admin) disabled(ctx context.Context, p principal.Principal, in *disabledAgentsInput) ([]api.Agent, error) {
	agents, err := h.Registry.Disabled(ctx, p, in.Limit, in.Offset)
	return toAgents(agents, p), err
}

func (h *Admin) halt(ctx context.Context, p principal.Principal, _ *struct{}) (api.PlatformStatus, error) {
	since, err := h.Platform.Halt(ctx, p)
	return toPlatformStatus(&since), err
}

func (h *Admin) resume(ctx context.Context, p principal.Principal, _ *struct{}) (api.PlatformStatus, error) {
	return toPlatformStatus(nil), h.Platform.Resume(ctx, p)
}

func (h *Admin) status(ctx context.Context, p principal.Principal, _ *struct{}) (api.PlatformStatus, error) {
	since, err := h.Platform.Status(ctx, p)
	return toPlatformStatus(since), err
}

func (h *Admin) safety(ctx context.Context, _ principal.Principal, _ *struct{}) (api.SafetyStatus, error) {
	since, err := h.Platform.Halted(ctx)
	return api.SafetyStatus{Halted: since != nil}, err
}

func toPlatformStatus(since *time.Time) api.PlatformStatus {
	return api.PlatformStatus{Halted: since != nil, Since: api.AtPtr(since)}
}
