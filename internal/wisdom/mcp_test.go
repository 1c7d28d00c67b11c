package wisdom

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// headed sends every request with more headers.
type headed struct {
	http.RoundTripper
	header http.Header
}

func (h headed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range h.header {
		r.Header[name] = values
	}
	return h.RoundTripper.RoundTrip(r)
}

// mcpClient is a session of the official client. version "" is the client's newest.
func (m *market) mcpClient(t *testing.T, url, version string, header http.Header) *mcp.ClientSession {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: url + "/mcp", HTTPClient: &http.Client{Transport: headed{http.DefaultTransport, header}}, MaxRetries: -1,
	}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("connect with version %q: %v", version, err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return session
}

func (m *market) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(m.handler)
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		server.Close()
	})
	return server.URL
}

// tool calls a tool and reads the JSON of its one text item into out.
func tool(t *testing.T, s *mcp.ClientSession, name string, arguments map[string]any, out any) (text string, isError bool) {
	t.Helper()
	result, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	content, ok := result.Content[0].(*mcp.TextContent)
	if !ok || len(result.Content) != 1 {
		t.Fatalf("%s: content %+v", name, result.Content)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(content.Text), out); err != nil {
			t.Fatalf("%s: %s: %v", name, content.Text, err)
		}
	}
	return content.Text, result.IsError
}

// The official client lists and calls everything, with each credential and in each
// version of the protocol.
func TestMCPTheOfficialClientUsesEveryTool(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		database, before := open(), goleak.IgnoreCurrent()
		t.Cleanup(func() { goleak.VerifyNone(t, before) }) // after everything is closed
		m := newMarket(t, database)
		url := m.serve(t)
		cards := newElsewhere(t)
		cards.text(cardPath, fmt.Sprintf(`{"name":"Card Agent","description":"imported","url":%q}`, cards.URL+"/rpc"))
		ada := m.signUp("ada")
		echo := m.agent(ada, "/echo", `,"tags":["weather"],"input_schema":{"type":"object"}`)
		key, bearerKey := http.Header{"X-Api-Key": {ada.key}}, http.Header{"Authorization": {"Bearer " + ada.key}}
		for _, c := range []struct {
			name, version string
			header        http.Header
			want          string
		}{
			{"a token", "", ada.bearer(), "2025-11-25"}, {"a key", "", key, "2025-11-25"}, {"a key as a token", "", bearerKey, "2025-11-25"},
			{"a token, version 2025-11-25", "2025-11-25", ada.bearer(), "2025-11-25"},
			{"a key, version 2025-06-18", "2025-06-18", key, "2025-06-18"},
			{"a key as a token, version 2025-03-26", "2025-03-26", bearerKey, "2025-03-26"},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := m.mcpClient(t, url, c.version, c.header)
				if got := s.InitializeResult(); got.ProtocolVersion != c.want || got.ServerInfo.Name != "Intuno" {
					t.Errorf("initialized as %+v", got)
				}
				m.useEveryTool(t, s, ada, echo.text("agent_id"), cards.URL)
			})
		}
		// What was done is recorded for who did it.
		actors := map[string]bool{}
		for _, row := range m.logs(ada, "") {
			actors[row.Actor.Type] = true
			if deref(row.Caller) != ada.id || row.RequestID == "" {
				t.Errorf("log %+v", row)
			}
		}
		if !actors["user"] || !actors["api_key"] {
			t.Errorf("actors %v", actors)
		}
	})
}

