package wisdom

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// trusting is a client that may use this machine.
func trusting(t *testing.T) *egress.Client {
	t.Helper()
	allowed, err := egress.ParseAllowedHosts("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := egress.New(egress.Config{Allowed: allowed})
	if err != nil {
		t.Fatal(err)
	}
	client := egress.NewClient(policy, nil)
	t.Cleanup(client.Close)
	return client
}

func TestOfADeliveryTheStatusCounts(t *testing.T) {
	var connections atomic.Int32
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", 8<<20))
		case "/declared":
			w.Header().Set("Content-Length", "100000000000")
			w.WriteHeader(202)
		case "/drip":
			w.WriteHeader(201)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "no gzip at all")
		case "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(503)
		case "/redirect":
			w.Header().Set("Location", "http://10.0.0.1/")
			w.WriteHeader(302)
		case "/hang":
			<-r.Context().Done()
		case "/header":
			w.Header().Set("X-Long", strings.Repeat("x", 64<<10))
		default:
			_, _ = io.WriteString(w, `{"ok":true}`)
		}
	}))
	receiver.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	receiver.Start()
	defer receiver.Close()
	sender := networkSender{trusting(t), clock.System}
	for _, test := range []struct {
		path    string
		maxBody int64
		status  int
		retry   time.Duration
		err     error
	}{
		{"/", 0, 200, 0, nil},
		{"/large", 0, 200, 0, nil},
		{"/declared", 0, 202, 0, nil},
		{"/drip", 0, 201, 0, nil},
		{"/gzip", 0, 200, 0, nil},
		{"/busy", 0, 503, 7 * time.Second, nil},
		{"/redirect", 0, 302, 0, nil},
		{"/hang", 0, 0, 0, network.ErrDeadline},
		{"/header", 0, 0, 0, network.ErrTooLarge},
		{"/", 100, 200, 0, nil},
		{"/large", 1 << 20, 0, 0, network.ErrTooLarge},
		{"/drip", 100, 0, 0, network.ErrDeadline},
		{"/busy", 100, 503, 7 * time.Second, nil},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		began := time.Now()
		got, err := sender.Send(ctx, network.Outgoing{URL: receiver.URL + test.path, Body: []byte("{}"), MaxBody: test.maxBody})
		took := time.Since(began)
		cancel()
		if got.Status != test.status || got.RetryAfter != test.retry || !errors.Is(err, test.err) || test.err == nil && err != nil {
			t.Errorf("%s, %d bytes: got %d, %v, %v, want %d, %v, %v", test.path, test.maxBody, got.Status, got.RetryAfter, err, test.status, test.retry, test.err)
		}
		if test.maxBody == 0 && test.err == nil && took > 800*time.Millisecond {
			t.Errorf("%s: waited %v for a body that does not count", test.path, took)
		}
	}
	before := connections.Load()
	for range 20 {
		if _, err := sender.Send(t.Context(), network.Outgoing{URL: receiver.URL, Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load() - before; n > 2 {
		t.Errorf("%d new connections for 20 deliveries, one after the other", n)
	}
	for url, want := range map[string]func(error) bool{
		"http://10.0.0.1/":   func(err error) bool { return fault.HasCode(err, "unsafe_url") },
		"http://127.0.0.1:1": func(err error) bool { return errors.Is(err, network.ErrUnreachable) },
		"":                   func(err error) bool { return fault.HasCode(err, "unsafe_url") },
	} {
		if _, err := sender.Send(t.Context(), network.Outgoing{URL: url, Body: []byte("{}")}); !want(err) {
			t.Errorf("%q: got %v", url, err)
		}
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := sender.Send(left, network.Outgoing{URL: receiver.URL, Body: []byte("{}")}); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller left: got %v", err)
	}
}

func TestRetryAfterHasTwoForms(t *testing.T) {
	now := time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	sender := networkSender{now: func() time.Time { return now }}
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-1": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0, "2147483648": 0,
		"Thu, 23 Apr 2026 12:01:00 GMT": time.Minute, "Thu, 23 Apr 2026 11:00:00 GMT": 0, "Thursday, 23-Apr-26 12:00:30 GMT": 30 * time.Second,
	} {
		if got := sender.retryAfter(http.Header{"Retry-After": {text}}); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestAnImportedAgentIsToldByA2A(t *testing.T) {
	const message = id.NetworkMessage("33333333-3333-4333-8333-333333333333")
	answer := ""
	var asked string
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Header.Get("X-Request-ID") + " " + r.Header.Get("A2A-Version") + " " + string(body)
		if answer == "500" {
			w.WriteHeader(500)
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer agent.Close()
	to := registry.Callee{Agent: registry.Agent{Endpoint: &agent.URL, Dialect: "1.0"}}
	a := networkA2A{broker.NewA2A(agentSender{trusting(t)})}
	const envelope = `{"jsonrpc":"2.0","id":"` + string(message) + `",`
	for _, test := range []struct {
		name, answer string
		status       int
		body         string
		err          error
	}{
		{"a message", envelope + `"result":{"message":{"messageId":"1","role":"ROLE_AGENT","parts":[{"text":"hello"}]}}}`, 200, `"content":"hello"`, nil},
		{"an error", envelope + `"error":{"code":-32603,"message":"no"}}`, 0, "", network.ErrRefused},
		{"a failed task", envelope + `"result":{"task":{"id":"1","status":{"state":"TASK_STATE_FAILED"}}}}`, 0, "", network.ErrRefused},
		{"no JSON", "hello", 0, "", network.ErrRefused},
		{"nothing", "", 0, "", network.ErrRefused},
		{"500", "500", 500, "500", nil},
	} {
		answer = test.answer
		got, err := a.Send(t.Context(), to, message, "req-1", []byte(`{"content":"hi","message":"hi"}`))
		if got.Status != test.status || !strings.Contains(string(got.Body), test.body) || !errors.Is(err, test.err) || test.err == nil && err != nil {
			t.Errorf("%s: got %d %s, %v, want %d, %v", test.name, got.Status, got.Body, err, test.status, test.err)
		}
	}
	if !strings.HasPrefix(asked, "req-1 1.0 ") || !strings.Contains(asked, `"messageId":"`+string(message)+`"`) || !strings.Contains(asked, `"text":"hi"`) {
		t.Errorf("asked %s", asked)
	}
}
