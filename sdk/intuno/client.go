package intuno

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls one server. It is safe for concurrent use. Its methods return errors of
// the transport and of the context, *Error for what the server refused, ErrAnswer for
// what cannot be understood, and ErrArgument for what cannot be sent.
type Client struct {
	origin      string // scheme://host
	prefix      string // escaped path before every route, without a slash at its end
	transport   http.RoundTripper
	credential  credential
	userAgent   string
	requestID   string
	depth       string
	timeout     time.Duration
	turnTimeout time.Duration
	retries     int
}

const (
	defaultTimeout     = 30 * time.Second
	defaultTurnTimeout = 70 * time.Second // the server gives a turn 60 s
	defaultRetries     = 2
	defaultUserAgent   = "intuno-go"
	maxHeader          = 64 << 10
)

// NewClient returns a client of the server at baseURL: http or https, a host, and a
// path if the server is behind one. It opens no connection.
func NewClient(baseURL string, opts ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil: // its text would repeat what may be a password
		return nil, errors.New("intuno: the base URL cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("intuno: the base URL is not an http or https URL of a host")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(baseURL, "#"):
		return nil, errors.New("intuno: the base URL has user information, a query or a fragment")
	}
	prefix := strings.TrimSuffix(u.EscapedPath(), "/")
	for _, segment := range strings.Split(strings.TrimPrefix(prefix, "/"), "/") {
		if decoded, err := url.PathUnescape(segment); prefix != "" && (err != nil || decoded == "" || decoded == "." || decoded == "..") {
			return nil, errors.New("intuno: the path of the base URL has an empty or a dot segment")
		}
	}
	c := &Client{
		origin: u.Scheme + "://" + u.Host, prefix: prefix, userAgent: defaultUserAgent,
		timeout: defaultTimeout, turnTimeout: defaultTurnTimeout, retries: defaultRetries,
	}
	if c, err = c.With(opts...); err != nil {
		return nil, err
	}
	if c.transport == nil {
		c.transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			ForceAttemptHTTP2:      true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConns:           100,
			MaxIdleConnsPerHost:    32,
			IdleConnTimeout:        60 * time.Second, // half of what the server waits
			MaxResponseHeaderBytes: maxHeader,
		}
	}
	return c, nil
}

// With returns a copy that shares the connections of c and differs by opts. It is
// cheap: a service makes one for every user that it acts for. A credential among opts
// replaces the one of c.
func (c *Client) With(opts ...Option) (*Client, error) {
	other := *c
	s := settings{client: &other}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(&s); err != nil {
			return nil, fmt.Errorf("intuno: %w", err)
		}
	}
	return &other, nil
}

// CloseIdleConnections closes the connections that no request uses, of all clients that
// share them.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Format implements fmt.Formatter for all verbs: the server and the kind of credential.
func (c Client) Format(f fmt.State, _ rune) {
	kind := c.credential.kind
	if kind == "" {
		kind = "no credential"
	}
	_, _ = io.WriteString(f, "intuno.Client("+c.origin+c.prefix+", "+kind+")") // as fmt does
}
