package mcpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

const (
	someUUID  = "0b8f0f0e-5a6e-4a8e-9a52-0d4b6f1f6f11"
	otherUUID = "0b8f0f0e-5a6e-4a8e-9a52-0d4b6f1f6f12"
)

func ptr[T any](v T) *T { return &v }

func TestTheListedToolsAreThoseOfTheContract(t *testing.T) {
	h := newEdge(t, &rules{}, t.Output())
	got := post(h, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, nil)
	var answer struct {
		Result struct {
			Tools []struct {
				Name        string
				Description string
				InputSchema struct {
					Type       string
					Properties map[string]struct{ Default json.RawMessage }
					Required   []string
				}
				Annotations struct{ ReadOnlyHint bool }
			}
		}
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		t.Fatalf("%s: %v", got.body, err)
	}
	want := []string{
		"create_network(name!,topology=\"mesh\")", "discover_agents(limit=5,query!) reads", "get_agent_details(agent_id!) reads", "get_conversation_messages(conversation_id!,limit=100,offset=0) reads",
		"get_network_context(limit=50,network_id!) reads",
		"import_a2a_agent(url!)", "invoke_agent(agent_id!,conversation_id,input_data!,message_id)", "join_network(callback_url,name!,network_id!,participant_type=\"agent\",polling_enabled=false)", "list_conversations(limit=50) reads",
		"send_network_message(content!,network_id!,recipient_participant_id!,sender_participant_id!)",
	}
	var list []string
	for _, tool := range answer.Result.Tools {
		var params []string
		for name, p := range tool.InputSchema.Properties {
			if slices.Contains(tool.InputSchema.Required, name) {
				name += "!"
			}
			if p.Default != nil {
				name += "=" + string(p.Default)
			}
			params = append(params, name)
		}
		slices.Sort(params)
		text := tool.Name + "(" + strings.Join(params, ",") + ")"
		if tool.Annotations.ReadOnlyHint {
			text += " reads"
		}
		list = append(list, text)
		if tool.Description == "" || tool.InputSchema.Type != "object" {
			t.Errorf("%+v", tool)
		}
	}
	if !slices.Equal(list, want) {
		t.Errorf("got  %q\nwant %q", list, want)
	}
}

func TestToolsAskTheRulesWithDefaultsAndClamping(t *testing.T) {
	for _, c := range []struct {
		tool, arguments string
		got             func(r *rules) any
		want            any
	}{
		{"discover_agents", `{"query":"weather"}`, func(r *rules) any { return r.discovered }, registry.Discovery{Text: "weather", Limit: 5}},
		{"discover_agents", `{"query":"","limit":null}`, func(r *rules) any { return r.discovered }, registry.Discovery{Limit: 5}},
		{"discover_agents", `{"query":"q","limit":50}`, func(r *rules) any { return r.discovered.Limit }, 50},
		{"discover_agents", `{"query":"q","limit":51}`, func(r *rules) any { return r.discovered.Limit }, 50},
		{"discover_agents", `{"query":"q","limit":9e15}`, func(r *rules) any { return r.discovered.Limit }, 50},
		{"discover_agents", `{"query":"q","limit":0}`, func(r *rules) any { return r.discovered.Limit }, 1},
		{"discover_agents", `{"query":"q","limit":-7}`, func(r *rules) any { return r.discovered.Limit }, 1},
		{"discover_agents", `{"query":"q","limit":3.0,"unheard_of":1}`, func(r *rules) any { return r.discovered.Limit }, 3},
		{"list_conversations", `{}`, func(r *rules) any { return r.queried }, conversation.Query{Limit: 50}},
		{"list_conversations", `null`, func(r *rules) any { return r.queried }, conversation.Query{Limit: 50}},
		{"list_conversations", `{"limit":1000}`, func(r *rules) any { return r.queried.Limit }, 1000},
		{"get_conversation_messages", `{"conversation_id":"` + someUUID + `"}`, func(r *rules) any { return r.window }, [2]int{100, 0}},
		{"get_conversation_messages", `{"conversation_id":"` + strings.ToUpper(someUUID) + `","limit":2,"offset":3}`, func(r *rules) any { return r.window }, [2]int{2, 3}},
		{"create_network", `{"name":"n"}`, func(r *rules) any { return r.network }, network.NewNetwork{Name: "n", Topology: "mesh"}},
		{"create_network", `{"name":"n","topology":"ring"}`, func(r *rules) any { return r.network.Topology }, "ring"},
		{"join_network", `{"network_id":"` + strings.ToUpper(someUUID) + `","name":"ada"}`, func(r *rules) any { return r.inside }, someUUID},
		{"join_network", `{"network_id":"` + someUUID + `","name":"ada","callback_url":null,"polling_enabled":null}`, func(r *rules) any { return r.joined }, network.NewParticipant{Name: "ada", Kind: "agent"}},
		{"join_network", `{"network_id":"` + someUUID + `","name":"ada","participant_type":"persona","polling_enabled":true,"callback_url":"https://a.example"}`,
			func(r *rules) any { return []any{r.joined.Kind, r.joined.Polling, *r.joined.CallbackURL} }, []any{"persona", true, "https://a.example"}},
		{"send_network_message", `{"network_id":"` + someUUID + `","sender_participant_id":"` + someUUID + `","recipient_participant_id":"` + otherUUID + `","content":""}`,
			func(r *rules) any { return r.saying }, network.Saying{Sender: someUUID, Recipient: otherUUID}},
		{"get_network_context", `{"network_id":"` + someUUID + `"}`, func(r *rules) any { return []any{r.inside, r.limit} }, []any{someUUID, 50}},
		{"get_network_context", `{"network_id":"` + someUUID + `","limit":200}`, func(r *rules) any { return r.limit }, 200},
		{"import_a2a_agent", `{"url":"https://a.example"}`, func(r *rules) any { return r.imported }, "https://a.example"},
	} {
		r := &rules{}
		text, isError := call(t, newEdge(t, r, t.Output()), c.tool, c.arguments)
		if got := c.got(r); fmt.Sprint(got) != fmt.Sprint(c.want) || isError {
			t.Errorf("%s(%s): asked %v, want %v; answered %s", c.tool, c.arguments, got, c.want, text)
		}
	}
}

