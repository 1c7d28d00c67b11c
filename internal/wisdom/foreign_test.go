package wisdom

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
)

// holding is what a user has of everything that §5 and §7 know by ids.
type holding struct {
	user
	plainKey              string // id of the key in user
	agent                 string // private
	integration           string
	keyID, text           string // of an API key of the integration
	conversation, message string // within the integration
	plain, plainMessage   string // in none
}

const unknownID = "00000000-0000-4000-8000-00000000000a"

func apiKeyHeader(text string) http.Header { return http.Header{"X-Api-Key": {text}} }

// talk stores one invocation of a user, as the broker does.
func (w *world) talk(u user, agent, integration string) (conversation, message string) {
	w.t.Helper()
	o := broker.Opening{User: idOf(u), Integration: id.Integration(integration), Conversation: id.New[id.Conversation](), New: true, Message: id.New[id.Message](),
		Content: "hush of " + u.id, Metadata: []byte(`{"query":"hush of ` + u.id + `"}`), At: clock.System()}
	if ok, err := w.service.store.Open(w.t.Context(), o); err != nil || !ok {
		w.t.Fatalf("open: %v, %v", ok, err)
	}
	if err := w.service.store.Close(w.t.Context(), broker.Ending{Message: id.New[id.Message](), Content: "sun", Log: broker.Log{
		ID: id.New[id.Invocation](), Kind: broker.KindInvoke, Caller: o.User, Actor: principal.Actor{Type: "user", ID: u.id}, Agent: id.Agent(agent), AgentOwner: o.User,
		Success: true, Status: 200, Integration: o.Integration, Conversation: o.Conversation, Message: o.Message, Request: o.Metadata, RequestID: "r", At: o.At}}); err != nil {
		w.t.Fatal(err)
	}
	return string(o.Conversation), string(o.Message)
}

func (w *world) hold(name string) holding {
	w.t.Helper()
	h := holding{user: w.signUp(name)}
	_, h.plainKey, _ = strings.Cut(w.want(200, "GET", "/auth/api-keys", "", h.bearer()).body, `"id":"`)
	h.plainKey = h.plainKey[:36]
	h.agent = w.want(201, "POST", "/registry/agents", `{"name":"a","description":"b","endpoint":"https://a.example.org/","visibility":"private"}`, h.bearer()).text("id")
	h.integrate(w)
	h.plain, h.plainMessage = w.talk(h.user, h.agent, "")
	return h
}

// integrate adds an integration with a key and a conversation.
func (h *holding) integrate(w *world) {
	w.t.Helper()
	h.integration = w.want(201, "POST", "/integrations", `{"name":"product"}`, h.bearer()).text("id")
	key := w.want(201, "POST", "/integrations/"+h.integration+"/api-keys", `{"name":"production"}`, h.bearer())
	h.keyID, h.text = key.text("id"), key.text("key")
	h.conversation, h.message = w.talk(h.user, h.agent, h.integration)
}

// foreignBodies are the routes of §5 and §7 that take an id in their path, with a body
// that they accept.
var foreignBodies = map[string]string{
	"GET /conversations/{id}": "", "PATCH /conversations/{id}": `{"title":"theirs"}`, "DELETE /conversations/{id}": "", "GET /conversations/{id}/logs": "",
	"GET /conversations/{id}/messages": "", "GET /conversations/{id}/messages/{mid}": "", "DELETE /conversations/{id}/messages/{mid}": "",
	"GET /integrations/{id}": "", "DELETE /integrations/{id}": "", "POST /integrations/{id}/api-keys": `{"name":"theirs"}`, "GET /integrations/{id}/api-keys": "",
	"DELETE /integrations/{id}/api-keys/{key_id}": "", "GET /integrations/{id}/broker-config": "", "PUT /integrations/{id}/broker-config": `{"daily_quota":1}`,
	"DELETE /auth/api-keys/{key_id}": "", "GET /broker/logs/agent/{agent_uuid}": "",
}

// fill puts ids into a pattern: its first parameter, and its second if there is one.
func fill(pattern string, ids ...string) string {
	return regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllStringFunc(pattern, func(string) string {
		next := ids[0]
		ids = ids[1:]
		return next
	})
}

var requestIDMember = regexp.MustCompile(`"request_id":"[^"]*"`)

