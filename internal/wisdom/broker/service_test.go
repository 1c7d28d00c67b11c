package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// scene is everything around the pipeline: what is there, and what it wrote and sent.
type scene struct {
	halted  error
	agent   *registry.Callee // nil: there is none
	thread  *Thread          // nil: there is none
	limits  Limits
	over    bool // a quota is used up
	unsafe  bool
	broken  string // the method of the store that fails
	answers []answer
	timeout time.Duration
	jitter  float64
	sent    []Call
	at      []time.Time // of sent
	bounds  []time.Duration
	opened  []Opening
	closed  []Ending
}

// answer is what one attempt comes to.
type answer struct {
	reply  Reply
	err    error
	after  time.Duration
	chunks []string
}

var errStore = errors.New("the store is broken")

func (s *scene) fails(method string) error {
	if s.broken == method {
		return errStore
	}
	return nil
}

func (s *scene) Running(context.Context) error { return s.halted }

func (s *scene) Callee(context.Context, id.User, string) (registry.Callee, error) {
	if s.agent == nil {
		return registry.Callee{}, errors.Join(fault.Missing("Agent"), s.fails("Callee"))
	}
	return *s.agent, s.fails("Callee")
}

func (s *scene) Admit(string) error {
	if s.unsafe {
		return fault.New(fault.BadRequest, "unsafe_url", "no")
	}
	return nil
}

func (s *scene) Limits(context.Context, id.User, id.Integration) (Limits, error) {
	return s.limits, s.fails("Limits")
}

func (s *scene) Thread(context.Context, id.User, id.Conversation, id.Message, id.Agent) (Thread, error) {
	if s.thread == nil {
		return Thread{}, fault.Missing("Conversation")
	}
	return *s.thread, s.fails("Thread")
}

func (s *scene) OverQuota(context.Context, id.User, id.Integration, *int64, *int64, time.Time) (bool, error) {
	return s.over, s.fails("OverQuota")
}

func (s *scene) Open(ctx context.Context, o Opening) (bool, error) {
	if err := s.written(ctx, "Open"); err != nil {
		return false, err
	}
	if !s.over {
		s.opened = append(s.opened, o)
	}
	return !s.over, nil
}

func (s *scene) Close(ctx context.Context, e Ending) error {
	s.closed = append(s.closed, e)
	return s.written(ctx, "Close")
}

func (s *scene) written(ctx context.Context, method string) error {
	if _, ok := ctx.Deadline(); !ok {
		return errors.New("a write without a bound")
	}
	return errors.Join(ctx.Err(), s.fails(method))
}

func (s *scene) Logs(context.Context, id.User, LogQuery) ([]Log, error) { return nil, nil }

// Send implements Target.
func (s *scene) Send(ctx context.Context, c Call, emit func([]byte) error) (Reply, error) {
	s.sent, s.at = append(s.sent, c), append(s.at, clock.System())
	if deadline, ok := ctx.Deadline(); ok {
		s.bounds = append(s.bounds, deadline.Sub(clock.System()))
	}
	a := s.answers[min(len(s.sent), len(s.answers))-1]
	for _, chunk := range a.chunks {
		if err := emit([]byte(chunk)); err != nil {
			return Reply{}, err
		}
	}
	select {
	case <-time.After(a.after):
		return a.reply, a.err
	case <-ctx.Done():
		if ctx.Err() == context.DeadlineExceeded {
			return Reply{}, ErrDeadline
		}
		return Reply{}, ctx.Err()
	}
}

func (s *scene) service() *Service {
	return New(Config{Store: s, Callees: s, Platform: s, URLs: s, HTTP: s, Events: s, A2A: named{s, "a2a"}, Hosted: named{s, "hosted"},
		Now: clock.System, Timeout: s.timeout, Jitter: func() float64 { return s.jitter }})
}

// named is a target that can be told from another.
type named struct {
	Target
	name string
}

