package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// here resolves every name to this machine.
type here struct{}

func (here) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// trusting is a client that may use this machine, by address and as *.example.
func trusting(t testing.TB) *Client {
	t.Helper()
	return clientOf(t, mustPolicy(t, Config{Resolver: here{}}, "127.0.0.1, ::1, *.example"))
}

func clientOf(t testing.TB, p *Policy) *Client {
	t.Helper()
	c := NewClient(p, nil)
	t.Cleanup(c.Close)
	return c
}

// raw serves connections with f, and waits for it in the end.
func raw(t testing.TB, f func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-stopped })
	return listener.Addr().String()
}

// once answers every request of a connection with the same bytes.
func once(answer string) func(net.Conn) {
	return func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, request.Body)
			if _, err := io.WriteString(conn, answer); err != nil || !strings.Contains(answer, "Content-Length") {
				return
			}
		}
	}
}

func get(url string) Request { return Request{Method: "GET", URL: url, Timeout: 5 * time.Second} }

func TestAnAnswerComesBackWhole(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Host+" "+r.Method+" "+r.RequestURI)
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "<%s>", body)
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, tt := range []struct{ url, seen string }{
		{"http://127.0.0.1:" + port, "127.0.0.1:" + port + " POST /"},
		{"http://127.0.0.1:" + port + "?q=%2F&x", "127.0.0.1:" + port + " POST /?q=%2F&x"},
		{"http://127.0.0.1:" + port + "//a/../b%2fc", "127.0.0.1:" + port + " POST //a/../b%2fc"},
		{"HTTP://Agent.EXAMPLE.:" + port + "/A", "agent.example:" + port + " POST /A"},
		{"http://bücher。example:" + port + "/ü", "xn--bcher-kva.example:" + port + " POST /%C3%BC"},
	} {
		got, err := trusting(t).Do(t.Context(), Request{Method: "POST", URL: tt.url, Body: []byte("hello")})
		if err != nil {
			t.Fatalf("%s: %v", tt.url, err)
		}
		if got.Status != http.StatusTeapot || string(got.Body) != "<hello>" || got.Header.Get("X-Seen") != tt.seen {
			t.Errorf("%s: got %d %q %q, want 418 <hello> %q", tt.url, got.Status, got.Body, got.Header.Get("X-Seen"), tt.seen)
		}
	}
}

func TestManyRequestsAtOnce(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	// At the port of one of our own names, so that every dial learns and compares.
	c := clientOf(t, mustPolicy(t, Config{Resolver: names{"agents.internal": {"10.9.9.9"}, "agent.example": {"127.0.0.1"}}, Own: []string{"agents.internal:" + port}}, "*.example, *.internal"))
	var group sync.WaitGroup
	for i := range 2 * mostConns {
		group.Go(func() {
			text := fmt.Sprint("request ", i)
			got, err := c.Do(t.Context(), Request{Method: "POST", URL: "http://agent.example:" + port, Body: []byte(text)})
			if err != nil || string(got.Body) != text {
				t.Errorf("%s: got %+v, %v", text, got, err)
			}
			if _, err := c.Do(t.Context(), get("http://agents.internal:"+port)); fault.As(err) == nil {
				t.Errorf("our own: %v, want unsafe_url", err)
			}
		})
	}
	group.Wait()
}

// What a request is made of, byte by byte.
func TestNothingIsSentButWhatWasGiven(t *testing.T) {
	sent := make(chan string, 1)
	address := raw(t, func(conn net.Conn) {
		var seen bytes.Buffer
		request, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &seen)))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		sent <- seen.String()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b; Path=/\r\nConnection: close\r\n\r\nok")
	})
	c := trusting(t)
	header := http.Header{"accept": {"application/json"}, "X-Api-Key": {"k"}}
	for _, tt := range []struct {
		name    string
		request Request
		want    string
	}{
		{"GET", Request{Method: "GET"}, "GET /p HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: Intuno/1.0\r\nAccept-Encoding: gzip\r\n\r\n"},
		{"GET again, after a cookie was set", Request{Method: "GET", Header: header},
			"GET /p HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: Intuno/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nX-Api-Key: k\r\n\r\n"},
		{"POST", Request{Method: "POST", Header: http.Header{"User-Agent": {"Intuno-Broker/1.0"}, "Content-Type": {"application/json"}}, Body: []byte("{}")},
			"POST /p HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: Intuno-Broker/1.0\r\nContent-Length: 2\r\nAccept-Encoding: gzip\r\nContent-Type: application/json\r\n\r\n{}"},
	} {
		tt.request.URL = "http://" + address + "/p"
		if _, err := c.Do(t.Context(), tt.request); err != nil {
			t.Fatal(err)
		}
		if got := <-sent; got != tt.want {
			t.Errorf("%s: sent %q, want %q", tt.name, got, tt.want)
		}
	}
	s, err := c.Open(t.Context(), get("http://"+address+"/p"))
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Body.Close()
	if got, want := <-sent, "GET /p HTTP/1.1\r\nHost: "+address+"\r\nUser-Agent: Intuno/1.0\r\n\r\n"; got != want {
		t.Errorf("stream: sent %q, want %q", got, want)
	}
}

