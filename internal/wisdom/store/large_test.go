package store

import (
	"database/sql"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// object is a JSON object of so many bytes, in fewer characters.
func object(bytes int) string {
	frame := len(`{"é":""}`)
	return `{"é":"` + strings.Repeat("ü", (bytes-frame)/2) + strings.Repeat("u", (bytes-frame)%2) + `"}`
}

func TestPayloadsThatAreTooLargeForAListAreReadOneByOne(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		c := id.New[id.Conversation]()
		const half, million = listedPayloads / 2, 1 << 20
		sizes := []struct {
			request, response int // 0: null
			large             bool
		}{
			{0, 0, false}, {9, 0, false}, {half, half, false}, {half + 1, half, true}, {half, half + 1, true}, {2 * half, 0, false}, {0, 2 * half, false},
			{2*half + 1, 0, true}, {0, 2*half + 1, true}, {million, million, true},
		}
		var rows [][]any
		var want []broker.Log
		for n, size := range sizes {
			l := broker.Log{ID: id.New[id.Invocation](), Large: size.large}
			var request, response any
			if size.request > 0 {
				l.Request = []byte(object(size.request))
				request = string(l.Request)
			}
			if size.response > 0 {
				l.Response = []byte(object(size.response))
				response = string(l.Response)
			}
			rows = append(rows, []any{string(l.ID), "invoke", string(b.caller), "user", string(b.caller), string(b.agent.ID), string(b.owner), true, false, 200, 1, "",
				nil, string(c), nil, request, response, "r", int64(len(sizes) - n)})
			want = append(want, l)
		}
		must(t, insertRows(t.Context(), b.db.Write(), insertLogs, logRow, "", rows))
		for name, q := range map[string]broker.LogQuery{"all": {}, "mine": {Mine: true}, "of a conversation": {Conversation: c, Mine: true}, "of an agent": {Agent: b.agent.ID, Mine: true}} {
			q.Limit = 100
			got, err := b.Logs(t.Context(), b.caller, q)
			if err != nil || len(got) != len(want) {
				t.Fatalf("%s: got %d rows, %v", name, len(got), err)
			}
			for n, l := range got {
				listed := want[n]
				if l.Large {
					listed.Request, listed.Response = nil, nil
				}
				if l.ID != listed.ID || l.Large != listed.Large || string(l.Request) != string(listed.Request) || string(l.Response) != string(listed.Response) {
					t.Errorf("%s: %+v: got %d and %d bytes, large %v", name, sizes[n], len(l.Request), len(l.Response), l.Large)
				}
			}
		}
		for n, l := range want {
			if request, response, err := b.Payloads(t.Context(), b.caller, l.ID); err != nil || string(request) != string(l.Request) || string(response) != string(l.Response) {
				t.Errorf("%+v: got %d and %d bytes, %v", sizes[n], len(request), len(response), err)
			}
			request, response, err := b.Payloads(t.Context(), b.owner, l.ID)
			wantMissing(t, "the owner of the agent reads what was said", err)
			if request != nil || response != nil {
				t.Errorf("the owner of the agent reads %d and %d bytes", len(request), len(response))
			}
		}
		seen, err := b.Logs(t.Context(), b.owner, broker.LogQuery{Limit: 100})
		if err != nil || len(seen) != len(want) {
			t.Fatalf("the owner of the agent: got %d rows, %v", len(seen), err)
		}
		for n, l := range seen {
			if l.Large || l.Request != nil || l.Response != nil || l.Caller != "" {
				t.Errorf("%+v: the owner of the agent sees large %v, %d and %d bytes of %q", sizes[n], l.Large, len(l.Request), len(l.Response), l.Caller)
			}
		}
	})
}

