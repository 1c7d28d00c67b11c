package store

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// leftovers counts what is stored of a network, table by table.
func (b networkBench) leftovers(t testing.TB, n network.Network) string {
	t.Helper()
	var list []int64
	for _, table := range []string{"networks WHERE id", "participants WHERE network_id", "network_messages WHERE network_id", "deliveries WHERE network_id",
		"delivery_lanes WHERE network_id", "dead_letters WHERE network_id"} {
		list = append(list, b.number(t, "SELECT COUNT(*) FROM "+table+" = $1", string(n.ID)))
	}
	return fmt.Sprint(list)
}

// much is a network with some of everything.
func (b networkBench) much(t *testing.T, owner id.User) network.Network {
	t.Helper()
	n := b.network(t, owner)
	ann, bob := b.join(t, n, "ann"), b.join(t, n, "bob")
	b.set(t, b.join(t, n, "eve"), network.Removed)
	b.putLane(t, ann, storedLane{1, never, "", false})
	b.putLane(t, bob, storedLane{1, 1, "w", true})
	all := make([]said, 1100)
	for i := range all {
		all[i] = said{from: ann.ID, to: bob.ID, queued: i%100 == 0, dead: i%100 == 50}
	}
	b.sayAll(t, n, all)
	return n
}

func TestWhatADeletedNetworkLeavesIsRemovedPieceByPiece(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		both := nodes(t, open())
		b, ctx := both[0], t.Context()
		if more, err := b.Purge(ctx); more || err != nil {
			t.Errorf("nothing is deleted: got %v, %v", more, err)
		}
		kept, first, second := b.much(t, b.owner), b.much(t, b.owner), b.much(t, b.other)
		const full = "[1 3 1100 11 2 11]"
		must(t, b.DeleteNetwork(ctx, b.owner, first.ID, b.clock.Now()))
		if got := b.leftovers(t, first); got != full {
			t.Errorf("deleting removes at once: %s", got)
		}
		if more, err := b.Purge(ctx); !more || err != nil {
			t.Errorf("got %v, %v, want more", more, err)
		}
		// Of a thousand rows 2 are lanes, 11 deliveries, the rest messages.
		if got, want := b.leftovers(t, first), fmt.Sprint([]int{1, 3, 1100 - (1000 - 13), 0, 0, 11}); got != want {
			t.Errorf("after one piece: got %s, want %s", got, want)
		}
		must(t, b.DeleteNetwork(ctx, b.other, second.ID, b.clock.Now()))
		var calls atomic.Int64
		parallel(6, func(i int) {
			for {
				more, err := both[i%2].Purge(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if !more {
					return
				}
				calls.Add(1)
			}
		})
		for _, n := range []network.Network{first, second} {
			if got := b.leftovers(t, n); got != "[0 0 0 0 0 0]" {
				t.Errorf("left behind: %s", got)
			}
		}
		if got := b.leftovers(t, kept); got != full {
			t.Errorf("of a network that is still there: got %s, want %s", got, full)
		}
		if calls.Load() != 3 {
			t.Errorf("%d more pieces, want 3", calls.Load())
		}
		if more, err := b.Purge(ctx); more || err != nil {
			t.Errorf("at the end: got %v, %v", more, err)
		}
	})
}
