package intuno

import (
	"context"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
)

// Register creates an account.
func (c *Client) Register(ctx context.Context, user api.NewUser) (api.User, error) {
	return call[api.User](ctx, c, newRequest(http.MethodPost, "/auth/register").send(user).anonymous())
}

// Login exchanges e-mail and password for a token, for WithToken.
func (c *Client) Login(ctx context.Context, email, password string) (api.Token, error) {
	return call[api.Token](ctx, c, newRequest(http.MethodPost, "/auth/login").send(api.Login{Email: email, Password: password}).anonymous())
}

// Logout revokes the token of this client.
func (c *Client) Logout(ctx context.Context) error {
	return c.do(ctx, newRequest(http.MethodPost, "/auth/logout"))
}

// ChangePassword changes the password and revokes every token of the user. It needs a
// token.
func (c *Client) ChangePassword(ctx context.Context, before, after string) error {
	return c.do(ctx, newRequest(http.MethodPost, "/auth/password").send(api.PasswordChange{OldPassword: before, NewPassword: after}))
}

// Me is the user that this client acts as.
func (c *Client) Me(ctx context.Context) (api.User, error) {
	return call[api.User](ctx, c, newRequest(http.MethodGet, "/auth/me"))
}

// CreateAPIKey creates an API key, whose text is shown this once. It needs a token.
func (c *Client) CreateAPIKey(ctx context.Context, key api.NewAPIKey) (api.APIKeyCreated, error) {
	return call[api.APIKeyCreated](ctx, c, newRequest(http.MethodPost, "/auth/api-keys").send(key))
}

// APIKeys lists the API keys of the user and of their integrations, newest first.
func (c *Client) APIKeys(ctx context.Context) ([]api.APIKey, error) {
	return call[[]api.APIKey](ctx, c, newRequest(http.MethodGet, "/auth/api-keys"))
}

// DeleteAPIKey deletes a key by its id. It needs a token.
func (c *Client) DeleteAPIKey(ctx context.Context, id string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/auth/api-keys/{key_id}", id))
}
