package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

const invocation = id.Invocation("5b1d6679-7425-40de-944b-e07fc1f90ae7")

// script is a Sender whose answers are given; the last one repeats. $ID in an answer is
// the id of the request.
type script struct {
	answers []string // "404 body", or a body of status 200
	errs    []error
	asked   []broker.Outgoing
}

func (s *script) Send(_ context.Context, o broker.Outgoing) (int, []byte, error) {
	n := len(s.asked)
	s.asked = append(s.asked, o)
	if n < len(s.errs) && s.errs[n] != nil {
		return 0, nil, s.errs[n]
	}
	text := s.answers[min(n, len(s.answers)-1)]
	status := 200
	if _, err := fmt.Sscanf(text, "%03d ", &status); err == nil && len(text) >= 4 && text[3] == ' ' {
		text = text[4:]
	}
	return status, []byte(strings.ReplaceAll(text, "$ID", string(invocation))), nil
}

func (s *script) Stream(context.Context, broker.Outgoing, func([]byte) error) (int, []byte, error) {
	return 0, nil, errors.New("an A2A agent is not streamed")
}

func callOf(dialect, input string) broker.Call {
	endpoint := "https://agent.example.org/a2a"
	return broker.Call{ID: invocation, RequestID: "req-1", Agent: registry.Agent{Endpoint: &endpoint, Dialect: dialect, AuthType: registry.AuthPublic}, Input: []byte(input)}
}

func result(text string) string { return `{"jsonrpc":"2.0","id":"$ID","result":` + text + `}` }

func compact(text []byte) string {
	v := jsontext.Value(text)
	if err := v.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		return "not JSON: " + string(text)
	}
	return string(v)
}

func TestAnA2ARequestIsWhatTheContractSays(t *testing.T) {
	const m03 = `{"configuration":{"acceptedOutputModes":["text/plain","application/json"],"blocking":true},"message":{%s"kind":"message","messageId":"` + string(invocation) + `",%s"parts":%s,"role":"user"}}`
	const m10 = `{"configuration":{"acceptedOutputModes":["text/plain","application/json"]},"message":{%s"messageId":"` + string(invocation) + `",%s"parts":%s,"role":"ROLE_USER"}}`
	for _, c := range []struct {
		name, input, context, metadata, parts03, parts10 string
	}{
		{"text alone is one part", `{"message":" hi "}`, "", "", `[{"kind":"text","text":"hi"}]`, `[{"text":"hi"}]`},
		{"other members add the whole input", `{"query":"hi","n":1.10}`, "", "", `[{"kind":"text","text":"hi"},{"data":{"n":1.10,"query":"hi"},"kind":"data"}]`, `[{"text":"hi"},{"data":{"n":1.10,"query":"hi"}}]`},
		{"a blank text is another member", `{"message":" ","text":"hi"}`, "", "", `[{"kind":"text","text":"hi"},{"data":{"message":" ","text":"hi"},"kind":"data"}]`, `[{"text":"hi"},{"data":{"message":" ","text":"hi"}}]`},
		{"no text is the JSON text", `{"n":12345678901234567890}`, "", "", `[{"kind":"text","text":"{\"n\":12345678901234567890}"},{"data":{"n":12345678901234567890},"kind":"data"}]`, `[{"text":"{\"n\":12345678901234567890}"},{"data":{"n":12345678901234567890}}]`},
		{"an empty input is a text", `{}`, "", "", `[{"kind":"text","text":"{}"}]`, `[{"text":"{}"}]`},
		{"the skill goes to the metadata", `{"message":"hi","skill":"forecast"}`, "", `"metadata":{"skill":"forecast"},`, `[{"kind":"text","text":"hi"}]`, `[{"text":"hi"}]`},
		{"a skill that is no string stays", `{"message":"hi","skill":7}`, "", "", `[{"kind":"text","text":"hi"},{"data":{"message":"hi","skill":7},"kind":"data"}]`, `[{"text":"hi"},{"data":{"message":"hi","skill":7}}]`},
		{"the context of before is sent", `{"message":"hi"}`, `"contextId":"ctx-1",`, "", `[{"kind":"text","text":"hi"}]`, `[{"text":"hi"}]`},
	} {
		for dialect, want := range map[string][2]string{
			"0.3": {"message/send", fmt.Sprintf(m03, c.context, c.metadata, c.parts03)},
			"1.0": {"SendMessage", fmt.Sprintf(m10, c.context, c.metadata, c.parts10)},
		} {
			s := &script{answers: []string{`{}`}}
			call := callOf(dialect, c.input)
			if c.context != "" {
				call.Context = "ctx-1"
			}
			_, _ = broker.NewA2A(s).Send(t.Context(), call, nil)
			got, want := compact(s.asked[0].Body), fmt.Sprintf(`{"id":%q,"jsonrpc":"2.0","method":%q,"params":%s}`, invocation, want[0], want[1])
			if got != want {
				t.Errorf("%s, %s:\n got %s\nwant %s", c.name, dialect, got, want)
			}
		}
	}
}