// newScene is one in which everything goes well, by the key of an integration, in a
// conversation with a message.
func newScene() (*scene, principal.Principal, Request) {
	endpoint := "https://a.example.org/"
	ten := int64(10)
	s := &scene{
		agent:   &registry.Callee{Agent: registry.Agent{ID: "agent", Owner: "owner", Slug: "slug", Active: true, AuthType: registry.AuthBearerToken, Endpoint: &endpoint}, Credential: &registry.Credential{}},
		thread:  &Thread{Integration: "shop", HasMessage: true},
		limits:  Limits{Allowed: []id.Agent{"other", "agent"}, Daily: &ten, Monthly: &ten},
		answers: []answer{{reply: Reply{Status: 200, Body: []byte(`{"text":"sun"}`)}}},
	}
	p := principal.Principal{User: "ada", Via: principal.APIKey, Key: "key", Integration: "shop", Request: "request"}
	return s, p, Request{Agent: "slug", Input: []byte(`{"a":1}`), Conversation: "conversation", Message: "message"}
}

// faulty are the rows of contract §5.2 in their order.
var faulty = []struct {
	code Code // "": an HTTP fault
	make func(s *scene, p *principal.Principal, r *Request)
}{
	{"", func(s *scene, _ *principal.Principal, _ *Request) {
		s.halted = fault.New(fault.Unavailable, "platform_halted", "x")
	}},
	{ConversationNotFound, func(s *scene, _ *principal.Principal, _ *Request) { s.thread = nil }},
	{IntegrationMismatch, func(_ *scene, p *principal.Principal, _ *Request) { p.Integration = "another" }},
	{MessageNotFound, func(s *scene, _ *principal.Principal, _ *Request) {
		if s.thread != nil {
			s.thread.HasMessage = false
		}
	}},
	{AgentNotFound, func(s *scene, _ *principal.Principal, _ *Request) { s.agent.Active = false }},
	{AgentNotAllowed, func(s *scene, _ *principal.Principal, _ *Request) { s.limits.Allowed = []id.Agent{"other"} }},
	{QuotaExceeded, func(s *scene, _ *principal.Principal, _ *Request) { s.over = true }},
	{DepthExceeded, func(_ *scene, p *principal.Principal, _ *Request) { p.Depth = 8 }},
	{UnsafeURL, func(s *scene, _ *principal.Principal, _ *Request) { s.unsafe = true }},
	{CredentialMissing, func(s *scene, _ *principal.Principal, _ *Request) { s.agent.Credential = nil }},
}

func TestOfTwoFaultsTheEarlierIsReported(t *testing.T) {
	for i, first := range faulty {
		for j := i; j < len(faulty); j++ {
			for _, stream := range []bool{false, true} {
				s, p, r := newScene()
				faulty[j].make(s, &p, &r)
				first.make(s, &p, &r)
				result, err := s.call(t.Context(), p, r, stream)
				name := fmt.Sprintf("%s with %s, stream %v", first.code, faulty[j].code, stream)
				if first.code == "" {
					if !fault.HasCode(err, "platform_halted") || len(s.closed) != 0 {
						t.Errorf("%s: got %v, %+v", name, err, s.closed)
					}
					continue
				}
				if err != nil || result.Code != first.code || result.Status != statuses[first.code] || result.Conversation != "" || len(s.opened) != 0 || len(s.sent) != 0 {
					t.Errorf("%s: got %+v, %v, opened %v, sent %v", name, result, err, s.opened, s.sent)
				}
				if len(s.closed) != 1 {
					t.Fatalf("%s: %d log rows", name, len(s.closed))
				}
				l := s.closed[0].Log
				if !l.Refused || l.Conversation != "" || l.Message != "" || l.ID != result.Invocation || s.closed[0].Reached || s.closed[0].Undo != nil || s.closed[0].Message != "" {
					t.Errorf("%s: row %+v", name, s.closed[0])
				}
			}
		}
	}
}

func TestWithoutAnAgentThereIsNoRow(t *testing.T) {
	for _, bad := range faulty[1:5] {
		s, p, r := newScene()
		bad.make(s, &p, &r)
		s.agent = nil
		if result, err := s.call(t.Context(), p, r, false); err != nil || result.Code != bad.code || result.Invocation != "" || len(s.closed)+len(s.opened) != 0 {
			t.Errorf("%s: got %+v, %v, %+v", bad.code, result, err, s.closed)
		}
	}
}

