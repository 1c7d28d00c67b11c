package mcpapi

import (
	"context"
	"io"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// exchange is a transport of the module for one request and its answer: the bytes came
// and go through our own edge. The module's HTTP handler is not used, because it would
// decide again about what the edge has decided, and decodes every message four times.
type exchange struct {
	request chan *jsonrpc.Request
	answer  chan *jsonrpc.Response
	done    chan struct{}
	once    sync.Once
}

var (
	_ mcp.Transport  = (*exchange)(nil)
	_ mcp.Connection = (*exchange)(nil)
)

func newExchange(r *jsonrpc.Request) *exchange {
	x := &exchange{request: make(chan *jsonrpc.Request, 1), answer: make(chan *jsonrpc.Response, 1), done: make(chan struct{})}
	x.request <- r
	return x
}

// Connect implements mcp.Transport.
func (x *exchange) Connect(context.Context) (mcp.Connection, error) { return x, nil }

// Read implements mcp.Connection: the request, then nothing until the end.
func (x *exchange) Read(context.Context) (jsonrpc.Message, error) {
	select {
	case r := <-x.request:
		return r, nil
	case <-x.done:
		return nil, io.EOF
	}
}

// Write implements mcp.Connection. What is no answer has nowhere to go.
func (x *exchange) Write(_ context.Context, m jsonrpc.Message) error {
	if answer, ok := m.(*jsonrpc.Response); ok {
		select {
		case x.answer <- answer:
		default: // there is one request
		}
	}
	return nil
}

// Close implements mcp.Connection.
func (x *exchange) Close() error {
	x.once.Do(func() { close(x.done) })
	return nil
}

// SessionID implements mcp.Connection: none.
func (x *exchange) SessionID() string { return "" }
