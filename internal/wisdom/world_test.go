package wisdom

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

const (
	firstKey  = "first-service-key-0123456789abcdef01234567"
	secondKey = "second-service-key-0123456789abcdef0123456"
	hostKey   = "host-key-0123456789abcdef0123456789abcdef"
	jwtKey    = "jwt-key-0123456789abcdef0123456789abcdef0"
)

// world is a wisdom on a fresh SQLite database, with accounts.
type world struct {
	t       *testing.T
	service *Service
	handler http.Handler
	log     *strings.Builder
}

// newWorld builds a wisdom from the environment variables given as pairs.
func newWorld(t *testing.T, change func(*Deps), vars ...string) *world {
	t.Helper()
	env := map[string]string{"DATABASE_URL": testkit.SQLite(t), "JWT_SECRET_KEY": jwtKey, "AGENTS_SERVICE_API_KEY": firstKey + ", " + secondKey,
		"INTUNO_AGENTS_API_KEY": hostKey, "INTUNO_AGENTS_BASE_URL": "http://127.0.0.1:1", "RATE_LIMIT_PER_MINUTE": "0"}
	for i := 0; i+1 < len(vars); i += 2 {
		env[vars[i]] = vars[i+1]
	}
	cfg, faults := ParseConfig(env)
	if faults = append(faults, cfg.Check()...); len(faults) > 0 {
		t.Fatal(faults)
	}
	w := &world{t: t, log: &strings.Builder{}}
	d := Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Version: "test",
		Hashing: auth.Hashing{MemoryKiB: 64, Passes: 1, Lanes: 1, Workers: 4}}
	if change != nil {
		change(&d)
	}
	service, err := New(t.Context(), cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := service.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	w.service, w.handler = service, service.Handler()
	return w
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) text(name string) string {
	var object map[string]any
	_ = json.Unmarshal([]byte(r.body), &object)
	s, _ := object[name].(string)
	return s
}

// send runs a request through the handler. The path is taken as it is; header may
// hold names that are not canonical.
func send(handler http.Handler, method, path, body string, header http.Header) reply {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.RequestURI = path
	raw, query, _ := strings.Cut(path, "?")
	r.URL.Path, r.URL.RawQuery = raw, query
	if body == "" {
		r.Body = http.NoBody
	}
	for name, values := range header {
		r.Header[name] = values
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r)
	text, _ := io.ReadAll(rec.Body)
	return reply{rec.Code, rec.Header(), string(text)}
}

func (w *world) send(method, path, body string, header http.Header) reply {
	return send(w.handler, method, path, body, header)
}

func (w *world) want(status int, method, path, body string, header http.Header) reply {
	w.t.Helper()
	r := w.send(method, path, body, header)
	if r.status != status {
		w.t.Fatalf("%s %s: status = %d, want %d: %s", method, path, r.status, status, r.body)
	}
	return r
}

// user is an account with each kind of credential.
type user struct{ id, token, key string }

func (u user) bearer() http.Header { return http.Header{"Authorization": {"Bearer " + u.token}} }

func (w *world) signUp(name string) user {
	w.t.Helper()
	credentials := fmt.Sprintf(`{"email":"%s@example.org","password":"correct horse"}`, name)
	u := user{id: w.want(201, "POST", "/auth/register", credentials, nil).text("id")}
	u.token = w.want(200, "POST", "/auth/login", credentials, nil).text("access_token")
	u.key = w.want(201, "POST", "/auth/api-keys", `{"name":"laptop"}`, u.bearer()).text("key")
	return u
}

func (w *world) deactivate(u user) {
	w.t.Helper()
	off := false
	if _, err := w.service.store.UpdateUser(w.t.Context(), idOf(u), auth.Change{Active: &off}, clock.System()); err != nil {
		w.t.Fatal(err)
	}
}