// call runs an invocation one way or the other, and returns what the caller hears at last.
func (s *scene) call(ctx context.Context, p principal.Principal, r Request, stream bool) (Result, error) {
	if !stream {
		return s.service().Invoke(ctx, p, r)
	}
	streaming, err := s.service().Stream(ctx, p, r)
	if err != nil {
		return Result{}, err
	}
	out := &heard{}
	err = streaming.Run(ctx, out)
	return out.done, err
}

// heard is a Sink that writes down what it is told.
type heard struct {
	events []string
	done   Result
	full   int // takes so many chunks, then no more; 0: all
}

var errPipe = errors.New("broken pipe")

func (h *heard) Chunk(value []byte) error {
	if h.full > 0 && len(h.events) == h.full {
		return errPipe
	}
	h.events = append(h.events, string(value))
	return nil
}
func (h *heard) Result(r Result) error {
	h.events = append(h.events, "result "+string(r.Data))
	return nil
}
func (h *heard) Fail(r Result) error {
	h.events = append(h.events, "error "+string(r.Code))
	return nil
}
func (h *heard) Done(r Result) error { h.events, h.done = append(h.events, "done"), r; return nil }

func TestACallWritesWhatWasSaidAndWhatCameOfIt(t *testing.T) {
	synctest.Test(t, writesWhatWasSaid) // no time passes there, and yet an answer is later than its question
}

func writesWhatWasSaid(t *testing.T) {
	s, p, r := newScene()
	guest := "guest"
	r.Conversation, r.Message, r.ExternalUser, r.Input = "", "", &guest, []byte(`{"query":" ? ","n":1}`)
	p.Depth, s.answers[0].reply.Context = 7, "context"
	got, err := s.call(t.Context(), p, r, false)
	if err != nil || !got.Success || len(s.opened) != 1 || len(s.closed) != 1 || len(s.sent) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	o, e, c := s.opened[0], s.closed[0], s.sent[0]
	if !o.New || o.Conversation != got.Conversation || o.Message == "" || o.Content != "?" || string(o.Metadata) != `{"query":" ? ","n":1}` || *o.ExternalUser != guest ||
		o.User != "ada" || o.Integration != "shop" || *o.Daily != 10 || *o.Monthly != 10 {
		t.Errorf("opened %+v", o)
	}
	if e.Undo != nil || !e.Reached || e.Message == "" || e.Content != "sun" || string(e.Metadata) != `{"text":"sun"}` || e.Context != "context" {
		t.Errorf("closed %+v", e)
	}
	if l := e.Log; l.ID != got.Invocation || l.Kind != KindInvoke || l.Caller != "ada" || l.Actor != (principal.Actor{Type: "api_key", ID: "key"}) || l.Agent != "agent" ||
		l.AgentOwner != "owner" || l.Slug != "slug" || !l.Success || l.Refused || l.Status != 200 || l.Integration != "shop" || l.Conversation != got.Conversation ||
		l.Message != o.Message || string(l.Request) != `{"query":" ? ","n":1}` || string(l.Response) != `{"text":"sun"}` || l.RequestID != "request" || !l.At.After(o.At) {
		t.Errorf("row %+v", l)
	}
	if c.ID != got.Invocation || c.Depth != 8 || c.Caller != "ada" || c.RequestID != "request" || c.Stream || c.Credential == nil {
		t.Errorf("call %+v", c)
	}
}

func TestAStoredMessageIsNotStoredAgain(t *testing.T) {
	s, p, r := newScene()
	s.thread.Context = "context"
	if _, err := s.call(t.Context(), p, r, false); err != nil {
		t.Fatal(err)
	}
	if o := s.opened[0]; o.New || o.Conversation != "conversation" || o.Message != "" || o.Content != "" || s.closed[0].Log.Message != "message" || s.sent[0].Context != "context" {
		t.Errorf("opened %+v, row %+v", o, s.closed[0].Log)
	}
}