// shape is what of an answer may not depend on whether an id is somebody else's.
func shape(r reply) string {
	header := r.header.Clone()
	for _, name := range []string{"X-Request-Id", "X-Response-Time-Ms", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Date"} {
		header.Del(name)
	}
	return fmt.Sprint(r.status, header, requestIDMember.ReplaceAllString(r.body, ""))
}

// Every route of §5 and §7 × every kind of foreign id × every credential: the answer is
// that to an unknown id, byte for byte, and nothing changes.
func TestWhatIsSomebodyElsesDoesNotExist(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob := w.hold("ada"), w.hold("bob")
	sister := ada // another integration of the same user
	sister.integrate(w)
	for _, r := range w.service.edge.Routes() {
		name := r.Method + " " + r.Pattern
		covered := strings.HasPrefix(r.Pattern, "/conversations/") || strings.HasPrefix(r.Pattern, "/integrations/") || strings.HasPrefix(r.Pattern, "/broker/logs/")
		if _, ok := foreignBodies[name]; covered && !ok {
			t.Errorf("%s is not tested with foreign ids", name)
		}
	}
	type credential struct {
		name   string
		header http.Header
	}
	strangers := []credential{{"bob's token", bob.bearer()}, {"bob's key", apiKeyHeader(bob.key)}, {"the key of bob's integration", apiKeyHeader(bob.text)}}
	sisters := []credential{{"the key of a sister integration", apiKeyHeader(sister.text)}}
	own := []credential{{"ada's token", ada.bearer()}}
	before := w.everything(ada)
	refused, tried := 0, 0
	for name, body := range foreignBodies {
		method, pattern, _ := strings.Cut(name, " ")
		try := func(who []credential, ids ...string) {
			t.Helper()
			for _, c := range who {
				tried++
				got := w.send(method, fill(pattern, ids...), body, c.header)
				want := w.send(method, fill(pattern, unknownID, unknownID), body, c.header)
				if shape(got) != shape(want) {
					t.Errorf("%s of %v with %s:\n got %s\nwant %s", name, ids, c.name, shape(got), shape(want))
				}
				switch {
				case got.status == 404 && got.text("code") == "not_found":
					refused++
				case got.status == 403 && got.text("code") == "jwt_required" && access[name] == "keymgmt" && c.header["Authorization"] == nil:
				case got.status == 200 && got.body == "[]" && pattern == "/broker/logs/agent/{agent_uuid}":
				default:
					t.Errorf("%s of %v with %s: %d %s", name, ids, c.name, got.status, got.body)
				}
				if strings.Contains(got.body, ada.id) || strings.Contains(got.body, "hush") {
					t.Errorf("%s with %s shows %s", name, c.name, got.body)
				}
			}
		}
		switch {
		case strings.Contains(pattern, "{mid}"):
			for _, c := range []string{ada.conversation, ada.plain} {
				for _, m := range []string{ada.message, ada.plainMessage} {
					try(strangers, c, m)
				}
			}
			try(strangers, bob.plain, ada.message)                        // in a conversation of theirs
			try(sisters, ada.conversation, ada.message)                   // of another integration
			try(sisters, ada.plain, ada.plainMessage)                     // of none
			try(sisters, sister.conversation, ada.message)                // in a conversation of theirs
			try(own, ada.plain, ada.message)                              // mine, elsewhere
			try(own, ada.plain, unknownID)                                // unknown, in mine
			try(own, bob.conversation, ada.message)                       // mine, in a foreign one
			try([]credential{strangers[0]}, ada.plain, bob.plainMessage)  // the same the other way
			try([]credential{sisters[0]}, ada.plain, sister.plainMessage) // and for the sister
		case strings.HasPrefix(pattern, "/conversations/"):
			try(strangers, ada.conversation)
			try(strangers, ada.plain)
			try(sisters, ada.conversation)
			try(sisters, ada.plain)
		case strings.HasPrefix(pattern, "/integrations/") && strings.Contains(pattern, "{key_id}"):
			try(strangers, ada.integration, ada.keyID)
			try(strangers, ada.integration, bob.keyID)
			try(strangers, bob.integration, ada.keyID)
			try(own, ada.integration, sister.keyID) // of another integration
			try(own, ada.integration, ada.plainKey) // of none
			try(own, ada.integration, unknownID)
			try(own, bob.integration, ada.keyID)
		case strings.HasPrefix(pattern, "/integrations/"):
			try(strangers, ada.integration)
		case strings.Contains(pattern, "{key_id}"):
			try(strangers, ada.keyID)
			try(strangers, ada.plainKey)
		case strings.Contains(pattern, "{agent_uuid}"):
			try(strangers, ada.agent)
		default:
			t.Errorf("%s: with which ids?", name)
		}
	}
	if after := w.everything(ada); after != before {
		t.Errorf("strangers changed\n%s\nto\n%s", before, after)
	}
	t.Logf("%d requests, %d of them not found", tried, refused)
}

