package store

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// networkBench is a database with two owners of networks.
type networkBench struct {
	Networks
	owner, other id.User
	clock        *testkit.Clock
}

func newNetworkBench(t testing.TB, url string) networkBench {
	t.Helper()
	clock := testkit.NewClock(time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC))
	b := networkBench{Networks: Networks{newStore(t, url, clock.Now, nil)}, clock: clock}
	users := brokerBench{Store: b.Store, at: clock.Now()}
	b.owner, b.other = users.user(t), users.user(t)
	return b
}

// later moves the clock and tells the time.
func (b networkBench) later(d time.Duration) time.Time {
	b.clock.Add(d)
	return b.clock.Now()
}

// network makes a network of owner.
func (b networkBench) network(t testing.TB, owner id.User) network.Network {
	t.Helper()
	now := b.later(time.Millisecond)
	n := network.Network{ID: id.New[id.Network](), Owner: owner, Name: "n", Topology: network.Mesh, Status: network.Active, Revision: 1, Created: now, Updated: now}
	must(t, b.CreateNetwork(t.Context(), n))
	return n
}

func (b networkBench) participant(n network.Network, name string) network.Participant {
	return network.Participant{ID: id.New[id.Participant](), Network: n.ID, Owner: n.Owner, Kind: "agent", Name: name, Polling: true, Status: network.Active,
		Secret: network.Secrets{Sealed: []byte("sealed " + name), KeyID: "key-1"}, Created: b.clock.Now(), Updated: b.clock.Now()}
}

func anybody(network.Network, int, bool) error { return nil }

// join makes a participant of n.
func (b networkBench) join(t testing.TB, n network.Network, name string) network.Participant {
	t.Helper()
	p, err := b.Join(t.Context(), b.participant(n, name), anybody)
	must(t, err)
	return p
}

// state is what is stored of a network.
func (b networkBench) state(t testing.TB, n network.Network) network.State {
	t.Helper()
	s, err := b.State(t.Context(), n.ID)
	must(t, err)
	return s
}

// number reads one number.
func (b networkBench) number(t testing.TB, text string, args ...any) int64 {
	t.Helper()
	var n sql.NullInt64
	must(t, b.db.Read().QueryRowContext(t.Context(), text, args...).Scan(&n))
	return n.Int64
}

func (b networkBench) exec(t testing.TB, text string, args ...any) {
	t.Helper()
	_, err := b.db.Write().ExecContext(t.Context(), text, args...)
	must(t, err)
}

func TestANetworkIsKeptAsItIs(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newNetworkBench(t, open()), t.Context()
		n := network.Network{ID: id.New[id.Network](), Owner: b.owner, Name: "näme", Topology: network.Star, Metadata: []byte(`{"k": 1}`), Status: network.Active, Revision: 1,
			Created: b.clock.Now(), Updated: b.clock.Now()}
		must(t, b.CreateNetwork(ctx, n))
		if got := b.state(t, n); !reflect.DeepEqual(got, network.State{Network: n, Participants: []network.Participant{}}) {
			t.Errorf("got %+v, want %+v", got, n)
		}
		want := n
		want.Name, want.Topology, want.Metadata, want.Status, want.Revision, want.Updated = "other", network.Ring, nil, network.Paused, 2, b.later(time.Hour)
		got, err := b.EditNetwork(ctx, b.owner, n.ID, func(now network.Network) network.Network {
			now.Name, now.Topology, now.Metadata, now.Status, now.Updated = want.Name, want.Topology, want.Metadata, want.Status, want.Updated
			return now
		})
		if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(b.state(t, n).Network, want) {
			t.Errorf("edited: got %+v, %v, stored %+v, want %+v", got, err, b.state(t, n).Network, want)
		}
		if got, err = b.EditNetwork(ctx, b.owner, n.ID, func(now network.Network) network.Network { return now }); err != nil || got.Name != "other" {
			t.Errorf("an edit that changes nothing: got %+v, %v", got, err)
		}
	})
}

