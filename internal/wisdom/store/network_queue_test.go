package store

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
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

// claim of everything that is due, for 15 s.
func (b queueBench) claim(worker string) network.Claim {
	return network.Claim{Worker: worker, Now: b.brokerBench.at, Lease: b.brokerBench.at.Add(15 * time.Second), Limit: 100, Failing: 100}
}

// claimed are the recipients of what a claim gets, and the lanes.
func (b queueBench) claimed(t testing.TB, c network.Claim) ([]id.Participant, []network.Lane) {
	t.Helper()
	lanes, err := b.Claim(t.Context(), c)
	must(t, err)
	who := make([]id.Participant, len(lanes))
	for i, l := range lanes {
		who[i] = l.Recipient
	}
	slices.Sort(who)
	return who, lanes
}

// one is the only lane that is due.
func (b queueBench) one(t testing.TB, worker string) network.Lane {
	t.Helper()
	_, lanes := b.claimed(t, b.claim(worker))
	if len(lanes) != 1 {
		t.Fatalf("got %d lanes, want 1", len(lanes))
	}
	return lanes[0]
}

// none wants that nothing is due so much later.
func (b queueBench) none(t testing.TB, sentence string, later time.Duration) {
	t.Helper()
	if who, _ := b.claimed(t, b.later("nobody", later)); len(who) > 0 {
		t.Errorf("%s: got %v, want nothing", sentence, who)
	}
}

// later is a claim so much later.
func (b queueBench) later(worker string, later time.Duration) network.Claim {
	c := b.claim(worker)
	c.Now, c.Lease = c.Now.Add(later), c.Lease.Add(later)
	return c
}

func (b queueBench) mustSettle(t testing.TB, s network.Settlement) {
	t.Helper()
	must(t, b.Settle(t.Context(), s))
}

func (b queueBench) mustLoad(t testing.TB, l network.Lane, after int64) network.Load {
	t.Helper()
	load, err := b.Load(t.Context(), l, after, 16)
	must(t, err)
	return load
}

func done(j network.Job) network.Outcome {
	return network.Outcome{Message: j.ID, Seq: j.Seq, Ending: network.Succeeded, Attempts: j.Attempts + 1, Status: 204}
}