func TestAnA2ARequestHasTheHeadersOfAnInvocation(t *testing.T) {
	for dialect, version := range map[string]string{"": "", "0.3": "", "1.0": "1.0"} {
		s := &script{answers: []string{`{}`}}
		call := callOf(dialect, `{"message":"hi"}`)
		call.Agent.AuthType, call.Credential = registry.AuthBearerToken, &registry.Credential{Type: registry.AuthBearerToken, Value: secret.New("s3cret")}
		_, _ = broker.NewA2A(s).Send(t.Context(), call, nil)
		want := map[string]string{"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "Intuno-Broker/1.0",
			"X-Request-ID": "req-1", "Idempotency-Key": string(invocation), "Authorization": "Bearer s3cret"}
		if version != "" {
			want["A2A-Version"] = version
		}
		if o := s.asked[0]; fmt.Sprint(o.Header) != fmt.Sprint(want) || o.URL != "https://agent.example.org/a2a" || o.MaxBody != 1<<20 {
			t.Errorf("dialect %q: got %v to %s, at most %d, want %v", dialect, o.Header, o.URL, o.MaxBody, want)
		}
	}
}

func TestWhatAnA2AAgentSaysIsOneObject(t *testing.T) {
	for _, c := range []struct{ name, dialect, answer, want, context string }{
		{"message of 0.3", "0.3", result(`{"kind":"message","messageId":"m","role":"agent","contextId":"ctx","parts":[{"kind":"text","text":"a"},{"kind":"data","data":{"n":1.10}},{"kind":"text","text":"b"}]}`),
			`{"content":"a\nb","context_id":"ctx","parts":[{"kind":"text","text":"a"},{"data":{"n":1.10},"kind":"data"},{"kind":"text","text":"b"}],"state":"completed","task_id":null}`, "ctx"},
		{"message of 1.0", "1.0", result(`{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"text":"a"},{"data":[12345678901234567890]}]}}`),
			`{"content":"a","context_id":null,"parts":[{"text":"a"},{"data":[12345678901234567890]}],"state":"completed","task_id":null}`, ""},
		{"task of 0.3", "0.3", result(`{"kind":"task","id":"t","contextId":"ctx","status":{"state":"completed","message":{"kind":"message","messageId":"x","role":"agent","parts":[{"kind":"text","text":"done"}]}},"artifacts":[{"artifactId":"1","parts":[{"kind":"text","text":"a"}]},{"artifactId":"2","parts":[{"kind":"text","text":"b"}]}]}`),
			`{"content":"a\nb","context_id":"ctx","parts":[{"kind":"text","text":"a"},{"kind":"text","text":"b"}],"state":"completed","task_id":"t"}`, "ctx"},
		{"task of 1.0 without artifacts", "1.0", result(`{"task":{"id":"t","contextId":"ctx","status":{"state":"TASK_STATE_COMPLETED","message":{"messageId":"x","role":"ROLE_AGENT","parts":[{"text":"done"}]}}}}`),
			`{"content":"done","context_id":"ctx","parts":[{"text":"done"}],"state":"completed","task_id":"t"}`, "ctx"},
		{"input-required is a result", "0.3", result(`{"kind":"task","id":"t","contextId":"ctx","status":{"state":"input-required","message":{"parts":[{"kind":"text","text":"Which city?"}]}}}`),
			`{"content":"Which city?","context_id":"ctx","parts":[{"kind":"text","text":"Which city?"}],"state":"input-required","task_id":"t"}`, "ctx"},
		{"input-required of 1.0, after an artifact", "1.0", result(`{"task":{"id":"t","contextId":"ctx","status":{"state":"TASK_STATE_INPUT_REQUIRED","message":{"parts":[{"text":"Which?"}]}},"artifacts":[{"parts":[{"text":"Two."}]}]}}`),
			`{"content":"Two.\nWhich?","context_id":"ctx","parts":[{"text":"Two."},{"text":"Which?"}],"state":"input-required","task_id":"t"}`, "ctx"},
		{"a text that is no text part is not joined", "0.3", result(`{"kind":"message","messageId":"m","role":"agent","parts":[{"kind":"data","data":{},"text":"no"}]}`),
			`{"content":"","context_id":null,"parts":[{"data":{},"kind":"data","text":"no"}],"state":"completed","task_id":null}`, ""},
		{"a context that cannot be an id is told but not kept", "1.0", result(`{"message":{"parts":[],"contextId":"a\u0000b"}}`),
			`{"content":"","context_id":"a\u0000b","parts":[],"state":"completed","task_id":null}`, ""},
		{"a context that is too long is not kept", "1.0", result(`{"message":{"parts":[],"contextId":"` + strings.Repeat("x", 513) + `"}}`),
			`{"content":"","context_id":"` + strings.Repeat("x", 513) + `","parts":[],"state":"completed","task_id":null}`, ""},
		{"metadata of any shape", "0.3", result(`{"kind":"message","messageId":"m","role":"agent","metadata":[7],"extensions":{},"parts":[{"kind":"text","text":"a","metadata":{"x":1}}]}`),
			`{"content":"a","context_id":null,"parts":[{"kind":"text","metadata":{"x":1},"text":"a"}],"state":"completed","task_id":null}`, ""},
		{"the answer to nobody's error", "0.3", `{"jsonrpc":"2.0","id":"$ID","error":null,"result":{"kind":"message","parts":[]}}`,
			`{"content":"","context_id":null,"parts":[],"state":"completed","task_id":null}`, ""},
	} {
		reply, err := broker.NewA2A(&script{answers: []string{c.answer}}).Send(t.Context(), callOf(c.dialect, `{"message":"hi"}`), nil)
		if err != nil || reply.Status != 200 || compact(reply.Body) != c.want || reply.Context != c.context {
			t.Errorf("%s: %v\n got %d %s, context %q\nwant 200 %s, context %q", c.name, err, reply.Status, compact(reply.Body), reply.Context, c.want, c.context)
		}
	}
}

