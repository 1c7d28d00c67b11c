package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/a2a"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// A2A serves agents and the platform by the A2A protocol (contract §8).
type A2A struct {
	Service *a2a.Service
	BaseURL string // public origin, without a slash at the end
	Version string // of this program
}

func (h *A2A) routes() []httpx.Route {
	rpcErrors := httpx.EmbedErrors(rpcMembers)
	return []httpx.Route{
		httpx.Get("/.well-known/agent.json", httpx.Public, h.platform, httpx.Doc("The platform's agent card, where cards were before A2A 0.3")),
		httpx.Get("/.well-known/agent-card.json", httpx.Public, h.platform, httpx.Doc("The platform's agent card")),
		httpx.Get("/a2a/agent-card", httpx.Public, h.platform, httpx.Doc("The platform's agent card")),
		httpx.Get("/.well-known/mcp/server-card.json", httpx.Public, h.mcpServer, httpx.Doc("Where the MCP server is")),
		httpx.Get("/a2a/agents", httpx.User, h.list, httpx.Doc("List the cards of the active agents that you may see, newest first")),
		httpx.Get("/a2a/agents/{agent_id}/agent-card", httpx.Public, h.card, httpx.Doc("The card of a public active agent")),
		httpx.Post("/a2a/agents/import", httpx.Delegable, h.importCard, httpx.Status(http.StatusCreated),
			httpx.Doc("Register the agent that a card describes, or update your import of that card")),
		httpx.Post("/a2a/agents/import/batch", httpx.User, h.importBatch, httpx.Doc("Import several cards; one failure does not stop the others")),
		httpx.Post("/a2a/agents/{agent_id}/refresh", httpx.User, h.refresh, httpx.Doc("Read the card of your imported agent again")),
		httpx.Get("/a2a/agents/fetch-card", httpx.User, h.preview, httpx.Doc("Show the card that an import would read")),
		httpx.Post("/a2a/agents/{agent_id}", httpx.User, h.message, rpcErrors, httpx.Doc("Send a message to an agent by A2A (JSON-RPC)")),
		httpx.Post("/a2a/tasks/send", httpx.User, h.task, rpcErrors, httpx.Doc("Send a task to a participant of a network by A2A (JSON-RPC)")),
	}
}

func (h *A2A) platform(context.Context, principal.Principal, *struct{}) (api.AgentCard, error) {
	c := newCard(h.BaseURL + "/a2a/tasks/send")
	c.Name = "Intuno"
	c.Description = "Finds agents by a request in your own words, invokes them, and lets them talk to each other in networks."
	c.Version = h.Version
	c.Capabilities.Networks = true
	c.Capabilities.Topologies = []string{"mesh", "star", "ring", "custom"}
	c.Capabilities.Channels = []string{"call", "message", "mailbox"}
	c.Skills = []api.AgentSkill{
		{ID: "discover", Name: "Discover agents", Description: "Find the right agent for a request in your own words.", Tags: []string{"discovery", "search"}},
		{ID: "invoke", Name: "Invoke an agent", Description: "Call a registered agent and get its answer.", Tags: []string{"invocation"}},
		{ID: "orchestrate", Name: "Orchestrate agents", Description: "Reach a goal with several agents.", Tags: []string{"orchestration"}},
		{ID: "network", Name: "Connect agents", Description: "Let agents exchange calls and messages in a network.", Tags: []string{"networks", "messaging"}},
	}
	return c, nil
}

func (h *A2A) mcpServer(context.Context, principal.Principal, *struct{}) (api.MCPServerCard, error) {
	return api.MCPServerCard{Name: "Intuno", Version: h.Version, URL: h.BaseURL + "/mcp", Transport: "streamable-http"}, nil
}

