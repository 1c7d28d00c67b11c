package intuno

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/api"
)

// uncomparable is an error that == cannot be applied to.
type uncomparable struct{ list []int }

func (uncomparable) Error() string { return "x" }

func TestEveryStatusHasItsKind(t *testing.T) {
	for _, kind := range kinds {
		err := fmt.Errorf("while testing: %w", &Error{Status: kind.status})
		if !errors.Is(err, kind.err) {
			t.Errorf("%d is not %v", kind.status, kind.err)
		}
		for _, other := range kinds {
			if other.status != kind.status && errors.Is(err, other.err) {
				t.Errorf("%d is also %v", kind.status, other.err)
			}
		}
		if errors.Is(err, ErrAnswer) || errors.Is(err, io.EOF) || errors.Is(err, uncomparable{[]int{1}}) {
			t.Errorf("%d is anything", kind.status)
		}
	}
}

func TestARefusalIsReadAsItIs(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer *http.Response
		want   Error
		text   string
	}{
		{"a refusal", answer(404, `{"detail":"Agent not found","code":"not_found","request_id":"r1"}`),
			Error{Status: 404, Code: "not_found", Detail: "Agent not found", RequestID: "r1"},
			"intuno: GET /auth/me: 404 not_found: Agent not found (request r1)"},
		{"a limit", answer(429, `{"detail":"Entity limit","code":"entity_quota_exceeded","request_id":"r2","limit":1,"used":1}`),
			Error{Status: 429, Code: "entity_quota_exceeded", Detail: "Entity limit", RequestID: "r2", Members: map[string]json.RawMessage{"limit": json.RawMessage("1"), "used": json.RawMessage("1")}},
			"intuno: GET /auth/me: 429 entity_quota_exceeded: Entity limit (request r2)"},
		{"later", answer(429, `{"detail":"Slow","code":"rate_limited","request_id":"r3"}`, "Retry-After", "42"),
			Error{Status: 429, Code: "rate_limited", Detail: "Slow", RequestID: "r3", RetryAfter: 42 * time.Second}, ""},
		{"problems", answer(422, `{"detail":[{"type":"missing","loc":["body","name"],"msg":"is required","input":null},
			{"type":"int_type","loc":["query",3],"msg":"must be a number","input":"x","ctx":{"a":1}}],"code":"validation_error","request_id":"r4"}`),
			Error{Status: 422, Code: "validation_error", Detail: "the request is not valid", RequestID: "r4", Problems: []api.Problem{
				{Type: "missing", Loc: []any{"body", "name"}, Msg: "is required"},
				{Type: "int_type", Loc: []any{"query", 3.0}, Msg: "must be a number", Input: json.RawMessage(`"x"`), Ctx: api.Object(`{"a":1}`)}}},
			"intuno: GET /auth/me: 422 validation_error: the request is not valid; [body name] is required; [query 3] must be a number (request r4)"},
		{"a proxy's page", answer(502, `<html>Bad Gateway</html>`, "X-Request-ID", "r5"), Error{Status: 502, Detail: "Bad Gateway", RequestID: "r5"}, ""},
		{"a list", answer(400, `[1]`), Error{Status: 400, Detail: "Bad Request"}, ""},
		{"null", answer(400, `null`), Error{Status: 400, Detail: "Bad Request"}, ""},
		{"nothing", answer(418, ``), Error{Status: 418, Detail: "I'm a teapot"}, "intuno: GET /auth/me: 418: I'm a teapot"},
		{"odd types", answer(400, `{"detail":7,"code":[1],"request_id":{}}`),
			Error{Status: 400, Detail: "Bad Request", Members: map[string]json.RawMessage{"detail": json.RawMessage("7"), "code": json.RawMessage("[1]"), "request_id": json.RawMessage("{}")}}, ""},
		{"lines", answer(400, `{"detail":"a\nintuno: fake","code":"x\u001b[31m"}`), Error{Status: 400, Code: "x\x1b[31m", Detail: "a\nintuno: fake"},
			`intuno: GET /auth/me: 400 "x\x1b[31m": "a\nintuno: fake"`},
	} {
		c := newClient(t, "http://h", WithRetries(0), WithTransport(transport(func(*http.Request) (*http.Response, error) { return test.answer, nil })))
		_, err := c.Me(t.Context())
		var got *Error
		if !errors.As(err, &got) {
			t.Fatalf("%s: %v", test.name, err)
		}
		text := err.Error()
		if strings.ContainsAny(text, "\n\x1b") || test.text != "" && text != test.text {
			t.Errorf("%s: says %q, want %q", test.name, text, test.text)
		}
		bare := *got
		bare.op = ""
		for i := range bare.Problems {
			if string(bare.Problems[i].Input) == "null" {
				bare.Problems[i].Input = nil
			}
		}
		if !reflect.DeepEqual(bare, test.want) {
			t.Errorf("%s: got %+v\nwant %+v", test.name, bare, test.want)
		}
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	for _, test := range []struct {
		header, date string
		want         time.Duration
	}{
		{"", "", 0}, {"0", "", 0}, {"3", "", 3 * time.Second}, {"-3", "", 0}, {"x", "", 0}, {"1.5", "", 0},
		{"99999999999999999999", "", 0}, {"9999999999999", "", (1 << 31) * time.Second},
		{"Thu, 23 Apr 2026 12:00:10 GMT", "Thu, 23 Apr 2026 12:00:00 GMT", 10 * time.Second},
		{"Thu, 23 Apr 2026 12:00:00 GMT", "Thu, 23 Apr 2026 12:00:10 GMT", 0}, {"Thu, 23 Apr 2026 12:00:10 GMT", "", 0},
	} {
		if got := retryAfter(http.Header{"Retry-After": {test.header}, "Date": {test.date}}); got != test.want {
			t.Errorf("%q at %q: got %v, want %v", test.header, test.date, got, test.want)
		}
	}
}

func TestAnInvocationThatDoesNotSucceedIsAnErrorWithItsAnswer(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"success":false,"data":null,"error":"Agent did not answer in time","error_code":"agent_timeout","status_code":408,"latency_ms":25001,"invocation_id":"i"}`)
	})
	response, err := c.Invoke(t.Context(), api.InvokeRequest{AgentID: "a", Input: api.Object(`{}`)})
	var failed *InvokeError
	if !errors.As(err, &failed) || failed.Response.StatusCode != 408 || *response.InvocationID != "i" || Code(err) != "agent_timeout" {
		t.Errorf("got %+v (%v)", response, err)
	}
	if want := "intuno: invocation: 408 agent_timeout: Agent did not answer in time"; err.Error() != want {
		t.Errorf("says %q, want %q", err, want)
	}
	for err, want := range map[error]string{&Error{Code: "x"}: "x", io.EOF: "", nil: "", &InvokeError{}: ""} {
		if got := Code(err); got != want {
			t.Errorf("code of %v is %q, want %q", err, got, want)
		}
	}
}
