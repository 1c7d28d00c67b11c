package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	legacy "github.com/a2aproject/a2a-go/a2a"
	legacysrv "github.com/a2aproject/a2a-go/a2asrv"
	"github.com/a2aproject/a2a-go/a2asrv/eventqueue"
	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	"github.com/a2aproject/a2a-go/v2/a2asrv"

	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
)

// plainSender sends without any rule.
type plainSender struct{ client *http.Client }

func (s plainSender) Send(ctx context.Context, o broker.Outgoing) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL, bytes.NewReader(o.Body))
	if err != nil {
		return 0, nil, err
	}
	for name, value := range o.Header {
		r.Header.Set(name, value)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

func (plainSender) Stream(context.Context, broker.Outgoing, func([]byte) error) (int, []byte, error) {
	return 0, nil, errors.New("an A2A agent is not streamed")
}

// skilled is an agent of the official module of 1.0. What it does is the skill.
type skilled struct{}

func (skilled) Execute(_ context.Context, e *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		heard := a2a.NewTextPart("heard " + e.Message.Parts[0].Text())
		if len(e.Message.Parts) > 1 {
			heard = a2a.NewDataPart(e.Message.Parts[1].Data())
		}
		status := func(state a2a.TaskState, parts ...*a2a.Part) bool {
			return yield(a2a.NewStatusUpdateEvent(e, state, a2a.NewMessageForTask(a2a.MessageRoleAgent, e, parts...)), nil)
		}
		switch e.Message.Metadata["skill"] {
		case nil:
			m := a2a.NewMessage(a2a.MessageRoleAgent, heard)
			m.ContextID = e.ContextID
			yield(m, nil)
		case "slow":
			if !yield(a2a.NewSubmittedTask(e, e.Message), nil) || !status(a2a.TaskStateWorking) {
				return
			}
			time.Sleep(300 * time.Millisecond)
			if yield(a2a.NewArtifactEvent(e, heard), nil) {
				status(a2a.TaskStateCompleted)
			}
		case "ask":
			if yield(a2a.NewSubmittedTask(e, e.Message), nil) {
				status(a2a.TaskStateInputRequired, a2a.NewTextPart("Which city?"))
			}
		case "fail":
			if yield(a2a.NewSubmittedTask(e, e.Message), nil) {
				status(a2a.TaskStateFailed, a2a.NewTextPart("no"))
			}
		default:
			yield(nil, errors.New("unknown skill"))
		}
	}
}

func (skilled) Cancel(context.Context, *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(func(a2a.Event, error) bool) {}
}

// skilled03 is the same agent of the official module of 0.3.
type skilled03 struct{}

func (skilled03) Execute(ctx context.Context, e *legacysrv.RequestContext, queue eventqueue.Queue) error {
	first, _ := e.Message.Parts[0].(legacy.TextPart)
	var heard legacy.Part = legacy.TextPart{Text: "heard " + first.Text}
	if len(e.Message.Parts) > 1 {
		heard = e.Message.Parts[1]
	}
	status := func(state legacy.TaskState, final bool, parts ...legacy.Part) error {
		event := legacy.NewStatusUpdateEvent(e, state, legacy.NewMessageForTask(legacy.MessageRoleAgent, e, parts...))
		event.Final = final
		return queue.Write(ctx, event)
	}
	submitted := func() error { return queue.Write(ctx, legacy.NewSubmittedTask(e, e.Message)) }
	switch e.Message.Metadata["skill"] {
	case nil:
		m := legacy.NewMessage(legacy.MessageRoleAgent, heard)
		m.ContextID = e.ContextID
		return queue.Write(ctx, m)
	case "slow":
		err := errors.Join(submitted(), status(legacy.TaskStateWorking, false))
		time.Sleep(300 * time.Millisecond)
		return errors.Join(err, queue.Write(ctx, legacy.NewArtifactEvent(e, heard)), status(legacy.TaskStateCompleted, true))
	case "ask":
		return errors.Join(submitted(), status(legacy.TaskStateInputRequired, true, legacy.TextPart{Text: "Which city?"}))
	case "fail":
		return errors.Join(submitted(), status(legacy.TaskStateFailed, true, legacy.TextPart{Text: "no"}))
	}
	return errors.New("unknown skill")
}

