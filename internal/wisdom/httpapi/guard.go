package httpapi

import (
	"context"
	"errors"
	"log/slog"

	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/identity"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/audit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

// Guard decides who a request to wisdom acts for, and records what services do.
type Guard struct {
	Authenticator *auth.Authenticator
	Audit         *audit.Log
	Log           *slog.Logger
	KeyRefused    func() // counts refused service keys; may be nil
}

var _ httpx.Guard = (*Guard)(nil)

// classes maps the access of a route to the rule that admits. Host is missing: it
// is not a class of this service, and the zero class admits nobody.
var classes = map[httpx.Access]auth.Class{
	httpx.Public:          auth.Public,
	httpx.User:            auth.AnyUser,
	httpx.UserOrBearerKey: auth.AnyUserBearerKey,
	httpx.JWT:             auth.JWT,
	httpx.KeyMgmt:         auth.KeyMgmt,
	httpx.Delegable:       auth.Delegable,
	httpx.Admin:           auth.Admin,
}

// Authenticate implements httpx.Guard.
func (g *Guard) Authenticate(ctx context.Context, r httpx.Request) (principal.Principal, error) {
	if r.Access == httpx.Public {
		return principal.Principal{}, nil
	}
	return g.Authenticator.Authenticate(ctx, classes[r.Access], identity.Read(r.Header))
}

// Refused implements httpx.Guard: a refused service key leaves a record.
func (g *Guard) Refused(ctx context.Context, r httpx.Request, err error, status int) {
	if !errors.Is(err, auth.ErrServiceKey) {
		return
	}
	if g.KeyRefused != nil {
		g.KeyRefused()
	}
	if err := g.Audit.Refused(context.WithoutCancel(ctx), record(r, status)); err != nil {
		g.Log.Error("a refused service key left no record", "request_id", r.ID, "error", err)
	}
}

// Begin implements httpx.Guard: a delegated change is recorded before it runs.
func (g *Guard) Begin(ctx context.Context, r httpx.Request, p principal.Principal) (func(context.Context, int), error) {
	if !p.Delegated() {
		return nil, nil
	}
	rec := record(r, audit.Interrupted)
	rec.Actor, rec.Subject = p.Actor(), p.User
	finish, err := g.Audit.Begin(ctx, rec)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, status int) {
		if err := finish(ctx, status); err != nil {
			g.Log.Error("an audit record has no status", "request_id", r.ID, "error", err)
		}
	}, nil
}

func record(r httpx.Request, status int) audit.Record {
	return audit.Record{RequestID: r.ID, Method: r.Method, Route: r.Pattern, Status: status}
}