func TestMessagesAreOneTextOfABoundedSize(t *testing.T) {
	const size = 1 << 20
	list := make([]conversation.Message, 10)
	for i := range list {
		list[i] = conversation.Message{ID: id.Message(fmt.Sprint(i)), Role: "user", Large: true}
	}
	for _, c := range []struct {
		sentence string
		n        int
		content  int
		missing  id.Message
		err      error
		read     int // how many are read, at most
		isError  bool
		want     string // part of the text
	}{
		{"what fits is told", 7, size, "", nil, 7, false, `"id":"6"`},
		{"what does not fit is not", 10, size, "", nil, 8, true, `{"error":"these messages are larger than 8388608 bytes: ask for fewer, with a limit of at most 7"}`},
		{"one message always fits", 1, 9 * size, "", nil, 1, false, `"id":"0"`},
		{"what is gone is left out", 2, 1, "0", nil, 2, false, `[{"id":"1"`},
		{"no message is an empty list", 1, 1, "0", nil, 1, false, `[]`},
		{"a broken store is an error", 2, 1, "", errStore, 1, true, `{"error":"Internal error"}`},
	} {
		read := 0
		r := &rules{messages: list[:c.n], whole: func(m conversation.Message) (conversation.Message, error) {
			read++
			if m.ID == c.missing {
				return conversation.Message{}, fault.Missing("Message")
			}
			m.Content = strings.Repeat("x", c.content)
			return m, c.err
		}}
		text, isError := call(t, newEdge(t, r, io.Discard), "get_conversation_messages", `{"conversation_id":"`+someUUID+`"}`)
		if isError != c.isError || read != c.read || !strings.Contains(text, c.want) || isError && text != c.want {
			t.Errorf("%s: isError %v after %d messages: %.200s", c.sentence, isError, read, text)
		}
		if listed := strings.Count(text, `"role"`); !isError && listed != c.n-strings.Count(string(c.missing), "0") {
			t.Errorf("%s: %d messages", c.sentence, listed)
		}
	}
}

