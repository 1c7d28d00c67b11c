package a2a

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	spec03 "github.com/a2aproject/a2a-go/a2a"
	spec "github.com/a2aproject/a2a-go/v2/a2a"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Codes of JSON-RPC 2.0 §5.1. CodeServer is of the range for servers: a refusal that
// the others do not describe.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeUnknownMethod  = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
	CodeServer         = -32000
)

// Broker runs an invocation: the pipeline of contract §5.2.
type Broker interface {
	// Invoke calls the agent with input, a JSON object. An error is a refusal of the
	// request itself; a call that failed is an Outcome.
	Invoke(ctx context.Context, p principal.Principal, slug string, input []byte) (Outcome, error)
}

// Outcome is what an agent answered, or why there is no answer.
type Outcome struct {
	Text   string // of the answer; may be empty
	Data   []byte // the answer, a JSON object; nil: there is nothing but Text
	Failed string // not empty: the call failed, and this is the text to tell
}

// Call is a JSON-RPC request to one of our agents.
type Call struct {
	Method string
	Params []byte // JSON; nil if absent
}

// Error is the error of a JSON-RPC answer.
type Error struct {
	Code    int
	Message string
}

// Answer is a JSON-RPC answer: Result, or Err.
type Answer struct {
	Result []byte // JSON
	Err    *Error
}

// generation is how one version of the protocol says the same things.
type generation struct {
	// read returns the parts of the message in params.
	read func(params []byte) ([]part, error)
	// write makes the result from an agent's message.
	write func(o Outcome) (any, error)
}

// part is one part of a message. Files are neither.
type part struct {
	text *string
	data []byte // JSON
}

// methods that send a message, by the generation they are of.
var methods = map[string]generation{
	"message/send": {read03, write03},
	"SendMessage":  {read10, write10},
}

// Answer runs a call to the agent with that slug. Params that do not fit, and agents
// that p may not see or that are not active, are faults; what happens later is an
// Answer (contract §8.5). Without a broker that is CodeInternal, as for every call that
// fails: the method exists, and a client need not learn another code later.
func (s *Service) Answer(ctx context.Context, p principal.Principal, slug string, c Call) (Answer, error) {
	g, known := methods[c.Method]
	var input []byte
	if known {
		var err error
		if input, err = inputOf(g, c.Params); err != nil {
			return Answer{}, err
		}
	}
	a, err := s.c.Registry.Agent(ctx, p, slug)
	if err == nil && !a.Active {
		err = fault.Missing("Agent")
	}
	if err != nil {
		return Answer{}, fmt.Errorf("answer a message: %w", err)
	}
	switch {
	case !known:
		return Answer{Err: &Error{CodeUnknownMethod, "only message/send and SendMessage are served here"}}, nil
	case s.c.Broker == nil:
		return Answer{Err: &Error{CodeInternal, "agents cannot be invoked here yet"}}, nil
	}
	o, err := s.c.Broker.Invoke(ctx, p, slug, input)
	if err != nil {
		return Answer{}, err
	}
	if o.Failed != "" {
		return Answer{Err: &Error{CodeInternal, o.Failed}}, nil
	}
	result, err := g.write(o)
	if err != nil {
		return Answer{}, fmt.Errorf("write an A2A message: %w", err)
	}
	text, err := json.Marshal(result)
	if err != nil {
		return Answer{}, fmt.Errorf("write an A2A message: %w", err)
	}
	return Answer{Result: text}, nil
}

// badParams is a 400 whose body has the JSON-RPC code for it.
func badParams(format string, args ...any) *fault.Error {
	f := fault.New(fault.BadRequest, "bad_request", format, args...)
	return f.With("error", map[string]any{"code": CodeInvalidParams, "message": f.Detail})
}

