package intuno

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/IntunoAI/intuno-go/api"
)

// Ways to rank what Discover finds.
const (
	RankBalanced       = "balanced"
	RankQualityFirst   = "quality_first"
	RankSimilarityOnly = "similarity_only"
)

// Discovery asks for agents in one's own words.
type Discovery struct {
	Query     string   // may be empty: then the best agents by quality
	Limit     int      // 1 to 50; 0: 10
	Threshold *float64 // keeps agents with at most this similarity_score, 0 to 2
	RankBy    string   // empty: RankBalanced
}

// Discover finds agents, the best first. Their SimilarityScore is a distance: 0 is the
// same, 2 unrelated.
func (c *Client) Discover(ctx context.Context, d Discovery) ([]api.Agent, error) {
	q := url.Values{"query": {d.Query}}
	number(q, "limit", d.Limit)
	text(q, "rank_by", d.RankBy)
	if d.Threshold != nil {
		q.Set("similarity_threshold", strconv.FormatFloat(*d.Threshold, 'g', -1, 64))
	}
	return call[[]api.Agent](ctx, c, newRequest(http.MethodGet, "/registry/discover").with(q))
}

// RegisterAgent registers an agent. The one of a hosted entity is updated if it exists.
func (c *Client) RegisterAgent(ctx context.Context, agent api.NewAgent) (api.Agent, error) {
	return call[api.Agent](ctx, c, newRequest(http.MethodPost, "/registry/agents").send(agent))
}

// Agent reads an agent by its slug.
func (c *Client) Agent(ctx context.Context, slug string) (api.Agent, error) {
	return call[api.Agent](ctx, c, newRequest(http.MethodGet, "/registry/agents/{agent_id}", slug))
}

// UpdateAgent changes your agent, by its id and not its slug.
func (c *Client) UpdateAgent(ctx context.Context, id string, change api.AgentPatch) (api.Agent, error) {
	return call[api.Agent](ctx, c, newRequest(http.MethodPut, "/registry/agents/{uuid}", id).send(change))
}

// DeleteAgent deletes your agent, by its id.
func (c *Client) DeleteAgent(ctx context.Context, id string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/registry/agents/{uuid}", id))
}

// AgentQuery selects agents.
type AgentQuery struct {
	Tags     []string // any of them
	Search   string   // part of the name or the description, in any case
	Category string
	Sort     string // "created_at" (default), "updated_at" or "name"
	Order    string // "asc" or "desc" (default)
	Days     int    // registered in the last so many days, 1 to 365
	Page            // Limit 1 to 100; 0: 20
}

// Agents lists active agents.
func (c *Client) Agents(ctx context.Context, query AgentQuery) ([]api.Agent, error) {
	q := query.query()
	for _, tag := range query.Tags {
		q.Add("tags", tag)
	}
	text(q, "search", query.Search)
	text(q, "category", query.Category)
	text(q, "sort", query.Sort)
	text(q, "order", query.Order)
	number(q, "days", query.Days)
	return call[[]api.Agent](ctx, c, newRequest(http.MethodGet, "/registry/agents").with(q))
}

// AllAgents walks the pages of Agents.
func (c *Client) AllAgents(ctx context.Context, query AgentQuery) iter.Seq2[api.Agent, error] {
	return pages(query.Page, 100, func(p Page) ([]api.Agent, error) {
		query.Page = p
		return c.Agents(ctx, query)
	})
}

// RecentQuery selects agents by when they were registered.
type RecentQuery struct {
	Days int // 1 to 365; 0: 7
	Page     // Limit 1 to 100; 0: 20
}

// NewAgents lists the agents that were registered lately, newest first.
func (c *Client) NewAgents(ctx context.Context, query RecentQuery) ([]api.Agent, error) {
	q := query.query()
	number(q, "days", query.Days)
	return call[[]api.Agent](ctx, c, newRequest(http.MethodGet, "/registry/agents/new").with(q))
}

// AllNewAgents walks the pages of NewAgents.
func (c *Client) AllNewAgents(ctx context.Context, query RecentQuery) iter.Seq2[api.Agent, error] {
	return pages(query.Page, 100, func(p Page) ([]api.Agent, error) {
		query.Page = p
		return c.NewAgents(ctx, query)
	})
}

// TrendingQuery selects agents by how often they were called.
type TrendingQuery struct {
	Days  int // calls of the last so many days count, 1 to 365; 0: 7
	Limit int // 1 to 100; 0: 20
}

// TrendingAgents lists the agents that are called most.
func (c *Client) TrendingAgents(ctx context.Context, query TrendingQuery) ([]api.Agent, error) {
	q := url.Values{}
	number(q, "window_days", query.Days)
	number(q, "limit", query.Limit)
	return call[[]api.Agent](ctx, c, newRequest(http.MethodGet, "/registry/agents/trending").with(q))
}

// MyAgents lists your agents, inactive ones included, newest first; Limit is 1 to 500.
func (c *Client) MyAgents(ctx context.Context, page Page) ([]api.Agent, error) {
	return call[[]api.Agent](ctx, c, newRequest(http.MethodGet, "/registry/my-agents").with(page.query()))
}

// AllMyAgents walks the pages of MyAgents.
func (c *Client) AllMyAgents(ctx context.Context, page Page) iter.Seq2[api.Agent, error] {
	return pages(page, 500, func(p Page) ([]api.Agent, error) { return c.MyAgents(ctx, p) })
}

// PutCredential stores what your agent, by its id, wants to see from the broker.
func (c *Client) PutCredential(ctx context.Context, id string, credential api.NewCredential) error {
	return c.do(ctx, newRequest(http.MethodPost, "/registry/agents/{uuid}/credentials", id).send(credential))
}

// DeleteCredentials removes every credential of your agent, by its id.
func (c *Client) DeleteCredentials(ctx context.Context, id string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/registry/agents/{uuid}/credentials", id))
}

// RateAgent rates somebody's agent that you have invoked, by its slug, or changes your
// rating.
func (c *Client) RateAgent(ctx context.Context, slug string, rating api.NewRating) (api.Rating, error) {
	return call[api.Rating](ctx, c, newRequest(http.MethodPost, "/registry/agents/{agent_id}/rate", slug).send(rating))
}

// Ratings lists the ratings of an agent, the latest change first; Limit is 1 to 100.
func (c *Client) Ratings(ctx context.Context, slug string, page Page) ([]api.Rating, error) {
	return call[[]api.Rating](ctx, c, newRequest(http.MethodGet, "/registry/agents/{agent_id}/ratings", slug).with(page.query()))
}

// AllRatings walks the pages of Ratings.
func (c *Client) AllRatings(ctx context.Context, slug string, page Page) iter.Seq2[api.Rating, error] {
	return pages(page, 100, func(p Page) ([]api.Rating, error) { return c.Ratings(ctx, slug, p) })
}
