package agentsclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

const (
	// Connections in use at once. Chats and streams have their own, so that turns of
	// a minute cannot keep others from looking at their entities.
	mostQuick = 256
	mostSlow  = 4096
)

// Config says where the host is.
type Config struct {
	BaseURL     string        // http or https; a path is put before every route
	Key         secret.String // X-API-Key; blank: nothing is ever sent
	Timeout     time.Duration // for a whole request; 0 means 30 s
	ChatTimeout time.Duration // for a chat turn, or between two pieces of a stream; 0 means 60 s
	TLS         *tls.Config   // nil: the system's roots, TLS 1.2 or newer
}

// Client is the way to the host. It implements personal.Host and is safe for
// concurrent use.
type Client struct {
	host        string // as the Host header names it
	prefix      string
	key         secret.String
	timeout     time.Duration
	chatTimeout time.Duration
	now         clock.Now
	quick, slow *hop
}

var _ personal.Host = (*Client)(nil)

var errNoKey = errors.New("no key for the entity host is configured")

// New checks the configuration. It opens no connection.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil ||
		base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the base URL of the entity host is not an http or https URL of a host and a path")
	}
	if !c.Key.Blank() && !visibleASCII(c.Key.Reveal(), 4096) {
		return nil, errors.New("the key of the entity host cannot be sent in a header")
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.ChatTimeout == 0 {
		c.ChatTimeout = 60 * time.Second
	}
	port := base.Port()
	var secure *tls.Config
	if base.Scheme == "https" {
		secure = &tls.Config{}
		if c.TLS != nil {
			secure = c.TLS.Clone()
		}
		secure.MinVersion = max(secure.MinVersion, tls.VersionTLS12)
		secure.NextProtos = []string{"http/1.1"}
		if secure.ServerName == "" {
			secure.ServerName = base.Hostname()
		}
		if port == "" {
			port = "443"
		}
	} else if port == "" {
		port = "80"
	}
	addr := net.JoinHostPort(base.Hostname(), port)
	return &Client{
		host: base.Host, prefix: strings.TrimRight(base.EscapedPath(), "/"), key: c.Key,
		timeout: c.Timeout, chatTimeout: c.ChatTimeout, now: clock.System,
		quick: newHop(addr, secure, mostQuick, clock.System),
		slow:  newHop(addr, secure, mostSlow, clock.System),
	}, nil
}

// Close closes idle connections, and those in use when their request ends.
func (c *Client) Close() {
	c.quick.close()
	c.slow.close()
}

// send sends one call and returns the header of its answer. Its errors are for the
// log, but for those of type *fault.Error.
func (c *Client) send(ctx context.Context, call *personal.Call) (*exchange, error) {
	return c.sendAs(ctx, &routes[call.Op], call)
}

// sendAs is send for a route that the call does not name.
func (c *Client) sendAs(ctx context.Context, r *route, call *personal.Call) (*exchange, error) {
	if c.key.Blank() {
		return nil, fmt.Errorf("%w: %w", personal.ErrNothingDone, errNoKey)
	}
	if err := checked(call); err != nil {
		return nil, err
	}
	path, err := target(r, call)
	if err != nil {
		return nil, err
	}
	h, deadline := c.quick, c.now().Add(c.timeout)
	if r.slow || r.want == wantFile {
		h = c.slow
	}
	if r.slow {
		deadline = c.now().Add(c.chatTimeout)
	}
	return h.send(ctx, deadline, func(w *bufio.Writer) error { return c.writeRequest(w, r, path, call) })
}

// Do implements personal.Host.
func (c *Client) Do(ctx context.Context, call personal.Call) (personal.Answer, error) {
	x, err := c.send(ctx, &call)
	if err != nil {
		return personal.Answer{}, c.failed(call.Op, err)
	}
	if x.StatusCode < 200 || x.StatusCode > 299 {
		return personal.Answer{}, c.refused(call.Op, x)
	}
	a, err := readAnswer(x, routes[call.Op].want)
	if err != nil {
		return personal.Answer{}, c.failed(call.Op, err)
	}
	return a, nil
}

// failed is the fault for a call without a usable answer.
func (c *Client) failed(op personal.Op, err error) error {
	if f := fault.As(err); f != nil {
		return f
	}
	return unavailable(fmt.Errorf("%s: %w", op, err))
}