func TestARefusalByTheDialIsTakenBack(t *testing.T) {
	for _, stream := range []bool{false, true} {
		s, p, r := newScene()
		before := "customer-17"
		s.limits.MaxRetries, s.thread.ExternalUser = 1, &before
		s.answers = []answer{{err: ErrUnreachable}, {err: fault.New(fault.BadRequest, "unsafe_url", "no")}}
		got, err := s.call(t.Context(), p, r, stream)
		if err != nil || got.Code != UnsafeURL || got.Status != 400 || got.Conversation != "" || len(s.sent) != 2 {
			t.Errorf("got %+v, %v", got, err)
		}
		if e := s.closed[0]; e.Undo == nil || e.Undo.Conversation != "conversation" || e.Undo.ExternalUserBefore != &before || !e.Log.Refused || e.Log.Conversation != "" || e.Log.Message != "" || e.Reached {
			t.Errorf("closed %+v", e)
		}
	}
}

func TestTheDialSAnswerAfterAnAttemptThatReachedTheAgentIsARefusalToo(t *testing.T) {
	s, p, r := newScene()
	s.limits.MaxRetries = 1
	s.answers = []answer{{reply: Reply{Status: 500}}, {err: fault.New(fault.BadRequest, "unsafe_url", "no")}}
	if got, err := s.call(t.Context(), p, r, false); err != nil || got.Code != UnsafeURL || s.closed[0].Undo == nil || s.closed[0].Reached {
		t.Errorf("got %+v, %v, %+v", got, err, s.closed[0])
	}
}

func TestRetries(t *testing.T) {
	status := func(n int) answer { return answer{reply: Reply{Status: n}, after: 10 * time.Millisecond} }
	good := answer{reply: Reply{Status: 200}, after: 10 * time.Millisecond}
	gone := answer{err: ErrUnreachable}
	for _, tt := range []struct {
		name    string
		most    int
		backoff time.Duration
		jitter  float64
		timeout time.Duration
		answers []answer
		code    Code
		status  int
		waits   []time.Duration
		reached bool
	}{
		{"none by default", 0, time.Second, 0.5, 0, []answer{status(500), good}, AgentError, 500, nil, true},
		{"after 500", 3, time.Second, 0.5, 0, []answer{status(500), good}, "", 200, []time.Duration{time.Second}, true},
		{"after 599 and 408", 3, time.Second, 0.5, 0, []answer{status(599), status(408), good}, "", 200, []time.Duration{time.Second, 2 * time.Second}, true},
		{"after unreachable", 5, 2 * time.Second, 0, 0, []answer{gone, gone, gone, good}, "", 200, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, true},
		{"the longest waits", 2, time.Second, 1, 0, []answer{gone, gone, good}, "", 200, []time.Duration{1500 * time.Millisecond, 3 * time.Second}, true},
		{"as often as said", 2, time.Second, 0.5, 0, []answer{status(503)}, AgentError, 503, []time.Duration{time.Second, 2 * time.Second}, true},
		{"none of them reached it", 1, 0, 0.5, 0, []answer{gone}, AgentUnreachable, 500, []time.Duration{0}, false},
		{"one of them reached it", 1, 0, 0.5, 0, []answer{status(500), gone}, AgentUnreachable, 500, []time.Duration{0}, true},
		{"not after 404", 3, time.Second, 0.5, 0, []answer{status(404), good}, AgentError, 404, nil, true},
		{"not after 302", 3, time.Second, 0.5, 0, []answer{status(302), good}, AgentError, 302, nil, true},
		{"not after what is no JSON", 3, time.Second, 0.5, 0, []answer{{reply: Reply{Status: 200, Body: []byte("x")}}, good}, AgentInvalidJSON, 200, nil, true},
		{"not after too large", 3, time.Second, 0.5, 0, []answer{{err: ErrTooLarge}, good}, AgentResponseTooLarge, 502, nil, true},
		{"not after an A2A error", 3, time.Second, 0.5, 0, []answer{{err: ErrA2A}, good}, AgentA2AError, 502, nil, true},
		{"not after the deadline", 3, 0, 0.5, 0, []answer{{after: time.Hour}, good}, AgentTimeout, 408, nil, true},
		{"no wait beyond the deadline", 3, 20 * time.Second, 0.5, 0, []answer{status(500), status(502), good}, AgentError, 502, []time.Duration{20 * time.Second}, true},
		{"inside the deadline in all", 5, time.Second, 0.5, 3 * time.Second, []answer{status(500), {after: time.Hour}}, AgentTimeout, 408, []time.Duration{time.Second}, true},
		{"an endless wait", 3, 1 << 62, 0.5, 0, []answer{status(500), good}, AgentError, 500, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p, r := newScene()
				s.limits.MaxRetries, s.limits.Backoff, s.limits.Timeout, s.jitter, s.answers = tt.most, tt.backoff, tt.timeout, tt.jitter, tt.answers
				began := time.Now()
				got, err := s.call(t.Context(), p, r, false)
				if err != nil || got.Code != tt.code || got.Status != tt.status || got.Latency.Round(time.Millisecond) != time.Since(began).Round(time.Millisecond) {
					t.Errorf("got %+v, %v after %v, want %d %s", got, err, time.Since(began), tt.status, tt.code)
				}
				var waits []time.Duration
				for i := 1; i < len(s.at); i++ {
					waits = append(waits, s.at[i].Sub(s.at[i-1])-s.answers[min(i, len(s.answers))-1].after)
					if s.sent[i].ID != s.sent[0].ID || s.sent[i].ID != got.Invocation {
						t.Errorf("ids %s and %s", s.sent[i].ID, s.sent[0].ID)
					}
				}
				if !slices.Equal(waits, tt.waits) {
					t.Errorf("got waits %v, want %v", waits, tt.waits)
				}
				if len(s.opened) != 1 || len(s.closed) != 1 || s.closed[0].Reached != tt.reached {
					t.Errorf("closed %+v", s.closed)
				}
				if most := 25 * time.Second; time.Since(began) > most {
					t.Errorf("it took %v", time.Since(began))
				}
			})
		})
	}
}

