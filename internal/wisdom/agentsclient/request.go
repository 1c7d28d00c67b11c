package agentsclient

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

// shape is what a success of a route looks like.
type shape uint8

const (
	wantNothing shape = iota // any 2xx; a body is not passed on
	wantObject               // a JSON object
	wantList                 // a JSON array of objects
	wantEvents               // an event stream
	wantFile                 // JSON of any size
)

// route is one row of the host's table (contract §9.1, 10.3).
type route struct {
	method string
	path   string // fixed, but for {name}, {key} and {message}
	want   shape
	slow   bool // may take as long as a chat turn
}

var routes = [...]route{
	personal.CreateEntity:   {http.MethodPost, "/entities", wantObject, false},
	personal.ListEntities:   {http.MethodGet, "/entities", wantList, false},
	personal.GetEntity:      {http.MethodGet, "/entities/{name}", wantObject, false},
	personal.PatchEntity:    {http.MethodPatch, "/entities/{name}", wantObject, false},
	personal.DeleteEntity:   {http.MethodDelete, "/entities/{name}", wantNothing, false},
	personal.PauseEntity:    {http.MethodPost, "/entities/{name}/pause", wantObject, false},
	personal.ResumeEntity:   {http.MethodPost, "/entities/{name}/resume", wantObject, false},
	personal.SendMessage:    {http.MethodPost, "/entities/{name}/chat", wantObject, true},
	personal.StreamMessage:  {http.MethodPost, "/entities/{name}/chat", wantEvents, true},
	personal.FollowMessage:  {http.MethodGet, "/entities/{name}/chat/{message}/events", wantEvents, true},
	personal.ListMessages:   {http.MethodGet, "/entities/{name}/chat", wantList, false},
	personal.ListMemories:   {http.MethodGet, "/entities/{name}/memories", wantList, false},
	personal.GetMemory:      {http.MethodGet, "/entities/{name}/memories/{key}", wantObject, false},
	personal.PutMemory:      {http.MethodPut, "/entities/{name}/memories/{key}", wantObject, false},
	personal.DeleteMemory:   {http.MethodDelete, "/entities/{name}/memories/{key}", wantNothing, false},
	personal.ForgetMemories: {http.MethodDelete, "/entities/{name}/memories", wantNothing, false},
	personal.ExportEntity:   {http.MethodGet, "/entities/{name}/export", wantFile, false},
}

// target builds path and query. The patterns are checked here once more, although
// the edge has done so: nothing that could mean another route may ever be sent.
func target(r *route, c *personal.Call) (string, error) {
	var t strings.Builder
	rest := r.path
	for rest != "" {
		fixed, after, found := strings.Cut(rest, "{")
		t.WriteString(fixed)
		if !found {
			break
		}
		param, tail, _ := strings.Cut(after, "}")
		value, ok := c.Name, false
		switch param {
		case "name":
			ok = personal.ValidName(value)
		case "key":
			value = c.Key
			ok = personal.ValidKey(value)
		case "message":
			var message id.Message
			message, ok = id.Parse[id.Message](string(c.Message))
			value = string(message)
		}
		if !ok {
			return "", fault.Missing("Entity").Because(fmt.Errorf("%w: the %s misses its pattern", personal.ErrNothingDone, param))
		}
		t.WriteString(value)
		rest = tail
	}
	writeQuery(&t, c)
	return t.String(), nil
}

func writeQuery(t *strings.Builder, c *personal.Call) {
	separator := byte('?')
	add := func(name, value string) {
		if value == "" {
			return
		}
		t.WriteByte(separator)
		t.WriteString(name)
		t.WriteByte('=')
		t.WriteString(url.QueryEscape(value))
		separator = '&'
	}
	if c.Limit > 0 {
		add("limit", strconv.Itoa(c.Limit))
	}
	add("before", string(c.Before))
	add("prefix", c.Prefix)
	add("after", c.After)
}

// writeRequest writes the one form that a request to the host has (contract §9.2). Every
// header of it is in this function; nothing comes from the client's request but
// values that were checked, and no value can hold a line break.
func (c *Client) writeRequest(w *bufio.Writer, r *route, target string, call *personal.Call) error {
	requestID := call.RequestID
	if !validRequestID(requestID) {
		requestID = id.New[string]()
	}
	accept := "application/json"
	if r.want == wantEvents {
		accept = "text/event-stream"
	}
	line := func(parts ...string) {
		for _, part := range parts {
			_, _ = w.WriteString(part) // the error of a bufio.Writer stays until Flush
		}
		_, _ = w.WriteString("\r\n")
	}
	line(r.method, " ", c.prefix, target, " HTTP/1.1")
	line("Host: ", c.host)
	line("User-Agent: intuno-wisdom")
	line("X-API-Key: ", c.key.Reveal())
	line("X-User-Id: ", string(call.User))
	line("Accept: ", accept)
	line("X-Request-ID: ", requestID)
	if call.Once != "" {
		line("Idempotency-Key: ", call.Once)
	}
	if call.Body != nil {
		line("Content-Type: application/json")
	}
	if call.Body != nil || r.method != http.MethodGet && r.method != http.MethodDelete {
		line("Content-Length: ", strconv.Itoa(len(call.Body)))
	}
	line()
	_, err := w.Write(call.Body)
	return err
}

// checked refuses values that could not be sent as they are. They never come from a
// client: the edge has made them canonical.
func checked(call *personal.Call) error {
	user, ok := id.Parse[id.User](string(call.User))
	if !ok || user != call.User {
		return fmt.Errorf("%w: the user's id is not canonical", personal.ErrNothingDone)
	}
	if call.Once != "" && !visibleASCII(call.Once, 255) {
		return fmt.Errorf("%w: the Idempotency-Key cannot be sent", personal.ErrNothingDone)
	}
	return nil
}

func visibleASCII(s string, most int) bool {
	if len(s) > most {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// validRequestID is the rule of contract §1.5: ^[A-Za-z0-9._-]{1,64}$.
func validRequestID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
