package wisdom

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

// weighed is a store that notes how many bytes of payload one call has returned at most.
type weighed struct {
	*store.Store
	mu   sync.Mutex
	most int

	reading func(m id.Message) // called before one message is read, if set
}

var (
	_ broker.Store       = (*weighed)(nil)
	_ conversation.Store = (*weighed)(nil)
)

func (w *weighed) note(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.most = max(w.most, bytes)
}

func (w *weighed) Logs(ctx context.Context, viewer id.User, q broker.LogQuery) ([]broker.Log, error) {
	rows, err := w.Store.Logs(ctx, viewer, q)
	bytes := 0
	for _, l := range rows {
		bytes += len(l.Request) + len(l.Response)
	}
	w.note(bytes)
	return rows, err
}

func (w *weighed) Payloads(ctx context.Context, caller id.User, l id.Invocation) (request, response []byte, err error) {
	request, response, err = w.Store.Payloads(ctx, caller, l)
	w.note(len(request) + len(response))
	return request, response, err
}

func (w *weighed) Messages(ctx context.Context, user id.User, within id.Integration, c id.Conversation, limit, offset int) ([]conversation.Message, error) {
	list, err := w.Store.Messages(ctx, user, within, c, limit, offset)
	bytes := 0
	for _, m := range list {
		bytes += len(m.Content) + len(m.Metadata)
	}
	w.note(bytes)
	return list, err
}

func (w *weighed) Message(ctx context.Context, user id.User, within id.Integration, c id.Conversation, m id.Message) (conversation.Message, error) {
	if w.reading != nil {
		w.reading(m)
	}
	found, err := w.Store.Message(ctx, user, within, c, m)
	w.note(len(found.Content) + len(found.Metadata))
	return found, err
}

// chatter is one conversation of invocations; every one says the same.
type chatter struct {
	user
	conversation id.Conversation
	ids          []string // of everything, in the order of writing
}

func (m *market) chat(u user, agent reply, owner user, n int, says string) chatter {
	m.t.Helper()
	c := chatter{user: u, conversation: id.New[id.Conversation]()}
	at, payload := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), []byte(`{"says":"`+says+`"}`)
	for i := range n {
		at = at.Add(time.Second)
		o := broker.Opening{User: idOf(u), Conversation: c.conversation, New: i == 0, Message: id.New[id.Message](), Content: "hello", Metadata: payload, At: at}
		if ok, err := m.service.store.Open(m.t.Context(), o); err != nil || !ok {
			m.t.Fatalf("open: %v, %v", ok, err)
		}
		l := broker.Log{ID: id.New[id.Invocation](), Kind: broker.KindInvoke, Caller: o.User, Actor: principal.Actor{Type: "user", ID: u.id}, Agent: id.Agent(agent.text("id")), AgentOwner: idOf(owner),
			Success: true, Status: 200, Conversation: o.Conversation, Message: o.Message, Request: payload, RequestID: "r", At: at}
		if err := m.service.store.Close(m.t.Context(), broker.Ending{Log: l}); err != nil {
			m.t.Fatal(err)
		}
		c.ids = append(c.ids, string(l.ID), string(o.Message))
	}
	return c
}

// as rewrites what c is answered to what other is answered, but for what they say.
func (c chatter) as(other chatter) *strings.Replacer {
	pairs := []string{c.id, other.id, string(c.conversation), string(other.conversation)}
	for i := range c.ids {
		pairs = append(pairs, c.ids[i], other.ids[i])
	}
	return strings.NewReplacer(pairs...)
}

// wantText checks that r holds parts with big between them, and nothing else.
func wantText(r io.Reader, parts []string, big string) error {
	in := bufio.NewReader(r)
	for i, part := range parts {
		if i > 0 {
			part = big + part
		}
		buffer := make([]byte, 32<<10)
		for read := 0; read < len(part); {
			n, err := io.ReadFull(in, buffer[:min(len(buffer), len(part)-read)])
			if err != nil || string(buffer[:n]) != part[read:read+n] {
				return fmt.Errorf("in part %d of %d: %w: %.200q", i, len(parts), err, buffer[:n])
			}
			read += n
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return fmt.Errorf("there is more: %w", err)
	}
	return nil
}

// heap follows how much memory is in use until it is stopped, which returns the most.
func heap() (stop func() uint64) {
	done, most := make(chan struct{}), make(chan uint64)
	go func() {
		var top uint64
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			top = max(top, stats.HeapInuse)
			select {
			case <-ticker.C:
			case <-done:
				most <- top
				return
			}
		}
	}()
	return func() uint64 { close(done); return <-most }
}