func (m *market) useEveryTool(t *testing.T, s *mcp.ClientSession, u user, echo, cardURL string) {
	t.Helper()
	listed, err := s.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range listed.Tools {
		names = append(names, tool.Name)
	}
	if want := []string{"create_network", "discover_agents", "get_agent_details", "get_conversation_messages", "get_network_context", "import_a2a_agent", "invoke_agent",
		"join_network", "list_conversations", "send_network_message"}; !slices.Equal(names, want) {
		t.Errorf("tools %q, want %q", names, want)
	}
	if err := s.Ping(t.Context(), nil); err != nil {
		t.Errorf("ping: %v", err)
	}
	var found []map[string]any
	tool(t, s, "discover_agents", map[string]any{"query": "agent"}, &found)
	if !slices.ContainsFunc(found, func(a map[string]any) bool {
		return a["agent_id"] == echo && a["endpoint"] == m.agents.URL+"/echo" && a["similarity_score"] != nil
	}) {
		t.Errorf("discovered %v", found)
	}
	var details struct {
		ID          string
		AgentID     string          `json:"agent_id"`
		InputSchema json.RawMessage `json:"input_schema"`
	}
	if text, isError := tool(t, s, "get_agent_details", map[string]any{"agent_id": echo}, &details); isError || details.AgentID != echo || details.ID == "" || string(details.InputSchema) != `{"type":"object"}` {
		t.Errorf("details %s", text)
	}
	var result struct {
		Success        bool
		Data           json.RawMessage
		Error          *string
		LatencyMS      *int   `json:"latency_ms"`
		ConversationID string `json:"conversation_id"`
	}
	input := json.RawMessage(`{"n":12345678901234567890,"x":1.10}`)
	if text, isError := tool(t, s, "invoke_agent", map[string]any{"agent_id": echo, "input_data": input}, &result); isError || !result.Success || string(result.Data) != string(input) || result.Error != nil || result.LatencyMS == nil {
		t.Errorf("invoked %s", text)
	}
	if got := m.agents.last(t, "/echo").body; got != string(input) {
		t.Errorf("the agent got %s, want %s", got, input)
	}
	tool(t, s, "invoke_agent", map[string]any{"agent_id": echo, "input_data": map[string]any{"message": "more"}, "conversation_id": result.ConversationID}, nil)
	var conversations []map[string]any
	tool(t, s, "list_conversations", map[string]any{"limit": 3}, &conversations)
	if len(conversations) == 0 || len(conversations) > 3 || conversations[0]["id"] != result.ConversationID || conversations[0]["user_id"] != u.id {
		t.Errorf("conversations %v", conversations)
	}
	var messages []messageRow
	tool(t, s, "get_conversation_messages", map[string]any{"conversation_id": result.ConversationID}, &messages)
	if len(messages) != 4 || messages[2].Content != "more" || messages[2].Role != "user" || deref(messages[3].Agent) != echo {
		t.Errorf("messages %+v", messages)
	}
	tool(t, s, "get_conversation_messages", map[string]any{"conversation_id": result.ConversationID, "limit": 1, "offset": 2}, &messages)
	if len(messages) != 1 || messages[0].Content != "more" {
		t.Errorf("the third message is %+v", messages)
	}
	var imported map[string]any
	if text, isError := tool(t, s, "import_a2a_agent", map[string]any{"url": cardURL}, &imported); isError || imported["name"] != "Card Agent" || imported["category"] != "a2a" {
		t.Errorf("imported %s", text)
	}
	m.useNetworkTools(t, s, u)
	resources, err := s.ListResources(t.Context(), nil)
	if err != nil || len(resources.Resources) != 2 {
		t.Fatalf("resources %+v: %v", resources, err)
	}
	for _, r := range resources.Resources {
		read, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: r.URI})
		if err != nil || len(read.Contents) != 1 || !strings.Contains(read.Contents[0].Text, `"agent_id":"`+echo+`"`) {
			t.Errorf("%s: %+v: %v", r.URI, read, err)
		}
	}
}

