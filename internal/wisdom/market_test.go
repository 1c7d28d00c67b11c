package wisdom

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// agentServer is the server of many agents: the path chooses what it does.
type agentServer struct {
	*httptest.Server
	mu   sync.Mutex
	seen []agentRequest
}

type agentRequest struct {
	path   string
	header http.Header
	body   string
}

func newAgentServer(t *testing.T) *agentServer {
	t.Helper()
	a := &agentServer{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.seen = append(a.seen, agentRequest{r.URL.Path, r.Header.Clone(), string(body)})
		a.mu.Unlock()
		agentBehaviour(w, r, string(body))
	}))
	t.Cleanup(a.Close)
	return a
}

// last is the last request to a path.
func (a *agentServer) last(t *testing.T, path string) agentRequest {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range slices.Backward(a.seen) {
		if r.path == path {
			return r
		}
	}
	t.Fatalf("no request to %s", path)
	return agentRequest{}
}

// bomb is small, and larger than allowed when it is decompressed.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(`{"x":"` + strings.Repeat("x", 1<<20) + `"}`))
	_ = z.Close()
	return b.Bytes()
})

// agentBehaviour is what the agents do. Paths are /<status>/<body>, and some names.
func agentBehaviour(w http.ResponseWriter, r *http.Request, body string) {
	switch r.URL.Path {
	case "/echo":
		_, _ = io.WriteString(w, body)
	case "/html":
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `{"type":"does not matter"}`)
	case "/hang":
		<-r.Context().Done()
	case "/broken":
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"half":`)
	case "/large":
		_, _ = io.WriteString(w, `{"x":"`+strings.Repeat("x", 1<<20)+`"}`)
	case "/full": // exactly what is allowed
		_, _ = io.WriteString(w, `{"x":"`+strings.Repeat("x", 1<<20-8)+`"}`)
	case "/bomb":
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb())
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"text\": \"Hel\"}\n\nevent: x\r\ndata: {\"delta\":\"lo, \"}\r\n\r\ndata:wor\r\rdata: {\"content\":\"ld\",\"n\":1.10}\n\ndata: [1]\n\n")
	case "/events-broken":
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "data: {\"text\":\"half\"}\n\n")
	case "/events-large":
		for range 20 {
			_, _ = io.WriteString(w, `data: {"text":"`+strings.Repeat("x", 60<<10)+"\"}\n\n")
		}
	default:
		number, text, _ := strings.Cut(r.URL.Path[1:], "/")
		status, err := strconv.Atoi(number)
		if err != nil {
			status = 404
		}
		if status >= 300 && status <= 399 {
			w.Header().Set("Location", "/echo")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.ReplaceAll(text, "+", " "))
	}
}

// market is a wisdom with agents.
type market struct {
	*world
	agents *agentServer
}

func newMarket(t *testing.T, url string, vars ...string) *market {
	t.Helper()
	agents := newAgentServer(t)
	return &market{newWorld(t, nil, append([]string{"DATABASE_URL", url, "INVOKE_ENDPOINT_ALLOWED_HOSTS", "127.0.0.1"}, vars...)...), agents}
}

// agent registers an agent at a path of the server; more is further members. It returns
// the answer: id and agent_id.
func (m *market) agent(owner user, path, more string) reply {
	m.t.Helper()
	endpoint := path
	if strings.HasPrefix(path, "/") {
		endpoint = m.agents.URL + (&url.URL{Path: path}).EscapedPath()
	}
	return m.want(201, "POST", "/registry/agents", fmt.Sprintf(`{"name":"agent","description":"does","endpoint":%q%s}`, endpoint, more), owner.bearer())
}

// event is one event of a stream.
type event struct{ name, data string }

// outcome is an answer of invoke or of the stream, in one shape.
type outcome struct {
	http         int
	success      bool
	data         string // of an InvokeResponse
	errorText    string
	code         string
	status       int
	conversation string
	invocation   string
	events       []event
	body         string
}

func (o outcome) names() string {
	var names []string
	for _, e := range o.events {
		names = append(names, e.name)
	}
	return strings.Join(names, " ")
}

type wireResult struct {
	Success        *bool           `json:"success"`
	Data           json.RawMessage `json:"data"`
	Error          *string         `json:"error"`
	ErrorCode      *string         `json:"error_code"`
	StatusCode     int             `json:"status_code"`
	LatencyMS      *int            `json:"latency_ms"`
	ConversationID *string         `json:"conversation_id"`
	InvocationID   *string         `json:"invocation_id"`
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// ways are the two routes. They must agree about everything but the form.
var ways = []string{"invoke", "invoke/stream"}

func (m *market) call(way, body string, header http.Header) outcome {
	m.t.Helper()
	got := m.send("POST", "/broker/"+way, body, header)
	o := outcome{http: got.status, body: got.body}
	if got.status != 200 {
		return o
	}
	if way == "invoke" {
		m.read(&o, got.body)
		return o
	}
	if h := got.header; h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-cache, no-store" || h.Get("X-Accel-Buffering") != "no" {
		m.t.Errorf("header of a stream: %v", h)
	}
	o.events = parseEvents(m.t, got.body)
	for _, e := range o.events {
		switch e.name {
		case "result":
			m.read(&o, e.data)
		case "error":
			var r wireResult
			if err := json.Unmarshal([]byte(e.data), &r); err != nil || r.Success != nil || r.LatencyMS != nil {
				m.t.Errorf("error event %s: %v", e.data, err)
			}
			o.errorText, o.code, o.status = deref(r.Error), deref(r.ErrorCode), r.StatusCode
		case "done":
			var r wireResult
			if err := json.Unmarshal([]byte(e.data), &r); err != nil || r.Success == nil || r.LatencyMS == nil || r.Data != nil || o.status != 0 && r.StatusCode != o.status {
				m.t.Errorf("done event %s: %v", e.data, err)
			}
			o.success, o.status, o.conversation, o.invocation = *r.Success, r.StatusCode, deref(r.ConversationID), deref(r.InvocationID)
		}
	}
	if n := len(o.events); n == 0 || o.events[n-1].name != "done" || strings.Count(o.names(), "done") != 1 {
		m.t.Errorf("done must come once and last: %s", got.body)
	}
	return o
}