func TestWrongArgumentsAreToldAndReachNoRule(t *testing.T) {
	long := strings.Repeat("é", 4001)
	for _, c := range []struct{ tool, arguments, want string }{
		{"discover_agents", `{}`, "query: is required"},
		{"discover_agents", `{"query":null}`, "query: is required"},
		{"discover_agents", `{"query":7,"limit":"5"}`, "query: must be a string; limit: must be an integer"},
		{"discover_agents", `{"query":"q","limit":1.5}`, "limit: must be an integer"},
		{"discover_agents", `{"query":"q","limit":1e99}`, "limit: must be an integer"},
		{"discover_agents", `{"query":"q","limit":true}`, "limit: must be an integer"},
		{"discover_agents", `{"QUERY":"q"}`, "query: is required"},
		{"discover_agents", `{"query":"` + long + `"}`, "query: at most 4000 characters"},
		{"discover_agents", `[]`, "arguments: must be an object"},
		{"discover_agents", `"q"`, "arguments: must be an object"},
		{"get_agent_details", `{}`, "agent_id: is required"},
		{"invoke_agent", `{"agent_id":"a"}`, "input_data: is required"},
		{"invoke_agent", `{"agent_id":"a","input_data":[1]}`, "input_data: must be an object"},
		{"invoke_agent", `{"agent_id":"a","input_data":"{}"}`, "input_data: must be an object"},
		{"invoke_agent", `{"agent_id":"a","input_data":{},"conversation_id":"x"}`, "conversation_id: must be a UUID"},
		{"invoke_agent", `{"agent_id":"a","input_data":{},"conversation_id":"{` + someUUID + `}"}`, "conversation_id: must be a UUID"},
		{"invoke_agent", `{"agent_id":"a","input_data":{},"conversation_id":7,"message_id":""}`, "conversation_id: must be a string; message_id: must be a UUID"},
		{"list_conversations", `{"limit":0}`, "limit: must be 1 to 1000"},
		{"list_conversations", `{"limit":1001}`, "limit: must be 1 to 1000"},
		{"get_conversation_messages", `{"limit":501,"offset":-1}`, "conversation_id: is required; limit: must be 1 to 500; offset: must be 0 to 1000000"},
		{"create_network", `{"name":"","topology":"tree"}`, "name: at least 1 character; topology: must be one of mesh, star, ring, custom"},
		{"create_network", `{"name":"` + strings.Repeat("é", 256) + `","topology":7}`, "name: at most 255 characters; topology: must be a string"},
		{"join_network", `{"name":"ada"}`, "network_id: is required"},
		{"join_network", `{"network_id":"x","name":7,"participant_type":"boss","callback_url":[],"polling_enabled":"yes"}`,
			"network_id: must be a UUID; name: must be a string; participant_type: must be one of agent, persona, orchestrator; callback_url: must be a string; polling_enabled: must be true or false"},
		{"send_network_message", `{"network_id":"` + someUUID + `"}`, "sender_participant_id: is required; recipient_participant_id: is required; content: is required"},
		{"send_network_message", `{"network_id":"` + someUUID + `","sender_participant_id":"` + someUUID + `","recipient_participant_id":"` + someUUID + `","content":"` + strings.Repeat("é", 65537) + `"}`, "content: at most 65536 characters"},
		{"get_network_context", `{"network_id":"` + someUUID + `","limit":201}`, "limit: must be 1 to 200"},
		{"import_a2a_agent", `{"url":"` + strings.Repeat("x", 2049) + `"}`, "url: at most 2048 characters"},
	} {
		r := &rules{boom: "a rule was asked"}
		text, isError := call(t, newEdge(t, r, t.Output()), c.tool, c.arguments)
		if want := fmt.Sprintf(`{"error":%q}`, c.want); text != want || !isError {
			t.Errorf("%s(%.80s): %s, isError %v, want %s", c.tool, c.arguments, text, isError, want)
		}
	}
}

func TestInputReachesTheAgentAsItWasWritten(t *testing.T) {
	r := &rules{}
	h := newEdge(t, r, t.Output())
	const input = `{"big":12345678901234567890,"exact":1.10,"huge":1e400,"zero":-0,"text":"\u00e9<&>\ud83d\ude00","b":1,"a":[null,true,{}]}`
	call(t, h, "invoke_agent", `{"agent_id":"a","message_id":"`+someUUID+`","conversation_id":"`+someUUID+`","input_data":`+input+`}`)
	if len(r.invoked) != 1 || string(r.invoked[0].Input) != input || r.invoked[0].Agent != "a" || r.by[0] != "ada" ||
		r.invoked[0].Conversation != someUUID || r.invoked[0].Message != someUUID || r.invoked[0].ExternalUser != nil {
		t.Errorf("invoked %+v by %v\n%s", r.invoked, r.by, r.invoked[0].Input)
	}
	call(t, h, "invoke_agent", `{"agent_id":"a","input_data":{},"conversation_id":null}`)
	if last := r.invoked[1]; last.Conversation != "" || last.Message != "" {
		t.Errorf("invoked %+v", last)
	}
}