// useNetworkTools has two participants talk, one of them behind a webhook, and compares
// what the tools show with what the routes show.
func (m *market) useNetworkTools(t *testing.T, s *mcp.ClientSession, u user) {
	t.Helper()
	var made, ada, weather api.JoinedParticipant // a network has the ids of a participant, and more
	if text, isError := tool(t, s, "create_network", map[string]any{"name": "talk", "topology": "star"}, &made); isError || text != m.want(200, "GET", "/networks/"+made.ID, "", u.bearer()).body {
		t.Errorf("made %s", text)
	}
	tool(t, s, "join_network", map[string]any{"network_id": made.ID, "name": "ada", "participant_type": "persona", "polling_enabled": true}, &ada)
	tool(t, s, "join_network", map[string]any{"network_id": made.ID, "name": "weather", "callback_url": m.agents.URL + "/echo"}, &weather)
	for _, p := range []api.JoinedParticipant{ada, weather} {
		if !strings.HasPrefix(p.WebhookSecret, "whsec_") || p.NetworkID != made.ID || p.Status != "active" {
			t.Errorf("joined %+v", p)
		}
	}
	if listed := m.want(200, "GET", "/networks/"+made.ID+"/participants", "", u.bearer()).body; !strings.Contains(listed, ada.ID) || !strings.Contains(listed, weather.ID) || strings.Contains(listed, "whsec_") {
		t.Errorf("participants %s", listed)
	}
	var sent struct {
		MessageID   string `json:"message_id"`
		Status      string `json:"status"`
		ChannelType string `json:"channel_type"`
	}
	say := map[string]any{"network_id": made.ID, "sender_participant_id": ada.ID, "recipient_participant_id": weather.ID, "content": "<Rome?>"}
	if text, isError := tool(t, s, "send_network_message", say, &sent); isError || sent.Status != "pending" || sent.ChannelType != "message" {
		t.Errorf("sent %s", text)
	}
	var context api.NetworkContext
	text, isError := tool(t, s, "get_network_context", map[string]any{"network_id": made.ID, "limit": 1}, &context)
	if want := m.want(200, "GET", "/networks/"+made.ID+"/context?limit=1", "", u.bearer()).body; isError || text != want || len(context.Entries) != 1 || context.Entries[0].MessageID != sent.MessageID || context.Entries[0].Content != "<Rome?>" {
		t.Errorf("context %s, want %s", text, want)
	}
	// The rules are those of the routes.
	say["sender_participant_id"], say["recipient_participant_id"] = weather.ID, ada.ID
	if text, isError := tool(t, s, "send_network_message", say, nil); !isError || !strings.Contains(text, "hub") {
		t.Errorf("a spoke sends: %s", text)
	}
	if text, isError := tool(t, s, "join_network", map[string]any{"network_id": made.ID, "name": "x", "callback_url": "http://10.0.0.1/"}, nil); !isError || strings.Contains(text, "10.0.0.1") {
		t.Errorf("an unsafe callback: %s", text)
	}
}