func TestMessagesThatAreTooLargeForAListAreReadOneByOne(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		c := b.talk(t, b.caller, "", nil, b.at)
		must(t, b.deleteMessages(t, c))
		const half, million = listedMessage / 2, 1 << 20
		sizes := []struct {
			content, metadata int
			large             bool
		}{
			{0, 0, false}, {half, half, false}, {half + 1, half, true}, {half, half + 1, true}, {2 * half, 0, false}, {0, 2 * half, false}, {2*half + 1, 0, true},
			{0, 2*half + 1, true}, {million, million, true},
		}
		var rows [][]any
		var want []conversation.Message
		for n, size := range sizes {
			m := conversation.Message{ID: id.New[id.Message](), Conversation: c, Role: "user"}
			var metadata any
			if size.content > 0 {
				m.Content = object(size.content)
			}
			if size.metadata > 0 {
				m.Metadata = []byte(object(size.metadata))
				metadata = string(m.Metadata)
			}
			rows = append(rows, []any{string(m.ID), string(c), string(b.caller), m.Content, metadata, int64(n)})
			want = append(want, m)
		}
		must(t, b.db.Tx(t.Context(), func(tx *sql.Tx) error {
			return insertRows(t.Context(), tx, insertMessages, questionRow, "", rows)
		}))
		got, err := b.Messages(t.Context(), b.caller, "", c, 500, 0)
		if err != nil || len(got) != len(want) {
			t.Fatalf("got %d messages, %v", len(got), err)
		}
		for n, m := range got {
			whole := want[n]
			whole.Created = m.Created
			listed := whole
			if sizes[n].large {
				listed.Content, listed.Metadata, listed.Large = "", nil, true
			}
			if !reflect.DeepEqual(m, listed) {
				t.Errorf("%+v: listed with %d and %d bytes, large %v", sizes[n], len(m.Content), len(m.Metadata), m.Large)
			}
			if one, err := b.Message(t.Context(), b.caller, "", c, m.ID); err != nil || !reflect.DeepEqual(one, whole) {
				t.Errorf("%+v: read with %d and %d bytes, large %v, %v", sizes[n], len(one.Content), len(one.Metadata), one.Large, err)
			}
		}
	})
}

// deleteMessages empties a conversation.
func (b brokerBench) deleteMessages(t testing.TB, c id.Conversation) error {
	t.Helper()
	for _, m := range b.said(t, b.caller, c) {
		if err := b.DeleteMessage(t.Context(), b.caller, "", c, m.ID); err != nil {
			return fmt.Errorf("delete a message: %w", err)
		}
	}
	return nil
}

// A full page costs the same memory, however much was said.
func TestAPageOfWhateverSizeHasABoundedPayload(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		c := b.talk(t, b.caller, "", nil, b.at)
		for n, size := range []int{listedPayloads - 20, listedMessage - 20, 900 << 10} {
			text := object(size)
			var logs, messages [][]any
			for range 30 {
				logs = append(logs, []any{string(id.New[id.Invocation]()), "invoke", string(b.caller), "user", string(b.caller), string(b.agent.ID), string(b.owner), true, false, 200, 1, "",
					nil, nil, nil, text, nil, "r", int64(n)})
				messages = append(messages, []any{string(id.New[id.Message]()), string(c), string(b.caller), text, text, int64(n)})
			}
			must(t, b.db.Tx(t.Context(), func(tx *sql.Tx) error {
				if err := insertRows(t.Context(), tx, insertLogs, logRow, "", logs); err != nil {
					return err
				}
				return insertRows(t.Context(), tx, insertMessages, questionRow, "", messages)
			}))
		}
		rows, err := b.Logs(t.Context(), b.caller, broker.LogQuery{Limit: 100})
		must(t, err)
		held, large := 0, 0
		for _, l := range rows {
			held += len(l.Request) + len(l.Response)
			if l.Large {
				large++
			}
		}
		if held > len(rows)*listedPayloads || large != 30 {
			t.Errorf("a page of %d rows, %d of them large, holds %d bytes", len(rows), large, held)
		}
		said, err := b.Messages(t.Context(), b.caller, "", c, 500, 0)
		must(t, err)
		held, large = 0, 0
		for _, m := range said {
			held += len(m.Content) + len(m.Metadata)
			if m.Large {
				large++
			}
		}
		if held > len(said)*listedMessage || large != 90 {
			t.Errorf("a page of %d messages, %d of them large, holds %d bytes", len(said), large, held)
		}
	})
}

