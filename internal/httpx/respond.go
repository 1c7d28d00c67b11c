package httpx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
)

// statuses gives every kind of fault its HTTP status.
var statuses = map[fault.Kind]int{
	fault.Internal:         http.StatusInternalServerError,
	fault.BadRequest:       http.StatusBadRequest,
	fault.Unauthorized:     http.StatusUnauthorized,
	fault.Forbidden:        http.StatusForbidden,
	fault.NotFound:         http.StatusNotFound,
	fault.MethodNotAllowed: http.StatusMethodNotAllowed,
	fault.Conflict:         http.StatusConflict,
	fault.TooLarge:         http.StatusRequestEntityTooLarge,
	fault.Unsupported:      http.StatusUnsupportedMediaType,
	fault.Invalid:          http.StatusUnprocessableEntity,
	fault.RateLimited:      http.StatusTooManyRequests,
	fault.HeadersTooLarge:  http.StatusRequestHeaderFieldsTooLarge,
	fault.Upstream:         http.StatusBadGateway,
	fault.Unavailable:      http.StatusServiceUnavailable,
	fault.Timeout:          http.StatusGatewayTimeout,
}

const statusClientLeft = 499

// statusOf is the status that fail gives err.
func statusOf(err error) int {
	f := fault.As(err)
	if f == nil {
		return http.StatusInternalServerError
	}
	if f.Kind == fault.Other {
		return f.Status
	}
	return statuses[f.Kind]
}

// fail renders an error, the only place that does. An error without a type, and an
// internal fault, say "Internal error" and nothing else.
//
// A client that left is nobody's fault, nor is what broke behind us because of it: the
// answer, which nobody reads, has the status that nginx made usual for it, so that it does
// not count as an error of ours.
func (x *exchange) fail(err error) {
	x.err = err
	f := fault.As(err)
	behind := f != nil && (f.Kind == fault.Upstream || f.Kind == fault.Timeout)
	if x.r.Context().Err() != nil && (behind || f == nil && errors.Is(err, context.Canceled)) {
		x.send(statusClientLeft, nil, nil)
		return
	}
	if f == nil || f.Kind == fault.Internal {
		f = fault.New(fault.Internal, api.CodeInternalError, "Internal error")
	}
	body := errorBody{Error: api.Error{Detail: f.Detail, Code: f.Code, RequestID: x.id}, Extra: x.members(f)}
	if len(f.Problems) > 0 {
		body.Detail = f.Problems
	}
	if len(f.RawDetail) > 0 {
		body.Detail = jsontext.Value(f.RawDetail)
	}
	h := x.w.Header()
	if f.Kind == fault.Unauthorized {
		h["Www-Authenticate"] = []string{"Bearer"}
	}
	if f.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds())))}
	}
	if f.Replayed {
		h["Idempotency-Replayed"] = []string{"true"}
	}
	if x.route == nil || x.route.Access != Public {
		h["Cache-Control"] = noStore
	}
	x.send(statusOf(f), nil, func(b *bytes.Buffer) error { return encodeJSON(b, body) })
}

// members are the further members of an error body: those of the fault, and those that
// the route embeds in every error.
func (x *exchange) members(f *fault.Error) map[string]any {
	if x.route == nil || x.route.embed == nil {
		return f.Extra
	}
	var body []byte
	if x.call != nil && x.call.parsed {
		body = x.call.body
	}
	all := map[string]any{}
	maps.Copy(all, x.route.embed(f, body))
	maps.Copy(all, f.Extra)
	return all
}

// errorBody is the one error body, with the further members of a fault.
type errorBody struct {
	api.Error
	Extra map[string]any `json:",embed"`
}

