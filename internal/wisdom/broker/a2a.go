package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/id"
)

const (
	// pollEvery is the wait before each look at a task that is not done (contract §8.4).
	pollEvery = time.Second
	// maxContextID is the longest contextId that is kept, in bytes. The protocol sets no
	// bound; servers use UUIDs.
	maxContextID = 512
)

// A2A sends calls to agents that were imported from an A2A card, in the generation of
// the protocol that the card named (contract §8.4). Nothing is streamed: an answer comes
// as a whole.
type A2A struct{ sender Sender }

var _ Target = A2A{}

// NewA2A returns the target.
func NewA2A(sender Sender) A2A { return A2A{sender} }

// Send implements Target. An agent that answers with a task that is under way is asked
// again every second until ctx ends. A reply of status 200 has the object of contract
// §8.4 for its body; one of another status, or one that is not JSON, what the agent sent.
func (t A2A) Send(ctx context.Context, c Call, _ func([]byte) error) (Reply, error) {
	g := generationOf(c.Agent.Dialect)
	params, err := g.message(c)
	if err != nil {
		return Reply{}, fmt.Errorf("write an A2A message: %w", err)
	}
	result, other, err := t.ask(ctx, c, g, g.send, params)
	if result == nil {
		return other, err
	}
	said, err := g.answer(result)
	for err == nil && said.underWay() {
		if err := rest(ctx, pollEvery); err != nil {
			return Reply{}, err
		}
		result, other, err = t.ask(ctx, c, g, g.get, taskParams(said.task))
		if result == nil {
			return other, err
		}
		said, err = g.polled(result, said.task)
	}
	if err != nil {
		return Reply{}, fmt.Errorf("%w: %w", ErrA2A, err)
	}
	return said.reply()
}

// rest waits for d, or until ctx ends: then it is the error that ends the call.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrDeadline
	}
	return fmt.Errorf("wait for an A2A task: %w", ctx.Err())
}

type rpcRequest struct {
	Version string         `json:"jsonrpc"`
	ID      id.Invocation  `json:"id"`
	Method  string         `json:"method"`
	Params  jsontext.Value `json:"params"`
}

type rpcAnswer struct {
	Version string         `json:"jsonrpc"`
	ID      jsontext.Value `json:"id"`
	Result  jsontext.Value `json:"result"`
	Error   jsontext.Value `json:"error"`
}

// ask runs one method of the agent. result is nil if there is none: then other is the
// reply to the whole call, or err ends it.
func (t A2A) ask(ctx context.Context, c Call, g generation, method string, params []byte) (result []byte, other Reply, err error) {
	body, err := jsonv2.Marshal(rpcRequest{rpcVersion, c.ID, method, params})
	if err != nil {
		return nil, Reply{}, fmt.Errorf("write an A2A request: %w", err)
	}
	status, text, err := t.sender.Send(ctx, Outgoing{URL: endpoint(c), Header: g.header(c, method), Body: body, MaxBody: maxAnswer})
	if err != nil {
		return nil, Reply{}, fmt.Errorf("ask an A2A agent: %w", err)
	}
	if status < 200 || status > 299 {
		return nil, Reply{Status: status, Body: text}, nil
	}
	if _, err := compact(text); err != nil && len(text) > 0 {
		return nil, Reply{Status: status, Body: text}, nil // agent_invalid_json
	}
	var a rpcAnswer
	if err := jsonv2.Unmarshal(text, &a); err != nil {
		return nil, Reply{}, fmt.Errorf("%w: read a JSON-RPC answer: %w", ErrA2A, err)
	}
	switch {
	case len(a.Error) > 0 && a.Error.Kind() != 'n':
		return nil, Reply{}, fmt.Errorf("%w: error of JSON-RPC", ErrA2A)
	case a.Version != rpcVersion || string(a.ID) != `"`+string(c.ID)+`"` || a.Result.Kind() != '{':
		return nil, Reply{}, fmt.Errorf("%w: not the answer to this JSON-RPC request", ErrA2A)
	}
	return a.Result, Reply{}, nil
}

const rpcVersion = "2.0"

