package httpapi

import (
	"context"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

// Auth is the routes of accounts, sign-in and API keys.
type Auth struct{ Service *auth.Service }

func (h *Auth) routes() []httpx.Route {
	return []httpx.Route{
		httpx.Post("/auth/register", httpx.Public, h.register, httpx.Status(201), httpx.Doc("Create an account")),
		httpx.Post("/auth/login", httpx.Public, h.login, httpx.Doc("Exchange e-mail and password for an access token")),
		httpx.Post("/auth/logout", httpx.JWT, h.logout, httpx.Doc("Revoke the token of this request")),
		httpx.Post("/auth/password", httpx.JWT, h.password, httpx.Doc("Change the password and revoke every token")),
		httpx.Get("/auth/me", httpx.User, h.me, httpx.Doc("The user of this request")),
		httpx.Post("/auth/api-keys", httpx.KeyMgmt, h.createKey, httpx.Status(201), httpx.Doc("Create an API key; its text is shown once")),
		httpx.Get("/auth/api-keys", httpx.User, h.keys, httpx.Doc("List API keys, newest first")),
		httpx.Delete("/auth/api-keys/{key_id}", httpx.KeyMgmt, h.deleteKey, httpx.Doc("Delete an API key")),
	}
}

type registerInput struct{ Body registerBody }

// registerBody repeats the bounds of auth.NewUser, so that the edge reports every
// problem at once and the API description shows them. The pattern is
// auth.EmailPattern.
type registerBody struct {
	Email     string  `json:"email" maxLength:"254" patternDescription:"an e-mail address such as ada@example.org" pattern:"^[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+([.][A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?[.])+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]$"`
	Password  string  `json:"password" minLength:"8" maxLength:"128" writeOnly:"true"`
	FirstName *string `json:"first_name,omitempty" nullable:"true" maxLength:"64"`
	LastName  *string `json:"last_name,omitempty" nullable:"true" maxLength:"64"`
}

func (h *Auth) register(ctx context.Context, _ principal.Principal, in *registerInput) (api.User, error) {
	u, err := h.Service.Register(ctx, auth.NewUser{
		Email: in.Body.Email, Password: in.Body.Password, FirstName: in.Body.FirstName, LastName: in.Body.LastName,
	})
	return toUser(u), err
}

type loginInput struct {
	Peer httpx.Peer
	Body loginBody
}

// loginBody has no bounds: what no account can have fails like a wrong password.
type loginBody struct {
	Email    string `json:"email"`
	Password string `json:"password" writeOnly:"true"`
}

func (h *Auth) login(ctx context.Context, _ principal.Principal, in *loginInput) (api.Token, error) {
	token, err := h.Service.Login(ctx, in.Body.Email, in.Body.Password, string(in.Peer))
	if err != nil {
		return api.Token{}, err
	}
	return api.Token{AccessToken: token.Text, TokenType: "bearer", ExpiresIn: int64(token.Lifetime / time.Second)}, nil
}

func (h *Auth) logout(ctx context.Context, p principal.Principal, _ *struct{}) (httpx.None, error) {
	return httpx.None{}, h.Service.Logout(ctx, p)
}

type passwordInput struct {
	Peer httpx.Peer
	Body passwordBody
}

type passwordBody struct {
	Old string `json:"old_password" writeOnly:"true"`
	New string `json:"new_password" minLength:"8" maxLength:"128" writeOnly:"true"`
}

func (h *Auth) password(ctx context.Context, p principal.Principal, in *passwordInput) (httpx.None, error) {
	return httpx.None{}, h.Service.ChangePassword(ctx, p, in.Body.Old, in.Body.New, string(in.Peer))
}

func (h *Auth) me(ctx context.Context, p principal.Principal, _ *struct{}) (api.User, error) {
	u, err := h.Service.Me(ctx, p)
	return toUser(u), err
}

type createKeyInput struct{ Body createKeyBody }

// createKeyBody is what a key is made from, whether or not it is for an integration.

type createKeyBody struct {
	Name      string  `json:"name" minLength:"1" maxLength:"255"`
	ExpiresAt *string `json:"expires_at,omitempty" nullable:"true" format:"date-time"`
}

// expires is the time after which the key is worth nothing; nil: never.
func (b *createKeyBody) expires() (*time.Time, error) {
	if b.ExpiresAt == nil {
		return nil, nil
	}
	var at api.Time
	if err := at.UnmarshalText([]byte(*b.ExpiresAt)); err != nil {
		return nil, fault.InvalidField("datetime_parsing", "must be an RFC 3339 timestamp", "body", "expires_at").Because(err)
	}
	// Cut to the resolution in which it is stored, so that this answer and later ones
	// agree.
	std := at.Std().UTC().Truncate(time.Microsecond)
	return &std, nil
}

func (h *Auth) createKey(ctx context.Context, p principal.Principal, in *createKeyInput) (api.APIKeyCreated, error) {
	expires, err := in.Body.expires()
	if err != nil {
		return api.APIKeyCreated{}, err
	}
	k, text, err := h.Service.CreateKey(ctx, p, in.Body.Name, expires)
	return toCreatedKey(k, text), err
}

func (h *Auth) keys(ctx context.Context, p principal.Principal, _ *struct{}) ([]api.APIKey, error) {
	list, err := h.Service.Keys(ctx, p)
	return toAPIKeys(list), err
}

type deleteKeyInput struct {
	Key string `path:"key_id" format:"uuid"`
}

func (h *Auth) deleteKey(ctx context.Context, p principal.Principal, in *deleteKeyInput) (httpx.None, error) {
	return httpx.None{}, h.Service.DeleteKey(ctx, p, id.APIKey(in.Key))
}

func toUser(u auth.User) api.User {
	return api.User{
		ID: string(u.ID), Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, IsActive: u.Active,
		Plan: string(u.Plan), CreatedAt: api.At(u.Created), UpdatedAt: api.At(u.Updated),
	}
}

func toAPIKey(k auth.APIKey) api.APIKey {
	return api.APIKey{
		ID: string(k.ID), Name: k.Name, IntegrationID: (*string)(k.Integration), CreatedAt: api.At(k.Created),
		LastUsedAt: api.AtPtr(k.LastUsed), ExpiresAt: api.AtPtr(k.Expires),
	}
}

func toAPIKeys(list []auth.APIKey) []api.APIKey {
	keys := make([]api.APIKey, len(list))
	for i, k := range list {
		keys[i] = toAPIKey(k)
	}
	return keys
}

// toCreatedKey is the one answer that shows a key.
func toCreatedKey(k auth.APIKey, text string) api.APIKeyCreated {
	shown := toAPIKey(k)
	return api.APIKeyCreated{
		ID: shown.ID, Name: shown.Name, Key: text, IntegrationID: shown.IntegrationID,
		CreatedAt: shown.CreatedAt, LastUsedAt: shown.LastUsedAt, ExpiresAt: shown.ExpiresAt,
	}
}
