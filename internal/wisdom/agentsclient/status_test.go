package agentsclient

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

const unavailableText = "The entity service is unavailable"

// The rows of contract §9.3, general codes included.
func TestEveryRefusalHasItsGeneralForm(t *testing.T) {
	kinds := map[int]struct {
		kind fault.Kind
		code string
	}{
		400: {fault.BadRequest, "bad_request"}, 403: {fault.Forbidden, "forbidden"}, 404: {fault.NotFound, "not_found"},
		409: {fault.Conflict, "conflict"}, 413: {fault.TooLarge, "payload_too_large"},
		415: {fault.Unsupported, "unsupported_media_type"}, 422: {fault.Invalid, "validation_error"},
		429: {fault.RateLimited, "rate_limited"},
	}
	for status := 100; status < 1000; status++ {
		body := fmt.Sprintf(`{"detail":"panic: goroutine 1 [running] %s","code":"weird"}`, testKey)
		f := refusal(status, nil, []byte(body))
		if status < 400 || status > 499 || status == 401 {
			if f.Kind != fault.Upstream || f.Code != "entity_host_error" || f.Detail != unavailableText || f.RawDetail != nil || f.RetryAfter != 0 {
				t.Errorf("status %d: got %+v, want the one 502", status, f)
			}
			if got, want := personal.NothingDone(f), status == 401; got != want {
				t.Errorf("status %d: got NothingDone %v, want %v", status, got, want)
			}
			continue
		}
		want, ok := kinds[status]
		if !ok {
			want.kind, want.code = fault.Other, "bad_request"
			if f.Status != status {
				t.Errorf("status %d: got status %d, want the same", status, f.Status)
			}
		}
		if f.Kind != want.kind || f.Code != want.code {
			t.Errorf("status %d: got kind %d code %s, want %d %s", status, f.Kind, f.Code, want.kind, want.code)
		}
		if !personal.NothingDone(f) {
			t.Errorf("status %d: got an unknown outcome, want a refusal", status)
		}
		if !strings.Contains(string(f.RawDetail), "goroutine") {
			t.Errorf("status %d: got detail %s, want the host's", status, f.RawDetail)
		}
		if f := refusal(status, nil, nil); f.RawDetail != nil || f.Detail == "" || status == 422 && len(f.Problems) == 0 {
			t.Errorf("status %d without a body: got %+v, want a generic detail, for 422 a list", status, f)
		}
	}
}

func TestDetailAndCodeArePassedOnOnlyInTheirForm(t *testing.T) {
	tests := []struct {
		name, body   string
		detail, code string // detail "": the generic one
	}{
		{"text and known code", `{"detail":"Paused","code":"entity_paused"}`, `"Paused"`, "entity_paused"},
		{"every code of the list counts, whatever the status", `{"detail":"x","code":"memory_limit_reached"}`, `"x"`, "memory_limit_reached"},
		{"text and unknown code", `{"detail":"Paused","code":"sql_error"}`, `"Paused"`, "conflict"},
		{"code of another case", `{"detail":"Paused","code":"Entity_Paused"}`, `"Paused"`, "conflict"},
		{"code of the wrong type", `{"detail":"Paused","code":7}`, `"Paused"`, "conflict"},
		{"no code", `{"detail":"Paused"}`, `"Paused"`, "conflict"},
		{"list", `{"detail":[{"type":"missing","loc":["body"]}],"code":"validation_error"}`, `[{"type":"missing","loc":["body"]}]`, "validation_error"},
		{"escaped member name", `{"det\u0061il":"x"}`, `"x"`, "conflict"},
		{"other members are dropped", `{"detail":"x","trace":"secret","code":"conflict"}`, `"x"`, "conflict"},
		{"object", `{"detail":{"sql":"select"},"code":"entity_exists"}`, "", "conflict"},
		{"number", `{"detail":5}`, "", "conflict"},
		{"null", `{"detail":null}`, "", "conflict"},
		{"no detail", `{"error":"x"}`, "", "conflict"},
		{"array", `["x"]`, "", "conflict"},
		{"string", `"x"`, "", "conflict"},
		{"cut", `{"detail":"x"`, "", "conflict"},
		{"trailing", `{"detail":"x"} {}`, "", "conflict"},
		{"twice", `{"detail":"x","detail":"y"}`, "", "conflict"},
		{"twice, once escaped", `{"detail":"x","det\u0061il":"y"}`, "", "conflict"},
		{"invalid UTF-8", "{\"detail\":\"\xff\"}", "", "conflict"},
		{"HTML", `<html>secret</html>`, "", "conflict"},
		{"empty", ``, "", "conflict"},
	}
	for _, tt := range tests {
		f := refusal(409, nil, []byte(tt.body))
		if string(f.RawDetail) != tt.detail || f.Code != tt.code || f.Kind != fault.Conflict || f.Detail != "Conflict" {
			t.Errorf("%s: got %s %s, want %q %s", tt.name, f.RawDetail, f.Code, tt.detail, tt.code)
		}
	}
}

func TestRetryAfterIsPassedOnOnlyIfSane(t *testing.T) {
	tests := []struct {
		status int
		values []string
		want   time.Duration
	}{
		{409, []string{"1"}, time.Second},
		{429, []string{"60"}, time.Minute},
		{429, []string{"2678400"}, 31 * 24 * time.Hour},
		{429, []string{"0"}, 0},
		{429, []string{"2678401"}, 0},
		{429, []string{"99999999999999999999"}, 0},
		{429, []string{"-1"}, 0},
		{429, []string{"+1"}, 0},
		{429, []string{"1.5"}, 0},
		{429, []string{"Wed, 21 Oct 2026 07:28:00 GMT"}, 0},
		{429, []string{"1", "2"}, 0},
		{429, nil, 0},
		{400, []string{"1"}, 0},
		{404, []string{"1"}, 0},
		{503, []string{"1"}, 0},
	}
	for _, tt := range tests {
		f := refusal(tt.status, http.Header{"Retry-After": tt.values}, nil)
		if f.RetryAfter != tt.want {
			t.Errorf("%d %q: got %v, want %v", tt.status, tt.values, f.RetryAfter, tt.want)
		}
	}
}

func TestOurKeyRefusedIsTheHostsFaultAndDidNothing(t *testing.T) {
	f := refusal(401, nil, []byte(`{"detail":"bad key","code":"not_authenticated"}`))
	if f.Kind != fault.Upstream || !errors.Is(f, personal.ErrNothingDone) || !errors.Is(f, errOurKey) {
		t.Errorf("got %v, want an upstream fault that says why", f)
	}
}