// generation is how one version of the protocol says the same things.
type generation struct {
	version   string // what A2A-Version says; "": it is not sent
	send, get string // methods
	kinds     bool   // messages, tasks and parts have a member kind
	role      string
}

func generationOf(dialect string) generation {
	if strings.HasPrefix(dialect, "1.") {
		return generation{version: "1.0", send: "SendMessage", get: "GetTask", role: "ROLE_USER"}
	}
	return generation{send: "message/send", get: "tasks/get", kinds: true, role: "user"}
}

// header is that of every call. A second look at a task must not be answered with what
// the first was, so it has no key for that.
func (g generation) header(c Call, method string) map[string]string {
	header := c.Header("application/json")
	if g.version != "" {
		header["A2A-Version"] = g.version
	}
	if method == g.get && header["Idempotency-Key"] == string(c.ID) {
		delete(header, "Idempotency-Key")
	}
	return header
}

func taskParams(task string) []byte {
	text, _ := jsonv2.Marshal(map[string]string{"id": task}) // it was a JSON string before
	return text
}

type a2aParams struct {
	Message       a2aMessage `json:"message"`
	Configuration struct {
		Blocking *bool    `json:"blocking,omitempty"` // of 0.3; 1.0 waits unless told otherwise
		Modes    []string `json:"acceptedOutputModes"`
	} `json:"configuration"`
}

