package wisdom

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

// rawHost stands in for wisdom-agents on a bare socket: it records the bytes of
// every request and answers what the test says.
type rawHost struct {
	addr   string
	mu     sync.Mutex
	seen   []rawRequest
	answer func(r rawRequest) []byte // nil: an entity of the X-User-Id
}

type rawRequest struct {
	line   string
	header []string // "Name: value", as sent
	body   string
}

// values are the values of a header, whatever the spelling of its name.
func (r rawRequest) values(name string) []string {
	var list []string
	for _, line := range r.header {
		key, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(strings.NewReplacer("_", "-", ".", "-").Replace(key), name) {
			list = append(list, strings.TrimSpace(value))
		}
	}
	return list
}

func newRawHost(t *testing.T) *rawHost {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &rawHost{addr: l.Addr().String()}
	var group sync.WaitGroup
	t.Cleanup(func() { l.Close(); group.Wait() })
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { h.serve(conn) })
		}
	})
	return h
}

func (h *rawHost) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	reader := bufio.NewReader(conn)
	for {
		r, err := readRaw(reader)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.seen = append(h.seen, r)
		answer := h.answer
		h.mu.Unlock()
		text := entityAnswer(r)
		if answer != nil {
			text = answer(r)
		}
		if _, err := conn.Write(text); err != nil || bytes.Contains(text, []byte("Connection: close")) || text == nil {
			return
		}
	}
}

func readRaw(reader *bufio.Reader) (rawRequest, error) {
	var r rawRequest
	line, err := reader.ReadString('\n')
	if err != nil {
		return r, err
	}
	r.line = strings.TrimRight(line, "\r\n")
	length := 0
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return r, err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			break
		}
		r.header = append(r.header, line)
		if n, ok := strings.CutPrefix(strings.ToLower(line), "content-length: "); ok {
			_, _ = fmt.Sscan(n, &length)
		}
	}
	body := make([]byte, length)
	_, err = io.ReadFull(reader, body)
	r.body = string(body)
	return r, err
}

func entityAnswer(r rawRequest) []byte {
	owner := ""
	if values := r.values("X-User-Id"); len(values) > 0 {
		owner = values[0]
	}
	body := fmt.Sprintf(`{"id":"e0a1","name":"aria","owner_user_id":%q}`, owner)
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func (h *rawHost) take() []rawRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.seen
	h.seen = nil
	return seen
}

