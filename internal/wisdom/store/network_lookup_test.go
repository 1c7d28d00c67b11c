package store

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// What has an id is found by it, and not along an index of all that its owner or its network
// has: also while the tables are so small that this looks as good to PostgreSQL, which keeps
// the plan when they are not.
func TestWhatHasAnIDIsFoundByIt(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newQueueBench(t, url, 2)
		var mu sync.Mutex
		texts := map[string]bool{}
		b.brokerBench.Store = newStore(t, url, nil, func(text string) {
			mu.Lock()
			defer mu.Unlock()
			texts[text] = true
		})
		b.Networks = Networks{b.brokerBench.Store}
		m, at := b.mustPost(t, b.draft(b.who[1])), b.brokerBench.at
		l := b.one(t, "w")
		b.mustSettle(t, network.Settlement{Lane: l, At: at, Done: []network.Outcome{{Message: m.ID, Seq: m.Seq, Ending: network.GivenUp}}})
		mu.Lock()
		clear(texts)
		mu.Unlock()
		_, err := b.Replay(t.Context(), b.caller, b.network, m.ID, at)
		must(t, err)
		n, err := b.Acknowledge(t.Context(), b.caller, b.network, []id.NetworkMessage{m.ID}, at)
		if n != 1 || err != nil {
			t.Errorf("acknowledged %d, %v", n, err)
		}
		all := maps.Clone(texts)
		if len(all) < 10 {
			t.Fatalf("only %d statements were seen", len(all))
		}
		queries := testkit.Queries(t, "query")
		for _, name := range []string{"OwnedNetwork", "NetworkOfAnybody", "TakeNetwork", "SaveNetwork", "DeleteNetwork", "Participant", "TakeParticipant", "SaveParticipant",
			"NetworkMessage", "MessageBounds", "InboxNetwork", "TakeDeadLetter", "ReviveMessage", "WakeLane", "LastNumber"} {
			all[queries[name]] = true
		}
		check := func(when string) {
			t.Helper()
			for text := range all {
				if !strings.Contains(text, "network") {
					continue
				}
				plan := b.plan(t, text, true)
				for i, line := range strings.Split(plan, "\n") {
					if strings.Contains(line, "Index Scan") && !strings.Contains(append(strings.Split(plan, "\n"), "")[i+1], "Index Cond") {
						t.Errorf("%s: all of an index is read in the plan\n%s\nof\n%s", when, plan, text)
					}
				}
				for _, other := range []string{"networks_by_owner", "networks_deleted", "network_messages_by", "network_messages_inbox", "network_calls_underway", "participants_by_position", "participants_present", "dead_letters_by_network",
					"delivery_lanes_by_network", "Seq Scan", "SCAN network", "SCAN m", "SCAN n", "SCAN p", "SCAN d"} {
					if strings.Contains(plan, other) {
						t.Errorf("%s: %s in the plan\n%s\nof\n%s", when, other, plan, text)
					}
				}
			}
		}
		check("few")
		for table, columns := range map[string][2]string{
			"networks": {"id, owner_id, name, topology, status, revision, last_seq, last_position, created_us, updated_us",
				"'more-' || CAST(n AS TEXT), '" + string(b.caller) + "', 'n', 'mesh', 'active', 1, 0, 0, 1, 1"},
			"network_messages": {"id, network_id, seq, sender_id, recipient_id, channel, content, status, depth, created_us, updated_us",
				"'more-' || CAST(n AS TEXT), '" + string(b.network) + "', n + 10, '" + string(b.who[0]) + "', '" + string(b.who[1]) + "', 'message', 'x', 'failed', 0, n, n"},
			"dead_letters": {"message_id, network_id, seq, attempts, last_error, actor_type, actor_id, request_id, failed_us",
				"'more-' || CAST(n AS TEXT), '" + string(b.network) + "', n, 8, 'x', 'user', 'u', 'r', n"},
			"delivery_lanes": {"recipient_id, network_id, owner_id, revision, due_us, claim, failing", "'more-' || CAST(n AS TEXT), '" + string(b.network) + "', 'u', 1, n, '', FALSE"},
			"deliveries": {"recipient_id, seq, message_id, network_id, attempts, actor_type, actor_id, request_id",
				"'more-' || CAST(n AS TEXT), n, 'more-' || CAST(n AS TEXT), '" + string(b.network) + "', 0, 'user', 'u', 'r'"},
		} {
			b.exec(t, fmt.Sprintf("WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 2000) INSERT INTO %s (%s) SELECT %s FROM more", table, columns[0], columns[1]))
		}
		check("many")
		if b.brokerBench.db.Dialect().Shared() { // SQLite is never told
			b.exec(t, "ANALYZE")
			check("many, which the engine knows")
		}
	})
}

// What ends something that was begun is stored however much is waiting.
func TestAnAnswerIsNotRefusedBecauseMuchIsWaiting(t *testing.T) {
	b := newQueueBench(t, testkit.SQLite(t), 2)
	b.brokerBench.networkWrites = sqldb.NewBatch(networkWritesPerBatch, 0, networkBatchesAbreast, b.brokerBench.writeNetworks)
	call := b.draft(b.who[1])
	for name, d := range map[string]network.Draft{"a reply": {Once: true}, "an answer": {Answers: call.ID}, "a message": {}} {
		draft := b.draft(b.who[1])
		draft.Once, draft.Answers = d.Once, d.Answers
		if _, err := b.Post(t.Context(), draft); (err == nil) != (name != "a message") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A lane that is given up is read hundreds at a time: not with what they say.
func TestManyDeliveriesAreLoadedWithoutTheirContents(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 2)
		for range 3 {
			b.mustPost(t, b.draft(b.who[1]))
		}
		l := b.one(t, "w")
		for limit, content := range map[int]string{2: "hello", network.WholeJobs: "hello", network.WholeJobs + 1: ""} {
			load, err := b.Load(t.Context(), l, 0, limit)
			must(t, err)
			if len(load.Jobs) != min(limit, 3) {
				t.Fatalf("%d jobs of %d", len(load.Jobs), limit)
			}
			for i, j := range load.Jobs {
				if j.Content != content || (j.Metadata == nil) != (content == "") || j.Seq != int64(i+1) || j.Status != network.Pending {
					t.Errorf("of %d: got %+v", limit, j)
				}
			}
		}
	})
}

// Failures that are written together were one after the other, whatever the ids are.
func TestDeadLettersOfOneMomentAreInTheOrderOfTheirNumbers(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 2)
		for range 10 {
			b.mustPost(t, b.draft(b.who[1]))
		}
		load := b.mustLoad(t, b.one(t, "w"), 0)
		s := network.Settlement{Lane: load.Lane, At: b.brokerBench.at}
		for _, j := range load.Jobs {
			s.Done = append(s.Done, network.Outcome{Message: j.ID, Seq: j.Seq, Ending: network.GivenUp, Attempts: 1, Error: "x"})
		}
		b.mustSettle(t, s)
		letters, err := b.DeadLetters(t.Context(), b.caller, b.network, 6, 2)
		must(t, err)
		var got []int64
		for _, l := range letters {
			got = append(got, l.Seq)
		}
		if fmt.Sprint(got) != "[8 7 6 5 4 3]" {
			t.Errorf("got %v", got)
		}
	})
}
