package httpapi

import (
	"context"
	"errors"
	"log/slog"

	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/identity"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/audit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

// Guard decides who a request to wisdom acts for, and records what services do.
type Guard struct {
	Authenticator *auth.Authenticator
	Audit         *audit.Log
	Callbacks     Callbacks
	Log           *slog.Logger
	KeyRefused    func() // counts refused service keys; may be nil
}

// Callbacks knows the signatures of reply URLs: network.Service.
type Callbacks interface {
	// Verify returns who holds the URL of a participant that was signed with sig until
	// exp. Fault: signature_invalid (403).
	Verify(network id.Network, who id.Participant, sig, exp string) (principal.Principal, error)
}

var _ httpx.Guard = (*Guard)(nil)

// classes maps the access of a route to the rule of package auth that admits. Host is
// missing: it is not a class of this service, and the zero class admits nobody.
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
	switch r.Access {
	case httpx.Public:
		return principal.Principal{}, nil
	case httpx.Signed:
		return g.verify(r)
	}
	return g.Authenticator.Authenticate(ctx, classes[r.Access], identity.Read(r.Header))
}

// verify admits the holder of a reply URL (contract §6.7). A parameter that occurs twice
// counts as empty, which is no signature: nobody may choose between two.
func (g *Guard) verify(r httpx.Request) (principal.Principal, error) {
	given := map[string]string{}
	for _, name := range []string{"sig", "exp"} {
		if values := r.Query[name]; len(values) == 1 {
			given[name] = values[0]
		}
	}
	network, _ := id.Parse[id.Network](r.Path["network_id"]) // httpx has seen that they are ids
	who, _ := id.Parse[id.Participant](r.Path["participant_id"])
	return g.Callbacks.Verify(network, who, given["sig"], given["exp"])
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
