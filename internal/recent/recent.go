// Package recent remembers what was read for less than a second. That bound is what a
// change on another node is seen by; a change on this one drops everything at once.
//
// Not here: what may be seen by whom. An answer is remembered for all who ask for it.
package recent

import (
	"context"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/IntunoAI/intuno-go/internal/clock"
)

const (
	// life is how long an answer is believed, from before it was asked for.
	life = 900 * time.Millisecond
	// loadTime bounds a read that several may wait for: no one's leaving ends it.
	loadTime = 5 * time.Second
	// parts is how many groups of names are told apart by Forget.
	parts = 1024
)

// Cache remembers values by their name. It is safe for concurrent use; the values are
// shared and must not be changed.
type Cache[V any] struct {
	now     clock.Now
	kept    *otter.Cache[string, entry[V]]
	flights singleflight.Group
	all     atomic.Uint64        // of the last Drop
	part    [parts]atomic.Uint64 // of the last Forget in that group of names
	seed    maphash.Seed
}

type entry[V any] struct {
	value   V
	started time.Time // before it was read
	seq     uint64    // at that time
}

// New returns a Cache of at most size values.
func New[V any](now clock.Now, size int) *Cache[V] {
	return &Cache[V]{now: now, seed: maphash.MakeSeed(), kept: otter.Must(&otter.Options[string, entry[V]]{MaximumSize: size})}
}

// Drop makes every value stale, those that are being read included.
func (c *Cache[V]) Drop() { c.all.Add(1) }

// Forget makes the value of name stale, and those of about a thousandth of the others.
func (c *Cache[V]) Forget(name string) { c.group(name).Add(1) }

func (c *Cache[V]) group(name string) *atomic.Uint64 {
	return &c.part[maphash.String(c.seed, name)%parts]
}

// seq grows with every change of what name may be.
func (c *Cache[V]) seq(name string) uint64 { return c.all.Load() + c.group(name).Load() }

// Get returns the value of name, from load if none is fresh. Calls at the same time share
// one load; a caller whose ctx ends leaves alone. What load fails with is not remembered.
func (c *Cache[V]) Get(ctx context.Context, name string, load func(context.Context) (V, error)) (V, error) {
	if v, ok := c.fresh(name); ok {
		return v, nil
	}
	// The number is part of the flight's name, so that nobody who comes after a change
	// joins a read from before it.
	seq := c.seq(name)
	flight := c.flights.DoChan(strconv.FormatUint(seq, 10)+" "+name, func() (v any, err error) {
		defer func() { // this goroutine is nobody's request: a panic here would end the process
			if r := recover(); r != nil {
				err = fmt.Errorf("a shared read panicked: %v", r)
			}
		}()
		if v, ok := c.fresh(name); ok { // read by a flight that has just landed
			return v, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
		defer cancel()
		started := c.now()
		value, err := load(ctx)
		if err == nil && seq == c.seq(name) {
			c.kept.Set(name, entry[V]{value, started, seq})
		}
		return value, err
	})
	var none V
	select {
	case r := <-flight:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(V), nil
	case <-ctx.Done():
		return none, fmt.Errorf("wait for a shared read: %w", ctx.Err())
	}
}

func (c *Cache[V]) fresh(name string) (v V, ok bool) {
	e, ok := c.kept.GetIfPresent(name)
	if !ok || e.seq != c.seq(name) {
		return v, false
	}
	if age := c.now().Sub(e.started); age < 0 || age >= life {
		return v, false
	}
	return e.value, true
}
