package agents_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

func TestReadingAnEntityIsOneStatement(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		var mu sync.Mutex
		var statements []string
		h := open(t, hostOptions{url: url(), idle: true, count: func(query string) {
			mu.Lock()
			defer mu.Unlock()
			statements = append(statements, query)
		}})
		h.create(ada, "aria")
		mu.Lock()
		statements = nil
		mu.Unlock()
		h.want(h.ask(ada, "GET", "/entities/aria", ""), 200)
		mu.Lock()
		defer mu.Unlock()
		if len(statements) != 1 || !strings.Contains(statements[0], "GetEntity") {
			t.Errorf("got %q, want one SELECT", statements)
		}
	})
}

func TestDrainTurnsReadinessOff(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		started, release := make(chan struct{}), make(chan struct{})
		h := open(t, hostOptions{url: url(), brain: script(func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
			close(started)
			<-release
			return out.Say(ctx, "done")
		})})
		if ok, checks := h.service.Ready(t.Context()); !ok || checks["database"] != "ok" {
			t.Errorf("got %v %v, want ready", ok, checks)
		}
		h.create(ada, "aria")
		waiting := make(chan answer, 1)
		go func() { waiting <- h.ask(ada, "POST", "/entities/aria/chat", `{"content":"x"}`) }()
		<-started
		h.service.Drain()
		if ok, _ := h.service.Ready(t.Context()); ok {
			t.Error("ready although draining")
		}
		h.want(h.ask(ada, "GET", "/entities/aria", ""), 200) // requests are still answered
		close(release)
		h.want(<-waiting, 201)
	})
}

func TestEveryRouteButHealthNeedsTheKey(t *testing.T) {
	h := open(t, hostOptions{url: testkit.SQLite(t)})
	var open []string
	for _, r := range h.service.Routes() {
		if r.Access != httpx.Host {
			open = append(open, r.Method+" "+r.Pattern+" "+r.Access.String())
		}
		if r.Summary == "" {
			t.Errorf("%s %s has no summary", r.Method, r.Pattern)
		}
	}
	if want := []string{"GET /health public"}; !slices.Equal(open, want) {
		t.Errorf("got %v, want %v", open, want)
	}
}

func TestASilentStreamIsKeptOpenByComments(t *testing.T) {
	url := testkit.SQLite(t)
	synctest.Test(t, func(t *testing.T) { // time passes at once
		h := open(t, hostOptions{url: url, idle: true, direct: true, brain: script(func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
			time.Sleep(40 * time.Second)
			return out.Say(ctx, "done")
		})})
		post := func(path, body, accept string) string {
			r := httptest.NewRequest("POST", path, strings.NewReader(body))
			r.Header.Set("X-API-Key", key)
			r.Header.Set("X-User-Id", ada)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			h.service.Handler().ServeHTTP(w, r)
			return w.Body.String()
		}
		post("/entities", `{"name":"aria"}`, "")
		got := post("/entities/aria/chat", `{"content":"x"}`, "text/event-stream")
		if n := strings.Count(got, ": still here\n\n"); n != 2 || !strings.Contains(got, "event: reply.completed") {
			t.Errorf("got %d comments in 40 s, want 2:\n%s", n, got)
		}
	})
}