// answer renders a reply.
func (x *exchange) answer(ctx context.Context, reply Reply) {
	h := x.w.Header()
	for name, values := range reply.Header {
		h[name] = values
	}
	switch {
	case reply.Stream != nil:
		x.stream(ctx, reply)
	case reply.Raw != nil:
		x.send(reply.Status, reply.Raw, nil)
	case reply.Status == http.StatusNoContent:
		x.send(reply.Status, nil, nil)
	default:
		x.send(reply.Status, nil, func(b *bytes.Buffer) error { return encodeJSON(b, reply.JSON) })
	}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled keeps a huge answer's buffer from living forever.
const maxPooled = 64 << 10

// send writes a whole answer. encode, if given, makes the body; should it break,
// nothing has been sent yet and the answer is a 500.
func (x *exchange) send(status int, raw []byte, encode func(*bytes.Buffer) error) {
	if encode != nil {
		b, _ := buffers.Get().(*bytes.Buffer)
		b.Reset()
		defer func() {
			if b.Cap() <= maxPooled {
				buffers.Put(b)
			}
		}()
		if err := encode(b); err != nil {
			x.err = fmt.Errorf("encode the answer: %w", err)
			status = http.StatusInternalServerError
			b.Reset()
			fmt.Fprintf(b, `{"detail":"Internal error","code":%q,"request_id":%q}`, api.CodeInternalError, x.id)
		}
		raw = b.Bytes()
	}
	h := x.w.Header()
	if status != http.StatusNoContent {
		if h["Content-Type"] == nil && len(raw) > 0 {
			h["Content-Type"] = jsonType
		}
		h["Content-Length"] = []string{strconv.Itoa(len(raw))}
	}
	x.status, x.sent, x.bytes = status, true, int64(len(raw))
	x.stamp()
	if len(raw) > 16<<10 { // smaller ones fit in the socket's buffer
		_ = http.NewResponseController(x.w).SetWriteDeadline(x.server.options.Now().Add(writeTimeout))
	}
	x.w.WriteHeader(status)
	if status != http.StatusNoContent {
		_, _ = x.w.Write(raw) // the client may have left; nothing can be told to it
	}
}

// stamp sets X-Response-Time-Ms, just before the headers go out.
func (x *exchange) stamp() {
	us := x.server.options.Now().Sub(x.start).Microseconds()
	x.w.Header()["X-Response-Time-Ms"] = []string{strconv.FormatFloat(float64(us)/1000, 'f', 1, 64)}
}

// stream runs a Reply's Stream. An error aborts the connection.
func (x *exchange) stream(ctx context.Context, reply Reply) {
	h := x.w.Header()
	h.Set("Content-Type", reply.StreamType)
	if reply.StreamType == EventStream {
		h.Set("Cache-Control", "no-cache, no-store")
		h.Set("X-Accel-Buffering", "no")
	}
	x.status, x.sent = reply.Status, true
	x.stamp()
	w := &Stream{w: x.w, control: http.NewResponseController(x.w), deadline: func() time.Time { return x.server.options.Now().Add(writeTimeout) }}
	x.w.WriteHeader(reply.Status)
	if x.r.Method == http.MethodHead {
		return
	}
	// Stream runs even if nobody listens any more: it has things to close and to record.
	err := errors.Join(w.Flush(), reply.Stream(ctx, w))
	x.bytes = w.written
	if err != nil {
		if ctx.Err() == nil { // a client that left is not a fault
			x.err = fmt.Errorf("stream: %w", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// EventStream is the media type of server-sent events.
const EventStream = "text/event-stream"

// AcceptsEvents reports whether an Accept header names event streams, with a weight
// above zero (RFC 9110 §12.5.1). A wildcard does not: JSON is the default.
func AcceptsEvents(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil || media != EventStream {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err != nil || q > 0 {
			return true
		}
	}
	return false
}

// Stream is the body of a streamed answer. It is not safe for concurrent use.
type Stream struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	deadline func() time.Time
	written  int64
}

// Write implements io.Writer. A client that does not read for 30 seconds is given up.
func (s *Stream) Write(p []byte) (int, error) {
	_ = s.control.SetWriteDeadline(s.deadline()) // not supported by test recorders
	n, err := s.w.Write(p)
	s.written += int64(n)
	return n, err
}

// Flush sends what was written.
func (s *Stream) Flush() error { return s.control.Flush() }

// Event sends one server-sent event. data must be one line.
func (s *Stream) Event(id int64, name string, data []byte) error {
	return s.line("id: " + strconv.FormatInt(id, 10) + "\nevent: " + name + "\ndata: " + string(data) + "\n\n")
}

// Comment sends a line that readers ignore, to keep the connection alive.
func (s *Stream) Comment(text string) error { return s.line(": " + text + "\n\n") }

// Retry tells the reader how long to wait before it reconnects, in milliseconds.
func (s *Stream) Retry(ms int) error { return s.line("retry: " + strconv.Itoa(ms) + "\n\n") }

func (s *Stream) line(text string) error {
	if _, err := s.Write([]byte(text)); err != nil {
		return err
	}
	return s.Flush()
}

// JSON encodes v as one line, for the data of an event.
func JSON(v any) ([]byte, error) { return jsonv2.Marshal(v, jsonv2.Deterministic(true)) }