func TestInvokeAgentShowsTheOutcome(t *testing.T) {
	for _, c := range []struct {
		name    string
		result  broker.Result
		want    string
		isError bool
	}{
		{"success", broker.Result{Success: true, Data: []byte(`{"n":12345678901234567890}`), Status: 200, Latency: 1500 * time.Microsecond, Conversation: "c", Invocation: "i"},
			`{"success":true,"data":{"n":12345678901234567890},"error":null,"latency_ms":1,"conversation_id":"c"}`, false},
		{"the agent failed", broker.Result{Code: broker.AgentTimeout, Status: 408, Latency: 25 * time.Second, Conversation: "c", Invocation: "i"},
			`{"success":false,"data":null,"error":"Agent did not answer in time","latency_ms":25000,"conversation_id":"c"}`, true},
		{"refused", broker.Result{Code: broker.AgentNotFound, Status: 404},
			`{"success":false,"data":null,"error":"Agent not found","latency_ms":0,"conversation_id":null}`, true},
	} {
		text, isError := call(t, newEdge(t, &rules{result: c.result}, t.Output()), "invoke_agent", `{"agent_id":"a","input_data":{}}`)
		if text != c.want || isError != c.isError {
			t.Errorf("%s: %s, isError %v, want %s", c.name, text, isError, c.want)
		}
	}
}

func TestNetworkToolsShowWhatTheRoutesShow(t *testing.T) {
	at := time.Date(2026, 4, 23, 12, 0, 0, 123456000, time.UTC)
	entry := network.Entry{Message: network.Message{ID: otherUUID, Channel: "call", Content: "<hi>", Created: at}, SenderName: "ada"}
	second := entry
	second.Recipient, second.RecipientName = someUUID, "weather"
	h := newEdge(t, &rules{entries: []network.Entry{entry, second}}, t.Output())
	const never = `"0001-01-01T00:00:00.000000Z"`
	for _, c := range []struct{ tool, arguments, want string }{
		{"create_network", `{"name":"n"}`, `{"id":"` + someUUID + `","owner_id":"ada","name":"n","topology_type":"mesh","metadata":null,"metadata_":null,"status":"active","created_at":` + never + `,"updated_at":` + never + `}`},
		{"join_network", `{"network_id":"` + otherUUID + `","name":"w"}`, `{"id":"` + someUUID + `","network_id":"` + otherUUID + `","agent_id":null,"participant_type":"agent","name":"w","callback_url":null,` +
			`"polling_enabled":false,"capabilities":null,"status":"active","created_at":` + never + `,"updated_at":` + never + `,"webhook_secret":"whsec_x"}`},
		{"send_network_message", `{"network_id":"` + someUUID + `","sender_participant_id":"` + someUUID + `","recipient_participant_id":"` + someUUID + `","content":"c"}`,
			`{"message_id":"` + someUUID + `","status":"pending","channel_type":"message"}`},
		{"get_network_context", `{"network_id":"` + someUUID + `"}`, `{"network_id":"` + someUUID + `","entries":[` +
			`{"sender":"ada","recipient":null,"channel":"call","content":"<hi>","message_id":"` + otherUUID + `","timestamp":1776945600.123456},` +
			`{"sender":"ada","recipient":"weather","channel":"call","content":"<hi>","message_id":"` + otherUUID + `","timestamp":1776945600.123456}]}`},
	} {
		if text, isError := call(t, h, c.tool, c.arguments); text != c.want || isError {
			t.Errorf("%s: isError %v\ngot  %s\nwant %s", c.tool, isError, text, c.want)
		}
	}
	if text, _ := call(t, newEdge(t, &rules{}, t.Output()), "get_network_context", `{"network_id":"`+someUUID+`"}`); text != `{"network_id":"`+someUUID+`","entries":[]}` {
		t.Errorf("nothing said: %s", text)
	}
	entry.Content = strings.Repeat("x", 1<<20)
	text, isError := call(t, newEdge(t, &rules{entries: slices.Repeat([]network.Entry{entry}, 10)}, t.Output()), "get_network_context", `{"network_id":"`+someUUID+`"}`)
	if want := `{"error":"these entries are larger than 8388608 bytes: ask for fewer, with a limit of at most 7"}`; text != want || !isError {
		t.Errorf("more than fits: isError %v %.200s", isError, text)
	}
}

