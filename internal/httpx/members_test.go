package httpx

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Whoever refuses a request, the members of the route are in the body; what the request
// said is known to them as soon as it is well-formed, and no earlier.
func TestEmbeddedMembersAreInEveryErrorOfTheRoute(t *testing.T) {
	embed := func(f *fault.Error, body []byte) map[string]any {
		var said struct{ Name string }
		_ = json.Unmarshal(body, &said)
		return map[string]any{"said": said.Name, "kind": "embedded", "told": f.Code}
	}
	s, _ := testServer(t, func(o *Options) {
		o.Limiter = NewLimiter(20)
		o.Routes = append(o.Routes, Post("/rpc/{name}", User, func(_ context.Context, _ principal.Principal, in *thingInput) (string, error) {
			switch in.Body.Name {
			case "lost":
				return "", fault.Missing("Thing")
			case "own":
				return "", fault.New(fault.BadRequest, "bad_request", "no").With("kind", "its own")
			case "boom":
				return "", errors.New("hunter2")
			case "panic":
				panic("hunter2")
			}
			return "ok", nil
		}, EmbedErrors(embed)))
	})
	for _, tc := range []struct {
		name, path, body string
		headers          []string
		status           int
		said, kind, told string
	}{
		{"a fault of the handler", "/rpc/a", `{"name":"lost"}`, nil, 404, "lost", "embedded", "not_found"},
		{"a fault with the same member", "/rpc/a", `{"name":"own"}`, nil, 400, "own", "its own", "bad_request"},
		{"an untyped error", "/rpc/a", `{"name":"boom"}`, nil, 500, "boom", "embedded", "internal_error"},
		{"a panic", "/rpc/a", `{"name":"panic"}`, nil, 500, "panic", "embedded", "internal_error"},
		{"a body of the wrong shape", "/rpc/a", `{"name":"x","count":-1}`, nil, 422, "x", "embedded", "validation_error"},
		{"a body that is not JSON", "/rpc/a", `{"name":"x"`, nil, 400, "", "embedded", "malformed_json"},
		{"another media type", "/rpc/a", `{"name":"x"}`, []string{"Content-Type", "text/plain"}, 415, "", "embedded", "unsupported_media_type"},
		{"a body that is too large", "/rpc/a", `{"name":"x","y":"` + strings.Repeat("y", 1<<20) + `"}`, nil, 413, "", "embedded", "payload_too_large"},
		{"a path that no route takes", "/rpc/A", `{"name":"x"}`, nil, 404, "", "embedded", "not_found"},
		{"nobody", "/rpc/a", `{"name":"x"}`, nil, 401, "", "embedded", "not_authenticated"},
		{"another route", "/things/a/echo", `{"name":""}`, nil, 422, "", "", ""},
	} {
		r := do(s, "POST", tc.path, tc.body, tc.headers...)
		if tc.name == "nobody" {
			r = anonymous(s, "POST", tc.path, tc.body)
		}
		checkMembers(t, tc.name, r.Code, r.Body.String(), tc.status, tc.said, tc.kind, tc.told)
		if strings.Contains(r.Body.String(), "hunter2") {
			t.Errorf("%s: %s", tc.name, r.Body)
		}
	}
	for range 20 {
		do(s, "POST", "/rpc/a", `{"name":"x"}`)
	}
	r := do(s, "POST", "/rpc/a", `{"name":"x"}`)
	checkMembers(t, "over the rate limit", r.Code, r.Body.String(), 429, "", "embedded", "rate_limited")
}

func checkMembers(t *testing.T, name string, gotStatus int, body string, status int, said, kind, told string) {
	t.Helper()
	var got struct {
		Detail           any
		Code             string
		RequestID        string `json:"request_id"`
		Said, Kind, Told string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Detail == nil || got.Code == "" || got.RequestID == "" {
		t.Fatalf("%s: %s (%v)", name, body, err)
	}
	if gotStatus != status || got.Said != said || got.Kind != kind || got.Told != told || told != "" && got.Code != told {
		t.Errorf("%s: %d %s, want %d with %q, %q, %q", name, gotStatus, body, status, said, kind, told)
	}
}

// anonymous is do without a user.
func anonymous(s http.Handler, method, target, body string) *httptest.ResponseRecorder {
	return do(withoutUser{s}, method, target, body)
}

type withoutUser struct{ next http.Handler }

func (h withoutUser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Header.Del("X-Test-User")
	h.next.ServeHTTP(w, r)
}
