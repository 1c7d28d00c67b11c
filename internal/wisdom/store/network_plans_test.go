package store

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// plan is how the engine executes a statement, whatever its parameters are. steady is the
// transaction of a batch.
func (b queueBench) plan(t testing.TB, text string, steady bool) string {
	t.Helper()
	params := 0
	for strings.Contains(text, "$"+strconv.Itoa(params+1)) {
		params++
	}
	var lines []string
	explain := "EXPLAIN QUERY PLAN " + text
	must(t, b.brokerBench.db.Tx(t.Context(), func(tx *sql.Tx) error {
		var args []any
		if b.brokerBench.db.Dialect().Shared() {
			if _, err := tx.ExecContext(t.Context(), "SET LOCAL plan_cache_mode = force_generic_plan"); err != nil {
				return err
			}
			if steady {
				if _, err := tx.ExecContext(t.Context(), steadyPlans); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(t.Context(), "PREPARE explained AS "+text); err != nil {
				return err
			}
			explain = "EXPLAIN (COSTS OFF) EXECUTE explained (NULL" + strings.Repeat(", NULL", params-1) + ")"
		} else {
			args = make([]any, params)
		}
		rows, err := tx.QueryContext(t.Context(), explain, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			var skip any
			to := []any{&line}
			if !b.brokerBench.db.Dialect().Shared() {
				to = []any{&skip, &skip, &skip, &line}
			}
			if err := rows.Scan(to...); err != nil {
				return err
			}
			lines = append(lines, line)
		}
		if b.brokerBench.db.Dialect().Shared() {
			_, err = tx.ExecContext(t.Context(), "DEALLOCATE explained")
		}
		return errors.Join(err, rows.Err())
	}))
	return strings.Join(lines, "\n")
}

// badPlan tells what of a plan reads more than the rows that are wanted: anything but a
// range of an index that is made for the purpose, or what the statement has made itself.
func badPlan(plan string) string {
	lines := strings.Split(plan, "\n")
	for i, line := range lines {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "->"))
		word := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "SCAN ") && !slices.Contains([]string{"v", "d", "m", "well", "failing"}, word[1]) && !strings.Contains(line, "CONSTANT ROW"),
			strings.HasPrefix(line, "Seq Scan"), strings.HasPrefix(line, "Bitmap"), strings.HasPrefix(line, "Hash Join"), strings.HasPrefix(line, "Merge Join"),
			strings.HasPrefix(line, "Materialize"):
			return line
		case strings.Contains(line, " using network_messages_by_channel"):
			if !strings.Contains(lines[i+1], "channel") || !strings.Contains(lines[i+1], "seq") {
				return line + lines[i+1]
			}
		case strings.HasPrefix(line, "SEARCH ") && strings.Contains(line, "network_messages_by_channel"):
			if !strings.Contains(line, "channel=? AND seq>?") {
				return line
			}
		case strings.HasPrefix(line, "Index"), strings.HasPrefix(line, "SEARCH "):
			if strings.HasPrefix(line, "Index Cond") {
				continue
			}
			if !regexp.MustCompile(`_pkey|delivery_lanes_due|network_calls_underway|sqlite_autoindex`).MatchString(line) || strings.HasPrefix(line, "Index") && !strings.Contains(lines[i+1], "Index Cond") {
				return line
			}
		}
	}
	return ""
}

