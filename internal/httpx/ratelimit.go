package httpx

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Window is the length of a rate-limit window. Windows are aligned to the Unix
// epoch, so all nodes agree where one ends.
const Window = 60 * time.Second

const (
	limiterShards = 64
	maxShardKeys  = 4096 // beyond it, new keys of a shard share one counter
	syncEvery     = 250 * time.Millisecond
	overflowKey   = "overflow"
)

// LimitStore shares counts between nodes. Add adds this node's new counts of the
// window that starts at start (Unix seconds) and returns the totals of all nodes.
type LimitStore interface {
	AddRates(ctx context.Context, start int64, counts map[string]int64) (map[string]int64, error)
}

// Limiter counts requests in fixed windows. Taking a count is one map access under
// a shard's lock, so a limit is exact on one node. With a store, Run exchanges counts
// four times a second: a node tells what is new and learns the total of those keys, so
// each further node may let one request too many pass, and what fits in that delay.
type Limiter struct {
	limit  int64
	seed   maphash.Seed
	shards [limiterShards]limiterShard
}

type limiterShard struct {
	mu     sync.Mutex
	window int64 // Unix seconds of its start
	counts map[string]*limiterCount
}

type limiterCount struct {
	local   int64 // counted here
	told    int64 // of which the store knows
	foreign int64 // counted by other nodes, as of the last exchange
}

// NewLimiter allows limit requests per key and window. It returns nil, which means
// no limit, for 0.
func NewLimiter(limit int) *Limiter {
	if limit == 0 {
		return nil
	}
	return &Limiter{limit: int64(limit), seed: maphash.MakeSeed()}
}

// Verdict is the outcome of Take.
type Verdict struct {
	Allowed   bool
	Limit     int64
	Remaining int64
	Reset     time.Time // end of the window
}

func (v Verdict) header(h http.Header) {
	h["X-Ratelimit-Limit"] = []string{strconv.FormatInt(v.Limit, 10)}
	h["X-Ratelimit-Remaining"] = []string{strconv.FormatInt(v.Remaining, 10)}
	h["X-Ratelimit-Reset"] = []string{strconv.FormatInt(v.Reset.Unix(), 10)}
}

// Take counts one request of key.
func (l *Limiter) Take(key string, now time.Time) Verdict {
	start := windowStart(now)
	shard := &l.shards[maphash.String(l.seed, key)%limiterShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	count := shard.at(start, key)
	v := Verdict{Limit: l.limit, Reset: time.Unix(start, 0).Add(Window)}
	if used := count.local + count.foreign; used < l.limit {
		count.local++
		v.Allowed, v.Remaining = true, l.limit-used-1
	}
	return v
}

func windowStart(now time.Time) int64 {
	seconds := int64(Window / time.Second)
	return now.Unix() / seconds * seconds
}

// at returns the counter of key in the window. The caller holds the lock.
func (s *limiterShard) at(start int64, key string) *limiterCount {
	if s.window != start || s.counts == nil {
		s.window, s.counts = start, map[string]*limiterCount{}
	}
	count := s.counts[key]
	if count == nil {
		if len(s.counts) >= maxShardKeys {
			key = overflowKey
			if count = s.counts[key]; count != nil {
				return count
			}
		}
		count = &limiterCount{}
		s.counts[key] = count
	}
	return count
}

// Run exchanges counts with the other nodes until ctx ends. While the store is
// down each node limits by what it counts itself.
func (l *Limiter) Run(ctx context.Context, store LimitStore, log *slog.Logger) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	down := false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			err := l.exchange(ctx, store, windowStart(now))
			if err != nil && !down && ctx.Err() == nil {
				log.Error("rate limits are not shared with other nodes for now", "error", err)
			}
			down = err != nil
		}
	}
}

func (l *Limiter) exchange(ctx context.Context, store LimitStore, start int64) error {
	fresh := map[string]int64{}
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		if s.window == start {
			for key, count := range s.counts {
				if count.local > count.told && key != overflowKey { // each node's and each limiter's own
					fresh[key] = count.local - count.told
				}
			}
		}
		s.mu.Unlock()
	}
	if len(fresh) == 0 {
		return nil
	}
	totals, err := store.AddRates(ctx, start, fresh)
	if err != nil {
		return err
	}
	for key, total := range totals {
		s := &l.shards[maphash.String(l.seed, key)%limiterShards]
		s.mu.Lock()
		if s.window == start {
			count := s.at(start, key)
			count.told += fresh[key]
			count.foreign = max(0, total-count.told)
		}
		s.mu.Unlock()
	}
	return nil
}