// Two callers on one server, interleaved and at the same time, see their own only.
func TestMCPCallersSeeTheirOwnOnly(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	url := m.serve(t)
	users := []user{m.signUp("ada"), m.signUp("bob")}
	sessions, private, talks := make([]*mcp.ClientSession, 2), make([]string, 2), make([]talk, 2)
	for i, u := range users {
		sessions[i] = m.mcpClient(t, url, "", u.bearer())
		private[i] = m.agent(u, "/echo", `,"visibility":"private"`).text("agent_id")
		talks[i] = m.soliloquy(u)
	}
	const rounds = 8
	own := make([][]string, 2)
	round := func(me int) {
		s, mine, theirs := sessions[me], private[me], private[1-me]
		var answer struct {
			Success        bool
			Error          string
			ConversationID string `json:"conversation_id"`
		}
		if text, isError := tool(t, s, "invoke_agent", map[string]any{"agent_id": mine, "input_data": map[string]any{"message": users[me].id}}, &answer); isError {
			t.Errorf("my own agent: %s", text)
		}
		own[me] = append(own[me], answer.ConversationID)
		if text, isError := tool(t, s, "invoke_agent", map[string]any{"agent_id": theirs, "input_data": map[string]any{}}, nil); !isError || !strings.Contains(text, `"error":"Agent not found"`) {
			t.Errorf("somebody's private agent: %s", text)
		}
		foreign, isError := tool(t, s, "get_agent_details", map[string]any{"agent_id": theirs}, nil)
		unknown, _ := tool(t, s, "get_agent_details", map[string]any{"agent_id": "nobody-00000000"}, nil)
		if !isError || foreign != unknown || foreign != `{"error":"Agent not found"}` {
			t.Errorf("details: foreign %s, unknown %s", foreign, unknown)
		}
		for _, list := range []string{"agents/new", "agents/trending"} {
			read, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "intuno://" + list})
			if err != nil || strings.Contains(read.Contents[0].Text, theirs) || !strings.Contains(read.Contents[0].Text, mine) {
				t.Errorf("%s: %+v %v", list, read, err)
			}
		}
		if text, _ := tool(t, s, "discover_agents", map[string]any{"query": "agent", "limit": 50}, nil); strings.Contains(text, theirs) || !strings.Contains(text, mine) {
			t.Errorf("discovered %s", text)
		}
		network, hers := talks[me], talks[1-me]
		var sent struct {
			MessageID string `json:"message_id"`
		}
		if text, isError := tool(t, s, "send_network_message", network.says(users[me].id), &sent); isError {
			t.Errorf("my own network: %s", text)
		}
		if text, isError := tool(t, s, "get_network_context", map[string]any{"network_id": network.id, "limit": 200}, nil); isError || !strings.Contains(text, sent.MessageID) || strings.Contains(text, users[1-me].id) {
			t.Errorf("my own context: %s", text)
		}
		mixed, lost := network.says("x"), network.says("x")
		mixed["recipient_participant_id"], lost["recipient_participant_id"] = hers.participant, users[me].id
		for what, c := range map[string]struct {
			tool      string
			arguments map[string]any
			want      string
		}{
			"a message in a foreign network":       {"send_network_message", hers.says("x"), "Network not found"},
			"a message to a foreign participant":   {"send_network_message", mixed, "Recipient not found"},
			"a message to an unknown participant":  {"send_network_message", lost, "Recipient not found"},
			"a participant for a foreign network":  {"join_network", map[string]any{"network_id": hers.id, "name": "x"}, "Network not found"},
			"the context of a foreign network":     {"get_network_context", map[string]any{"network_id": hers.id}, "Network not found"},
			"the context of an unknown network":    {"get_network_context", map[string]any{"network_id": users[me].id}, "Network not found"},
			"a message in an unknown network":      {"send_network_message", talk{users[me].id, network.participant}.says("x"), "Network not found"},
			"a message of an unknown participant":  {"send_network_message", talk{network.id, users[me].id}.says("x"), "Sender not found"},
			"a participant for an unknown network": {"join_network", map[string]any{"network_id": users[me].id, "name": "x"}, "Network not found"},
		} {
			if text, isError := tool(t, s, c.tool, c.arguments, nil); !isError || text != `{"error":"`+c.want+`"}` {
				t.Errorf("%s: %s", what, text)
			}
		}
		if text, _ := tool(t, s, "list_conversations", nil, nil); strings.Contains(text, users[1-me].id) || !strings.Contains(text, answer.ConversationID) {
			t.Errorf("conversations of %s: %s", users[me].id, text)
		}
	}
	for range 2 { // one after the other
		round(0)
		round(1)
	}
	var group sync.WaitGroup
	for me := range users { // and both at once
		group.Go(func() {
			for range rounds {
				round(me)
			}
		})
	}
	group.Wait()
	for me, s := range sessions {
		for _, c := range own[1-me] {
			if text, isError := tool(t, s, "get_conversation_messages", map[string]any{"conversation_id": c}, nil); !isError || text != `{"error":"Conversation not found"}` {
				t.Errorf("a foreign conversation: %s", text)
			}
			if text, isError := tool(t, s, "invoke_agent", map[string]any{"agent_id": private[me], "input_data": map[string]any{}, "conversation_id": c}, nil); !isError || !strings.Contains(text, `"error":"Conversation not found"`) {
				t.Errorf("a call in a foreign conversation: %s", text)
			}
		}
		if n := len(own[me]); n != rounds+2 {
			t.Errorf("%d conversations, want %d", n, rounds+2)
		}
	}
}

