package wisdom

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// inwards resolves every name to an address that is never allowed.
type inwards struct{}

func (inwards) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("10.1.2.3")}, nil
}

// rebind makes names resolve to a forbidden address from now on: the registry believed
// them, only the dial finds out.
func (m *market) rebind() {
	m.t.Helper()
	allowed, err := egress.ParseAllowedHosts("127.0.0.1")
	if err != nil {
		m.t.Fatal(err)
	}
	policy, err := egress.New(egress.Config{Allowed: allowed, Resolver: inwards{}})
	if err != nil {
		m.t.Fatal(err)
	}
	m.service.outbound = egress.NewClient(policy, nil)
	m.service.api.Broker.Service = m.service.newBroker(policy, newCounters(nil))
}

// refusals is contract §5.2, row by row. Everything belongs to ada, who calls.
type refusal struct {
	name   string
	body   string
	header http.Header
	status int
	code   string
	agent  string // id, if the attempt resolves one: then there is a log row
	only   string // the one way that it can happen on; "": both
}

func TestRefusals(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		m := newMarket(t, open())
		m.rebind()
		ada, bob := m.signUp("ada"), m.signUp("bob")
		for _, row := range m.refusals(ada, bob) {
			for _, way := range ways {
				if row.only != "" && row.only != way {
					continue
				}
				t.Run(row.name+"/"+way, func(t *testing.T) { m.refused(t, ada, way, row) })
			}
		}
		if n := len(m.agents.seen); n != 0 {
			t.Errorf("%d requests reached an agent", n)
		}
	})
}

func (m *market) refusals(ada, bob user) []refusal {
	agent := m.agent(ada, "/echo", "")
	id := agent.text("id")
	mine := m.talk(ada)
	foreign := m.talk(bob)
	message := m.messages(ada, mine)[0].ID
	other := m.messages(ada, m.talk(ada))[0].ID
	_, key := m.integrationKey(ada, "")
	inactive, switched := m.agent(ada, "/echo", ""), m.agent(bob, "/echo", "")
	m.want(200, "PUT", "/registry/agents/"+inactive.text("id"), `{"is_active":false}`, ada.bearer())
	m.want(200, "PUT", "/registry/agents/"+switched.text("id"), `{"is_active":false}`, bob.bearer())
	private := m.agent(bob, "/echo", `,"visibility":"private"`)
	_, choosy := m.integrationKey(ada, `{"allowed_agent_ids":["`+inactive.text("id")+`"]}`)
	_, daily := m.integrationKey(ada, `{"daily_quota":1}`)
	_, monthly := m.integrationKey(ada, `{"monthly_quota":1}`)
	service := func(depth string) http.Header {
		return http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {ada.id}, "X-Invocation-Depth": {depth}}
	}
	unsafe, rebound, locked := m.agent(ada, "/echo", ""), m.agent(ada, "http://rebound.invalid/", ""), m.agent(ada, "/echo", `,"auth_type":"bearer_token"`)
	inside := "http://10.0.0.1/"
	m.editAgent(ada, unsafe, func(a *registry.Agent) { a.Endpoint = &inside })
	m.want(204, "POST", "/registry/agents/"+locked.text("id")+"/credentials", `{"credential_type":"api_key","value":"of the wrong type"}`, ada.bearer())
	shop := m.success("invoke", invocation(agent, ""), daily).conversation
	m.success("invoke", invocation(agent, ""), monthly)
	m.agents.seen = nil
	conversation := func(id string) string { return fmt.Sprintf(`,"conversation_id":%q`, id) }
	said := func(id string) string { return fmt.Sprintf(`,"message_id":%q`, id) }
	unknown := `{"agent_id":"%s","input":{}}`
	user := ada.bearer()
	return []refusal{
		{"2 an unknown conversation", invocation(agent, conversation(nowhere)), user, 404, "conversation_not_found", id, ""},
		{"2 a foreign conversation", invocation(agent, conversation(foreign)), user, 404, "conversation_not_found", id, ""},
		{"2 a foreign conversation and no agent", fmt.Sprintf(`{"agent_id":"nobody","input":{},"conversation_id":%q}`, foreign), user, 404, "conversation_not_found", "", ""},
		{"3 a conversation of no integration", invocation(agent, conversation(mine)), key, 403, "integration_mismatch", id, ""},
		{"3 a conversation of another integration", invocation(agent, conversation(shop)), key, 403, "integration_mismatch", id, ""},
		{"4 an unknown message", invocation(agent, conversation(mine)+said(nowhere)), user, 404, "message_not_found", id, ""},
		{"4 a message of another conversation", invocation(agent, conversation(mine)+said(other)), user, 404, "message_not_found", id, ""},
		{"4 a message without its conversation", invocation(agent, said(message)), user, 404, "message_not_found", id, ""},
		{"5 an unknown agent", fmt.Sprintf(unknown, "nobody-00000000"), user, 404, "agent_not_found", "", ""},
		{"5 an impossible agent", fmt.Sprintf(unknown, "No body/../?"), user, 404, "agent_not_found", "", ""},
		{"5 an empty slug", fmt.Sprintf(unknown, ""), user, 404, "agent_not_found", "", ""},
		{"5 the UUID of an agent", fmt.Sprintf(unknown, id), user, 404, "agent_not_found", "", ""},
		{"5 somebody's private agent", invocation(private, ""), user, 404, "agent_not_found", "", ""},
		{"5 my inactive agent", invocation(inactive, ""), user, 404, "agent_not_found", inactive.text("id"), ""},
		{"5 somebody's inactive agent", invocation(switched, ""), user, 404, "agent_not_found", switched.text("id"), ""},
		{"6 an agent that is not allowed", invocation(agent, ""), choosy, 403, "agent_not_allowed", id, ""},
		{"7 the daily quota", invocation(agent, ""), daily, 429, "quota_exceeded", id, ""},
		{"7 the monthly quota", invocation(agent, ""), monthly, 429, "quota_exceeded", id, ""},
		{"8 the ninth inside one another", invocation(agent, ""), service("8"), 508, "depth_exceeded", id, "invoke"},
		{"8 much deeper", invocation(agent, ""), service("999999999"), 508, "depth_exceeded", id, "invoke"},
		{"9 an address inside", invocation(unsafe, ""), user, 400, "unsafe_url", unsafe.text("id"), ""},
		{"9 a name that leads inside", invocation(rebound, ""), user, 400, "unsafe_url", rebound.text("id"), ""},
		{"9 a name that leads inside, in a conversation", invocation(rebound, conversation(mine)), user, 400, "unsafe_url", rebound.text("id"), ""},
		{"10 no credential of the type", invocation(locked, ""), user, 503, "credential_missing", locked.text("id"), ""},
	}
}

