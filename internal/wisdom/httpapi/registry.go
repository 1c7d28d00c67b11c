package httpapi

import (
	"context"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// Registry serves agents (contract §4).
type Registry struct {
	Service *registry.Service
	Vault   *registry.Vault
}

func (h *Registry) routes() []httpx.Route {
	return append([]httpx.Route{
		httpx.Post("/registry/agents", httpx.Delegable, h.register, httpx.Status(http.StatusCreated), httpx.Returns[api.Agent](),
			httpx.Doc("Register an agent; 200 if it updates the agent of a hosted entity")),
		httpx.Get("/registry/agents", httpx.Delegable, h.list, httpx.Doc("List the active agents that you may see")),
		httpx.Get("/registry/agents/new", httpx.Delegable, h.newest, httpx.Doc("List the agents registered lately, newest first")),
		httpx.Get("/registry/agents/{agent_id}", httpx.Delegable, h.get, httpx.Doc("Read an agent by its slug")),
		httpx.Put("/registry/agents/{uuid}", httpx.Delegable, h.update, httpx.Doc("Change your agent; what is absent or null stays")),
		httpx.Delete("/registry/agents/{uuid}", httpx.Delegable, h.delete, httpx.Doc("Delete your agent")),
		httpx.Get("/registry/discover", httpx.Delegable, h.discover, httpx.Returns[[]api.Agent](), httpx.Doc(discoverDoc)),
		httpx.Get("/registry/my-agents", httpx.User, h.mine, httpx.Doc("List your agents, inactive ones included, newest first")),
	}, h.trustRoutes()...)
}

type newAgentInput struct {
	Enhance string `query:"enhance" doc:"Accepted without effect"`
	Body    newAgentBody
}

type newAgentBody struct {
	Name              string       `json:"name" minLength:"1" maxLength:"255"`
	Description       string       `json:"description" minLength:"1" maxLength:"8192"`
	Endpoint          *string      `json:"endpoint,omitempty" nullable:"true" maxLength:"2048" doc:"Required unless hosted_entity is given"`
	AuthType          *string      `json:"auth_type,omitempty" nullable:"true" enum:"public,api_key,bearer_token" doc:"public if absent"`
	InputSchema       httpx.Object `json:"input_schema,omitempty" nullable:"true" maxBytes:"65536"`
	Tags              []string     `json:"tags,omitempty" nullable:"true" maxItems:"32" itemMinLength:"1" itemMaxLength:"64"`
	Category          *string      `json:"category,omitempty" nullable:"true" maxLength:"64"`
	Visibility        *string      `json:"visibility,omitempty" nullable:"true" enum:"public,private" doc:"If absent public, for hosted entities private"`
	PricingStrategy   *string      `json:"pricing_strategy,omitempty" nullable:"true" maxLength:"255"`
	BasePrice         *float64     `json:"base_price,omitempty" nullable:"true" minimum:"0"`
	PricingEnabled    *bool        `json:"pricing_enabled,omitempty" nullable:"true"`
	SupportsStreaming *bool        `json:"supports_streaming,omitempty" nullable:"true"`
	BrandID           any          `json:"brand_id,omitempty" doc:"Only null: there are no brands"`
	HostedEntity      *string      `json:"hosted_entity,omitempty" nullable:"true" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$" doc:"For the entity host only: the entity's name"`
}

func (h *Registry) register(ctx context.Context, p principal.Principal, in *newAgentInput) (httpx.Reply, error) {
	b := &in.Body
	a, created, err := h.Service.Register(ctx, p, registry.Registration{HostedEntity: b.HostedEntity, Change: registry.Change{
		Name: &b.Name, Description: &b.Description, Endpoint: b.Endpoint, AuthType: b.AuthType, InputSchema: b.InputSchema, Tags: b.Tags, Category: b.Category,
		Visibility: b.Visibility, PricingStrategy: b.PricingStrategy, BasePrice: b.BasePrice, PricingEnabled: b.PricingEnabled, Streaming: b.SupportsStreaming,
		Branded: b.BrandID != nil,
	}})
	if err != nil {
		return httpx.Reply{}, err
	}
	reply := httpx.Reply{JSON: toAgent(a, p)}
	if !created {
		reply.Status = http.StatusOK
	}
	return reply, nil
}

type agentListInput struct {
	Tags     []string `query:"tags" doc:"Any of these"`
	Search   string   `query:"search" maxLength:"1000" doc:"Part of the name or the description, in any case"`
	Category string   `query:"category"`
	Sort     string   `query:"sort" doc:"created_at (default), updated_at or name"`
	Order    string   `query:"order" doc:"asc or desc (default)"`
	Days     *int     `query:"days" minimum:"1" maximum:"365" doc:"Registered in the last so many days"`
	Limit    int      `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Offset   int      `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Registry) list(ctx context.Context, p principal.Principal, in *agentListInput) ([]api.Agent, error) {
	q := registry.Query{Tags: in.Tags, Search: in.Search, Category: in.Category, Limit: in.Limit, Offset: in.Offset}
	q.Sort, q.Ascending = registry.ParseOrder(in.Sort, in.Order)
	if in.Days != nil {
		q.Days = *in.Days
	}
	agents, err := h.Service.List(ctx, p, q)
	return toAgents(agents, p), err
}

type recentAgentsInput struct {
	Days   int `query:"days" minimum:"1" maximum:"365" default:"7"`
	Limit  int `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Offset int `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Registry) newest(ctx context.Context, p principal.Principal, in *recentAgentsInput) ([]api.Agent, error) {
	agents, err := h.Service.List(ctx, p, registry.Query{Days: in.Days, Limit: in.Limit, Offset: in.Offset})
	return toAgents(agents, p), err
}

type agentSlugInput struct {
	AgentID string `path:"agent_id" pattern:"^[a-z0-9-]{1,64}$"`
}

func (h *Registry) get(ctx context.Context, p principal.Principal, in *agentSlugInput) (api.Agent, error) {
	a, err := h.Service.Agent(ctx, p, in.AgentID)
	return toAgent(a, p), err
}

type updateAgentInput struct {
	UUID string `path:"uuid" format:"uuid"`
	Body updateAgentBody
}

type updateAgentBody struct {
	Name              *string      `json:"name,omitempty" nullable:"true" minLength:"1" maxLength:"255"`
	Description       *string      `json:"description,omitempty" nullable:"true" minLength:"1" maxLength:"8192"`
	Endpoint          *string      `json:"endpoint,omitempty" nullable:"true" maxLength:"2048"`
	AuthType          *string      `json:"auth_type,omitempty" nullable:"true" enum:"public,api_key,bearer_token"`
	InputSchema       httpx.Object `json:"input_schema,omitempty" nullable:"true" maxBytes:"65536" doc:"{} clears it"`
	Tags              []string     `json:"tags,omitempty" nullable:"true" maxItems:"32" itemMinLength:"1" itemMaxLength:"64"`
	Category          *string      `json:"category,omitempty" nullable:"true" maxLength:"64" doc:"An empty string clears it"`
	Visibility        *string      `json:"visibility,omitempty" nullable:"true" enum:"public,private"`
	PricingStrategy   *string      `json:"pricing_strategy,omitempty" nullable:"true" maxLength:"255" doc:"An empty string clears it"`
	BasePrice         *float64     `json:"base_price,omitempty" nullable:"true" minimum:"0"`
	PricingEnabled    *bool        `json:"pricing_enabled,omitempty" nullable:"true"`
	SupportsStreaming *bool        `json:"supports_streaming,omitempty" nullable:"true"`
	IsActive          *bool        `json:"is_active,omitempty" nullable:"true"`
	BrandID           any          `json:"brand_id,omitempty" doc:"Only null: there are no brands"`
}

func (h *Registry) update(ctx context.Context, p principal.Principal, in *updateAgentInput) (api.Agent, error) {
	b := &in.Body
	a, err := h.Service.Update(ctx, p, id.Agent(in.UUID), registry.Change{
		Name: b.Name, Description: b.Description, Endpoint: b.Endpoint, AuthType: b.AuthType, InputSchema: b.InputSchema, Tags: b.Tags, Category: b.Category,
		Visibility: b.Visibility, PricingStrategy: b.PricingStrategy, BasePrice: b.BasePrice, PricingEnabled: b.PricingEnabled, Streaming: b.SupportsStreaming,
		Active: b.IsActive, Branded: b.BrandID != nil,
	})
	return toAgent(a, p), err
}

const discoverDoc = "Find agents by a request in your own words. similarity_score is a distance: 0 is the same, 2 unrelated. " +
	"Exact names come first, then by rank_by: balanced = 0.50*relevance + 0.35*quality + 0.15*recency, quality_first = 0.20, 0.70 and 0.10 of them, " +
	"similarity_only = by similarity_score. Relevance is 0.7 of the similarity and 0.3 of the word match, each relative to the best candidate. " +
	"While the embedding endpoint is down, words alone decide, similarity_score is null, and the header X-Discovery-Degraded says embedding."

type discoverInput struct {
	Query        string   `query:"query" required:"true" maxLength:"4000" doc:"May be empty: then the best by quality"`
	Limit        int      `query:"limit" minimum:"1" maximum:"50" default:"10"`
	Threshold    *float64 `query:"similarity_threshold" minimum:"0" maximum:"2" doc:"Keep agents with at most this similarity_score; not applied while the answer is degraded"`
	RankBy       string   `query:"rank_by" doc:"balanced (default), quality_first or similarity_only"`
	EnhanceQuery string   `query:"enhance_query" doc:"Accepted without effect"`
}

// degradedHeader says that words alone decided: the embedding endpoint is down.
const degradedHeader = "X-Discovery-Degraded"

func (h *Registry) discover(ctx context.Context, p principal.Principal, in *discoverInput) (httpx.Reply, error) {
	found, err := h.Service.Discover(ctx, p, registry.Discovery{Text: in.Query, Limit: in.Limit, Threshold: in.Threshold, RankBy: registry.ParseRankBy(in.RankBy)})
	if err != nil {
		return httpx.Reply{}, err
	}
	reply := httpx.Reply{JSON: toAgents(found.Agents, p)}
	if found.Degraded {
		reply.Header = http.Header{degradedHeader: {"embedding"}}
	}
	return reply, nil
}

type agentUUIDInput struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (h *Registry) delete(ctx context.Context, p principal.Principal, in *agentUUIDInput) (httpx.None, error) {
	return httpx.None{}, h.Service.Delete(ctx, p, id.Agent(in.UUID))
}

type myAgentsInput struct {
	Limit  int `query:"limit" minimum:"1" maximum:"500" default:"500"`
	Offset int `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Registry) mine(ctx context.Context, p principal.Principal, in *myAgentsInput) ([]api.Agent, error) {
	agents, err := h.Service.Mine(ctx, p, in.Limit, in.Offset)
	return toAgents(agents, p), err
}

func toAgents(agents []registry.Agent, p principal.Principal) []api.Agent {
	list := make([]api.Agent, len(agents))
	for i, a := range agents {
		list[i] = toAgent(a, p)
	}
	return list
}

// toAgent is the wire form of an agent as the service showed it to p.
func toAgent(a registry.Agent, p principal.Principal) api.Agent {
	shown := api.Agent{
		ID: string(a.ID), AgentID: a.Slug, Name: a.Name, Description: a.Description, Version: a.Version, Endpoint: a.Endpoint, AuthType: a.AuthType,
		InputSchema: a.InputSchema, Tags: a.Tags, Category: a.Category, Visibility: a.Visibility, TrustVerification: a.Trust, IsActive: a.Active,
		SupportsStreaming: a.Streaming, HostedEntity: a.HostedEntity, HasCredentials: a.HasCredentials(p.User), PricingStrategy: a.PricingStrategy,
		BasePrice: a.BasePrice, PricingEnabled: a.PricingEnabled, CreatedAt: api.At(a.Created), UpdatedAt: api.At(a.Updated), SimilarityScore: a.Similarity,
	}
	figuresOf(a, &shown)
	return shown
}
