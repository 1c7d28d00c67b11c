package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

// oneUser lets every request act as one user.
type oneUser struct{ user id.User }

func (g oneUser) Authenticate(context.Context, httpx.Request) (principal.Principal, error) {
	return principal.Principal{User: g.user, Via: principal.JWT}, nil
}
func (oneUser) Refused(context.Context, httpx.Request, error, int) {}
func (oneUser) Begin(context.Context, httpx.Request, principal.Principal) (func(context.Context, int), error) {
	return nil, nil
}

// hostOf is the host: it answers by the script and remembers the last call.
type hostOf struct {
	last   personal.Call
	answer personal.Answer
	stream personal.Stream
	err    error
}

func (h *hostOf) Do(_ context.Context, c personal.Call) (personal.Answer, error) {
	h.last = c
	return h.answer, h.err
}

func (h *hostOf) Open(_ context.Context, c personal.Call) (personal.Stream, error) {
	h.last = c
	return h.stream, h.err
}

func servePersonal(t *testing.T) (*httptest.Server, *hostOf, id.User) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: testkit.SQLite(t), Migrations: store.Migrations(), Service: "wisdom"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	user := id.New[id.User]()
	if err := store.New(db).CreateUser(t.Context(), auth.Account{User: auth.User{ID: user, Email: "a@example.org", Plan: auth.Pro, Active: true}}, "a@example.org"); err != nil {
		t.Fatal(err)
	}
	host := &hostOf{}
	limits := personal.Limits{Entities: 100, PerMinute: 100, PerMonth: 100}
	service, err := personal.New(personal.Config{Free: limits, Pro: limits, Store: store.New(db), Host: host, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	edge, err := httpx.New(httpx.Options{Service: "wisdom", Routes: (&Personal{Service: service}).routes(), Guard: oneUser{user},
		Now: clock.System, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(edge)
	t.Cleanup(server.Close)
	return server, host, user
}

func ask(t *testing.T, server *httptest.Server, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		text = append(text, " CUT"...)
	}
	return resp, string(text)
}

const someMessage = "9a016679-7425-40de-944b-e07fc1f90ae7"

// Every route of contract §9.1: its success, and what the host is asked for.
func TestRoutesOfThePersonalTier(t *testing.T) {
	server, host, user := servePersonal(t)
	const e = "/personal/entities/aria"
	tests := []struct {
		method, path, body string
		headers            []string
		hostStatus, want   int
		call               personal.Call
	}{
		{"POST", "/personal/entities", `{ "name" : "aria", "x" : 1.0 }`, []string{"Idempotency-Key", "k1"}, 200, 201,
			personal.Call{Op: personal.CreateEntity, Once: "k1", Body: []byte(`{"name":"aria","x":1.0}`)}},
		{"GET", "/personal/entities", "", nil, 200, 200, personal.Call{Op: personal.ListEntities}},
		{"GET", "/personal/entities/", "", nil, 200, 200, personal.Call{Op: personal.ListEntities}},
		{"GET", e, "", nil, 203, 200, personal.Call{Op: personal.GetEntity, Name: "aria"}},
		{"PATCH", e, `{"tools":[ ]}`, nil, 200, 200, personal.Call{Op: personal.PatchEntity, Name: "aria", Body: []byte(`{"tools":[]}`)}},
		{"POST", e + "/pause", "", nil, 200, 200, personal.Call{Op: personal.PauseEntity, Name: "aria"}},
		{"POST", e + "/pause", `{"reason":"x"}`, nil, 200, 200, personal.Call{Op: personal.PauseEntity, Name: "aria", Body: []byte(`{"reason":"x"}`)}},
		{"POST", e + "/resume", "", nil, 200, 200, personal.Call{Op: personal.ResumeEntity, Name: "aria"}},
		{"POST", e + "/messages", `{"content":"hi","user":"x"}`, []string{"Idempotency-Key", "k2"}, 200, 201,
			personal.Call{Op: personal.SendMessage, Name: "aria", Once: "k2", Body: []byte(`{"content":"hi"}`)}},
		{"GET", e + "/messages", "", nil, 200, 200, personal.Call{Op: personal.ListMessages, Name: "aria", Limit: 50}},
		{"GET", e + "/messages?limit=200&before=" + strings.ToUpper(someMessage) + "&owner=x", "", nil, 200, 200,
			personal.Call{Op: personal.ListMessages, Name: "aria", Limit: 200, Before: someMessage}},
		{"GET", e + "/memories", "", nil, 200, 200, personal.Call{Op: personal.ListMemories, Name: "aria", Limit: 100}},
		{"GET", e + "/memories?prefix=a%26b&after=c&limit=1", "", nil, 200, 200,
			personal.Call{Op: personal.ListMemories, Name: "aria", Limit: 1, Prefix: "a&b", After: "c"}},
		{"GET", e + "/memories/a.b", "", nil, 200, 200, personal.Call{Op: personal.GetMemory, Name: "aria", Key: "a.b"}},
		{"PUT", e + "/memories/a.b", `{"value":"v"}`, nil, 200, 200, personal.Call{Op: personal.PutMemory, Name: "aria", Key: "a.b", Body: []byte(`{"value":"v"}`)}},
		{"PUT", e + "/memories/a.b", `{"value":"v"}`, nil, 201, 201, personal.Call{Op: personal.PutMemory, Name: "aria", Key: "a.b", Body: []byte(`{"value":"v"}`)}},
		{"DELETE", e + "/memories/a.b", "", nil, 200, 204, personal.Call{Op: personal.DeleteMemory, Name: "aria", Key: "a.b"}},
		{"DELETE", e + "/memories", "", nil, 204, 204, personal.Call{Op: personal.ForgetMemories, Name: "aria"}},
		{"DELETE", e, "", nil, 204, 204, personal.Call{Op: personal.DeleteEntity, Name: "aria"}},
	}
	for _, tt := range tests {
		host.answer = personal.Answer{Status: tt.hostStatus, JSON: []byte(`{"as": "it is"}`), Owner: string(user), Owned: true, Replayed: true}
		resp, body := ask(t, server, tt.method, tt.path, tt.body, append(tt.headers, "X-Request-ID", "req-9", "X-User-Id", "mallory")...)
		tt.call.User, tt.call.RequestID = user, "req-9"
		if got, want := fmt.Sprintf("%+v", host.last), fmt.Sprintf("%+v", tt.call); got != want {
			t.Errorf("%s %s: the host was asked\n%s, want\n%s", tt.method, tt.path, got, want)
		}
		wantBody := `{"as": "it is"}`
		if tt.want == 204 {
			wantBody = ""
		}
		if resp.StatusCode != tt.want || body != wantBody {
			t.Errorf("%s %s: got %d %q, want %d %q", tt.method, tt.path, resp.StatusCode, body, tt.want, wantBody)
		}
		if replayed := resp.Header.Get("Idempotency-Replayed"); tt.want != 204 && replayed != "true" {
			t.Errorf("%s %s: got Idempotency-Replayed %q, want it passed on", tt.method, tt.path, replayed)
		}
	}
}

// What is refused here is not forwarded.
func TestBadRequestsToThePersonalTier(t *testing.T) {
	server, host, _ := servePersonal(t)
	const e = "/personal/entities/aria"
	tests := []struct {
		method, path, body string
		headers            []string
		status             int
		code               string
	}{
		{"POST", "/personal/entities", ``, nil, 422, "validation_error"},
		{"POST", "/personal/entities", `[]`, nil, 422, "validation_error"},
		{"POST", "/personal/entities", `{}`, nil, 422, "validation_error"},
		{"POST", "/personal/entities", `{"name":"A b"}`, nil, 422, "validation_error"},
		{"POST", "/personal/entities", `{"name":"a","name":"b"}`, nil, 400, "malformed_json"},
		{"POST", "/personal/entities", `{"name":"a"}`, []string{"Idempotency-Key", "a b"}, 400, "bad_request"},
		{"POST", "/personal/entities", `{"name":"a"}`, []string{"Idempotency-Key", "a", "Idempotency-Key", "a"}, 400, "bad_request"},
		{"POST", "/personal/entities", `{"name":"a"}`, []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type"},
		{"PATCH", e, `{}`, nil, 400, "empty_patch"},
		{"PATCH", e, ``, nil, 422, "validation_error"},
		{"PATCH", e, `null`, nil, 422, "validation_error"},
		{"POST", e + "/pause", `"x"`, nil, 422, "validation_error"},
		{"POST", e + "/messages", `{}`, nil, 422, "validation_error"},
		{"POST", e + "/messages", `{"content":""}`, nil, 422, "validation_error"},
		{"POST", e + "/messages", `{"content":7}`, nil, 422, "validation_error"},
		{"POST", e + "/messages", `{"content":"` + strings.Repeat("é", 65537) + `"}`, nil, 422, "validation_error"},
		{"GET", e + "/messages?limit=0", "", nil, 422, "validation_error"},
		{"GET", e + "/messages?limit=201", "", nil, 422, "validation_error"},
		{"GET", e + "/messages?before=x", "", nil, 422, "validation_error"},
		{"GET", e + "/memories?limit=x", "", nil, 422, "validation_error"},
		{"GET", e + "/messages/" + someMessage + "/events", "", []string{"Last-Event-ID", "-1"}, 400, "bad_request"},
		{"GET", e + "/messages/x/events", "", nil, 422, "validation_error"},
		{"PUT", e + "/memories/k", ``, nil, 422, "validation_error"},
		{"GET", "/personal/entities/Aria", "", nil, 404, "not_found"},
		{"GET", "/personal/entities/a%2fb", "", nil, 404, "not_found"},
		{"GET", "/personal/entities/%2e%2e", "", nil, 404, "not_found"},
		{"GET", e + "/memories/.a", "", nil, 404, "not_found"},
		{"PUT", e, `{}`, nil, 405, "method_not_allowed"},
		{"GET", e + "/chat", "", nil, 404, "not_found"},
	}
	for _, tt := range tests {
		resp, body := ask(t, server, tt.method, tt.path, tt.body, tt.headers...)
		var e struct{ Code string }
		if err := json.Unmarshal([]byte(body), &e); err != nil || resp.StatusCode != tt.status || e.Code != tt.code {
			t.Errorf("%s %s %.40s: got %d %s, want %d %s", tt.method, tt.path, tt.body, resp.StatusCode, body, tt.status, tt.code)
		}
	}
	if host.last.Op != 0 {
		t.Errorf("the host was asked %+v, want nothing", host.last)
	}
}

// pieces is a stream of the host whose pieces come one by one.
type pieces struct {
	next   chan string
	end    error
	closed chan struct{}
	rest   string
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.rest == "" {
		piece, ok := <-p.next
		if !ok {
			return 0, p.end
		}
		p.rest = piece
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pieces) Close() error { close(p.closed); return nil }

func TestEventsArePassedOnAtOnceAndBytesAsTheyAre(t *testing.T) {
	server, host, _ := servePersonal(t)
	source := &pieces{next: make(chan string), end: io.EOF, closed: make(chan struct{})}
	host.stream = personal.Stream{Body: source, Replayed: true}
	r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/personal/entities/aria/messages", strings.NewReader(`{"content":"hi"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json;q=0.5, Text/Event-Stream")
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no",
		"Idempotency-Replayed": "true", "X-Content-Type-Options": "nosniff"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("got %s %q, want %q", name, got, want)
		}
	}
	lines := bufio.NewReader(resp.Body)
	for i := range 3 { // each arrives before the next is sent
		event := fmt.Sprintf("id: %d\n", i)
		source.next <- event
		if got, err := lines.ReadString('\n'); got != event || err != nil {
			t.Fatalf("got %q, %v, want %q", got, err, event)
		}
	}
	close(source.next)
	if rest, err := io.ReadAll(lines); len(rest) != 0 || err != nil {
		t.Errorf("got %q, %v, want a clean end", rest, err)
	}
	<-source.closed
	if host.last.Op != personal.StreamMessage || resp.StatusCode != 200 {
		t.Errorf("got %d and %+v, want 200 and a stream", resp.StatusCode, host.last)
	}
}

func TestABrokenStreamAbortsTheClientsConnection(t *testing.T) {
	server, host, _ := servePersonal(t)
	for _, path := range []string{"/messages/" + someMessage + "/events", "/export"} {
		source := &pieces{next: make(chan string, 1), end: errors.New("cut"), closed: make(chan struct{})}
		source.next <- `{"version":1,"entity":{"owner_user_id":"` + string(host.last.User) + `"},`
		if path == "/export" {
			source.next = make(chan string, 1)
			source.next <- `{"version":1,"entity":null,`
		}
		close(source.next)
		host.stream = personal.Stream{Body: source}
		resp, body := ask(t, server, "GET", "/personal/entities/aria"+path, "")
		if resp.StatusCode != 200 || !strings.HasSuffix(body, "CUT") {
			t.Errorf("%s: got %d %q, want an aborted 200", path, resp.StatusCode, body)
		}
		<-source.closed
	}
}

func TestAnExportIsAnAttachment(t *testing.T) {
	server, host, _ := servePersonal(t)
	host.stream = personal.Stream{Body: io.NopCloser(strings.NewReader(`{"version":1}`))}
	resp, body := ask(t, server, "GET", "/personal/entities/aria/export", "")
	if resp.StatusCode != 200 || body != `{"version":1}` || resp.Header.Get("Content-Type") != "application/json" ||
		resp.Header.Get("Content-Disposition") != `attachment; filename="aria.json"` {
		t.Errorf("got %d %v %s, want a JSON attachment", resp.StatusCode, resp.Header, body)
	}
	host.err = fault.Missing("Entity")
	if resp, _ := ask(t, server, "GET", "/personal/entities/aria/export", ""); resp.StatusCode != 404 {
		t.Errorf("got %d, want 404", resp.StatusCode)
	}
}

func TestUsageOverHTTP(t *testing.T) {
	server, host, _ := servePersonal(t)
	resp, body := ask(t, server, "GET", "/personal/usage", "")
	now := time.Now().UTC()
	resets := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC).Format("2006-01-02T15:04:05.000000Z")
	want := `{"plan":"pro","entities":{"used":0,"limit":100},"messages":{"used":0,"limit":100},"resets_at":"` + resets + `"}`
	if resp.StatusCode != 200 || strings.TrimSpace(body) != want || host.last.Op != 0 {
		t.Errorf("got %d %s, want %s and nothing asked", resp.StatusCode, body, want)
	}
}

func TestEveryPersonalRouteTakesAJWTOnly(t *testing.T) {
	routes := (&Personal{}).routes()
	if len(routes) != 17 {
		t.Errorf("got %d routes, want the 17 of the contract", len(routes))
	}
	if slices.ContainsFunc(routes, func(r httpx.Route) bool { return r.Access != httpx.JWT }) {
		t.Error("a route is not of class jwt")
	}
}
