package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// How much TestNothingAcceptedIsLost does.
const (
	floodMessages  = 10_000
	floodReceivers = 50
	floodKills     = 20
	floodHangs     = 3 // receivers that never answer one attempt
)

// TestNothingAcceptedIsLost sends 10,000 messages to 50 receivers that fail one time in
// ten, and kills wisdom 20 times on the way. Meanwhile some participants are removed, and
// a network is deleted.
func TestNothingAcceptedIsLost(t *testing.T) {
	t.Run("one process on SQLite", func(t *testing.T) {
		t.Parallel()
		nothingIsLost(t, testkit.SQLite(t), 1)
	})
	t.Run("two processes on PostgreSQL", func(t *testing.T) {
		t.Parallel()
		nothingIsLost(t, testkit.Postgres(t), 2)
	})
}

// flood is the stage.
type flood struct {
	t         *testing.T
	s         *stack
	begin     func(n int) *process
	live      []*process // at the addresses of s
	lobby     *room      // most of the receivers are here
	doomed    *room      // deleted on the way, with every fifth receiver
	receivers []*receiver
	canary    *canary // where a receiver redirects to
	accepted  atomic.Int64
	unknown   atomic.Int64 // sends whose answer was lost
	hangs     atomic.Int64
}

// receiver is a participant with its webhook, and the only one who sends to it: numbers,
// one after the other.
type receiver struct {
	n       int
	room    *room
	leaving atomic.Bool // from now on a send may be refused

	mu       sync.Mutex
	member   member
	sent     []string // id by number; "": no answer came
	arrivals []arrival
	gone     time.Time // when the answer came that it, or its network, is removed
}

// arrival is an attempt that reached the receiver whole.
type arrival struct {
	at     time.Time
	number int
	id     string
	ok     bool // answered 2xx
}

func nothingIsLost(t *testing.T, database string, processes int) {
	f := &flood{t: t, s: &stack{}, canary: newCanary(t, "127.0.0.1:0")}
	f.hangs.Store(floodHangs)
	addrs := make([]string, processes)
	f.begin = func(n int) *process {
		return startWisdom(t, addrs[n], database, "http://127.0.0.1:9", "RATE_LIMIT_PER_MINUTE=0", "NETWORK_MAX_PARTICIPANTS=60",
			"NETWORK_DELIVERY_BACKOFF_SECONDS=0.05", "INVOKE_ENDPOINT_ALLOWED_HOSTS=127.0.0.1")
	}
	for n := range processes {
		addrs[n] = freeAddr(t)
		f.live = append(f.live, f.begin(n))
	}
	f.s.wisdoms = append(f.s.wisdoms, f.live...) // for their addresses, which stay
	hooks := httptest.NewServer(http.HandlerFunc(f.receive))
	t.Cleanup(hooks.Close)
	ada := signUp(t, f.s)
	f.lobby, f.doomed = newRoom(t, f.s, ada, "lobby"), newRoom(t, f.s, ada, "doomed")
	senders := map[*room]member{f.lobby: f.lobby.join(t, "sender", nil), f.doomed: f.doomed.join(t, "sender", nil)}
	for n := range floodReceivers {
		f.receivers = append(f.receivers, &receiver{n: n, room: f.lobby})
		if n%5 == 4 {
			f.receivers[n].room = f.doomed
		}
	}
	for n, r := range f.receivers {
		m := r.room.join(t, fmt.Sprint("receiver ", n), callback(fmt.Sprintf("%s/%d", hooks.URL, n)))
		r.mu.Lock()
		r.member = m
		r.mu.Unlock()
	}
	began := time.Now()
	var feeds, removals sync.WaitGroup
	for _, r := range f.receivers {
		feeds.Go(func() { f.feed(r, senders[r.room]) })
	}
	f.killAndRemove(&removals)
	feeds.Wait()
	removals.Wait()
	fed := time.Now()
	rows := f.drain()
	t.Logf("%d accepted and %d sends without an answer in %v, delivered %v later", f.accepted.Load(), f.unknown.Load(),
		fed.Sub(began).Round(time.Second), time.Since(fed).Round(time.Second))
	f.judge(rows)
	f.canary.untouched(t)
}

// feed sends to a receiver until there is enough, or it is gone.
func (f *flood) feed(r *receiver, sender member) {
	for number := 0; f.accepted.Load() < floodMessages; number++ {
		a, err := try("POST", r.room.at("/messages/send"), saying(sender, r.member, strconv.Itoa(number)), r.room.owner.bearer()...)
		id := ""
		switch {
		case err == nil && a.status == 201:
			id = a.text("id")
			f.accepted.Add(1)
		case err != nil: // nobody knows
			f.unknown.Add(1)
			time.Sleep(50 * time.Millisecond)
		case r.leaving.Load() && (a.status == 404 || a.status == 400 && a.text("code") == "participant_not_active"):
			return
		default:
			f.t.Errorf("a send is answered %d %s", a.status, a.body)
			return
		}
		r.mu.Lock()
		r.sent = append(r.sent, id)
		r.mu.Unlock()
		time.Sleep(rand.N(300 * time.Millisecond))
	}
}