// ask sends bytes to a server and returns the status of the first answer.
func ask(t *testing.T, addr, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// forwarded is the closed list of contract §9.2.
var forwarded = []string{"X-Api-Key", "X-User-Id", "Content-Type", "Accept", "X-Request-Id", "Idempotency-Key",
	"Host", "Content-Length", "User-Agent", "Accept-Encoding"}

func TestNothingOfTheClientsRequestReachesTheHost(t *testing.T) {
	host := newRawHost(t)
	w := newWorld(t, nil, "INTUNO_AGENTS_BASE_URL", "http://"+host.addr)
	ada, bob := w.signUp("ada"), w.signUp("bob")
	server := httptest.NewServer(w.handler)
	defer server.Close()
	addr := server.Listener.Addr().String()
	w.settle(ada, "aria")
	host.take()
	for _, lines := range []string{
		"",
		"Connection: X-User-Id, X-API-Key\r\n",
		"Connection: close, X-User-Id, X-Api-Key, Host\r\n",
		"X-User-Id: " + bob.id + "\r\n",
		"x-user-id: " + bob.id + "\r\nX-USER-ID: " + bob.id + "\r\n",
		"X_User_Id: " + bob.id + "\r\nX.User.Id: " + bob.id + "\r\nX_Api_Key: " + hostKey + "\r\n",
		"X-User-Id: " + bob.id + "\r\nConnection: X-User-Id\r\n",
		"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
		"Forwarded: for=10.0.0.1;host=evil\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: evil\r\nX-Real-IP: 10.0.0.1\r\nVia: 1.1 evil\r\n",
		"Cookie: session=1; X-User-Id=" + bob.id + "\r\n",
		"Trailer: X-User-Id\r\nTE: trailers\r\n",
		"X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /entities\r\nExpect: 100-continue\r\n",
		"X-Service-Key: " + firstKey + "\r\nX-On-Behalf-Of: " + bob.id + "\r\n",
		"Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic YTpi\r\nKeep-Alive: timeout=5\r\n",
		"X-User-Id : " + bob.id + "\r\n", // a space before the colon: not HTTP
		"Accept-Encoding: gzip, br\r\nAccept: text/html\r\nUser-Agent: evil\r\nRange: bytes=0-1\r\nIf-None-Match: *\r\n",
	} {
		status := ask(t, addr, "GET /personal/entities/aria?x=1&user_id="+bob.id+" HTTP/1.1\r\nHost: "+addr+"\r\nAuthorization: Bearer "+ada.token+"\r\n"+lines+"\r\n")
		checkForwarded(t, host, lines, status, ada.id, "GET /entities/aria HTTP/1.1", "")
	}
	// The same in the trailer of a chunked body, and an identity in the JSON.
	status := ask(t, addr, "POST /personal/entities/aria/pause HTTP/1.1\r\nHost: "+addr+"\r\nAuthorization: Bearer "+ada.token+
		"\r\nTransfer-Encoding: chunked\r\nTrailer: X-User-Id\r\n\r\n10\r\n{\"reason\": \"abc\"}\r\n0\r\nX-User-Id: "+bob.id+"\r\nX-API-Key: x\r\n\r\n")
	checkForwarded(t, host, "trailers", status, ada.id, "POST /entities/aria/pause HTTP/1.1", `{"reason":"abc"}`)
}

// settle shows an entity to wisdom and waits until its slot is confirmed: the worker
// that does so asks the host too.
func (w *world) settle(u user, name string) {
	w.t.Helper()
	w.want(200, "GET", "/personal/entities/"+name, "", u.bearer())
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		slots, err := w.service.store.Slots(w.t.Context(), idOf(u))
		if err != nil {
			w.t.Fatal(err)
		}
		if len(slots) == 1 && slots[0].State == personal.Confirmed {
			return
		}
	}
	w.t.Fatal("the slot of an entity that was seen is never confirmed")
}

func checkForwarded(t *testing.T, host *rawHost, name string, status int, user, line, body string) {
	t.Helper()
	seen := host.take()
	if status != 200 {
		if len(seen) > 0 || status < 400 || status >= 500 {
			t.Errorf("%q: status %d, and the host saw %v", name, status, seen)
		}
		return
	}
	if len(seen) != 1 {
		t.Fatalf("%q: the host saw %d requests, want 1", name, len(seen))
	}
	r := seen[0]
	if r.line != line || r.body != body {
		t.Errorf("%q: the host saw %q with %q, want %q with %q", name, r.line, r.body, line, body)
	}
	if got := r.values("X-User-Id"); !slices.Equal(got, []string{user}) {
		t.Errorf("%q: X-User-Id = %q, want %q", name, got, user)
	}
	if got := r.values("X-Api-Key"); !slices.Equal(got, []string{hostKey}) {
		t.Errorf("%q: X-API-Key has %d values", name, len(got))
	}
	for _, h := range r.header {
		key, value, _ := strings.Cut(h, ":")
		if !slices.Contains(forwarded, textproto.CanonicalMIMEHeaderKey(key)) || strings.Contains(value, "evil") {
			t.Errorf("%q: the host saw the header %q", name, h)
		}
	}
}

