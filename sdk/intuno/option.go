package intuno

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Option changes a client that NewClient or Client.With makes.
type Option func(*settings) error

// settings is what the options of one call add up to.
type settings struct {
	client      *Client
	credentials int
}

// credential puts the one credential of a client on a request. It is a function so
// that nothing that prints a client can print a secret.
type credential struct {
	kind string // for print
	sign func(http.Header)
}

func (s *settings) authenticate(kind string, sign func(http.Header)) error {
	s.credentials++
	if s.credentials > 1 {
		return errors.New("more than one credential: a client acts as one caller only")
	}
	s.client.credential = credential{kind, sign}
	return nil
}

// WithAPIKey authenticates by an API key of a user or an integration.
func WithAPIKey(key string) Option {
	return func(s *settings) error {
		if !sendable(key) {
			return errors.New("the API key is empty or cannot be sent in a header")
		}
		return s.authenticate("api key", func(h http.Header) { h.Set("X-API-Key", key) })
	}
}

// WithToken authenticates by the access token that a login answered.
func WithToken(token string) Option {
	return func(s *settings) error {
		if !sendable(token) {
			return errors.New("the token is empty or cannot be sent in a header")
		}
		return s.authenticate("token", func(h http.Header) { h.Set("Authorization", "Bearer "+token) })
	}
}

// ServiceKey is a service key that still lacks the user to act for. It is no Option:
// a secret that services share must never become an identity that they share.
type ServiceKey struct{ reveal func() string }

// WithServiceKey begins the authentication of a service that acts for users; ActingFor
// completes it. Only few routes accept it (contract §2.3).
func WithServiceKey(key string) ServiceKey { return ServiceKey{func() string { return key }} }

// ActingFor names the user, by id, for whom the service acts.
func (k ServiceKey) ActingFor(userID string) Option {
	return func(s *settings) error {
		if k.reveal == nil || !sendable(k.reveal()) {
			return errors.New("the service key is empty or cannot be sent in a header")
		}
		if !isUUID(userID) {
			return errors.New("a service key needs the id of the user to act for, a UUID with hyphens")
		}
		user := strings.ToLower(userID)
		return s.authenticate("service key", func(h http.Header) {
			h.Set("X-Service-Key", k.reveal())
			h.Set("X-On-Behalf-Of", user)
		})
	}
}

// WithTransport sends requests with t instead of the default transport, which uses the
// proxy that the environment names (http.ProxyFromEnvironment), HTTP/2 where it can,
// and TLS 1.2 or newer. A program that must not use such a proxy passes an
// http.Transport with a nil Proxy. Redirects are not followed and cookies not kept with
// any transport, because no http.Client is involved.
func WithTransport(t http.RoundTripper) Option {
	return func(s *settings) error {
		if t == nil {
			return errors.New("the transport is nil")
		}
		s.client.transport = t
		return nil
	}
}

// WithUserAgent sets the User-Agent header, of visible ASCII and spaces.
func WithUserAgent(name string) Option {
	return func(s *settings) error {
		if !sendable(strings.ReplaceAll(name, " ", "-")) {
			return errors.New("the user agent is empty or cannot be sent in a header")
		}
		s.client.userAgent = name
		return nil
	}
}

// WithTimeout bounds every call, retries included; of calls that answer with a stream
// it bounds every attempt to open it. The default is 30 s, and 70 s for a turn of an
// entity; 0 leaves it to the context.
func WithTimeout(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 {
			return errors.New("the timeout is negative")
		}
		s.client.timeout, s.client.turnTimeout = d, d
		return nil
	}
}

// maxRetries bounds WithRetries.
const maxRetries = 10

// WithRetries sets how often a call that may be repeated is sent again: 0 to 10,
// default 2. The package comment says which calls these are.
func WithRetries(n int) Option {
	return func(s *settings) error {
		if n < 0 || n > maxRetries {
			return fmt.Errorf("%d retries: want 0 to %d", n, maxRetries)
		}
		s.client.retries = n
		return nil
	}
}

// WithRequestID sends X-Request-ID with every request, so that the logs on both sides
// agree: 1 to 64 letters, digits, dots, underscores and hyphens.
func WithRequestID(id string) Option {
	return func(s *settings) error {
		if len(id) > 64 || !plain(id) || strings.Contains(id, "~") {
			return errors.New("the request id is not 1 to 64 letters, digits, dots, underscores and hyphens")
		}
		s.client.requestID = id
		return nil
	}
}

// WithDepth sends X-Invocation-Depth: how many invocations led to this call. The
// broker reads it of services only; 0 sends nothing.
func WithDepth(n int) Option {
	return func(s *settings) error {
		if n < 0 {
			return errors.New("the depth is negative")
		}
		s.client.depth = ""
		if n > 0 {
			s.client.depth = strconv.Itoa(n)
		}
		return nil
	}
}

// CallOption changes one call.
type CallOption func(*request) error

// Once sends an Idempotency-Key, 1 to 255 visible ASCII characters: within 24 hours
// the same call with the same key is done once, and answered as the first time. Such a
// call is repeated like a GET. An answer 429 or 5xx is not kept: after it, the repetition
// runs anew.
func Once(key string) CallOption {
	return func(r *request) error {
		if len(key) > 255 || !sendable(key) {
			return fmt.Errorf("%w: the idempotency key is not 1 to 255 visible ASCII characters", ErrArgument)
		}
		r.once = key
		return nil
	}
}

// sendable reports whether s is visible ASCII, and at most 8000 bytes.
func sendable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 8000
}

// plain reports whether s is of the characters that no URL escapes (RFC 3986 §2.3).
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-', c == '~':
		default:
			return false
		}
	}
	return s != ""
}

// isUUID reports whether s is a UUID with hyphens, in any case.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