// inputOf is what an agent is invoked with: the text parts of the message, or the one
// data part in their place.
func inputOf(g generation, params []byte) ([]byte, error) {
	if !isObject(params) {
		return nil, badParams("params must be a JSON object")
	}
	parts, err := g.read(params)
	if err != nil {
		return nil, badParams("params must have a message with parts, as the A2A protocol describes it").Because(err)
	}
	var texts []string
	var data [][]byte
	for _, p := range parts {
		switch {
		case p.text != nil:
			texts = append(texts, *p.text)
		case p.data != nil:
			data = append(data, p.data)
		default:
			return nil, badParams("a part of the message is a file: only text and data are accepted")
		}
	}
	switch {
	case len(data) > 1:
		return nil, badParams("the message has %d data parts: at most one is accepted", len(data))
	case len(data) == 1 && !isObject(data[0]):
		return nil, badParams("the data part of the message must be a JSON object")
	case len(data) == 1:
		return data[0], nil
	}
	text := strings.Join(texts, "\n")
	if strings.TrimSpace(text) == "" {
		return nil, badParams("the message has no text and no data part")
	}
	input, err := jsonv2.Marshal(map[string]string{"message": text})
	if err != nil {
		return nil, badParams("the text of the message is not valid UTF-8").Because(err)
	}
	return input, nil
}

func isObject(text []byte) bool {
	return jsontext.Value(bytes.TrimLeft(text, " \t\r\n")).Kind() == '{'
}

// message is what is read of the params of both generations. The modules' types would
// take names in any case and round numbers.
type message struct {
	Message *struct {
		Parts []*struct {
			Kind string          `json:"kind"` // of 0.3
			Text *string         `json:"text"`
			Data *jsontext.Value `json:"data"`
		} `json:"parts"`
	} `json:"message"`
}

func readMessage(params []byte, read func(kind string, text *string, data *jsontext.Value) (part, error)) ([]part, error) {
	var in message
	if err := jsonv2.Unmarshal(params, &in); err != nil {
		return nil, err
	}
	if in.Message == nil {
		return nil, errors.New("no message")
	}
	parts := make([]part, len(in.Message.Parts))
	for i, p := range in.Message.Parts {
		if p == nil {
			return nil, fmt.Errorf("part %d is null", i)
		}
		var err error
		if parts[i], err = read(p.Kind, p.Text, p.Data); err != nil {
			return nil, fmt.Errorf("part %d: %w", i, err)
		}
	}
	return parts, nil
}

func read03(params []byte) ([]part, error) {
	return readMessage(params, func(kind string, text *string, data *jsontext.Value) (part, error) {
		switch {
		case kind == "text" && text != nil:
			return part{text: text}, nil
		case kind == "data" && data != nil:
			return part{data: *data}, nil
		case kind == "file":
			return part{}, nil
		}
		return part{}, errors.New("neither text nor data nor a file")
	})
}

func read10(params []byte) ([]part, error) {
	return readMessage(params, func(_ string, text *string, data *jsontext.Value) (part, error) {
		switch {
		case text != nil && data != nil:
			return part{}, errors.New("both text and data")
		case text != nil:
			return part{text: text}, nil
		case data != nil:
			return part{data: *data}, nil
		}
		return part{}, nil
	})
}

func write03(o Outcome) (any, error) {
	m := &spec03.Message{ID: id.New[string](), Role: spec03.MessageRoleAgent}
	if o.Text != "" {
		m.Parts = append(m.Parts, spec03.TextPart{Text: o.Text})
	}
	if o.Data != nil {
		data := map[string]any{}
		if err := decodeExactly(o.Data, &data); err != nil {
			return nil, err
		}
		m.Parts = append(m.Parts, spec03.DataPart{Data: data})
	}
	return m, nil
}

func write10(o Outcome) (any, error) {
	m := &spec.Message{ID: id.New[string](), Role: spec.MessageRoleAgent}
	if o.Text != "" {
		m.Parts = append(m.Parts, spec.NewTextPart(o.Text))
	}
	if o.Data != nil {
		m.Parts = append(m.Parts, spec.NewDataPart(json.RawMessage(o.Data)))
	}
	return spec.StreamResponse{Event: m}, nil
}

// decodeExactly reads JSON without rounding its numbers.
func decodeExactly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}
