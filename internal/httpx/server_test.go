package httpx

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// testGuard lets a request act as the user named in X-Test-User.
type testGuard struct{ refused, begun, finished []string }

func (g *testGuard) Authenticate(_ context.Context, r Request) (principal.Principal, error) {
	if r.Access == Public {
		return principal.Principal{}, nil
	}
	user := r.Header.Get("X-Test-User")
	if user == "" {
		return principal.Principal{}, fault.New(fault.Unauthorized, "not_authenticated", "no credential")
	}
	return principal.Principal{User: id.User("u-" + user), Via: principal.JWT}, nil
}

func (g *testGuard) Refused(_ context.Context, r Request, _ error, status int) {
	g.refused = append(g.refused, fmt.Sprint(r.Pattern, status))
}

func (g *testGuard) Begin(_ context.Context, r Request, _ principal.Principal) (func(context.Context, int), error) {
	g.begun = append(g.begun, r.Pattern)
	return func(_ context.Context, status int) { g.finished = append(g.finished, fmt.Sprint(r.Pattern, status)) }, nil
}

type thing struct {
	Name  string      `json:"name" minLength:"1" maxLength:"5"`
	Tags  []string    `json:"tags,omitempty" maxItems:"2" itemMaxLength:"3"`
	Count int         `json:"count,omitempty" minimum:"0" maximum:"9"`
	Pin   string      `json:"pin,omitempty" minLength:"4" writeOnly:"true"`
	Meta  Object      `json:"meta,omitempty" nullable:"true" maxBytes:"20"`
	Note  *string     `json:"note,omitempty" nullable:"true" enum:"a,b"`
	Model Opt[string] `json:"model,omitzero" nullable:"true" maxLength:"3"`
}

type thingInput struct {
	Name  string         `path:"name" pattern:"^[a-z]+$"`
	Limit int            `query:"limit" minimum:"1" maximum:"10" default:"3"`
	Flag  bool           `query:"flag"`
	Many  []string       `query:"many" itemMaxLength:"2"`
	Key   IdempotencyKey `header:"Idempotency-Key"`
	Peer  Peer
	Body  thing
}

type uuidInput struct {
	ID string `path:"id" format:"uuid"`
}

