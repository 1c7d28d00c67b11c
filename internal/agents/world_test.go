package agents_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents"
	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

const (
	serviceKey = "service-key-of-at-least-32-characters"

	key   = "test-key-of-at-least-32-characters"
	ada   = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	grace = "16fd2706-8baf-433b-82eb-8c7fada847da"
)

// script is a brain that a test writes.
type script func(ctx context.Context, t brain.Turn, out brain.Sink) error

func (s script) Turn(ctx context.Context, t brain.Turn, out brain.Sink) error { return s(ctx, t, out) }

// host is a running wisdom-agents behind a real listener.
type host struct {
	t       *testing.T
	service *agents.Service // nil if another process serves
	server  *httptest.Server
	url     string
	stop    func() // as SIGTERM does it; once
}

type hostOptions struct {
	url     string
	brain   brain.Brain // nil: the router
	now     clock.Now   // nil: the machine's clock
	timeout time.Duration
	grace   time.Duration
	idle    bool // no background work
	direct  bool // no listener: a test calls the handler
	count   func(string)
	wisdom  string // origin of a wisdom that is called back; "": delegation is off
}

func open(t *testing.T, o hostOptions) *host {
	t.Helper()
	if o.now == nil {
		o.now = clock.System
	}
	cfg, _ := agents.ParseConfig(map[string]string{})
	cfg.DatabaseURL, cfg.APIKey, cfg.ShutdownGrace = secret.New(o.url), secret.New(key), 10*time.Second
	if o.timeout > 0 {
		cfg.TurnTimeout = o.timeout
	}
	if o.grace > 0 {
		cfg.ShutdownGrace = o.grace
	}
	if o.wisdom != "" {
		cfg.WisdomBaseURL, cfg.AgentsServiceAPIKey = o.wisdom, secret.New(serviceKey)
	}
	deps := agents.Deps{Log: slog.New(slog.NewTextHandler(testLog{t}, nil)), Now: o.now, CountSQL: o.count}
	if o.brain != nil {
		deps.Brain = func(brain.Memories) brain.Brain { return o.brain }
	}
	service, err := agents.New(t.Context(), cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, service: service}
	if !o.direct {
		h.server = httptest.NewServer(service.Handler())
		h.url = h.server.URL
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if !o.idle {
		running.Go(func() {
			if err := service.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	h.stop = sync.OnceFunc(func() {
		service.Drain()
		if h.server != nil {
			h.server.CloseClientConnections()
			h.server.Close()
		}
		cancel()
		running.Wait()
		if err := service.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

// testLog shows the log of a failed test.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Logf("%s", bytes.TrimSpace(p))
	}
	return len(p), nil
}

// answer is an answer that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of the body, or of the connection
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return v
}

func (a answer) list(t *testing.T) []map[string]any {
	t.Helper()
	var v []map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return v
}

// code is the code of an error, or "".
func (a answer) code() string {
	var v struct{ Code string }
	_ = json.Unmarshal(a.body, &v)
	return v.Code
}

// ask sends one request for a user. body is JSON text or ""; headers are pairs.
func (h *host) ask(user, method, path, body string, headers ...string) answer {
	return h.askCtx(context.Background(), user, method, path, body, headers...)
}

func (h *host) askCtx(ctx context.Context, user, method, path, body string, headers ...string) answer {
	response, err := h.send(ctx, user, method, path, body, headers...)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: text, err: err}
}

func (h *host) send(ctx context.Context, user, method, path, body string, headers ...string) (*http.Response, error) {
	var reader io.Reader
	if body != "" {
		reader = bytes.NewReader([]byte(body))
	}
	request, err := http.NewRequestWithContext(ctx, method, h.url+path, reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-API-Key", key)
	request.Header.Set("X-User-Id", user)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return h.client().Do(request)
}

// client keeps no connection, so that none is left over when a server goes away.
func (h *host) client() *http.Client {
	if h.server != nil {
		return h.server.Client()
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// want fails the test unless the answer has the status and, if given, the code.
func (h *host) want(a answer, status int, code ...string) answer {
	h.t.Helper()
	if a.err != nil || a.status != status || len(code) > 0 && a.code() != code[0] {
		h.t.Fatalf("got %d %s (%v), want %d %v", a.status, a.body, a.err, status, code)
	}
	return a
}

func (h *host) create(user, name string) map[string]any {
	h.t.Helper()
	return h.want(h.ask(user, "POST", "/entities", `{"name":"`+name+`"}`), 201).json(h.t)
}

// event is one server-sent event.
type event struct {
	id   int64
	name string
	data string
}

// stream reads the events of an answer: at most most, then it cuts the connection;
// all of them if most is negative.
func (h *host) stream(user, method, path, body string, most int, headers ...string) ([]event, *http.Response, error) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	response, err := h.send(ctx, user, method, path, body, headers...)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(response.Body)
		h.t.Fatalf("%s %s: got %d %s, want a stream", method, path, response.StatusCode, text)
	}
	events, err := readEvents(response.Body, most)
	return events, response, err
}

func readEvents(body io.Reader, most int) ([]event, error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	var events []event
	var next event
	for len(events) != most && lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			next.id, _ = strconv.ParseInt(value, 10, 64)
		case "event":
			next.name = value
		case "data":
			next.data = value
		case "":
			if next.name != "" {
				events = append(events, next)
			}
			next = event{}
		}
	}
	return events, lines.Err()
}

// all is every event of a turn, read after its end.
func (h *host) all(user, entity, message string) []event {
	h.t.Helper()
	events, _, err := h.stream(user, "GET", "/entities/"+entity+"/chat/"+message+"/events", "", -1)
	if err != nil {
		h.t.Fatal(err)
	}
	return events
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("did not happen within 10 s: %s", what)
}

// parallel runs n calls at once and counts what they return.
func parallel(n int, call func(i int) string) map[string]int {
	results := make([]string, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			results[i] = call(i)
		})
	}
	start.Done()
	done.Wait()
	counts := map[string]int{}
	for _, r := range results {
		counts[r]++
	}
	return counts
}

// outcome is the status and code of an answer, for counting.
func outcome(a answer) string {
	if a.err != nil {
		return a.err.Error()
	}
	text := strconv.Itoa(a.status)
	if code := a.code(); code != "" {
		text += " " + code
	}
	if a.header.Get("Idempotency-Replayed") == "true" {
		text += " replayed"
	}
	return text
}
