package httpapi

import (
	"context"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// System answers the probes.
type System struct {
	// Ready reports whether requests should be sent here, and the state of each
	// dependency.
	Ready func(ctx context.Context) (ok bool, checks map[string]string)
}

type health struct {
	Status string `json:"status"`
}

type readiness struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

func (h *System) routes() []httpx.Route {
	return []httpx.Route{
		httpx.Get("/health", httpx.Public, h.health, httpx.Probe(), httpx.Doc("The process is alive; no dependency is asked")),
		httpx.Get("/ready", httpx.Public, h.ready, httpx.Probe(), httpx.Doc("Requests can be served")),
	}
}

func (h *System) health(context.Context, principal.Principal, *struct{}) (health, error) {
	return health{Status: "healthy"}, nil
}

func (h *System) ready(ctx context.Context, _ principal.Principal, _ *struct{}) (readiness, error) {
	ok, checks := h.Ready(ctx)
	if !ok {
		return readiness{}, fault.New(fault.Unavailable, "not_ready", "the service is not ready").With("checks", checks)
	}
	return readiness{Status: "ready", Checks: checks}, nil
}