func testServer(t *testing.T, change func(*Options)) (*Server, *testGuard) {
	t.Helper()
	guard := &testGuard{}
	o := Options{
		Service: "test", Guard: guard, Now: clock.System, Log: slog.New(slog.DiscardHandler),
		Routes: []Route{
			Get("/things/new", Public, func(context.Context, principal.Principal, *struct{}) (string, error) { return "new", nil }),
			Get("/things/{id}", User, func(_ context.Context, p principal.Principal, in *uuidInput) (map[string]any, error) {
				return map[string]any{"id": in.ID, "user": p.User, "list": []string(nil)}, nil
			}),
			Post("/things/{name}/echo", User, func(_ context.Context, _ principal.Principal, in *thingInput) (*thingInput, error) {
				return in, nil
			}, Status(201)),
			Delete("/things/{id}", User, func(context.Context, principal.Principal, *uuidInput) (None, error) { return None{}, nil }),
			Get("/boom", Public, func(context.Context, principal.Principal, *struct{}) (string, error) {
				return "", errors.New("password=hunter2 in /etc/secret")
			}),
			Get("/quota", Public, func(context.Context, principal.Principal, *struct{}) (string, error) {
				return "", fault.New(fault.RateLimited, "entity_quota_exceeded", "no more").With("limit", 1).With("used", 2)
			}),
			Get("/panic", Public, func(context.Context, principal.Principal, *struct{}) (string, error) { panic("hunter2") }),
			Get("/stream", Public, func(context.Context, principal.Principal, *struct{}) (Reply, error) {
				return Reply{StreamType: EventStream, Stream: func(_ context.Context, w *Stream) error {
					if err := w.Event(1, "a", []byte(`{}`)); err != nil {
						return err
					}
					return errors.New("cut")
				}}, nil
			}),
			Get("/probe", Public, func(context.Context, principal.Principal, *struct{}) (string, error) { return "ok", nil }, Probe()),
		},
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, guard
}

func do(s http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://test/", strings.NewReader(body))
	r.RequestURI = target
	r.URL.RawQuery = ""
	if _, query, ok := strings.Cut(target, "?"); ok {
		r.URL.RawQuery = query
	}
	if body == "" {
		r.Body = http.NoBody
	}
	r.Header.Set("X-Test-User", "ada")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestPathsAreMatchedExactlyAndNeverRedirected(t *testing.T) {
	s, _ := testServer(t, nil)
	id := "00000000-0000-4000-8000-00000000000A"
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/things/new", 200}, {"GET", "/things/new/", 200}, {"HEAD", "/things/new", 200}, {"GET", "/things/%6eew", 200},
		{"GET", "/things/" + id, 200}, {"GET", "/things/" + id + "/", 200},
		{"GET", "/things/" + id + "//", 404}, {"GET", "//things/new", 404}, {"GET", "/things//new", 404}, {"GET", "/", 404}, {"GET", "", 404},
		{"GET", "/things/./new", 404}, {"GET", "/things/../things/new", 404}, {"GET", "/things/%2e%2e/new", 404}, {"GET", "/things/%2e", 404},
		{"GET", "/things/a%2fb", 404}, {"GET", "/things/a%5cb", 404}, {"GET", "/things/a%00b", 404}, {"GET", "/things/a%0d%0ab", 404},
		{"GET", "/things/%c0%ae", 404}, {"GET", "/things/\xc0\xae", 404}, {"GET", "/things/a%c2%85", 404}, {"GET", "/things/%zz", 404},
		{"GET", "/things/a%2fb\"", 404}, {"GET", "/things/x", 422}, {"GET", "/Things/new", 404},
		{"DELETE", "/things/new", 405}, {"PATCH", "/things/" + id, 405}, {"OPTIONS", "/things/new", 405}, {"OPTIONS", "*", 404},
		{"POST", "/things/UP/echo", 404}, {"GET", strings.Repeat("/a", 40), 404},
	} {
		w := do(s, tc.method, tc.path, "")
		if w.Code != tc.status {
			t.Errorf("%s %q: status = %d, want %d: %s", tc.method, tc.path, w.Code, tc.status, w.Body)
		}
		if location := w.Header().Get("Location"); location != "" {
			t.Errorf("%s %q redirects to %q", tc.method, tc.path, location)
		}
	}
	if got := do(s, "PUT", "/things/"+id, "").Header().Get("Allow"); got != "DELETE, GET, HEAD" {
		t.Errorf("Allow = %q", got)
	}
}

func TestIDsAreCanonicalAndListsNeverNull(t *testing.T) {
	s, _ := testServer(t, nil)
	w := do(s, "GET", "/things/00000000-0000-4000-8000-00000000000A", "")
	if got, want := w.Body.String(), `{"id":"00000000-0000-4000-8000-00000000000a","list":[],"user":"u-ada"}`; got != want {
		t.Errorf("body = %s, want %s", got, want)
	}
	for _, bad := range []string{"{00000000-0000-4000-8000-00000000000a}", "0000000000004000800000000000000a", "urn:uuid:00000000-0000-4000-8000-00000000000a", "x00000000-0000-4000-8000-00000000000ay"} {
		if w := do(s, "GET", "/things/"+bad, ""); w.Code != 422 || !strings.Contains(w.Body.String(), `"uuid_parsing"`) {
			t.Errorf("%s: %d %s", bad, w.Code, w.Body)
		}
	}
}

func TestBodiesAreCheckedInTheOrderOfTheContract(t *testing.T) {
	s, _ := testServer(t, nil)
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for _, tc := range []struct {
		name, body string
		headers    []string
		status     int
		contains   string
	}{
		{"good", `{"name":"abc"}`, nil, 201, `"name":"abc"`},
		{"unknown members are ignored", `{"name":"abc","x":{"y":[1]}}`, nil, 201, ``},
		{"no content type", `{"name":"abc"}`, nil, 201, ``},
		{"json suffix", `{"name":"abc"}`, []string{"Content-Type", "application/ld+json; charset=utf-8"}, 201, ``},
		{"text", `{"name":"abc"}`, []string{"Content-Type", "text/plain"}, 415, `unsupported_media_type`},
		{"gzip", `{"name":"abc"}`, []string{"Content-Encoding", "gzip"}, 415, `unsupported_media_type`},
		{"no body", ``, []string{"Content-Type", "text/plain"}, 422, `{"detail":[{"type":"missing","loc":["body"],"msg":"a JSON body is required","input":null}],"code":"validation_error","request_id":"`},
		{"syntax", `{"name":`, nil, 400, `malformed_json`},
		{"trailing", `{"name":"abc"} x`, nil, 400, `malformed_json`},
		{"second value", `{"name":"abc"}{}`, nil, 400, `malformed_json`},
		{"duplicate", `{"name":"abc","name":"abd"}`, nil, 400, `malformed_json`},
		{"deep duplicate", `{"name":"abc","x":[{"a":1,"\u0061":2}]}`, nil, 400, `malformed_json`},
		{"lone surrogate", `{"name":"\ud800"}`, nil, 400, `malformed_json`},
		{"invalid utf-8", "{\"name\":\"\xff\"}", nil, 400, `malformed_json`},
		{"too deep", `{"name":"abc","x":` + deep + `}`, nil, 400, `malformed_json`},
		{"blank", `  `, nil, 400, `malformed_json`},
		{"case matters", `{"Name":"abc"}`, nil, 422, `"missing"`},
		{"array", `[]`, nil, 422, `"object_type"`},
		{"NUL", `{"name":"a\u0000"}`, nil, 422, `"value_error"`},
		{"NUL in an unknown member", `{"name":"a","x":["\u0000"]}`, nil, 422, `"value_error"`},
		{"code points count", `{"name":"ééééé"}`, nil, 201, ``},
		{"too long", `{"name":"abcdef"}`, nil, 422, `{"type":"string_too_long","loc":["body","name"],"msg":"at most 5 characters","input":"abcdef","ctx":{"max_length":5}}`},
		{"secret hidden", `{"name":"a","pin":"123"}`, nil, 422, `"loc":["body","pin"],"msg":"at least 4 characters","input":null`},
		{"all at once", `{"name":"","count":10,"tags":["abcd",1]}`, nil, 422, `"list_type"`},
		{"not an integer", `{"name":"a","count":1.5}`, nil, 422, `"msg":"must be an integer","input":1.5}`},
		{"null where it is not allowed", `{"name":"a","tags":null}`, nil, 422, `"list_type"`},
		{"null where it is", `{"name":"a","note":null,"model":null,"meta":null}`, nil, 201, `"model":{"Set":true,"Null":true`},
		{"escapes of HTML are not counted", `{"name":"a","meta":{"k":"<<<<<<<<<<<"}}`, nil, 201, ``},
		{"a shown value has no escapes", `{"name":"<<<<<<"}`, nil, 422, `"input":"<<<<<<"`},
		{"a body in place of an object with a secret", `["hunter2"]`, nil, 422, `"input":null`},
		{"two content types", `{"name":"a"}`, []string{"Content-Type", "application/json", "Content-Type", "text/plain"}, 415, `unsupported_media_type`},
		{"two codings", `{"name":"a"}`, []string{"Content-Encoding", "identity", "Content-Encoding", "gzip"}, 415, `unsupported_media_type`},
		{"enum", `{"name":"a","note":"c"}`, nil, 422, `"literal_error"`},
		{"object too large", `{"name":"a","meta":{"k":"aaaaaaaaaaaaaaaaaaaaaaaa"}}`, nil, 422, `"max_bytes":20`},
		{"object of another type", `{"name":"a","meta":[]}`, nil, 422, `"object_type"`},
		{"idempotency key twice", `{"name":"a"}`, []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, 400, `bad_request`},
		{"idempotency key with a space", `{"name":"a"}`, []string{"Idempotency-Key", "a b"}, 400, `bad_request`},
		{"too large", `{"name":"` + strings.Repeat("a", 1<<20) + `"}`, nil, 413, `payload_too_large`},
	} {
		w := do(s, "POST", "/things/abc/echo", tc.body, tc.headers...)
		if tc.name == "all at once" {
			for _, want := range []string{`"string_too_short"`, `"less_than_equal"`, `"string_too_long"`, `"string_type"`} {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("%s: no %s in %s", tc.name, want, w.Body)
				}
			}
			continue
		}
		if w.Code != tc.status || !strings.Contains(strings.ReplaceAll(w.Body.String(), " ", " "), tc.contains) {
			t.Errorf("%s: %d %s, want %d with %s", tc.name, w.Code, w.Body, tc.status, tc.contains)
		}
	}
}

