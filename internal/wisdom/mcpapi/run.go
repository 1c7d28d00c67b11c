package mcpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// run lets the module answer a call, in a session of nothing else. When it returns,
// nothing of the call is running.
func (a *API) run(ctx context.Context, p principal.Principal, m message, version string) (httpx.Reply, error) {
	id, err := jsonrpc.MakeID("1") // the one of this session; the client's is put back below
	if err != nil {
		return httpx.Reply{}, fmt.Errorf("make a request for the MCP module: %w", err)
	}
	c := &caller{api: a, ctx: ctx, p: p}
	line := newExchange(&jsonrpc.Request{ID: id, Method: m.method, Params: json.RawMessage(m.Params)})
	session, err := c.server(m).Connect(ctx, line, &mcp.ServerSessionOptions{State: stateOf(m, version)})
	if err != nil {
		return httpx.Reply{}, fmt.Errorf("start an MCP session: %w", err)
	}
	var answer *jsonrpc.Response
	select {
	case answer = <-line.answer:
	case <-ctx.Done():
	}
	err = session.Close() // waits for the tool
	switch {
	case c.unavailable != nil:
		return httpx.Reply{}, c.unavailable
	case ctx.Err() != nil:
		return httpx.Reply{}, fmt.Errorf("answer an MCP message: %w", ctx.Err())
	case err != nil:
		return httpx.Reply{}, fmt.Errorf("end an MCP session: %w", err)
	case answer.Error != nil:
		return refusal(m.ID, plain(answer.Error))
	}
	return httpx.Reply{JSON: api.RPCResponse{JSONRPC: rpcVersion, ID: json.RawMessage(m.ID), Result: answer.Result}}, nil
}

// oldest is the version of a client that does not name one (MCP 2025-06-18, transports,
// protocol version header).
const oldest = "2025-03-26"

// stateOf is what a session would know by the time of m, if there were sessions.
func stateOf(m message, version string) *mcp.ServerSessionState {
	if m.method == initialize {
		return nil
	}
	if version == "" {
		version = oldest
	}
	return &mcp.ServerSessionState{InitializeParams: &mcp.InitializeParams{ProtocolVersion: version}, InitializedParams: &mcp.InitializedParams{}}
}

// caller is whom one request acts for, while it is answered. Its context is that of the
// request: the one that the module hands out lives on when the client has left.
type caller struct {
	api         *API
	ctx         context.Context //nolint:containedctx // as long as the request
	p           principal.Principal
	unavailable error // answers the request instead of the module
}

// server is the module's server for the call m: a name has one definition, so that only
// the named one is looked up.
func (c *caller) server(m message) *mcp.Server {
	server := mcp.NewServer(c.api.identity, c.api.options)
	for _, t := range c.api.tools {
		if m.method == listTools || m.method == callTool && t.definition.Name == m.target {
			server.AddTool(t.definition, func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return c.call(t, r.Params.Arguments), nil
			})
		}
	}
	for _, r := range c.api.resources {
		if m.method == listResources || m.method == readResource && r.definition.URI == m.target {
			server.AddResource(r.definition, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) { return c.read(r) })
		}
	}
	return server
}

// call runs a tool.
func (c *caller) call(t tool, arguments []byte) *mcp.CallToolResult {
	text, failed, err := c.shown(func() (any, error) {
		in, err := readArguments(arguments)
		if err != nil {
			return nil, err
		}
		return t.run(c.ctx, c.api, c.p, in)
	})
	if err != nil {
		said, _ := httpx.JSON(map[string]string{"error": c.told(t.definition.Name, err)}) // texts of ours are UTF-8
		text, failed = string(said), true
	}
	return &mcp.CallToolResult{IsError: failed, Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

// read reads a resource.
func (c *caller) read(r resource) (*mcp.ReadResourceResult, error) {
	text, _, err := c.shown(func() (any, error) { return r.read(c.ctx, c.api, c.p) })
	if err != nil {
		return nil, &jsonrpc.Error{Code: int64(errInternal.Code), Message: c.told(r.definition.URI, err)}
	}
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.definition.URI, MIMEType: r.definition.MIMEType, Text: text}}}, nil
}

// shown is what f returns as JSON, written as on the routes, and whether it calls itself
// a failure. A panic becomes an error: the module calls from a goroutine of its own,
// where one would end the process.
func (c *caller) shown(f func() (any, error)) (text string, failed bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	value, err := f()
	if err != nil {
		return "", false, err
	}
	encoded, err := httpx.JSON(value)
	if err != nil {
		return "", false, fmt.Errorf("encode the answer: %w", err)
	}
	if v, ok := value.(interface{ failed() bool }); ok {
		failed = v.failed()
	}
	return string(encoded), failed, nil
}

// told is what a caller is told of err. That the platform is halted or overloaded is no
// answer of a tool but one to the request (contract §13.4). What is not meant to be seen
// is logged, because the answer will be a success of the transport.
func (c *caller) told(what string, err error) string {
	f := fault.As(err)
	switch {
	case f == nil || f.Kind == fault.Internal:
		if c.ctx.Err() == nil || !errors.Is(err, context.Canceled) {
			c.api.c.Log.LogAttrs(c.ctx, slog.LevelError, "an MCP call failed",
				slog.String("call", what), slog.String("request_id", c.p.Request), slog.String("error", err.Error()))
		}
		return errInternal.Message
	case f.Kind == fault.Unavailable:
		c.unavailable = err
	}
	return detail(f)
}