// work is a process that delivers until stop is closed and nothing is due. deliver is told
// what is sent, one after the other for each recipient.
func (b queueBench) work(t *testing.T, worker string, stop <-chan struct{}, deliver func(network.Job)) {
	for {
		over := false
		select {
		case <-stop:
			over = true
		default:
		}
		c := b.claim(worker)
		c.Limit = 1 + rand.N(4)
		lanes, err := b.Claim(t.Context(), c)
		if err != nil {
			t.Error(err)
			return
		}
		if len(lanes) == 0 && over {
			return
		}
		var group sync.WaitGroup
		for _, l := range lanes {
			group.Go(func() {
				load, err := b.Load(t.Context(), l, 0, 3)
				if err != nil {
					t.Error(err)
				}
				if rand.N(2) == 0 {
					l = load.Lane
				}
				s := network.Settlement{Lane: l, At: b.brokerBench.at}
				for i, j := range load.Jobs {
					deliver(j)
					s.Done = append(s.Done, done(j))
					if i == 0 && rand.N(2) == 0 {
						s.Keep = true
						if err := b.Settle(t.Context(), s); err != nil {
							t.Error(err)
						}
						s.Keep, s.Done = false, nil
					}
				}
				if len(load.Jobs) == 3 {
					s.Due = b.brokerBench.at // there may be more
				}
				if err := b.Settle(t.Context(), s); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
}

// Posts race with settlements that find their lane empty: whoever loses, nothing ever waits
// in a lane that nobody looks at, nobody delivers for a recipient at the same time as
// somebody else, and the order is kept.
func TestWhatIsPostedIsDeliveredOnceInOrder(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newQueueBench(t, url, 6)
		nodes := []queueBench{b}
		if b.brokerBench.db.Dialect().Shared() {
			nodes = append(nodes, b.anotherProcess(t, url))
		}
		const posters, each, workers = 6, 250, 4
		var busy [6]atomic.Int32
		var last [6]int64
		var delivered atomic.Int64
		index := map[id.Participant]int{}
		for i, p := range b.who {
			index[p] = i
		}
		stop := make(chan struct{})
		var working, posting sync.WaitGroup
		for w := range workers {
			working.Go(func() {
				nodes[w%len(nodes)].work(t, fmt.Sprint("worker", w), stop, func(j network.Job) {
					i := index[j.Recipient]
					if busy[i].Add(1) != 1 {
						t.Error("two deliver to one recipient")
					}
					if j.Seq <= last[i] {
						t.Errorf("message %d is delivered after %d", j.Seq, last[i])
					}
					last[i] = j.Seq
					busy[i].Add(-1)
					delivered.Add(1)
				})
			})
		}
		for p := range posters {
			posting.Go(func() {
				for range each {
					d := b.draft(b.who[rand.N(6)])
					if _, err := nodes[p%len(nodes)].Post(t.Context(), d); err != nil {
						t.Error(err)
					}
				}
			})
		}
		posting.Wait()
		close(stop)
		working.Wait()
		if got := delivered.Load(); got != posters*each {
			t.Errorf("%d are delivered, want %d", got, posters*each)
		}
		if got := b.count(t, "SELECT COUNT(*) FROM deliveries"); got != 0 {
			t.Errorf("%d deliveries are left", got)
		}
		if got := b.count(t, "SELECT COUNT(*) FROM delivery_lanes WHERE claim <> '' OR due_us <> $1", int64(neverDue)); got != 0 {
			t.Errorf("%d lanes are not idle", got)
		}
		for _, m := range b.messages(t) {
			if m.Status != network.Delivered {
				t.Fatalf("message %d is %s", m.Seq, m.Status)
			}
		}
	})
}

func TestALaneIsClaimedByOneWorkerAtATime(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newQueueBench(t, url, 40)
		nodes := []queueBench{b}
		if b.brokerBench.db.Dialect().Shared() {
			nodes = append(nodes, b.anotherProcess(t, url))
		}
		for _, p := range b.who {
			b.mustPost(t, b.draft(p))
		}
		var mu sync.Mutex
		owners := map[id.Participant]string{}
		var group sync.WaitGroup
		for w := range 16 {
			group.Go(func() {
				c := b.claim(fmt.Sprint("worker", w))
				c.Limit = 3
				lanes, err := nodes[w%len(nodes)].Claim(t.Context(), c)
				if err != nil {
					t.Error(err)
				}
				if len(lanes) > 3 {
					t.Errorf("got %d lanes, asked for 3", len(lanes))
				}
				mu.Lock()
				defer mu.Unlock()
				for _, l := range lanes {
					if owners[l.Recipient] != "" {
						t.Errorf("a lane belongs to %s and %s", owners[l.Recipient], c.Worker)
					}
					owners[l.Recipient] = c.Worker
				}
			})
		}
		group.Wait()
		rest, _ := b.claimed(t, b.claim("last"))
		if len(owners)+len(rest) != 40 {
			t.Errorf("%d and %d lanes are claimed, want 40", len(owners), len(rest))
		}
		b.none(t, "before the leases end", 15*time.Second-time.Microsecond)
		if again, _ := b.claimed(t, b.later("heir", 15*time.Second)); len(again) != 40 {
			t.Errorf("when the leases end %d lanes are claimed, want 40", len(again))
		}
	})
}

func TestAWorkerThatLostItsLaneFreesNothing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		for _, heir := range []string{"heir", "worker"} { // the same process may claim it again
			b := newQueueBench(t, open(), 3)
			for range 4 {
				b.mustPost(t, b.draft(b.who[1]))
			}
			lost := b.one(t, "worker")
			jobs := b.mustLoad(t, lost, 0).Jobs
			_, lanes := b.claimed(t, b.later(heir, 15*time.Second))
			if len(lanes) != 1 {
				t.Fatalf("got %d lanes", len(lanes))
			}
			b.mustSettle(t, network.Settlement{Lane: lost, At: b.brokerBench.at, Failing: true, Done: []network.Outcome{done(jobs[0]),
				{Message: jobs[1].ID, Seq: jobs[1].Seq, Ending: network.GivenUp, Attempts: 8, Error: "x"}, {Message: jobs[2].ID, Seq: jobs[2].Seq, Ending: network.Dropped},
				{Message: jobs[3].ID, Seq: jobs[3].Seq, Ending: network.Retried, Attempts: 3}}})
			b.none(t, heir+": it has the lane", 30*time.Second-time.Microsecond)
			left := b.mustLoad(t, lanes[0], 0)
			if len(left.Jobs) != 3 || left.Jobs[0].ID != jobs[1].ID || left.Jobs[2].Attempts != 0 || left.Lane.Failing {
				t.Errorf("%s: %+v is left", heir, left)
			}
			var statuses []string
			for _, m := range b.messages(t) {
				statuses = append(statuses, m.Status)
			}
			if want := "delivered pending pending pending"; strings.Join(statuses, " ") != want {
				t.Errorf("%s: got %v, want %s", heir, statuses, want)
			}
			if kept, err := b.Renew(t.Context(), "somebody", []id.Participant{b.who[1]}, b.brokerBench.at.Add(time.Hour)); len(kept) != 0 || err != nil {
				t.Errorf("somebody renews it: %v, %v", kept, err)
			}
			b.mustSettle(t, network.Settlement{Lane: left.Lane, At: b.brokerBench.at})
			b.none(t, "the heir gave it back", time.Hour)
		}
	})
}