func TestQueriesAreTypedAndFallBackToTheirDefaults(t *testing.T) {
	s, _ := testServer(t, nil)
	for _, tc := range []struct {
		query    string
		status   int
		contains string
	}{
		{"", 201, `"Limit":3`}, {"?limit=7&flag=TRUE&many=a&many=b;c", 422, `"query","many",1`}, {"?limit=7&flag=1&many=a&many=b", 201, `"Many":["a","b"]`},
		{"?limit=0", 422, `"greater_than_equal"`}, {"?limit=11", 422, `"less_than_equal"`}, {"?limit=x", 422, `"int_parsing"`},
		{"?flag=yes", 422, `"bool_parsing"`}, {"?other=1", 201, ``}, {"?limit=%zz", 400, `bad_request`}, {"?many=%00", 422, `U+0000`}, {"?many=%ff", 400, `bad_request`},
	} {
		w := do(s, "POST", "/things/abc/echo"+tc.query, `{"name":"a"}`)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.contains) {
			t.Errorf("%s: %d %s, want %d with %s", tc.query, w.Code, w.Body, tc.status, tc.contains)
		}
	}
}

func TestEveryErrorHasTheOneBodyAndNoTextOfAnUntypedError(t *testing.T) {
	s, _ := testServer(t, nil)
	for _, path := range []string{"/boom", "/panic", "/nowhere", "/things/x"} {
		w := do(s, "GET", path, "", "X-Request-ID", "abc-1")
		var body struct {
			Detail    any    `json:"detail"`
			Code      string `json:"code"`
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Code == "" || body.Detail == nil || body.RequestID != "abc-1" {
			t.Errorf("%s: %s (%v)", path, w.Body, err)
		}
		if strings.Contains(w.Body.String(), "hunter2") || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Request-Id") != "abc-1" {
			t.Errorf("%s: %s %v", path, w.Body, w.Header())
		}
	}
	for _, bad := range []string{"a b", strings.Repeat("a", 65), ""} {
		if got := do(s, "GET", "/probe", "", "X-Request-ID", bad).Header().Get("X-Request-Id"); len(got) != 36 {
			t.Errorf("request id %q became %q, want a new UUID", bad, got)
		}
	}
}

