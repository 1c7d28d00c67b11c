package httpapi

import (
	"context"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/identity"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// Guard admits wisdom, for the user that it names (contract §10.1).
type Guard struct {
	Keys secret.Set // AGENTS_API_KEY; an empty set admits nobody
}

var _ httpx.Guard = (*Guard)(nil)

// Authenticate implements httpx.Guard.
func (g *Guard) Authenticate(_ context.Context, r httpx.Request) (principal.Principal, error) {
	if r.Access == httpx.Public {
		return principal.Principal{}, nil
	}
	given := identity.Read(r.Header)
	switch {
	case given.Repeated():
		return principal.Principal{}, fault.New(fault.BadRequest, api.CodeDuplicateCredentials, "A credential header occurs more than once")
	case r.Access != httpx.Host || len(given.APIKey) != 1 || g.Keys.Index(given.APIKey[0]) < 0:
		return principal.Principal{}, fault.New(fault.Unauthorized, api.CodeNotAuthenticated, "Not authenticated")
	}
	if len(given.UserID) == 1 {
		if user, ok := id.Parse[id.User](given.UserID[0]); ok {
			return principal.Principal{User: user, Via: principal.Host, Request: r.ID}, nil
		}
	}
	return principal.Principal{}, fault.New(fault.BadRequest, api.CodeUserIDInvalid, "X-User-Id must be one line with a user's id")
}

// Refused implements httpx.Guard. The request log has it.
func (*Guard) Refused(context.Context, httpx.Request, error, int) {}

// Begin implements httpx.Guard. What users do is recorded at wisdom.
func (*Guard) Begin(context.Context, httpx.Request, principal.Principal) (func(context.Context, int), error) {
	return nil, nil
}