func TestDeadlines(t *testing.T) {
	for _, tt := range []struct {
		name            string
		broker, limit   time.Duration
		stream, streams bool
		want            time.Duration
	}{
		{"of the broker", 0, 0, false, false, 25 * time.Second},
		{"as configured", 7 * time.Second, 0, false, false, 7 * time.Second},
		{"of the integration", 0, 3 * time.Second, false, false, 3 * time.Second},
		{"not beyond the operator's", 2 * time.Second, 3 * time.Second, false, false, 2 * time.Second},
		{"of an agent that does not stream", 0, 3 * time.Second, true, false, 3 * time.Second},
		{"of a streaming agent that is invoked", 0, 0, false, true, 25 * time.Second},
		{"of a stream", 2 * time.Second, 3 * time.Second, true, true, 300 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, p, r := newScene()
			s.timeout, s.limits.Timeout, s.agent.Streaming = tt.broker, tt.limit, tt.streams
			if _, err := s.call(t.Context(), p, r, tt.stream); err != nil || s.bounds[0] != tt.want {
				t.Errorf("%s: got %v, %v, want %v", tt.name, s.bounds, err, tt.want)
			}
		})
	}
}

func TestAnInvocationGoesOnWhenItsCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, r := newScene()
		s.answers[0].after = 5 * time.Second
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if got, err := s.call(ctx, p, r, false); err != nil || !got.Success || !s.closed[0].Log.Success || s.closed[0].Message == "" {
			t.Errorf("got %+v, %v, %+v", got, err, s.closed)
		}
	})
}

func TestAStreamEndsWhenItsCallerLeaves(t *testing.T) {
	for name, full := range map[string]int{"the connection ended": 0, "a write failed": 1} {
		for _, streams := range []bool{true, false} {
			if full > 0 && !streams {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				s, p, r := newScene()
				s.agent.Streaming = streams
				s.answers = []answer{{reply: Reply{Status: 200}, after: 10 * time.Second}}
				if streams {
					s.answers[0].chunks = []string{"1", "2"}
				}
				ctx, leave := context.WithTimeout(t.Context(), time.Minute)
				defer leave()
				if full == 0 {
					time.AfterFunc(time.Second, leave)
				}
				streaming, err := s.service().Stream(ctx, p, r)
				if err != nil {
					t.Fatal(err)
				}
				out := &heard{full: full}
				began := time.Now()
				err = streaming.Run(ctx, out)
				if !errors.Is(err, errLeft) || time.Since(began) > time.Second || slices.Contains(out.events, "done") {
					t.Errorf("%s: got %v after %v, %v", name, err, time.Since(began), out.events)
				}
				if len(s.closed) != 1 || s.closed[0].Log.Code != Cancelled || s.closed[0].Log.Refused || s.closed[0].Reached || s.closed[0].Log.Conversation == "" || s.closed[0].Message != "" {
					t.Errorf("%s: closed %+v", name, s.closed)
				}
			})
		}
	}
}