func TestWhatIsNoA2AAnswerIsAnError(t *testing.T) {
	task := func(state string) string {
		return result(`{"kind":"task","id":"t","status":{"state":"` + state + `"}}`)
	}
	for _, c := range []struct{ name, dialect, answer string }{
		{"failed", "0.3", task("failed")},
		{"rejected", "0.3", task("rejected")},
		{"canceled", "0.3", task("canceled")},
		{"failed of 1.0", "1.0", result(`{"task":{"id":"t","status":{"state":"TASK_STATE_FAILED"}}}`)},
		{"error of JSON-RPC", "0.3", `{"jsonrpc":"2.0","id":"$ID","error":{"code":-32601,"message":"no"}}`},
		{"error of JSON-RPC without an id", "1.0", `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}`},
		{"error and result", "0.3", `{"jsonrpc":"2.0","id":"$ID","error":{},"result":{"kind":"message","parts":[]}}`},
		{"another id", "0.3", `{"jsonrpc":"2.0","id":"other","result":{"kind":"message","parts":[]}}`},
		{"no id", "0.3", `{"jsonrpc":"2.0","result":{"kind":"message","parts":[]}}`},
		{"a number for an id", "0.3", `{"jsonrpc":"2.0","id":1,"result":{"kind":"message","parts":[]}}`},
		{"another version", "0.3", `{"jsonrpc":"1.0","id":"$ID","result":{"kind":"message","parts":[]}}`},
		{"an empty object", "0.3", `{}`},
		{"an empty body", "0.3", ``},
		{"no content", "0.3", `204 `},
		{"an array", "1.0", `[]`},
		{"a list for a result", "1.0", result(`[]`)},
		{"neither", "1.0", result(`{}`)},
		{"both", "1.0", result(`{"task":{"id":"t","status":{"state":"TASK_STATE_COMPLETED"}},"message":{"parts":[]}}`)},
		{"0.3 answered by 1.0", "0.3", result(`{"message":{"parts":[]}}`)},
		{"1.0 answered by 0.3", "1.0", result(`{"kind":"message","parts":[]}`)},
		{"a kind of its own", "0.3", result(`{"kind":"Message","parts":[]}`)},
		{"a kind that is a number", "0.3", result(`{"kind":7}`)},
		{"parts that are an object", "0.3", result(`{"kind":"message","parts":{}}`)},
		{"a part that is a string", "0.3", result(`{"kind":"message","parts":["a"]}`)},
		{"a part that is null", "1.0", result(`{"message":{"parts":[null]}}`)},
		{"a text that is a number", "1.0", result(`{"message":{"parts":[{"text":7}]}}`)},
		{"a context that is a number", "1.0", result(`{"message":{"parts":[],"contextId":7}}`)},
		{"a task without an id", "0.3", result(`{"kind":"task","status":{"state":"completed"}}`)},
		{"a state that is a number", "0.3", result(`{"kind":"task","id":"t","status":{"state":7}}`)},
		{"a status that is a string", "0.3", result(`{"kind":"task","id":"t","status":"completed"}`)},
		{"artifacts that are no list", "0.3", result(`{"kind":"task","id":"t","status":{"state":"completed"},"artifacts":{"parts":[]}}`)},
	} {
		s := &script{answers: []string{c.answer}}
		reply, err := broker.NewA2A(s).Send(t.Context(), callOf(c.dialect, `{"message":"hi"}`), nil)
		if !errors.Is(err, broker.ErrA2A) || reply.Status != 0 || len(s.asked) != 1 {
			t.Errorf("%s: got %+v, %v after %d requests, want ErrA2A", c.name, reply, err, len(s.asked))
		}
	}
}

