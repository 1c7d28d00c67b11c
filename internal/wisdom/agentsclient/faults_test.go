package agentsclient

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

func zipped(t *testing.T, plain []byte) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(plain)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// Whatever the host does wrong is the one 502, and its text goes nowhere.
func TestEveryHostFaultIsOne502(t *testing.T) {
	const leak = "SECRET at goroutine 7 [running]: main.go:12"
	entity := json11(200, aria)
	bomb := zipped(t, []byte(`{"x":"`+strings.Repeat("a", 8<<20)+`"}`))
	tests := map[string]func(net.Conn, received) bool{
		"500":                       says(json11(500, `{"detail":"`+leak+`","code":"internal_error"}`)),
		"502":                       says(json11(502, `{"detail":"`+leak+`","code":"brain_error"}`)),
		"503":                       says(http11(503, "Retry-After: 7\r\nContent-Type: text/html", leak)),
		"504":                       says(json11(504, `{"detail":"`+leak+`"}`)),
		"599":                       says(json11(599, `{"detail":"`+leak+`"}`)),
		"600":                       says(json11(600, `{"detail":"`+leak+`"}`)),
		"401":                       says(json11(401, `{"detail":"`+leak+`"}`)),
		"301":                       says(http11(301, "Location: http://127.0.0.1:1/"+leak, "")),
		"302 to itself":             says(http11(302, "Location: /entities/aria", "")),
		"307":                       says(http11(307, "Location: http://example.org/", "")),
		"308":                       says(http11(308, "Location: http://example.org/", "")),
		"304":                       says("HTTP/1.1 304 Not Modified\r\n\r\n"),
		"101":                       says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
		"interim answers only":      says(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20)),
		"hang":                      func(net.Conn, received) bool { time.Sleep(600 * time.Millisecond); return false },
		"hang in the header":        says("HTTP/1.1 200 OK\r\nContent-Type: appli"),
		"hang in the body":          says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
		"close without an answer":   func(net.Conn, received) bool { return false },
		"reset":                     func(c net.Conn, _ received) bool { reset(c); return false },
		"reset in the body":         func(c net.Conn, r received) bool { says(entity[:len(entity)-9])(c, r); reset(c); return false },
		"length longer than body":   saysAndCloses(strings.Replace(entity, "Content-Length: 8", "Content-Length: 9", 1)),
		"chunked, cut":              saysAndCloses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n"),
		"chunked without the end":   saysAndCloses(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(aria), aria)),
		"until close, cut":          saysAndCloses("HTTP/1.1 200 OK\r\n\r\n" + aria[:len(aria)-4]),
		"HTML":                      says(http11(200, "Content-Type: text/html", "<html>"+leak+"</html>")),
		"JSON called HTML":          says(http11(200, "Content-Type: text/html", aria)),
		"two content types":         says(http11(200, "Content-Type: application/json\r\nContent-Type: text/html", aria)),
		"list instead of object":    says(json11(200, "["+aria+"]")),
		"string":                    says(json11(200, `"`+leak+`"`)),
		"null":                      says(json11(200, `null`)),
		"two values":                says(json11(200, aria+aria)),
		"member twice":              says(json11(200, `{"owner_user_id":"`+string(testUser)+`","owner_user_id":"x"}`)),
		"invalid UTF-8":             says(json11(200, "{\"name\":\"\xff\"}")),
		"empty 200":                 says(json11(200, "")),
		"204":                       says("HTTP/1.1 204 No Content\r\n\r\n"),
		"1 MiB and a byte":          says(json11(200, `{"x":"`+strings.Repeat("a", 1<<20-7)+`"}`)),
		"oversize, chunked":         says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + strings.Repeat("a", 2<<20) + "\r\n0\r\n\r\n"),
		"oversize, claimed":         says("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"),
		"gzip bomb":                 says(http11(200, "Content-Encoding: gzip\r\nContent-Type: application/json", bomb)),
		"gzip, cut":                 says(http11(200, "Content-Encoding: gzip\r\nContent-Type: application/json", zipped(t, []byte(aria))[:30])),
		"gzip, called so":           says(http11(200, "Content-Encoding: gzip\r\nContent-Type: application/json", aria)),
		"br":                        says(http11(200, "Content-Encoding: br\r\nContent-Type: application/json", aria)),
		"gzip twice":                says(http11(200, "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Type: application/json", aria)),
		"header bomb, one line":     says("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 2<<20) + "\r\n\r\n" + aria),
		"header bomb, many lines":   says("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+leak+"\r\n", 40_000) + "\r\n" + aria),
		"endless header":            func(c net.Conn, _ received) bool { return endless(c, "X: y\r\n") },
		"endless body":              func(c net.Conn, _ received) bool { return endless(c, "aaaaaaaaaaaaaaaa") },
		"not HTTP":                  saysAndCloses("SSH-2.0-" + leak + "\r\n"),
		"two content lengths":       says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}"),
		"negative content length":   says("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
		"unknown transfer encoding": says("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}"),
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := newStandIn(t, answer)
			client := host.client()
			began := time.Now()
			a, err := client.Do(t.Context(), getAria())
			want502(t, err)
			if a.JSON != nil {
				t.Errorf("got an answer %s, want none", a.JSON)
			}
			if elapsed := time.Since(began); elapsed > 2*time.Second {
				t.Errorf("took %v, want an end at the deadline", elapsed)
			}
			if strings.Contains(fmt.Sprint(err), testKey) {
				t.Errorf("the error carries our key: %v", err)
			}
			if got, want := personal.NothingDone(err), name == "401"; got != want {
				t.Errorf("got NothingDone %v, want %v: %v", got, want, err)
			}
			if n := len(host.requests()); n != 1 {
				t.Errorf("the host heard %d requests, want 1", n)
			}
		})
	}
}

