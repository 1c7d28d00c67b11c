package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// said is a message to be stored as it stands.
type said struct {
	from, to id.Participant
	channel  string // "": a message
	status   string // "": pending
	content  string
	queued   bool // with a delivery
	dead     bool // with a dead letter
}

// say stores a message of the next number.
func (b networkBench) say(t testing.TB, n network.Network, m said) id.NetworkMessage {
	t.Helper()
	return b.sayAll(t, n, []said{m})[0]
}

const (
	insertSaid = "INSERT INTO network_messages (id, network_id, seq, sender_id, recipient_id, channel, content, metadata, in_reply_to, status, depth, created_us, updated_us)"
	saidRow    = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

// sayAll stores messages of the next numbers.
func (b networkBench) sayAll(t testing.TB, n network.Network, list []said) []id.NetworkMessage {
	t.Helper()
	last := b.number(t, "SELECT last_seq FROM networks WHERE id = $1", string(n.ID))
	now := clock.Micros(b.clock.Now())
	var rows [][]any
	var ids []id.NetworkMessage
	for _, m := range list {
		last++
		if m.channel == "" {
			m.channel = network.Push
		}
		if m.status == "" {
			m.status = network.Pending
		}
		key := id.New[id.NetworkMessage]()
		ids = append(ids, key)
		rows = append(rows, []any{string(key), string(n.ID), last, string(m.from), nullable(m.to), m.channel, m.content, nil, nil, m.status, 0, now, now})
		if m.queued {
			b.exec(t, "INSERT INTO deliveries (recipient_id, seq, message_id, network_id, attempts, actor_type, actor_id, request_id) VALUES ($1, $2, $3, $4, 3, 'user', 'u', 'r')",
				string(m.to), last, string(key), string(n.ID))
		}
		if m.dead {
			b.exec(t, "INSERT INTO dead_letters (message_id, network_id, seq, attempts, last_status, last_error, actor_type, actor_id, request_id, failed_us) "+
				"VALUES ($1, $2, $3, 8, 500, 'no', 'api_key', 'k', 'r', $4)", string(key), string(n.ID), last, now)
		}
	}
	must(t, insertRows(t.Context(), b.db.Write(), insertSaid, saidRow, "", rows))
	b.exec(t, "UPDATE networks SET last_seq = $1 WHERE id = $2", last, string(n.ID))
	return ids
}

func idsOf(list []network.Message) []id.NetworkMessage {
	ids := []id.NetworkMessage{}
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	return ids
}

// discussion is a network in which three have said all kinds of things, to each other,
// to themselves and to everybody; and another in which they said as much.
func discussion(t *testing.T, b networkBench, messages int) (n network.Network, people []network.Participant, all []network.Message) {
	t.Helper()
	n = b.network(t, b.owner)
	elsewhere := b.network(t, b.owner)
	var strangers []network.Participant
	for i := range 3 {
		people = append(people, b.join(t, n, fmt.Sprint(i)))
		strangers = append(strangers, b.join(t, elsewhere, fmt.Sprint(i)))
	}
	random := rand.New(rand.NewPCG(5, 7))
	states := []string{network.Pending, network.Delivered, network.Read, network.Failed}
	var here, there []said
	for i := range messages {
		from, to := random.IntN(3), random.IntN(4)
		m := said{from: people[from].ID, channel: channels()[random.IntN(3)], status: states[random.IntN(4)], content: fmt.Sprint("message ", i)}
		s := said{from: strangers[from].ID, channel: m.channel, status: m.status}
		if to < 3 {
			m.to, s.to = people[to].ID, strangers[to].ID
		}
		here, there = append(here, m), append(there, s)
	}
	b.sayAll(t, elsewhere, there)
	for i, key := range b.sayAll(t, n, here) {
		m := here[i]
		all = append(all, network.Message{ID: key, Network: n.ID, Seq: int64(i + 1), Sender: m.from, Recipient: m.to, Channel: m.channel, Content: m.content, Status: m.status})
	}
	return n, people, all
}

// matching is what a page is to be, by going through everything.
func matching(all []network.Message, q network.MessageQuery) []id.NetworkMessage {
	numbers := map[id.NetworkMessage]int64{}
	for _, m := range all {
		numbers[m.ID] = m.Seq
	}
	found := []id.NetworkMessage{}
	for _, m := range all {
		if (q.Channel == "" || m.Channel == q.Channel) && (q.Participant == "" || m.Sender == q.Participant || m.Recipient == q.Participant) &&
			(q.Before == "" || m.Seq < numbers[q.Before]) && (q.After == "" || m.Seq > numbers[q.After]) {
			found = append(found, m.ID)
		}
	}
	if q.Descending {
		slices.Reverse(found)
	}
	found = found[min(q.Offset, len(found)):]
	return found[:min(q.Limit, len(found))]
}

func TestAPageOfMessagesIsWhatGoingThroughAllOfThemGives(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newNetworkBench(t, open())
		n, people, all := discussion(t, b, 120)
		queries := 0
		for _, channel := range append(channels(), "") {
			for _, who := range []id.Participant{"", people[2].ID} {
				for _, cut := range [][2]int{{-1, -1}, {100, -1}, {-1, 30}, {90, 20}, {20, 90}, {50, 50}} {
					for _, descending := range []bool{false, true} {
						for _, part := range [][2]int{{500, 0}, {7, 5}, {3, 119}} {
							q := network.MessageQuery{Channel: channel, Participant: who, Descending: descending, Limit: part[0], Offset: part[1]}
							if cut[0] >= 0 {
								q.Before = all[cut[0]].ID
							}
							if cut[1] >= 0 {
								q.After = all[cut[1]].ID
							}
							queries++
							got, err := b.Messages(t.Context(), b.owner, n.ID, q)
							if want := matching(all, q); err != nil || !slices.Equal(idsOf(got), want) {
								t.Fatalf("%+v: got %d, %v, want %d", q, len(got), err, len(want))
							}
						}
					}
				}
			}
		}
		if queries != 4*2*6*2*3 {
			t.Errorf("%d queries", queries)
		}
		got, err := b.Messages(t.Context(), b.owner, n.ID, network.MessageQuery{Limit: 500})
		must(t, err)
		for i, m := range got {
			want := all[i]
			want.Created, want.Updated = b.clock.Now(), b.clock.Now()
			if fmt.Sprintf("%+v", m) != fmt.Sprintf("%+v", want) {
				t.Fatalf("got %+v, want %+v", m, want)
			}
			if one, err := b.Message(t.Context(), b.owner, n.ID, m.ID); err != nil || fmt.Sprintf("%+v", one) != fmt.Sprintf("%+v", want) {
				t.Fatalf("by its id: got %+v, %v, want %+v", one, err, want)
			}
		}
	})
}