func TestLeasesAreRenewed(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 200)
		for _, p := range b.who {
			b.mustPost(t, b.draft(p))
		}
		c := b.claim("w")
		c.Limit = 150
		mine, _ := b.claimed(t, c)
		if len(mine) != 150 {
			t.Fatalf("got %d lanes", len(mine))
		}
		kept, err := b.Renew(t.Context(), "w", append([]id.Participant{id.New[id.Participant]()}, b.who...), b.brokerBench.at.Add(20*time.Second))
		slices.Sort(kept)
		if err != nil || !slices.Equal(kept, mine) {
			t.Errorf("%d are kept, %v", len(kept), err)
		}
		c = b.later("x", 20*time.Second-time.Microsecond)
		c.Limit = 200
		if who, _ := b.claimed(t, c); len(who) != 50 {
			t.Errorf("before they end %d are claimed, want 50", len(who))
		}
		c = b.later("y", 20*time.Second)
		c.Limit = 200
		if who, _ := b.claimed(t, c); !slices.Equal(who, mine) {
			t.Errorf("when they end %d are claimed, want 150", len(who))
		}
		if kept, err := b.Renew(t.Context(), "w", mine, b.brokerBench.at.Add(time.Hour)); len(kept) != 0 || err != nil {
			t.Errorf("after that %d are kept, %v", len(kept), err)
		}
	})
}

func TestWhenALaneThatIsGivenBackIsDue(t *testing.T) {
	const s, never = time.Second, 1000 * time.Hour
	tests := []struct {
		sentence    string
		due         time.Duration // 0: never
		post, edit  bool
		loaded      bool // both came before the load
		firstAt     time.Duration
		stillFailed bool
	}{
		{"what waits, waits", 8 * s, false, false, false, 8 * s, true},
		{"a post does not end a wait", 8 * s, true, false, false, 8 * s, true},
		{"a change ends it", 8 * s, false, true, false, 0, true},
		{"nothing came: it is idle", 0, false, false, false, never, false},
		{"a post came: it is due", 0, true, false, false, 0, false},
		{"a change came: it is due", 0, false, true, false, 0, false},
		{"a post came and was loaded", 0, true, false, true, never, false},
		{"a change came and was seen", 8 * s, false, true, true, 8 * s, true},
	}
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 2)
		for _, tt := range tests {
			b.exec(t, "DELETE FROM delivery_lanes")
			b.exec(t, "DELETE FROM deliveries")
			first := b.mustPost(t, b.draft(b.who[1]))
			lane := b.one(t, "w")
			if !tt.loaded {
				lane = b.mustLoad(t, lane, 0).Lane
			}
			if tt.post {
				b.mustPost(t, b.draft(b.who[1]))
			}
			if tt.edit {
				b.exec(t, "UPDATE delivery_lanes SET revision = revision + 1")
			}
			if tt.loaded {
				if part := b.mustLoad(t, lane, first.Seq).Lane; part.Revision != lane.Revision {
					t.Errorf("a load of a part has revision %d, want %d", part.Revision, lane.Revision)
				}
				lane = b.mustLoad(t, lane, 0).Lane
			}
			settlement := network.Settlement{Lane: lane, At: b.brokerBench.at, Failing: tt.stillFailed}
			if tt.due > 0 {
				settlement.Due = b.brokerBench.at.Add(tt.due)
			}
			b.mustSettle(t, settlement)
			if tt.firstAt > 0 {
				b.none(t, tt.sentence, tt.firstAt-time.Microsecond)
			}
			if tt.firstAt < never {
				_, lanes := b.claimed(t, b.later("w", tt.firstAt))
				if len(lanes) != 1 || lanes[0].Failing != tt.stillFailed {
					t.Errorf("%s: got %+v", tt.sentence, lanes)
				}
			}
		}
	})
}

