// Package mcpapi puts wisdom's rules on the Model Context Protocol: POST /mcp, by the
// Streamable HTTP transport, stateless and with JSON answers (contract §12). The
// official Go module speaks the protocol; here are the tools and resources, who runs
// them, and what of the transport is decided before the module is asked.
//
// Every request gets a server of the module of its own that is bound to its principal,
// so that no answer can be anybody else's. What is the same for all is made once.
//
// What is not here: who asks, how often and how much (httpx, like on every route), and
// what a tool may do (the rules, the same as behind the routes).
package mcpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// Registry finds agents.
type Registry interface {
	Discover(ctx context.Context, p principal.Principal, d registry.Discovery) (registry.Found, error)
	Agent(ctx context.Context, p principal.Principal, slug string) (registry.Agent, error)
	List(ctx context.Context, p principal.Principal, q registry.Query) ([]registry.Agent, error)
	Trending(ctx context.Context, p principal.Principal, days, limit int) ([]registry.Agent, error)
}

// Broker invokes agents.
type Broker interface {
	Invoke(ctx context.Context, p principal.Principal, r broker.Request) (broker.Result, error)
}

// Conversations shows what was said.
type Conversations interface {
	List(ctx context.Context, p principal.Principal, q conversation.Query) ([]conversation.Conversation, error)
	Messages(ctx context.Context, p principal.Principal, c id.Conversation, limit, offset int) ([]conversation.Message, error)
	Whole(ctx context.Context, p principal.Principal, m conversation.Message) (conversation.Message, error)
}

// Importer makes an agent of an A2A card. visibility nil is the default of the rules.
type Importer interface {
	Import(ctx context.Context, p principal.Principal, rawURL string, visibility *string) (registry.Agent, error)
}

// Networks lets agents talk to each other.
type Networks interface {
	Create(ctx context.Context, p principal.Principal, n network.NewNetwork) (network.Network, error)
	Join(ctx context.Context, p principal.Principal, in id.Network, n network.NewParticipant) (network.Participant, secret.String, error)
	Send(ctx context.Context, p principal.Principal, in id.Network, s network.Saying) (network.Message, error)
	Context(ctx context.Context, p principal.Principal, in id.Network, limit int) ([]network.Entry, error)
	Whole(ctx context.Context, p principal.Principal, m network.Message) (network.Message, error)
}

// Config is what an API works with.
type Config struct {
	Registry      Registry
	Broker        Broker
	Conversations Conversations
	Importer      Importer
	Networks      Networks
	Origins       []string // that browsers may send: those of CORS ("*" is any), and our own
	Version       string   // of this program
	Log           *slog.Logger
}

// API is the MCP server. It is safe for concurrent use.
type API struct {
	c         Config
	origins   map[string]bool
	anyOrigin bool
	identity  *mcp.Implementation
	options   *mcp.ServerOptions
	tools     []tool
	resources []resource
}

// versions are the protocol versions that are spoken, by date.
var versions = []string{"2025-03-26", "2025-06-18", "2025-11-25"}

const instructions = "Find agents with discover_agents, look at the input_schema of one with get_agent_details, then call it with invoke_agent. " +
	"Pass the conversation_id of an answer to the next call to stay in the same conversation. " +
	"To let agents talk to each other, create_network, let each of them join_network, and send_network_message."

// New returns the server.
func New(c Config) *API {
	a := &API{
		c:        c,
		origins:  map[string]bool{},
		identity: &mcp.Implementation{Name: "Intuno", Version: c.Version},
		options: &mcp.ServerOptions{
			Instructions:              instructions,
			SupportedProtocolVersions: versions,
			Capabilities:              &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}, Resources: &mcp.ResourceCapabilities{}},
			// The module says "public" unless told otherwise, but a resource shows private
			// agents to their owner: nobody may keep it for somebody else.
			SetCacheable: func(_ context.Context, _ mcp.Request, c *mcp.Cacheable) { c.CacheScope = "private" },
		},
		tools:     tools(),
		resources: resources(),
	}
	for _, o := range c.Origins {
		a.anyOrigin = a.anyOrigin || o == "*"
		a.origins[serialized(o)] = true
	}
	return a
}