func TestAnInboxHasWhatIsNotRead(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newNetworkBench(t, open())
		_, people, all := discussion(t, b, 120)
		for _, p := range people {
			for _, channel := range append(channels(), "") {
				for _, limit := range []int{200, 5} {
					want := []id.NetworkMessage{}
					for _, m := range all {
						if m.Recipient == p.ID && (m.Status == network.Pending || m.Status == network.Delivered) && (channel == "" || channel == m.Channel) && len(want) < limit {
							want = append(want, m.ID)
						}
					}
					got, err := b.Inbox(t.Context(), b.owner, p.ID, channel, limit)
					if err != nil || !slices.Equal(idsOf(got), want) || len(want) == 0 {
						t.Errorf("channel %q, limit %d: got %d, %v, want %d", channel, limit, len(got), err, len(want))
					}
				}
			}
		}
		_, err := b.Inbox(t.Context(), b.other, people[0].ID, "", 10)
		wantMissing(t, "a foreign inbox", err)
	})
}

func TestAnAcknowledgementMakesReadAndCancels(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newNetworkBench(t, open()), t.Context()
		n, elsewhere := b.network(t, b.owner), b.network(t, b.owner)
		ann, bob, eve := b.join(t, n, "ann"), b.join(t, n, "bob"), b.join(t, elsewhere, "eve")
		now := clock.Micros(b.clock.Now())
		waiting := storedLane{1, now + 300e6, "", true}
		for _, p := range []network.Participant{ann, bob, eve} {
			b.putLane(t, p, waiting)
		}
		words := b.sayAll(t, n, []said{
			{from: ann.ID, to: bob.ID, queued: true},                                  // 0
			{from: ann.ID, to: bob.ID, queued: true},                                  // 1
			{from: bob.ID, to: ann.ID, queued: true},                                  // 2, stays
			{from: bob.ID, to: ann.ID, queued: true},                                  // 3, not the first
			{from: ann.ID, to: bob.ID, status: network.Failed, dead: true},            // 4
			{from: ann.ID, to: bob.ID, status: network.Delivered},                     // 5
			{from: ann.ID, to: bob.ID, status: network.Read},                          // 6
			{from: ann.ID, to: bob.ID, channel: network.Call},                         // 7
			{from: ann.ID, channel: network.Mailbox},                                  // 8
			{from: ann.ID, to: bob.ID, status: network.Failed, dead: true},            // 9, stays
			{from: ann.ID, to: bob.ID, queued: true, content: "not by me"},            // 10, stays
			{from: ann.ID, to: bob.ID, channel: network.Call, status: network.Failed}, // 11
		})
		foreign := b.say(t, elsewhere, said{from: eve.ID, to: eve.ID, queued: true})
		asked := []id.NetworkMessage{words[0], words[1], words[3], words[4], words[5], words[6], words[7], words[8], words[11], words[0], foreign, id.New[id.NetworkMessage](), words[6]}
		at := b.later(time.Second)
		for range 2 {
			if got, err := b.Acknowledge(ctx, b.owner, n.ID, asked, at); got != 9 || err != nil {
				t.Errorf("got %d, %v, want 9", got, err)
			}
		}
		for i, key := range words {
			m, err := b.Message(ctx, b.owner, n.ID, key)
			must(t, err)
			want, updated := network.Read, at
			switch i {
			case 2, 10:
				want, updated = network.Pending, at.Add(-time.Second)
			case 9:
				want, updated = network.Failed, at.Add(-time.Second)
			case 6:
				updated = at.Add(-time.Second)
			}
			if m.Status != want || !m.Updated.Equal(updated) {
				t.Errorf("message %d: got %s at %v, want %s at %v", i, m.Status, m.Updated, want, updated)
			}
		}
		if got := b.keys(t, "SELECT message_id FROM deliveries ORDER BY network_id = $1 DESC, seq", string(n.ID)); !slices.Equal(got, []id.NetworkMessage{words[2], words[10], foreign}) {
			t.Errorf("still queued: %v", got)
		}
		if got := b.keys(t, "SELECT message_id FROM dead_letters"); !slices.Equal(got, []id.NetworkMessage{words[9]}) {
			t.Errorf("dead letters: %v", got)
		}
		if got, want := b.lane(t, bob.ID), (storedLane{2, now + 1e6, "", true}); got != want {
			t.Errorf("the lane whose first delivery is cancelled: got %+v, want %+v", got, want)
		}
		if b.lane(t, ann.ID) != waiting || b.lane(t, eve.ID) != waiting {
			t.Error("the lane whose first delivery is still due was woken")
		}
		many := make([]said, 500)
		for i := range many {
			many[i] = said{from: ann.ID, to: ann.ID, channel: network.Mailbox}
		}
		if got, err := b.Acknowledge(ctx, b.owner, n.ID, b.sayAll(t, n, many), at); got != 500 || err != nil {
			t.Errorf("five hundred: got %d, %v", got, err)
		}
	})
}

