package wisdom

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

// administrator signs an administrator up.
func (w *world) administrator() user {
	w.t.Helper()
	u := w.signUp("root")
	if _, err := w.service.auth.GrantAdmin(w.t.Context(), auth.Ref{ID: idOf(u)}, true); err != nil {
		w.t.Fatal(err)
	}
	return u
}

func TestAHaltStopsInvocationsAndNothingElse(t *testing.T) {
	w := newWorld(t, nil)
	root, ada := w.administrator(), w.signUp("ada")
	agent := w.want(201, "POST", "/registry/agents", `{"name":"a","description":"b","endpoint":"https://a.example.invalid/"}`, ada.bearer())
	invoke := fmt.Sprintf(`{"agent_id":%q,"input":{}}`, agent.text("agent_id"))
	const toAgent = `{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"hi"}]}}}`
	state := func(sentence string, halted bool) {
		t.Helper()
		for path, header := range map[string]http.Header{"/admin/platform/status": root.bearer(), "/safety/status": nil} {
			if got := w.want(200, "GET", path, "", header).body; strings.Contains(got, `"halted":true`) != halted || strings.Contains(got, "since") != (header != nil) {
				t.Errorf("%s: %s answers %s", sentence, path, got)
			}
		}
		status := 200
		if halted {
			status = 503
		}
		for path, body := range map[string]string{"/broker/invoke": invoke, "/broker/invoke/stream": invoke} {
			if got := w.want(status, "POST", path, body, ada.bearer()); halted && got.text("code") != "platform_halted" {
				t.Errorf("%s: %s", sentence, got.body)
			}
		}
		task := fmt.Sprintf(`{"params":{"network_id":%q,"sender_participant_id":%[1]q,"recipient_participant_id":%[1]q,"task":{}}}`, unknownID)
		for path, body := range map[string]string{"/a2a/tasks/send": task, "/a2a/agents/" + agent.text("agent_id"): toAgent,
			"/mcp": fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"invoke_agent","arguments":{"agent_id":%q,"input_data":{}}}}`, agent.text("agent_id"))} {
			if got := w.send("POST", path, body, ada.bearer()); halted != (got.status == 503 && got.text("code") == "platform_halted") {
				t.Errorf("%s: %s answers %d %s", sentence, path, got.status, got.body)
			}
		}
		for _, path := range []string{"/registry/agents", "/registry/discover?query=a", "/conversations", "/broker/logs", "/health"} {
			w.want(200, "GET", path, "", ada.bearer())
		}
		w.want(201, "POST", "/integrations", `{"name":"product"}`, ada.bearer())
	}
	state("at first", false)
	first := w.want(200, "POST", "/admin/platform/halt", "", root.bearer())
	if first.text("since") == "" {
		t.Errorf("halted since %s", first.body)
	}
	state("halted", true)
	if again := w.want(200, "POST", "/admin/platform/halt", "", root.bearer()); again.body != first.body {
		t.Errorf("halted anew: %s, want %s", again.body, first.body)
	}
	for range 2 {
		if got := w.want(200, "POST", "/admin/platform/resume", "", root.bearer()).body; got != `{"halted":false,"since":null}` {
			t.Errorf("resumed: %s", got)
		}
		state("resumed", false)
	}
}

func TestAKilledAgentIsInactiveForEverybody(t *testing.T) {
	w := newWorld(t, nil)
	root, ada, bob := w.administrator(), w.signUp("ada"), w.signUp("bob")
	agent := w.want(201, "POST", "/registry/agents", `{"name":"weather oracle","description":"b","endpoint":"https://a.example.invalid/"}`, ada.bearer())
	uuid, slug := agent.text("id"), agent.text("agent_id")
	entity := `{"name":"Aria","description":"d","hosted_entity":"aria","visibility":"public"}`
	service := http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {ada.id}}
	hosted := w.want(201, "POST", "/registry/agents", entity, service)
	invoke := fmt.Sprintf(`{"agent_id":%q,"input":{}}`, slug)
	shown := func(active bool) {
		t.Helper()
		for _, who := range []user{ada, bob} {
			for _, path := range []string{"/registry/agents", "/registry/agents/new", "/registry/discover?query=weather", "/a2a/agents"} {
				if got := w.want(200, "GET", path, "", who.bearer()).body; strings.Contains(got, slug) != active {
					t.Errorf("active %v: %s shows %s", active, path, got)
				}
			}
			if got := w.want(200, "GET", "/registry/agents/"+slug, "", who.bearer()).body; strings.Contains(got, `"is_active":true`) != active {
				t.Errorf("active %v: %s", active, got)
			}
			if got := w.want(200, "POST", "/broker/invoke", invoke, who.bearer()).text("error_code"); (got != "agent_not_found") != active {
				t.Errorf("active %v: invoked with %s", active, got)
			}
		}
		status := 404
		if active {
			status = 200
		}
		w.want(status, "GET", "/a2a/agents/"+slug+"/agent-card", "", nil)
	}
	shown(true)
	if got := w.want(200, "GET", "/admin/agents/disabled", "", root.bearer()).body; got != "[]" {
		t.Errorf("disabled at first: %s", got)
	}
	for _, id := range []string{uuid, uuid, hosted.text("id")} {
		killed := w.want(200, "POST", "/admin/agents/"+strings.ToUpper(id)+"/kill", "", root.bearer())
		if !strings.Contains(killed.body, `"is_active":false`) || !strings.Contains(killed.body, `"endpoint":null`) {
			t.Errorf("killed: %s", killed.body)
		}
	}
	shown(false)
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(w.want(200, "GET", "/admin/agents/disabled?limit=2", "", root.bearer()).body), &list); err != nil || len(list) != 2 || list[0].ID != hosted.text("id") || list[1].ID != uuid {
		t.Errorf("disabled: %+v, %v", list, err)
	}
	for _, header := range []http.Header{ada.bearer(), service} {
		if got := w.want(403, "PUT", "/registry/agents/"+uuid, `{"is_active":true,"name":"new"}`, header); got.text("code") != "agent_disabled" {
			t.Errorf("switched on: %s", got.body)
		}
	}
	if got := w.want(200, "PUT", "/registry/agents/"+uuid, `{"description":"new"}`, ada.bearer()); got.text("description") != "new" || got.text("name") != "weather oracle" {
		t.Errorf("changed: %s", got.body)
	}
	if got := w.want(200, "POST", "/registry/agents", entity, service).body; !strings.Contains(got, `"is_active":false`) {
		t.Errorf("registered again: %s", got)
	}
	shown(false)
	w.want(404, "PUT", "/registry/agents/"+uuid, `{"is_active":true}`, bob.bearer())
	for range 2 {
		for _, id := range []string{uuid, hosted.text("id")} {
			if got := w.want(200, "POST", "/admin/agents/"+id+"/reactivate", "", root.bearer()).body; !strings.Contains(got, `"is_active":true`) {
				t.Errorf("reactivated: %s", got)
			}
		}
		shown(true)
	}
	for _, what := range []string{"kill", "reactivate"} {
		w.want(404, "POST", "/admin/agents/"+unknownID+"/"+what, "", root.bearer())
		w.want(422, "POST", "/admin/agents/"+slug+"/"+what, "", root.bearer())
		for _, who := range []http.Header{ada.bearer(), apiKeyHeader(root.key)} {
			if got := w.send("POST", "/admin/agents/"+uuid+"/"+what, "", who).status; got != 403 && got != 401 {
				t.Errorf("%s by somebody else: %d", what, got)
			}
		}
	}
}

func TestWhatABrokerConfigMayBe(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.signUp("ada")
	agent := w.want(201, "POST", "/registry/agents", `{"name":"a","description":"b","endpoint":"https://a.example.org/","visibility":"private"}`, ada.bearer()).text("id")
	path := "/integrations/" + w.want(201, "POST", "/integrations", `{"name":"product","kind":null,"metadata":{"a":[1e3]}}`, ada.bearer()).text("id") + "/broker-config"
	const initial = `{"monthly_quota":null,"daily_quota":null,"max_retries":0,"retry_backoff_seconds":1,"request_timeout_seconds":null,"allowed_agent_ids":[]}`
	if got := w.want(200, "GET", path, "", ada.bearer()).body; got != initial {
		t.Errorf("at first: got %s, want %s", got, initial)
	}
	for _, tt := range []struct{ body, want string }{
		{`{}`, initial},
		{`{"monthly_quota":10,"daily_quota":2,"unknown":1}`, `{"monthly_quota":10,"daily_quota":2,"max_retries":0,"retry_backoff_seconds":1,"request_timeout_seconds":null,"allowed_agent_ids":[]}`},
		{`{"max_retries":5,"retry_backoff_seconds":0.29,"request_timeout_seconds":25,"allowed_agent_ids":["` + strings.ToUpper(agent) + `","` + agent + `"]}`,
			`{"monthly_quota":10,"daily_quota":2,"max_retries":5,"retry_backoff_seconds":0.29,"request_timeout_seconds":25,"allowed_agent_ids":["` + agent + `"]}`},
		{`{"max_retries":null,"retry_backoff_seconds":null,"allowed_agent_ids":null,"daily_quota":null}`,
			`{"monthly_quota":10,"daily_quota":null,"max_retries":5,"retry_backoff_seconds":0.29,"request_timeout_seconds":25,"allowed_agent_ids":["` + agent + `"]}`},
		{initial, initial},
	} {
		for _, got := range []reply{w.want(200, "PUT", path, tt.body, ada.bearer()), w.want(200, "GET", path, "", apiKeyHeader(ada.key))} {
			if got.body != tt.want {
				t.Errorf("%s: got %s, want %s", tt.body, got.body, tt.want)
			}
		}
	}
	for body, loc := range map[string]string{
		`{"monthly_quota":0}`: "monthly_quota", `{"daily_quota":-1}`: "daily_quota", `{"daily_quota":1.5}`: "daily_quota", `{"monthly_quota":"1"}`: "monthly_quota",
		`{"max_retries":6}`: "max_retries", `{"max_retries":-1}`: "max_retries", `{"retry_backoff_seconds":-0.1}`: "retry_backoff_seconds",
		`{"retry_backoff_seconds":1e300}`: "retry_backoff_seconds", `{"request_timeout_seconds":0}`: "request_timeout_seconds",
		`{"request_timeout_seconds":25.001}`: "request_timeout_seconds", `{"allowed_agent_ids":"` + agent + `"}`: "allowed_agent_ids",
		`{"allowed_agent_ids":["` + agent + `","` + unknownID + `"]}`: `allowed_agent_ids",1`, `{"allowed_agent_ids":["` + agent + `","a-1"]}`: `allowed_agent_ids",1`,
		`{"allowed_agent_ids":["` + strings.ReplaceAll(agent, "-", "") + `"]}`: `allowed_agent_ids",0`, `[]`: "body", ``: "body",
	} {
		if got := w.want(422, "PUT", path, body, ada.bearer()).body; !strings.Contains(got, `"`+loc) {
			t.Errorf("%s: got %s, want a problem of %s", body, got, loc)
		}
	}
	if got := w.want(200, "GET", path, "", ada.bearer()).body; got != initial {
		t.Errorf("after refusals: got %s", got)
	}
	// What Config said can be put back, also after an agent of it has gone.
	w.want(200, "PUT", path, `{"allowed_agent_ids":["`+agent+`"]}`, ada.bearer())
	w.want(204, "DELETE", "/registry/agents/"+agent, "", ada.bearer())
	w.want(200, "PUT", path, w.want(200, "GET", path, "", ada.bearer()).body, ada.bearer())
}

