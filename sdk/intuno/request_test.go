package intuno

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IntunoAI/intuno-go/api"
)

const refused = `{"detail":"No","code":"%s","request_id":"r"}`

func TestCallsThatMayBeRepeatedAreRepeated(t *testing.T) {
	get := func(ctx context.Context, c *Client) error { _, err := c.Me(ctx); return err }
	post := func(ctx context.Context, c *Client) error {
		_, err := c.Invoke(ctx, api.InvokeRequest{AgentID: "a", Input: api.Object(`{}`)})
		return err
	}
	put := func(ctx context.Context, c *Client) error { _, err := c.PutMemory(ctx, "aria", "k", "v"); return err }
	remove := func(ctx context.Context, c *Client) error { return c.DeleteAgent(ctx, userA) }
	once := func(ctx context.Context, c *Client) error {
		_, err := c.SendMessage(ctx, "aria", "hi", Once("k1"))
		return err
	}
	export := func(ctx context.Context, c *Client) error {
		r, err := c.ExportEntity(ctx, "aria")
		if err == nil {
			err = r.Close()
		}
		return err
	}
	stream := func(ctx context.Context, c *Client) error {
		s, err := c.InvokeStream(ctx, api.InvokeRequest{AgentID: "a", Input: api.Object(`{}`)})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	reset := func() (*http.Response, error) { return nil, errors.New("connection reset") }
	status := func(n int, code string, header ...string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return answer(n, fmt.Sprintf(refused, code), header...), nil }
	}
	broken := func() (*http.Response, error) {
		r := answer(200, "")
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"id":`), errReader{}))
		return r, nil
	}
	for _, test := range []struct {
		name  string
		call  func(context.Context, *Client) error
		fault func() (*http.Response, error)
		want  int // requests, of which all fail
	}{
		{"a GET after a broken connection", get, reset, 3},
		{"a GET after a broken answer", get, broken, 3},
		{"a GET after 502", get, status(502, "entity_host_error"), 3},
		{"a GET after 503", get, status(503, "overloaded", "Retry-After", "2"), 3},
		{"a GET after 504", get, status(504, ""), 3},
		{"a GET after 429 with Retry-After", get, status(429, "rate_limited", "Retry-After", "7"), 3},
		{"a GET after 429 with a far Retry-After", get, status(429, "message_quota_exceeded", "Retry-After", "86400"), 1},
		{"a GET after 429 without Retry-After", get, status(429, "entity_quota_exceeded"), 1},
		{"a GET after 500", get, status(500, "internal_error"), 1},
		{"a GET after 404", get, status(404, "not_found"), 1},
		{"a GET after a redirect", get, status(302, ""), 1},
		{"a GET after an answer that is no JSON", get, func() (*http.Response, error) { return answer(200, "<html>"), nil }, 1},
		{"an export after a broken connection", export, reset, 3},
		{"an export after 503", export, status(503, "overloaded"), 3},
		{"a POST after a broken connection", post, reset, 1},
		{"a POST after 503", post, status(503, "overloaded", "Retry-After", "1"), 1},
		{"a POST after 429", post, status(429, "rate_limited", "Retry-After", "1"), 1},
		{"a stream after a broken connection", stream, reset, 1},
		{"a PUT after a broken connection", put, reset, 1},
		{"a DELETE after a broken connection", remove, reset, 1},
		{"a POST with a key after a broken connection", once, reset, 3},
		{"a POST with a key after 502", once, status(502, "entity_host_error"), 3},
		{"a POST with a key whose first is under way", once, status(409, "idempotency_in_progress", "Retry-After", "1"), 3},
		{"a POST with a key after another conflict", once, status(409, "turn_in_progress", "Retry-After", "1"), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin, asked, keys := time.Now(), 0, map[string]bool{}
			c := newClient(t, "http://h", WithTransport(transport(func(r *http.Request) (*http.Response, error) {
				asked++
				keys[r.Header.Get("Idempotency-Key")] = true
				if r.Body != nil {
					if text, err := io.ReadAll(r.Body); err != nil || len(text) == 0 {
						t.Errorf("%s: body %q (%v)", test.name, text, err)
					}
				}
				return test.fault()
			})))
			if err := test.call(t.Context(), c); err == nil || asked != test.want || len(keys) != 1 {
				t.Errorf("%s: asked %d times with keys %v, want %d: %v", test.name, asked, keys, test.want, err)
			}
			if waited := time.Since(begin); waited > 0 && test.want == 1 {
				t.Errorf("%s: waited %v for nothing", test.name, waited)
			}
		})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestARepetitionThatSucceedsIsASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, n := time.Now(), 0
		c := newClient(t, "http://h", WithTransport(transport(func(*http.Request) (*http.Response, error) {
			switch n++; n {
			case 1:
				return answer(429, "{}", "Retry-After", "5"), nil
			case 2:
				return answer(503, "{}", "Retry-After", time.Now().Add(9*time.Second).UTC().Format(http.TimeFormat),
					"Date", time.Now().UTC().Format(http.TimeFormat)), nil
			}
			return answer(200, `{"id":"x"}`), nil
		})))
		u, err := c.Me(t.Context())
		if waited := time.Since(begin); err != nil || u.ID != "x" || waited != 14*time.Second {
			t.Errorf("got %v after %v (%v), want x after 14s", u, waited, err)
		}
	})
}

func TestTheWaitGrowsAndEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		c := newClient(t, "http://h", WithRetries(10), WithTimeout(0), WithTransport(transport(func(*http.Request) (*http.Response, error) {
			at = append(at, time.Now())
			return nil, io.ErrUnexpectedEOF
		})))
		if _, err := c.Me(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) || len(at) != 11 {
			t.Fatalf("asked %d times: %v", len(at), err)
		}
		for i := 1; i < len(at); i++ {
			if wait, mean := at[i].Sub(at[i-1]), firstWait<<(i-1); wait < mean/2 || wait > mean*3/2 {
				t.Errorf("wait %d is %v, want about %v", i, wait, mean)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := c.Me(ctx)
		if waited := time.Since(begin); waited != time.Second || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("ended after %v with %v, want 1s and both causes", waited, err)
		}
	})
}

// cutter is a server that answers the first request of every connection, and reads but
// does not answer the second: the connection then breaks under the client.
func cutter(t *testing.T, second *atomic.Int64) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for n := 0; ; n++ {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					if n > 0 {
						second.Add(1)
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

func TestWhatMayNotBeRepeatedReachesTheServerOnceWhenAKeptConnectionBreaks(t *testing.T) {
	for name, call := range map[string]func(*Client) error{
		"invoke": func(c *Client) error {
			_, err := c.Invoke(t.Context(), api.InvokeRequest{AgentID: "a", Input: api.Object(`{}`)})
			return err
		},
		"message":          func(c *Client) error { _, err := c.SendMessage(t.Context(), "aria", "hi"); return err },
		"message with key": func(c *Client) error { _, err := c.SendMessage(t.Context(), "aria", "hi", Once("k")); return err },
		"resume, no body":  func(c *Client) error { _, err := c.ResumeEntity(t.Context(), "aria"); return err },
		"put":              func(c *Client) error { _, err := c.PutMemory(t.Context(), "aria", "k", "v"); return err },
		"delete":           func(c *Client) error { return c.DeleteAgent(t.Context(), userA) },
	} {
		var second atomic.Int64
		c := newClient(t, cutter(t, &second), WithRetries(0))
		if _, err := c.Me(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := call(c); err == nil {
			t.Errorf("%s: no error", name)
		}
		if n := second.Load(); n != 1 {
			t.Errorf("%s: reached the server %d times, want once", name, n)
		}
		c.CloseIdleConnections()
	}
}

func TestRedirectsAreNeverFollowed(t *testing.T) {
	var elsewhere atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer thief.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL+r.URL.Path, status) }, WithAPIKey(secret))
		for name, call := range map[string]func() error{
			"GET":    func() error { _, err := c.Me(t.Context()); return err },
			"POST":   func() error { _, err := c.CreateAPIKey(t.Context(), api.NewAPIKey{Name: "n"}); return err },
			"DELETE": func() error { return c.DeleteAPIKey(t.Context(), userA) },
			"stream": func() error {
				_, err := c.InvokeStream(t.Context(), api.InvokeRequest{Input: api.Object(`{}`)})
				return err
			},
			"export": func() error { _, err := c.ExportEntity(t.Context(), "aria"); return err },
		} {
			err := call()
			var e *Error
			if !errors.As(err, &e) || e.Status != status || !errors.Is(err, ErrAnswer) || strings.Contains(err.Error(), thief.URL) {
				t.Errorf("%s %d: %v", name, status, err)
			}
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

func TestAnswersThatCannotBeUnderstoodAreErrors(t *testing.T) {
	for name, body := range map[string]string{
		"no body": "", "HTML": "<html>", "null": "null", "a list": "[]", "a string": `"x"`, "two values": "{}{}", "half a value": `{"id":`,
		"rubbish behind": "{} x", "a number for a string": `{"id":1}`, "no timestamp": `{"created_at":"yesterday"}`,
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		if u, err := c.Me(t.Context()); !errors.Is(err, ErrAnswer) || u != (api.User{}) {
			t.Errorf("%s: got %v (%v)", name, u, err)
		}
	}
	for name, body := range map[string]string{"an object": "{}", "null": "null"} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		if _, err := c.APIKeys(t.Context()); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s for a list: %v", name, err)
		}
	}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, ` {"id":"x","new":{"later":[1]},"created_at":"2026-04-23T14:00:00.5+02:00"}`+"\n")
	})
	if u, err := c.Me(t.Context()); err != nil || u.ID != "x" || u.CreatedAt.String() != "2026-04-23T12:00:00.500000Z" {
		t.Errorf("further members: %v (%v)", u, err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	for _, status := range []int{200, 400} {
		body := &endless{text: strings.Repeat(" ", 4096)}
		c := newClient(t, "http://h", WithTransport(transport(func(*http.Request) (*http.Response, error) {
			r := answer(status, "")
			r.Body = io.NopCloser(body)
			return r, nil
		})))
		_, err := c.Me(t.Context())
		var e *Error
		if status == 200 && !errors.Is(err, ErrAnswer) || status == 400 && (!errors.As(err, &e) || e.Status != 400) || body.read > maxAnswer+1<<20 {
			t.Errorf("%d: %d bytes were taken: %v", status, body.read, err)
		}
	}
	bomb := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.CopyN(z, &endless{text: strings.Repeat(" ", 4096)}, maxAnswer+1)
		_ = z.Close()
	})
	if _, err := bomb.Me(t.Context()); !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("compressed: %v", err)
	}
	export := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.CopyN(w, &endless{text: strings.Repeat(" ", 4096)}, maxAnswer+9)
	})
	r, err := export.ExportEntity(t.Context(), "aria")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != maxAnswer+9 || err != nil || r.Close() != nil {
		t.Errorf("export: %d bytes (%v)", n, err)
	}
}

func TestWhatCouldMeanAnotherRouteIsNotSent(t *testing.T) {
	c := newClient(t, "http://h", WithTransport(transport(func(r *http.Request) (*http.Response, error) {
		t.Errorf("sent %s %s", r.Method, r.URL)
		return answer(204, ""), nil
	})))
	for _, bad := range []string{"", ".", "..", "a/b", "a%2fb", "a?b", "a#b", "a b", "a\nb", "é", `a\b`, "*", strings.Repeat("x", 256)} {
		for name, call := range map[string]func() error{
			"memory":  func() error { return c.DeleteMemory(t.Context(), "aria", bad) },
			"entity":  func() error { return c.DeleteMemory(t.Context(), bad, "k") },
			"agent":   func() error { return c.DeleteAgent(t.Context(), bad) },
			"card":    func() error { _, err := c.AgentCard(t.Context(), bad); return err },
			"message": func() error { _, err := c.SendMessage(t.Context(), bad, "hi"); return err },
			"follow":  func() error { _, err := c.FollowMessage(t.Context(), "aria", bad, 0); return err },
			"export":  func() error { _, err := c.ExportEntity(t.Context(), bad); return err },
			"key":     func() error { return c.DeleteIntegrationKey(t.Context(), userA, bad) },
		} {
			if err := call(); !errors.Is(err, ErrArgument) {
				t.Errorf("%s %q: %v", name, bad, err)
			}
		}
	}
	if _, err := c.SendMessage(t.Context(), "aria", "hi", Once("a\nb")); !errors.Is(err, ErrArgument) {
		t.Errorf("key: %v", err)
	}
	if _, err := c.CreateEntity(t.Context(), api.NewEntity{Name: "a"}, Once(strings.Repeat("x", 256))); !errors.Is(err, ErrArgument) {
		t.Errorf("long key: %v", err)
	}
	if _, err := c.Invoke(t.Context(), api.InvokeRequest{Input: api.Object(`{"a":`)}); !errors.Is(err, ErrArgument) {
		t.Errorf("input: %v", err)
	}
	for _, v := range []any{nil, 1, []int{}, func() {}} {
		if o, err := Object(v); !errors.Is(err, ErrArgument) || o != nil {
			t.Errorf("object of %T: %s (%v)", v, o, err)
		}
	}
	if o, err := Object(map[string]int{"a": 1}); err != nil || string(o) != `{"a":1}` {
		t.Errorf("object: %s (%v)", o, err)
	}
}

func TestTheQueryIsWhatWasAskedFor(t *testing.T) {
	var got string
	c := newClient(t, "http://h", WithTransport(transport(func(r *http.Request) (*http.Response, error) {
		got = r.URL.RequestURI()
		return answer(200, `[]`), nil
	})))
	threshold, at := 0.25, time.Date(2026, 4, 23, 14, 0, 0, 0, time.FixedZone("", 7200))
	for want, call := range map[string]func() error{
		"/registry/discover?query=": func() error { _, err := c.Discover(t.Context(), Discovery{}); return err },
		"/registry/discover?limit=5&query=a%26b%3D+%C3%A9%23&rank_by=quality_first&similarity_threshold=0.25": func() error {
			_, err := c.Discover(t.Context(), Discovery{Query: "a&b= é#", Limit: 5, RankBy: RankQualityFirst, Threshold: &threshold})
			return err
		},
		"/registry/agents": func() error { _, err := c.Agents(t.Context(), AgentQuery{}); return err },
		"/registry/agents?category=c&days=3&limit=2&offset=4&order=asc&search=s&sort=name&tags=a&tags=b%2Cc": func() error {
			_, err := c.Agents(t.Context(), AgentQuery{Tags: []string{"a", "b,c"}, Search: "s", Category: "c", Sort: "name", Order: "asc", Days: 3, Page: Page{2, 4}})
			return err
		},
		"/registry/agents/new?days=2&limit=1":              func() error { _, err := c.NewAgents(t.Context(), RecentQuery{2, Page{Limit: 1}}); return err },
		"/registry/agents/trending?limit=1&window_days=30": func() error { _, err := c.TrendingAgents(t.Context(), TrendingQuery{30, 1}); return err },
		"/registry/my-agents?limit=500&offset=1":           func() error { _, err := c.MyAgents(t.Context(), Page{500, 1}); return err },
		"/broker/logs?agent_id=x&from_date=2026-04-23T12%3A00%3A00.000000Z&limit=1&status=error&to_date=2026-04-23T12%3A00%3A01.000000Z": func() error {
			_, err := c.Logs(t.Context(), LogQuery{AgentID: "x", From: at, To: at.Add(time.Second), Status: "error", Page: Page{Limit: 1}})
			return err
		},
		"/conversations?external_user_id=e+1&integration_id=i": func() error {
			_, err := c.Conversations(t.Context(), ConversationQuery{IntegrationID: "i", ExternalUserID: "e 1"})
			return err
		},
		"/personal/entities/aria/messages?before=m&limit=9":         func() error { _, err := c.ChatMessages(t.Context(), "aria", ChatQuery{9, "m"}); return err },
		"/personal/entities/aria/memories?after=b&limit=3&prefix=a": func() error { _, err := c.Memories(t.Context(), "aria", MemoryQuery{"a", 3, "b"}); return err },
	} {
		if err := call(); err != nil || got != want {
			t.Errorf("asked %s (%v), want %s", got, err, want)
		}
	}
}

func TestAPatchSaysWhatItChangesAndNothingElse(t *testing.T) {
	var got string
	c := newClient(t, "http://h", WithTransport(transport(func(r *http.Request) (*http.Response, error) {
		text, err := io.ReadAll(r.Body)
		got = string(text)
		return answer(200, `{}`), err
	})))
	empty, off := "", false
	for want, call := range map[string]func() error{
		`{}`: func() error { _, err := c.UpdateAgent(t.Context(), userA, api.AgentPatch{}); return err },
		`{"input_schema":{},"tags":[],"category":"","is_active":false}`: func() error {
			_, err := c.UpdateAgent(t.Context(), userA, api.AgentPatch{Tags: []string{}, Category: &empty, InputSchema: api.Object(`{}`), IsActive: &off})
			return err
		},
		`{"model":null,"temperature":0.5,"tools":[],"memory_enabled":false}`: func() error {
			_, err := c.UpdateEntity(t.Context(), "aria", api.EntityPatch{Model: api.Null[string](), Temperature: api.Value(0.5), Tools: []string{}, MemoryEnabled: &off})
			return err
		},
		`{"name":"aria"}`: func() error { _, err := c.CreateEntity(t.Context(), api.NewEntity{Name: "aria"}); return err },
		`{"name":"n","description":"d","hosted_entity":"aria"}`: func() error {
			hosted := "aria"
			_, err := c.RegisterAgent(t.Context(), api.NewAgent{Name: "n", Description: "d", HostedEntity: &hosted})
			return err
		},
	} {
		if err := call(); err != nil || got != want {
			t.Errorf("sent %s (%v), want %s", got, err, want)
		}
	}
}