func TestNetworksAreListedByTheirOwnerNewestFirst(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newNetworkBench(t, open()), t.Context()
		var want []id.Network
		for i := range 6 {
			b.network(t, b.other)
			n := b.network(t, b.owner)
			if i == 3 {
				must(t, b.DeleteNetwork(ctx, b.owner, n.ID, b.clock.Now()))
				continue
			}
			want = append([]id.Network{n.ID}, want...)
		}
		for offset := range 6 {
			got, err := b.Networks.Networks(ctx, b.owner, 2, offset)
			must(t, err)
			var ids []id.Network
			for _, n := range got {
				ids = append(ids, n.ID)
			}
			if !reflect.DeepEqual(ids, append([]id.Network(nil), want[min(offset, 5):min(offset+2, 5)]...)) {
				t.Errorf("offset %d: got %v of %v", offset, ids, want)
			}
		}
	})
}

func TestWhatIsForeignDeletedOrUnknownIsMissing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newNetworkBench(t, open()), t.Context()
		mine, deleted, foreign := b.network(t, b.owner), b.network(t, b.owner), b.network(t, b.other)
		people, words := map[id.Network]network.Participant{}, map[id.Network]id.NetworkMessage{}
		for _, n := range []network.Network{mine, deleted, foreign} {
			people[n.ID] = b.join(t, n, "p")
			words[n.ID] = b.say(t, n, said{from: people[n.ID].ID, to: people[n.ID].ID, status: network.Failed, dead: true})
		}
		must(t, b.DeleteNetwork(ctx, b.owner, deleted.ID, b.clock.Now()))
		for _, tt := range []struct {
			name   string
			n      id.Network
			p      id.Participant
			m      id.NetworkMessage
			states int // 0: State finds it
		}{
			{"foreign", foreign.ID, people[foreign.ID].ID, words[foreign.ID], 0},
			{"deleted", deleted.ID, people[deleted.ID].ID, words[deleted.ID], 1},
			{"unknown", id.New[id.Network](), id.New[id.Participant](), id.New[id.NetworkMessage](), 1},
			{"the participant and the message of another network", mine.ID, people[foreign.ID].ID, words[foreign.ID], 2},
		} {
			edited := func(network.Network) network.Network { t.Error("it was edited"); return network.Network{} }
			if tt.states < 2 {
				_, err := b.EditNetwork(ctx, b.owner, tt.n, edited)
				wantMissing(t, tt.name+": edit", err)
				p := b.participant(network.Network{ID: tt.n, Owner: b.owner}, "x")
				_, err = b.Join(ctx, p, func(network.Network, int, bool) error { t.Error("somebody joins"); return nil })
				wantMissing(t, tt.name+": join", err)
				_, err = b.Acknowledge(ctx, b.owner, tt.n, []id.NetworkMessage{tt.m}, b.clock.Now())
				wantMissing(t, tt.name+": acknowledge", err)
				_, err = b.Acknowledge(ctx, b.owner, tt.n, nil, b.clock.Now())
				wantMissing(t, tt.name+": acknowledge nothing", err)
				_, err = b.Messages(ctx, b.owner, tt.n, network.MessageQuery{Limit: 10})
				wantMissing(t, tt.name+": messages", err)
				_, err = b.DeadLetters(ctx, b.owner, tt.n, 10, 0)
				wantMissing(t, tt.name+": dead letters", err)
				wantMissing(t, tt.name+": delete", b.DeleteNetwork(ctx, b.owner, tt.n, b.clock.Now()))
			}
			if _, err := b.State(ctx, tt.n); tt.states == 1 {
				wantMissing(t, tt.name+": state", err)
			}
			_, err := b.Participant(ctx, b.owner, tt.n, tt.p)
			wantMissing(t, tt.name+": participant", err)
			_, err = b.EditParticipant(ctx, b.owner, tt.n, tt.p, func(_ network.Network, p network.Participant, _ int, _ bool) (network.Participant, error) {
				t.Error(tt.name + ": somebody was edited")
				return p, nil
			})
			wantMissing(t, tt.name+": edit a participant", err)
			_, err = b.Inbox(ctx, b.owner, tt.p, "", 10)
			wantMissing(t, tt.name+": inbox", err)
			_, err = b.Message(ctx, b.owner, tt.n, tt.m)
			wantMissing(t, tt.name+": message", err)
			_, err = b.Replay(ctx, b.owner, tt.n, tt.m, b.clock.Now())
			wantMissing(t, tt.name+": replay", err)
			for _, q := range []network.MessageQuery{{Limit: 10, Before: tt.m}, {Limit: 10, After: tt.m}} {
				_, err = b.Messages(ctx, b.owner, tt.n, q)
				wantMissing(t, tt.name+": messages from there", err)
			}
		}
		list, err := b.Messages(ctx, b.owner, mine.ID, network.MessageQuery{Limit: 10, Participant: people[foreign.ID].ID})
		if err != nil || len(list) != 0 {
			t.Errorf("the messages of somebody of another network: got %v, %v", list, err)
		}
		if n, err := b.Acknowledge(ctx, b.owner, mine.ID, []id.NetworkMessage{words[foreign.ID]}, b.clock.Now()); n != 0 || err != nil {
			t.Errorf("a foreign message was acknowledged: %d, %v", n, err)
		}
		if got := b.number(t, "SELECT COUNT(*) FROM dead_letters"); got != 3 {
			t.Errorf("%d dead letters are left, want 3: somebody touched a foreign one", got)
		}
	})
}

