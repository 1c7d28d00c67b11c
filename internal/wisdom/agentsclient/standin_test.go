package agentsclient

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

const (
	testKey  = "key-of-the-private-hop-0123456789abcdef"
	testUser = id.User("7c9e6679-7425-40de-944b-e07fc1f90ae7")
)

// received is one request as it came over the socket.
type received struct {
	line    string
	headers []string // as sent, in order
	body    string
}

// standIn is a host on a raw socket: what it hears is recorded byte by byte, and what
// it says can be anything.
type standIn struct {
	t      *testing.T
	ln     net.Listener
	mu     sync.Mutex
	heard  []received
	conns  int
	open   []net.Conn
	answer func(c net.Conn, r received) (again bool) // false closes the connection
}

func newStandIn(t *testing.T, answer func(net.Conn, received) bool) *standIn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{t: t, ln: ln, answer: answer}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			s.open = append(s.open, c)
			s.mu.Unlock()
			serving.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		s.hangUp()
		serving.Wait()
	})
	return s
}

func (s *standIn) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		_ = c.Close()
	}
	s.open = nil
}

func (s *standIn) serve(c net.Conn) {
	defer c.Close()
	r := textproto.NewReader(bufio.NewReader(c))
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		req := received{line: line}
		length := 0
		for {
			h, err := r.ReadLine()
			if err != nil {
				return
			}
			if h == "" {
				break
			}
			req.headers = append(req.headers, h)
			if n, ok := strings.CutPrefix(strings.ToLower(h), "content-length: "); ok {
				length, _ = strconv.Atoi(n)
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(r.R, body); err != nil {
			return
		}
		req.body = string(body)
		s.mu.Lock()
		s.heard = append(s.heard, req)
		s.mu.Unlock()
		if !s.answer(c, req) {
			return
		}
	}
}

func (s *standIn) requests() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

func (s *standIn) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// client returns a client of the stand-in with short deadlines.
func (s *standIn) client(change ...func(*Config)) *Client {
	s.t.Helper()
	conf := Config{BaseURL: "http://" + s.ln.Addr().String(), Key: secret.New(testKey),
		Timeout: 300 * time.Millisecond, ChatTimeout: 400 * time.Millisecond}
	for _, f := range change {
		f(&conf)
	}
	c, err := New(conf)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// says returns an answer function for fixed bytes; the connection stays open.
func says(text string) func(net.Conn, received) bool {
	return func(c net.Conn, _ received) bool {
		_, err := io.WriteString(c, text)
		return err == nil
	}
}

// saysAndCloses closes the connection behind the bytes.
func saysAndCloses(text string) func(net.Conn, received) bool {
	return func(c net.Conn, _ received) bool {
		_, _ = io.WriteString(c, text)
		return false
	}
}

// http11 is a well-formed answer.
func http11(status int, headers, body string) string {
	if headers != "" {
		headers += "\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d Whatever\r\n%sContent-Length: %d\r\n\r\n%s", status, headers, len(body), body)
}

// json11 is a well-formed answer of JSON.
func json11(status int, body string) string {
	return http11(status, "Content-Type: application/json", body)
}

// aria is an entity of testUser.
const aria = `{"id":"e0a1","name":"aria","owner_user_id":"` + string(testUser) + `"}`

func getAria() personal.Call {
	return personal.Call{Op: personal.GetEntity, User: testUser, Name: "aria", RequestID: "req-1"}
}
