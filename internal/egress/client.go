package egress

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

const (
	defaultTimeout = 25 * time.Second
	defaultMaxBody = 1 << 20
	maxHeader      = 32 << 10 // bytes, all header lines of an answer (contract §16)

	userAgent = "Intuno/1.0" // where the caller names none

	// Per host and port; one slow host then holds no more than that.
	mostConns = 512
	// idleTime is below the 5 seconds after which common servers drop an idle
	// connection, because a POST that meets a dropped one fails: it is never sent twice.
	idleTime = 4 * time.Second
)

// What a request can die of, besides a refusal by the rules, which is a 400
// unsafe_url fault, and the caller's own cancellation. The text of an error that
// wraps one of these is for logs: it may name addresses.
var (
	ErrUnreachable    = errors.New("the target cannot be reached") // DNS, connect, TLS, broken answer
	ErrDeadline       = errors.New("the target did not answer in time")
	ErrTooLarge       = errors.New("the answer is larger than allowed")
	ErrHeaderTooLarge = errors.New("the header of the answer is larger than allowed")
)

var (
	errMethod   = errors.New("request: must be a GET without or a POST with a body")
	errHeader   = errors.New("request: a header that is not valid or that the caller does not decide")
	errSwitched = errors.New("the target switched protocols without being asked")
)

// connectionHeaders are never the caller's to set: they belong to the connection, to
// the body as it travels, or to a browser.
var connectionHeaders = []string{"Host", "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Te", "Upgrade", "Keep-Alive",
	"Expect", "Accept-Encoding", "Cookie", "Referer", "Proxy-Authorization", "Proxy-Connection"}

// Request is one request to a third party.
type Request struct {
	Method  string        // GET without a body, or POST with one
	URL     string        // as the third party wrote it
	Header  http.Header   // only what the caller's section of the contract names
	Body    []byte        // not to be changed afterwards
	Timeout time.Duration // in all, from the look-up of the name to the last byte; 0 means 25 s
	Idle    time.Duration // longest wait for the header, then for each next piece of the body; 0 means no bound but Timeout
	MaxBody int64         // bytes of the answer's body, after decompression; 0 means 1 MiB
}

// Response is an answer, whatever its status, redirects included.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Stream is an answer whose body is still arriving. The caller closes Body.
type Stream struct {
	Status int
	Header http.Header
	Body   io.ReadCloser // fails with the errors above; the bounds of the request hold
}

// Client sends requests to the URLs of third parties. It is safe for concurrent use.
//
// It speaks HTTP/1.1 only, and through http.Transport rather than http.Client: what
// would follow redirects, keep cookies or take credentials from a URL is not there.
// HTTP/2 would send a request again when a server claims not to have looked at it.
type Client struct {
	policy    *Policy
	transport *http.Transport
}

// NewClient returns the client that obeys p. roots are the certificate authorities
// to trust; nil means the system's.
func NewClient(p *Policy, roots *x509.CertPool) *Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &Client{policy: p, transport: &http.Transport{
		Proxy:                  nil, // the environment has no say
		DialContext:            p.dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, NextProtos: []string{"http/1.1"}},
		TLSHandshakeTimeout:    dialTime,
		Protocols:              protocols,
		DisableCompression:     true, // Do decompresses, to bound both sides of it
		MaxConnsPerHost:        mostConns,
		MaxIdleConnsPerHost:    mostConns / 8,
		MaxIdleConns:           mostConns,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHeader,
	}}
}

// Close drops the connections that nobody uses. Requests that are under way go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Do sends r and reads the whole answer. gzip is asked for and removed; a body in any
// other coding is returned as it came.
//
// A URL that the rules refuse, at once or when its name turns out to lead somewhere
// forbidden, is a 400 unsafe_url fault. A POST is sent at most once; a GET once more
// when a kept connection breaks under it.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	s, err := c.send(ctx, r, true)
	if err != nil {
		return nil, err
	}
	defer s.Body.Close()
	data, err := io.ReadAll(s.Body)
	if err != nil {
		return nil, err
	}
	return &Response{Status: s.Status, Header: s.Header, Body: data}, nil
}

// Open is Do for an answer that is read while it arrives. It does not ask for
// compression, which would hold the pieces of a stream back.
func (c *Client) Open(ctx context.Context, r Request) (*Stream, error) {
	return c.send(ctx, r, false)
}

func (c *Client) send(ctx context.Context, r Request, compressed bool) (*Stream, error) {
	t, _, err := c.policy.admit(r.URL)
	if err != nil {
		return nil, err
	}
	request, err := build(t, r, compressed)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeoutCause(ctx, cmp.Or(r.Timeout, defaultTimeout), ErrDeadline)
	ctx, cancel := context.WithCancelCause(ctx)
	b := &body{ctx: ctx, idle: r.Idle, expire: func() { cancel(ErrDeadline) }, release: func() { cancel(nil); stop() }}
	var response *http.Response
	b.wait(func() { response, err = c.transport.RoundTrip(request.WithContext(ctx)) })
	if err != nil {
		err = failure(ctx, err)
		b.release()
		return nil, err
	}
	b.source = response.Body
	if err := b.wrap(response, cmp.Or(r.MaxBody, defaultMaxBody), compressed); err != nil {
		_ = b.Close()
		return nil, err
	}
	return &Stream{Status: response.StatusCode, Header: response.Header, Body: b}, nil
}

// build makes the request for the host that was checked. It has no GetBody, so that
// net/http cannot send a POST again when a kept connection breaks: it would, if there
// were no body and an Idempotency-Key (contract §5.3 sends one).
func build(t target, r Request, compressed bool) (*http.Request, error) {
	if !(r.Method == http.MethodGet && len(r.Body) == 0 || r.Method == http.MethodPost && len(r.Body) > 0) {
		return nil, errMethod
	}
	header := http.Header{}
	for name, values := range r.Header {
		name = http.CanonicalHeaderKey(name)
		if !httpguts.ValidHeaderFieldName(name) || slices.Contains(connectionHeaders, name) || slices.ContainsFunc(values, invalidValue) {
			return nil, errHeader
		}
		header[name] = append(header[name], values...)
	}
	if len(header["User-Agent"]) == 0 {
		header.Set("User-Agent", userAgent)
	}
	if compressed {
		header.Set("Accept-Encoding", "gzip")
	}
	request := &http.Request{Method: r.Method, URL: t.url, Header: header}
	if r.Method == http.MethodPost {
		request.Body = io.NopCloser(bytes.NewReader(r.Body))
		request.ContentLength = int64(len(r.Body))
	}
	return request, nil
}

func invalidValue(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }

// failure types what went wrong with a request whose context is ctx.
func failure(ctx context.Context, err error) error {
	if refused := fault.As(err); refused != nil {
		return refused
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		return ErrTooLarge
	case errors.Is(context.Cause(ctx), ErrDeadline), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ErrDeadline
	case ctx.Err() != nil:
		return fmt.Errorf("ask a third party: %w", ctx.Err())
	case strings.Contains(err.Error(), "server response headers exceeded"): // net/http has no type for it
		return ErrHeaderTooLarge
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