func TestAParticipantIsKeptAsItIs(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newNetworkBench(t, open()), t.Context()
		n := b.network(t, b.owner)
		b.join(t, n, "first")
		p := b.participant(n, "ådå")
		p.Agent, p.CallbackURL, p.Polling, p.Capabilities = b.agent(t), ptr("https://a.example/cb"), false, []byte(`{"a":[]}`)
		p.Secret = network.Secrets{Sealed: []byte{0, 1, 255}, KeyID: "k", Old: []byte{9}, OldUntil: b.clock.Now().Add(time.Hour)}
		p, err := b.Join(ctx, p, anybody)
		must(t, err)
		if p.Position != 2 {
			t.Errorf("got position %d, want 2", p.Position)
		}
		same := func(what string, want network.Participant) {
			t.Helper()
			if got, err := b.Participant(ctx, b.owner, n.ID, p.ID); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, %v, want %+v", what, got, err, want)
			}
		}
		same("joined", p)
		if got := b.state(t, n).Participants; len(got) != 2 || !reflect.DeepEqual(got[1], p) {
			t.Errorf("its state: got %+v, want %+v", got, p)
		}
		want := p
		want.CallbackURL, want.Polling, want.Capabilities, want.Status, want.Secret, want.Updated = nil, true, nil, network.Disconnected,
			network.Secrets{Sealed: []byte{7}, KeyID: "l"}, b.later(time.Minute)
		before := b.state(t, n).Revision
		got, err := b.EditParticipant(ctx, b.owner, n.ID, p.ID, func(m network.Network, now network.Participant, active int, joined bool) (network.Participant, error) {
			if m.ID != n.ID || active != 1 || joined || !reflect.DeepEqual(now, p) {
				t.Errorf("got %+v with %d others, joined %v", now, active, joined)
			}
			return want, nil
		})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("edited: got %+v, %v", got, err)
		}
		same("edited", want)
		_, err = b.EditParticipant(ctx, b.owner, n.ID, p.ID, func(_ network.Network, now network.Participant, _ int, _ bool) (network.Participant, error) {
			return now, nil
		})
		must(t, err)
		same("an edit that changes nothing", want)
		if got := b.state(t, n).Revision; got != before+2 {
			t.Errorf("got revision %d after two edits, want %d", got, before+2)
		}
		refused := errors.New("no")
		_, err = b.EditParticipant(ctx, b.owner, n.ID, p.ID, func(network.Network, network.Participant, int, bool) (network.Participant, error) { return p, refused })
		if !errors.Is(err, refused) {
			t.Errorf("got %v, want what edit returned", err)
		}
		_, err = b.Join(ctx, b.participant(n, "x"), func(network.Network, int, bool) error { return refused })
		if !errors.Is(err, refused) {
			t.Errorf("got %v, want what admit returned", err)
		}
		same("a refused edit", want)
		if got := b.state(t, n); got.Revision != before+2 || len(got.Participants) != 2 {
			t.Errorf("what was refused was written: %+v", got)
		}
		want.Status = network.Removed
		_, err = b.EditParticipant(ctx, b.owner, n.ID, p.ID, func(network.Network, network.Participant, int, bool) (network.Participant, error) { return want, nil })
		must(t, err)
		same("removed", want)
		if got := b.state(t, n).Participants; len(got) != 1 || got[0].Name != "first" {
			t.Errorf("who was removed is there: %+v", got)
		}
	})
}