// talk makes a conversation and returns its id.
func (m *market) talk(u user) string {
	m.t.Helper()
	return m.success("invoke", invocation(m.agent(u, "/echo", ""), ""), u.bearer()).conversation
}

func (m *market) success(way, body string, header http.Header) outcome {
	m.t.Helper()
	got := m.call(way, body, header)
	if !got.success || got.conversation == "" || got.invocation == "" || got.code != "" || got.errorText != "" {
		m.t.Fatalf("%s: got %+v, want a success", way, got)
	}
	return got
}

// calls is how often an agent was called, as its figures say.
func (m *market) calls(slug string, who user) string {
	m.t.Helper()
	_, after, _ := strings.Cut(m.want(200, "GET", "/registry/agents/"+slug, "", who.bearer()).body, `"quality_invocation_count":`)
	n, _, _ := strings.Cut(after, ",")
	return n
}

// refused insists on one refusal, on what it leaves, and on what it must not leave.
func (m *market) refused(t *testing.T, ada user, way string, row refusal) {
	rows, before := len(m.logs(ada, "?limit=100")), m.written(ada)
	var asked struct {
		Agent string `json:"agent_id"`
	}
	if err := json.Unmarshal([]byte(row.body), &asked); err != nil {
		t.Fatal(err)
	}
	figures := ""
	if row.agent != "" {
		figures = m.calls(asked.Agent, ada)
	}
	got := m.call(way, row.body, row.header)
	if got.http != 200 || got.success || got.status != row.status || got.code != row.code || got.errorText == "" || got.conversation != "" {
		t.Errorf("got %+v, want %d %s", got, row.status, row.code)
	}
	if way == "invoke" && got.data != "null" || way != "invoke" && got.names() != "error done" {
		t.Errorf("data %s, events %s", got.data, got.names())
	}
	if after := m.written(ada); after != before {
		t.Errorf("before %s\nafter %s", before, after)
	}
	all := m.logs(ada, "?limit=100")
	if row.agent == "" {
		if len(all) != rows || got.invocation != "" {
			t.Errorf("%d rows more, invocation %q, but no agent", len(all)-rows, got.invocation)
		}
		return
	}
	if len(all) != rows+1 {
		t.Fatalf("%d rows more, want 1", len(all)-rows)
	}
	kind := map[string]string{"invoke": "invoke", "invoke/stream": "stream"}[way]
	if l := all[0]; l.ID != got.invocation || l.Kind != kind || l.Success || !l.Refused || l.Status != "error" || l.StatusCode != row.status || deref(l.ErrorCode) != row.code ||
		deref(l.ErrorMessage) != got.errorText || l.Conversation != nil || l.Message != nil || deref(l.Target) != row.agent || deref(l.Caller) != ada.id || string(l.Response) != "null" ||
		string(l.Request) != `{"city":"Oslo"}` {
		t.Errorf("row %+v", l)
	}
	if n := m.calls(deref(all[0].Identifier), ada); n != figures {
		t.Errorf("a refusal counts for quality: %s, was %s", n, figures)
	}
}

