package wisdom

import (
	"encoding/json"
	"strings"
	"testing"
)

// access is who may call what, as the contract says it. The table of routes must agree,
// both ways: a route that is not here fails.
var access = map[string]string{
	"GET /health": "public", "GET /ready": "public", "GET /openapi.json": "public", "GET /docs": "public", "GET /docs/{asset}": "public",
	"POST /auth/register": "public", "POST /auth/login": "public", "POST /auth/logout": "jwt", "POST /auth/password": "jwt",
	"GET /auth/me": "user", "POST /auth/api-keys": "keymgmt", "GET /auth/api-keys": "user", "DELETE /auth/api-keys/{key_id}": "keymgmt",
	"PATCH /admin/users/{id}": "admin", "POST /admin/agents/{uuid}/kill": "admin", "POST /admin/agents/{uuid}/reactivate": "admin",
	"GET /admin/agents/disabled": "admin", "POST /admin/platform/halt": "admin", "POST /admin/platform/resume": "admin",
	"GET /admin/platform/status": "admin", "GET /safety/status": "public",
	"GET /conversations": "user", "GET /conversations/{id}": "user", "PATCH /conversations/{id}": "user", "DELETE /conversations/{id}": "user",
	"GET /conversations/{id}/logs": "user", "GET /conversations/{id}/messages": "user", "GET /conversations/{id}/messages/{mid}": "user",
	"DELETE /conversations/{id}/messages/{mid}": "user",
	"POST /integrations":                        "user", "GET /integrations": "user", "GET /integrations/{id}": "user", "DELETE /integrations/{id}": "keymgmt",
	"POST /integrations/{id}/api-keys": "keymgmt", "GET /integrations/{id}/api-keys": "user", "DELETE /integrations/{id}/api-keys/{key_id}": "keymgmt",
	"GET /integrations/{id}/broker-config": "user", "PUT /integrations/{id}/broker-config": "keymgmt",
	"POST /registry/agents": "delegable", "GET /registry/agents": "delegable", "GET /registry/agents/new": "delegable",
	"GET /registry/agents/{agent_id}": "delegable", "PUT /registry/agents/{uuid}": "delegable", "DELETE /registry/agents/{uuid}": "delegable",
	"GET /registry/agents/trending": "delegable", "POST /registry/agents/{uuid}/credentials": "delegable", "DELETE /registry/agents/{uuid}/credentials": "delegable",
	"POST /registry/agents/{agent_id}/rate": "delegable", "GET /registry/agents/{agent_id}/ratings": "delegable",
	"GET /registry/discover": "delegable", "GET /registry/my-agents": "user",
	"GET /.well-known/agent.json": "public", "GET /.well-known/agent-card.json": "public", "GET /.well-known/mcp/server-card.json": "public",
	"GET /a2a/agent-card": "public", "GET /a2a/agents": "user", "GET /a2a/agents/{agent_id}/agent-card": "public",
	"POST /a2a/agents/import": "delegable", "POST /a2a/agents/import/batch": "user", "POST /a2a/agents/{agent_id}/refresh": "user",
	"GET /a2a/agents/fetch-card": "user", "POST /a2a/agents/{agent_id}": "user", "POST /a2a/tasks/send": "user",
	"POST /networks": "delegable", "GET /networks": "delegable", "GET /networks/{id}": "delegable", "PATCH /networks/{id}": "delegable", "DELETE /networks/{id}": "delegable",
	"POST /networks/{id}/participants": "delegable", "GET /networks/{id}/participants": "delegable",
	"PATCH /networks/{id}/participants/{pid}": "delegable", "DELETE /networks/{id}/participants/{pid}": "delegable",
	"POST /networks/{id}/participants/{pid}/webhook-secret": "delegable",
	"POST /networks/{id}/call":                              "delegable", "POST /networks/{id}/messages/send": "delegable", "POST /networks/{id}/mailbox": "delegable",
	"GET /networks/{id}/inbox/{pid}": "delegable", "POST /networks/{id}/messages/ack": "delegable", "GET /networks/{id}/messages": "delegable",
	"GET /networks/{id}/context": "delegable", "GET /networks/{id}/dead-letters": "delegable", "POST /networks/{id}/dead-letters/{message_id}/replay": "delegable",
	"POST /networks/{network_id}/participants/{participant_id}/callback": "signed",
	"POST /mcp":           "user",
	"POST /broker/invoke": "delegable", "POST /broker/invoke/stream": "user", "GET /broker/logs": "user", "GET /broker/logs/agent/{agent_uuid}": "user",
	"POST /personal/entities": "jwt", "GET /personal/entities": "jwt", "GET /personal/entities/{name}": "jwt",
	"PATCH /personal/entities/{name}": "jwt", "DELETE /personal/entities/{name}": "jwt",
	"POST /personal/entities/{name}/pause": "jwt", "POST /personal/entities/{name}/resume": "jwt",
	"POST /personal/entities/{name}/messages": "jwt", "GET /personal/entities/{name}/messages": "jwt",
	"GET /personal/entities/{name}/messages/{message_id}/events": "jwt",
	"GET /personal/entities/{name}/memories":                     "jwt", "DELETE /personal/entities/{name}/memories": "jwt",
	"GET /personal/entities/{name}/memories/{key}": "jwt", "PUT /personal/entities/{name}/memories/{key}": "jwt",
	"DELETE /personal/entities/{name}/memories/{key}": "jwt", "GET /personal/entities/{name}/export": "jwt", "GET /personal/usage": "jwt",
}