// nodes are two processes at one database.
func nodes(t *testing.T, url string) []networkBench {
	t.Helper()
	b := newNetworkBench(t, url)
	second := b
	second.Networks = Networks{newStore(t, url, b.clock.Now, nil)}
	return []networkBench{b, second}
}

var errFull = errors.New("full")

func atMostTen(_ network.Network, active int, joined bool) error {
	if joined || active >= 10 {
		return errFull
	}
	return nil
}

func TestTheLimitHoldsUnderFiftyJoinsAtOnce(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		both := nodes(t, open())
		b := both[0]
		n := b.network(t, b.owner)
		var away []network.Participant // who come back while others join
		for i := range 5 {
			p := b.join(t, n, fmt.Sprint("away", i))
			away = append(away, b.set(t, p, network.Disconnected))
		}
		var in, out atomic.Int64
		parallel(55, func(i int) {
			var err error
			if node := both[i%2]; i < 50 {
				_, err = node.Join(t.Context(), b.participant(n, fmt.Sprint(i)), atMostTen)
			} else {
				_, err = node.EditParticipant(t.Context(), b.owner, n.ID, away[i-50].ID, func(n network.Network, p network.Participant, active int, joined bool) (network.Participant, error) {
					p.Status = network.Active
					return p, atMostTen(n, active, joined)
				})
			}
			switch {
			case err == nil:
				in.Add(1)
			case errors.Is(err, errFull):
				out.Add(1)
			default:
				t.Error(err)
			}
		})
		if in.Load() != 10 || out.Load() != 45 {
			t.Errorf("%d came in and %d were refused, want 10 and 45", in.Load(), out.Load())
		}
		s := b.state(t, n)
		if got := b.number(t, "SELECT COUNT(*) FROM participants WHERE status = 'active'"); got != 10 || s.Revision != 1+5+5+10 {
			t.Errorf("%d are active at revision %d, want 10 at 21", got, s.Revision)
		}
		for i, p := range s.Participants {
			if i > 0 && p.Position <= s.Participants[i-1].Position {
				t.Errorf("not in the order in which they joined: %d after %d", p.Position, s.Participants[i-1].Position)
			}
		}
	})
}

func TestAnAgentJoinsOnceUnderFiftyJoinsAtOnce(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		both := nodes(t, open())
		b := both[0]
		agent := b.agent(t)
		n, elsewhere := b.network(t, b.owner), b.network(t, b.owner)
		var in atomic.Int64
		parallel(50, func(i int) {
			p := b.participant(n, fmt.Sprint(i))
			p.Agent = agent
			_, err := both[i%2].Join(t.Context(), p, func(_ network.Network, _ int, joined bool) error {
				if joined {
					return errFull
				}
				return nil
			})
			if err == nil {
				in.Add(1)
			} else if !errors.Is(err, errFull) {
				t.Error(err)
			}
		})
		if got := b.number(t, "SELECT COUNT(*) FROM participants"); in.Load() != 1 || got != 1 {
			t.Errorf("it joined %d times, %d are stored, want once", in.Load(), got)
		}
		again := b.participant(n, "again")
		again.Agent = agent
		if _, err := b.Join(t.Context(), again, anybody); err == nil {
			t.Error("the database lets an agent join twice")
		}
		first := b.state(t, n).Participants[0]
		b.set(t, first, network.Removed)
		_, err := b.Join(t.Context(), again, atMostTen)
		must(t, err)
		again = b.participant(elsewhere, "elsewhere")
		again.Agent = agent
		_, err = b.Join(t.Context(), again, atMostTen)
		must(t, err)
		_, err = b.EditParticipant(t.Context(), b.owner, n.ID, first.ID, func(_ network.Network, p network.Participant, active int, joined bool) (network.Participant, error) {
			if active != 1 || !joined {
				t.Errorf("got %d others, joined %v, want one that has the same agent", active, joined)
			}
			return p, nil
		})
		must(t, err)
	})
}