func (skilled03) Cancel(context.Context, *legacysrv.RequestContext, eventqueue.Queue) error {
	return nil
}

// impatient makes a server answer with a task that is not done yet, as servers may.
func impatient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := strings.Replace(string(body), `"blocking":true`, `"blocking":false`, 1)
		if text == string(body) {
			text = strings.Replace(text, `"configuration":{`, `"configuration":{"returnImmediately":true,`, 1)
		}
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		next.ServeHTTP(w, r)
	})
}

func TestTheOfficialServersAnswerTheBroker(t *testing.T) {
	v1 := a2asrv.NewHandler(skilled{})
	for name, c := range map[string]struct {
		dialect string
		handler http.Handler
	}{
		"1.0":                      {"1.0", a2asrv.NewJSONRPCHandler(v1)},
		"0.3 by the module of 1.0": {"0.3", a2av0.NewJSONRPCHandler(v1)},
		"0.3":                      {"0.3", legacysrv.NewJSONRPCHandler(legacysrv.NewHandler(skilled03{}))},
	} {
		for wrapping, handler := range map[string]http.Handler{"": c.handler, ", polled": impatient(c.handler)} {
			server := httptest.NewServer(handler)
			defer server.Close()
			o := officialServer{t, name + wrapping, c.dialect, server}
			o.check()
		}
	}
}

type officialServer struct {
	t             *testing.T
	name, dialect string
	server        *httptest.Server
}

type saidByA2A struct {
	Content   string
	Parts     []map[string]any
	TaskID    *string `json:"task_id"`
	ContextID *string `json:"context_id"`
	State     string
}

func (o officialServer) ask(input, contextID string) (saidByA2A, broker.Reply, error) {
	o.t.Helper()
	call := callOf(o.dialect, input)
	call.Agent.Endpoint, call.Context = &o.server.URL, contextID
	reply, err := broker.NewA2A(plainSender{o.server.Client()}).Send(o.t.Context(), call, nil)
	var said saidByA2A
	if err == nil {
		err = json.Unmarshal(reply.Body, &said)
	}
	return said, reply, err
}

func (o officialServer) check() {
	o.t.Helper()
	said, reply, err := o.ask(`{"message":"hi"}`, "")
	if err != nil || said.Content != "heard hi" || said.State != "completed" || len(said.Parts) != 1 || reply.Context == "" || *said.ContextID != reply.Context {
		o.t.Errorf("%s: a message: %+v, %v", o.name, said, err)
	}
	again, next, err := o.ask(`{"message":"hi"}`, reply.Context)
	if err != nil || again.Content != "heard hi" || next.Context != reply.Context {
		o.t.Errorf("%s: in the same context: %+v (%q), %v, want %q", o.name, again, next.Context, err, reply.Context)
	}
	data, _, err := o.ask(`{"message":"hi","city":"Rome"}`, "")
	if err != nil || data.Content != "" || fmt.Sprint(data.Parts[0]["data"]) != fmt.Sprint(map[string]any{"message": "hi", "city": "Rome"}) {
		o.t.Errorf("%s: data: %+v, %v", o.name, data, err)
	}
	slow, _, err := o.ask(`{"message":"hi","skill":"slow"}`, "")
	if err != nil || slow.Content != "heard hi" || slow.State != "completed" || slow.TaskID == nil || slow.ContextID == nil {
		o.t.Errorf("%s: a slow task: %+v, %v", o.name, slow, err)
	}
	asked, _, err := o.ask(`{"message":"hi","skill":"ask"}`, "")
	if err != nil || asked.Content != "Which city?" || asked.State != "input-required" {
		o.t.Errorf("%s: a question: %+v, %v", o.name, asked, err)
	}
	for _, skill := range []string{"fail", "of its own"} {
		if said, _, err := o.ask(`{"message":"hi","skill":"`+skill+`"}`, ""); !errors.Is(err, broker.ErrA2A) {
			o.t.Errorf("%s: skill %s: %+v, %v, want ErrA2A", o.name, skill, said, err)
		}
	}
}
