package mcpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/httpapi"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// tool is one row of the table of contract §12. run reads its arguments, and returns
// what is shown as JSON.
type tool struct {
	definition *mcp.Tool
	run        func(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error)
}

// tools are those that are served by now. A schema says what run reads.
func tools() []tool {
	return append([]tool{
		newTool("discover_agents", "Find agents by a request in your own words, best first. similarity_score is a distance: 0 is the same, 2 unrelated.", reads,
			`{"query":{"type":"string","maxLength":4000,"description":"What the agent should be able to do. Empty: the best agents by quality"},
			"limit":{"type":"integer","default":5,"description":"1 to 50; what is outside counts as the nearest bound"}}`, `["query"]`, discoverAgents),
		newTool("get_agent_details", "Read everything about one agent, its input_schema included.", reads,
			`{"agent_id":{"type":"string","description":"As discover_agents names it"}}`, `["agent_id"]`, agentDetails),
		newTool("invoke_agent", "Call an agent and wait for its answer.", acts,
			`{"agent_id":{"type":"string","description":"As discover_agents names it"},
			"input_data":{"type":"object","description":"What the agent gets, by its input_schema"},
			"conversation_id":{"type":["string","null"],"format":"uuid","description":"Of an earlier answer, to stay in its conversation"},
			"message_id":{"type":["string","null"],"format":"uuid","description":"Of a message that is stored in the conversation already"}}`,
			`["agent_id","input_data"]`, invokeAgent),
		newTool("list_conversations", "List your conversations with agents, newest first.", reads,
			`{"limit":{"type":"integer","default":50,"minimum":1,"maximum":1000}}`, `[]`, listConversations),
		newTool("get_conversation_messages", "Read what was said in a conversation, oldest first.", reads,
			`{"conversation_id":{"type":"string","format":"uuid"},
			"limit":{"type":"integer","default":100,"minimum":1,"maximum":500},
			"offset":{"type":"integer","default":0,"minimum":0,"maximum":1000000}}`, `["conversation_id"]`, conversationMessages),
		newTool("import_a2a_agent", "Register the agent that an A2A card describes, or update your import of that card.", acts,
			`{"url":{"type":"string","maxLength":2048,"description":"Of the card, or of what is above it"}}`, `["url"]`, importAgent),
	}, networkTools()...)
}

// Whether a tool only reads, which clients may let a model do without asking.
const (
	reads = true
	acts  = false
)

func newTool(name, description string, readOnly bool, properties, required string,
	run func(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error)) tool {
	return tool{run: run, definition: &mcp.Tool{
		Name: name, Description: description, Annotations: &mcp.ToolAnnotations{ReadOnlyHint: readOnly},
		InputSchema: json.RawMessage(fmt.Sprintf(`{"type":"object","properties":%s,"required":%s}`, properties, required)),
	}}
}

// Bounds of arguments, those of the routes.
const (
	maxQuery         = 4000
	maxFound         = 50
	maxSlug          = 1024 // an impossible one is not found
	maxURL           = 2048
	maxConversations = 1000
	maxMessages      = 500
	maxOffset        = 1_000_000
	maxSaid          = 8 << 20 // bytes of messages in one answer, which is one text; of one message any
)

func discoverAgents(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	d := registry.Discovery{Text: in.text("query", maxQuery), Limit: min(max(in.integer("limit", 5), 1), maxFound)}
	if err := in.err(); err != nil {
		return nil, err
	}
	found, err := a.c.Registry.Discover(ctx, p, d)
	return summaries(found.Agents), err
}

func agentDetails(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	slug := in.text("agent_id", maxSlug)
	if err := in.err(); err != nil {
		return nil, err
	}
	agent, err := a.c.Registry.Agent(ctx, p, slug)
	return httpapi.AgentFor(agent, p), err
}

// invoked is the answer of invoke_agent. One that is no success is marked as an error,
// and still says what there is to say.
type invoked struct {
	Success        bool       `json:"success"`
	Data           api.Object `json:"data"`
	Error          *string    `json:"error"`
	LatencyMS      int64      `json:"latency_ms"`
	ConversationID *string    `json:"conversation_id"`
}

func (i invoked) failed() bool { return !i.Success }