// set changes the status of a participant.
func (b networkBench) set(t testing.TB, p network.Participant, status string) network.Participant {
	t.Helper()
	p, err := b.EditParticipant(t.Context(), p.Owner, p.Network, p.ID, func(_ network.Network, p network.Participant, _ int, _ bool) (network.Participant, error) {
		p.Status = status
		return p, nil
	})
	must(t, err)
	return p
}

func TestConcurrentEditsLoseNothing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		both := nodes(t, open())
		b := both[0]
		n := b.network(t, b.owner)
		p := b.join(t, n, "p")
		parallel(60, func(i int) {
			var err error
			if node := both[i%2]; i%3 == 0 {
				_, err = node.EditNetwork(t.Context(), b.owner, n.ID, func(n network.Network) network.Network { n.Name += "x"; return n })
			} else {
				_, err = node.EditParticipant(t.Context(), b.owner, n.ID, p.ID, func(_ network.Network, p network.Participant, _ int, _ bool) (network.Participant, error) {
					p.CallbackURL = ptr(text(p.CallbackURL) + "y")
					return p, nil
				})
			}
			if err != nil {
				t.Error(err)
			}
		})
		s := b.state(t, n)
		if got := s.Participants[0].CallbackURL; len(s.Name) != 1+20 || got == nil || len(*got) != 40 || s.Revision != 62 {
			t.Errorf("got name %q, callback %v, revision %d", s.Name, got, s.Revision)
		}
	})
}

// While participants join, each reading sees exactly those of its revision.
func TestAStateIsOfOneMoment(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		both := nodes(t, open())
		b := both[0]
		n := b.network(t, b.owner)
		var joined atomic.Bool
		parallel(4, func(i int) {
			if i == 0 {
				for k := range 40 {
					b.join(t, n, fmt.Sprint(k))
				}
				joined.Store(true)
				return
			}
			for !joined.Load() {
				s, err := both[i%2].State(t.Context(), n.ID)
				if err != nil || int64(len(s.Participants)) != s.Revision-1 {
					t.Errorf("revision %d has %d participants, %v", s.Revision, len(s.Participants), err)
					return
				}
			}
		})
	})
}

const never = math.MaxInt64

// lane is what is stored of a lane.
type storedLane struct {
	revision, due int64
	claim         string
	failing       bool
}

func (b networkBench) lane(t testing.TB, p id.Participant) storedLane {
	t.Helper()
	var l storedLane
	must(t, b.db.Read().QueryRowContext(t.Context(), "SELECT revision, due_us, claim, failing FROM delivery_lanes WHERE recipient_id = $1", string(p)).
		Scan(&l.revision, &l.due, &l.claim, &l.failing))
	return l
}