func TestWhatAnIntegrationAndAConversationMayBe(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.hold("ada")
	for body, status := range map[string]int{
		`{"name":"` + strings.Repeat("ö", 255) + `","kind":"` + strings.Repeat("k", 64) + `","metadata":{}}`: 201, `{"name":"x","metadata":null,"kind":null}`: 201,
		`{}`: 422, `{"name":""}`: 422, `{"name":null}`: 422, `{"name":"` + strings.Repeat("ö", 256) + `"}`: 422, `{"name":"x","kind":"` + strings.Repeat("k", 65) + `"}`: 422,
		`{"name":"x","metadata":[]}`: 422, `{"name":"x","metadata":{"a":"` + strings.Repeat("x", 32<<10) + `"}}`: 422, `{"name":"x\u0000"}`: 422, `{`: 400,
	} {
		if got := w.send("POST", "/integrations", body, ada.bearer()); got.status != status {
			t.Errorf("%.60s: %d %s", body, got.status, got.body)
		}
	}
	path := "/conversations/" + ada.plain
	for body, status := range map[string]int{
		`{"title":"` + strings.Repeat("ö", 255) + `"}`: 200, `{}`: 200, `{"title":null,"integration_id":null}`: 200, `{"title":""}`: 422,
		`{"title":"` + strings.Repeat("ö", 256) + `"}`: 422, `{"integration_id":"x"}`: 422, `{"title":1}`: 422, ``: 422,
	} {
		if got := w.send("PATCH", path, body, ada.bearer()); got.status != status {
			t.Errorf("%.60s: %d %s", body, got.status, got.body)
		}
	}
	if got := w.want(200, "PATCH", path, `{"title":null}`, ada.bearer()).text("title"); got != strings.Repeat("ö", 255) {
		t.Errorf("a null title keeps %.20s", got)
	}
	if got := w.want(200, "PATCH", path, `{"integration_id":"`+strings.ToUpper(ada.integration)+`"}`, ada.bearer()); got.text("integration_id") != ada.integration {
		t.Errorf("given to an integration: %s", got.body)
	}
	w.want(200, "GET", path, "", apiKeyHeader(ada.text))
	for _, query := range []string{"?limit=0", "?limit=1001", "?offset=-1", "?integration_id=x", "?external_user_id=" + strings.Repeat("x", 256)} {
		w.want(422, "GET", "/conversations"+query, "", ada.bearer())
	}
	for _, query := range []string{"/messages?limit=501", "/messages?limit=0", "/logs?limit=101", "/logs?offset=1000001"} {
		w.want(422, "GET", path+query, "", ada.bearer())
	}
	w.want(422, "GET", "/conversations/x", "", ada.bearer())
	w.want(405, "POST", "/conversations", "{}", ada.bearer())
	var list []map[string]any
	if err := json.Unmarshal([]byte(w.want(200, "GET", "/integrations", "", ada.bearer()).body), &list); err != nil || len(list) != 3 || len(list[0]) != 5 {
		t.Fatalf("integrations: %v, %v", list, err)
	}
	if list[0]["has_api_key"] != false || list[2]["has_api_key"] != true || list[2]["id"] != ada.integration {
		t.Errorf("integrations: %v", list)
	}
}