func invokeAgent(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	r := broker.Request{Agent: in.text("agent_id", maxSlug), Input: in.object("input_data"),
		Conversation: optionalUUID[id.Conversation](in, "conversation_id"), Message: optionalUUID[id.Message](in, "message_id")}
	if err := in.err(); err != nil {
		return nil, err
	}
	result, err := a.c.Broker.Invoke(ctx, p, r)
	if err != nil {
		return nil, err
	}
	answer := invoked{Success: result.Success, Data: result.Data, LatencyMS: result.Latency.Milliseconds()}
	if result.Code != "" {
		text := result.Code.Text()
		answer.Error = &text
	}
	if c := string(result.Conversation); c != "" {
		answer.ConversationID = &c
	}
	return answer, nil
}

func listConversations(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	q := conversation.Query{Limit: in.within("limit", 50, 1, maxConversations)}
	if err := in.err(); err != nil {
		return nil, err
	}
	list, err := a.c.Conversations.List(ctx, p, q)
	return httpapi.Conversations(list), err
}

func conversationMessages(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	c := uuidOf[id.Conversation](in, "conversation_id")
	limit, offset := in.within("limit", 100, 1, maxMessages), in.within("offset", 0, 0, maxOffset)
	if err := in.err(); err != nil {
		return nil, err
	}
	list, err := a.c.Conversations.Messages(ctx, p, c, limit, offset)
	if err != nil {
		return nil, err
	}
	said, size := make([]jsontext.Value, len(list)), 0
	for i, m := range list {
		if m, err = a.c.Conversations.Whole(ctx, p, m); fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if said[i], err = httpx.JSON(httpapi.Message(m)); err != nil {
			return nil, fmt.Errorf("encode a message: %w", err)
		}
		if size += len(said[i]); size > maxSaid && i > 0 {
			return nil, fault.New(fault.TooLarge, api.CodePayloadTooLarge, "these messages are larger than %d bytes: ask for fewer, with a limit of at most %d", maxSaid, i)
		}
	}
	return slices.DeleteFunc(said, func(m jsontext.Value) bool { return m == nil }), nil
}

func importAgent(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	url := in.text("url", maxURL)
	if err := in.err(); err != nil {
		return nil, err
	}
	agent, err := a.c.Importer.Import(ctx, p, url, nil)
	return httpapi.AgentFor(agent, p), err
}

// resource is what can be read without arguments.
type resource struct {
	definition *mcp.Resource
	read       func(ctx context.Context, a *API, p principal.Principal) (any, error)
}

// How far the resources look back, and how much they list (contract §12).
const (
	recentDays  = 7
	recentLimit = 20
)

func resources() []resource {
	return []resource{
		{definition: &mcp.Resource{URI: "intuno://agents/trending", Name: "trending", Title: "Trending agents", MIMEType: "application/json",
			Description: "The agents that were called most in the last 7 days"},
			read: func(ctx context.Context, a *API, p principal.Principal) (any, error) {
				agents, err := a.c.Registry.Trending(ctx, p, recentDays, recentLimit)
				return summaries(agents), err
			}},
		{definition: &mcp.Resource{URI: "intuno://agents/new", Name: "new", Title: "New agents", MIMEType: "application/json",
			Description: "The agents that were registered in the last 7 days, newest first"},
			read: func(ctx context.Context, a *API, p principal.Principal) (any, error) {
				agents, err := a.c.Registry.List(ctx, p, registry.Query{Days: recentDays, Limit: recentLimit})
				return summaries(agents), err
			}},
	}
}

// summary is what a list shows of an agent (contract §12).
type summary struct {
	AgentID         string     `json:"agent_id"`
	Name            string     `json:"name"`
	Description     string     `json:"description"`
	AuthType        string     `json:"auth_type"`
	Endpoint        *string    `json:"endpoint"` // owner only
	InputSchema     api.Object `json:"input_schema,omitzero"`
	Tags            []string   `json:"tags,omitempty"`
	Category        *string    `json:"category,omitempty"`
	SimilarityScore *float64   `json:"similarity_score,omitempty"`
}

func summaries(agents []registry.Agent) []summary {
	list := make([]summary, len(agents))
	for i, a := range agents {
		list[i] = summary{AgentID: a.Slug, Name: a.Name, Description: a.Description, AuthType: a.AuthType, Endpoint: a.Endpoint,
			InputSchema: a.InputSchema, Tags: a.Tags, Category: a.Category, SimilarityScore: a.Similarity}
	}
	return list
}
