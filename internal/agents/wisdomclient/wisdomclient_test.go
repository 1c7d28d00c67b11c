package wisdomclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/agents/wisdomclient"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

const serviceKey = "service-key-of-at-least-32-characters"

var ada = id.User("7c9e6679-7425-40de-944b-e07fc1f90ae7")

// server is a wisdom that answers every request the same, and keeps the last one.
type server struct {
	*httptest.Server
	request *http.Request
	body    string
	asked   atomic.Int64
}

func serve(t *testing.T, status int, answer string, header ...string) (*server, *wisdomclient.Client) {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.asked.Add(1)
		s.request, s.body = r, string(body)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	c, err := wisdomclient.New(s.URL, secret.New(serviceKey))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return s, c
}

var acting = brain.Acting{Owner: ada, Depth: 3, Request: "r-1"}

func TestCallsNameTheOwnerTheRequestAndTheDepth(t *testing.T) {
	s, c := serve(t, 200, `[{"agent_id":"a-1","name":"A","description":"d","visibility":"public","trust_verification":"hosted","similarity_score":0.5,"input_schema":{"x":1}},
		{"agent_id":"b-2","visibility":"private","trust_verification":"self-signed","similarity_score":null,"input_schema":null}]`)
	found, err := c.Discover(t.Context(), acting, "a b&c", 5)
	if err != nil || len(found) != 2 {
		t.Fatalf("got %v, %v", found, err)
	}
	if a := found[0]; a.ID != "a-1" || !a.Public || !a.Hosted || *a.Distance != 0.5 || string(a.InputSchema) != `{"x":1}` {
		t.Errorf("got %+v", a)
	}
	if b := found[1]; b.Public || b.Hosted || b.Distance != nil || b.InputSchema != nil {
		t.Errorf("got %+v", b)
	}
	h := s.request.Header
	if got := s.request.Method + " " + s.request.URL.Path + " " + s.request.URL.Query().Encode(); got != "GET /registry/discover limit=5&query=a+b%26c" {
		t.Errorf("got %s", got)
	}
	for name, want := range map[string]string{"X-Service-Key": serviceKey, "X-On-Behalf-Of": string(ada), "X-Request-ID": "r-1", "X-Invocation-Depth": "3"} {
		if got := h.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want one %q", name, got, want)
		}
	}
	for _, name := range []string{"Authorization", "X-API-Key", "Cookie"} {
		if len(h.Values(name)) > 0 {
			t.Errorf("%s is sent", name)
		}
	}
}

func TestInvocations(t *testing.T) {
	for answer, want := range map[string]brain.Outcome{
		`{"success":true,"data":{"a":1},"status_code":200,"latency_ms":1}`:                                   {OK: true, Data: []byte(`{"a":1}`)},
		`{"success":false,"data":null,"error":"Agent did not answer in time","status_code":408}`:             {Failed: "Agent did not answer in time"},
		`{"success":false,"data":null,"error":"E","error_code":"agent_error","status_code":422}`:             {Failed: "E", Declined: true},
		`{"success":false,"data":null,"error":"E","error_code":"agent_error","status_code":500}`:             {Failed: "E"},
		`{"success":false,"data":null,"error":"E","error_code":"unsafe_url","status_code":400}`:              {Failed: "E"},
		`{"success":false,"data":null,"error":null,"error_code":null,"status_code":500,"latency_ms":1}`:      {Failed: "the agent did not succeed"},
		`{"success":true,"data":{},"on_behalf_of":"16fd2706-8baf-433b-82eb-8c7fada847da","status_code":200}`: {OK: true, Data: []byte(`{}`)},
	} {
		s, c := serve(t, 200, answer)
		got, err := c.Invoke(t.Context(), acting, "a-1", []byte(`{"message":"hi","caller_user_id":"x"}`))
		if err != nil || got.OK != want.OK || string(got.Data) != string(want.Data) || got.Failed != want.Failed || got.Declined != want.Declined {
			t.Errorf("%s: got %+v, %v, want %+v", answer, got, err, want)
		}
		if s.request.Method+s.request.URL.Path != "POST/broker/invoke" || s.body != `{"agent_id":"a-1","input":{"message":"hi","caller_user_id":"x"}}` {
			t.Errorf("sent %s", s.body)
		}
	}
}