func TestEntriesThatWereLeftOutAreReadFromTheLastOn(t *testing.T) {
	list := make([]network.Entry, 10)
	for i := range list {
		list[i].Message = network.Message{ID: id.NetworkMessage(fmt.Sprint(i)), Large: i != 8}
	}
	for _, c := range []struct {
		sentence string
		content  int
		missing  id.NetworkMessage
		err      error
		read     string
		want     string // all of an error, or part of the text
	}{
		{"what fits is told", 1, "", nil, "976543210", `"content":"x","message_id":"9"`},
		{"what does not fit is not read", 1 << 20, "", nil, "976543210"[:8], `{"error":"these entries are larger than 8388608 bytes: ask for fewer, with a limit of at most 8"}`},
		{"what is gone is left out", 1, "9", nil, "976543210", `"content":"","message_id":"8","timestamp":-62135596800.000000}]}`},
		{"a broken store is an error", 1, "", errStore, "9", `{"error":"Internal error"}`},
	} {
		read := ""
		r := &rules{entries: list, complete: func(m network.Message) (network.Message, error) {
			if !m.Large {
				return m, nil
			}
			read += string(m.ID)
			if m.ID == c.missing {
				return network.Message{}, fault.Missing("Message")
			}
			m.Content = strings.Repeat("x", c.content)
			return m, c.err
		}}
		text, isError := call(t, newEdge(t, r, io.Discard), "get_network_context", `{"network_id":"`+someUUID+`"}`)
		if isError != strings.HasPrefix(c.want, `{"error"`) || read != c.read || !strings.Contains(text, c.want) || isError && text != c.want {
			t.Errorf("%s: isError %v after reading %s: %.200s", c.sentence, isError, read, text)
		}
	}
}

func TestListsShowTheSummaryOfAgents(t *testing.T) {
	r := &rules{agents: []registry.Agent{
		{ID: "secret-id", Slug: "bare-1", Name: "Bare", Description: "d", AuthType: "public"},
		{Slug: "full-2", Name: "Full", Description: "d", AuthType: "api_key", Endpoint: ptr("https://mine.example/"), InputSchema: []byte(`{"type":"object"}`),
			Tags: []string{"x"}, Category: ptr("data"), Similarity: ptr(0.25)},
	}}
	h := newEdge(t, r, t.Output())
	const want = `[{"agent_id":"bare-1","name":"Bare","description":"d","auth_type":"public","endpoint":null},` +
		`{"agent_id":"full-2","name":"Full","description":"d","auth_type":"api_key","endpoint":"https://mine.example/","input_schema":{"type":"object"},` +
		`"tags":["x"],"category":"data","similarity_score":0.25}]`
	if text, _ := call(t, h, "discover_agents", `{"query":"q"}`); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	for _, uri := range []string{"intuno://agents/trending", "intuno://agents/new"} {
		got := post(h, `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"`+uri+`"}}`, nil)
		var answer struct {
			Result struct {
				Contents   []struct{ URI, MIMEType, Text string }
				CacheScope string
			}
		}
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil || len(answer.Result.Contents) != 1 {
			t.Fatalf("%s: %s", uri, got.body)
		}
		if answer.Result.CacheScope != "private" { // what is shown is the caller's
			t.Errorf("%s may be kept for others: %s", uri, got.body)
		}
		if c := answer.Result.Contents[0]; c.URI != uri || c.MIMEType != "application/json" || c.Text != want || r.listed.Days != 7 || r.listed.Limit != 20 {
			t.Errorf("%s: %+v, asked %+v", uri, c, r.listed)
		}
	}
	if text, _ := call(t, newEdge(t, &rules{}, t.Output()), "discover_agents", `{"query":"q"}`); text != "[]" {
		t.Errorf("no agents: %s", text)
	}
}

