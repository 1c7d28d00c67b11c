package httpapi

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/integration"
)

// Integration serves the products of users, with their keys (contract §7.2).
type Integration struct {
	Service *integration.Service
	Auth    *auth.Service
}

func (h *Integration) routes() []httpx.Route {
	created := httpx.Status(http.StatusCreated)
	return []httpx.Route{
		httpx.Post("/integrations", httpx.User, h.create, created, httpx.Doc("Create an integration")),
		httpx.Get("/integrations", httpx.User, h.list, httpx.Doc("List your integrations, newest first")),
		httpx.Get("/integrations/{id}", httpx.User, h.get, httpx.Doc("Read an integration")),
		httpx.Delete("/integrations/{id}", httpx.KeyMgmt, h.delete, httpx.Doc("Delete an integration with its keys, conversations, messages and configuration")),
		httpx.Post("/integrations/{id}/api-keys", httpx.KeyMgmt, h.createKey, created, httpx.Doc("Create an API key of an integration; its text is shown once")),
		httpx.Get("/integrations/{id}/api-keys", httpx.User, h.keys, httpx.Doc("List the API keys of an integration, newest first")),
		httpx.Delete("/integrations/{id}/api-keys/{key_id}", httpx.KeyMgmt, h.deleteKey, httpx.Doc("Delete an API key of an integration")),
		httpx.Get("/integrations/{id}/broker-config", httpx.User, h.config, httpx.Doc("Read what holds the calls of an integration's keys")),
		httpx.Put("/integrations/{id}/broker-config", httpx.KeyMgmt, h.configure, httpx.Doc("Change what holds the calls of an integration's keys. "+
			"What is absent stays; null removes a quota or the timeout, and keeps everything else; an empty list allows all agents")),
	}
}

type newIntegrationInput struct{ Body newIntegrationBody }

type newIntegrationBody struct {
	Name     string       `json:"name" minLength:"1" maxLength:"255"`
	Kind     *string      `json:"kind,omitempty" nullable:"true" maxLength:"64"`
	Metadata httpx.Object `json:"metadata,omitempty" nullable:"true" maxBytes:"32768"`
}

func (h *Integration) create(ctx context.Context, p principal.Principal, in *newIntegrationInput) (api.Integration, error) {
	i, err := h.Service.Create(ctx, p, integration.New{Name: in.Body.Name, Kind: in.Body.Kind, Metadata: in.Body.Metadata})
	return toIntegration(i), err
}

func (h *Integration) list(ctx context.Context, p principal.Principal, _ *struct{}) ([]api.IntegrationSummary, error) {
	found, err := h.Service.List(ctx, p)
	list := make([]api.IntegrationSummary, len(found))
	for i, f := range found {
		list[i] = api.IntegrationSummary{ID: string(f.ID), Name: f.Name, Kind: f.Kind, CreatedAt: api.At(f.Created), HasAPIKey: f.HasKey}
	}
	return list, err
}

type integrationInput struct {
	ID string `path:"id" format:"uuid"`
}

func (h *Integration) get(ctx context.Context, p principal.Principal, in *integrationInput) (api.Integration, error) {
	i, err := h.Service.Get(ctx, p, id.Integration(in.ID))
	return toIntegration(i), err
}

func (h *Integration) delete(ctx context.Context, p principal.Principal, in *integrationInput) (httpx.None, error) {
	return httpx.None{}, h.Service.Delete(ctx, p, id.Integration(in.ID))
}

type createIntegrationKeyInput struct {
	ID   string `path:"id" format:"uuid"`
	Body createKeyBody
}

func (h *Integration) createKey(ctx context.Context, p principal.Principal, in *createIntegrationKeyInput) (api.APIKeyCreated, error) {
	expires, err := in.Body.expires()
	if err != nil {
		return api.APIKeyCreated{}, err
	}
	k, text, err := h.Auth.CreateIntegrationKey(ctx, p, id.Integration(in.ID), in.Body.Name, expires)
	return toCreatedKey(k, text), err
}

func (h *Integration) keys(ctx context.Context, p principal.Principal, in *integrationInput) ([]api.APIKey, error) {
	list, err := h.Auth.IntegrationKeys(ctx, p, id.Integration(in.ID))
	return toAPIKeys(list), err
}