func TestWhileThePlatformIsHaltedNothingIsInvoked(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	ada := m.signUp("ada")
	agent := m.agent(ada, "/echo", "")
	if _, err := m.service.store.Halt(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // how late a switch of another node may act
	for _, way := range ways {
		if got := m.call(way, invocation(agent, `,"conversation_id":"`+nowhere+`"`), ada.bearer()); got.http != 503 || !strings.Contains(got.body, `"platform_halted"`) {
			t.Errorf("%s: got %+v", way, got)
		}
	}
	if rows := m.logs(ada, ""); len(rows) != 0 || m.written(ada) != "" {
		t.Errorf("rows %+v", rows)
	}
}

// mapping is contract §5.4, row by row: what an agent does, and what comes of it.
type mapped struct {
	path   string
	status int
	code   string // "": a success
	data   string
	says   string // content of the assistant's message; "": there is none
	counts bool   // in the figures of the agent
}

func (m *market) mapping() []mapped {
	closed := httptest.NewServer(nil)
	closed.Close()
	rows := []mapped{
		{"/200/{\"a\":1.10,\"b\":12345678901234567890}", 200, "", `{"a":1.10,"b":12345678901234567890}`, `{"a":1.10,"b":12345678901234567890}`, true},
		{"/201/{\"message\":\"+\",\"text\":\"+sun+\"}", 201, "", `{"message":" ","text":" sun "}`, "sun", true},
		{"/299/{}", 299, "", `{}`, "", true},
		{"/200/[1,2]", 200, "", `{"result":[1,2]}`, `{"result":[1,2]}`, true},
		{`/200/"sun"`, 200, "", `{"result":"sun"}`, `{"result":"sun"}`, true},
		{"/200/1e400", 200, "", `{"result":1e400}`, `{"result":1e400}`, true},
		{"/200/true", 200, "", `{"result":true}`, `{"result":true}`, true},
		{"/200/null", 200, "", `{"result":null}`, `{"result":null}`, true},
		{"/html", 200, "", `{"type":"does not matter"}`, `{"type":"does not matter"}`, true},
		{"/204/", 204, "", `{}`, "", true},
		{"/202/", 202, "", `{}`, "", true},
		{`/200/{"text":"a\u0000b"}`, 200, "", `{"text":"a\u0000b"}`, "a\uFFFDb", true},

		{"/200/<html>", 200, "agent_invalid_json", "", "", true},
		{"/200/{\"a\":1}x", 200, "agent_invalid_json", "", "", true},
		{"/200/{\"a\":1,\"a\":2}", 200, "agent_invalid_json", "", "", true},
		{"/200/NaN", 200, "agent_invalid_json", "", "", true},
		{"/201/\"\xff\"", 201, "agent_invalid_json", "", "", true},
		{"/200/" + strings.Repeat("[", 65) + strings.Repeat("]", 65), 200, "agent_invalid_json", "", "", true},
		{"/302/{}", 302, "agent_error", "", "", true},
		{"/307/", 307, "agent_error", "", "", true},
		{"/304/", 304, "agent_error", "", "", true},
		{"/400/{\"a\":1}", 400, "agent_error", "", "", true},
		{"/404/", 404, "agent_error", "", "", true},
		{"/504/", 504, "agent_error", "", "", true},
		{"/500/{}", 500, "agent_error", "", "", true},
		{"/broken", 500, "agent_unreachable", "", "", false},
		{closed.URL, 500, "agent_unreachable", "", "", false},
		{"http://nobody.invalid/", 500, "agent_unreachable", "", "", false},
		{strings.Replace(m.agents.URL, "http://", "https://", 1), 500, "agent_unreachable", "", "", false},
		{"/large", 502, "agent_response_too_large", "", "", true},
		{"/bomb", 502, "agent_response_too_large", "", "", true},
	}
	full := `{"x":"` + strings.Repeat("x", 1<<20-8) + `"}`
	return append(rows, mapped{"/full", 200, "", full, full[:65536], true})
}

func TestWhatAnAgentAnswersIsMapped(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		m := newMarket(t, open())
		ada := m.signUp("ada")
		for _, row := range m.mapping() {
			for _, way := range append(ways, "invoke/stream of a streaming agent") {
				way, _, streams := strings.Cut(way, " ")
				if streams && row.path == "/bomb" {
					continue // a stream is not asked for in compressed form
				}
				m.world.t, m.t = t, t
				agent := m.agent(ada, row.path, fmt.Sprintf(`,"supports_streaming":%v`, streams))
				got := m.call(way, invocation(agent, ""), ada.bearer())
				m.checkMapped(t, ada, agent, way, streams, row, got)
			}
		}
	})
}

