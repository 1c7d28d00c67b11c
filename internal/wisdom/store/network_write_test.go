package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// queueBench is a database with a user who has a network of some participants.
type queueBench struct {
	brokerBench
	Networks
	network id.Network
	who     []id.Participant
}

func newQueueBench(t testing.TB, url string, participants int) queueBench {
	t.Helper()
	b := queueBench{brokerBench: newBrokerBench(t, url)}
	b.Networks = Networks{b.brokerBench.Store}
	b.network, b.who = b.net(t, b.caller, participants)
	return b
}

// net is another network, at revision 1.
func (b queueBench) net(t testing.TB, owner id.User, participants int) (id.Network, []id.Participant) {
	t.Helper()
	n := id.New[id.Network]()
	b.exec(t, "INSERT INTO networks (id, owner_id, name, topology, status, revision, last_seq, last_position, created_us, updated_us) VALUES ($1, $2, 'n', 'mesh', 'active', 1, 0, $3, 1, 1)",
		string(n), string(owner), participants)
	var who []id.Participant
	for i := range participants {
		p := id.New[id.Participant]()
		b.exec(t, "INSERT INTO participants (id, network_id, owner_id, kind, name, callback_url, polling, status, position, secret, secret_key, created_us, updated_us) "+
			"VALUES ($1, $2, $3, 'agent', $4, 'https://a.example/x', FALSE, 'active', $5, $6, 'k', 1, 1)", string(p), string(n), string(owner), fmt.Sprint("p", i), i+1, []byte("s"))
		who = append(who, p)
	}
	return n, who
}

// anotherProcess is b as that sees it.
func (b queueBench) anotherProcess(t testing.TB, url string) queueBench {
	t.Helper()
	b.brokerBench.Store = newStore(t, url, nil, nil)
	b.Networks = Networks{b.brokerBench.Store}
	return b
}

func (b queueBench) exec(t testing.TB, text string, args ...any) {
	t.Helper()
	if _, err := b.brokerBench.db.Write().ExecContext(t.Context(), text, args...); err != nil {
		t.Fatal(err)
	}
}

// count is the only number that a query gives.
func (b queueBench) count(t testing.TB, text string, args ...any) int {
	t.Helper()
	var n int
	if err := b.brokerBench.db.Read().QueryRowContext(t.Context(), text, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// draft is a message to be delivered, from the first participant.
func (b queueBench) draft(to id.Participant) network.Draft {
	return network.Draft{Message: network.Message{ID: id.New[id.NetworkMessage](), Network: b.network, Sender: b.who[0], Recipient: to, Channel: network.Push, Content: "hello",
		Metadata: []byte(`{"k":1}`), Status: network.Pending, Depth: 2, Created: b.brokerBench.at, Updated: b.brokerBench.at},
		Revision: 1, Queue: true, Actor: principal.Actor{Type: "user", ID: string(b.caller)}, Request: "r-1"}
}

func (b queueBench) mustPost(t testing.TB, d network.Draft) network.Message {
	t.Helper()
	m, err := b.Post(t.Context(), d)
	must(t, err)
	return m
}

// messages are those of the network, in order.
func (b queueBench) messages(t testing.TB) []network.Message {
	t.Helper()
	entries, err := b.Entries(t.Context(), b.network, 0, 1<<40)
	must(t, err)
	list := make([]network.Message, len(entries))
	for i, e := range entries {
		list[i] = e.Message
	}
	return list
}

func TestAMessageIsStoredWithItsDelivery(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 2)
		d := b.draft(b.who[1])
		got := b.mustPost(t, d)
		want := d.Message
		want.Seq = 1
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		bare := network.Draft{Message: network.Message{ID: id.New[id.NetworkMessage](), Network: b.network, Sender: b.who[1], InReplyTo: d.ID, Channel: network.Mailbox,
			Status: network.Pending, Created: b.brokerBench.at, Updated: b.brokerBench.at}}
		second := b.mustPost(t, bare)
		entries, err := b.Entries(t.Context(), b.network, 1, 2)
		must(t, err)
		if want := []network.Entry{{Message: got, SenderName: "p0", RecipientName: "p1"}, {Message: second, SenderName: "p1"}}; !reflect.DeepEqual(entries, want) {
			t.Errorf("the entries are %+v, want %+v", entries, want)
		}
		lanes, err := b.Claim(t.Context(), b.claim("w"))
		must(t, err)
		if len(lanes) != 1 || lanes[0].Recipient != b.who[1] || lanes[0].Network != b.network || lanes[0].Owner != b.caller || lanes[0].Failing {
			t.Fatalf("the lanes are %+v", lanes)
		}
		load, err := b.Load(t.Context(), lanes[0], 0, 16)
		must(t, err)
		if want := []network.Job{{Message: got, SenderStatus: "active", Actor: d.Actor, Request: "r-1"}}; !reflect.DeepEqual(load.Jobs, want) {
			t.Errorf("the jobs are %+v, want %+v", load.Jobs, want)
		}
		if load.Network.ID != b.network || load.Network.Owner != b.caller || load.Recipient.ID != b.who[1] || load.Recipient.Name != "p1" || string(load.Recipient.Secret.Sealed) != "s" ||
			*load.Recipient.CallbackURL != "https://a.example/x" || load.Recipient.Position != 2 || load.Network.Revision != 1 {
			t.Errorf("the load is %+v", load)
		}
	})
}

