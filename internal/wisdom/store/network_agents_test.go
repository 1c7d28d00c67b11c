package store

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// agent makes an agent of other.
func (b networkBench) agent(t testing.TB) id.Agent {
	t.Helper()
	return brokerBench{Store: b.Store, at: b.clock.Now()}.add(t, b.other).ID
}

// linked makes a participant of n that is linked to an agent.
func (b networkBench) linked(t testing.TB, n network.Network, agent id.Agent, callback *string) network.Participant {
	t.Helper()
	p := b.participant(n, "linked")
	p.Agent, p.CallbackURL, p.Polling = agent, callback, false
	p, err := b.Join(t.Context(), p, anybody)
	must(t, err)
	return p
}

func TestADeletedAgentLeavesItsParticipantsPolling(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newNetworkBench(t, open())
		agent, another := b.agent(t), b.agent(t)
		n, elsewhere := b.network(t, b.owner), b.network(t, b.other)
		bare, called := b.linked(t, n, agent, nil), b.linked(t, elsewhere, agent, ptr("https://a.example/cb"))
		gone := b.set(t, b.linked(t, b.network(t, b.owner), agent, nil), network.Removed)
		stays := b.linked(t, n, another, nil)

		if err := b.DeleteAgent(t.Context(), b.owner, agent, b.clock.Now()); !fault.Is(err, fault.NotFound) {
			t.Errorf("somebody else deletes it: got %v, want missing", err)
		}
		at := b.later(time.Minute)
		must(t, b.DeleteAgent(t.Context(), b.other, agent, at))
		for _, want := range []struct {
			network.Participant
			agent   id.Agent
			polling bool
		}{{bare, "", true}, {called, "", false}, {gone, "", true}, {stays, another, false}} {
			got, err := b.Participant(t.Context(), want.Owner, want.Network, want.ID)
			must(t, err)
			if got.Agent != want.agent || got.Polling != want.polling || want.agent == "" && !got.Updated.Equal(at) {
				t.Errorf("got agent %q, polling %v, updated %v, want %q, %v, %v", got.Agent, got.Polling, got.Updated, want.agent, want.polling, at)
			}
		}
		late := b.participant(n, "late")
		late.Agent = agent
		if _, err := b.Join(t.Context(), late, anybody); fault.As(err) == nil || fault.As(err).Detail != fault.Missing("Agent").Detail {
			t.Errorf("joined with an agent that is gone: got %v, want that the agent is missing", err)
		}
	})
}

func TestNobodyIsLinkedToAnAgentThatIsDeletedMeanwhile(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		both := nodes(t, open())
		b := both[0]
		agents, n := make([]id.Agent, 20), b.network(t, b.owner)
		for i := range agents {
			agents[i] = b.agent(t)
		}
		var in atomic.Int64
		parallel(2*len(agents), func(i int) {
			agent := agents[i/2]
			if i%2 == 0 {
				must(t, both[1].DeleteAgent(t.Context(), b.other, agent, b.clock.Now()))
				return
			}
			p := b.participant(n, fmt.Sprint(i))
			p.Agent, p.Polling = agent, false
			if _, err := b.Join(t.Context(), p, anybody); err == nil {
				in.Add(1)
			} else if !fault.Is(err, fault.NotFound) {
				t.Error(err)
			}
		})
		joined := b.number(t, "SELECT COUNT(*) FROM participants")
		if got := b.number(t, "SELECT COUNT(*) FROM participants WHERE agent_id IS NULL AND polling"); joined != in.Load() || got != joined {
			t.Errorf("%d joined, %d are stored, %d of them poll: want all", in.Load(), joined, got)
		}
	})
}

func TestTheParticipantsOfAnAgentAreFoundByTheirIndex(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newNetworkBench(t, open())
		text := testkit.Queries(t, "query")["UnlinkAgent"]
		if b.db.Dialect().Shared() {
			b.exec(t, "INSERT INTO networks (id, owner_id, name, topology, status, revision, last_seq, last_position, created_us, updated_us) "+
				"SELECT 'n', $1, 'n', 'mesh', 'active', 1, 0, 0, 0, 0", string(b.owner))
			b.exec(t, "INSERT INTO participants (id, network_id, owner_id, agent_id, kind, name, polling, status, position, secret, secret_key, created_us, updated_us) "+
				"SELECT 'p' || i, 'n', '', CASE WHEN i % 2 = 0 THEN 'a' || i END, 'agent', 'p', FALSE, 'active', i, '', 'k', 0, 0 FROM generate_series(1, 5000) AS i")
			b.exec(t, "ANALYZE participants")
		}
		if got := explain(t, b.Store, text, []any{1, "a"}); !strings.Contains(got, "participants_by_agent") {
			t.Errorf("got\n%s", got)
		}
	})
}
