package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// room is a network of owner's.
type room struct {
	s     *stack
	owner account
	id    string
}

// member is a participant, with the secret that it was shown when it joined.
type member struct{ id, name, secret string }

// networkMessage is a message as it is listed; dead letters have the rest too.
type networkMessage struct {
	ID        string         `json:"id"`
	Sender    string         `json:"sender_participant_id"`
	Recipient string         `json:"recipient_participant_id"`
	Channel   string         `json:"channel_type"`
	Content   string         `json:"content"`
	Metadata  map[string]any `json:"metadata"`
	Status    string         `json:"status"`
	InReplyTo string         `json:"in_reply_to_id"`

	Attempts   int    `json:"attempts"`
	LastStatus *int   `json:"last_status_code"`
	LastError  string `json:"last_error"`
}

// delivered is what a webhook gets, as far as the tests look at it.
type delivered struct {
	NetworkID string `json:"network_id"`
	MessageID string `json:"message_id"`
	Channel   string `json:"channel"`
	Content   string `json:"content"`
	Sender    struct {
		ID   string `json:"participant_id"`
		Name string `json:"name"`
	} `json:"sender"`
	ReplyURL string `json:"reply_url"`
	Context  []struct {
		Sender, Recipient, Content string
		MessageID                  string `json:"message_id"`
	} `json:"context"`
}

func newRoom(t *testing.T, s *stack, owner account, name string) *room {
	t.Helper()
	r := &room{s: s, owner: owner}
	r.id = expect(t, 201, "POST", s.url()+"/networks", fmt.Sprintf(`{"name":%q}`, name), owner.bearer()...).text("id")
	return r
}

// at is the address of something in the network.
func (r *room) at(path string) string { return r.s.url() + "/networks/" + r.id + path }

// join adds a participant; more are fields of the body.
func (r *room) join(t *testing.T, name string, more map[string]any) member {
	t.Helper()
	body := map[string]any{"name": name}
	for k, v := range more {
		body[k] = v
	}
	a := expect(t, 201, "POST", r.at("/participants"), asJSON(body), r.owner.bearer()...)
	return member{a.text("id"), name, a.text("webhook_secret")}
}

func callback(url string) map[string]any { return map[string]any{"callback_url": url} }

// saying is the body of a call, a send or a mail.
func saying(from, to member, content string) string {
	return asJSON(map[string]any{"sender_participant_id": from.id, "recipient_participant_id": to.id, "content": content})
}

func (r *room) send(t *testing.T, from, to member, content string) string {
	t.Helper()
	a := expect(t, 201, "POST", r.at("/messages/send"), saying(from, to, content), r.owner.bearer()...)
	if a.text("status") != "pending" {
		t.Errorf("sent: %s", a.body)
	}
	return a.text("id")
}

// messages is all that was said, oldest first.
func (r *room) messages(t *testing.T) []networkMessage {
	t.Helper()
	return r.messagesFrom(t, 0)
}

// messagesFrom leaves the first ones out.
func (r *room) messagesFrom(t *testing.T, offset int) (all []networkMessage) {
	t.Helper()
	const limit = 500
	for {
		a := expect(t, 200, "GET", r.at(fmt.Sprintf("/messages?limit=%d&offset=%d", limit, offset+len(all))), "", r.owner.bearer()...)
		var page []networkMessage
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
	}
}

func (r *room) deadLetters(t *testing.T) []networkMessage {
	t.Helper()
	return pages[networkMessage](t, r.at("/dead-letters"), 200, r.owner.bearer()...)
}

func (r *room) message(t *testing.T, id string) (found networkMessage) {
	t.Helper()
	for _, m := range r.messages(t) {
		if m.ID == id {
			return m
		}
	}
	return networkMessage{}
}

// inbox is what a participant has not read.
func (r *room) inbox(t *testing.T, of member) []networkMessage {
	t.Helper()
	a := expect(t, 200, "GET", r.at("/inbox/"+of.id+"?limit=200"), "", r.owner.bearer()...)
	var list []networkMessage
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// verifyWebhook is a verifier written from the public specification of Standard Webhooks
// alone, with its recommended tolerance of five minutes.
func verifyWebhook(secret string, header http.Header, body []byte, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return fmt.Errorf("a secret of %d bytes: %v", len(key), err)
	}
	id, timestamp, signatures := header.Values("webhook-id"), header.Values("webhook-timestamp"), header.Values("webhook-signature")
	if len(id) != 1 || len(timestamp) != 1 || len(signatures) != 1 || id[0] == "" || strings.Contains(id[0], ".") {
		return fmt.Errorf("headers %q, %q and %q", id, timestamp, signatures)
	}
	seconds, err := strconv.ParseInt(timestamp[0], 10, 64)
	if err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age.Abs() > 5*time.Minute {
		return fmt.Errorf("the message is of another time: %v", age)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id[0] + "." + timestamp[0] + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	for _, signature := range strings.Split(signatures[0], " ") {
		version, encoded, _ := strings.Cut(signature, ",")
		if got, err := base64.StdEncoding.DecodeString(encoded); version == "v1" && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return errors.New("no signature fits")
}

// hook is a receiver that takes everything and keeps it.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	hits []hit
}

type hit struct {
	at     time.Time
	header http.Header
	body   []byte
	delivered
}

// newHook starts one. answer may be nil: then it is an empty 200.
func newHook(t *testing.T, answer http.HandlerFunc) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := time.Now()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got := hit{at: at, header: r.Header, body: body}
		if json.Unmarshal(body, &got.delivered) != nil {
			t.Errorf("delivered: %s", body)
		}
		h.mu.Lock()
		h.hits = append(h.hits, got)
		h.mu.Unlock()
		if answer != nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
			answer(w, r)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) got() []hit {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hit(nil), h.hits...)
}

// reset ends the connection of a request without a word.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// canary listens where nobody may be sent, and counts who comes.
type canary struct {
	url string
	mu  sync.Mutex
	n   int
}

func newCanary(t *testing.T, addr string) *canary {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &canary{url: "http://" + l.Addr().String()}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.n++
			c.mu.Unlock()
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-stopped })
	return c
}

func (c *canary) untouched(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n > 0 {
		t.Errorf("%d connections to where nobody may be sent", c.n)
	}
}

// until is eventually with a limit of its own.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", limit, what)
}