func TestMessagesAreNumberedWithoutGapsOrDoubles(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newQueueBench(t, url, 5)
		nodes := []queueBench{b}
		if b.brokerBench.db.Dialect().Shared() {
			nodes = append(nodes, b.anotherProcess(t, url))
		}
		other, theirs := b.net(t, b.caller, 2)
		b.exec(t, "UPDATE networks SET revision = 2")
		const each, posters = 40, 16
		var group sync.WaitGroup
		for i := range posters {
			group.Go(func() {
				node := nodes[i%len(nodes)]
				var last int64
				for k := range each {
					d := node.draft(node.who[1+(i+k)%4])
					d.Revision = int64(k % 2 * 2) // 0 is any
					if k%3 == 0 {
						d.Revision = 1 // it takes no number
						if _, err := node.Post(t.Context(), d); !errors.Is(err, network.ErrStale) {
							t.Errorf("a revision of before: got %v", err)
						}
						d.Revision = 2
					}
					m, err := node.Post(t.Context(), d)
					if err != nil || m.Seq <= last {
						t.Errorf("got number %d after %d, %v", m.Seq, last, err)
					}
					last = m.Seq
					d = node.draft(theirs[1])
					d.Network, d.Sender, d.Revision = other, theirs[0], 2
					if _, err := node.Post(t.Context(), d); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		for _, n := range []id.Network{b.network, other} {
			entries, err := b.LastEntries(t.Context(), n, 10000)
			must(t, err)
			if len(entries) != each*posters {
				t.Fatalf("got %d messages, want %d", len(entries), each*posters)
			}
			for i, e := range entries {
				if e.Seq != int64(i+1) {
					t.Fatalf("the message at place %d has number %d", i+1, e.Seq)
				}
			}
		}
		if got := b.count(t, "SELECT COUNT(*) FROM deliveries"); got != 2*each*posters {
			t.Errorf("got %d deliveries", got)
		}
		if got := b.count(t, "SELECT CAST(SUM(posts) AS BIGINT) FROM delivery_lanes"); got != 2*each*posters {
			t.Errorf("the lanes count %d posts", got)
		}
		if last, err := b.LastEntries(t.Context(), other, 3); err != nil || len(last) != 3 || last[0].Seq != each*posters-2 {
			t.Errorf("the last three are %+v, %v", last, err)
		}
	})
}

// What was checked holds exactly at the commit: a post that was checked against a revision
// is stored before the change that ends it, or not at all.
func TestAPostAgainstAChangedNetworkIsRefused(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newQueueBench(t, url, 2)
		editor := b
		if b.brokerBench.db.Dialect().Shared() {
			editor = b.anotherProcess(t, url)
		}
		var revision atomic.Int64
		revision.Store(1)
		// Every change notes the last number of its revision.
		ends := map[int64]int64{}
		type stored struct{ revision, seq int64 }
		var mu sync.Mutex
		var all []stored
		stale := 0
		done := make(chan struct{})
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					d := b.draft(b.who[1])
					d.Revision = revision.Load()
					m, err := b.Post(t.Context(), d)
					mu.Lock()
					switch {
					case err == nil:
						all = append(all, stored{d.Revision, m.Seq})
					case errors.Is(err, network.ErrStale):
						stale++
					default:
						t.Error(err)
					}
					mu.Unlock()
				}
			})
		}
		for range 60 {
			var r, last int64
			must(t, editor.brokerBench.db.Write().QueryRowContext(t.Context(), "UPDATE networks SET revision = revision + 1 WHERE id = $1 RETURNING revision, last_seq", string(b.network)).Scan(&r, &last))
			ends[r-1] = last
			time.Sleep(time.Millisecond)
			revision.Store(r)
		}
		close(done)
		group.Wait()
		for _, s := range all {
			if end, over := ends[s.revision]; over && s.seq > end || ends[s.revision-1] >= s.seq {
				t.Fatalf("message %d was stored at revision %d, which had %d to %d", s.seq, s.revision, ends[s.revision-1]+1, end)
			}
		}
		if got := len(b.messages(t)); got != len(all) || stale == 0 {
			t.Errorf("%d are stored, %d said so, %d were refused", got, len(all), stale)
		}
	})
}