func TestHTTPOfAnA2AAgentIsMappedAsOfAnyOther(t *testing.T) {
	for _, c := range []struct {
		answer string
		status int
		body   string
	}{
		{`500 {"jsonrpc":"2.0","id":"$ID","error":{"code":-32603}}`, 500, `{"jsonrpc":"2.0","id":"` + string(invocation) + `","error":{"code":-32603}}`},
		{`302 `, 302, ``},
		{`404 no such page`, 404, `no such page`},
		{`<html>`, 200, `<html>`},
		{`202 {"jsonrpc":`, 202, `{"jsonrpc":`},
		{`{"id":1,"id":1}`, 200, `{"id":1,"id":1}`},
		{strings.Repeat("[", 1<<20), 200, strings.Repeat("[", 1<<20)},
	} {
		reply, err := broker.NewA2A(&script{answers: []string{c.answer}}).Send(t.Context(), callOf("0.3", `{"message":"hi"}`), nil)
		if err != nil || reply.Status != c.status || string(reply.Body) != c.body {
			t.Errorf("%.40s: got %d %.60s, %v", c.answer, reply.Status, reply.Body, err)
		}
	}
	for _, kind := range []error{broker.ErrUnreachable, broker.ErrDeadline, broker.ErrTooLarge} {
		_, err := broker.NewA2A(&script{errs: []error{fmt.Errorf("because: %w", kind)}, answers: []string{""}}).Send(t.Context(), callOf("1.0", `{"message":"hi"}`), nil)
		if !errors.Is(err, kind) {
			t.Errorf("got %v, want %v", err, kind)
		}
	}
}

func TestATaskUnderWayIsLookedAtEverySecond(t *testing.T) {
	for dialect, c := range map[string]struct{ first, later, last, method string }{
		"0.3": {result(`{"kind":"task","id":"t\"1","contextId":"c","status":{"state":"submitted"}}`), result(`{"kind":"task","id":"t\"1","contextId":"c","status":{"state":"working"}}`),
			result(`{"kind":"task","id":"t\"1","contextId":"c","status":{"state":"completed"},"artifacts":[{"parts":[{"kind":"text","text":"done"}]}]}`), "tasks/get"},
		"1.0": {result(`{"task":{"id":"t\"1","contextId":"c","status":{"state":"TASK_STATE_SUBMITTED"}}}`), result(`{"id":"t\"1","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}`),
			result(`{"id":"t\"1","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"},"artifacts":[{"parts":[{"text":"done"}]}]}`), "GetTask"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: []string{c.first, c.later, c.later, c.last}}
			ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
			defer cancel()
			start := time.Now()
			reply, err := broker.NewA2A(s).Send(ctx, callOf(dialect, `{"message":"hi"}`), nil)
			var data struct{ Content, State string }
			if err != nil || json.Unmarshal(reply.Body, &data) != nil || data.Content != "done" || data.State != "completed" || reply.Context != "c" {
				t.Fatalf("%s: got %+v (%s), %v", dialect, reply, reply.Body, err)
			}
			if took := time.Since(start); took != 3*time.Second || len(s.asked) != 4 {
				t.Errorf("%s: %d requests in %s, want 4 in 3 s", dialect, len(s.asked), took)
			}
			var poll struct {
				ID, Method string
				Params     jsontext.Value
			}
			if err := jsonv2.Unmarshal(s.asked[3].Body, &poll, jsonv2.MatchCaseInsensitiveNames(true)); err != nil || poll.Method != c.method || string(poll.Params) != `{"id":"t\"1"}` || poll.ID != string(invocation) {
				t.Errorf("%s: the look was %s", dialect, s.asked[3].Body)
			}
			if _, once := s.asked[3].Header["Idempotency-Key"]; once || s.asked[3].Header["X-Request-ID"] != "req-1" {
				t.Errorf("%s: a look has the headers %v", dialect, s.asked[3].Header)
			}
		})
	}
}

