// Package wisdomclient is how the host calls wisdom back (contract §10.8): with the
// service key, on behalf of the owner of an entity, through sdk/intuno. It implements
// brain.Network and registration.Registry, and every call is on a delegable route.
//
// Whom a call is for is a parameter that rules take from what is stored; nothing here
// chooses it. What a call is for is not here either.
package wisdomclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/agents/registration"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/sdk/intuno"
)

// Client calls wisdom. It is safe for concurrent use.
type Client struct {
	base *intuno.Client // without a credential: one is added for each call
	key  intuno.ServiceKey
}

var (
	_ brain.Network         = (*Client)(nil)
	_ registration.Registry = (*Client)(nil)
)

// How wisdom is reached. The answers are bounded by the SDK.
const (
	timeout   = 30 * time.Second // of calls whose context gives them more
	userAgent = "Intuno-Agents/1.0"
)

// New returns a client of wisdom at baseURL. The key is not blank. No proxy is used,
// whatever the environment says, and no redirect followed.
func New(baseURL string, key secret.String) (*Client, error) {
	base, err := intuno.NewClient(baseURL, intuno.WithUserAgent(userAgent), intuno.WithTimeout(timeout), intuno.WithRetries(0),
		intuno.WithTransport(&http.Transport{
			TLSHandshakeTimeout:    10 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    64, // there is one host
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}))
	if err != nil {
		return nil, fmt.Errorf("client of wisdom: %w", err)
	}
	return &Client{base: base, key: intuno.WithServiceKey(key.Reveal())}, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.base.CloseIdleConnections() }

// as is the client that acts for a user.
func (c *Client) as(a brain.Acting) (*intuno.Client, error) {
	opts := []intuno.Option{c.key.ActingFor(string(a.Owner)), intuno.WithDepth(a.Depth)}
	if a.Request != "" {
		opts = append(opts, intuno.WithRequestID(a.Request))
	}
	client, err := c.base.With(opts...)
	if err != nil {
		return nil, fmt.Errorf("act for a user: %w", err)
	}
	return client, nil
}

// Discover implements brain.Network.
func (c *Client) Discover(ctx context.Context, a brain.Acting, query string, limit int) ([]brain.Agent, error) {
	client, err := c.as(a)
	if err != nil {
		return nil, err
	}
	found, err := client.Discover(ctx, intuno.Discovery{Query: query, Limit: limit})
	if err != nil {
		return nil, typed(ctx, "discover", err)
	}
	list := make([]brain.Agent, len(found))
	for i, f := range found {
		list[i] = brain.Agent{ID: f.AgentID, Name: f.Name, Description: f.Description, Public: f.Visibility == "public",
			Hosted: f.TrustVerification == "hosted", InputSchema: f.InputSchema, Distance: f.SimilarityScore}
	}
	return list, nil
}

// Invoke implements brain.Network.
func (c *Client) Invoke(ctx context.Context, a brain.Acting, agent string, input []byte) (brain.Outcome, error) {
	client, err := c.as(a)
	if err != nil {
		return brain.Outcome{}, err
	}
	response, err := client.Invoke(ctx, api.InvokeRequest{AgentID: agent, Input: input})
	var failed *intuno.InvokeError
	switch {
	case errors.As(err, &failed):
		text := "the agent did not succeed"
		if response.Error != nil && *response.Error != "" {
			text = *response.Error
		}
		declined := response.ErrorCode != nil && *response.ErrorCode == "agent_error" && (response.StatusCode == http.StatusBadRequest || response.StatusCode == http.StatusUnprocessableEntity)
		return brain.Outcome{Failed: text, Declined: declined}, nil
	case err != nil:
		return brain.Outcome{}, typed(ctx, "invoke", err)
	}
	return brain.Outcome{OK: true, Data: response.Data}, nil
}

// description is what the registry says of an entity. Its instructions are its owner's.
const description = "Private entity of its owner"

// Register implements registration.Registry. Wisdom makes the agent of a hosted entity
// private, and leaves one that exists as visible as its owner made it.
func (c *Client) Register(ctx context.Context, owner id.User, entityName, title string) (id.Agent, error) {
	client, err := c.as(brain.Acting{Owner: owner})
	if err != nil {
		return "", err
	}
	agent, err := client.RegisterAgent(ctx, api.NewAgent{Name: title, Description: description, HostedEntity: &entityName})
	if err != nil {
		return "", typed(ctx, "register agent", err)
	}
	known, ok := id.Parse[id.Agent](agent.ID)
	if !ok {
		return "", fault.New(fault.Upstream, "brain_error", "wisdom answered an agent without an id")
	}
	return known, nil
}

// Update implements registration.Registry.
func (c *Client) Update(ctx context.Context, owner id.User, agent id.Agent, title string, active bool) error {
	client, err := c.as(brain.Acting{Owner: owner})
	if err != nil {
		return err
	}
	_, err = client.UpdateAgent(ctx, string(agent), api.AgentPatch{Name: &title, IsActive: &active})
	return typed(ctx, "update agent", err)
}

// Remove implements registration.Registry.
func (c *Client) Remove(ctx context.Context, owner id.User, agent id.Agent) error {
	client, err := c.as(brain.Acting{Owner: owner})
	if err != nil {
		return err
	}
	return typed(ctx, "delete agent", client.DeleteAgent(ctx, string(agent)))
}

// kinds are the refusals of wisdom as faults.
var kinds = []struct {
	err  error
	kind fault.Kind
	text string
}{
	{intuno.ErrBadRequest, fault.BadRequest, "wisdom refused the request"},
	{intuno.ErrUnauthorized, fault.Unauthorized, "wisdom does not accept this host's key"},
	{intuno.ErrForbidden, fault.Forbidden, "wisdom does not allow that"},
	{intuno.ErrNotFound, fault.NotFound, "wisdom knows no such agent or user"},
	{intuno.ErrConflict, fault.Conflict, "wisdom refused the request"},
	{intuno.ErrTooLarge, fault.TooLarge, "the message is too large for wisdom"},
	{intuno.ErrInvalid, fault.Invalid, "wisdom refused the request"},
	{intuno.ErrRateLimited, fault.RateLimited, "you have used the agent network too often within a minute"},
	{intuno.ErrUnavailable, fault.Unavailable, "the agent network is stopped or busy at the moment"},
}

// typed makes a fault of what went wrong, with a text that says no more than a user may
// know; the cause is for logs. The code is the one a turn would fail with. An error after the end of ctx stays as it is.
func typed(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	cause := fmt.Errorf("%s: %w", doing, err)
	if ctx.Err() != nil {
		return cause
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			f := fault.New(k.kind, "brain_error", "%s", k.text).Because(cause)
			var answer *intuno.Error
			if errors.As(err, &answer) {
				f.RetryAfter = answer.RetryAfter
			}
			return f
		}
	}
	return fault.New(fault.Upstream, "brain_error", "the agent network cannot be reached").Because(cause)
}
