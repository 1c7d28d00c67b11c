package egress

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	testCap = 64 << 10 // bytes of body that the tests allow
	// What one answer may cost, whatever the server would like to send: bytes that a
	// server gets rid of (the sockets of both sides hold some) and bytes allocated.
	mostWritten = 24 << 20
	mostMemory  = 2 << 20
)

func zip(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// chunked is body in chunks of a transfer coding, without the end.
func chunked(body []byte) string { return fmt.Sprintf("%x\r\n%s\r\n", len(body), body) }

// repeat sends head and then pieces of 64 KiB and more until the peer hangs up or
// total bytes are sent. It counts what it sent.
func repeat(t testing.TB, written *atomic.Int64, head, piece string, total int64) string {
	first, rest := []byte(head), bytes.Repeat([]byte(piece), 1+(64<<10)/len(piece))
	return raw(t, func(conn net.Conn) {
		if !request(conn) {
			return
		}
		for text := first; written.Load() < total; text = rest {
			n, err := conn.Write(text)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
}

// request reads the header of a request.
func request(conn net.Conn) bool {
	var got []byte
	for b := make([]byte, 1); !bytes.HasSuffix(got, []byte("\r\n\r\n")); got = append(got, b[0]) {
		if _, err := conn.Read(b); err != nil {
			return false
		}
	}
	return true
}

func TestNoAnswerCostsMoreThanItsBounds(t *testing.T) {
	const mega = 1 << 20
	ok, zipped := "HTTP/1.1 200 OK\r\n", "Content-Encoding: gzip\r\n"
	zeros := string(zip(t, make([]byte, mega))) // about a thousandth of it
	for _, tt := range []struct {
		sentence    string
		head, piece string
		total       int64 // bytes that the server wants to send
		want        error
	}{
		{"100 MB that are announced", ok + "Content-Length: 104857600\r\n\r\n", "x", 100 * mega, ErrTooLarge},
		{"100 MB in chunks", ok + "Transfer-Encoding: chunked\r\n\r\n", chunked(make([]byte, 4096)), 100 * mega, ErrTooLarge},
		{"100 MB until the connection closes", ok + "\r\n", "x", 100 * mega, ErrTooLarge},
		{"100 MB in chunks of a byte", ok + "Transfer-Encoding: chunked\r\n\r\n", chunked([]byte("x")), 100 * mega, ErrTooLarge},
		{"an error page of 100 MB", "HTTP/1.1 500 Oops\r\n\r\n", "x", 100 * mega, ErrTooLarge},
		{"a redirect of 100 MB", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "x", 100 * mega, ErrTooLarge},
		{"half a megabyte that unpacks to 512", ok + zipped + "\r\n", zeros, 512 * int64(len(zeros)), ErrTooLarge},
		{"the same, announced", ok + zipped + fmt.Sprintf("Content-Length: %d\r\n\r\n", 1024*len(zeros)), zeros, 512 * int64(len(zeros)), ErrTooLarge},
		{"the same in chunks", ok + zipped + "Transfer-Encoding: chunked\r\n\r\n", chunked([]byte(zeros)), 512 * int64(len(zeros)), ErrTooLarge},
		{"endless compressed data that contain nothing", ok + zipped + "\r\n", string(zip(t, nil)), 100 * mega, ErrTooLarge},
		{"a coding that was not asked for", ok + "Content-Encoding: br\r\n\r\n", "x", 100 * mega, ErrTooLarge},
		{"an endless list of header lines", ok, "X-A: b\r\n", 100 * mega, ErrHeaderTooLarge},
		{"an endless header line", ok + "X-A: ", "b", 100 * mega, ErrHeaderTooLarge},
		{"an endless status line", "HTTP/1.1 200 ", "b", 100 * mega, ErrHeaderTooLarge},
		{"endless interim answers", "", "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", 100 * mega, ErrHeaderTooLarge},
		{"an endless chunk size", ok + "Transfer-Encoding: chunked\r\n\r\n", "0", 100 * mega, ErrUnreachable},
		{"an endless chunk extension", ok + "Transfer-Encoding: chunked\r\n\r\n1;", "x", 100 * mega, ErrUnreachable},
		{"endless trailers", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: b\r\n", 100 * mega, ErrUnreachable},
	} {
		var written atomic.Int64
		address := repeat(t, &written, tt.head, tt.piece, tt.total)
		c := trusting(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := c.Do(t.Context(), Request{Method: "GET", URL: "http://" + address, MaxBody: testCap, Timeout: 20 * time.Second})
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.sentence, err, tt.want)
		}
		if memory := after.TotalAlloc - before.TotalAlloc; memory > mostMemory || written.Load() > mostWritten || took > 10*time.Second {
			t.Errorf("%s: allocated %d KiB, let the server write %d KiB, took %v", tt.sentence, memory>>10, written.Load()>>10, took)
		}
	}
}

func TestTheCapsAreExact(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		answer   func(n int) string
	}{
		{"announced", func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, strings.Repeat("x", n)) }},
		{"in chunks", func(n int) string {
			return "Transfer-Encoding: chunked\r\n\r\n" + chunked(bytes.Repeat([]byte("x"), n)) + "0\r\n\r\n"
		}},
		{"until the end", func(n int) string { return "\r\n" + strings.Repeat("x", n) }},
		{"compressed", func(n int) string {
			data := zip(t, bytes.Repeat([]byte("x"), n))
			return fmt.Sprintf("Content-Encoding: GZIP\r\nContent-Length: %d\r\n\r\n%s", len(data), data)
		}},
		{"compressed in parts, in chunks", func(n int) string {
			data := append(zip(t, bytes.Repeat([]byte("x"), n-1)), zip(t, []byte("x"))...)
			return "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(data) + "0\r\n\r\n"
		}},
		{"compressed to more than it was", func(n int) string {
			var data bytes.Buffer
			w, _ := gzip.NewWriterLevel(&data, gzip.NoCompression)
			_, _ = w.Write(bytes.Repeat([]byte("x"), n))
			_ = w.Close()
			return "Content-Encoding: gzip\r\n\r\n" + data.String()
		}},
	} {
		for _, extra := range []int{0, 1} {
			address := raw(t, once("HTTP/1.1 200 OK\r\nConnection: close\r\n"+tt.answer(testCap+extra)))
			got, err := trusting(t).Do(t.Context(), Request{Method: "GET", URL: "http://" + address, MaxBody: testCap})
			switch {
			case extra > 0 && !errors.Is(err, ErrTooLarge):
				t.Errorf("%s, one byte too long: got %v, want ErrTooLarge", tt.sentence, err)
			case extra == 0 && (err != nil || len(got.Body) != testCap || got.Header.Get("Content-Encoding") != ""):
				t.Errorf("%s, as long as the cap: %v, want the whole body", tt.sentence, err)
			}
		}
	}
	address := raw(t, func(conn net.Conn) {
		request(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	})
	if _, err := trusting(t).Do(t.Context(), get("http://"+address)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("100 MB that are announced and do not come: got %v, want ErrTooLarge at once", err)
	}
	for size, want := range map[int]error{31 << 10: nil, 33 << 10: ErrHeaderTooLarge} {
		address := raw(t, once("HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("b", size-30)+"\r\n\r\n"))
		if _, err := trusting(t).Do(t.Context(), get("http://"+address)); !errors.Is(err, want) {
			t.Errorf("a header of %d bytes: got %v, want %v", size, err, want)
		}
	}
	address = raw(t, once("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+strings.Repeat("x", defaultMaxBody+1)))
	if _, err := trusting(t).Do(t.Context(), get("http://"+address)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than a megabyte without a cap: got %v, want ErrTooLarge", err)
	}
}

// Only what was asked for is unpacked, and only once.
func TestOtherCodingsComeAsTheyAre(t *testing.T) {
	var deflated bytes.Buffer
	w, _ := flate.NewWriter(&deflated, 9)
	_, _ = w.Write([]byte("text"))
	_ = w.Close()
	packed := string(zip(t, []byte("text")))
	twice := string(zip(t, []byte(packed)))
	for _, tt := range []struct {
		sentence, header, body, want string
		stream                       bool
	}{
		{"gzip", "Content-Encoding: gzip\r\n", packed, "text", false},
		{"gzip within gzip, called gzip", "Content-Encoding: gzip\r\n", twice, packed, false},
		{"gzip within gzip", "Content-Encoding: gzip, gzip\r\n", twice, twice, false},
		{"gzip within gzip, two lines", "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", twice, twice, false},
		{"deflate", "Content-Encoding: deflate\r\n", deflated.String(), deflated.String(), false},
		{"brotli", "Content-Encoding: br\r\n", "\x0b\x01\x80text\x03", "\x0b\x01\x80text\x03", false},
		{"no coding", "", packed, packed, false},
		{"an empty body called gzip", "Content-Encoding: gzip\r\n", "", "", false},
		{"gzip in a stream, which does not ask for it", "Content-Encoding: gzip\r\n", packed, packed, true},
	} {
		c, r := trusting(t), get("http://"+raw(t, once("HTTP/1.1 200 OK\r\n"+tt.header+"\r\n"+tt.body)))
		var got []byte
		var err error
		if tt.stream {
			var s *Stream
			if s, err = c.Open(t.Context(), r); err == nil {
				got, err = io.ReadAll(s.Body)
				_ = s.Body.Close()
			}
		} else {
			var answer *Response
			if answer, err = c.Do(t.Context(), r); err == nil {
				got = answer.Body
			}
		}
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.sentence, got, err, tt.want)
		}
	}
}

// drip sends a byte of text every 10 ms, the last one forever.
func drip(text string) func(net.Conn) {
	return func(conn net.Conn) {
		for i := 0; ; i = min(i+1, len(text)-1) {
			if _, err := conn.Write([]byte{text[i]}); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func TestTheDeadlineCoversEverythingUpToTheLastByte(t *testing.T) {
	silent := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	answer := func(head string) func(net.Conn) {
		return func(conn net.Conn) {
			if request(conn) {
				_, _ = io.WriteString(conn, head)
				drip("x")(conn)
			}
		}
	}
	bound := 300 * time.Millisecond
	for _, tt := range []struct {
		sentence string
		url      string
		request  Request
	}{
		{"a name that takes its time", "http://slow.example", Request{}},
		{"a silent server", "http://" + raw(t, silent), Request{}},
		{"a silent TLS server", "https://" + raw(t, silent), Request{}},
		{"a server that reads no body", "http://" + raw(t, func(conn net.Conn) { time.Sleep(2 * bound) }), Request{Method: "POST", Body: make([]byte, 16<<20)}},
		{"a dripping header", "http://" + raw(t, func(conn net.Conn) { request(conn); drip("HTTP/1.1 200 OK\r\nX-A: b")(conn) }), Request{}},
		{"a dripping body", "http://" + raw(t, answer("HTTP/1.1 200 OK\r\n\r\n")), Request{}},
		{"a dripping body of known length", "http://" + raw(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")), Request{}},
		{"a dripping compressed body", "http://" + raw(t, answer("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\xff")), Request{}},
		{"a body that stops", "http://" + raw(t, func(conn net.Conn) {
			request(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
			silent(conn)
		}), Request{}},
		{"a body that stops, by the bound between pieces", "http://" + raw(t, func(conn net.Conn) {
			request(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
			silent(conn)
		}), Request{Idle: bound, Timeout: time.Minute}},
		{"a silent server, by the bound between pieces", "http://" + raw(t, silent), Request{Idle: bound, Timeout: time.Minute}},
	} {
		tt.request.URL = tt.url
		if tt.request.Method == "" {
			tt.request.Method = "GET"
		}
		if tt.request.Timeout == 0 {
			tt.request.Timeout = bound
		}
		c := clientOf(t, mustPolicy(t, Config{Resolver: names{"slow.example": nil}}, "127.0.0.1, *.example"))
		start := time.Now()
		_, err := c.Do(t.Context(), tt.request)
		if took := time.Since(start); !errors.Is(err, ErrDeadline) || took < bound*9/10 || took > 5*bound {
			t.Errorf("%s: got %v after %v, want ErrDeadline after %v", tt.sentence, err, took, bound)
		}
	}
}

func TestAStreamIsReadWhileItArrives(t *testing.T) {
	next := make(chan struct{})
	address := raw(t, func(conn net.Conn) {
		if !request(conn) {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		for range next {
			_, _ = io.WriteString(conn, "data: x\n\n")
		}
	})
	s, err := trusting(t).Open(t.Context(), Request{Method: "GET", URL: "http://" + address, Header: http.Header{"Accept": {"text/event-stream"}}, Idle: 5 * time.Second, MaxBody: 18})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		next <- struct{}{}
		got := make([]byte, 9)
		if _, err := io.ReadFull(s.Body, got); err != nil || string(got) != "data: x\n\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	next <- struct{}{}
	if _, err := s.Body.Read(make([]byte, 100)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond the cap: %v, want ErrTooLarge", err)
	}
	if err := s.Body.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Body.Read(make([]byte, 1)); err == nil {
		t.Error("a closed stream can be read")
	}
	close(next)
}
