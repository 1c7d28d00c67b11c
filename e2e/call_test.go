package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// callee is a receiver of calls, and what the caller must be told of it.
type callee struct {
	path     string
	answer   func(w http.ResponseWriter, r *http.Request)
	status   int
	want     string // of a 200 the response, else the code
	content  string // of the reply that is kept; "": the same as want
	lasts    bool   // it is answered only after the time of a call is over
	callback string // instead of the path
}

// callees answer in every way that a stranger's server can have. The inner address is
// where none of them may lead.
func callees(inner *canary) []callee {
	text := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(time.Second):
			}
		}
	}
	huge := func(w http.ResponseWriter, _ *http.Request) {
		piece := strings.Repeat("x", 1<<20)
		for range 100 {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"half": `)
	}
	redirect := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", inner.url)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
	return []callee{
		{path: "/object", answer: text(200, `{"temperature": 21}`), status: 200, want: `{"temperature":21}`},
		{path: "/list", answer: text(201, ` [1, "two", null] `), status: 200, want: `[1,"two",null]`},
		{path: "/number", answer: text(200, `42`), status: 200, want: `42`},
		{path: "/true", answer: text(200, `true`), status: 200, want: `true`},
		{path: "/string", answer: text(202, `"sunny"`), status: 200, want: `"sunny"`},
		{path: "/null", answer: text(200, `null`), status: 200, want: `null`},
		{path: "/plain", answer: text(200, "Sunny, 21 degrees"), status: 200, want: `{"raw_response":"Sunny, 21 degrees"}`, content: "Sunny, 21 degrees"},
		{path: "/nothing", answer: text(204, ""), status: 200, want: `null`},
		{path: "/empty", answer: text(200, ""), status: 200, want: `null`},
		{path: "/error", answer: text(500, `{"temperature": 21}`), status: 502, want: "target_unreachable"},
		{path: "/missing", answer: text(404, ""), status: 502, want: "target_unreachable"},
		{path: "/unavailable", answer: text(503, ""), status: 502, want: "target_unreachable"},
		{path: "/reset", answer: func(w http.ResponseWriter, _ *http.Request) { reset(w) }, status: 502, want: "target_unreachable"},
		{path: "/cut", answer: cut, status: 502, want: "target_unreachable"},
		{path: "/huge", answer: huge, status: 502, want: "target_unreachable"},
		{path: "/redirect", answer: redirect, status: 502, want: "target_unreachable"},
		{path: "/nobody", callback: "http://127.0.0.1:1/", status: 502, want: "target_unreachable"},
		{path: "/hang", answer: hang, status: 504, want: "call_timeout", lasts: true},
		{path: "/drip", answer: drip, status: 504, want: "call_timeout", lasts: true},
	}
}

// TestACallIsAnsweredInTimeWhateverTheReceiverDoes has a short time for calls, and the
// default for one of each that does not answer.
func TestACallIsAnsweredInTimeWhateverTheReceiverDoes(t *testing.T) {
	inner := newCanary(t, "127.0.0.1:0")
	all := callees(inner)
	mux := http.NewServeMux()
	for _, c := range all {
		if c.answer != nil {
			mux.HandleFunc("POST "+c.path, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // else nobody notices when the caller leaves
				c.answer(w, r)
			})
		}
	}
	receivers := httptest.NewServer(mux)
	t.Cleanup(receivers.Close)
	// The canary is another port of the same machine: it is not on the list.
	allowed := "INVOKE_ENDPOINT_ALLOWED_HOSTS=" + strings.TrimPrefix(receivers.URL, "http://") + ",127.0.0.1:1"
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		s := embedded(t, allowed, "NETWORK_CALL_TIMEOUT_SECONDS=1.5")
		r := newRoom(t, s, signUp(t, s), "lobby")
		ada := r.join(t, "ada", nil)
		for _, c := range all {
			t.Run(strings.Trim(c.path, "/"), func(t *testing.T) {
				t.Parallel()
				c.called(t, r, ada, receivers.URL, 1500*time.Millisecond)
			})
		}
	})
	t.Run("within 25 s", func(t *testing.T) {
		t.Parallel()
		s := embedded(t, allowed)
		r := newRoom(t, s, signUp(t, s), "lobby")
		ada := r.join(t, "ada", nil)
		for _, c := range all {
			if c.lasts {
				t.Run(strings.Trim(c.path, "/"), func(t *testing.T) {
					t.Parallel()
					c.called(t, r, ada, receivers.URL, 25*time.Second)
				})
			}
		}
	})
	t.Cleanup(func() { inner.untouched(t) })
}

// called calls it and looks at what is kept of the call.
func (c callee) called(t *testing.T, r *room, caller member, url string, limit time.Duration) {
	if c.callback == "" {
		c.callback = url + c.path
	}
	to := r.join(t, c.path, callback(c.callback))
	began := time.Now()
	a := call(t, "POST", r.at("/call"), saying(caller, to, "Hello"), r.owner.bearer()...)
	took := time.Since(began)
	got := a.text("code")
	if a.status == 200 {
		got = asJSON(a.field("response"))
	}
	if a.status != c.status || got != c.want {
		t.Errorf("answered %d %s, want %d %s", a.status, a.body, c.status, c.want)
	}
	// A little more than the time: the machine of the tests has other things to do.
	if c.lasts && took < limit*8/10 || took > limit+500*time.Millisecond {
		t.Errorf("answered after %v of %v", took, limit)
	}
	var said []networkMessage
	for _, m := range r.messages(t) {
		if m.Recipient == to.id || m.Sender == to.id {
			said = append(said, m)
		}
	}
	outgoing := slices.IndexFunc(said, func(m networkMessage) bool {
		return m.Recipient == to.id && m.Content == "Hello" && m.Channel == "call"
	})
	if outgoing < 0 {
		t.Fatalf("kept: %+v", said)
	}
	if c.status != 200 {
		if len(said) != 1 || said[0].Status != "failed" {
			t.Errorf("kept: %+v", said)
		}
		if unread := r.inbox(t, to); len(unread) > 0 {
			t.Errorf("a failed call is in the inbox: %+v", unread)
		}
		if dead := r.deadLetters(t); len(dead) > 0 {
			t.Errorf("a failed call is a dead letter: %+v", dead)
		}
		return
	}
	if len(said) != 2 || said[outgoing].Status != "delivered" || said[outgoing].ID != a.text("message_id") {
		t.Fatalf("kept: %+v", said)
	}
	reply := said[1-outgoing]
	if reply.Recipient != caller.id || reply.Channel != "call" || reply.Status != "delivered" || reply.InReplyTo != said[outgoing].ID || reply.Metadata["in_reply_to"] != said[outgoing].ID {
		t.Errorf("the reply is %+v", reply)
	}
	if want := c.content; want != "" && reply.Content != want || want == "" && strings.ReplaceAll(strings.TrimSpace(reply.Content), " ", "") != strings.ReplaceAll(c.want, " ", "") && c.want != "null" {
		t.Errorf("the reply says %q", reply.Content)
	}
}

// TestACallThatACrashInterruptsHasFailed kills wisdom while the receiver thinks.
func TestACallThatACrashInterruptsHasFailed(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		h := newHook(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		addr, database := freeAddr(t), open()
		begin := func() *process {
			return startWisdom(t, addr, database, "http://127.0.0.1:9", allowLoopback, "NETWORK_CALL_TIMEOUT_SECONDS=3")
		}
		p := begin()
		s := &stack{wisdoms: []*process{p}}
		r := newRoom(t, s, signUp(t, s), "lobby")
		ada, weather := r.join(t, "ada", nil), r.join(t, "weather", callback(h.URL))
		lost := make(chan error, 1)
		go func() {
			a, err := try("POST", r.at("/call"), saying(ada, weather, "Hello"), r.owner.bearer()...)
			if err == nil {
				err = fmt.Errorf("answered %d %s", a.status, a.body)
			} else {
				err = nil
			}
			lost <- err
		}()
		eventually(t, "the call is under way", func() bool { return len(h.got()) == 1 })
		p.kill()
		if err := <-lost; err != nil {
			t.Error(err)
		}
		begin()
		id := h.got()[0].MessageID
		eventually(t, "it has failed", func() bool { return r.message(t, id).Status == "failed" })
		if unread := append(r.inbox(t, weather), r.inbox(t, ada)...); len(unread) > 0 {
			t.Errorf("in the inboxes: %+v", unread)
		}
		if n := len(h.got()); n != 1 || len(r.messages(t)) != 1 {
			t.Errorf("called %d times; kept: %+v", n, r.messages(t))
		}
	})
}