func TestFurtherMembersOfAFaultAreMembersOfTheBody(t *testing.T) {
	s, _ := testServer(t, nil)
	w := do(s, "GET", "/quota", "", "X-Request-ID", "abc-1")
	if got, want := w.Body.String(), `{"detail":"no more","code":"entity_quota_exceeded","request_id":"abc-1","limit":1,"used":2}`; got != want || w.Code != 429 || w.Header().Get("Retry-After") != "" {
		t.Errorf("body = %s, want %s (%d %v)", got, want, w.Code, w.Header())
	}
}

func TestEveryKindOfFaultHasAStatus(t *testing.T) {
	for kind := fault.Internal; kind < fault.Other; kind++ {
		if status := statuses[kind]; status < 400 || status > 599 {
			t.Errorf("kind %d has status %d", kind, status)
		}
	}
}

func TestAuthenticationComesBeforeTheBodyAndIsRecorded(t *testing.T) {
	s, guard := testServer(t, nil)
	w := do(s, "POST", "/things/abc/echo", `{{{`, "X-Test-User", "")
	if w.Code != 400 { // the user is still there: the header was added, not replaced
		t.Fatalf("status = %d", w.Code)
	}
	r := httptest.NewRequest("POST", "/things/abc/echo", strings.NewReader(`{{{`))
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if rec.Code != 401 || rec.Header().Get("WWW-Authenticate") != "Bearer" || len(guard.refused) != 1 {
		t.Errorf("%d %v refused=%v", rec.Code, rec.Header(), guard.refused)
	}
	do(s, "DELETE", "/things/00000000-0000-4000-8000-00000000000a", "")
	if len(guard.begun) != 1 || guard.finished[0] != "/things/{id}204" {
		t.Errorf("audit: begun %v, finished %v", guard.begun, guard.finished)
	}
}

func TestRateLimitCountsPerUserAndSetsHeaders(t *testing.T) {
	now := time.Unix(1_800_000_010, 0)
	s, _ := testServer(t, func(o *Options) { o.Limiter = NewLimiter(2); o.Now = func() time.Time { return now } })
	path := "/things/00000000-0000-4000-8000-00000000000a"
	for i, want := range []int{200, 200, 429} {
		w := do(s, "GET", path, "")
		if w.Code != want {
			t.Fatalf("request %d: %d, want %d", i, w.Code, want)
		}
		if w.Header().Get("X-RateLimit-Limit") != "2" || w.Header().Get("X-RateLimit-Reset") != "1800000060" {
			t.Errorf("headers %v", w.Header())
		}
		if want == 429 && (w.Header().Get("Retry-After") != "50" || !strings.Contains(w.Body.String(), "rate_limited")) {
			t.Errorf("429: %v %s", w.Header(), w.Body)
		}
	}
	if w := do(s, "GET", "/probe", ""); w.Code != 200 || w.Header().Get("X-RateLimit-Limit") != "" {
		t.Errorf("probe: %d %v", w.Code, w.Header())
	}
	now = now.Add(50 * time.Second)
	if w := do(s, "GET", path, ""); w.Code != 200 {
		t.Errorf("the next window still answers %d", w.Code)
	}
}