// keys reads ids.
func (b networkBench) keys(t testing.TB, text string, args ...any) []id.NetworkMessage {
	t.Helper()
	rows, err := b.db.Read().QueryContext(t.Context(), text, args...)
	must(t, err)
	defer rows.Close()
	var keys []id.NetworkMessage
	for rows.Next() {
		var key id.NetworkMessage
		must(t, rows.Scan(&key))
		keys = append(keys, key)
	}
	must(t, rows.Err())
	return keys
}

func wantNotFailed(t testing.TB, what string, err error) {
	t.Helper()
	if f := fault.As(err); f == nil || f.Kind != fault.Conflict || f.Code != "message_not_failed" {
		t.Errorf("%s: got %v, want message_not_failed", what, err)
	}
}

func TestADeadLetterIsQueuedAgainInItsPlace(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newNetworkBench(t, open()), t.Context()
		n := b.network(t, b.owner)
		ann, bob := b.join(t, n, "ann"), b.join(t, n, "bob")
		now := clock.Micros(b.clock.Now())
		b.putLane(t, bob, storedLane{1, never, "", true})
		words := b.sayAll(t, n, []said{{from: ann.ID, to: bob.ID, status: network.Failed, dead: true}, {from: ann.ID, to: bob.ID, queued: true},
			{from: ann.ID, to: bob.ID, status: network.Delivered}, {from: ann.ID, to: bob.ID, channel: network.Call, status: network.Failed}, {from: ann.ID}})
		for _, key := range words[1:] {
			_, err := b.Replay(ctx, b.owner, n.ID, key, b.clock.Now())
			wantNotFailed(t, "what has not failed", err)
		}
		if got := b.lane(t, bob.ID); got != (storedLane{1, never, "", true}) {
			t.Errorf("a refused replay wakes: %+v", got)
		}
		at := b.later(time.Second)
		got, err := b.Replay(ctx, b.owner, n.ID, words[0], at)
		if err != nil || got.ID != words[0] || got.Status != network.Pending || !got.Updated.Equal(at) || got.Seq != 1 {
			t.Errorf("got %+v, %v", got, err)
		}
		if stored, err := b.Message(ctx, b.owner, n.ID, words[0]); err != nil || fmt.Sprintf("%+v", stored) != fmt.Sprintf("%+v", got) {
			t.Errorf("stored %+v, %v, want %+v", stored, err, got)
		}
		if got := b.keys(t, "SELECT message_id FROM deliveries WHERE recipient_id = $1 ORDER BY seq", string(bob.ID)); !slices.Equal(got, words[:2]) {
			t.Errorf("queued: %v, want it before the later one", got)
		}
		if got := b.number(t, "SELECT COUNT(*) FROM deliveries WHERE message_id = $1 AND attempts = 0 AND actor_type = 'api_key' AND actor_id = 'k' AND request_id = 'r' AND last_status IS NULL AND last_error IS NULL AND network_id = $2",
			string(words[0]), string(n.ID)); got != 1 {
			t.Error("the new round does not begin anew")
		}
		if got, want := b.lane(t, bob.ID), (storedLane{2, now + 1e6, "", true}); got != want {
			t.Errorf("its lane: got %+v, want %+v", got, want)
		}
		_, err = b.Replay(ctx, b.owner, n.ID, words[0], at)
		wantNotFailed(t, "twice", err)
		if list, err := b.DeadLetters(ctx, b.owner, n.ID, 10, 0); err != nil || len(list) != 0 {
			t.Errorf("dead letters: %v, %v", list, err)
		}
	})
}