func (m *market) read(o *outcome, text string) {
	m.t.Helper()
	var r wireResult
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Success == nil || r.LatencyMS == nil || !strings.Contains(text, `"credits_charged":null`) {
		m.t.Fatalf("answer %s: %v", text, err)
	}
	o.success, o.data, o.errorText, o.code, o.status = *r.Success, string(r.Data), deref(r.Error), deref(r.ErrorCode), r.StatusCode
	o.conversation, o.invocation = deref(r.ConversationID), deref(r.InvocationID)
}

func parseEvents(t *testing.T, text string) (events []event) {
	t.Helper()
	for block := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		if strings.HasPrefix(block, ":") {
			continue
		}
		name, data, ok := strings.Cut(block, "\n")
		if !ok || !strings.HasPrefix(name, "event: ") || !strings.HasPrefix(data, "data: ") || strings.Contains(data, "\n") {
			t.Fatalf("not an event with one line of data: %q", block)
		}
		events = append(events, event{name[len("event: "):], data[len("data: "):]})
	}
	return events
}

func invocation(agent reply, more string) string {
	return fmt.Sprintf(`{"agent_id":%q,"input":{"city":"Oslo"}%s}`, agent.text("agent_id"), more)
}

// logRow is a row of the log, as much of it as tests look at.
type logRow struct {
	ID, Kind, Status     string
	Caller               *string `json:"caller_user_id"`
	Actor                *struct{ Type, ID string }
	Target               *string `json:"target_agent_id"`
	Agent                *string `json:"agent_id"`
	Identifier           *string `json:"agent_identifier"`
	Name                 *string `json:"agent_name"`
	Success, Refused     bool
	StatusCode           int             `json:"status_code"`
	ErrorCode            *string         `json:"error_code"`
	ErrorMessage         *string         `json:"error_message"`
	Integration          *string         `json:"integration_id"`
	Conversation         *string         `json:"conversation_id"`
	Message              *string         `json:"message_id"`
	Request              json.RawMessage `json:"request_payload"`
	Response             json.RawMessage `json:"response_payload"`
	Input, Output        json.RawMessage
	RequestID            string `json:"request_id"`
	CreatedAt, Timestamp string `json:"-"`
}

func (m *market) logs(who user, query string) []logRow {
	m.t.Helper()
	return decodeList[logRow](m.t, m.want(200, "GET", "/broker/logs"+query, "", who.bearer()).body)
}

func decodeList[T any](t *testing.T, text string) []T {
	t.Helper()
	var list []T
	if err := json.Unmarshal([]byte(text), &list); err != nil || list == nil {
		t.Fatalf("not a list: %s: %v", text, err)
	}
	return list
}

type conversationRow struct {
	ID          string
	Integration *string `json:"integration_id"`
	External    *string `json:"external_user_id"`
}

func (m *market) conversations(who user) []conversationRow {
	m.t.Helper()
	return decodeList[conversationRow](m.t, m.want(200, "GET", "/conversations", "", who.bearer()).body)
}

type messageRow struct {
	ID, Role, Content string
	Metadata          json.RawMessage
	Agent             *string `json:"agent_id"`
}

func (m *market) messages(who user, conversation string) []messageRow {
	m.t.Helper()
	return decodeList[messageRow](m.t, m.want(200, "GET", "/conversations/"+conversation+"/messages", "", who.bearer()).body)
}

// written is everything that a refusal must not add to.
func (m *market) written(who user) string {
	var all []string
	for _, c := range m.conversations(who) {
		all = append(all, c.ID+" "+deref(c.External))
		for _, said := range m.messages(who, c.ID) {
			all = append(all, said.ID+" "+said.Content+" "+string(said.Metadata))
		}
	}
	return strings.Join(all, "\n")
}

const nowhere = "00000000-0000-4000-8000-00000000000a"

// integrationKey makes an integration of u's with a key.
func (m *market) integrationKey(u user, config string) (integration string, key http.Header) {
	m.t.Helper()
	integration = m.want(201, "POST", "/integrations", `{"name":"shop"}`, u.bearer()).text("id")
	if config != "" {
		m.want(200, "PUT", "/integrations/"+integration+"/broker-config", config, u.bearer())
	}
	made := m.want(201, "POST", "/integrations/"+integration+"/api-keys", `{"name":"shop"}`, u.bearer())
	return integration, http.Header{"X-Api-Key": {made.text("key")}}
}

func (m *market) editAgent(owner user, agent reply, change func(*registry.Agent)) {
	m.t.Helper()
	_, err := m.service.store.UpdateAgent(m.t.Context(), idOf(owner), id.Agent(agent.text("id")), func(a registry.Agent) (registry.Agent, *registry.Content) {
		change(&a)
		return a, nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.service.callees.Drop()
}