func TestRepeatedCredentialsAndPreflightsAreAnsweredOverTheLimit(t *testing.T) {
	s, _ := testServer(t, func(o *Options) {
		o.Limiter = NewLimiter(1)
		o.CORSOrigins = []string{"https://app.example.org"}
		o.Guard = refusing{fault.New(fault.BadRequest, "duplicate_credentials", "twice")}
	})
	for range 3 {
		if w := do(s, "GET", "/things/00000000-0000-4000-8000-00000000000a", ""); w.Code != 400 || w.Header().Get("X-RateLimit-Limit") != "1" {
			t.Errorf("repeated credentials: %d %v", w.Code, w.Header())
		}
		w := do(s, "OPTIONS", "/things/new", "", "Origin", "https://app.example.org", "Access-Control-Request-Method", "GET")
		if w.Code != 204 || w.Header().Get("X-RateLimit-Limit") != "1" {
			t.Errorf("preflight: %d %v", w.Code, w.Header())
		}
	}
	w := do(s, "GET", "/things/new", "", "Origin", "https://app.example.org", "X-Big", strings.Repeat("a", 9<<10))
	if w.Code != 431 || w.Header().Get("Access-Control-Allow-Origin") == "" || w.Header().Get("X-RateLimit-Limit") == "" {
		t.Errorf("431: %d %v", w.Code, w.Header())
	}
}

// refusing admits nobody.
type refusing struct{ err error }

func (g refusing) Authenticate(context.Context, Request) (principal.Principal, error) {
	return principal.Principal{}, g.err
}
func (refusing) Refused(context.Context, Request, error, int) {}
func (refusing) Begin(context.Context, Request, principal.Principal) (func(context.Context, int), error) {
	return nil, nil
}

func TestForwardedForCountsOnlyFromTrustedProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tc := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "1.1.1.1", "192.0.2.1"}, {"10.0.0.1:5", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"},
		{"10.0.0.1:5", "", "10.0.0.1"}, {"10.0.0.1:5", "1.1.1.1, junk", "10.0.0.1"}, {"[::ffff:10.0.0.1]:5", "2.2.2.2", "2.2.2.2"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tc.remote
		r.Header.Set("X-Forwarded-For", tc.forwarded)
		if got := peerAddress(r, trusted); got != tc.want {
			t.Errorf("%s %q: %s, want %s", tc.remote, tc.forwarded, got, tc.want)
		}
	}
}

func TestCORSHeadersAreSentOnlyToListedOrigins(t *testing.T) {
	s, _ := testServer(t, func(o *Options) { o.CORSOrigins = []string{"https://app.example.org"} })
	w := do(s, "OPTIONS", "/things/new", "", "Origin", "https://app.example.org", "Access-Control-Request-Method", "POST")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example.org" || w.Header().Get("Access-Control-Max-Age") != "600" {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	w = do(s, "GET", "/things/new", "", "Origin", "https://evil.example.org")
	if w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Vary") != "Origin" {
		t.Errorf("foreign origin: %v", w.Header())
	}
	if w := do(s, "GET", "/nowhere", "", "Origin", "https://app.example.org"); w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Error("an error has no CORS header: the browser hides it")
	}
	plain, _ := testServer(t, nil)
	if w := do(plain, "GET", "/things/new", "", "Origin", "https://app.example.org"); len(w.Header()["Vary"]) != 0 {
		t.Errorf("CORS is off by default: %v", w.Header())
	}
}

func TestHeadersThatAreTooLargeAre431(t *testing.T) {
	s, _ := testServer(t, nil)
	if w := do(s, "GET", "/probe", "", "X-Big", strings.Repeat("a", 8<<10)); w.Code != 431 || w.Header().Get("Connection") != "close" {
		t.Errorf("one line: %d", w.Code)
	}
	var many []string
	for i := range 10 {
		many = append(many, fmt.Sprintf("X-Big-%d", i), strings.Repeat("a", 4<<10))
	}
	if w := do(s, "GET", "/probe", "", many...); w.Code != 431 {
		t.Errorf("all lines: %d", w.Code)
	}
}

