package mcpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// FuzzMessage sends bodies. Each is answered, by one of our forms, and none is a 500:
// the module reads on a goroutine of its own, where a panic would end the process.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		pinging,
		`{"jsonrpc":"2.0","id":"a","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"roots":{"listChanged":true},"sampling":{}},"clientInfo":{"name":"c","version":"1"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"discover_agents","arguments":{"query":"q","limit":1e3},"_meta":{"progressToken":1}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"invoke_agent","arguments":{"agent_id":"a","input_data":{"a":[1,{"b":null}]}}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"intuno://agents/new"}}`,
		`{"jsonrpc":"2.0","id":1e2,"method":"tools/list","params":{"cursor":"AA"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"join_network","arguments":{"network_id":"0b8f0f0e-5a6e-4a8e-9a52-0d4b6f1f6f11","name":"n","polling_enabled":true,"callback_url":"u"}}}`,
		`[]`, `{}`, `null`, `{"jsonrpc":"2.0","id":1,"result":{}}`,
	} {
		f.Add(seed)
	}
	h := newEdge(f, &rules{agents: []registry.Agent{{Slug: "a"}}}, &safeLog{})
	f.Fuzz(func(t *testing.T, body string) {
		got := postWithin(t, h, body)
		var answer struct {
			JSONRPC   string
			ID        json.RawMessage
			Result    json.RawMessage
			Error     json.RawMessage
			Code      string
			RequestID string `json:"request_id"`
		}
		err := json.Unmarshal([]byte(got.body), &answer)
		switch got.status {
		case 200:
			if err != nil || answer.JSONRPC != "2.0" || answer.ID == nil || (answer.Result == nil) == (answer.Error == nil) {
				t.Errorf("%q: %s", body, got.body)
			}
		case 202:
			if got.body != "" {
				t.Errorf("%q: %s", body, got.body)
			}
		case 400, 413, 422:
			if err != nil || answer.Code == "" || answer.RequestID == "" {
				t.Errorf("%q: %d %s", body, got.status, got.body)
			}
		default:
			t.Errorf("%q: %d %s", body, got.status, got.body)
		}
	})
}

// postWithin gives up after some seconds: then the answer is a 499.
func postWithin(t *testing.T, h http.Handler, body string) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body)).WithContext(ctx)
	r.Header = http.Header{"X-Test-User": {"ada"}}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}