// talk is a network with one participant, who talks to itself.
type talk struct{ id, participant string }

func (m *market) soliloquy(u user) talk {
	id := m.want(201, "POST", "/networks", `{"name":"talk"}`, u.bearer()).text("id")
	return talk{id, m.want(201, "POST", "/networks/"+id+"/participants", `{"name":"me"}`, u.bearer()).text("id")}
}

// says is what send_network_message takes.
func (n talk) says(content string) map[string]any {
	return map[string]any{"network_id": n.id, "sender_participant_id": n.participant, "recipient_participant_id": n.participant, "content": content}
}

const mcpPing = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

func TestMCPCredentials(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	ada, bob := m.signUp("ada"), m.signUp("bob")
	watch := &watcher{Guard: m.service.guard}
	handler, err := m.service.newEdge(watch)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		header http.Header
		status int
		user   string
		via    principal.Via
	}{
		{"nothing", nil, 401, "", 0},
		{"a token", ada.bearer(), 200, ada.id, principal.JWT},
		{"a key", http.Header{"X-Api-Key": {ada.key}}, 200, ada.id, principal.APIKey},
		{"a key as a token", http.Header{"Authorization": {"Bearer " + ada.key}}, 200, ada.id, principal.APIKey},
		{"a key as a token beside another", http.Header{"Authorization": {"Bearer " + ada.key}, "X-Api-Key": {bob.key}}, 200, ada.id, principal.APIKey},
		{"a wrong token beside a key", http.Header{"Authorization": {"Bearer " + ada.token + "x"}, "X-Api-Key": {bob.key}}, 200, bob.id, principal.APIKey},
		{"a wrong token", http.Header{"Authorization": {"Bearer " + ada.token + "x"}}, 401, "", 0},
		{"service headers", http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {ada.id}}, 401, "", 0},
		{"service headers beside a key", http.Header{"X-Service-Key": {"wrong"}, "X-On-Behalf-Of": {bob.id}, "X-Api-Key": {ada.key}}, 200, ada.id, principal.APIKey},
		{"a key twice", http.Header{"X-Api-Key": {ada.key, ada.key}}, 400, "", 0},
	} {
		got := send(handler, "POST", "/mcp", mcpPing, c.header)
		if got.status != c.status || string(watch.last.User) != c.user || watch.last.Via != c.via {
			t.Errorf("%s: %d %s as %+v, want %d as %q", c.name, got.status, got.body, watch.last, c.status, c.user)
		}
		if c.status == 401 && (got.text("code") != "not_authenticated" || got.header.Get("WWW-Authenticate") != "Bearer") {
			t.Errorf("%s: %s %v", c.name, got.body, got.header)
		}
		// Nowhere else is a key a token.
		if c.name == "a key as a token" {
			if got := send(handler, "GET", "/auth/me", "", c.header); got.status != 401 {
				t.Errorf("a key as a token on another route: %d", got.status)
			}
		}
	}
}