func TestStreamEvents(t *testing.T) {
	said := Reply{Status: 200, Text: "ab", Body: []byte(`{"text":"ab"}`)}
	for _, tt := range []struct {
		name    string
		streams bool
		hosted  bool
		dialect string
		answers []answer
		retries int
		events  string
		content string
		sent    int
	}{
		{"chunks", true, false, "", []answer{{reply: said, chunks: []string{`"a"`, `"b"`}}}, 0, `"a" "b" done`, "ab", 1},
		{"chunks without text", true, false, "", []answer{{reply: Reply{Status: 200}, chunks: []string{"1"}}}, 0, "1 done", "", 1},
		{"a failure after chunks", true, false, "", []answer{{err: ErrUnreachable, chunks: []string{"1"}}}, 3, "1 error agent_unreachable done", "", 1},
		{"a failure before chunks is tried again", true, false, "", []answer{{reply: Reply{Status: 500}}, {reply: said, chunks: []string{"1"}}}, 3, "1 done", "ab", 2},
		{"a refusal by status", true, false, "", []answer{{reply: Reply{Status: 404}}}, 0, "error agent_error done", "", 1},
		{"an agent that does not stream", false, false, "", []answer{{reply: said}}, 0, `result {"text":"ab"} done`, "ab", 1},
		{"its failure", false, false, "", []answer{{err: ErrTooLarge}}, 0, "error agent_response_too_large done", "", 1},
		{"an imported agent that streams", true, false, "1.0", []answer{{reply: said}}, 0, `result {"text":"ab"} done`, "ab", 1},
		{"a hosted entity that streams", true, true, "", []answer{{reply: said}}, 0, `result {"text":"ab"} done`, "ab", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, p, r := newScene()
			s.agent.Streaming, s.agent.Dialect, s.answers, s.limits.MaxRetries = tt.streams, tt.dialect, tt.answers, tt.retries
			if entity := "aria"; tt.hosted {
				s.agent.HostedEntity, s.agent.Endpoint, s.agent.Credential = &entity, nil, nil
			}
			streaming, err := s.service().Stream(t.Context(), p, r)
			if err != nil {
				t.Fatal(err)
			}
			out := &heard{}
			if err := streaming.Run(t.Context(), out); err != nil || strings.Join(out.events, " ") != tt.events {
				t.Errorf("%s: got %q, %v, want %q", tt.name, out.events, err, tt.events)
			}
			if e := s.closed[0]; e.Log.Kind != KindStream || e.Content != tt.content || (e.Message != "") != (tt.content != "") || out.done.Invocation != e.Log.ID ||
				out.done.Conversation != "conversation" || len(s.sent) != tt.sent {
				t.Errorf("%s: closed %+v, done %+v", tt.name, e, out.done)
			}
		})
	}
}