// Somebody replays what somebody else acknowledges; on two processes.
func TestOneOfManyReplaysWinsAndNothingAcknowledgedIsQueued(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		both := nodes(t, open())
		b := both[0]
		n := b.network(t, b.owner)
		ann, bob := b.join(t, n, "ann"), b.join(t, n, "bob")
		b.putLane(t, bob, storedLane{1, never, "", true})
		for round := range 10 {
			key := b.say(t, n, said{from: ann.ID, to: bob.ID, status: network.Failed, dead: true})
			var won atomic.Int64
			parallel(6, func(i int) {
				if i == 5 && round%2 == 1 {
					if _, err := both[0].Acknowledge(t.Context(), b.owner, n.ID, []id.NetworkMessage{key}, b.clock.Now()); err != nil {
						t.Error(err)
					}
					return
				}
				_, err := both[i%2].Replay(t.Context(), b.owner, n.ID, key, b.clock.Now())
				if err == nil {
					won.Add(1)
				} else {
					wantNotFailed(t, "too late", err)
				}
			})
			m, err := b.Message(t.Context(), b.owner, n.ID, key)
			must(t, err)
			queued := b.number(t, "SELECT COUNT(*) FROM deliveries WHERE message_id = $1", string(key))
			dead := b.number(t, "SELECT COUNT(*) FROM dead_letters WHERE message_id = $1", string(key))
			if round%2 == 0 && (won.Load() != 1 || m.Status != network.Pending || queued != 1 || dead != 0) {
				t.Errorf("%d won: %s, %d queued, %d dead", won.Load(), m.Status, queued, dead)
			}
			if round%2 == 1 && (won.Load() > 1 || m.Status != network.Read || queued != 0 || dead != 0) {
				t.Errorf("acknowledged, %d won: %s, %d queued, %d dead", won.Load(), m.Status, queued, dead)
			}
		}
	})
}

func TestDeadLettersAreListedTheLastFirst(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newNetworkBench(t, open()), t.Context()
		n, elsewhere := b.network(t, b.owner), b.network(t, b.owner)
		p := b.join(t, n, "p")
		var want []id.NetworkMessage
		for range 5 {
			b.clock.Add(time.Second)
			b.say(t, elsewhere, said{from: p.ID, to: p.ID, status: network.Failed, dead: true})
			want = append([]id.NetworkMessage{b.say(t, n, said{from: p.ID, to: p.ID, status: network.Failed, dead: true, content: "c"})}, want...)
		}
		b.exec(t, "UPDATE dead_letters SET last_status = NULL, last_error = 'gone' WHERE message_id = $1", string(want[0]))
		for offset := range 6 {
			list, err := b.DeadLetters(ctx, b.owner, n.ID, 2, offset)
			must(t, err)
			got := []id.NetworkMessage{}
			for i, l := range list {
				got = append(got, l.ID)
				status, text := 500, "no"
				if offset+i == 0 {
					status, text = 0, "gone"
				}
				if l.Attempts != 8 || l.LastStatus != status || l.LastError != text || l.Content != "c" || l.Status != network.Failed || l.Network != n.ID ||
					!l.FailedAt.Equal(b.clock.Now().Add(-time.Duration(offset+i)*time.Second)) {
					t.Errorf("got %+v", l)
				}
			}
			if !slices.Equal(got, want[min(offset, 5):min(offset+2, 5)]) {
				t.Errorf("offset %d: got %v of %v", offset, got, want)
			}
		}
	})
}

