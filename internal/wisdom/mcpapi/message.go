package mcpapi

import (
	"errors"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/IntunoAI/intuno-go/api"
)

const rpcVersion = "2.0"

// The errors of JSON-RPC (JSON-RPC 2.0 §5.1) and of MCP (2025-11-25, resources) that
// are answered. No text says more than that: what the module says names its types.
var (
	errInvalidRequest = api.RPCError{Code: -32600, Message: "Invalid request: send one JSON-RPC 2.0 message whose id, if any, is a string or a number"}
	errMethod         = api.RPCError{Code: -32601, Message: "Method not found"}
	errInvalidParams  = api.RPCError{Code: -32602, Message: "Invalid params"}
	errUnknownTool    = api.RPCError{Code: -32602, Message: "Unknown tool"}
	errNoResource     = api.RPCError{Code: -32002, Message: "Resource not found"}
	errInternal       = api.RPCError{Code: -32603, Message: "Internal error"}
)

// message is a JSON-RPC message as it came.
type message struct {
	JSONRPC jsontext.Value `json:"jsonrpc"`
	ID      jsontext.Value `json:"id"`
	Method  jsontext.Value `json:"method"`
	Params  jsontext.Value `json:"params"`

	method string
	target string // the tool or the resource that a call names
}

// read takes a JSON object for a message. What is no lawful message is errInvalidRequest.
func read(object []byte) (message, *api.RPCError) {
	var m message
	if err := jsonv2.Unmarshal(object, &m); err != nil {
		return message{ID: orNull(nil)}, &errInvalidRequest
	}
	if m.ID != nil && !lawfulID(m.ID) {
		return message{ID: orNull(nil)}, &errInvalidRequest
	}
	if string(m.JSONRPC) != `"`+rpcVersion+`"` {
		return message{ID: orNull(m.ID)}, &errInvalidRequest
	}
	if m.Method == nil {
		if m.ID == nil { // not even a response
			return message{ID: orNull(nil)}, &errInvalidRequest
		}
		return m, nil
	}
	if err := jsonv2.Unmarshal(m.Method, &m.method); err != nil || m.method == "" {
		return message{ID: orNull(m.ID)}, &errInvalidRequest
	}
	return m, nil
}

func orNull(id jsontext.Value) jsontext.Value {
	if id == nil {
		return jsontext.Value("null")
	}
	return id
}

// lawfulID reports whether id is a string or a number: MCP forbids null.
func lawfulID(id jsontext.Value) bool { return id.Kind() == '"' || id.Kind() == '0' }

// call reports whether m wants an answer. A notification has nothing to tell a server
// without sessions, nor has the answer to a request that it cannot have made.
func (m *message) call() bool { return m.method != "" && m.ID != nil }

// The methods that are served. The module knows more, some of which would never end.
const (
	initialize    = "initialize"
	ping          = "ping"
	listTools     = "tools/list"
	callTool      = "tools/call"
	listResources = "resources/list"
	listTemplates = "resources/templates/list"
	readResource  = "resources/read"
)

// checkCall finds what a call names, or says why it cannot be answered.
func (a *API) checkCall(m *message) *api.RPCError {
	if string(m.Params) == "null" {
		m.Params = nil
	}
	if m.Params != nil && m.Params.Kind() != '{' {
		return &errInvalidParams
	}
	needed := true
	switch m.method {
	case ping, listTools, listResources, listTemplates:
		needed = false
	case initialize, callTool, readResource:
	default:
		return &errMethod
	}
	if m.Params == nil {
		if needed {
			return &errInvalidParams
		}
		return nil
	}
	return a.checkParams(m)
}

// checkParams is checkCall for the params. Every list is one page, so that no cursor was
// ever given out; the module would decode one by a format that is not made for strangers.
func (a *API) checkParams(m *message) *api.RPCError {
	var named struct {
		Name   *string `json:"name"`
		URI    *string `json:"uri"`
		Cursor *string `json:"cursor"`
	}
	if m.method == initialize || m.method == ping {
		return nil
	}
	if err := jsonv2.Unmarshal(m.Params, &named); err != nil || named.Cursor != nil {
		return &errInvalidParams
	}
	switch {
	case m.method == listTools || m.method == listResources || m.method == listTemplates:
		return nil
	case m.method == callTool && named.Name != nil:
		m.target = *named.Name
		if !slices.ContainsFunc(a.tools, func(t tool) bool { return t.definition.Name == m.target }) {
			return &errUnknownTool
		}
	case m.method == readResource && named.URI != nil:
		m.target = *named.URI
		if !slices.ContainsFunc(a.resources, func(r resource) bool { return r.definition.URI == m.target }) {
			return &errNoResource
		}
	default:
		return &errInvalidParams
	}
	return nil
}

// plain is an error of the module with one of our texts. The module has no code for
// params that it cannot read, and codes of its own for what versions to come would allow.
func plain(err error) api.RPCError {
	var e *jsonrpc.Error
	if !errors.As(err, &e) {
		return errInvalidParams
	}
	switch int(e.Code) {
	case errInternal.Code:
		return errInternal
	case errInvalidParams.Code, 0:
		return errInvalidParams
	}
	return errInvalidRequest
}
