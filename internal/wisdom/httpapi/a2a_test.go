package httpapi

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/a2a"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// howToAuthenticate is in every card of ours, for both generations (contract §8.5).
const howToAuthenticate = `"defaultInputModes": ["text/plain", "application/json"], "defaultOutputModes": ["text/plain", "application/json"],
 "authentication": {"schemes": ["apiKey", "bearer"]},
 "securitySchemes": {
  "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "apiKeySecurityScheme": {"location": "header", "name": "X-API-Key"}},
  "bearer": {"type": "http", "scheme": "bearer", "httpAuthSecurityScheme": {"scheme": "bearer"}}},
 "security": [{"apiKey": []}, {"bearer": []}],
 "securityRequirements": [{"schemes": {"apiKey": []}}, {"schemes": {"bearer": []}}]}`

const agentCard = `{"protocolVersion": "0.3.0", "name": "Weather Oracle", "description": "Forecasts for any city.",
 "url": "https://intuno.example.org/a2a/agents/weather-oracle-9f3a01bc", "preferredTransport": "JSONRPC",
 "supportedInterfaces": [{"url": "https://intuno.example.org/a2a/agents/weather-oracle-9f3a01bc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
 "version": "1.0.0", "capabilities": {"streaming": false, "pushNotifications": false},
 "skills": [{"id": "weather-oracle-9f3a01bc", "name": "Weather Oracle", "description": "Forecasts for any city.", "tags": ["weather"]}],
 ` + howToAuthenticate

const platformCard = `{"protocolVersion": "0.3.0", "name": "Intuno",
 "description": "Finds agents by a request in your own words, invokes them, and lets them talk to each other in networks.",
 "url": "https://intuno.example.org/a2a/tasks/send", "preferredTransport": "JSONRPC",
 "supportedInterfaces": [{"url": "https://intuno.example.org/a2a/tasks/send", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}], "version": "1.2.3",
 "capabilities": {"streaming": false, "pushNotifications": false, "networks": true, "topologies": ["mesh", "star", "ring", "custom"], "channels": ["call", "message", "mailbox"]},
 "skills": [
  {"id": "discover", "name": "Discover agents", "description": "Find the right agent for a request in your own words.", "tags": ["discovery", "search"]},
  {"id": "invoke", "name": "Invoke an agent", "description": "Call a registered agent and get its answer.", "tags": ["invocation"]},
  {"id": "orchestrate", "name": "Orchestrate agents", "description": "Reach a goal with several agents.", "tags": ["orchestration"]},
  {"id": "network", "name": "Connect agents", "description": "Let agents exchange calls and messages in a network.", "tags": ["networks", "messaging"]}],
 ` + howToAuthenticate

func TestOurCardsLookAsInTheContract(t *testing.T) {
	h := &A2A{BaseURL: "https://intuno.example.org", Version: "1.2.3"}
	platform, err := h.platform(t.Context(), principal.Principal{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		card any
		want string
	}{"of an agent": {h.toCard(exampleAgent()), agentCard}, "of the platform": {platform, platformCard}} {
		got, err := httpx.JSON(tc.card)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(tc.want)); err != nil {
			t.Fatal(err)
		}
		if string(got) != want.String() {
			t.Errorf("card %s:\ngot  %s\nwant %s", name, got, &want)
		}
	}
	if list, err := httpx.JSON(h.toCard(registry.Agent{}).Skills[0].Tags); err != nil || string(list) != "[]" {
		t.Errorf("no tags: %s, %v", list, err)
	}
}

func TestTheAccessOfTheA2ARoutes(t *testing.T) {
	want := []string{
		"GET /.well-known/agent-card.json public 200", "GET /.well-known/agent.json public 200", "GET /.well-known/mcp/server-card.json public 200",
		"GET /a2a/agent-card public 200", "GET /a2a/agents user 200", "GET /a2a/agents/fetch-card user 200", "GET /a2a/agents/{agent_id}/agent-card public 200",
		"POST /a2a/agents/import delegable 201", "POST /a2a/agents/import/batch user 200", "POST /a2a/agents/{agent_id} user 200",
		"POST /a2a/agents/{agent_id}/refresh user 200", "POST /a2a/tasks/send user 200",
	}
	var got []string
	for _, r := range (&A2A{}).routes() {
		got = append(got, r.Method+" "+r.Pattern+" "+r.Access.String()+" "+strconv.Itoa(r.Success))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEveryKindOfFaultHasACodeOfJSONRPC(t *testing.T) {
	want := map[fault.Kind]int{
		fault.Internal: a2a.CodeInternal, fault.BadRequest: a2a.CodeInvalidRequest, fault.Unauthorized: a2a.CodeServer, fault.Forbidden: a2a.CodeServer,
		fault.NotFound: a2a.CodeServer, fault.TooLarge: a2a.CodeInvalidRequest, fault.Unsupported: a2a.CodeInvalidRequest, fault.Invalid: a2a.CodeInvalidRequest,
		fault.RateLimited: a2a.CodeServer, fault.Unavailable: a2a.CodeServer,
	}
	for kind, code := range want {
		if got := rpcCode(fault.New(kind, "x", "x")); got != code {
			t.Errorf("kind %d: %d, want %d", kind, got, code)
		}
	}
	if got := rpcCode(fault.New(fault.BadRequest, "malformed_json", "x")); got != a2a.CodeParse {
		t.Errorf("malformed JSON: %d, want %d", got, a2a.CodeParse)
	}
}

func TestTheIDOfARequestIsKeptAsItIs(t *testing.T) {
	for body, want := range map[string]string{
		``: "null", `null`: "null", `[]`: "null", `5`: "null", `{}`: "null", `{"id":null}`: "null", `{"id":"a\u0041"}`: `"a\u0041"`, `{"id": -1.50 }`: "-1.50",
		`{"id":1e400}`: "1e400", `{"id":{}}`: "null", `{"id":[1]}`: "null", `{"id":true}`: "null", `{"ID":1}`: "null",
	} {
		members := rpcMembers(fault.New(fault.BadRequest, "x", "x"), []byte(body))
		if id, ok := members["id"].(json.RawMessage); !ok || string(id) != want || members["jsonrpc"] != "2.0" {
			t.Errorf("%s: %v, want id %s", body, members, want)
		}
	}
}