func TestOneBatchRefusesOnlyWhatIsStale(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 2)
		b.exec(t, "UPDATE networks SET revision = 7 WHERE id = $1", string(b.network))
		gone, _ := b.net(t, b.caller, 0)
		b.exec(t, "UPDATE networks SET deleted_us = 1 WHERE id = $1", string(gone))
		var work []*networkWrite
		for _, revision := range []int64{7, 6, 0, 7, 5, 0} {
			d := b.draft(b.who[1])
			d.Revision = revision
			work = append(work, &networkWrite{post: &d})
		}
		d := b.draft(b.who[1])
		d.Network = gone
		work = append(work, &networkWrite{post: &d})
		must(t, b.brokerBench.writeNetworks(t.Context(), work))
		var got []string
		for _, w := range work {
			switch {
			case w.refused == nil:
				got = append(got, fmt.Sprint(w.message.Seq))
			case errors.Is(w.refused, network.ErrStale):
				got = append(got, "stale")
			default:
				wantMissing(t, "a network that is deleted", w.refused)
				got = append(got, "missing")
			}
		}
		if want := "1 stale 2 3 stale 4 missing"; strings.Join(got, " ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
		ahead := b.draft(b.who[1]) // and nobody is right
		ahead.Revision = 8
		one, two := b.draft(b.who[1]), b.draft(b.who[1])
		one.Revision, two.Revision = 0, 6
		work = []*networkWrite{{post: &ahead}, {post: &one}, {post: &two}}
		must(t, b.brokerBench.writeNetworks(t.Context(), work))
		if work[0].refused != network.ErrStale || work[1].message.Seq != 5 || work[2].refused != network.ErrStale {
			t.Errorf("got %+v, %+v, %+v", work[0], work[1], work[2])
		}
		for i, m := range b.messages(t) {
			if m.Seq != int64(i+1) {
				t.Errorf("the message at place %d has number %d", i+1, m.Seq)
			}
		}
	})
}

func TestAMessageThatIsThereAnswersForItself(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newQueueBench(t, url, 2)
		nodes := []queueBench{b}
		if b.brokerBench.db.Dialect().Shared() {
			nodes = append(nodes, b.anotherProcess(t, url))
		}
		const ids, times = 30, 6
		answers := make([]sync.Map, ids)
		var group sync.WaitGroup
		for k := range ids {
			d := b.draft(b.who[1])
			d.Once, d.Revision = true, 0
			for i := range times {
				group.Go(func() {
					m, err := nodes[i%len(nodes)].Post(t.Context(), d)
					if err != nil || m.ID != d.ID || m.Content != "hello" || m.Seq == 0 {
						t.Errorf("got %+v, %v", m, err)
					}
					answers[k].Store(m.Seq, true)
				})
			}
		}
		group.Wait()
		for k := range ids {
			n := 0
			answers[k].Range(func(any, any) bool { n++; return true })
			if n != 1 {
				t.Errorf("message %d has %d numbers", k, n)
			}
		}
		messages := b.messages(t)
		if len(messages) != ids || b.count(t, "SELECT COUNT(*) FROM deliveries") != ids {
			t.Fatalf("got %d messages", len(messages))
		}
		again := b.draft(b.who[1])
		again.ID, again.Once, again.Revision, again.Content = messages[3].ID, true, 99, "something else"
		if m := b.mustPost(t, again); !reflect.DeepEqual(m, messages[3]) {
			t.Errorf("got %+v, want %+v", m, messages[3])
		}
		again.Once = false
		if _, err := b.Post(t.Context(), again); err == nil {
			t.Error("an id that is taken was stored again")
		}
	})
}