// everything is all that h has, as its owner sees it.
func (w *world) everything(h holding) string {
	w.t.Helper()
	var all []string
	for _, path := range []string{"/conversations", "/conversations/" + h.conversation + "/messages", "/conversations/" + h.plain + "/messages", "/integrations",
		"/integrations/" + h.integration + "/api-keys", "/integrations/" + h.integration + "/broker-config", "/broker/logs"} {
		all = append(all, w.want(200, "GET", path, "", h.bearer()).body)
	}
	used := regexp.MustCompile(`"last_used_at":("[^"]*"|null)`)
	return used.ReplaceAllString(strings.Join(all, "\n"), "")
}

// Foreign ids in bodies and queries are like unknown ones, too.
func TestForeignIDsInBodiesAndQueriesDoNotExist(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob := w.hold("ada"), w.hold("bob")
	sister := ada
	sister.integrate(w)
	for _, tt := range []struct {
		sentence           string
		method, path, body string // FOREIGN stands for the id
		foreign            string
		header             http.Header
		status             int
	}{
		{"a conversation into a foreign integration", "PATCH", "/conversations/" + bob.plain, `{"integration_id":"FOREIGN"}`, ada.integration, bob.bearer(), 404},
		{"a conversation into a sister integration with a key of an integration", "PATCH", "/conversations/" + ada.conversation, `{"integration_id":"FOREIGN"}`, sister.integration, apiKeyHeader(ada.text), 404},
		{"conversations of a foreign integration", "GET", "/conversations?integration_id=FOREIGN", "", ada.integration, bob.bearer(), 200},
		{"conversations of a sister integration", "GET", "/conversations?integration_id=FOREIGN", "", ada.integration, apiKeyHeader(sister.text), 200},
		{"a foreign agent in an allow-list", "PUT", "/integrations/" + bob.integration + "/broker-config", `{"allowed_agent_ids":["FOREIGN"]}`, ada.agent, bob.bearer(), 422},
		{"logs of a foreign agent", "GET", "/broker/logs?agent_id=FOREIGN", "", ada.agent, bob.bearer(), 200},
	} {
		ask := func(id string) reply {
			r := w.send(tt.method, strings.ReplaceAll(tt.path, "FOREIGN", id), strings.ReplaceAll(tt.body, "FOREIGN", id), tt.header)
			r.body = strings.ReplaceAll(r.body, id, "")
			return r
		}
		got, want := ask(tt.foreign), ask(unknownID)
		if got.status != tt.status || shape(got) != shape(want) {
			t.Errorf("%s:\n got %s\nwant %d %s", tt.sentence, shape(got), tt.status, shape(want))
		}
		if got.status == 200 && got.body != "[]" {
			t.Errorf("%s: %s", tt.sentence, got.body)
		}
	}
	// The broker says it in a 200 (contract §5.2).
	for _, tt := range []struct{ body, foreign, code string }{
		{`{"agent_id":"nobody","input":{},"conversation_id":"FOREIGN"}`, ada.conversation, "conversation_not_found"},
		{`{"agent_id":"nobody","input":{},"conversation_id":"` + bob.plain + `","message_id":"FOREIGN"}`, ada.message, "message_not_found"},
	} {
		for _, id := range []string{tt.foreign, unknownID} {
			got := w.want(200, "POST", "/broker/invoke", strings.ReplaceAll(tt.body, "FOREIGN", id), bob.bearer())
			if got.text("error_code") != tt.code || strings.Contains(got.body, ada.id) {
				t.Errorf("%s of %s: %s", tt.code, id, got.body)
			}
		}
	}
}