// raw sends bytes and returns everything the server answers until it closes.
func raw(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	answer, _ := io.ReadAll(bufio.NewReader(conn))
	return string(answer)
}

func TestABodyWithBothLengthsCannotSmuggleASecondRequest(t *testing.T) {
	s, _ := testServer(t, nil)
	server := httptest.NewServer(s)
	defer server.Close()
	answer := raw(t, server.Listener.Addr().String(), "POST /things/abc/echo HTTP/1.1\r\nHost: x\r\nX-Test-User: ada\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"e\r\n{\"name\":\"abc\"}\r\n0\r\n\r\nGET /probe HTTP/1.1\r\nHost: x\r\n\r\n")
	if strings.Count(answer, "HTTP/1.1 ") != 1 || !strings.Contains(answer, "Connection: close") {
		t.Errorf("want one answer and a closed connection:\n%s", answer)
	}
}

func TestABodyOnARouteThatTakesNoneHasTheSameLimits(t *testing.T) {
	s, _ := testServer(t, func(o *Options) { o.MaxBody = 10 })
	server := httptest.NewServer(s)
	defer server.Close()
	for _, tc := range []struct{ name, rest, want string }{
		{"none", "\r\n", "200 OK"},
		{"empty, chunked", "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "200 OK"},
		{"JSON", "Content-Length: 2\r\n\r\n{}", "200 OK"},
		{"text", "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi", "415 "},
		{"too long", "Content-Length: 11\r\n\r\n{}         ", "413 "},
		{"too long, chunked", "Transfer-Encoding: chunked\r\n\r\nb\r\n{}         \r\n0\r\n\r\n", "413 "},
	} {
		answer := raw(t, server.Listener.Addr().String(), "GET /things/new HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+tc.rest)
		if !strings.HasPrefix(answer, "HTTP/1.1 "+tc.want) {
			t.Errorf("%s: %.60q, want %s", tc.name, answer, tc.want)
		}
	}
}

func TestTimestampsAreRFC3339(t *testing.T) {
	for text, want := range map[string]bool{
		"2030-01-01T00:00:00Z": true, "2030-01-01t00:00:00z": true, "2030-01-01T00:00:00.123456789+23:59": true,
		"2030-01-01T1:00:00Z": false, "2030-01-01T00:00:00,5Z": false, "2030-01-01T00:00:00+24:00": false, "2030-01-01T00:00:00+00:60": false,
		"2030-01-01 00:00:00Z": false, "2030-01-01T00:00:00": false, "9999-12-31T23:59:59-12:00": false, "9999-12-31T23:59:59Z": true,
	} {
		if got := isTimestamp(text); got != want {
			t.Errorf("%s: accepted = %v, want %v", text, got, want)
		}
	}
}

func TestEventsAreSentToWhoAsksForThem(t *testing.T) {
	for accept, want := range map[string]bool{
		"text/event-stream": true, "Text/Event-Stream; q=0.5": true, "application/json, text/event-stream": true,
		"": false, "*/*": false, "application/json": false, "text/event-stream;q=0": false, "text/event-stream;q=0.0, */*": false,
	} {
		if got := AcceptsEvents(accept); got != want {
			t.Errorf("%q: %v, want %v", accept, got, want)
		}
	}
}

func TestACutStreamAbortsTheConnection(t *testing.T) {
	s, _ := testServer(t, nil)
	server := httptest.NewServer(s)
	defer server.Close()
	answer := raw(t, server.Listener.Addr().String(), "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.Contains(answer, "event: a") || strings.HasSuffix(answer, "0\r\n\r\n") {
		t.Errorf("the stream looks complete:\n%q", answer)
	}
}

func TestATableWithAMistakeIsRefused(t *testing.T) {
	h := func(context.Context, principal.Principal, *struct{}) (string, error) { return "", nil }
	for name, routes := range map[string][]Route{
		"no class":         {Get("/a", 0, h)},
		"twice":            {Get("/a", Public, h), Get("/a", Public, h)},
		"unread parameter": {Get("/a/{b}", Public, h)},
	} {
		if _, err := New(Options{Routes: routes, Now: clock.System}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