var entityName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func TestNamesThatAreNotNamesNeverReachTheHost(t *testing.T) {
	host := newRawHost(t)
	w := newWorld(t, nil, "INTUNO_AGENTS_BASE_URL", "http://"+host.addr)
	ada := w.signUp("ada")
	header := ada.bearer()
	names := []string{"%2e%2e", "%2e", "..", ".", "%3f", "x%23", "x#", "..%2f..%2fadmin", "a%00b", "%0d%0aX-User-Id:%201", "a%20b", strings.Repeat("a", 64),
		"A", "%C3%A9", "%c0%ae", "-a", "_a", "a.b", "a%2fpause", "a%5c", "%252e%252e", "a;b", "a%", "%zz", "aria%2F", "%61%2f", "", "a:b", "a@b", "*"}
	for _, name := range names {
		for _, path := range []string{"/personal/entities/" + name, "/personal/entities/" + name + "/pause", "/personal/entities/" + name + "/memories/k", "/personal/entities/aria/memories/" + name + "%00"} {
			method := "GET"
			if strings.HasSuffix(path, "/pause") {
				method = "POST"
			}
			if strings.TrimSuffix(path, "/") == "/personal/entities" {
				continue // one trailing slash is ignored: the list
			}
			if got := w.send(method, path, "", header); got.status != 404 {
				t.Errorf("%s %q: %d %s, want 404", method, path, got.status, got.body)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 40_000 {
		raw := randomBytes(random)
		escaped := randomlyEscaped(random, raw)
		if entityName.Match(raw) || len(raw) == 0 {
			continue
		}
		if got := w.send("GET", "/personal/entities/"+escaped, "", header); got.status != 404 && !lawfulPath(escaped) {
			t.Fatalf("%q: %d %s, want 404", escaped, got.status, got.body)
		}
	}
	if seen := host.take(); len(seen) > 0 {
		t.Errorf("the host saw %d requests, the first is %q", len(seen), seen[0].line)
	}
}

// lawfulPath reports whether random bytes happen to spell another route: a "/" or a
// "?" that was not escaped ends the name.
func lawfulPath(escaped string) bool {
	path, _, _ := strings.Cut(escaped, "?")
	for i, segment := range strings.Split(strings.TrimSuffix(path, "/"), "/") {
		decoded, err := url.PathUnescape(segment)
		if err != nil || i == 0 && !entityName.MatchString(decoded) && decoded != "" {
			return false
		}
	}
	return true
}

func randomBytes(random *rand.Rand) []byte {
	const tricky = "abz09_-./\\?#%\x00\r\n :;@&=+~ÿ"
	raw := make([]byte, 1+random.IntN(80))
	for i := range raw {
		if random.IntN(2) == 0 {
			raw[i] = tricky[random.IntN(len(tricky))]
		} else {
			raw[i] = byte(random.IntN(256))
		}
	}
	return raw
}

// randomlyEscaped escapes what must be, and some of what need not.
func randomlyEscaped(random *rand.Rand, raw []byte) string {
	var b strings.Builder
	for _, c := range raw {
		if c <= ' ' || c >= 0x7f || c == '%' || c == '/' || c == '?' || c == '#' || random.IntN(3) == 0 {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func answer(status int, header, body string) func(rawRequest) []byte {
	return func(rawRequest) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s", status, header, len(body), body)
	}
}

// leak is what a host might say by mistake.
const leak = "panic: secret=hunter2\\ngoroutine 1 [running]:\\nmain.go:42 http://10.0.0.2:8001"

func TestEveryAnswerOfTheHostIsMapped(t *testing.T) {
	host := newRawHost(t)
	w := newWorld(t, nil, "INTUNO_AGENTS_BASE_URL", "http://"+host.addr, "INTUNO_AGENTS_TIMEOUT_SECONDS", "1")
	ada := w.signUp("ada")
	const jsonType = "Content-Type: application/json\r\n"
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, _ = io.WriteString(zip, `{"pad":"`+strings.Repeat("a", 8<<20)+`"}`)
	_ = zip.Close()
	unavailable := []string{`"detail":"The entity service is unavailable","code":"entity_host_error"`}
	type row struct {
		name   string
		answer func(rawRequest) []byte
		status int
		want   []string
	}
	rows := []row{
		{"reset", func(rawRequest) []byte { return nil }, 502, unavailable},
		{"hang", func(rawRequest) []byte { time.Sleep(1500 * time.Millisecond); return nil }, 502, unavailable},
		{"truncated", func(rawRequest) []byte {
			return []byte("HTTP/1.1 200 OK\r\n" + jsonType + "Content-Length: 500\r\nConnection: close\r\n\r\n{\"id\":")
		}, 502, unavailable},
		{"HTML", answer(200, "Content-Type: text/html\r\n", "<h1>hello</h1>"), 502, unavailable},
		{"JSON of the wrong type", answer(200, jsonType, `[1,2]`), 502, unavailable},
		{"a list where an object belongs", answer(200, jsonType, `[{"id":1}]`), 502, unavailable},
		{"no owner", answer(200, jsonType, `{"name":"aria"}`), 404, []string{`"code":"not_found"`}},
		{"foreign owner", answer(200, jsonType, `{"name":"aria","owner_user_id":"00000000-0000-4000-8000-000000000000"}`), 404, []string{`"code":"not_found"`}},
		{"gzip bomb", answer(200, jsonType+"Content-Encoding: gzip\r\n", bomb.String()), 502, unavailable},
		{"oversized", answer(200, jsonType, `{"pad":"`+strings.Repeat("a", 2<<20)+`"}`), 502, unavailable},
		{"not HTTP", func(rawRequest) []byte { return []byte("hello\r\nConnection: close\r\n\r\n") }, 502, unavailable},
		{"known code", answer(409, jsonType+"Retry-After: 1\r\n", `{"detail":"busy","code":"turn_in_progress"}`), 409, []string{`"detail":"busy"`, `"code":"turn_in_progress"`}},
		{"replayed refusal", answer(409, jsonType+"Idempotency-Replayed: true\r\n", `{"detail":"exists","code":"entity_exists"}`), 409, []string{`"code":"entity_exists"`}},
		{"unknown code", answer(409, jsonType, `{"detail":"busy","code":"made_up"}`), 409, []string{`"detail":"busy"`, `"code":"conflict"`}},
		{"list detail", answer(422, jsonType, `{"detail":[{"type":"missing","loc":["body","x"]}],"code":"validation_error"}`), 422, []string{`"detail":[{"type":"missing"`}},
		{"4xx that is not JSON", answer(404, "Content-Type: text/html\r\n", leak), 404, []string{`"code":"not_found"`}},
		{"4xx with an odd detail", answer(400, jsonType, `{"detail":{"secret":"hunter2"}}`), 400, []string{`"code":"bad_request"`}},
		{"4xx that is too large", answer(400, jsonType, `{"detail":"`+strings.Repeat("a", 65<<10)+`"}`), 400, []string{`"code":"bad_request"`}},
	}
	for status := 300; status < 600; status++ {
		want, code := status, ""
		switch {
		case status < 400 || status >= 500 || status == 401:
			want, code = 502, `"code":"entity_host_error"`
		}
		rows = append(rows, row{fmt.Sprint(status), answer(status, jsonType+"Location: http://"+host.addr+"/entities/other\r\n", `{"detail":"`+publicText(status)+`"}`), want, []string{code}})
	}
	for _, row := range rows {
		host.mu.Lock()
		host.answer = row.answer
		host.mu.Unlock()
		host.take()
		got := w.send("GET", "/personal/entities/aria", "", ada.bearer())
		for _, want := range row.want {
			if got.status != row.status || !strings.Contains(got.body, want) {
				t.Errorf("%s: %d %.300s, want %d with %s", row.name, got.status, got.body, row.status, want)
			}
		}
		if want := row.name == "replayed refusal"; (got.header.Get("Idempotency-Replayed") == "true") != want {
			t.Errorf("%s: Idempotency-Replayed = %q", row.name, got.header.Get("Idempotency-Replayed"))
		}
		if strings.Contains(got.body, "hunter2") || strings.Contains(got.body, host.addr) || strings.Contains(got.body, "goroutine") || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s leaks: %.300s %v", row.name, got.body, got.header)
		}
		if seen := host.take(); len(seen) > 2 { // a name that the host no longer knows is asked for once more
			t.Errorf("%s: the host was asked %d times", row.name, len(seen))
		}
	}
}

// publicText is what the stand-in says: something to pass on for a 4xx, something to
// hide for the rest.
func publicText(status int) string {
	if status >= 400 && status < 500 && status != 401 {
		return "no"
	}
	return leak
}
