package httpapi

import (
	"context"
	"math"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// trustRoutes are the routes by which users come to trust agents, and agents callers.
func (h *Registry) trustRoutes() []httpx.Route {
	return []httpx.Route{
		httpx.Get("/registry/agents/trending", httpx.Delegable, h.trending, httpx.Doc("List the agents that are called most")),
		httpx.Post("/registry/agents/{uuid}/credentials", httpx.Delegable, h.putCredential, httpx.Doc("Store what your agent wants to see from its callers; it is never shown again")),
		httpx.Delete("/registry/agents/{uuid}/credentials", httpx.Delegable, h.deleteCredentials, httpx.Doc("Remove every credential of your agent")),
		httpx.Post("/registry/agents/{agent_id}/rate", httpx.Delegable, h.rate, httpx.Doc("Rate an agent that you have invoked, or change your rating")),
		httpx.Get("/registry/agents/{agent_id}/ratings", httpx.Delegable, h.ratings, httpx.Doc("List the ratings of an agent, the latest change first")),
	}
}

type credentialInput struct {
	UUID string `path:"uuid" format:"uuid"`
	Body credentialBody
}

// credentialBody repeats the bounds of registry.Credential, so that the edge reports
// every problem at once and the API description shows them.
type credentialBody struct {
	CredentialType string  `json:"credential_type" enum:"api_key,bearer_token"`
	Value          string  `json:"value" minLength:"1" maxLength:"8192" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" patternDescription:"without control characters" writeOnly:"true"`
	AuthHeader     *string `json:"auth_header,omitempty" nullable:"true" maxLength:"255" pattern:"^[!#$%&'*+.^_\\x60|~0-9A-Za-z-]+$" patternDescription:"the name of a header" doc:"If absent X-API-Key or Authorization, by type. Headers that steer the connection or identify users are refused"`
	AuthScheme     *string `json:"auth_scheme,omitempty" nullable:"true" maxLength:"64" pattern:"^[!#$%&'*+.^_\\x60|~0-9A-Za-z-]*$" patternDescription:"one word, or empty" doc:"The word before the value. If absent Bearer for bearer_token; empty: none"`
}

func (h *Registry) putCredential(ctx context.Context, p principal.Principal, in *credentialInput) (httpx.None, error) {
	return httpx.None{}, h.Vault.Put(ctx, p, id.Agent(in.UUID), registry.Credential{
		Type: in.Body.CredentialType, Value: secret.New(in.Body.Value), Header: in.Body.AuthHeader, Scheme: in.Body.AuthScheme,
	})
}

func (h *Registry) deleteCredentials(ctx context.Context, p principal.Principal, in *agentUUIDInput) (httpx.None, error) {
	return httpx.None{}, h.Vault.Delete(ctx, p, id.Agent(in.UUID))
}

type rateInput struct {
	AgentID string `path:"agent_id" pattern:"^[a-z0-9-]{1,64}$"`
	Body    rateBody
}

type rateBody struct {
	Score   int     `json:"score" minimum:"1" maximum:"5"`
	Comment *string `json:"comment,omitempty" nullable:"true" maxLength:"2000"`
}

func (h *Registry) rate(ctx context.Context, p principal.Principal, in *rateInput) (api.Rating, error) {
	r, err := h.Service.Rate(ctx, p, in.AgentID, in.Body.Score, in.Body.Comment)
	return toRating(r), err
}

type ratingsInput struct {
	AgentID string `path:"agent_id" pattern:"^[a-z0-9-]{1,64}$"`
	Limit   int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Offset  int    `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Registry) ratings(ctx context.Context, p principal.Principal, in *ratingsInput) ([]api.Rating, error) {
	ratings, err := h.Service.Ratings(ctx, p, in.AgentID, in.Limit, in.Offset)
	list := make([]api.Rating, len(ratings))
	for i, r := range ratings {
		list[i] = toRating(r)
	}
	return list, err
}

func toRating(r registry.Rating) api.Rating {
	return api.Rating{ID: string(r.ID), UserID: string(r.User), AgentID: string(r.Agent), Score: r.Score, Comment: r.Comment,
		CreatedAt: api.At(r.Created), UpdatedAt: api.At(r.Updated)}
}

type trendingInput struct {
	Days  int `query:"window_days" minimum:"1" maximum:"365" default:"7" doc:"Calls of the last so many days count"`
	Limit int `query:"limit" minimum:"1" maximum:"100" default:"20"`
}

func (h *Registry) trending(ctx context.Context, p principal.Principal, in *trendingInput) ([]api.Agent, error) {
	agents, err := h.Service.Trending(ctx, p, in.Days, in.Limit)
	list := toAgents(agents, p)
	for i := range list {
		list[i].InvocationCount = &list[i].QualityInvocationCount
	}
	return list, err
}

// figuresOf fills in what is known of an agent from its ratings and calls.
func figuresOf(a registry.Agent, shown *api.Agent) {
	shown.RatingAvg, shown.RatingCount = cents(a.RatingAverage()), a.RatingCount
	shown.QualitySuccessRate, shown.QualityAvgLatencyMS = cents(a.Figures.SuccessShare()), cents(a.Figures.AverageLatency())
	shown.QualityInvocationCount = a.Figures.Calls
}

// cents rounds to the 2 decimals of contract §4.1.
func cents(x *float64) *float64 {
	if x == nil {
		return nil
	}
	rounded := math.Round(*x*100) / 100
	return &rounded
}