func TestAHostedEntityNeedsNoAddressAndNoCredential(t *testing.T) {
	s, p, r := newScene()
	entity := "aria"
	s.agent.HostedEntity, s.agent.Endpoint, s.agent.Credential, s.unsafe = &entity, nil, nil, true
	if got, err := s.call(t.Context(), p, r, false); err != nil || !got.Success {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTargetsAreChosenByTheAgent(t *testing.T) {
	entity := "aria"
	s, _, _ := newScene()
	service := s.service()
	for _, tt := range []struct {
		agent registry.Agent
		want  Target
	}{
		{registry.Agent{Streaming: true}, s},
		{registry.Agent{Dialect: "0.3"}, service.config.A2A},
		{registry.Agent{Dialect: "1.0", HostedEntity: &entity}, service.config.Hosted},
		{registry.Agent{HostedEntity: &entity}, service.config.Hosted},
	} {
		if got := service.target(&attempt{agent: &registry.Callee{Agent: tt.agent}}, false); got != tt.want {
			t.Errorf("%+v: got %+v, want %+v", tt.agent, got, tt.want)
		}
	}
}

func TestABrokenStoreIsAnErrorAndNoResult(t *testing.T) {
	for _, method := range []string{"Callee", "Thread", "Limits", "Open", "Close"} {
		for _, stream := range []bool{false, true} {
			s, p, r := newScene()
			s.broken = method
			got, err := s.call(t.Context(), p, r, stream)
			if !errors.Is(err, errStore) || fault.As(err) != nil || got.Code != "" || got.Success {
				t.Errorf("%s, stream %v: got %+v, %v", method, stream, got, err)
			}
			if (method == "Close") != (len(s.sent) == 1) {
				t.Errorf("%s: the agent was called %d times", method, len(s.sent))
			}
		}
	}
}

func TestTheOwnerOfAnAgentSeesNeitherWhoAskedNorWhatWasSaid(t *testing.T) {
	row := Log{ID: "id", Kind: KindInvoke, Caller: "bob", Actor: principal.Actor{Type: "user", ID: "bob"}, Agent: "agent", AgentOwner: "ada", Slug: "slug", Name: "name",
		Success: true, Status: 200, LatencyMS: 7, Integration: "i", Conversation: "c", Message: "m", Request: []byte("{}"), Response: []byte("{}"), RequestID: "r", At: time.Unix(1, 0)}
	mine := row
	mine.Caller = "ada"
	service := New(Config{Store: rows{&scene{}, []Log{row, mine}}})
	got, err := service.Logs(t.Context(), principal.Principal{User: "ada"}, LogQuery{})
	if err != nil || fmt.Sprint(got[1]) != fmt.Sprint(mine) {
		t.Errorf("got %+v, %v", got, err)
	}
	want := Log{ID: "id", Kind: KindInvoke, Agent: "agent", AgentOwner: "ada", Slug: "slug", Name: "name", Success: true, Status: 200, LatencyMS: 7, RequestID: "r", At: time.Unix(1, 0)}
	if fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
}

// rows is a store with a log.
type rows struct {
	*scene
	list []Log
}

func (r rows) Logs(context.Context, id.User, LogQuery) ([]Log, error) {
	return slices.Clone(r.list), nil
}

func TestACallThatIsCutOffIsAnsweredAndRecorded(t *testing.T) {
	for _, stream := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, p, r := newScene()
			s.answers = []answer{{after: time.Hour}}
			service := s.service()
			call := func() (Result, error) {
				if !stream {
					return service.Invoke(t.Context(), p, r)
				}
				streaming, err := service.Stream(t.Context(), p, r)
				if err != nil {
					return Result{}, err
				}
				out := &heard{}
				err = streaming.Run(t.Context(), out)
				return out.done, err
			}
			time.AfterFunc(2*time.Second, service.Cut)
			for i, want := range []time.Duration{2 * time.Second, 0} { // the second begins after the cut
				began := clock.System()
				got, err := call()
				if err != nil || got.Code != AgentTimeout || got.Status != 408 || got.Conversation == "" || clock.System().Sub(began) != want {
					t.Errorf("stream %t, call %d: got %+v, %v after %s", stream, i, got, err, clock.System().Sub(began))
				}
				if e := s.closed[i]; e.Log.Code != AgentTimeout || e.Reached || e.Undo != nil {
					t.Errorf("stream %t, call %d: closed %+v", stream, i, e)
				}
			}
		})
	}
}

func TestOneThatFindsNoSlotInTimeIsATimeoutOfTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, r := newScene()
		service := s.service()
		for range mostAtOnce {
			if _, ok := service.slots.Take(t.Context(), s.agent.ID); !ok {
				t.Fatal("no slot")
			}
		}
		got, err := service.Invoke(t.Context(), p, r)
		if err != nil || got.Code != AgentTimeout || got.Latency != defaultTimeout || len(s.sent) != 0 || s.closed[0].Reached {
			t.Errorf("got %+v, %v, sent %v", got, err, s.sent)
		}
	})
}