func TestATaskThatIsNeverDoneEndsWithTheDeadline(t *testing.T) {
	for _, state := range []string{"working", "submitted", "unknown", "", "of-its-own"} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: []string{result(`{"kind":"task","id":"t","status":{"state":"` + state + `"}}`)}}
			ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second+time.Millisecond)
			defer cancel()
			_, err := broker.NewA2A(s).Send(ctx, callOf("0.3", `{"message":"hi"}`), nil)
			if !errors.Is(err, broker.ErrDeadline) || len(s.asked) != 26 {
				t.Errorf("%q: %v after %d requests, want ErrDeadline after 26", state, err, len(s.asked))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, leave)
		s := &script{answers: []string{result(`{"kind":"task","id":"t","status":{"state":"working"}}`)}}
		if _, err := broker.NewA2A(s).Send(ctx, callOf("0.3", `{}`), nil); !errors.Is(err, context.Canceled) || len(s.asked) != 2 {
			t.Errorf("a caller that leaves: %v after %d requests", err, len(s.asked))
		}
	})
}

func TestALookThatGoesWrongEndsTheCall(t *testing.T) {
	working := result(`{"kind":"task","id":"t","status":{"state":"working"}}`)
	for name, c := range map[string]struct {
		answer string
		err    error
		status int
	}{
		"another task":      {result(`{"kind":"task","id":"u","status":{"state":"completed"}}`), broker.ErrA2A, 0},
		"error of JSON-RPC": {`{"jsonrpc":"2.0","id":"$ID","error":{"code":-32001,"message":"task not found"}}`, broker.ErrA2A, 0},
		"failed":            {result(`{"kind":"task","id":"t","status":{"state":"failed"}}`), broker.ErrA2A, 0},
		"a status":          {`503 busy`, nil, 503},
		"no JSON":           {`busy`, nil, 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			reply, err := broker.NewA2A(&script{answers: []string{working, c.answer}}).Send(t.Context(), callOf("0.3", `{}`), nil)
			if !errors.Is(err, c.err) || reply.Status != c.status {
				t.Errorf("%s: got %+v, %v", name, reply, err)
			}
		})
	}
}

// fakeHost is a Host with one answer.
type fakeHost struct {
	status int
	body   string
	err    error
	got    broker.Delivery
}

func (h *fakeHost) Deliver(_ context.Context, d broker.Delivery) (int, []byte, error) {
	h.got = d
	return h.status, []byte(h.body), h.err
}

func TestAHostedEntityIsReachedThroughTheHostOnly(t *testing.T) {
	entity := "aria"
	call := broker.Call{ID: invocation, RequestID: "req-1", Caller: "caller", Depth: 3, Input: []byte(`{"message":"hi"}`),
		Agent: registry.Agent{Owner: "owner", HostedEntity: &entity}}
	for _, h := range []*fakeHost{{200, `{"content":"hello"}`, nil, broker.Delivery{}}, {409, "", nil, broker.Delivery{}}, {err: broker.ErrDeadline}} {
		reply, err := broker.NewHosted(h).Send(t.Context(), call, nil)
		if !errors.Is(err, h.err) || reply.Status != h.status || string(reply.Body) != h.body {
			t.Errorf("got %+v, %v, want %+v", reply, err, h)
		}
		if fmt.Sprint(h.got) != fmt.Sprint(broker.Delivery{ID: invocation, Owner: "owner", Entity: "aria", Caller: "caller", Depth: 3, RequestID: "req-1", Input: call.Input}) {
			t.Errorf("delivered %+v", h.got)
		}
	}
	call.Agent.HostedEntity = nil
	if _, err := broker.NewHosted(&fakeHost{}).Send(t.Context(), call, nil); !errors.Is(err, broker.ErrUnreachable) {
		t.Errorf("without an entity: %v", err)
	}
}