type integrationKeyInput struct {
	ID  string `path:"id" format:"uuid"`
	Key string `path:"key_id" format:"uuid"`
}

func (h *Integration) deleteKey(ctx context.Context, p principal.Principal, in *integrationKeyInput) (httpx.None, error) {
	return httpx.None{}, h.Auth.DeleteIntegrationKey(ctx, p, id.Integration(in.ID), id.APIKey(in.Key))
}

func (h *Integration) config(ctx context.Context, p principal.Principal, in *integrationInput) (api.BrokerConfig, error) {
	c, err := h.Service.Config(ctx, p, id.Integration(in.ID))
	return toBrokerConfig(c), err
}

type brokerConfigInput struct {
	ID   string `path:"id" format:"uuid"`
	Body brokerConfigBody
}

// brokerConfigBody states the bounds of package integration. A quota and the timeout
// are null or positive (contract §7.2): null is a value of theirs, and so it does not
// keep what is stored.
type brokerConfigBody struct {
	MonthlyQuota          httpx.Opt[int64]   `json:"monthly_quota,omitzero" nullable:"true" minimum:"1" doc:"Invocations in a calendar month, UTC; null: any number"`
	DailyQuota            httpx.Opt[int64]   `json:"daily_quota,omitzero" nullable:"true" minimum:"1" doc:"Invocations in a day, UTC; null: any number"`
	MaxRetries            *int               `json:"max_retries,omitempty" nullable:"true" minimum:"0" maximum:"5"`
	RetryBackoffSeconds   *float64           `json:"retry_backoff_seconds,omitempty" nullable:"true" minimum:"0" maximum:"3600"`
	RequestTimeoutSeconds httpx.Opt[float64] `json:"request_timeout_seconds,omitzero" nullable:"true" minimum:"0.001" maximum:"25" doc:"Of a call in all, retries included; null: the broker's"`
	AllowedAgentIDs       []string           `json:"allowed_agent_ids,omitempty" nullable:"true" maxItems:"1000" itemFormat:"uuid" doc:"Ids of agents, not slugs; empty: all"`
}

func (h *Integration) configure(ctx context.Context, p principal.Principal, in *brokerConfigInput) (api.BrokerConfig, error) {
	b := &in.Body
	change := integration.Change{Monthly: member(b.MonthlyQuota), Daily: member(b.DailyQuota), MaxRetries: b.MaxRetries}
	if b.RetryBackoffSeconds != nil {
		backoff := duration(*b.RetryBackoffSeconds)
		change.Backoff = &backoff
	}
	if timeout := member(b.RequestTimeoutSeconds); timeout.Set {
		change.Timeout.Set = true
		if timeout.Value != nil {
			d := duration(*timeout.Value)
			change.Timeout.Value = &d
		}
	}
	if b.AllowedAgentIDs != nil {
		change.Allowed = make([]id.Agent, len(b.AllowedAgentIDs))
		for i, text := range b.AllowedAgentIDs {
			change.Allowed[i], _ = id.Parse[id.Agent](text) // the schema has seen that it is one
		}
	}
	c, err := h.Service.Configure(ctx, p, id.Integration(in.ID), change)
	return toBrokerConfig(c), err
}

func member[T any](o httpx.Opt[T]) integration.Nullable[T] {
	n := integration.Nullable[T]{Set: o.Set}
	if o.Set && !o.Null {
		n.Value = &o.Value
	}
	return n
}

func duration(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds * float64(time.Second)))
}

func toIntegration(i integration.Integration) api.Integration {
	return api.Integration{ID: string(i.ID), UserID: string(i.User), Name: i.Name, Kind: i.Kind, Metadata: i.Metadata,
		CreatedAt: api.At(i.Created), UpdatedAt: api.At(i.Updated)}
}

func toBrokerConfig(c integration.Config) api.BrokerConfig {
	shown := api.BrokerConfig{MonthlyQuota: c.Monthly, DailyQuota: c.Daily, MaxRetries: c.MaxRetries, RetryBackoffSeconds: c.Backoff.Seconds(),
		AllowedAgentIDs: make([]string, len(c.Allowed))}
	if c.Timeout != nil {
		seconds := c.Timeout.Seconds()
		shown.RequestTimeoutSeconds = &seconds
	}
	for i, a := range c.Allowed {
		shown.AllowedAgentIDs[i] = string(a)
	}
	return shown
}