func TestEndingsOfDeliveries(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 2)
		for range 5 {
			b.mustPost(t, b.draft(b.who[1]))
		}
		load := b.mustLoad(t, b.one(t, "w"), 0)
		jobs := load.Jobs
		b.exec(t, "UPDATE network_messages SET status = 'read' WHERE seq IN (4, 5)") // acknowledged meanwhile
		b.exec(t, "DELETE FROM deliveries WHERE seq IN (4, 5)")
		b.mustSettle(t, network.Settlement{Lane: load.Lane, At: b.brokerBench.at.Add(time.Second), Keep: true, Done: []network.Outcome{
			{Message: jobs[0].ID, Seq: 1, Ending: network.GivenUp, Attempts: 8, Status: 503, Error: "the receiver answered 503"},
			{Message: jobs[1].ID, Seq: 2, Ending: network.Dropped, Attempts: 1},
			{Message: jobs[2].ID, Seq: 3, Ending: network.Retried, Attempts: 1, Error: "no answer"},
			{Message: jobs[3].ID, Seq: 4, Ending: network.GivenUp, Attempts: 8, Error: "x"},
			{Message: jobs[4].ID, Seq: 5, Ending: network.Succeeded, Attempts: 8},
		}})
		var statuses []string
		for _, m := range b.messages(t) {
			statuses = append(statuses, m.Status)
		}
		if want := "failed pending pending read read"; strings.Join(statuses, " ") != want {
			t.Errorf("got %v, want %s", statuses, want)
		}
		letters, err := b.DeadLetters(t.Context(), b.caller, b.network, 10, 0)
		must(t, err)
		failed := jobs[0].Message
		failed.Status, failed.Updated = network.Failed, b.brokerBench.at.Add(time.Second)
		if want := []network.DeadLetter{{Message: failed, Attempts: 8, LastStatus: 503, LastError: "the receiver answered 503", FailedAt: failed.Updated}}; !reflect.DeepEqual(letters, want) {
			t.Errorf("the dead letters are %+v, want %+v", letters, want)
		}
		left := b.mustLoad(t, load.Lane, 0).Jobs
		if len(left) != 1 || left[0].Seq != 3 || left[0].Attempts != 1 {
			t.Errorf("%+v is left", left)
		}
		if len(b.mustLoad(t, load.Lane, 3).Jobs) != 0 {
			t.Error("there is something behind the last")
		}
		b.none(t, "it is kept", 15*time.Second-time.Microsecond)
		b.exec(t, "UPDATE networks SET deleted_us = 1")
		_, err = b.Load(t.Context(), load.Lane, 0, 16)
		wantMissing(t, "the network is deleted", err)
	})
}

func TestWhichLanesAreClaimed(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 8)
		for _, p := range b.who {
			b.mustPost(t, b.draft(p))
		}
		hog := b.user(t)
		theirNetwork, theirs := b.net(t, hog, 3)
		for _, p := range theirs {
			d := b.draft(p)
			d.Network, d.Sender = theirNetwork, theirs[0]
			b.mustPost(t, d)
		}
		for i, p := range append(slices.Clone(b.who), theirs...) { // the first is due first, and the last four of ours fail
			b.exec(t, "UPDATE delivery_lanes SET due_us = $1, failing = $2 WHERE recipient_id = $3", clock.Micros(b.brokerBench.at)-100+int64(i), i >= 4 && i < 8, string(p))
		}
		for _, tt := range []struct {
			sentence       string
			limit, failing int
			not            []id.User
			want           []int // of who and theirs
		}{
			{"as many as are asked for, in the order of what is due", 3, 9, nil, []int{0, 1, 2}},
			{"those that fail come after all others", 8, 9, nil, []int{0, 1, 2, 3, 8, 9, 10, 4}},
			{"and no more than are asked for", 99, 2, nil, []int{0, 1, 2, 3, 8, 9, 10, 4, 5}},
			{"or none", 99, 0, nil, []int{0, 1, 2, 3, 8, 9, 10}},
			{"nobody's of those who have enough", 99, 99, []id.User{hog, id.New[id.User](), id.New[id.User]()}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
			{"nobody's at all", 99, 99, []id.User{hog, b.caller}, nil},
			{"nothing is asked for", 0, 99, nil, nil},
		} {
			c := b.claim("w")
			c.Limit, c.Failing, c.Not = tt.limit, tt.failing, tt.not
			got, lanes := b.claimed(t, c)
			want := []id.Participant{}
			for _, i := range tt.want {
				want = append(want, append(slices.Clone(b.who), theirs...)[i])
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %d lanes, want %v", tt.sentence, len(got), tt.want)
			}
			for _, l := range lanes { // back as it was
				i := slices.Index(append(slices.Clone(b.who), theirs...), l.Recipient)
				b.mustSettle(t, network.Settlement{Lane: l, At: b.brokerBench.at, Failing: l.Failing, Due: b.brokerBench.at.Add(time.Duration(i-100) * time.Microsecond)})
			}
		}
	})
}

// A post and a claim that share a batch: the clock of the claim is the older one.
func TestAClaimSeesThePostsOfItsBatch(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newQueueBench(t, open(), 2)
		d := b.draft(b.who[1])
		d.Created = b.brokerBench.at.Add(time.Millisecond)
		c := b.claim("w")
		work := []*networkWrite{{claim: &c}, {post: &d}}
		must(t, b.brokerBench.writeNetworks(t.Context(), work))
		if len(work[0].claimed) != 1 {
			t.Errorf("got %d lanes, want 1", len(work[0].claimed))
		}
	})
}
