package agentsclient

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
	event1     = "5\r\nid: 1\r\n"
)

func follow() personal.Call {
	return personal.Call{Op: personal.FollowMessage, User: testUser, Name: "aria", Message: message}
}

func TestStreamsArePassedOnPieceByPiece(t *testing.T) {
	next := make(chan string)
	host := newStandIn(t, func(c net.Conn, r received) bool {
		says(streamHead)(c, r)
		for piece := range next {
			says(piece)(c, r)
		}
		return true
	})
	s, err := host.client().Open(t.Context(), follow())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Body.Close()
	b := make([]byte, 100)
	for range 5 {
		next <- event1
		if n, err := s.Body.Read(b); err != nil || string(b[:n]) != "id: 1" {
			t.Fatalf("got %q, %v, want the event at once", b[:n], err)
		}
	}
	next <- "0\r\n\r\n"
	close(next)
	if n, err := s.Body.Read(b); n != 0 || err != io.EOF {
		t.Errorf("got %d, %v, want a clean end", n, err)
	}
}

func TestABrokenStreamNeverEndsCleanly(t *testing.T) {
	tests := map[string]func(net.Conn, received) bool{
		"cut between chunks":  saysAndCloses(streamHead + event1),
		"cut in a chunk":      saysAndCloses(streamHead + "ff\r\nid: 1"),
		"reset":               func(c net.Conn, r received) bool { says(streamHead+event1)(c, r); reset(c); return false },
		"silence":             says(streamHead + event1),
		"length not reached":  saysAndCloses("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\nid: 1"),
		"not chunked at last": saysAndCloses(streamHead + event1 + "zz\r\n"),
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := newStandIn(t, answer).client().Open(t.Context(), follow())
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			got, err := io.ReadAll(s.Body)
			if err == nil {
				t.Errorf("got %q and a clean end, want an error", got)
			}
			if elapsed := time.Since(began); elapsed > 2*time.Second {
				t.Errorf("took %v, want an end after the longest silence", elapsed)
			}
			_ = s.Body.Close()
			_ = s.Body.Close() // twice is allowed
		})
	}
}

// The deadline is for silence, not for the whole stream.
func TestALongStreamLivesAsLongAsItSpeaks(t *testing.T) {
	host := newStandIn(t, func(c net.Conn, r received) bool {
		says(streamHead)(c, r)
		for range 8 {
			time.Sleep(100 * time.Millisecond) // twice the deadline in all
			says(event1)(c, r)
		}
		return says("0\r\n\r\n")(c, r)
	})
	s, err := host.client().Open(t.Context(), follow())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Body.Close()
	if got, err := io.ReadAll(s.Body); err != nil || len(got) != 8*5 {
		t.Errorf("got %q, %v, want 8 events", got, err)
	}
}

func TestAStreamEndsWithItsReader(t *testing.T) {
	hungUp := make(chan struct{})
	host := newStandIn(t, func(c net.Conn, r received) bool {
		says(streamHead+event1)(c, r)
		_, _ = io.Copy(io.Discard, c)
		close(hungUp)
		return false
	})
	client := host.client(func(c *Config) { c.ChatTimeout = time.Minute })
	ctx, cancel := context.WithCancel(t.Context())
	s, err := client.Open(ctx, follow())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := io.ReadAll(s.Body); err == nil {
		t.Error("got a clean end, want an error")
	}
	select {
	case <-hungUp:
	case <-time.After(2 * time.Second):
		t.Error("the connection to the host is still open")
	}
	for deadline := time.Now().Add(2 * time.Second); len(client.slow.busy) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections count as in use, want 0 although nobody called Close", len(client.slow.busy))
		}
	}
	_ = s.Body.Close()
}

func TestRefusedAndWrongStreamsAreNoStreams(t *testing.T) {
	tests := map[string]struct {
		op     personal.Op
		answer func(net.Conn, received) bool
		want   fault.Kind
	}{
		"409":             {personal.StreamMessage, says(json11(409, `{"detail":"busy","code":"turn_in_progress"}`)), fault.Conflict},
		"404":             {personal.FollowMessage, says(json11(404, `{"detail":"x","code":"not_found"}`)), fault.NotFound},
		"504":             {personal.StreamMessage, says(json11(504, `{"detail":"x","code":"turn_timeout"}`)), fault.Upstream},
		"401":             {personal.StreamMessage, says(json11(401, `{}`)), fault.Upstream},
		"redirect":        {personal.FollowMessage, says(http11(302, "Location: /x", "")), fault.Upstream},
		"JSON":            {personal.StreamMessage, says(json11(201, `{}`)), fault.Upstream},
		"HTML":            {personal.FollowMessage, says(http11(200, "Content-Type: text/html", "x")), fault.Upstream},
		"compressed":      {personal.FollowMessage, says(http11(200, "Content-Type: text/event-stream\r\nContent-Encoding: gzip", "x")), fault.Upstream},
		"204":             {personal.FollowMessage, says("HTTP/1.1 204 No Content\r\n\r\n"), fault.Upstream},
		"hang":            {personal.StreamMessage, func(net.Conn, received) bool { time.Sleep(time.Second); return false }, fault.Upstream},
		"closed":          {personal.StreamMessage, func(net.Conn, received) bool { return false }, fault.Upstream},
		"export as HTML":  {personal.ExportEntity, says(http11(200, "Content-Type: text/html", "{}")), fault.Upstream},
		"export zipped":   {personal.ExportEntity, says(http11(200, "Content-Type: application/json\r\nContent-Encoding: gzip", "{}")), fault.Upstream},
		"export refused":  {personal.ExportEntity, says(json11(404, `{}`)), fault.NotFound},
		"export, no host": {personal.ExportEntity, func(net.Conn, received) bool { return false }, fault.Upstream},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newStandIn(t, tt.answer).client()
			c := follow()
			c.Op = tt.op
			if tt.op == personal.StreamMessage {
				c.Body = []byte(`{"content":"x"}`)
			}
			s, err := client.Open(t.Context(), c)
			if !fault.Is(err, tt.want) || s.Body != nil {
				t.Errorf("got %v, want kind %d", err, tt.want)
			}
			if n := len(client.slow.busy); n != 0 {
				t.Errorf("%d connections are left in use", n)
			}
		})
	}
}

func TestExportsHaveNoCap(t *testing.T) {
	body := `{"x":"` + strings.Repeat("a", 5<<20) + `"}`
	s, err := newStandIn(t, says(json11(200, body))).client(func(c *Config) { c.Timeout = 5 * time.Second }).
		Open(t.Context(), personal.Call{Op: personal.ExportEntity, User: testUser, Name: "aria"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Body.Close()
	if got, err := io.ReadAll(s.Body); err != nil || string(got) != body {
		t.Errorf("got %d bytes, %v, want all %d", len(got), err, len(body))
	}
}

func TestPingNeedsNoKey(t *testing.T) {
	host := newStandIn(t, says(json11(200, `{"status":"healthy"}`)))
	if err := host.client(func(c *Config) { c.Key = secret.String{} }).Ping(t.Context()); err != nil {
		t.Errorf("got %v, want none", err)
	}
	if r := host.requests()[0]; !strings.HasPrefix(r.line, "GET /health ") || strings.Contains(strings.Join(r.headers, " "), "X-") {
		t.Errorf("got %+v, want a bare question", r)
	}
	sick := newStandIn(t, says(json11(503, `{}`)))
	if err := sick.client().Ping(t.Context()); err == nil {
		t.Error("503: got no error")
	}
}
