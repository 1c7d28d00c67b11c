package httpapi

import (
	"context"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

// Admin is the routes of administrators.
type Admin struct{ Service *auth.Service }

func (h *Admin) routes() []httpx.Route {
	return []httpx.Route{
		httpx.Patch("/admin/users/{id}", httpx.Admin, h.updateUser, httpx.Doc("Activate or deactivate a user, or change the plan")),
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