// a2aMessage is a message of either generation, as it is sent.
type a2aMessage struct {
	Kind     string            `json:"kind,omitempty"`
	ID       string            `json:"messageId"`
	Role     string            `json:"role"`
	Parts    []a2aPart         `json:"parts"`
	Context  string            `json:"contextId,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

type a2aPart struct {
	Kind string         `json:"kind,omitempty"`
	Text *string        `json:"text,omitzero"`
	Data jsontext.Value `json:"data,omitzero"`
}

// message returns the params of a call. The message has the id of the invocation, so
// that an agent can tell a second attempt from a second message.
func (g generation) message(c Call) ([]byte, error) {
	var members map[string]jsontext.Value
	if err := jsonv2.Unmarshal(c.Input, &members); err != nil {
		return nil, err
	}
	said := Text(c.Input)
	for _, name := range spoken {
		var text string
		if jsonv2.Unmarshal(members[name], &text) == nil && notBlank(text) {
			delete(members, name) // this is what is said
			break
		}
	}
	p := a2aParams{Message: a2aMessage{ID: string(c.ID), Role: g.role, Context: c.Context}}
	p.Configuration.Modes = []string{"text/plain", "application/json"}
	var skill string
	if jsonv2.Unmarshal(members["skill"], &skill) == nil && skill != "" {
		p.Message.Metadata = map[string]string{"skill": skill}
		delete(members, "skill")
	}
	p.Message.Parts = []a2aPart{{Text: &said}}
	if len(members) > 0 {
		p.Message.Parts = append(p.Message.Parts, a2aPart{Data: c.Input})
	}
	if g.kinds {
		blocking := true
		p.Configuration.Blocking, p.Message.Kind = &blocking, "message"
		for i, kind := range []string{"text", "data"}[:len(p.Message.Parts)] {
			p.Message.Parts[i].Kind = kind
		}
	}
	return jsonv2.Marshal(p)
}

// told is what an agent answered: a message, or a task as it is now.
type told struct {
	parts         []jsontext.Value
	content       string
	task, context string // "": none
	state         string // lower-case kebab
}

// States of a task that end the waiting, and the state of a message, which is an answer
// already.
const (
	stateCompleted     = "completed"
	stateInputRequired = "input-required"
	stateAuthRequired  = "auth-required"
	stateFailed        = "failed"
	stateRejected      = "rejected"
	stateCanceled      = "canceled"
)

// underWay tells whether the task has to be looked at again.
func (s told) underWay() bool {
	switch s.state {
	case stateCompleted, stateInputRequired, stateAuthRequired, stateFailed, stateRejected, stateCanceled:
		return false
	}
	return true
}

type a2aTask struct {
	ID      string `json:"id"`
	Context string `json:"contextId"`
	Status  struct {
		State   string    `json:"state"`
		Message *received `json:"message"`
	} `json:"status"`
	Artifacts []struct {
		Parts []jsontext.Value `json:"parts"`
	} `json:"artifacts"`
}

// received is what of a message is read. The metadata may be of any shape.
type received struct {
	Parts   []jsontext.Value `json:"parts"`
	Context string           `json:"contextId"`
	Task    string           `json:"taskId"`
}

var errNeither = errors.New("neither a message nor a task")

// answer reads the result of a message: of 0.3 a task or a message by its kind, of 1.0
// one of two members.
func (g generation) answer(result []byte) (told, error) {
	var r struct {
		Kind    string         `json:"kind"`
		Task    jsontext.Value `json:"task"`
		Message jsontext.Value `json:"message"`
	}
	if err := jsonv2.Unmarshal(result, &r); err != nil {
		return told{}, err
	}
	switch {
	case g.kinds && r.Kind == "task":
		return g.task(result)
	case g.kinds && r.Kind == "message":
		return g.said(result)
	case !g.kinds && r.Task.Kind() == '{' && r.Message == nil:
		return g.task(r.Task)
	case !g.kinds && r.Message.Kind() == '{' && r.Task == nil:
		return g.said(r.Message)
	}
	return told{}, errNeither
}

// polled reads the result of another look at a task.
func (g generation) polled(result []byte, task string) (told, error) {
	s, err := g.task(result)
	if err == nil && s.task != task {
		err = errors.New("another task than the one that was asked for")
	}
	return s, err
}

func (g generation) said(text []byte) (told, error) {
	var m received
	if err := jsonv2.Unmarshal(text, &m); err != nil {
		return told{}, err
	}
	return g.join(told{parts: m.Parts, task: m.Task, context: m.Context, state: stateCompleted})
}

// task reads a task. What it says is in its artifacts; without any, and while it waits
// for somebody, in the message of its status.
func (g generation) task(text []byte) (told, error) {
	var t a2aTask
	if err := jsonv2.Unmarshal(text, &t); err != nil {
		return told{}, err
	}
	if t.ID == "" {
		return told{}, errors.New("a task without an id")
	}
	s := told{task: t.ID, context: t.Context}
	s.state = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(t.Status.State, "TASK_STATE_")), "_", "-")
	if s.underWay() {
		return s, nil
	}
	for _, a := range t.Artifacts {
		s.parts = append(s.parts, a.Parts...)
	}
	waits := s.state == stateInputRequired || s.state == stateAuthRequired
	if t.Status.Message != nil && (len(s.parts) == 0 || waits) {
		s.parts = append(s.parts, t.Status.Message.Parts...)
	}
	return g.join(s)
}

// join sets the content: the texts among the parts, one a line.
func (g generation) join(s told) (told, error) {
	var texts []string
	for _, raw := range s.parts {
		if raw.Kind() != '{' {
			return told{}, errors.New("a part that is no object")
		}
		var p a2aPart
		if err := jsonv2.Unmarshal(raw, &p); err != nil {
			return told{}, err
		}
		if p.Text != nil && (!g.kinds || p.Kind == "text") {
			texts = append(texts, *p.Text)
		}
	}
	s.content = strings.Join(texts, "\n")
	return s, nil
}

// reply is what the caller gets of it, unless the task went wrong.
func (s told) reply() (Reply, error) {
	switch s.state {
	case stateFailed, stateRejected, stateCanceled:
		return Reply{}, fmt.Errorf("%w: the task is %s", ErrA2A, s.state)
	}
	body, err := jsonv2.Marshal(struct {
		Content string           `json:"content"`
		Parts   []jsontext.Value `json:"parts"`
		Task    *string          `json:"task_id"`
		Context *string          `json:"context_id"`
		State   string           `json:"state"`
	}{s.content, s.parts, orNil(s.task), orNil(s.context), s.state})
	if err != nil {
		return Reply{}, fmt.Errorf("write what an A2A agent said: %w", err)
	}
	return Reply{Status: 200, Body: body, Context: keptContext(s.context)}, nil
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// keptContext is the contextId to be sent next time: none if it cannot be an id.
func keptContext(s string) string {
	if len(s) > maxContextID || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}