func TestAnAgentThatDoesNotAnswerInTimeIsATimeout(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		m := newMarket(t, open(), "BROKER_TIMEOUT_SECONDS", "1")
		ada := m.signUp("ada")
		for _, way := range ways {
			agent := m.agent(ada, "/hang", "")
			m.checkMapped(t, ada, agent, way, false, mapped{"/hang", 408, "agent_timeout", "", "", true}, m.call(way, invocation(agent, ""), ada.bearer()))
		}
	})
}

// checkMapped insists on the answer, its log row and what is said in the conversation.
func (m *market) checkMapped(t *testing.T, ada user, agent reply, way string, streams bool, row mapped, got outcome) {
	name := fmt.Sprintf("%.60s by %s, streaming %v", row.path, way, streams)
	if got.http != 200 || got.success != (row.code == "") || got.status != row.status || got.code != row.code || (got.errorText == "") != (row.code == "") || got.conversation == "" {
		t.Errorf("%s: got %.300s, want %d %q", name, fmt.Sprintf("%+v", got), row.status, row.code)
		return
	}
	want := map[bool]string{true: "result done", false: "error done"}[got.success]
	if streams {
		want = strings.Replace(want, "result", "chunk", 1)
		if strings.HasSuffix(row.path, "/204/") || strings.HasSuffix(row.path, "/202/") {
			want = "done"
		} else if got.success {
			got.data = got.events[0].data
		}
	}
	if way == "invoke" {
		want = ""
	}
	if got.names() != want {
		t.Errorf("%s: got events %q, want %q", name, got.names(), want)
	}
	if row.code != "" && way == "invoke" && got.data != "null" || row.code == "" && want != "done" && got.data != row.data {
		t.Errorf("%s: got data %.100s, want %.100s", name, got.data, row.data)
	}
	l := m.logs(ada, "?limit=1")[0]
	if status := (map[int]string{408: "timeout", 504: "timeout"}[row.status]); row.code != "" && l.Status != status && status+l.Status != "error" || row.code == "" && l.Status != "success" {
		t.Errorf("%s: log status %s", name, l.Status)
	}
	if response := row.data; l.ID != got.invocation || l.Refused || l.Success != got.success || l.StatusCode != row.status || deref(l.ErrorCode) != row.code ||
		deref(l.Conversation) != got.conversation || row.code == "" && string(l.Response) != response || row.code != "" && string(l.Response) != "null" {
		t.Errorf("%s: row %.300s", name, fmt.Sprintf("%+v", l))
	}
	said := m.messages(ada, got.conversation)
	if said[0].Role != "user" || said[0].ID != deref(l.Message) || said[0].Agent != nil || string(said[0].Metadata) != `{"city":"Oslo"}` {
		t.Errorf("%s: the user said %+v", name, said[0])
	}
	switch {
	case row.says == "" && len(said) != 1:
		t.Errorf("%s: %d messages", name, len(said))
	case row.says != "" && (len(said) != 2 || said[1].Role != "assistant" || said[1].Content != row.says || string(said[1].Metadata) != row.data || deref(said[1].Agent) != agent.text("agent_id")):
		t.Errorf("%s: said %.300s", name, fmt.Sprintf("%+v", said))
	}
	if n := m.calls(agent.text("agent_id"), ada); n != map[bool]string{true: "1", false: "0"}[row.counts] {
		t.Errorf("%s: %s calls in the figures", name, n)
	}
}
