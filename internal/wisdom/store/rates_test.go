package store_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

func TestRatesOfParallelNodesAddUp(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		db, err := sqldb.Open(t.Context(), sqldb.Options{URL: open(), Migrations: store.Migrations(), Service: "wisdom"})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		s := store.New(db)
		counts := map[string]int64{} // more buckets than fit in one statement
		for i := range 450 {
			counts[fmt.Sprint("u:", i)] = int64(i + 1)
		}
		const window, nodes, rounds = 1_800_000_000, 4, 5
		var group sync.WaitGroup
		for range nodes {
			group.Go(func() {
				for range rounds {
					if _, err := s.AddRates(t.Context(), window, counts); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		totals, err := s.AddRates(t.Context(), window, counts)
		if err != nil {
			t.Fatal(err)
		}
		for bucket, n := range counts {
			if got, want := totals[bucket], n*(nodes*rounds+1); got != want {
				t.Fatalf("%s: %d, want %d", bucket, got, want)
			}
		}
		if next, err := s.AddRates(t.Context(), window+60, map[string]int64{"u:1": 1}); err != nil || next["u:1"] != 1 {
			t.Errorf("the next window starts with %v, %v, want 1", next, err)
		}
		if again, err := s.AddRates(t.Context(), window, map[string]int64{"u:1": 1}); err != nil || again["u:1"] != 1 {
			t.Errorf("the old window was not forgotten: %v, %v", again, err)
		}
	})
}