// endless writes until the client hangs up.
func endless(c net.Conn, piece string) bool {
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
	if !strings.Contains(piece, ":") {
		_, _ = io.WriteString(c, "\r\n")
	}
	for {
		if _, err := io.WriteString(c, strings.Repeat(piece, 1000)); err != nil {
			return false
		}
	}
}

func want502(t *testing.T, err error) {
	t.Helper()
	f := fault.As(err)
	if f == nil || f.Kind != fault.Upstream || f.Code != "entity_host_error" || f.Detail != unavailableText ||
		f.RawDetail != nil || f.Problems != nil || f.Extra != nil || f.RetryAfter != 0 {
		t.Errorf("got %#v, want the one 502", err)
	}
}

func TestA4xxKeepsItsStatusWhateverItsBody(t *testing.T) {
	long := `{"detail":"` + strings.Repeat("x", 64<<10) + `"}`
	tests := map[string]struct{ answer, detail string }{
		"JSON":          {json11(409, `{"detail":"Paused","code":"entity_paused"}`), `"Paused"`},
		"problem+json":  {http11(409, "Content-Type: application/problem+json; charset=utf-8", `{"detail":"Paused"}`), `"Paused"`},
		"gzip":          {http11(409, "Content-Encoding: gzip\r\nContent-Type: application/json", zipped(t, []byte(`{"detail":"Paused"}`))), `"Paused"`},
		"too long":      {json11(409, long), ""},
		"gzip too long": {http11(409, "Content-Encoding: gzip\r\nContent-Type: application/json", zipped(t, []byte(long))), ""},
		"HTML":          {http11(409, "Content-Type: text/html", `{"detail":"secret"}`), ""},
		"cut":           {"HTTP/1.1 409 Conflict\r\nContent-Length: 900\r\n\r\n{", ""},
		"empty":         {http11(409, "", ""), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newStandIn(t, says(tt.answer)).client().Do(t.Context(), getAria())
			f := fault.As(err)
			if f == nil || f.Kind != fault.Conflict || string(f.RawDetail) != tt.detail {
				t.Errorf("got %v, want a conflict with detail %s", err, tt.detail)
			}
		})
	}
}

func TestGoodAnswersArePassedOnAsTheyAre(t *testing.T) {
	items := `[` + aria + `, {"name":"b","owner_user_id":7},{}]`
	longest := `{"x":"` + strings.Repeat("a", 1<<20-8) + `"}`
	tests := map[string]struct {
		op     personal.Op
		answer string
		want   personal.Answer
	}{
		"object": {personal.GetEntity, json11(200, aria),
			personal.Answer{Status: 200, JSON: []byte(aria), Owner: string(testUser), Owned: true}},
		"owner with escapes": {personal.GetEntity, json11(200, `{"owner_user_\u0069d":"\u0061"}`),
			personal.Answer{Status: 200, JSON: []byte(`{"owner_user_\u0069d":"\u0061"}`), Owner: "a", Owned: true}},
		"owner null": {personal.GetEntity, json11(200, `{"owner_user_id":null}`),
			personal.Answer{Status: 200, JSON: []byte(`{"owner_user_id":null}`), Owned: true}},
		"owner deeper": {personal.GetEntity, json11(200, `{"x":{"owner_user_id":"a"}}`),
			personal.Answer{Status: 200, JSON: []byte(`{"x":{"owner_user_id":"a"}}`)}},
		"exactly 1 MiB": {personal.GetEntity, json11(200, longest), personal.Answer{Status: 200, JSON: []byte(longest)}},
		"chunked": {personal.GetEntity, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: X-User-Id\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\nX-User-Id: x\r\n\r\n",
			personal.Answer{Status: 200, JSON: []byte(`{}`)}},
		"after an interim answer": {personal.GetEntity, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + json11(200, `{}`),
			personal.Answer{Status: 200, JSON: []byte(`{}`)}},
		"gzip": {personal.GetEntity, http11(200, "Content-Encoding: GZIP\r\nContent-Type: application/json", zipped(t, []byte(aria))),
			personal.Answer{Status: 200, JSON: []byte(aria), Owner: string(testUser), Owned: true}},
		"created, replayed": {personal.CreateEntity, http11(201, "idempotency-replayed: true\r\nContent-Type: application/json; charset=utf-8", aria),
			personal.Answer{Status: 201, JSON: []byte(aria), Owner: string(testUser), Owned: true, Replayed: true}},
		"list": {personal.ListEntities, json11(200, items),
			personal.Answer{Status: 200, JSON: []byte(items), Items: []personal.Item{
				{Name: "aria", Owner: string(testUser), Owned: true, JSON: []byte(aria)},
				{Name: "b", Owned: true, JSON: []byte(`{"name":"b","owner_user_id":7}`)},
				{JSON: []byte(`{}`)}}}},
		"empty list":         {personal.ListEntities, json11(200, `[]`), personal.Answer{Status: 200, JSON: []byte(`[]`), Items: []personal.Item{}}},
		"deleted":            {personal.DeleteEntity, "HTTP/1.1 204 No Content\r\n\r\n", personal.Answer{Status: 204}},
		"deleted, with text": {personal.DeleteEntity, http11(200, "", "ok"), personal.Answer{Status: 200}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newStandIn(t, says(tt.answer)).client().Do(t.Context(), personal.Call{Op: tt.op, User: testUser, Name: "aria"})
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+.1000v, %v, want %+.1000v", got, err, tt.want)
			}
		})
	}
}

