package mcpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const pinging = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

func TestErrorsOfTheTransportHaveTheUsualBody(t *testing.T) {
	h := newEdge(t, &rules{}, t.Output())
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	for _, c := range []struct {
		name   string
		body   string
		header http.Header
		status int
		code   string
	}{
		{"nobody", pinging, http.Header{"X-Test-User": nil}, 401, "not_authenticated"},
		{"nobody and a foreign origin", pinging, http.Header{"X-Test-User": nil, "Origin": {"https://evil.example"}}, 401, "not_authenticated"},
		{"not JSON", `{"jsonrpc":`, nil, 400, "malformed_json"},
		{"a member twice", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, nil, 400, "malformed_json"},
		{"two messages", pinging + pinging, nil, 400, "malformed_json"},
		{"too deep", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":` + deep + `}}`, nil, 400, "malformed_json"},
		{"a batch", "[" + pinging + "]", nil, 422, "validation_error"},
		{"a batch of an old version", "[" + pinging + "]", http.Header{"Mcp-Protocol-Version": {"2025-03-26"}}, 422, "validation_error"},
		{"an empty batch", "[]", nil, 422, "validation_error"},
		{"a string", `"ping"`, nil, 422, "validation_error"},
		{"null", `null`, nil, 422, "validation_error"},
		{"no body", ``, nil, 422, "validation_error"},
		{"U+0000 in a string", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\u0000"}}`, nil, 422, "validation_error"},
		{"too large", `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "payload_too_large"},
		{"another media type", pinging, http.Header{"Content-Type": {"text/plain"}}, 415, "unsupported_media_type"},
		{"compressed", pinging, http.Header{"Content-Encoding": {"gzip"}}, 415, "unsupported_media_type"},
		{"wants HTML", pinging, http.Header{"Accept": {"text/html"}}, 400, "bad_request"},
		{"wants events only", pinging, http.Header{"Accept": {"text/event-stream"}}, 400, "bad_request"},
		{"refuses JSON", pinging, http.Header{"Accept": {"application/json;q=0, text/event-stream"}}, 400, "bad_request"},
		{"an old version", pinging, http.Header{"Mcp-Protocol-Version": {"2024-11-05"}}, 400, "bad_request"},
		{"a version to come", pinging, http.Header{"Mcp-Protocol-Version": {"2026-07-28"}}, 400, "bad_request"},
		{"no version at all", pinging, http.Header{"Mcp-Protocol-Version": {""}}, 400, "bad_request"},
		{"two versions", pinging, http.Header{"Mcp-Protocol-Version": {"2025-06-18", "2025-06-18"}}, 400, "bad_request"},
	} {
		standard(t, c.name, post(h, c.body, c.header), c.status, c.code)
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodHead, http.MethodPut} {
		got := do(h, method)
		if got.status != 405 || got.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, got.status, got.header.Get("Allow"))
		}
	}
}

func TestOriginMustBeOursOrAllowed(t *testing.T) {
	some := newEdge(t, &rules{}, t.Output(), "https://app.example.org", "http://localhost:3000")
	none := newEdge(t, &rules{}, t.Output())
	all := newEdge(t, &rules{}, t.Output(), "*")
	for _, c := range []struct {
		name    string
		h       http.Handler
		origins []string
		status  int
	}{
		{"no Origin", none, nil, 200},
		{"our own", none, []string{ourOrigin}, 200},
		{"one of CORS", some, []string{"https://app.example.org"}, 200},
		{"one of CORS with a port", some, []string{"http://localhost:3000"}, 200},
		{"any, where CORS allows all", all, []string{"https://evil.example"}, 200},
		{"a foreign one", some, []string{"https://evil.example"}, 403},
		{"another scheme", some, []string{"http://app.example.org"}, 403},
		{"another port", some, []string{"http://localhost:3001"}, 403},
		{"a longer name", some, []string{"https://app.example.org.evil.example"}, 403},
		{"a name below", some, []string{"https://x.app.example.org"}, 403},
		{"no origin to speak of", some, []string{"null"}, 403},
		{"an empty one", some, []string{""}, 403},
		{"a list", some, []string{ourOrigin + ", " + ourOrigin}, 403},
		{"two lines", some, []string{ourOrigin, ourOrigin}, 403},
		{"two lines, where CORS allows all", all, []string{ourOrigin, ourOrigin}, 403},
	} {
		got := post(c.h, pinging, http.Header{"Origin": c.origins})
		if got.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, got.status, got.body, c.status)
		}
		if c.status == 403 {
			standard(t, c.name, got, 403, "forbidden")
		}
	}
}

func TestOriginsAreComparedAsBrowsersWriteThem(t *testing.T) {
	for given, want := range map[string]string{
		"https://API.Example.org:443": "https://api.example.org", "http://localhost:80": "http://localhost", "http://localhost:443": "http://localhost:443",
		"https://a.example:8443": "https://a.example:8443", "*": "://",
	} {
		if got := serialized(given); got != want {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
	}
}

func TestNoOtherHostCheckStandsInTheWay(t *testing.T) {
	h := newEdge(t, &rules{}, t.Output())
	for _, host := range []string{"localhost", "127.0.0.1:8000", "evil.example", ""} {
		if got := postTo(h, host, pinging); got.status != 200 {
			t.Errorf("host %q: %d %s", host, got.status, got.body)
		}
	}
}

func TestEveryAcceptHeaderThatTakesJSONWillDo(t *testing.T) {
	h := newEdge(t, &rules{}, t.Output())
	for _, lines := range [][]string{nil, {"application/json"}, {"*/*"}, {"application/*"}, {"text/event-stream", "application/json"}, {"application/json; charset=utf-8, text/event-stream"}} {
		if got := post(h, pinging, http.Header{"Accept": lines}); got.status != 200 || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("Accept %q: %d %s", lines, got.status, got.body)
		}
	}
}

func TestProtocolErrorsAreJSONRPCErrors(t *testing.T) {
	h := newEdge(t, &rules{}, t.Output())
	for _, c := range []struct {
		name, body string
		id         string
		code       int
	}{
		{"another JSON-RPC", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, `1`, -32600},
		{"no JSON-RPC", `{"id":"a","method":"ping"}`, `"a"`, -32600},
		{"an id that is null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, `null`, -32600},
		{"an id that is an object", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, `null`, -32600},
		{"an id that is a list", `{"jsonrpc":"2.0","id":[1],"method":"ping"}`, `null`, -32600},
		{"a method that is a number", `{"jsonrpc":"2.0","id":1,"method":7}`, `1`, -32600},
		{"an empty method", `{"jsonrpc":"2.0","id":1,"method":""}`, `1`, -32600},
		{"nothing", `{}`, `null`, -32600},
		{"names in another case", `{"JSONRPC":"2.0","ID":1,"METHOD":"ping"}`, `null`, -32600},
		{"an unknown method", `{"jsonrpc":"2.0","id":1,"method":"tools/burn"}`, `1`, -32601},
		{"prompts, of which there are none", `{"jsonrpc":"2.0","id":1,"method":"prompts/list"}`, `1`, -32601},
		{"a method that would never end", `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{}}}`, `1`, -32601},
		{"a method of a version to come", `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}`, `1`, -32601},
		{"subscribing", `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"intuno://agents/new"}}`, `1`, -32601},
		{"params that are a list", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}`, `1`, -32602},
		{"a call without params", `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, `1`, -32602},
		{"a call with params null", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}`, `1`, -32602},
		{"a call of nothing", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`, `1`, -32602},
		{"a tool that is a number", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}`, `1`, -32602},
		{"an unknown tool", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_task"}}`, `1`, -32602},
		{"a tool to come", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_task","arguments":{"name":"n"}}}`, `1`, -32602},
		{"initialize without params", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`, `1`, -32602},
		{"initialize with a version that is a number", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}`, `1`, -32602},
		{"an unknown cursor", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"???"}}`, `1`, -32602},
		{"a cursor that the module would take", `{"jsonrpc":"2.0","id":1,"method":"resources/list","params":{"cursor":"` + moduleCursor(t) + `"}}`, `1`, -32602},
		{"a cursor that is a number", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":1}}`, `1`, -32602},
		{"an unknown resource", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///etc/passwd"}}`, `1`, -32002},
		{"the version of a request to come", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, `1`, -32602},
	} {
		got := post(h, c.body, nil)
		var answer struct {
			JSONRPC string
			ID      json.RawMessage
			Result  json.RawMessage
			Error   struct {
				Code    int
				Message string
			}
		}
		err := json.Unmarshal([]byte(got.body), &answer)
		if err != nil || got.status != 200 || answer.JSONRPC != "2.0" || string(answer.ID) != c.id || answer.Error.Code != c.code || answer.Error.Message == "" || answer.Result != nil {
			t.Errorf("%s: %d %s, want id %s and code %d", c.name, got.status, got.body, c.id, c.code)
		}
		for _, leak := range []string{"json", "mcp.", "Go ", "struct", "passwd"} {
			if strings.Contains(answer.Error.Message, leak) {
				t.Errorf("%s: the text %q says %q", c.name, answer.Error.Message, leak)
			}
		}
	}
}