func TestMessagesOfNetworksThatAreTooLargeForAListAreReadOneByOne(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newNetworkBench(t, open()), t.Context()
		n := b.network(t, b.owner)
		ann, bob := b.join(t, n, "ann"), b.join(t, n, "bob")
		const half = listedMessage / 2
		sizes := []struct {
			content, metadata int // 0: empty, null
			large             bool
		}{
			{0, 0, false}, {half, half, false}, {half + 1, half, true}, {half, half + 1, true}, {2 * half, 0, false}, {0, 2 * half, false}, {2*half + 1, 0, true},
			{0, 2*half + 1, true}, {4 << 16, 32 << 10, true},
		}
		whole, listed := map[id.NetworkMessage]string{}, map[id.NetworkMessage]string{}
		var rows [][]any
		now := clock.Micros(b.clock.Now())
		for i, size := range sizes {
			m := network.Message{ID: id.New[id.NetworkMessage](), Network: n.ID, Seq: int64(i + 1), Sender: ann.ID, Recipient: bob.ID, Channel: channels()[i%3], Status: network.Pending,
				Created: clock.FromMicros(now), Updated: clock.FromMicros(now)}
			var metadata any
			if size.content > 0 {
				m.Content = object(size.content)
			}
			if size.metadata > 0 {
				m.Metadata = []byte(object(size.metadata))
				metadata = string(m.Metadata)
			}
			whole[m.ID] = fmt.Sprintf("%+v", m)
			rows = append(rows, []any{string(m.ID), string(n.ID), m.Seq, string(ann.ID), string(bob.ID), m.Channel, m.Content, metadata, nil, m.Status, 0, now, now})
			if size.large {
				m.Content, m.Metadata, m.Large = "", nil, true
			}
			listed[m.ID] = fmt.Sprintf("%+v", m)
			b.exec(t, "INSERT INTO dead_letters (message_id, network_id, seq, attempts, last_error, actor_type, actor_id, request_id, failed_us) VALUES ($1, $2, $3, 8, 'no', 'user', 'u', 'r', $4)",
				string(m.ID), string(n.ID), m.Seq, now)
		}
		must(t, insertRows(ctx, b.db.Write(), insertSaid, saidRow, "", rows))
		b.exec(t, "UPDATE networks SET last_seq = $1 WHERE id = $2", len(rows), string(n.ID))

		messages := func(q network.MessageQuery) func() ([]network.Message, error) {
			q.Limit = 500
			return func() ([]network.Message, error) { return b.Messages(ctx, b.owner, n.ID, q) }
		}
		of := func(list []network.Entry, err error) ([]network.Message, error) {
			var messages []network.Message
			for _, e := range list {
				if e.SenderName != "ann" || e.RecipientName != "bob" {
					t.Errorf("an entry from %q to %q", e.SenderName, e.RecipientName)
				}
				messages = append(messages, e.Message)
			}
			return messages, err
		}
		for name, list := range map[string]func() ([]network.Message, error){
			"all": messages(network.MessageQuery{}), "the last": messages(network.MessageQuery{Descending: true}), "of one": messages(network.MessageQuery{Participant: ann.ID}),
			"an inbox":      func() ([]network.Message, error) { return b.Inbox(ctx, b.owner, bob.ID, "", 200) },
			"a context":     func() ([]network.Message, error) { return of(b.LastEntries(ctx, n.ID, 200)) },
			"of a delivery": func() ([]network.Message, error) { return of(b.Entries(ctx, n.ID, 1, 200)) },
			"dead letters": func() ([]network.Message, error) {
				letters, err := b.DeadLetters(ctx, b.owner, n.ID, 200, 0)
				var messages []network.Message
				for _, l := range letters {
					messages = append(messages, l.Message)
				}
				return messages, err
			},
		} {
			want := listed
			if name == "of a delivery" {
				want = whole
			}
			got, err := list()
			if err != nil || len(got) != len(sizes) {
				t.Fatalf("%s: got %d messages, %v", name, len(got), err)
			}
			for _, m := range got {
				if text := fmt.Sprintf("%+v", m); text != want[m.ID] {
					t.Errorf("%s: %+v: got %d and %d bytes, large %v: %.300s\nwant %.300s", name, sizes[m.Seq-1], len(m.Content), len(m.Metadata), m.Large, text, want[m.ID])
				}
			}
		}
		for m, want := range whole {
			if got, err := b.Message(ctx, b.owner, n.ID, m); err != nil || fmt.Sprintf("%+v", got) != want {
				t.Errorf("read one by one: %d and %d bytes, large %v, %v", len(got.Content), len(got.Metadata), got.Large, err)
			}
		}
	})
}