// refused reads an answer that is no success. Its body is looked at only if any of
// it may be passed on.
func (c *Client) refused(op personal.Op, x *exchange) error {
	status, header := x.StatusCode, x.Header
	var body []byte
	if status >= 400 && status <= 499 && status != http.StatusUnauthorized {
		if raw, err := x.body(maxRefusal); err == nil && isJSON(header) {
			body, _ = decoded(header, raw, maxRefusal) // nil: the generic text
		}
	} else {
		x.discard()
	}
	f := refusal(status, header, body)
	if f.Kind == fault.Upstream {
		return unavailable(fmt.Errorf("%s: %w", op, f.Unwrap()))
	}
	f.Replayed = replayed(header)
	return f
}

// readAnswer reads a success.
func readAnswer(x *exchange, want shape) (personal.Answer, error) {
	a := personal.Answer{Status: x.StatusCode, Replayed: replayed(x.Header)}
	raw, err := x.body(maxAnswer)
	if err != nil || want == wantNothing {
		return a, err
	}
	if !isJSON(x.Header) {
		return a, errNotJSON
	}
	if a.JSON, err = decoded(x.Header, raw, maxAnswer); err != nil {
		return a, err
	}
	if want == wantList {
		return a, readList(&a)
	}
	return a, readObject(&a)
}

func replayed(h http.Header) bool { return strings.EqualFold(h.Get("Idempotency-Replayed"), "true") }

// Open implements personal.Host.
func (c *Client) Open(ctx context.Context, call personal.Call) (personal.Stream, error) {
	x, err := c.send(ctx, &call)
	if err != nil {
		return personal.Stream{}, c.failed(call.Op, err)
	}
	if x.StatusCode < 200 || x.StatusCode > 299 {
		return personal.Stream{}, c.refused(call.Op, x)
	}
	right, silence := isEventStream(x.Header), c.chatTimeout
	if routes[call.Op].want == wantFile {
		right, silence = isJSON(x.Header), c.timeout
	}
	if !right || len(x.Header["Content-Encoding"]) > 0 {
		x.discard()
		return personal.Stream{}, c.failed(call.Op, errors.New("stream of the wrong type"))
	}
	if !x.stop() { // ctx has ended
		x.hop.drop(x.conn)
		return personal.Stream{}, c.failed(call.Op, ctx.Err())
	}
	s := &stream{exchange: x, now: c.now, silence: silence}
	s.forget = context.AfterFunc(ctx, s.shut)
	return personal.Stream{Body: s, Replayed: replayed(x.Header)}, nil
}

// stream is a body that is read while it arrives.
type stream struct {
	*exchange
	now     clock.Now
	silence time.Duration // the longest wait for the next piece
	forget  func() bool   // ends the watch over the request's context
	once    sync.Once
}

// Read implements io.Reader. A clean end is io.EOF; too long a silence, a cut and a
// reader that left are other errors.
func (s *stream) Read(p []byte) (int, error) {
	if err := s.conn.SetReadDeadline(s.now().Add(s.silence)); err != nil {
		return 0, fmt.Errorf("read stream: %w", err)
	}
	n, err := s.Body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read stream: %w", err)
	}
	return n, err
}

// Close implements io.Closer. It may be called again.
func (s *stream) Close() error {
	s.forget()
	s.shut()
	return nil
}

// shut closes the connection; a Read that waits returns.
func (s *stream) shut() { s.once.Do(func() { s.hop.drop(s.conn) }) }

// Ping asks whether the host answers at all.
func (c *Client) Ping(ctx context.Context) error {
	x, err := c.quick.send(ctx, c.now().Add(min(c.timeout, dialTimeout)), func(w *bufio.Writer) error {
		_, err := fmt.Fprintf(w, "GET %s/health HTTP/1.1\r\nHost: %s\r\nUser-Agent: intuno-wisdom\r\nAccept: application/json\r\n\r\n", c.prefix, c.host)
		return err
	})
	if err != nil {
		return fmt.Errorf("ping entity host: %w", err)
	}
	if x.StatusCode != http.StatusOK {
		x.discard()
		return fmt.Errorf("ping entity host: status %d", x.StatusCode)
	}
	if _, err := x.body(maxRefusal); err != nil {
		return fmt.Errorf("ping entity host: %w", err)
	}
	return nil
}