func TestRegistrations(t *testing.T) {
	const agent = id.Agent("16fd2706-8baf-433b-82eb-8c7fada847da")
	s, c := serve(t, 201, `{"id":"`+string(agent)+`","agent_id":"entity-aria-00000000"}`)
	got, err := c.Register(t.Context(), ada, "aria", "Aria")
	if err != nil || got != agent {
		t.Errorf("got %s, %v", got, err)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(s.body), &body); err != nil || body["hosted_entity"] != "aria" || body["name"] != "Aria" ||
		body["description"] != "Private entity of its owner" || len(body) != 3 {
		t.Errorf("sent %s", s.body)
	}
	if err := c.Update(t.Context(), ada, agent, "B", false); err != nil || s.request.Method != "PUT" || s.request.URL.Path != "/registry/agents/"+string(agent) ||
		s.body != `{"name":"B","is_active":false}` {
		t.Errorf("sent %s %s %s, %v", s.request.Method, s.request.URL.Path, s.body, err)
	}
	if err := c.Remove(t.Context(), ada, agent); err != nil || s.request.Method != "DELETE" || s.request.URL.Path != "/registry/agents/"+string(agent) {
		t.Errorf("sent %s %s, %v", s.request.Method, s.request.URL.Path, err)
	}
	if got := s.request.Header.Get("X-On-Behalf-Of"); got != string(ada) {
		t.Errorf("on behalf of %s, want %s", got, ada)
	}
	_, c = serve(t, 200, `{"id":"../../x"}`)
	if got, err := c.Register(t.Context(), ada, "aria", "Aria"); !fault.Is(err, fault.Upstream) {
		t.Errorf("an answer without an id: got %s, %v", got, err)
	}
}

func TestRefusalsAreFaultsWithTextsOfOurs(t *testing.T) {
	for status, want := range map[int]fault.Kind{400: fault.BadRequest, 401: fault.Unauthorized, 403: fault.Forbidden, 404: fault.NotFound, 409: fault.Conflict,
		413: fault.TooLarge, 422: fault.Invalid, 429: fault.RateLimited, 503: fault.Unavailable, 500: fault.Upstream, 502: fault.Upstream, 302: fault.Upstream, 405: fault.Upstream} {
		s, c := serve(t, status, `{"detail":"10.0.0.7 says no","code":"x"}`, "Retry-After", "7", "Location", "/registry/discover")
		_, err := c.Invoke(t.Context(), acting, "a-1", []byte(`{}`))
		f := fault.As(err)
		if f == nil || f.Kind != want || strings.Contains(f.Detail, "10.0.0.7") || strings.Contains(err.Error(), serviceKey) {
			t.Errorf("%d: got %v, want %v", status, err, want)
		}
		if n := s.asked.Load(); n != 1 {
			t.Errorf("%d: asked %d times, want once: neither redirected nor repeated", status, n)
		}
		if status == 429 && (f == nil || f.RetryAfter != 7*time.Second) {
			t.Errorf("429: got %v, want Retry-After", f)
		}
	}
}

func TestWisdomAwayIsAFault(t *testing.T) {
	s, c := serve(t, 200, `[]`)
	s.Close()
	if _, err := c.Discover(t.Context(), acting, "x", 5); !fault.Is(err, fault.Upstream) {
		t.Errorf("got %v, want a fault", err)
	}
	_, c = serve(t, 200, `[`+strings.Repeat(" ", 11<<20)+`]`)
	if _, err := c.Discover(t.Context(), acting, "x", 5); !fault.Is(err, fault.Upstream) {
		t.Errorf("an endless answer: got %v, want a fault", err)
	}
}

func TestTheEndOfTheContextIsNoFault(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	c, err := wisdomclient.New(silent.URL, secret.New(serviceKey))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Discover(ctx, acting, "x", 5); fault.As(err) != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
}

func TestNoProxyIsUsed(t *testing.T) {
	proxy, _ := serve(t, 200, `[]`)
	t.Setenv("HTTP_PROXY", proxy.URL)
	c, err := wisdomclient.New("http://wisdom.invalid", secret.New(serviceKey)) // no name server knows it
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Discover(t.Context(), acting, "x", 5); !fault.Is(err, fault.Upstream) || proxy.asked.Load() != 0 {
		t.Errorf("got %v, and the proxy was asked %d times", err, proxy.asked.Load())
	}
}

func TestNothingIsSentForNobody(t *testing.T) {
	s, c := serve(t, 200, `[]`)
	for _, owner := range []id.User{"", "ada", "urn:uuid:7c9e6679-7425-40de-944b-e07fc1f90ae7", ada + "\r\nX-On-Behalf-Of: x"} {
		if _, err := c.Discover(t.Context(), brain.Acting{Owner: owner}, "x", 5); err == nil {
			t.Errorf("%q: got an answer", owner)
		}
	}
	if s.asked.Load() != 0 {
		t.Error("something was sent")
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, *c); strings.Contains(text, serviceKey) {
		t.Error("the key can be printed")
	}
}
