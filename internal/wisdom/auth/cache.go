package auth

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

const (
	// entryLife is how long an answer of the database is believed, from before it was
	// asked. It is what makes a change on another node count within a second.
	entryLife = 900 * time.Millisecond

	cachedPrincipals = 16384 // credentials that may act
	cachedRefusals   = 2048  // and that may not; apart, so that a flood of them evicts nobody
)

// What a cache key is the digest of.
const (
	kindToken  = 't'
	kindAPIKey = 'k'
	kindUser   = 'u'
)

type cacheKey struct {
	kind byte
	sum  [32]byte
}

// entry is what the database said about a credential. It is not changed once it is
// in the cache, except for noted.
type entry struct {
	who   principal.Principal // Anonymous: the credential is worth nothing
	owner id.User             // whose change makes the entry stale; "" if nobody's
	ends  time.Time           // of the credential; zero: never
	used  time.Time           // of an API key: the last use on record; zero: none

	started time.Time   // before the database was asked
	seq     uint64      // cache.seq at that time
	noted   atomic.Bool // of an API key: a use was handed to the worker
}

// principal returns who may act now.
func (e *entry) principal(now time.Time) principal.Principal {
	if !e.ends.IsZero() && !now.Before(e.ends) {
		return principal.Principal{}
	}
	return e.who
}

// cache remembers entries for entryLife. Many requests with one unknown credential
// ask once.
type cache struct {
	now      clock.Now
	accepted *otter.Cache[cacheKey, *entry]
	refused  *otter.Cache[cacheKey, *entry]
	flights  singleflight.Group

	// Changes made by this process: an entry is stale if its owner was changed at a
	// later seq. So a query that was on its way during the change is stale too.
	seq   atomic.Uint64
	mu    sync.RWMutex
	drops map[id.User]dropped // of the last entryLife
}

type dropped struct {
	seq uint64
	at  time.Time
}

func newCache(now clock.Now) *cache {
	bounded := func(size int) *otter.Cache[cacheKey, *entry] {
		return otter.Must(&otter.Options[cacheKey, *entry]{MaximumSize: size})
	}
	return &cache{
		now: now, accepted: bounded(cachedPrincipals), refused: bounded(cachedRefusals),
		drops: map[id.User]dropped{},
	}
}

// fresh returns an entry that may still be believed, or nil.
func (c *cache) fresh(k cacheKey) *entry {
	e, ok := c.accepted.GetIfPresent(k)
	if !ok {
		if e, ok = c.refused.GetIfPresent(k); !ok {
			return nil
		}
	}
	if age := c.now().Sub(e.started); age < 0 || age >= entryLife || c.stale(e) {
		return nil
	}
	return e
}

func (c *cache) stale(e *entry) bool {
	if e.seq == c.seq.Load() {
		return false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.drops[e.owner].seq > e.seq
}

// drop makes every entry of the user stale, those being loaded included.
func (c *cache) drop(user id.User) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for u, d := range c.drops {
		if age := now.Sub(d.at); age >= entryLife {
			delete(c.drops, u) // entries from before are too old anyway
		}
	}
	c.drops[user] = dropped{seq: c.seq.Add(1), at: now}
}

// get returns a fresh entry, from load if there is none. Concurrent calls share one
// load, which a caller that leaves does not cancel. What load fails with is not
// remembered.
func (c *cache) get(ctx context.Context, k cacheKey, load func(context.Context) (*entry, error)) (*entry, error) {
	if e := c.fresh(k); e != nil {
		return e, nil
	}
	// The number is part of the name, so that nobody who comes after a change
	// joins a query from before it.
	seq := c.seq.Load()
	name := string(k.kind) + string(k.sum[:]) + strconv.FormatUint(seq, 10)
	flight := c.flights.DoChan(name, func() (any, error) {
		if e := c.fresh(k); e != nil { // loaded by a flight that has just landed
			return e, nil
		}
		ctx, cancel := detached(ctx)
		defer cancel()
		return c.load(ctx, k, seq, load)
	})
	select {
	case r := <-flight:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*entry), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for credential look-up: %w", ctx.Err())
	}
}

func (c *cache) load(ctx context.Context, k cacheKey, seq uint64, load func(context.Context) (*entry, error)) (e *entry, err error) {
	defer func() { // this goroutine is nobody's request: a panic here would end the process
		if r := recover(); r != nil {
			e, err = nil, fmt.Errorf("credential look-up panicked: %v", r)
		}
	}()
	started := c.now()
	if e, err = load(ctx); err != nil {
		return nil, err
	}
	e.started, e.seq = started, seq
	if e.who.Via == principal.Anonymous {
		c.accepted.Invalidate(k)
		c.refused.Set(k, e)
	} else {
		c.accepted.Set(k, e)
	}
	return e, nil
}