// Nothing of what is done for every message reads more than its own rows: neither while the
// tables are so small that a plan which reads all of them looks good, and stays, nor when
// somebody has let a queue grow.
func TestPlansOfTheQueue(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newQueueBench(t, url, 10)
		var mu sync.Mutex
		texts := map[string]bool{} // and whether it belongs to a batch
		batch := false
		b.brokerBench.Store = newStore(t, url, nil, func(text string) {
			mu.Lock()
			defer mu.Unlock()
			switch batch = batch && !strings.EqualFold(text, "commit") || strings.HasPrefix(strings.ToLower(text), "begin"); {
			case strings.Contains(text, "networks") || strings.Contains(text, "network_messages") || strings.Contains(text, "deliver"):
				texts[text] = batch
			}
		})
		b.Networks = Networks{b.brokerBench.Store}
		for _, size := range []int{1, 5} { // and what they settle
			var posts, settlements []*networkWrite
			for i := range 2 * size {
				d := b.draft(b.who[i%size])
				d.Once = true
				posts = append(posts, &networkWrite{post: &d})
			}
			must(t, b.brokerBench.writeNetworks(t.Context(), posts))
			_, lanes := b.claimed(t, b.claim("w"))
			for _, l := range lanes {
				jobs := b.mustLoad(t, l, 0).Jobs
				settlements = append(settlements, &networkWrite{settle: &network.Settlement{Lane: l, At: b.brokerBench.at, Done: []network.Outcome{done(jobs[0]),
					{Message: jobs[1].ID, Seq: jobs[1].Seq, Ending: network.Retried}}}})
			}
			must(t, b.brokerBench.writeNetworks(t.Context(), settlements))
			_, lanes = b.claimed(t, b.claim("w"))
			settlements = nil
			for _, l := range lanes {
				jobs := b.mustLoad(t, l, 0).Jobs
				settlements = append(settlements, &networkWrite{settle: &network.Settlement{Lane: l, At: b.brokerBench.at, Done: []network.Outcome{
					{Message: jobs[0].ID, Seq: jobs[0].Seq, Ending: network.GivenUp}}}})
			}
			must(t, b.brokerBench.writeNetworks(t.Context(), settlements))
		}
		_, err := b.LastEntries(t.Context(), b.network, 20)
		must(t, err)
		b.messages(t)
		_, err = b.FailCalls(t.Context(), b.brokerBench.at)
		must(t, err)
		all := maps.Clone(texts)
		if len(all) < 20 {
			t.Fatalf("only %d statements were seen", len(all))
		}
		check := func(when string) {
			t.Helper()
			for text, steady := range all {
				plan := b.plan(t, text, steady)
				if bad := badPlan(plan); bad != "" {
					t.Errorf("%s: %s\nof\n%s\nwhich is\n%s", when, bad, plan, text)
				}
			}
		}
		check("small")
		const grown = "WITH RECURSIVE dead (n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM dead WHERE n < 2000) "
		b.exec(t, grown+"INSERT INTO network_messages (id, network_id, seq, sender_id, recipient_id, channel, content, status, depth, created_us, updated_us) "+
			"SELECT 'dead-' || CAST(n AS TEXT), '"+string(b.network)+"', n, '"+string(b.who[0])+"', '"+string(b.who[9])+"', 'message', 'x', 'pending', 0, n, n FROM dead")
		b.exec(t, grown+"INSERT INTO deliveries (recipient_id, seq, message_id, network_id, attempts, actor_type, actor_id, request_id) "+
			"SELECT '"+string(b.who[9])+"', n, 'dead-' || CAST(n AS TEXT), '"+string(b.network)+"', 0, 'user', 'u', 'r' FROM dead")
		b.exec(t, grown+"INSERT INTO networks (id, owner_id, name, topology, status, revision, last_seq, last_position, created_us, updated_us) "+
			"SELECT 'dead-' || CAST(n AS TEXT), '"+string(b.caller)+"', 'n', 'mesh', 'active', 1, 0, 0, 1, 1 FROM dead")
		b.exec(t, grown+"INSERT INTO participants (id, network_id, owner_id, kind, name, polling, status, position, secret, secret_key, created_us, updated_us) "+
			"SELECT 'dead-' || CAST(n AS TEXT), '"+string(b.network)+"', 'u', 'agent', 'p', FALSE, 'active', n, $1, 'k', 1, 1 FROM dead", []byte("s"))
		b.exec(t, grown+"INSERT INTO delivery_lanes (recipient_id, network_id, owner_id, revision, due_us, claim, failing) "+
			"SELECT 'dead-' || CAST(n AS TEXT), '"+string(b.network)+"', 'u', 1, n, '', TRUE FROM dead")
		if b.brokerBench.db.Dialect().Shared() { // SQLite is never told
			b.exec(t, "ANALYZE")
		}
		check("grown")
	})
}

// One iteration is what one message costs from its post until it is settled; nothing is
// sent.
func BenchmarkDelivery(b *testing.B) {
	engines(b, func(b *testing.B, url string) {
		for _, posters := range []int{1, 64} {
			b.Run(fmt.Sprint(posters, " posters"), func(b *testing.B) {
				world := newQueueBench(b, url, 1)
				type room struct {
					network id.Network
					who     []id.Participant
				}
				var rooms []room
				for range 10 {
					n, who := world.net(b, world.caller, 11)
					rooms = append(rooms, room{n, who})
				}
				var left, delivered atomic.Int64
				left.Store(int64(b.N))
				before := world.commits.Load()
				wake := make(chan struct{}, 1)
				b.ResetTimer()
				var group sync.WaitGroup
				for range posters {
					group.Go(func() {
						for n := left.Add(-1); n >= 0; n = left.Add(-1) {
							r := rooms[int(n)%len(rooms)]
							d := world.draft(r.who[1+int(n)/len(rooms)%10])
							d.Network, d.Sender = r.network, r.who[0]
							if _, err := world.Post(b.Context(), d); err != nil {
								b.Error(err)
							}
							select {
							case wake <- struct{}{}:
							default:
							}
						}
					})
				}
				for delivered.Load() < int64(b.N) {
					c := world.claim("w")
					c.Now, c.Lease = clock.System(), clock.System().Add(15*time.Second)
					lanes, err := world.Claim(b.Context(), c)
					must(b, err)
					for _, l := range lanes {
						group.Go(func() {
							load, err := world.Load(b.Context(), l, 0, 16)
							if err != nil {
								b.Error(err)
							}
							s := network.Settlement{Lane: load.Lane, At: clock.System()}
							for _, j := range load.Jobs {
								s.Done = append(s.Done, done(j))
							}
							if len(load.Jobs) == 16 {
								s.Due = s.At
							}
							if err := world.Settle(b.Context(), s); err != nil {
								b.Error(err)
							}
							delivered.Add(int64(len(load.Jobs)))
							select {
							case wake <- struct{}{}:
							default:
							}
						})
					}
					if len(lanes) == 0 && delivered.Load() < int64(b.N) {
						<-wake
					}
				}
				group.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
				b.ReportMetric(float64(world.commits.Load()-before)/float64(b.N), "commits/op")
			})
		}
	})
}