type cardListInput struct {
	Limit  int `query:"limit" minimum:"1" maximum:"100" default:"100"`
	Offset int `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *A2A) list(ctx context.Context, p principal.Principal, in *cardListInput) (api.AgentCards, error) {
	agents, err := h.Service.Agents(ctx, p, in.Limit, in.Offset)
	cards := make([]api.AgentCard, len(agents))
	for i, a := range agents {
		cards[i] = h.toCard(a)
	}
	return api.AgentCards{Agents: cards}, err
}

func (h *A2A) card(ctx context.Context, _ principal.Principal, in *agentSlugInput) (api.AgentCard, error) {
	a, err := h.Service.Agent(ctx, in.AgentID)
	return h.toCard(a), err
}

// toCard is the card of an agent: how to reach it through us. Where it really is, and
// how we authenticate there, is nobody's business.
func (h *A2A) toCard(a registry.Agent) api.AgentCard {
	c := newCard(h.BaseURL + "/a2a/agents/" + a.Slug)
	c.Name, c.Description, c.Version = a.Name, a.Description, a.Version
	c.Skills = []api.AgentSkill{{ID: a.Slug, Name: a.Name, Description: a.Description, Tags: a.Tags}}
	return c
}

// newCard is what all our cards have in common.
func newCard(url string) api.AgentCard {
	modes := []string{"text/plain", "application/json"}
	return api.AgentCard{
		ProtocolVersion: "0.3.0", URL: url, PreferredTransport: "JSONRPC",
		SupportedInterfaces: []api.AgentInterface{{URL: url, ProtocolBinding: "JSONRPC", ProtocolVersion: "1.0"}},
		DefaultInputModes:   modes, DefaultOutputModes: modes,
		Authentication: api.AgentAuthentication{Schemes: []string{"apiKey", "bearer"}},
		SecuritySchemes: map[string]api.SecurityScheme{
			"apiKey": {Type: "apiKey", In: "header", Name: "X-API-Key", APIKey: &api.APIKeyScheme{Location: "header", Name: "X-API-Key"}},
			"bearer": {Type: "http", Scheme: "bearer", HTTP: &api.HTTPScheme{Scheme: "bearer"}},
		},
		Security:             []map[string][]string{{"apiKey": {}}, {"bearer": {}}},
		SecurityRequirements: []api.SecurityRequirement{{Schemes: map[string][]string{"apiKey": {}}}, {Schemes: map[string][]string{"bearer": {}}}},
	}
}

type importInput struct{ Body importBody }

type importBody struct {
	URL        string  `json:"url" maxLength:"2048" doc:"Of the card, or of what is above it"`
	Visibility *string `json:"visibility,omitempty" nullable:"true" enum:"public,private" doc:"Default public; an import that is there keeps its own"`
}

func (h *A2A) importCard(ctx context.Context, p principal.Principal, in *importInput) (api.ImportedAgent, error) {
	a, err := h.Service.Import(ctx, p, in.Body.URL, in.Body.Visibility)
	return api.ImportedAgent{Success: true, AgentID: a.Slug, Name: a.Name, Description: a.Description, InvokeEndpoint: a.Endpoint, Tags: a.Tags}, err
}

type importBatchInput struct{ Body importBatchBody }

type importBatchBody struct {
	URLs []string `json:"urls" minItems:"1" maxItems:"20" itemMaxLength:"2048"`
}

func (h *A2A) importBatch(ctx context.Context, p principal.Principal, in *importBatchInput) (api.BatchResults, error) {
	done := h.Service.ImportAll(ctx, p, in.Body.URLs)
	results := make([]api.BatchResult, len(done))
	for i, r := range done {
		if r.Fault != nil {
			results[i] = api.BatchResult{URL: r.URL, Error: r.Fault.Detail, Code: r.Fault.Code}
			continue
		}
		results[i] = api.BatchResult{URL: r.URL, Success: true, AgentID: r.Agent.Slug, Name: r.Agent.Name}
	}
	return api.BatchResults{Results: results}, nil
}

func (h *A2A) refresh(ctx context.Context, p principal.Principal, in *agentSlugInput) (api.RefreshedAgent, error) {
	a, err := h.Service.Refresh(ctx, p, in.AgentID)
	return api.RefreshedAgent{Success: true, AgentID: a.Slug, Name: a.Name}, err
}

type previewInput struct {
	URL string `query:"url" required:"true" maxLength:"2048"`
}

func (h *A2A) preview(ctx context.Context, _ principal.Principal, in *previewInput) (api.FetchedCard, error) {
	text, err := h.Service.Preview(ctx, in.URL)
	return api.FetchedCard{Success: true, Card: text}, err
}

// messageInput takes any text for the agent: an unknown one is answered like every
// other fault of this route, with the id of the request.
type messageInput struct {
	AgentID string `path:"agent_id"`
	Body    messageBody
}

type messageBody struct {
	JSONRPC string          `json:"jsonrpc" enum:"2.0"`
	ID      json.RawMessage `json:"id,omitempty" doc:"A string, a number or null"`
	Method  string          `json:"method" doc:"message/send (A2A 0.3) or SendMessage (1.0)"`
	Params  json.RawMessage `json:"params,omitempty" doc:"As the method's generation of A2A has it"`
}

func (h *A2A) message(ctx context.Context, p principal.Principal, in *messageInput) (api.RPCResponse, error) {
	b := &in.Body
	if err := checkID(b.ID); err != nil {
		return api.RPCResponse{}, err
	}
	answer, err := h.Service.Answer(ctx, p, in.AgentID, a2a.Call{Method: b.Method, Params: b.Params})
	return toRPC(b.ID, answer), err
}

type taskInput struct{ Body taskBody }

// taskBody leaves out jsonrpc and method: nobody looks at them.
type taskBody struct {
	ID     json.RawMessage `json:"id,omitempty" doc:"A string, a number or null"`
	Params json.RawMessage `json:"params,omitempty" doc:"network_id, sender_participant_id, recipient_participant_id, task"`
}

func (h *A2A) task(ctx context.Context, p principal.Principal, in *taskInput) (api.RPCResponse, error) {
	if err := checkID(in.Body.ID); err != nil {
		return api.RPCResponse{}, err
	}
	answer, err := h.Service.SendTask(ctx, p, in.Body.Params)
	return toRPC(in.Body.ID, answer), err
}

func toRPC(id json.RawMessage, answer a2a.Answer) api.RPCResponse {
	response := api.RPCResponse{JSONRPC: rpcVersion, ID: orNull(id), Result: answer.Result}
	if answer.Err != nil {
		response.Error = &api.RPCError{Code: answer.Err.Code, Message: answer.Err.Message}
	}
	return response
}

const rpcVersion = "2.0"

// lawfulID reports whether id may be the id of a JSON-RPC request (JSON-RPC 2.0 §4).
func lawfulID(id json.RawMessage) bool {
	return len(id) == 0 || id[0] == '"' || id[0] == '-' || '0' <= id[0] && id[0] <= '9' || id[0] == 'n'
}

func checkID(id json.RawMessage) error {
	if lawfulID(id) {
		return nil
	}
	return fault.InvalidField("value_error", "must be a string, a number or null", "body", "id")
}

func orNull(id json.RawMessage) json.RawMessage {
	if len(id) == 0 || !lawfulID(id) {
		return json.RawMessage("null")
	}
	return id
}

// rpcMembers makes an error of the HTTP request one of JSON-RPC too (contract §8.1).
func rpcMembers(f *fault.Error, body []byte) map[string]any {
	var request map[string]json.RawMessage
	_ = json.Unmarshal(body, &request) // not an object: it has no id
	return map[string]any{"jsonrpc": rpcVersion, "id": orNull(request["id"]), "error": api.RPCError{Code: rpcCode(f), Message: f.Detail}}
}

// rpcCode is the JSON-RPC code of a fault that does not bring its own.
func rpcCode(f *fault.Error) int {
	switch f.Kind {
	case fault.BadRequest, fault.Invalid, fault.TooLarge, fault.Unsupported:
		if f.Code == api.CodeMalformedJSON {
			return a2a.CodeParse
		}
		return a2a.CodeInvalidRequest
	case fault.Internal:
		return a2a.CodeInternal
	}
	return a2a.CodeServer
}
