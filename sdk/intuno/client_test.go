package intuno

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/IntunoAI/intuno-go/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	userA  = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	userB  = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
	secret = "s3cr3t-0123456789abcdef0123456789abcdef"
)

// transport answers requests without a network.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// answer is a response; header is names and values in turn.
func answer(status int, body string, header ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func newClient(t testing.TB, base string, opts ...Option) *Client {
	t.Helper()
	c, err := NewClient(base, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// serve is a client of a real server with that handler.
func serve(t testing.TB, h http.HandlerFunc, opts ...Option) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return newClient(t, server.URL, opts...)
}

func TestTheBaseURLIsAnOriginAndAPath(t *testing.T) {
	for base, want := range map[string]string{
		"http://h":                     "http://h/auth/me",
		"https://h:8443/":              "https://h:8443/auth/me",
		"http://h/wisdom/v%2F1/":       "http://h/wisdom/v%2F1/auth/me",
		"http://[::1]:8000/a":          "http://[::1]:8000/a/auth/me",
		"":                             "",
		"h":                            "",
		"h:8000":                       "",
		"/path":                        "",
		"//h":                          "",
		"http://":                      "",
		"http://:8000":                 "",
		"http:h":                       "",
		"ftp://h":                      "",
		"unix:///run/x":                "",
		"http://ada:hunter2@h":         "",
		"http://ada@h":                 "",
		"http://h?":                    "",
		"http://h?x=1":                 "",
		"http://h#":                    "",
		"http://h#x":                   "",
		"http://h/a/../b":              "",
		"http://h/%2e%2e/b":            "",
		"http://h//b":                  "",
		"http://h/%zz":                 "",
		"http://ada:hunter2@h:port/%z": "",
	} {
		var got string
		c, err := NewClient(base, WithTransport(transport(func(r *http.Request) (*http.Response, error) {
			got = r.URL.String()
			return answer(200, `{}`), nil
		})))
		if want == "" {
			if err == nil || c != nil {
				t.Errorf("%q is taken", base)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: the error repeats the password: %v", base, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", base, err)
			continue
		}
		if _, err := c.Me(t.Context()); err != nil || got != want {
			t.Errorf("%q: asked %q (%v), want %q", base, got, err, want)
		}
	}
}

// sent is the headers of a request that say who calls.
func sent(t testing.TB, ask func(*Client) error, opts ...Option) http.Header {
	t.Helper()
	got := http.Header{}
	c := newClient(t, "http://h", append(opts, WithTransport(transport(func(r *http.Request) (*http.Response, error) {
		for _, name := range []string{"Authorization", "X-Api-Key", "X-Service-Key", "X-On-Behalf-Of", "X-Request-Id", "X-Invocation-Depth", "User-Agent", "Cookie"} {
			if values := r.Header.Values(name); len(values) > 0 {
				got[name] = values
			}
		}
		return answer(200, `{}`), nil
	})))...)
	if err := ask(c); err != nil {
		t.Fatal(err)
	}
	return got
}

func me(c *Client) error { _, err := c.Me(context.Background()); return err }

func TestExactlyOneKindOfCredentialIsSent(t *testing.T) {
	plainKey := WithServiceKey(secret)
	for _, test := range []struct {
		name string
		opts []Option
		want http.Header
	}{
		{"none", nil, http.Header{}},
		{"an API key", []Option{WithAPIKey("wsk_1")}, http.Header{"X-Api-Key": {"wsk_1"}}},
		{"a token", []Option{WithToken("eyJ")}, http.Header{"Authorization": {"Bearer eyJ"}}},
		{"a service", []Option{plainKey.ActingFor(strings.ToUpper(userA))}, http.Header{"X-Service-Key": {secret}, "X-On-Behalf-Of": {userA}}},
		{"more", []Option{WithToken("eyJ"), WithRequestID("r-1"), WithDepth(3)},
			http.Header{"Authorization": {"Bearer eyJ"}, "X-Request-Id": {"r-1"}, "X-Invocation-Depth": {"3"}}},
	} {
		test.want.Set("User-Agent", "intuno-go")
		if got := sent(t, me, test.opts...); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: sent %v, want %v", test.name, got, test.want)
		}
	}
}

func TestWithReplacesTheCredentialAndLeavesTheOriginalAlone(t *testing.T) {
	key := WithServiceKey(secret)
	ask := func(opts ...Option) func(*Client) error {
		return func(c *Client) error {
			other, err := c.With(opts...)
			if err != nil {
				return err
			}
			if other.transport == nil || reflect.ValueOf(other.transport).Pointer() != reflect.ValueOf(c.transport).Pointer() {
				return errors.New("the copy has its own connections")
			}
			return me(other)
		}
	}
	got := sent(t, ask(key.ActingFor(userB), WithRequestID("turn-2"), WithDepth(1)), key.ActingFor(userA), WithRequestID("turn-1"))
	want := http.Header{"X-Service-Key": {secret}, "X-On-Behalf-Of": {userB}, "X-Request-Id": {"turn-2"}, "X-Invocation-Depth": {"1"}, "User-Agent": {"intuno-go"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("another user: sent %v, want %v", got, want)
	}
	got = sent(t, ask(WithToken("eyJ"), WithUserAgent("Mine/1.0 (test)")), key.ActingFor(userA))
	if want := (http.Header{"Authorization": {"Bearer eyJ"}, "User-Agent": {"Mine/1.0 (test)"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("another kind: sent %v, want %v", got, want)
	}
	got = sent(t, func(c *Client) error { return errors.Join(ask(key.ActingFor(userB), WithDepth(7))(c), me(c)) }, key.ActingFor(userA))
	if got.Get("X-On-Behalf-Of") != userA { // the last request was of the original
		t.Errorf("the original changed: %v", got)
	}
}

func TestPublicRoutesGetNoCredential(t *testing.T) {
	for name, ask := range map[string]func(*Client) error{
		"register":      func(c *Client) error { _, err := c.Register(t.Context(), api.NewUser{}); return err },
		"login":         func(c *Client) error { _, err := c.Login(t.Context(), "", ""); return err },
		"agent card":    func(c *Client) error { _, err := c.AgentCard(t.Context(), "a"); return err },
		"platform card": func(c *Client) error { _, err := c.PlatformCard(t.Context()); return err },
		"mcp card":      func(c *Client) error { _, err := c.MCPServerCard(t.Context()); return err },
	} {
		if got := sent(t, ask, WithAPIKey("wsk_1")); !reflect.DeepEqual(got, http.Header{"User-Agent": {"intuno-go"}}) {
			t.Errorf("%s: sent %v", name, got)
		}
	}
}

func TestOptionsThatCannotBeSentAreRefused(t *testing.T) {
	for name, opts := range map[string][]Option{
		"an empty API key":              {WithAPIKey("")},
		"an API key of two lines":       {WithAPIKey(secret + "\r\nX-Service-Key: x")},
		"an API key with a space":       {WithAPIKey(secret + " ")},
		"an empty token":                {WithToken("")},
		"a token outside ASCII":         {WithToken(secret + "é")},
		"an endless token":              {WithToken(strings.Repeat("x", 8001))},
		"an empty service key":          {WithServiceKey("").ActingFor(userA)},
		"a zero service key":            {ServiceKey{}.ActingFor(userA)},
		"a service key for nobody":      {WithServiceKey(secret).ActingFor("")},
		"a service key for a name":      {WithServiceKey(secret).ActingFor("ada")},
		"a service key for a urn":       {WithServiceKey(secret).ActingFor("urn:uuid:" + userA)},
		"a service key for plain hex":   {WithServiceKey(secret).ActingFor(strings.ReplaceAll(userA, "-", ""))},
		"a service key for two lines":   {WithServiceKey(secret).ActingFor(userA[:35] + "\n")},
		"two credentials":               {WithAPIKey("wsk_1"), WithToken("eyJ")},
		"two users":                     {WithServiceKey(secret).ActingFor(userA), WithServiceKey(secret).ActingFor(userB)},
		"no transport":                  {WithTransport(nil)},
		"a negative timeout":            {WithTimeout(-1)},
		"negative retries":              {WithRetries(-1)},
		"endless retries":               {WithRetries(11)},
		"a negative depth":              {WithDepth(-1)},
		"an empty request id":           {WithRequestID("")},
		"a long request id":             {WithRequestID(strings.Repeat("x", 65))},
		"a request id with a tilde":     {WithRequestID("a~b")},
		"a user agent of two lines":     {WithUserAgent("a\nb")},
		"a user agent that is not said": {WithUserAgent("")},
	} {
		c, err := NewClient("http://h", opts...)
		if err == nil || c != nil {
			t.Errorf("%s is taken", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error repeats the secret: %v", name, err)
		}
	}
}

func TestNothingPrintsACredential(t *testing.T) {
	broken := transport(func(*http.Request) (*http.Response, error) { return nil, errors.New("broken") })
	for _, opt := range []Option{WithAPIKey(secret), WithToken(secret), WithServiceKey(secret).ActingFor(userA)} {
		c := newClient(t, "http://h/p", opt, WithTransport(broken), WithRetries(0))
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "c", c, "v", *c)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "c", c, "v", *c)
		text, _ := json.Marshal(map[string]any{"c": c})
		_, err := c.Me(t.Context())
		for _, printed := range []string{
			fmt.Sprintf("%v %+v %#v %s %q %x %d", c, c, c, c, c, c, c), fmt.Sprintf("%v %+v %#v %s", *c, *c, *c, *c),
			fmt.Sprintf("%+v %#v", struct{ c Client }{*c}, struct{ c *Client }{c}), fmt.Sprintf("%+v %#v", []any{*c, c}, map[int]*Client{1: c}),
			log.String(), string(text), fmt.Sprintf("%+v %#v", opt, WithServiceKey(secret)), err.Error(), fmt.Sprintf("%+v %#v", err, err),
		} {
			if strings.Contains(printed, secret) || strings.Contains(printed, fmt.Sprintf("%x", secret)) || strings.Contains(printed, fmt.Sprint([]byte(secret))) {
				t.Errorf("printed the secret: %s", printed)
			}
		}
		if got := fmt.Sprint(c); !strings.HasPrefix(got, "intuno.Client(http://h/p, ") {
			t.Errorf("printed %q", got)
		}
	}
	if got := fmt.Sprint(newClient(t, "http://h")); got != "intuno.Client(http://h, no credential)" {
		t.Errorf("printed %q", got)
	}
}

func TestManyCallersShareAClient(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"id":%q,"email":%q}`, r.Header.Get("X-On-Behalf-Of"), r.Header.Get("X-Request-ID"))
	})
	key := WithServiceKey(secret)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			user, request := fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), fmt.Sprintf("r%d", i)
			for range 20 {
				mine, err := c.With(key.ActingFor(user), WithRequestID(request))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := mine.Me(t.Context()); err != nil || got.ID != user || got.Email != request {
					t.Errorf("got %v (%v), want %s %s", got, err, user, request)
				}
			}
		})
	}
	wg.Wait()
}

func TestACallEndsWithItsTimeoutOrItsContext(t *testing.T) {
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	slow := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-block:
		case <-r.Context().Done():
		}
	}
	if _, err := serve(t, slow, WithTimeout(20*time.Millisecond)).Me(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("timeout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := serve(t, slow).Me(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("context: %v", err)
	}
}
