package httpx

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParallelRequestsTakeExactlyTheLimit(t *testing.T) {
	l := NewLimiter(120)
	now := time.Unix(1_800_000_000, 0)
	var allowed atomic.Int64
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			for range 20 {
				if l.Take("u:ada", now).Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	group.Wait()
	if got := allowed.Load(); got != 120 {
		t.Errorf("%d of 1000 parallel requests were allowed, want 120", got)
	}
	if v := l.Take("u:bob", now); !v.Allowed || v.Remaining != 119 {
		t.Errorf("another user: %+v", v)
	}
}

func TestKeysBeyondTheBoundShareOneCounter(t *testing.T) {
	l := NewLimiter(5)
	now := time.Unix(1_800_000_000, 0)
	for i := range limiterShards * maxShardKeys * 2 {
		l.Take("p:"+time.Duration(i).String(), now)
	}
	for i := range l.shards {
		if n := len(l.shards[i].counts); n > maxShardKeys+1 {
			t.Fatalf("a shard holds %d keys, want at most %d", n, maxShardKeys+1)
		}
	}
}

// sharedCounts is a LimitStore in memory, which can be down.
type sharedCounts struct {
	mu     sync.Mutex
	totals map[string]int64
	down   bool
}

func (s *sharedCounts) AddRates(_ context.Context, _ int64, counts map[string]int64) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errors.New("down")
	}
	totals := map[string]int64{}
	for key, n := range counts {
		s.totals[key] += n
		totals[key] = s.totals[key]
	}
	return totals, nil
}

// A node learns what the others counted when it tells its own count, so each other
// node may let one request too many pass, but no more.
func TestNodesThatExchangeCountsLimitTogether(t *testing.T) {
	nodes := []*Limiter{NewLimiter(100), NewLimiter(100), NewLimiter(100)}
	store := &sharedCounts{totals: map[string]int64{}}
	now := time.Unix(1_800_000_000, 0)
	allowed := 0
	for i := range 300 {
		l := nodes[i%len(nodes)]
		if l.Take("u:ada", now).Allowed {
			allowed++
		}
		if err := l.exchange(t.Context(), store, windowStart(now)); err != nil {
			t.Fatal(err)
		}
	}
	if allowed < 100 || allowed >= 100+len(nodes) {
		t.Errorf("%d requests were allowed on three nodes, want 100 to 102", allowed)
	}
	if v := nodes[0].Take("u:ada", now.Add(Window)); !v.Allowed || v.Remaining != 99 {
		t.Errorf("the next window: %+v", v)
	}
	if v := nodes[0].Take("u:bob", now.Add(Window)); !v.Allowed || v.Remaining != 99 {
		t.Errorf("another user: %+v", v)
	}
}

func TestRequestsPassWhileTheSharedStoreIsDown(t *testing.T) {
	l := NewLimiter(3)
	store := &sharedCounts{totals: map[string]int64{}, down: true}
	now := time.Unix(1_800_000_000, 0)
	for i := range 5 {
		if got, want := l.Take("u:ada", now).Allowed, i < 3; got != want {
			t.Errorf("request %d: allowed = %v, want %v by the node's own count", i, got, want)
		}
		if err := l.exchange(t.Context(), store, windowStart(now)); err == nil && i < 3 {
			t.Error("the store is down and nobody is told")
		}
	}
	store.down = false
	if err := l.exchange(t.Context(), store, windowStart(now)); err != nil || store.totals["u:ada"] != 3 {
		t.Errorf("after the store is back: %v, %v, want 3 counts told", err, store.totals)
	}
}