// A full page of the largest rows has the bytes that it would have if it were put
// together in memory, and is not.
func TestAListOfLargeRowsIsWholeAndNeedsTheMemoryOfOne(t *testing.T) {
	const n, size, room = 20, 900 << 10, 32 << 20
	big := strings.Repeat("x", size)
	testkit.Engines(t, func(t *testing.T, open func() string) {
		m := newMarket(t, open())
		ada, eve, bob := m.signUp("ada"), m.signUp("eve"), m.signUp("bob")
		agent := m.agent(bob, "/echo", "")
		small, large := m.chat(ada, agent, bob, n, "@"), m.chat(eve, agent, bob, n, big)
		scale := &weighed{Store: m.service.store}
		logs := broker.New(broker.Config{Store: scale})
		m.service.api.Broker.Service, m.service.api.Conversation.Broker = logs, logs
		m.service.api.Conversation.Service = conversation.New(scale, clock.System)
		server := httptest.NewServer(m.handler)
		defer server.Close()
		for _, path := range []string{"/broker/logs?limit=100", "/broker/logs/agent/" + agent.text("id") + "?limit=100", "/conversations/{id}/logs?limit=100", "/conversations/{id}/messages?limit=500"} {
			listed := m.want(200, "GET", strings.ReplaceAll(path, "{id}", string(small.conversation)), "", ada.bearer())
			parts := strings.Split(small.as(large).Replace(listed.body), "@")
			if len(parts) <= n {
				t.Fatalf("%s: %d parts", path, len(parts))
			}
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			stop := heap()
			request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+strings.ReplaceAll(path, "{id}", string(large.conversation)), nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header = eve.bearer()
			response, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			err = wantText(response.Body, parts, big)
			_ = response.Body.Close()
			if most := stop(); err != nil || most > before.HeapInuse+room {
				t.Errorf("%s: %v; from %d to %d MiB in use", path, err, before.HeapInuse>>20, most>>20)
			}
			for _, name := range []string{"Content-Type", "Cache-Control", "X-Content-Type-Options", "Referrer-Policy"} {
				if got, want := response.Header[name], listed.header[name]; fmt.Sprint(got) != fmt.Sprint(want) || len(want) == 0 {
					t.Errorf("%s: %s is %q, want %q", path, name, got, want)
				}
			}
		}
		if scale.most > size+100 {
			t.Errorf("the store returned %d bytes at once, want those of one row", scale.most)
		}

		// Who only owns the agent gets it all at once, because nothing was said to them.
		got := m.want(200, "GET", "/broker/logs?limit=100", "", bob.bearer())
		rows := decodeList[logRow](t, got.body)
		if len(rows) != 2*n || got.header.Get("Content-Length") == "" {
			t.Errorf("the owner of the agent gets %d rows, header %v", len(rows), got.header)
		}
		for _, row := range rows {
			if row.Caller != nil || string(row.Request) != "null" || string(row.Input) != "{}" || string(row.Output) != "null" {
				t.Fatalf("the owner of the agent sees %.100s and %.100s", row.Request, row.Input)
			}
		}
		m.want(404, "GET", "/conversations/"+string(large.conversation)+"/messages", "", ada.bearer())
		m.want(404, "GET", "/conversations/"+string(large.conversation)+"/logs", "", ada.bearer())
	})
}

func TestALargeMessageThatIsDeletedMeanwhileIsLeftOut(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		m := newMarket(t, open())
		ada := m.signUp("ada")
		c := m.chat(ada, m.agent(ada, "/echo", ""), ada, 3, strings.Repeat("x", 20<<10))
		path := "/conversations/" + string(c.conversation) + "/messages"
		scale := &weighed{Store: m.service.store, reading: func(read id.Message) {
			if string(read) == c.ids[1] { // while the first is read, the second goes
				m.want(204, "DELETE", path+"/"+c.ids[3], "", ada.bearer())
			}
		}}
		m.service.api.Conversation.Service = conversation.New(scale, clock.System)
		var got []string
		for _, row := range decodeList[messageRow](t, m.want(200, "GET", path, "", ada.bearer()).body) {
			got = append(got, row.ID)
			if row.Content != "hello" || len(row.Metadata) < 20<<10 {
				t.Errorf("message %s says %q with %d bytes", row.ID, row.Content, len(row.Metadata))
			}
		}
		if want := []string{c.ids[1], c.ids[5]}; !slices.Equal(got, want) {
			t.Errorf("got messages %q, want %q", got, want)
		}
	})
}