func (b networkBench) putLane(t testing.TB, p network.Participant, l storedLane) {
	t.Helper()
	b.exec(t, "INSERT INTO delivery_lanes (recipient_id, network_id, owner_id, revision, due_us, claim, failing) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		string(p.ID), string(p.Network), string(p.Owner), l.revision, l.due, l.claim, l.failing)
}

func TestAnEditHasTheQueueLookAtOnce(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newNetworkBench(t, open())
		n, m := b.network(t, b.owner), b.network(t, b.owner)
		now := clock.Micros(b.clock.Now())
		lanes := []struct {
			name  string
			in    network.Network
			jobs  int
			lane  storedLane
			woken storedLane
		}{
			{"parked", n, 2, storedLane{3, never, "", false}, storedLane{4, now, "", false}},
			{"waiting", n, 1, storedLane{3, now + 300e6, "", true}, storedLane{4, now, "", true}},
			{"claimed", n, 1, storedLane{3, now + 15e6, "w", false}, storedLane{4, now + 15e6, "w", false}},
			{"due", n, 1, storedLane{3, now - 1, "", false}, storedLane{4, now - 1, "", false}},
			{"empty", n, 0, storedLane{3, never, "", false}, storedLane{3, never, "", false}},
			{"of another network", m, 1, storedLane{3, never, "", false}, storedLane{3, never, "", false}},
		}
		for _, edited := range []string{"the network", "a participant"} {
			people := make([]network.Participant, len(lanes))
			for i, l := range lanes {
				people[i] = b.join(t, l.in, l.name)
				b.putLane(t, people[i], l.lane)
				for range l.jobs {
					b.say(t, l.in, said{from: people[i].ID, to: people[i].ID, queued: true})
				}
			}
			b.clock.Add(clock.FromMicros(now).Sub(b.clock.Now()))
			if edited == "the network" {
				_, err := b.EditNetwork(t.Context(), b.owner, n.ID, func(n network.Network) network.Network { return n })
				must(t, err)
			} else {
				for i := range 3 {
					b.set(t, people[i], network.Disconnected)
				}
			}
			for i, l := range lanes {
				want := l.woken
				if edited != "the network" && i >= 3 {
					want = l.lane
				}
				if got := b.lane(t, people[i].ID); got != want {
					t.Errorf("edit of %s, lane that is %s: got %+v, want %+v", edited, l.name, got, want)
				}
			}
		}
	})
}

func TestSecretsAreSealedAnew(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newNetworkBench(t, open()), t.Context()
		n := b.network(t, b.owner)
		want := map[id.Participant]network.Secrets{}
		for i := range 20 {
			p := b.participant(n, fmt.Sprint(i))
			p.Secret.KeyID = []string{"a", "current", "z"}[i%3]
			if i%2 == 0 {
				p.Secret.Old, p.Secret.OldUntil = []byte("old"), b.clock.Now()
			}
			_, err := b.Join(ctx, p, anybody)
			must(t, err)
			if p.Secret.KeyID != "current" {
				want[p.ID] = p.Secret
			}
		}
		var last id.Participant
		for seen := 0; ; {
			list, err := b.OtherwiseSealed(ctx, "current", last, 4)
			must(t, err)
			if seen += len(list); len(list) == 0 {
				if seen != len(want) {
					t.Errorf("got %d, want %d", seen, len(want))
				}
				break
			}
			for _, p := range list {
				if p.ID <= last || !reflect.DeepEqual(p.Secret, want[p.ID]) {
					t.Errorf("got %+v after %s, want %+v", p, last, want[p.ID])
				}
				last = p.ID
				after := network.Secrets{Sealed: []byte("anew" + p.Name), KeyID: "current"}
				if p.Secret.Old != nil {
					after.Old, after.OldUntil = []byte("old anew"), p.Secret.OldUntil
				}
				other := p.Secret
				other.Sealed = []byte("rotated meanwhile")
				if done, err := b.Reseal(ctx, p.ID, other, after); done || err != nil {
					t.Errorf("what was rotated meanwhile: got %v, %v", done, err)
				}
				if other = p.Secret; other.Old == nil {
					other.Old = []byte("old")
				} else {
					other.Old = nil
				}
				if done, err := b.Reseal(ctx, p.ID, other, after); done || err != nil {
					t.Errorf("with another old secret: got %v, %v", done, err)
				}
				if done, err := b.Reseal(ctx, p.ID, p.Secret, after); !done || err != nil {
					t.Errorf("got %v, %v, want it sealed anew", done, err)
				}
				if got, err := b.Participant(ctx, b.owner, n.ID, p.ID); err != nil || !reflect.DeepEqual(got.Secret, after) {
					t.Errorf("got %+v, %v, want %+v", got.Secret, err, after)
				}
			}
		}
		if list, err := b.OtherwiseSealed(ctx, "current", "", 4); err != nil || len(list) != 0 {
			t.Errorf("%d are left, %v", len(list), err)
		}
		b.exec(t, "ANALYZE")
		plan := explain(t, b.Store, testkit.Queries(t, "query")["OtherwiseSealedParticipants"], []any{4, "current", ""})
		if !b.db.Dialect().Shared() && strings.Count(plan, "participants_by_key") != 2 {
			t.Errorf("secrets of the right key are read:\n%s", plan)
		}
	})
}
