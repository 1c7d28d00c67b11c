package agentsclient

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

const (
	testCaller     = id.User("11111111-1111-4111-8111-111111111111")
	testInvocation = id.Invocation("22222222-2222-4222-8222-222222222222")
)

func toAria() broker.Delivery {
	return broker.Delivery{ID: testInvocation, Owner: testUser, Entity: "aria", Caller: testCaller, Depth: 3, RequestID: "req-1", Input: []byte(`{"n":1.10}`)}
}

func TestADeliveryIsWhatTheContractSays(t *testing.T) {
	host := newStandIn(t, says(json11(200, `{"content":"hello","n":1.10}`)))
	status, body, err := host.client().Deliver(t.Context(), toAria())
	if status != 200 || string(body) != `{"content":"hello","n":1.10}` || err != nil {
		t.Fatalf("got %d %s, %v", status, body, err)
	}
	got := host.requests()[0]
	const wantBody = `{"kind":"invoke","id":"` + string(testInvocation) + `","input":{"n":1.10},"caller_user_id":"` + string(testCaller) + `","depth":3}`
	if got.line != "POST /entities/aria/deliveries HTTP/1.1" || got.body != wantBody {
		t.Errorf("got %s\n%s\nwant\n%s", got.line, got.body, wantBody)
	}
	for _, header := range []string{"X-API-Key: " + testKey, "X-User-Id: " + string(testUser), "X-Request-ID: req-1", "Accept: application/json", "Content-Type: application/json"} {
		if n := len(slices.DeleteFunc(slices.Clone(got.headers), func(h string) bool { return h != header })); n != 1 {
			t.Errorf("%s occurs %d times in %v", header, n, got.headers)
		}
	}
	if slices.ContainsFunc(got.headers, func(h string) bool {
		return strings.HasPrefix(h, "Idempotency-Key") || strings.Contains(h, string(testCaller))
	}) {
		t.Errorf("the caller or a key is in a header: %v", got.headers)
	}
}

// What the host answers, and what becomes of it: a reply, or one of the errors of the
// broker. Nothing is ever sent twice.
func TestEveryAnswerToADeliveryHasAMeaning(t *testing.T) {
	const content = `{"content":"hello"}`
	for name, c := range map[string]struct {
		answer func(net.Conn, received) bool
		status int
		body   string
		err    error
	}{
		"content":          {says(json11(200, content)), 200, content, nil},
		"null content":     {says(json11(200, `{"content":null}`)), 200, `{"content":null}`, nil},
		"compressed":       {says(http11(200, "Content-Encoding: gzip\r\nContent-Type: application/json", zipped(t, []byte(content)))), 200, content, nil},
		"paused":           {says(json11(409, `{"detail":"x","code":"entity_paused"}`)), 409, "", nil},
		"gone":             {says(json11(404, `{"detail":"x","code":"not_found"}`)), 404, "", nil},
		"refused, no JSON": {says(http11(422, "Content-Type: text/html", "<html>")), 422, "", nil},
		"refused, endless": {func(c net.Conn, r received) bool {
			says("HTTP/1.1 409 Conflict\r\n\r\n")(c, r)
			return endless(c, "aaaaaaaa")
		}, 409, "", nil},
		"401 is our fault":    {says(json11(401, `{}`)), 0, "", broker.ErrUnreachable},
		"302":                 {says(http11(302, "Location: /", "")), 0, "", broker.ErrUnreachable},
		"500":                 {says(json11(500, `{"content":"x"}`)), 0, "", broker.ErrUnreachable},
		"502":                 {says(json11(502, `{}`)), 0, "", broker.ErrUnreachable},
		"504":                 {says(json11(504, `{}`)), 0, "", broker.ErrDeadline},
		"204":                 {says("HTTP/1.1 204 No Content\r\n\r\n"), 0, "", broker.ErrUnreachable},
		"HTML":                {says(http11(200, "Content-Type: text/html", content)), 0, "", broker.ErrUnreachable},
		"a list":              {says(json11(200, "["+content+"]")), 0, "", broker.ErrUnreachable},
		"no content":          {says(json11(200, `{"reply":"hello"}`)), 0, "", broker.ErrUnreachable},
		"content is a number": {says(json11(200, `{"content":7}`)), 0, "", broker.ErrUnreachable},
		"content twice":       {says(json11(200, `{"content":"a","content":"b"}`)), 0, "", broker.ErrUnreachable},
		"two values":          {says(json11(200, content+content)), 0, "", broker.ErrUnreachable},
		"too large":           {says(json11(200, `{"content":"`+strings.Repeat("a", 1<<20)+`"}`)), 0, "", broker.ErrTooLarge},
		"bomb":                {says(http11(200, "Content-Encoding: gzip\r\nContent-Type: application/json", zipped(t, []byte(`{"content":"`+strings.Repeat("a", 8<<20)+`"}`)))), 0, "", broker.ErrTooLarge},
		"endless":             {func(c net.Conn, _ received) bool { return endless(c, "aaaaaaaaaaaaaaaa") }, 0, "", broker.ErrTooLarge},
		"hang":                {func(net.Conn, received) bool { time.Sleep(600 * time.Millisecond); return false }, 0, "", broker.ErrDeadline},
		"hang in the body":    {says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), 0, "", broker.ErrDeadline},
		"reset":               {func(c net.Conn, _ received) bool { reset(c); return false }, 0, "", broker.ErrUnreachable},
		"closed":              {func(net.Conn, received) bool { return false }, 0, "", broker.ErrUnreachable},
		"cut":                 {saysAndCloses("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), 0, "", broker.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := newStandIn(t, c.answer)
			status, body, err := host.client().Deliver(t.Context(), toAria())
			if status != c.status || string(body) != c.body || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("got %d %.80s, %v, want %d %s, %v", status, body, err, c.status, c.body, c.err)
			}
			if err != nil && strings.Contains(err.Error(), testKey) {
				t.Errorf("the error carries our key: %v", err)
			}
			if n := len(host.requests()); n != 1 {
				t.Errorf("the host heard %d requests, want 1", n)
			}
		})
	}
}

func TestADeliveryEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	host := newStandIn(t, func(net.Conn, received) bool { <-release; return false })
	defer close(release)
	client := host.client(func(c *Config) { c.ChatTimeout = time.Minute })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := client.Deliver(ctx, toAria()); !errors.Is(err, broker.ErrDeadline) {
		t.Errorf("at the deadline: %v", err)
	}
	ctx, leave := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, leave)
	if _, _, err := client.Deliver(ctx, toAria()); !errors.Is(err, context.Canceled) || errors.Is(err, broker.ErrUnreachable) {
		t.Errorf("when the caller leaves: %v", err)
	}
}

func TestADeliveryThatCannotBeSentIsUnreachable(t *testing.T) {
	host := newStandIn(t, says(json11(200, `{"content":"hello"}`)))
	for name, change := range map[string]func(*broker.Delivery){
		"a name that is a path":   func(d *broker.Delivery) { d.Entity = "../x" },
		"no name":                 func(d *broker.Delivery) { d.Entity = "" },
		"an owner with a newline": func(d *broker.Delivery) { d.Owner = "a\r\nX-User-Id: b" },
		"an owner in upper case":  func(d *broker.Delivery) { d.Owner = id.User(strings.ToUpper(string(testUser))) },
	} {
		d := toAria()
		change(&d)
		if _, _, err := host.client().Deliver(t.Context(), d); !errors.Is(err, broker.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := host.client(func(c *Config) { c.Key = secret.New("") }).Deliver(t.Context(), toAria()); !errors.Is(err, broker.ErrUnreachable) {
		t.Errorf("without a key: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	down, err := New(Config{BaseURL: "http://" + ln.Addr().String(), Key: secret.New(testKey)})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := down.Deliver(t.Context(), toAria()); !errors.Is(err, broker.ErrUnreachable) {
		t.Errorf("a host that is down: %v", err)
	}
	if n := len(host.requests()); n != 0 {
		t.Errorf("the host heard %d requests, want none", n)
	}
}

// Answers to deliveries at the same time are never mixed up.
func TestDeliveriesAtOnceGetTheirOwnAnswers(t *testing.T) {
	host := newStandIn(t, func(c net.Conn, r received) bool {
		_, after, _ := strings.Cut(r.body, `"input":{"n":"`)
		n, _, _ := strings.Cut(after, `"`)
		_, err := io.WriteString(c, json11(200, `{"content":"`+n+`"}`))
		return err == nil
	})
	client := host.client(func(c *Config) { c.ChatTimeout = 10 * time.Second })
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			d := toAria()
			n := string(rune('a'+i%26)) + strings.Repeat("x", i)
			d.Input = []byte(`{"n":"` + n + `"}`)
			if _, body, err := client.Deliver(t.Context(), d); err != nil || string(body) != `{"content":"`+n+`"}` {
				t.Errorf("got %s, %v, want %s", body, err, n)
			}
		})
	}
	group.Wait()
}

func TestAMessageOfANetworkIsDeliveredLikeAnInvocation(t *testing.T) {
	const message = "33333333-3333-4333-8333-333333333333"
	toAria := network.HostDelivery{Kind: network.Call, ID: message, Owner: testUser, Entity: "aria", Caller: testCaller, Depth: 2, RequestID: "req-1", Payload: []byte(`{"content":"hi"}`)}
	for _, test := range []struct {
		name   string
		answer func(net.Conn, received) bool
		status int
		body   string
		err    error
	}{
		{"content", says(json11(200, `{"content":"hello"}`)), 200, `{"content":"hello"}`, nil},
		{"null", says(json11(200, `{"content":null}`)), 200, `{"content":null}`, nil},
		{"paused", says(json11(409, `{"detail":"x","code":"entity_paused"}`)), 409, "", nil},
		{"500", says(json11(500, `{}`)), 0, "", network.ErrUnreachable},
		{"504", says(json11(504, `{}`)), 0, "", network.ErrDeadline},
		{"too large", says(json11(200, `{"content":"`+strings.Repeat("a", 1<<20)+`"}`)), 0, "", network.ErrTooLarge},
		{"closed", func(net.Conn, received) bool { return false }, 0, "", network.ErrUnreachable},
		{"hang", func(net.Conn, received) bool { time.Sleep(600 * time.Millisecond); return false }, 0, "", network.ErrDeadline},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			host := newStandIn(t, test.answer)
			got, err := host.client().DeliverMessage(t.Context(), toAria)
			if got.Status != test.status || string(got.Body) != test.body || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("got %d %.80s, %v, want %d %s, %v", got.Status, got.Body, err, test.status, test.body, test.err)
			}
			request := host.requests()[0]
			const want = `{"kind":"call","id":"` + message + `","payload":{"content":"hi"},"caller_user_id":"` + string(testCaller) + `","depth":2}`
			if request.line != "POST /entities/aria/deliveries HTTP/1.1" || request.body != want || !slices.Contains(request.headers, "X-User-Id: "+string(testUser)) {
				t.Errorf("got %s\n%s\nwant\n%s", request.line, request.body, want)
			}
		})
	}
}