func TestListsOfAnythingButObjectsAreRefused(t *testing.T) {
	for _, body := range []string{`{}`, `[1]`, `[{},1]`, `["a"]`, `[[]]`, `[{}`, `[{}] x`, `[{},]`, `null`, ``, `[{"a":1,"a":2}]`} {
		_, err := newStandIn(t, says(json11(200, body))).client().Do(t.Context(), personal.Call{Op: personal.ListEntities, User: testUser})
		if !fault.Is(err, fault.Upstream) {
			t.Errorf("%s: got %v, want a 502", body, err)
		}
	}
}

func TestNothingWasDoneIfNothingWasSent(t *testing.T) {
	host := newStandIn(t, says(json11(200, aria)))
	busy := host.client()
	for range cap(busy.quick.busy) {
		busy.quick.busy <- struct{}{}
	}
	gone := newStandIn(t, nil)
	_ = gone.ln.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	foreignUser := getAria()
	foreignUser.User = "7C9E6679-7425-40DE-944B-E07FC1F90AE7"
	splitKey := getAria()
	splitKey.Once = "a\r\nX-User-Id: b"
	tests := map[string]struct {
		ctx    context.Context
		client *Client
		call   personal.Call
	}{
		"no key":                    {t.Context(), host.client(func(c *Config) { c.Key = secret.New("  ") }), getAria()},
		"nobody listens":            {t.Context(), gone.client(), getAria()},
		"unknown name of the host":  {t.Context(), host.client(func(c *Config) { c.BaseURL = "http://no-such-host.invalid:1" }), getAria()},
		"all connections in use":    {t.Context(), busy, getAria()},
		"the client has left":       {ended, host.client(), getAria()},
		"a user's id in upper case": {t.Context(), host.client(), foreignUser},
		"a key with a line break":   {t.Context(), host.client(), splitKey},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tt.client.Do(tt.ctx, tt.call)
			want502(t, err)
			if !personal.NothingDone(err) {
				t.Errorf("got an unknown outcome: %v", err)
			}
		})
	}
	if heard := host.requests(); len(heard) > 0 {
		t.Errorf("the host heard %+v, want nothing", heard)
	}
}

func TestAClientThatLeavesEndsTheCall(t *testing.T) {
	host := newStandIn(t, func(net.Conn, received) bool { time.Sleep(time.Second); return false })
	client := host.client(func(c *Config) { c.Timeout = time.Minute })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := client.Do(ctx, getAria())
	if elapsed := time.Since(began); err == nil || personal.NothingDone(err) || elapsed > 500*time.Millisecond {
		t.Errorf("got %v after %v, want an unknown outcome at once", err, elapsed)
	}
}

func TestBadConfigurationIsRefused(t *testing.T) {
	for _, base := range []string{"", "localhost:8001", "ftp://x", "http://", "http://u:p@x", "http://x?y", "http://x#y", "unix:///x", "http://x\r\nY: z"} {
		if _, err := New(Config{BaseURL: base, Key: secret.New(testKey)}); err == nil {
			t.Errorf("base URL %q: got no error", base)
		}
	}
	if _, err := New(Config{BaseURL: "http://x", Key: secret.New("a\r\nb")}); err == nil {
		t.Error("key with a line break: got no error")
	}
}

func TestTLSHostsAreVerified(t *testing.T) {
	server := newTLSHost(t)
	good, err := New(Config{BaseURL: server.URL, Key: secret.New(testKey), TLS: server.Client().Transport.(*http.Transport).TLSClientConfig})
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	for range 3 {
		if _, err := good.Do(t.Context(), getAria()); err != nil {
			t.Errorf("got %v, want an answer", err)
		}
	}
	strange, err := New(Config{BaseURL: server.URL, Key: secret.New(testKey)})
	if err != nil {
		t.Fatal(err)
	}
	defer strange.Close()
	if _, err := strange.Do(t.Context(), getAria()); !personal.NothingDone(err) {
		t.Errorf("unknown authority: got %v, want nothing sent", err)
	}
}
