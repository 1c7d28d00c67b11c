package httpx

import (
	"context"
	"net/http"
	"reflect"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Access says who may call a route. It is data: tests walk the table.
type Access uint8

// The access classes of the contract. The zero value is none of them, so a row
// without a class is refused when the table is built.
const (
	_               Access = iota
	Public                 // credential headers are not read
	User                   // a JWT, else an API key
	JWT                    // a JWT only
	KeyMgmt                // as User, but only a JWT may act
	Delegable              // as User, or a service key on behalf of a user
	Admin                  // the JWT of an active administrator
	Host                   // wisdom-agents only: the shared key and X-User-Id
	UserOrBearerKey        // as User, and the API key may come as a Bearer token: the class user of MCP
	Signed                 // whoever holds the URL: its query carries a signature of its path; credential headers are not read
)

var accessNames = [...]string{"", "public", "user", "jwt", "keymgmt", "delegable", "admin", "service-host", "user", "signed"}

// String is the class's name in the contract.
func (a Access) String() string { return accessNames[a] }

// Handler is what a route runs: typed input, value or error. It is called after
// every check of the edge has passed.
type Handler[I, O any] func(ctx context.Context, p principal.Principal, in *I) (O, error)

// Route is one row of a service's table.
type Route struct {
	Method  string
	Pattern string // "/personal/entities/{name}/pause"
	Access  Access
	Summary string
	Success int // status of a success; 204 for None

	input  reflect.Type
	output reflect.Type
	body   *bodyPlan
	params []param
	serve  func(ctx context.Context, p principal.Principal, call *call) (Reply, error)
	exempt bool // from the rate limit: probes
	embed  ErrorMembers

	streams bool // 200 with an event stream is among its successes
}

// Option adjusts a Route.
type Option func(*Route)

// Status sets the status of a success.
func Status(code int) Option { return func(r *Route) { r.Success = code } }

// Doc sets the one-line summary for the API description.
func Doc(summary string) Option { return func(r *Route) { r.Summary = summary } }

// Returns documents the JSON that a Reply carries.
func Returns[T any]() Option {
	return func(r *Route) { r.output = reflect.TypeFor[T]() }
}

// Streams documents that the route answers 200 with an event stream, always or when the
// client asks for one.
func Streams() Option { return func(r *Route) { r.streams = true } }

// Probe exempts a route from the rate limit.
func Probe() Option { return func(r *Route) { r.exempt = true } }

// ErrorMembers returns the members that the error bodies of a route carry besides the
// usual ones and under other names, for a protocol with an error format of its own. body is the JSON text of
// the request's body, nil unless it was read and is well-formed. The fault's own
// members win over equal ones.
type ErrorMembers func(f *fault.Error, body []byte) map[string]any

// EmbedErrors adds members to every error body of the route, whoever refuses.
func EmbedErrors(members ErrorMembers) Option { return func(r *Route) { r.embed = members } }

// Get is a row for GET, which also answers HEAD.
func Get[I, O any](pattern string, access Access, h Handler[I, O], opts ...Option) Route {
	return newRoute(http.MethodGet, pattern, access, h, opts)
}

// Post is a row for POST.
func Post[I, O any](pattern string, access Access, h Handler[I, O], opts ...Option) Route {
	return newRoute(http.MethodPost, pattern, access, h, opts)
}

// Put is a row for PUT.
func Put[I, O any](pattern string, access Access, h Handler[I, O], opts ...Option) Route {
	return newRoute(http.MethodPut, pattern, access, h, opts)
}

// Patch is a row for PATCH.
func Patch[I, O any](pattern string, access Access, h Handler[I, O], opts ...Option) Route {
	return newRoute(http.MethodPatch, pattern, access, h, opts)
}

// Delete is a row for DELETE.
func Delete[I, O any](pattern string, access Access, h Handler[I, O], opts ...Option) Route {
	return newRoute(http.MethodDelete, pattern, access, h, opts)
}

func newRoute[I, O any](method, pattern string, access Access, h Handler[I, O], opts []Option) Route {
	r := Route{Method: method, Pattern: pattern, Access: access, Success: http.StatusOK,
		input: reflect.TypeFor[I](), output: reflect.TypeFor[O]()}
	if r.output == reflect.TypeFor[None]() {
		r.Success = http.StatusNoContent
	}
	for _, opt := range opts {
		opt(&r)
	}
	r.serve = func(ctx context.Context, p principal.Principal, c *call) (Reply, error) {
		in := new(I)
		if err := c.bind(reflect.ValueOf(in).Elem()); err != nil {
			return Reply{}, err
		}
		finish, err := c.begin(ctx, p)
		if err != nil {
			return Reply{}, err
		}
		out, err := h(ctx, p, in)
		reply := toReply(any(out))
		if err == nil && reply.Status == 0 {
			reply.Status = r.Success
		}
		finish(ctx, reply.Status, err)
		return reply, err
	}
	return r
}

// None is the output of a route that answers 204 without a body.
type None struct{}

// Reply is the output of a route that needs more than a value: its own status,
// headers, JSON that is passed on as it is, or a stream.
type Reply struct {
	Status int         // 0 = the route's
	Header http.Header // added to the answer; Content-Type replaces the default

	JSON any    // encoded; or
	Raw  []byte // sent as it is; or
	// Stream writes the body after the headers are out. An error aborts the
	// connection, so that a cut answer can never look complete.
	Stream     func(ctx context.Context, w *Stream) error
	StreamType string // Content-Type of a Stream
}

func toReply(out any) Reply {
	switch v := out.(type) {
	case Reply:
		return v
	case *Reply:
		if v == nil {
			return Reply{}
		}
		return *v
	case None:
		return Reply{Status: http.StatusNoContent}
	}
	return Reply{JSON: out}
}