// serialized is an origin as browsers write it: lower case, without the port that the
// scheme means (RFC 6454 §6.1).
func serialized(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return origin
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "http" && u.Port() == "80" || u.Scheme == "https" && u.Port() == "443" {
		host = strings.TrimSuffix(host, ":"+u.Port())
	}
	return strings.ToLower(u.Scheme) + "://" + host
}

// Routes is the one row of this face. Other methods than POST are 405: there is no
// session to listen to or to end.
func (a *API) Routes() []httpx.Route {
	return []httpx.Route{
		httpx.Post("/mcp", httpx.UserOrBearerKey, a.post, httpx.Returns[api.RPCResponse](), httpx.Doc(routeDoc)),
	}
}

const routeDoc = "The MCP server (Streamable HTTP, stateless, JSON answers): one JSON-RPC message a request. " +
	"Authorization: Bearer takes an API key too. A notification is answered 202, an error of the protocol 200 with a JSON-RPC error."

// input is a request. Headers are lists of lines; nil if absent.
type input struct {
	Origin  []string `header:"Origin" doc:"If sent, an origin that CORS allows, or the service's own"`
	Accept  []string `header:"Accept"`
	Version []string `header:"MCP-Protocol-Version" doc:"2025-03-26, 2025-06-18 or 2025-11-25"`
	Body    httpx.Object
}

// post answers one message. Its faults are those of the transport; what is wrong with
// the message itself is told by JSON-RPC.
func (a *API) post(ctx context.Context, p principal.Principal, in *input) (httpx.Reply, error) {
	if err := a.checkOrigin(in.Origin); err != nil {
		return httpx.Reply{}, err
	}
	if !acceptsJSON(in.Accept) {
		return httpx.Reply{}, fault.New(fault.BadRequest, api.CodeBadRequest, "Accept must allow application/json")
	}
	version, err := checkVersion(in.Version)
	if err != nil {
		return httpx.Reply{}, err
	}
	m, refused := read(in.Body)
	if refused == nil && m.call() {
		refused = a.checkCall(&m)
	}
	if refused != nil {
		return refusal(m.ID, *refused)
	}
	if !m.call() {
		return httpx.Reply{Status: http.StatusAccepted, Raw: []byte{}}, nil
	}
	return a.run(ctx, p, m, version)
}

// checkOrigin keeps the pages of others away, and names that point here by DNS
// rebinding (MCP 2025-11-25, transports, security warning).
func (a *API) checkOrigin(lines []string) error {
	if len(lines) == 0 || len(lines) == 1 && (a.anyOrigin || a.origins[lines[0]]) {
		return nil
	}
	return fault.New(fault.Forbidden, api.CodeForbidden, "Origin is not allowed")
}

// checkVersion returns the protocol version of the header, "" if it is absent.
func checkVersion(lines []string) (string, error) {
	switch {
	case len(lines) == 0:
		return "", nil
	case len(lines) == 1 && slices.Contains(versions, lines[0]):
		return lines[0], nil
	}
	return "", fault.New(fault.BadRequest, api.CodeBadRequest, "MCP-Protocol-Version must be one of %s", strings.Join(versions, ", "))
}

// acceptsJSON reports whether an Accept header takes our answers. Absent, it takes
// all; text/event-stream, which MCP wants named too, is never answered and not asked for.
func acceptsJSON(lines []string) bool {
	if len(lines) == 0 {
		return true
	}
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil || media != "application/json" && media != "application/*" && media != "*/*" {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err != nil || q > 0 {
			return true
		}
	}
	return false
}

// refusal answers a message with a JSON-RPC error.
func refusal(id jsontext.Value, e api.RPCError) (httpx.Reply, error) {
	return httpx.Reply{JSON: api.RPCResponse{JSONRPC: rpcVersion, ID: json.RawMessage(id), Error: &e}}, nil
}
