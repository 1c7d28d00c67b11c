package intuno

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"github.com/IntunoAI/intuno-go/api"
)

// PlatformCard is the A2A card of the platform.
func (c *Client) PlatformCard(ctx context.Context) (api.AgentCard, error) {
	return call[api.AgentCard](ctx, c, newRequest(http.MethodGet, "/.well-known/agent-card.json").anonymous())
}

// MCPServerCard says where the MCP server is.
func (c *Client) MCPServerCard(ctx context.Context) (api.MCPServerCard, error) {
	return call[api.MCPServerCard](ctx, c, newRequest(http.MethodGet, "/.well-known/mcp/server-card.json").anonymous())
}

// AgentCard is the card of a public active agent, by its slug.
func (c *Client) AgentCard(ctx context.Context, slug string) (api.AgentCard, error) {
	return call[api.AgentCard](ctx, c, newRequest(http.MethodGet, "/a2a/agents/{agent_id}/agent-card", slug).anonymous())
}

// AgentCards lists the cards of active agents, newest first; Limit is 1 to 100.
func (c *Client) AgentCards(ctx context.Context, page Page) ([]api.AgentCard, error) {
	cards, err := call[api.AgentCards](ctx, c, newRequest(http.MethodGet, "/a2a/agents").with(page.query()))
	return cards.Agents, err
}

// AllAgentCards walks the pages of AgentCards.
func (c *Client) AllAgentCards(ctx context.Context, page Page) iter.Seq2[api.AgentCard, error] {
	return pages(page, 100, func(p Page) ([]api.AgentCard, error) { return c.AgentCards(ctx, p) })
}

// ImportA2A registers the agent that a card describes, or updates your import of that
// card.
func (c *Client) ImportA2A(ctx context.Context, card api.CardImport) (api.ImportedAgent, error) {
	return call[api.ImportedAgent](ctx, c, newRequest(http.MethodPost, "/a2a/agents/import").send(card))
}

// ImportA2ABatch imports 1 to 20 cards. The results are in the order of urls; a card
// that fails does not stop the others.
func (c *Client) ImportA2ABatch(ctx context.Context, urls []string) ([]api.BatchResult, error) {
	done, err := call[api.BatchResults](ctx, c, newRequest(http.MethodPost, "/a2a/agents/import/batch").send(api.CardImports{URLs: urls}))
	return done.Results, err
}

// RefreshA2A reads the card of your imported agent again, by its slug.
func (c *Client) RefreshA2A(ctx context.Context, slug string) (api.RefreshedAgent, error) {
	return call[api.RefreshedAgent](ctx, c, newRequest(http.MethodPost, "/a2a/agents/{agent_id}/refresh", slug))
}

// PreviewA2A fetches the card that an import of cardURL would read.
func (c *Client) PreviewA2A(ctx context.Context, cardURL string) (api.Object, error) {
	fetched, err := call[api.FetchedCard](ctx, c, newRequest(http.MethodGet, "/a2a/agents/fetch-card").with(url.Values{"url": {cardURL}}))
	return fetched.Card, err
}

// SendA2A sends a JSON-RPC request of the A2A protocol to an agent, by its slug. A failure
// of the agent is the Error of the response, not an error.
func (c *Client) SendA2A(ctx context.Context, slug string, message api.RPCRequest) (api.RPCResponse, error) {
	return call[api.RPCResponse](ctx, c, newRequest(http.MethodPost, "/a2a/agents/{agent_id}", slug).send(version2(message)))
}

// SendA2ATask sends a task to a participant of a network by A2A.
func (c *Client) SendA2ATask(ctx context.Context, task api.RPCRequest) (api.RPCResponse, error) {
	return call[api.RPCResponse](ctx, c, newRequest(http.MethodPost, "/a2a/tasks/send").send(version2(task)))
}

func version2(r api.RPCRequest) api.RPCRequest {
	if r.JSONRPC == "" {
		r.JSONRPC = "2.0"
	}
	return r
}