func TestACallIsAnsweredOrFails(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 2)
		at := b.brokerBench.at
		call := func() network.Draft {
			d := b.draft(b.who[1])
			d.Channel, d.Queue, d.CallUntil = network.Call, false, at.Add(25*time.Second)
			b.mustPost(t, d)
			return d
		}
		answer := func(to network.Draft, revision int64) {
			d := b.draft(b.who[0])
			d.Sender, d.Channel, d.Queue, d.Status, d.Answers, d.Revision, d.Created = b.who[1], network.Call, false, network.Delivered, to.ID, revision, at.Add(time.Second)
			_, _ = b.Post(t.Context(), d)
		}
		answered, failed, late, stale, open1 := call(), call(), call(), call(), call()
		answer(answered, 1)
		answer(stale, 99)
		must(t, b.FailCall(t.Context(), b.network, failed.ID, at.Add(2*time.Second), nil))
		must(t, b.FailCall(t.Context(), b.network, answered.ID, at.Add(2*time.Second), nil))
		must(t, b.FailCall(t.Context(), id.New[id.Network](), open1.ID, at.Add(2*time.Second), nil))
		must(t, b.FailCall(t.Context(), b.network, late.ID, at.Add(2*time.Second), nil))
		answer(late, 1)
		check := func(sentence string, want ...string) {
			t.Helper()
			var got []string
			for _, m := range b.messages(t) {
				if m.Sender == b.who[0] {
					got = append(got, m.Status)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", sentence, got, want)
			}
		}
		check("before they run out", "delivered", "failed", "failed", "pending", "pending")
		if n, err := b.FailCalls(t.Context(), at.Add(25*time.Second-time.Microsecond)); n != 0 || err != nil {
			t.Errorf("a moment before the end: got %d, %v", n, err)
		}
		if n, err := b.FailCalls(t.Context(), at.Add(25*time.Second)); n != 2 || err != nil {
			t.Errorf("at the end: got %d, %v", n, err)
		}
		check("after", "delivered", "failed", "failed", "failed", "failed")
	})
}

func TestAttemptsAreLoggedAndCounted(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 2)
		gone := registry.Agent{ID: id.New[id.Agent](), Owner: b.owner}
		log := func(a registry.Agent, success, reached bool) network.Log {
			l := network.Log{Caller: b.caller, Actor: principal.Actor{Type: "user", ID: string(b.caller)}, Agent: a, Message: id.New[id.NetworkMessage](), Channel: network.Push,
				Length: 5, Success: success, Status: 200, LatencyMS: 7, Reached: reached, Refused: !success && !reached, RequestID: "r-1", At: b.brokerBench.at}
			if !success {
				l.Status, l.Code = 503, "agent_error"
			}
			return l
		}
		m := b.mustPost(t, b.draft(b.who[1]))
		lane := b.one(t, "w")
		must(t, b.Settle(t.Context(), network.Settlement{Lane: lane, At: b.brokerBench.at, Done: []network.Outcome{{Message: m.ID, Seq: m.Seq, Attempts: 3, Status: 200,
			Logs: []network.Log{log(b.agent, false, true), log(b.agent, false, false), log(b.agent, true, true), log(gone, true, true)}}}}))
		sent := b.draft(b.who[1])
		l := log(b.agent, true, true)
		sent.Log = &l
		b.mustPost(t, sent)
		sent.ID, sent.Revision = id.New[id.NetworkMessage](), 99 // refused: nothing is logged
		if _, err := b.Post(t.Context(), sent); !errors.Is(err, network.ErrStale) {
			t.Error(err)
		}
		must(t, b.FailCall(t.Context(), b.network, id.New[id.NetworkMessage](), b.brokerBench.at, ptr(log(b.agent, false, true))))
		if got := b.calls(t, b.agent.ID); got != (registry.Figures{Calls: 4, Successes: 2, LatencyMS: 28}) {
			t.Errorf("the figures are %+v", got)
		}
		if got := b.count(t, "SELECT COUNT(*) FROM invocation_logs WHERE kind = 'network' AND request = $1 AND caller_id = $2", `{"channel":"message","content_length":5}`, string(b.caller)); got != 6 {
			t.Errorf("got %d rows of the log", got)
		}
		if got := b.count(t, "SELECT COUNT(*) FROM invocation_logs WHERE NOT success AND status = 503 AND error_code = 'agent_error' AND created_us = $1", clock.Micros(b.brokerBench.at)); got != 3 {
			t.Errorf("got %d rows of failures", got)
		}
		if got := b.count(t, "SELECT COUNT(*) FROM invocation_logs WHERE refused"); got != 1 {
			t.Errorf("%d rows are refusals", got)
		}
		if status := b.messages(t)[0].Status; status != network.Delivered {
			t.Errorf("the message is %s", status)
		}
	})
}
