package intuno

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"
)

const (
	// maxAnswer bounds an answer that is read whole, in bytes after decompression.
	maxAnswer = 10 << 20
	// firstWait is about how long the first repetition waits; each further one doubles it.
	firstWait = 200 * time.Millisecond
	// longestWait is the longest Retry-After that is obeyed rather than returned.
	longestWait = 30 * time.Second

	eventStream = "text/event-stream"
)

// request is one call.
type request struct {
	method string
	route  string // as in the contract, for errors
	path   string // escaped
	query  url.Values
	body   []byte // nil: none
	accept string
	once   string // Idempotency-Key
	last   string // Last-Event-ID
	turn   bool   // takes as long as a turn of an entity
	public bool   // a credential would not be looked at, so none is sent
	fault  error  // why it cannot be sent
}

// newRequest fills args into the parameters of route, in order.
func newRequest(method, route string, args ...string) *request {
	r := &request{method: method, route: route, accept: "application/json"}
	var path strings.Builder
	rest := route
	for _, arg := range args {
		fixed, after, _ := strings.Cut(rest, "{")
		_, rest, _ = strings.Cut(after, "}")
		// What is not plain could be read as another route somewhere on the way, and
		// so could nothing: DELETE .../memories/ is no memory less but all of them.
		if !plain(arg) || arg == "." || arg == ".." || len(arg) > 255 {
			r.fault = fmt.Errorf("intuno: %s: %w: %.80q cannot be part of a path", r.op(), ErrArgument, arg)
			return r
		}
		path.WriteString(fixed)
		path.WriteString(arg)
	}
	path.WriteString(rest)
	r.path = path.String()
	return r
}

func (r *request) op() string { return r.method + " " + r.route }

// with sets the query.
func (r *request) with(q url.Values) *request {
	r.query = q
	return r
}

// send sets the body.
func (r *request) send(body any) *request {
	text, err := json.Marshal(body)
	if err != nil && r.fault == nil {
		r.fault = fmt.Errorf("intuno: %s: %w: %w", r.op(), ErrArgument, err)
	}
	r.body = text
	return r
}

// apply applies the options of the call.
func (r *request) apply(opts []CallOption) *request {
	for _, opt := range opts {
		if err := opt(r); err != nil && r.fault == nil {
			r.fault = fmt.Errorf("intuno: %s: %w", r.op(), err)
		}
	}
	return r
}

func (r *request) anonymous() *request {
	r.public = true
	return r
}

// repeatable reports whether the request may be sent twice (contract §1.6).
func (r *request) repeatable() bool { return r.method == http.MethodGet || r.once != "" }

// call sends r and reads the answer into a T: a struct for an object, a slice for a list.
func call[T any](ctx context.Context, c *Client, r *request) (T, error) {
	var answer, nothing T
	first := byte('{')
	if reflect.TypeFor[T]().Kind() == reflect.Slice {
		first = '['
	}
	body, err := c.read(ctx, r)
	if err != nil {
		return nothing, err
	}
	if text := bytes.TrimLeft(body, " \t\r\n"); len(text) == 0 || text[0] != first {
		return nothing, fmt.Errorf("intuno: %s: %w: not the JSON that was asked for", r.op(), ErrAnswer)
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nothing, fmt.Errorf("intuno: %s: %w: %w", r.op(), ErrAnswer, err)
	}
	return answer, nil
}

// do sends r, whose answer says nothing but that it is done.
func (c *Client) do(ctx context.Context, r *request) error {
	_, err := c.read(ctx, r)
	return err
}

// read sends r and reads the answer whole.
func (c *Client) read(ctx context.Context, r *request) ([]byte, error) {
	timeout := c.timeout
	if r.turn {
		timeout = c.turnTimeout
	}
	if timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	var body []byte
	err := c.retry(ctx, r, func() error {
		response, err := c.attempt(ctx, r)
		if err != nil {
			return err
		}
		body, err = readAll(response)
		if err != nil {
			return fmt.Errorf("intuno: %s: %w", r.op(), err)
		}
		return nil
	})
	return body, err
}

// readAll reads a body of bounded size and closes it.
func readAll(response *http.Response) ([]byte, error) {
	defer func() { _ = response.Body.Close() }() // it was only read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, maxAnswer)
	}
	return body, nil
}

// retry calls try until it succeeds, may not be repeated, or was repeated often enough.
func (c *Client) retry(ctx context.Context, r *request, try func() error) error {
	if r.fault != nil {
		return r.fault
	}
	for n := 0; ; n++ {
		err := try()
		if err == nil || n >= c.retries || !r.repeatable() {
			return err
		}
		wait, again := afterwards(err, r, n)
		if !again || ctx.Err() != nil {
			return err
		}
		if stopped := pause(ctx, wait); stopped != nil {
			return fmt.Errorf("%w (%w)", err, stopped)
		}
	}
}

// afterwards tells whether a request that failed with err for the n-th time (from 0)
// may succeed later, and when.
func afterwards(err error, r *request, n int) (time.Duration, bool) {
	wait := backoff(n)
	var refused *Error
	if errors.As(err, &refused) {
		switch refused.Status {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		case http.StatusTooManyRequests:
			if refused.RetryAfter == 0 {
				return 0, false
			}
		case http.StatusConflict:
			if refused.Code != "idempotency_in_progress" || r.once == "" {
				return 0, false
			}
		default:
			return 0, false
		}
		return max(wait, refused.RetryAfter), refused.RetryAfter <= longestWait
	}
	return wait, !errors.Is(err, ErrAnswer) && !errors.Is(err, ErrArgument)
}

// backoff doubles from firstWait and differs by a factor of 0.5 to 1.5, so that clients
// that failed together do not come back together.
func backoff(n int) time.Duration {
	return time.Duration(float64(firstWait<<min(n, maxRetries)) * (0.5 + rand.Float64())) //nolint:gosec // no secret
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attempt sends r once. The answer is a success, and its body is open.
func (c *Client) attempt(ctx context.Context, r *request) (*http.Response, error) {
	target := c.origin + c.prefix + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, r.method, target, nil)
	if err != nil {
		return nil, fmt.Errorf("intuno: %s: %w: %w", r.op(), ErrArgument, err)
	}
	if r.body != nil {
		// GetBody stays nil: with it, a transport would by itself send again what has
		// an Idempotency-Key, and more if an HTTP/2 server asks for it.
		request.Body = io.NopCloser(bytes.NewReader(r.body))
		request.ContentLength = int64(len(r.body))
	}
	c.header(request.Header, r)
	// Not an http.Client: it would follow redirects, and send some credentials there.
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("intuno: %s: %w", r.op(), err)
	}
	if response.StatusCode >= 200 && response.StatusCode <= 299 {
		return response, nil
	}
	body, _ := readAll(response) // without it the status still tells the kind
	return nil, refusal(r.op(), response, body)
}

// header writes every header of a request.
func (c *Client) header(h http.Header, r *request) {
	h.Set("Accept", r.accept)
	h.Set("User-Agent", c.userAgent)
	if r.body != nil {
		h.Set("Content-Type", "application/json")
	}
	if r.accept == eventStream {
		h.Set("Accept-Encoding", "identity") // compressed events would wait for each other
	}
	for name, value := range map[string]string{"X-Request-ID": c.requestID, "X-Invocation-Depth": c.depth, "Idempotency-Key": r.once, "Last-Event-ID": r.last} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if c.credential.sign != nil && !r.public {
		c.credential.sign(h)
	}
}