// A page costs the same whatever else the network has: each is read along an index, from
// where it begins to where it ends. Two talk little in a network of much, and much is read.
func TestPagesAreReadAlongTheirIndexes(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newNetworkBench(t, open())
		n, people, all := discussion(t, b, 2000)
		d := b.db.Dialect()
		shared := d.Shared()
		for _, analysed := range []bool{false, true} {
			if analysed {
				b.exec(t, "ANALYZE")
			}
			for _, tt := range []planned{
				plan("everything", "network_messages_by_channel", 3)(messagesQuery(d, b.owner, n.ID, network.MessageQuery{Limit: 50}, 0, 0)),
				plan("a channel", "network_messages_by_channel", 1)(messagesQuery(d, b.owner, n.ID, network.MessageQuery{Limit: 50, Channel: network.Call}, 0, 0)),
				plan("the last", "network_messages_by_channel", 3)(messagesQuery(d, b.owner, n.ID, network.MessageQuery{Limit: 50, Descending: true}, 0, 0)),
				plan("from somewhere", "network_messages_by_channel", 3)(messagesQuery(d, b.owner, n.ID, network.MessageQuery{Limit: 50}, 0, 1000)),
				plan("up to somewhere", "network_messages_by_channel", 3)(messagesQuery(d, b.owner, n.ID, network.MessageQuery{Limit: 50, Descending: true}, 1000, 0)),
				plan("of one", "network_messages_by_sender", 3)(messagesQuery(d, b.owner, n.ID, network.MessageQuery{Limit: 50, Participant: people[0].ID}, 0, 0)),
				plan("to one", "network_messages_by_recipient", 3)(messagesQuery(d, b.owner, n.ID, network.MessageQuery{Limit: 50, Participant: people[0].ID, Descending: true}, 1500, 3)),
				plan("an inbox", "network_messages_inbox", 3)(inboxQuery(d, b.owner, n.ID, people[0].ID, "", 50)),
				plan("a channel of an inbox", "network_messages_inbox", 1)(inboxQuery(d, b.owner, n.ID, people[0].ID, network.Push, 50)),
			} {
				got := explain(t, b.Store, tt.text, tt.args)
				// The page's rows themselves are read along by_channel too.
				if strings.Count(got, tt.index) < tt.branches || strings.Contains(got, "Seq Scan on network_messages") || strings.Contains(got, "SCAN network_messages") ||
					strings.Contains(got, "SCAN m\n") || !shared && !strings.Contains(got, "m USING INDEX network_messages_by_channel (network_id=? AND channel=? AND seq=?)") {
					t.Errorf("analysed %v: %s is not read along %s:\n%s", analysed, tt.name, tt.index, got)
				}
				if !shared && tt.index != "network_messages_inbox" && strings.Count(got, "COVERING INDEX "+tt.index) < tt.branches {
					t.Errorf("analysed %v: %s reads more than keys:\n%s", analysed, tt.name, got)
				}
			}
			letters := explain(t, b.Store, deadLettersQuery(), []any{string(n.ID), string(b.owner), 50, 0})
			if !shared && (!strings.Contains(letters, "dead_letters_by_network") || strings.Contains(letters, "SCAN x\n") || strings.Contains(letters, "SCAN m\n")) {
				t.Errorf("analysed %v: dead letters are not read along their index:\n%s", analysed, letters)
			}
		}
		if got, err := b.Messages(t.Context(), b.owner, n.ID, network.MessageQuery{Limit: 50, Before: all[1000].ID, Descending: true}); err != nil || len(got) != 50 || got[0].Seq != 1000 {
			t.Errorf("got %d, %v", len(got), err)
		}
	})
}

// planned is a query with the index that it is to be read along, so many times.
type planned struct {
	name, text string
	args       []any
	index      string
	branches   int
}

func plan(name, index string, branches int) func(text string, args []any) planned {
	return func(text string, args []any) planned { return planned{name, text, args, index, branches} }
}