// killAndRemove kills a process whenever another part of the messages has been accepted,
// and removes receivers right before some of the kills.
func (f *flood) killAndRemove(removals *sync.WaitGroup) {
	for k := range floodKills {
		want := int64((k + 1) * floodMessages / (floodKills + 1))
		until(f.t, 2*time.Minute, "sends are accepted", func() bool { return f.accepted.Load() >= want })
		switch k {
		case 6, 9, 13:
			r := f.receivers[k] // of the lobby
			removals.Go(func() { f.remove(r.room.at("/participants/"+r.member.id), r) })
		case 11:
			removals.Go(func() {
				var all []*receiver
				for _, r := range f.receivers {
					if r.room == f.doomed {
						all = append(all, r)
					}
				}
				f.remove(f.doomed.at(""), all...)
			})
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		victim := k % len(f.live)
		f.live[victim].kill()
		f.live[victim] = f.begin(victim)
	}
}

// remove deletes what is at path, whatever is killed meanwhile.
func (f *flood) remove(path string, whom ...*receiver) {
	for _, r := range whom {
		r.leaving.Store(true)
	}
	for {
		a, err := try("DELETE", path, "", f.lobby.owner.bearer()...)
		if err == nil && (a.status == 204 || a.status == 404 && whom[0].room == f.doomed) {
			break // 404: it was deleted, but the answer lost
		}
		if err == nil {
			f.t.Errorf("DELETE %s: %d %s", path, a.status, a.body)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, r := range whom {
		r.mu.Lock()
		r.gone = time.Now()
		r.mu.Unlock()
	}
}

// receive is all webhooks. One attempt in ten fails in one way or another, and numbers
// that end in 97 are not wanted: 410.
func (f *flood) receive(w http.ResponseWriter, request *http.Request) {
	at, dice := time.Now(), rand.IntN(100)
	n, _ := strconv.Atoi(strings.Trim(request.URL.Path, "/"))
	if dice == 0 {
		reset(w) // before it is read: it has not arrived
		return
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the sender was killed
	}
	r := f.receivers[n]
	r.mu.Lock()
	r.take(f.t, request.Header, body, at, dice)
	number := r.arrivals[len(r.arrivals)-1].number
	r.mu.Unlock()
	switch {
	case unwanted(number):
		w.WriteHeader(http.StatusGone)
	case dice == 1 || dice == 2:
		w.WriteHeader(http.StatusInternalServerError)
	case dice == 3:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	case dice == 4:
		w.Header().Set("Location", f.canary.url)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case dice == 5:
		w.WriteHeader(http.StatusNotFound)
	case dice == 6 && f.hangs.Add(-1) >= 0:
		<-request.Context().Done()
	case dice < 10:
		reset(w) // it has arrived, and nobody is told
	case dice == 10:
		time.Sleep(time.Second)
	case dice == 11:
		_, _ = io.WriteString(w, strings.Repeat("whatever ", 10_000))
	}
}

func unwanted(number int) bool { return number%100 == 97 }

// take writes an arrival down.
func (r *receiver) take(t *testing.T, header http.Header, body []byte, at time.Time, dice int) {
	if err := verifyWebhook(r.member.secret, header, body, at); err != nil {
		t.Errorf("delivered to %d: %v", r.n, err)
	}
	var in delivered
	err := json.Unmarshal(body, &in)
	number, notANumber := strconv.Atoi(in.Content)
	if err != nil || notANumber != nil || in.NetworkID != r.room.id || in.MessageID != header.Get("webhook-id") || in.Channel != "message" {
		t.Errorf("delivered to %d as %q: %s", r.n, header.Get("webhook-id"), body)
	}
	r.arrivals = append(r.arrivals, arrival{at, number, in.MessageID, dice > 9 && !unwanted(number)})
}

// drain waits until nothing in the lobby is pending, as long as there is progress, and
// returns all that was said there.
func (f *flood) drain() map[string]networkMessage {
	rows := map[string]networkMessage{}
	done, before, since := 0, -1, time.Now() // the first ones that have ended; pending at the last look, and since when
	for {
		list := f.lobby.messagesFrom(f.t, done)
		pending := map[string]int{} // by recipient
		n := 0
		for _, m := range list {
			rows[m.ID] = m
			if m.Status == "pending" {
				pending[m.Recipient]++
				n++
			} else if n == 0 {
				done++
			}
		}
		if n == 0 {
			break
		}
		if n != before {
			before, since = n, time.Now()
		}
		// Longer than a lease, which the last kill left behind, and than an attempt that hangs.
		if time.Since(since) > 50*time.Second {
			f.t.Fatalf("%d messages of %d recipients are pending, and nothing happens: %v", n, len(pending), pending)
		}
		time.Sleep(time.Second)
	}
	for _, dead := range f.lobby.deadLetters(f.t) {
		if row := rows[dead.ID]; row.Status != "failed" {
			f.t.Errorf("message %s is a dead letter, and %q", dead.ID, row.Status)
		}
		rows[dead.ID] = dead
	}
	for id, m := range rows {
		if m.Status == "failed" && m.LastError == "" {
			f.t.Errorf("message %s failed, and is no dead letter", id)
		}
	}
	return rows
}

// judge looks at what became of every message of every receiver.
func (f *flood) judge(rows map[string]networkMessage) {
	expect(f.t, 404, "GET", f.doomed.at("/messages"), "", f.doomed.owner.bearer()...)
	arrived, again, late, dead := 0, 0, 0, 0
	for _, r := range f.receivers {
		r.mu.Lock()
		firsts := r.judgeArrivals(f.t, rows)
		arrived += len(firsts)
		again += len(r.arrivals) - len(firsts)
		late += r.judgeEnd(f.t)
		if r.room == f.lobby {
			dead += r.judgeSent(f.t, rows, firsts)
		}
		r.mu.Unlock()
	}
	f.t.Logf("%d messages arrived, and %d attempts more; %d attempts were under way when their receiver was removed; %d dead letters", arrived, again, late, dead)
	if dead < floodMessages/200 {
		f.t.Errorf("%d dead letters: those that are not wanted are more", dead)
	}
}

// seen is what a receiver knows of a number.
type seen struct {
	id string
	ok bool
}

// judgeArrivals checks ids and order.
func (r *receiver) judgeArrivals(t *testing.T, rows map[string]networkMessage) map[int]*seen {
	firsts, last := map[int]*seen{}, -1
	for _, a := range r.arrivals {
		first := firsts[a.number]
		if first == nil {
			if before := firsts[last]; a.number < last || before != nil && !before.ok && rows[before.id].Status != "failed" && r.gone.IsZero() {
				t.Errorf("receiver %d got %d after %d, %+v", r.n, a.number, last, before)
			}
			first = &seen{id: a.id}
			firsts[a.number], last = first, a.number
		}
		first.ok = first.ok || a.ok
		if first.id != a.id {
			t.Errorf("receiver %d got %d as %s and as %s", r.n, a.number, first.id, a.id)
		}
		if a.number >= len(r.sent) || r.sent[a.number] != "" && r.sent[a.number] != a.id {
			t.Errorf("receiver %d got %d as %s, which is not what was sent", r.n, a.number, a.id)
		}
	}
	return firsts
}

// judgeEnd counts what came after the receiver was removed: at most the attempt that was
// under way.
func (r *receiver) judgeEnd(t *testing.T) (late int) {
	if r.gone.IsZero() {
		if r.leaving.Load() {
			t.Errorf("receiver %d was never removed", r.n)
		}
		return 0
	}
	for _, a := range r.arrivals {
		if after := a.at.Sub(r.gone); after > 0 {
			late++
			if late > 1 || after > 2*time.Second {
				t.Errorf("receiver %d got %d %v after it was removed, %d so far", r.n, a.number, after, late)
			}
		}
	}
	return late
}

// judgeSent checks that what was accepted has come to an end that is visible.
func (r *receiver) judgeSent(t *testing.T, rows map[string]networkMessage, firsts map[int]*seen) (dead int) {
	for number, id := range r.sent {
		first := firsts[number]
		if id == "" && first != nil {
			id = first.id
		}
		row, ok := rows[id]
		switch {
		case id == "": // not accepted, as far as anybody knows
		case !ok || row.Content != strconv.Itoa(number) || row.Recipient != r.member.id:
			t.Errorf("receiver %d: message %d, accepted as %s, is listed as %+v", r.n, number, id, row)
		case row.Status == "delivered" && (first == nil || !first.ok):
			t.Errorf("receiver %d: message %d is delivered, but it has not taken it", r.n, number)
		case row.Status == "failed" && r.gone.IsZero() && (!unwanted(number) || row.LastStatus == nil || *row.LastStatus != 410):
			if row.Attempts < 8 {
				t.Errorf("receiver %d: message %d is given up: %+v", r.n, number, row)
			}
		case row.Status != "delivered" && row.Status != "failed":
			t.Errorf("receiver %d: message %d is %s", r.n, number, row.Status)
		}
		if row.Status == "failed" {
			dead++
		}
	}
	return dead
}
