package mcpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// rules stands in for what is behind the tools. It answers with what it was asked.
type rules struct {
	mu      sync.Mutex
	invoked []broker.Request
	by      []id.User

	discovered registry.Discovery
	listed     registry.Query
	queried    conversation.Query
	window     [2]int // limit and offset of messages
	imported   string
	network    network.NewNetwork
	inside     id.Network // of the last call of a network tool
	joined     network.NewParticipant
	saying     network.Saying
	limit      int // of a context

	entries  []network.Entry
	agents   []registry.Agent
	messages []conversation.Message
	whole    func(m conversation.Message) (conversation.Message, error) // nil: as listed
	complete func(m network.Message) (network.Message, error)           // the same
	result   broker.Result
	err      error         // of everything
	boom     any           // panics with it
	hang     chan struct{} // if set, Invoke sends to it, waits for the caller to leave and closes it
}

func (r *rules) note(f func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.boom != nil {
		panic(r.boom)
	}
	f()
	return r.err
}

func (r *rules) Discover(_ context.Context, _ principal.Principal, d registry.Discovery) (registry.Found, error) {
	return registry.Found{Agents: r.agents}, r.note(func() { r.discovered = d })
}

func (r *rules) Agent(_ context.Context, p principal.Principal, slug string) (registry.Agent, error) {
	return registry.Agent{Slug: slug, Owner: p.User, Name: string(p.User)}, r.note(func() {})
}

func (r *rules) List(_ context.Context, _ principal.Principal, q registry.Query) ([]registry.Agent, error) {
	return r.agents, r.note(func() { r.listed = q })
}

func (r *rules) Trending(_ context.Context, _ principal.Principal, days, limit int) ([]registry.Agent, error) {
	return r.agents, r.note(func() { r.listed = registry.Query{Days: days, Limit: limit} })
}

func (r *rules) Invoke(ctx context.Context, p principal.Principal, in broker.Request) (broker.Result, error) {
	if r.hang != nil {
		r.hang <- struct{}{}
		<-ctx.Done()
		close(r.hang)
		return broker.Result{}, ctx.Err()
	}
	return r.result, r.note(func() { r.invoked, r.by = append(r.invoked, in), append(r.by, p.User) })
}

func (r *rules) Import(_ context.Context, p principal.Principal, url string, _ *string) (registry.Agent, error) {
	return registry.Agent{Slug: "a2a-imported", Owner: p.User}, r.note(func() { r.imported = url })
}

func (r *rules) Create(_ context.Context, p principal.Principal, n network.NewNetwork) (network.Network, error) {
	return network.Network{ID: someUUID, Owner: p.User, Name: n.Name, Topology: n.Topology, Status: network.Active}, r.note(func() { r.network = n })
}

func (r *rules) Join(_ context.Context, _ principal.Principal, in id.Network, n network.NewParticipant) (network.Participant, secret.String, error) {
	err := r.note(func() { r.inside, r.joined = in, n })
	return network.Participant{ID: someUUID, Network: in, Name: n.Name, Kind: n.Kind, CallbackURL: n.CallbackURL, Polling: n.Polling, Status: network.Active}, secret.New("whsec_x"), err
}

func (r *rules) Send(_ context.Context, _ principal.Principal, in id.Network, s network.Saying) (network.Message, error) {
	return network.Message{ID: someUUID, Channel: network.Push, Status: network.Pending, Content: s.Content}, r.note(func() { r.inside, r.saying = in, s })
}

func (r *rules) Context(_ context.Context, _ principal.Principal, in id.Network, limit int) ([]network.Entry, error) {
	return r.entries, r.note(func() { r.inside, r.limit = in, limit })
}

func (r *rules) Whole(_ context.Context, _ principal.Principal, m network.Message) (network.Message, error) {
	if r.complete == nil {
		return m, nil
	}
	return r.complete(m)
}

// said is rules as Conversations, whose List is another one.
type said struct{ *rules }

func (s said) List(_ context.Context, _ principal.Principal, q conversation.Query) ([]conversation.Conversation, error) {
	return nil, s.note(func() { s.queried = q })
}

func (s said) Messages(_ context.Context, _ principal.Principal, _ id.Conversation, limit, offset int) ([]conversation.Message, error) {
	return s.messages, s.note(func() { s.window = [2]int{limit, offset} })
}

func (s said) Whole(_ context.Context, _ principal.Principal, m conversation.Message) (conversation.Message, error) {
	if s.whole == nil {
		return m, nil
	}
	return s.whole(m)
}

// guard lets a request act as the user named in X-Test-User.
type guard struct{}

func (guard) Authenticate(_ context.Context, r httpx.Request) (principal.Principal, error) {
	user := r.Header.Get("X-Test-User")
	if user == "" {
		return principal.Principal{}, fault.New(fault.Unauthorized, "not_authenticated", "no credential")
	}
	return principal.Principal{User: id.User(user), Via: principal.JWT}, nil
}

func (guard) Refused(context.Context, httpx.Request, error, int) {}

func (guard) Begin(context.Context, httpx.Request, principal.Principal) (func(context.Context, int), error) {
	return nil, nil
}

// safeLog is a log that several goroutines write.
type safeLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const ourOrigin = "https://api.example.org"

// newEdge is the route behind the edge.
func newEdge(t testing.TB, r *rules, log io.Writer, origins ...string) http.Handler {
	t.Helper()
	a := New(Config{Registry: r, Broker: r, Conversations: said{r}, Importer: r, Networks: r, Version: "1.2.3",
		Origins: append(origins, ourOrigin), Log: slog.New(slog.NewTextHandler(log, nil))})
	s, err := httpx.New(httpx.Options{Service: "test", Routes: a.Routes(), Guard: guard{}, Now: clock.System, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   string
}

// post sends a message as ada. header replaces what a client usually sends.
func post(h http.Handler, body string, header http.Header) reply {
	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
	r.Header = http.Header{"X-Test-User": {"ada"}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for name, lines := range header {
		if r.Header[name] = lines; lines == nil {
			delete(r.Header, name)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// call runs a tool and returns the JSON of its one text item.
func call(t *testing.T, h http.Handler, name, arguments string) (text string, isError bool) {
	t.Helper()
	got := post(h, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`","arguments":`+arguments+`}}`, nil)
	var answer struct {
		Result struct {
			IsError bool
			Content []struct{ Type, Text string }
		}
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != 200 || len(answer.Result.Content) != 1 || answer.Result.Content[0].Type != "text" {
		t.Fatalf("%s(%s): %d %s (%v)", name, arguments, got.status, got.body, err)
	}
	return answer.Result.Content[0].Text, answer.Result.IsError
}

// standard checks that an answer is an error of contract §1.3.
func standard(t *testing.T, name string, got reply, status int, code string) {
	t.Helper()
	var body struct {
		Detail    any
		Code      string
		RequestID string `json:"request_id"`
	}
	err := json.Unmarshal([]byte(got.body), &body)
	if err != nil || got.status != status || body.Code != code || body.Detail == nil || body.RequestID == "" ||
		body.RequestID != got.header.Get("X-Request-Id") || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %d %v %s, want %d %s", name, got.status, got.header, got.body, status, code)
	}
}

var errStore = errors.New("dial tcp 10.1.2.3:5432: password=hunter2")

func do(h http.Handler, method string) reply {
	r := httptest.NewRequest(method, "/mcp", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// postTo sends a message to another host.
func postTo(h http.Handler, host, body string) reply {
	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
	r.Host = host
	r.Header = http.Header{"X-Test-User": {"ada"}}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8000}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}