func TestWhatWantsNoAnswerIsAccepted(t *testing.T) {
	h := newEdge(t, &rules{}, t.Output())
	for _, body := range []string{
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
		`{"jsonrpc":"2.0","method":"notifications/unheard-of"}`,
		`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"invoke_agent","arguments":{"agent_id":"a","input_data":{}}}}`,
		`{"jsonrpc":"2.0","id":1,"result":{}}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}`,
	} {
		if got := post(h, body, nil); got.status != 202 || got.body != "" || got.header.Get("Content-Type") != "" {
			t.Errorf("%s: %d %v %q", body, got.status, got.header, got.body)
		}
	}
}

func TestEachProtocolVersionIsNegotiated(t *testing.T) {
	h := newEdge(t, &rules{}, t.Output())
	for asked, want := range map[string]string{
		"2025-03-26": "2025-03-26", "2025-06-18": "2025-06-18", "2025-11-25": "2025-11-25",
		"2024-11-05": "2025-11-25", "2026-07-28": "2025-11-25", "1.0": "2025-11-25",
	} {
		got := post(h, fmt.Sprintf(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":%q,"capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`, asked), nil)
		var answer struct {
			ID     string
			Result struct {
				ProtocolVersion string
				Capabilities    map[string]json.RawMessage
				ServerInfo      struct{ Name, Version string }
			}
		}
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil || answer.ID != "i" || answer.Result.ProtocolVersion != want || answer.Result.ServerInfo.Name != "Intuno" || answer.Result.ServerInfo.Version != "1.2.3" {
			t.Errorf("%s: %d %s, want version %s", asked, got.status, got.body, want)
		}
		c := answer.Result.Capabilities
		if len(c) != 2 || string(c["tools"]) != "{}" || string(c["resources"]) != "{}" {
			t.Errorf("capabilities %s", got.body)
		}
		if got.header.Get("Mcp-Session-Id") != "" {
			t.Errorf("a session: %v", got.header)
		}
	}
	for _, version := range versions {
		if got := post(h, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, http.Header{"Mcp-Protocol-Version": {version}}); got.status != 200 || !strings.Contains(got.body, "invoke_agent") {
			t.Errorf("%s: %d %s", version, got.status, got.body)
		}
	}
}

// moduleCursor is a place in a list as the module writes it.
func moduleCursor(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(struct{ LastUID string }{"a"}); err != nil {
		t.Fatal(err)
	}
	return base64.URLEncoding.EncodeToString(b.Bytes())
}