// The key of an integration sees the conversations of that integration, and nothing of
// others or of none; elsewhere it is its user.
func TestTheKeyOfAnIntegrationSeesItsOwnConversationsOnly(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.hold("ada")
	sister := ada
	sister.integrate(w)
	list := func(path string, header http.Header, want ...string) {
		t.Helper()
		got := w.want(200, "GET", path, "", header).body
		if n := strings.Count(got, `"updated_at"`); n != len(want) {
			t.Errorf("%s: got %d, want %d: %s", path, n, len(want), got)
		}
		for _, id := range want {
			if !strings.Contains(got, id) {
				t.Errorf("%s lacks %s: %s", path, id, got)
			}
		}
	}
	for _, header := range []http.Header{ada.bearer(), apiKeyHeader(ada.key)} {
		list("/conversations", header, ada.conversation, ada.plain, sister.conversation)
		list("/conversations?limit=1", header, sister.conversation)
		list("/conversations?integration_id="+strings.ToUpper(ada.integration), header, ada.conversation)
	}
	for _, h := range []holding{ada, sister} {
		key := apiKeyHeader(h.text)
		list("/conversations", key, h.conversation)
		list("/conversations?integration_id="+h.integration, key, h.conversation)
		w.want(200, "GET", "/conversations/"+h.conversation, "", key)
		w.want(200, "PATCH", "/conversations/"+h.conversation, `{"title":"mine","integration_id":"`+h.integration+`"}`, key)
		if logs := w.want(200, "GET", "/conversations/"+h.conversation+"/logs", "", key).body; strings.Count(logs, `"caller_user_id":"`+ada.id) != 1 || !strings.Contains(logs, h.message) {
			t.Errorf("logs: %s", logs)
		}
		w.want(200, "GET", "/conversations/"+h.conversation+"/messages/"+h.message, "", key)
		if me := w.want(200, "GET", "/auth/me", "", key); me.text("id") != ada.id {
			t.Errorf("elsewhere it is %s", me.body)
		}
		w.want(200, "GET", "/integrations/"+ada.integration, "", key)
		w.want(403, "POST", "/auth/api-keys", `{"name":"more"}`, key)
		w.want(403, "DELETE", "/auth/api-keys/"+h.keyID, "", key)
		w.want(403, "POST", "/integrations/"+h.integration+"/api-keys", `{"name":"more"}`, key)
		w.want(403, "PUT", "/integrations/"+h.integration+"/broker-config", `{"daily_quota":null}`, key)
		w.want(403, "DELETE", "/integrations/"+h.integration, "", key)
		w.want(401, "POST", "/admin/platform/halt", "", key)
	}
	w.want(204, "DELETE", "/conversations/"+ada.conversation+"/messages/"+ada.message, "", apiKeyHeader(ada.text))
	w.want(204, "DELETE", "/conversations/"+ada.conversation, "", apiKeyHeader(ada.text))
	list("/conversations", apiKeyHeader(ada.text))
	if logs := w.want(200, "GET", "/broker/logs", "", ada.bearer()).body; strings.Contains(logs, ada.conversation) || strings.Count(logs, `"request_id"`) != 3 {
		t.Errorf("the log refers to a conversation that is gone, or went with it: %s", logs)
	}
}

// Deleting an integration makes its keys useless at once on this node, the requests
// among them that are on their way.
func TestTheKeysOfADeletedIntegrationAreUselessAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.hold("ada")
	sister := ada
	sister.integrate(w)
	key := apiKeyHeader(ada.text)
	w.want(200, "GET", "/auth/me", "", key)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 { // keep it in the cache, and being read
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					w.send("GET", "/auth/me", "", key)
				}
			}
		})
	}
	w.want(204, "DELETE", "/integrations/"+ada.integration, "", ada.bearer())
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		w.want(401, "GET", "/auth/me", "", key)
	}
	close(stop)
	group.Wait()
	w.want(200, "GET", "/auth/me", "", apiKeyHeader(sister.text))
	w.want(404, "GET", "/conversations/"+ada.conversation, "", ada.bearer())
	w.want(200, "GET", "/conversations/"+sister.conversation, "", ada.bearer())
	if keys := w.want(200, "GET", "/auth/api-keys", "", ada.bearer()).body; strings.Contains(keys, ada.keyID) || !strings.Contains(keys, sister.keyID) {
		t.Errorf("keys: %s", keys)
	}
	w.want(204, "DELETE", "/integrations/"+sister.integration+"/api-keys/"+sister.keyID, "", ada.bearer())
	w.want(401, "GET", "/auth/me", "", apiKeyHeader(sister.text))
}