func TestAFaultIsToldAndTheRestIsNot(t *testing.T) {
	every := map[string]string{
		"discover_agents": `{"query":"q"}`, "get_agent_details": `{"agent_id":"a"}`, "invoke_agent": `{"agent_id":"a","input_data":{}}`,
		"list_conversations": `{}`, "get_conversation_messages": `{"conversation_id":"` + someUUID + `"}`, "import_a2a_agent": `{"url":"u"}`,
		"create_network": `{"name":"n"}`, "join_network": `{"network_id":"` + someUUID + `","name":"n"}`, "get_network_context": `{"network_id":"` + someUUID + `"}`,
		"send_network_message": `{"network_id":"` + someUUID + `","sender_participant_id":"` + someUUID + `","recipient_participant_id":"` + someUUID + `","content":"c"}`,
	}
	for name, arguments := range every {
		for _, c := range []struct {
			name, want string
			r          *rules
			logged     string
		}{
			{"a fault", "Agent not found", &rules{err: fmt.Errorf("find: %w", fault.Missing("Agent").Because(errStore))}, ""},
			{"problems", "url: is odd", &rules{err: fault.InvalidField("value_error", "is odd", "body", "url")}, ""},
			{"no fault", "Internal error", &rules{err: errStore}, "hunter2"},
			{"an internal fault", "Internal error", &rules{err: fault.New(fault.Internal, "internal_error", "hunter2")}, "hunter2"},
			{"a panic", "Internal error", &rules{boom: "hunter2"}, "hunter2"},
		} {
			log := &safeLog{}
			text, isError := call(t, newEdge(t, c.r, log), name, arguments)
			if want := fmt.Sprintf(`{"error":%q}`, c.want); text != want || !isError {
				t.Errorf("%s, %s: %s, isError %v, want %s", name, c.name, text, isError, want)
			}
			if got := log.String(); (got != "") != (c.logged != "") || !strings.Contains(got, c.logged) {
				t.Errorf("%s, %s: logged %q", name, c.name, got)
			}
		}
	}
	log := &safeLog{}
	got := post(newEdge(t, &rules{err: errStore}, log), `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"intuno://agents/new"}}`, nil)
	if got.status != 200 || got.body != `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error"}}` || !strings.Contains(log.String(), "hunter2") {
		t.Errorf("a resource: %d %s; logged %q", got.status, got.body, log)
	}
}

func TestAHaltedPlatformAnswersTheRequest(t *testing.T) {
	r := &rules{err: fmt.Errorf("invoke: %w", fault.New(fault.Unavailable, "platform_halted", "The platform is halted"))}
	got := post(newEdge(t, r, t.Output()), `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"invoke_agent","arguments":{"agent_id":"a","input_data":{}}}}`, nil)
	standard(t, "halted", got, 503, "platform_halted")
}

func TestACallerThatLeavesEndsTheCallAndLeaksNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r := &rules{hang: make(chan struct{})}
	log := &safeLog{}
	server := httptest.NewServer(newEdge(t, r, log))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"invoke_agent","arguments":{"agent_id":"a","input_data":{}}}}`
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/mcp", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Test-User", "ada")
	go func() {
		<-r.hang
		leave()
	}()
	if response, err := client.Do(request); err == nil {
		_ = response.Body.Close()
		t.Fatal("the call was answered")
	}
	select {
	case <-r.hang:
	case <-time.After(30 * time.Second):
		t.Fatal("the call goes on without its caller")
	}
	if log.String() != "" {
		t.Errorf("logged %q", log)
	}
}

func TestManyCallsLeaveNoGoroutine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	h := newEdge(t, &rules{err: errStore}, &safeLog{})
	for range 20 {
		for _, method := range []string{`"initialize","params":{}`, `"ping"`, `"tools/list"`, `"tools/call","params":{"name":"list_conversations"}`, `"resources/read","params":{"uri":"intuno://agents/new"}`} {
			post(h, `{"jsonrpc":"2.0","id":1,"method":`+method+`}`, nil)
		}
	}
}

func BenchmarkToolsCall(b *testing.B) {
	h := newEdge(b, &rules{}, &safeLog{})
	b.ReportAllocs()
	for b.Loop() {
		post(h, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_conversations","arguments":{"limit":5}}}`, nil)
	}
}

func BenchmarkToolsList(b *testing.B) {
	h := newEdge(b, &rules{}, &safeLog{})
	for b.Loop() {
		post(h, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, nil)
	}
}

// BenchmarkEdgeAlone is what a request costs that never reaches the module.
func BenchmarkEdgeAlone(b *testing.B) {
	h := newEdge(b, &rules{}, &safeLog{})
	for b.Loop() {
		post(h, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil)
	}
}