func TestRequestsThatTheClientDoesNotSend(t *testing.T) {
	c := trusting(t)
	canary := newCanary(t, "127.0.0.1")
	for _, r := range []Request{
		{Method: ""}, {Method: "PUT", Body: []byte("x")}, {Method: "get"}, {Method: "GET", Body: []byte("x")}, {Method: "POST"}, {Method: "POST", Body: []byte{}}, {Method: "CONNECT"},
		{Method: "GET", Header: http.Header{"host": {"x"}}}, {Method: "GET", Header: http.Header{"Connection": {"upgrade"}}}, {Method: "GET", Header: http.Header{"TRANSFER-encoding": {"chunked"}}},
		{Method: "GET", Header: http.Header{"Cookie": {"a=b"}}}, {Method: "GET", Header: http.Header{"Accept-Encoding": {"br"}}}, {Method: "GET", Header: http.Header{"a b": {"x"}}},
		{Method: "GET", Header: http.Header{"": {"x"}}}, {Method: "GET", Header: http.Header{"X": {"a\r\nb: c"}}}, {Method: "GET", Header: http.Header{"X": {"ok", "a\x00"}}},
		{Method: "GET", Header: http.Header{"X\r\nY": {"x"}}}, {Method: "GET", Header: http.Header{"Expect": {"100-continue"}}},
	} {
		r.URL = "http://" + canary.address
		if _, err := c.Do(t.Context(), r); !errors.Is(err, errMethod) && !errors.Is(err, errHeader) {
			t.Errorf("%v: got %v, want a refusal of the request", r, err)
		}
	}
	canary.wantUntouched(t)
}

func TestRedirectsAreAnswersLikeAnyOther(t *testing.T) {
	canary := newCanary(t, "127.0.0.1")
	c := trusting(t)
	for _, location := range []string{"http://" + canary.address + "/x", "//" + canary.address, "/same", "https://" + canary.address, "http://u:p@" + canary.address,
		"http://10.0.0.1/", "http://169.254.169.254/latest/", "file:///etc/passwd", "gopher://" + canary.address, "", ":", "http://[::1", "http://agent.example:1/"} {
		for _, status := range []int{300, 301, 302, 303, 304, 305, 307, 308, 200, 201} {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.Header().Set("Location", location)
				w.Header().Set("Refresh", "0; url="+location)
				w.Header().Set("Alt-Svc", `h2="`+canary.address+`"; ma=1000`)
				w.WriteHeader(status)
			}))
			for _, r := range []Request{get(server.URL), {Method: "POST", URL: server.URL, Body: []byte("{}")}} {
				got, err := c.Do(t.Context(), r)
				if err != nil || got.Status != status || got.Header.Get("Location") != location {
					t.Errorf("%s, %d to %q: got %+v, %v, want it as it is", r.Method, status, location, got, err)
				}
			}
			if n := requests.Load(); n != 2 {
				t.Errorf("%d to %q: %d requests, want 2", status, location, n)
			}
			server.Close()
		}
	}
	canary.wantUntouched(t)
}