func TestMCPBehavesAsEveryRoute(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t), "CORS_ALLOWED_ORIGINS", "https://app.example.org", "BASE_URL", "https://API.example.org:443", "RATE_LIMIT_PER_MINUTE", "6", "MAX_BODY_BYTES", "2048")
	ada := m.signUp("ada") // registering, login and the key are in the peer's bucket, and one in ada's
	header := func(more ...string) http.Header {
		h := ada.bearer()
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		return h
	}
	got := m.want(200, "POST", "/mcp", mcpPing, header("Origin", "https://app.example.org", "X-Request-Id", "mine"))
	if h := got.header; h.Get("X-Request-ID") != "mine" || h.Get("Cache-Control") != "no-store" || h.Get("Access-Control-Allow-Origin") != "https://app.example.org" || h.Get("X-RateLimit-Remaining") == "" {
		t.Errorf("header %v", h)
	}
	m.want(200, "POST", "/mcp", mcpPing, header("Origin", "https://api.example.org"))
	if got := m.want(403, "POST", "/mcp", mcpPing, header("Origin", "https://evil.example")); got.text("code") != "forbidden" || got.text("request_id") == "" {
		t.Errorf("%s", got.body)
	}
	if got := m.want(413, "POST", "/mcp", strings.Repeat(" ", 2049), header()); got.text("code") != "payload_too_large" {
		t.Errorf("%s", got.body)
	}
	m.want(202, "POST", "/mcp/", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, header())
	if got := m.want(429, "POST", "/mcp", mcpPing, header()); got.text("code") != "rate_limited" || got.header.Get("Retry-After") == "" {
		t.Errorf("%s", got.body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if got := m.want(405, method, "/mcp", "", nil); got.header.Get("Allow") != "POST" || got.text("code") != "method_not_allowed" {
			t.Errorf("%s: %v %s", method, got.header, got.body)
		}
	}
	var card struct{ URL, Transport string }
	_ = json.Unmarshal([]byte(m.want(200, "GET", "/.well-known/mcp/server-card.json", "", nil).body), &card)
	if !strings.HasSuffix(card.URL, "/mcp") || card.Transport != "streamable-http" {
		t.Errorf("card %+v", card)
	}
}

func TestMCPOnAHaltedPlatform(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	ada := m.signUp("ada")
	echo, network := m.agent(ada, "/echo", "").text("agent_id"), m.soliloquy(ada)
	call := func(name, arguments string) reply {
		return m.send("POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`","arguments":`+arguments+`}}`, ada.bearer())
	}
	invoke := func() reply { return call("invoke_agent", `{"agent_id":"`+echo+`","input_data":{}}`) }
	if got := invoke(); got.status != 200 || strings.Contains(got.body, "isError") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	m.halt(t, true)
	if got := invoke(); got.status != 503 || got.text("code") != "platform_halted" || got.text("request_id") == "" {
		t.Errorf("halted: %d %s", got.status, got.body)
	}
	say, _ := json.Marshal(network.says("hi"))
	if got := call("send_network_message", string(say)); got.status != 503 || got.text("code") != "platform_halted" {
		t.Errorf("a message while halted: %d %s", got.status, got.body)
	}
	if got := call("get_network_context", `{"network_id":"`+network.id+`"}`); got.status != 200 || !strings.Contains(got.body, `\"entries\":[]`) {
		t.Errorf("a context while halted: %d %s", got.status, got.body)
	}
	if got := call("discover_agents", `{"query":"agent"}`); got.status != 200 || !strings.Contains(got.body, echo) {
		t.Errorf("reading while halted: %d %s", got.status, got.body)
	}
	m.halt(t, false)
	if got := invoke(); got.status != 200 {
		t.Errorf("resumed: %d %s", got.status, got.body)
	}
}

func (m *market) halt(t *testing.T, halted bool) {
	t.Helper()
	boss := principal.Principal{User: "00000000-0000-4000-8000-000000000001", Via: principal.JWT, Admin: true}
	_, err := m.service.platform.Halt(t.Context(), boss)
	if !halted {
		err = m.service.platform.Resume(t.Context(), boss)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// An integration's key sees through MCP what it sees on the routes.
func TestMCPKeepsIntegrationsApart(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	ada := m.signUp("ada")
	echo := m.agent(ada, "/echo", "").text("agent_id")
	_, key := m.integrationKey(ada, "")
	url := m.serve(t)
	shop, whole := m.mcpClient(t, url, "", key), m.mcpClient(t, url, "", ada.bearer())
	tool(t, whole, "invoke_agent", map[string]any{"agent_id": echo, "input_data": map[string]any{}}, nil)
	tool(t, shop, "invoke_agent", map[string]any{"agent_id": echo, "input_data": map[string]any{}}, nil)
	for s, want := range map[*mcp.ClientSession]int{shop: 1, whole: 2} {
		var list []conversationRow
		if tool(t, s, "list_conversations", nil, &list); len(list) != want {
			t.Errorf("%d conversations, want %d", len(list), want)
		}
	}
}