func TestEveryRouteHasItsAccessClassAndItsDescription(t *testing.T) {
	w := newWorld(t, nil)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			Access    string `json:"x-access"`
			Summary   string
			Responses map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(w.want(200, "GET", "/openapi.json", "", nil).body), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("openapi %q: %v", doc.OpenAPI, err)
	}
	seen := map[string]bool{}
	for _, r := range w.service.edge.Routes() {
		name := r.Method + " " + r.Pattern
		seen[name] = true
		if r.Access.String() != access[name] {
			t.Errorf("%s has the class %q, want %q", name, r.Access, access[name])
		}
		described := doc.Paths[r.Pattern][strings.ToLower(r.Method)]
		if described.Access != access[name] || described.Summary == "" || described.Responses["default"] == nil {
			t.Errorf("%s is described as %+v", name, described)
		}
	}
	for name := range access {
		if !seen[name] {
			t.Errorf("%s is not served", name)
		}
	}
}

func TestTheDescriptionKnowsStreamsAndNoListsThatAreNull(t *testing.T) {
	text := newWorld(t, nil).want(200, "GET", "/openapi.json", "", nil).body
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct{ Schema struct{ Type any } }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if got := doc.Paths["/broker/logs"]["get"].Responses["200"].Content["application/json"].Schema.Type; got != "array" {
		t.Errorf("the logs are %v, want array", got)
	}
	for path, method := range map[string]string{"/broker/invoke/stream": "post", "/personal/entities/{name}/messages": "post",
		"/personal/entities/{name}/messages/{message_id}/events": "get"} {
		if got := doc.Paths[path][method].Responses["200"].Content["text/event-stream"].Schema.Type; got != "string" {
			t.Errorf("%s: the stream is not described", path)
		}
	}
	if got := doc.Paths["/personal/entities/{name}/messages"]["post"].Responses["201"].Content; len(got) != 1 {
		t.Errorf("the answer of a chat is described as %v", got)
	}
}

func TestTheDocsPageLoadsNothingFromElsewhere(t *testing.T) {
	w := newWorld(t, nil)
	page := w.want(200, "GET", "/docs", "", nil)
	policy := page.header.Get("Content-Security-Policy")
	if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(page.body, "//") {
		t.Errorf("policy %q\n%s", policy, page.body)
	}
	for _, asset := range []string{"swagger-ui-bundle.js", "swagger-ui.css", "page.js", "page.css"} {
		if got := w.want(200, "GET", "/docs/"+asset, "", nil); !strings.Contains(page.body, "/docs/"+asset) || strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %s", asset, got.header.Get("Content-Type"))
		}
	}
	w.want(404, "GET", "/docs/web.go", "", nil)
}