// A kept connection that breaks under a request: net/http sends a GET again, and
// would a POST with an Idempotency-Key.
func TestAPOSTIsNeverSentAgain(t *testing.T) {
	for _, tt := range []struct {
		method string
		want   int32
	}{{"POST", 2}, {"GET", 3}} {
		var requests atomic.Int32
		address := raw(t, func(conn net.Conn) {
			r := bufio.NewReader(conn)
			for n := 0; ; n++ {
				request, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				requests.Add(1)
				if n == 1 {
					return // the second request of a connection is read, acted upon and not answered
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		c := trusting(t)
		request := Request{Method: tt.method, URL: "http://" + address, Header: http.Header{"Idempotency-Key": {"1"}, "X-Idempotency-Key": {"1"}}}
		if tt.method == "POST" {
			request.Body = []byte("{}")
		}
		if _, err := c.Do(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		_, err := c.Do(t.Context(), request)
		if tt.method == "POST" && !errors.Is(err, ErrUnreachable) || tt.method == "GET" && err != nil {
			t.Errorf("%s on a connection that broke: %v", tt.method, err)
		}
		if n := requests.Load(); n != tt.want {
			t.Errorf("%s: the server saw %d requests, want %d", tt.method, n, tt.want)
		}
	}
}

// The exemption of a listed host must not pass to another spelling with the
// connection.
func TestAKeptConnectionServesOnlyTheHostItWasMadeFor(t *testing.T) {
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	c := clientOf(t, mustPolicy(t, Config{Resolver: here{}}, "agent.example, bücher.example:"+port))
	for _, tt := range []struct {
		url   string
		ok    bool
		conns int32
	}{
		{"http://agent.example:" + port, true, 1},
		{"http://AGENT.example.:" + port + "/x", true, 1},
		{"http://ａｇｅｎｔ.example:" + port, true, 1},
		{"http://other.example:" + port, false, 1},
		{"http://agent.example.org:" + port, false, 1},
		{"http://127.0.0.1:" + port, false, 1},
		{"http://localhost:" + port, false, 1},
		{"http://[::ffff:127.0.0.1]:" + port, false, 1},
		{"http://[::1]:" + port, false, 1},
		{"http://bücher.example:" + port, true, 2},
		{"http://xn--bcher-kva.example:" + port, true, 2},
		{"http://agent.example:" + port, true, 2},
	} {
		_, err := c.Do(t.Context(), get(tt.url))
		if tt.ok != (err == nil) {
			t.Errorf("%s: %v, want ok %v", tt.url, err, tt.ok)
		}
		if !tt.ok {
			wantRefusal(t, tt.url, err)
		}
		if n := conns.Load(); n != tt.conns {
			t.Errorf("%s: %d connections so far, want %d", tt.url, n, tt.conns)
		}
	}
}

func TestWhatIsNotReachable(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	c := clientOf(t, mustPolicy(t, Config{Resolver: names{"a.example": {"127.0.0.1"}, "none.example": {}}}, "127.0.0.1, *.example"))
	for _, tt := range []struct{ sentence, url string }{
		{"the name does not resolve", "http://unknown.example"},
		{"the name has no address", "http://none.example"},
		{"nobody listens", "http://" + closed.Addr().String()},
		{"the connection ends without an answer", "http://" + raw(t, func(net.Conn) {})},
		{"the answer is not HTTP", "http://" + raw(t, once("220 smtp ready\r\n"))},
		{"the answer is HTTP/2", "http://" + raw(t, once("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))},
		{"the body is cut", "http://" + raw(t, func(conn net.Conn) { once("HTTP/1.1 200 OK\r\nContent-length: 5\r\n\r\nabc")(conn) })},
		{"the chunks are broken", "http://" + raw(t, once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"))},
		{"two lengths", "http://" + raw(t, once("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"))},
		{"the gzip data are none", "http://" + raw(t, once("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n0123456789"))},
		{"the protocol is switched", "http://" + raw(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello")
			_, _ = io.Copy(io.Discard, conn)
		})},
		{"TLS is asked for and HTTP spoken", "https://" + raw(t, once("HTTP/1.1 400 Bad Request\r\n\r\n"))},
	} {
		if got, err := c.Do(t.Context(), get(tt.url)); !errors.Is(err, ErrUnreachable) || fault.As(err) != nil {
			t.Errorf("%s: got %+v, %v, want ErrUnreachable", tt.sentence, got, err)
		}
	}
}

func TestTheCallersOwnEndIsNoDeadline(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address := raw(t, func(conn net.Conn) {
		cancel()
		_, _ = io.Copy(io.Discard, conn)
	})
	if _, err := trusting(t).Do(ctx, get("http://"+address)); !errors.Is(err, context.Canceled) || errors.Is(err, ErrDeadline) || errors.Is(err, ErrUnreachable) {
		t.Errorf("a cancelled request: got %v, want context.Canceled", err)
	}
	late, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := trusting(t).Do(late, get("http://"+address)); !errors.Is(err, ErrDeadline) {
		t.Errorf("the deadline of the context: got %v, want ErrDeadline", err)
	}
}

func TestTransportLayerSecurity(t *testing.T) {
	ca := newAuthority(t)
	day := 24 * time.Hour
	for _, tt := range []struct {
		sentence string
		cert     tls.Certificate
		max      uint16
		ok       bool
	}{
		{"TLS 1.3 with a sound certificate", ca.issue(t, time.Now().Add(day), "agent.example"), tls.VersionTLS13, true},
		{"TLS 1.2 with a sound certificate", ca.issue(t, time.Now().Add(day), "*.example"), tls.VersionTLS12, true},
		{"TLS 1.1", ca.issue(t, time.Now().Add(day), "agent.example"), tls.VersionTLS11, false},
		{"an expired certificate", ca.issue(t, time.Now().Add(-time.Minute), "agent.example"), 0, false},
		{"a certificate of another host", ca.issue(t, time.Now().Add(day), "other.example"), 0, false},
		{"an unknown authority", newAuthority(t).issue(t, time.Now().Add(day), "agent.example"), 0, false},
	} {
		var requests atomic.Int32
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if requests.Add(1); r.TLS.ServerName != "agent.example" || r.ProtoMajor != 1 {
				t.Errorf("%s: server name %q, protocol %s", tt.sentence, r.TLS.ServerName, r.Proto)
			}
		}))
		server.EnableHTTP2 = true
		server.Config.ErrorLog = quiet()
		server.TLS = &tls.Config{Certificates: []tls.Certificate{tt.cert}, MinVersion: tls.VersionTLS10, MaxVersion: tt.max}
		server.StartTLS()
		_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
		c := NewClient(mustPolicy(t, Config{Resolver: here{}}, "*.example"), ca.pool)
		_, err := c.Do(t.Context(), get("https://Agent.example.:"+port))
		if tt.ok && err != nil || !tt.ok && (!errors.Is(err, ErrUnreachable) || requests.Load() > 0) {
			t.Errorf("%s: %v and %d requests, want ok %v", tt.sentence, err, requests.Load(), tt.ok)
		}
		c.Close()
		server.Close()
	}
}

// The next address gets its turn when the one before fails or is slow, and the slow
// one is not left behind.
func TestAddressesAreTriedOneAfterAnother(t *testing.T) {
	canary := newCanary(t, "127.0.0.1")
	port := netip.MustParseAddrPort(canary.address).Port()
	var tried atomic.Int32
	d := &net.Dialer{ControlContext: func(ctx context.Context, _, address string, _ syscallConn) error {
		tried.Add(1)
		if strings.HasPrefix(address, "127.0.0.3") {
			<-ctx.Done()
			return ctx.Err()
		}
		if strings.HasPrefix(address, "127.0.0.2") {
			return errors.New("no")
		}
		return nil
	}}
	start := time.Now()
	conn, err := connect(t.Context(), d, []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.1")}, port)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if took := time.Since(start); took < stepTime/2 || took > 8*stepTime || tried.Load() != 3 {
		t.Errorf("tried %d in %v, want three addresses and one step of %v", tried.Load(), took, stepTime)
	}
}

func TestFewAddressesAreTriedAndBothFamilies(t *testing.T) {
	parse := func(list string) (addrs []netip.Addr) {
		for text := range strings.FieldsSeq(list) {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		return addrs
	}
	for in, want := range map[string]string{
		"1.1.1.1":                         "1.1.1.1",
		"2::1 2::2 2::3 1.1.1.1 1.1.1.2":  "2::1 1.1.1.1 2::2 1.1.1.2",
		"1.1.1.1 1.1.1.2 2::1":            "1.1.1.1 2::1 1.1.1.2",
		"2::1 2::2 2::3 2::4 2::5":        "2::1 2::2 2::3 2::4",
		"1.1.1.1 1.1.1.2 1.1.1.3 2::1":    "1.1.1.1 2::1 1.1.1.2 1.1.1.3",
		"1.1.1.1 2::1 2::2 2::3 2::4 3::": "1.1.1.1 2::1 2::2 2::3",
	} {
		if got := alternate(parse(in)); fmt.Sprint(got) != fmt.Sprint(parse(want)) {
			t.Errorf("alternate(%s) = %v, want %s", in, got, want)
		}
	}
}
