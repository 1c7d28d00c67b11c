package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
)

const (
	followEvery = 250 * time.Millisecond // changes by other processes show within a second
	syncTime    = 2 * time.Second        // longest wait of a writer for its own change
	entryBatch  = 100                    // agents read in one query
	agedBatch   = 400                    // agents with calls too old to count, read in one poll
)

// Run follows changes and makes vectors until ctx ends. Trouble with the database or
// the model is logged and tried again.
func (c *Catalog) Run(ctx context.Context) error {
	c.running.Store(true)
	defer close(c.ended)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { c.follow(ctx); return nil })
	group.Go(func() error { c.embed(ctx); return nil })
	return group.Wait()
}

// Sync returns when the copy has everything that was committed before the call, at
// most 2 seconds later: then the change shows a little after its writer was told. It
// does not wait for a catalog that does not run. Whoever else remembers agents is told
// first.
func (c *Catalog) Sync(ctx context.Context) {
	if c.Changed != nil {
		c.Changed()
	}
	if !c.running.Load() {
		return
	}
	timer := time.NewTimer(syncTime)
	defer timer.Stop()
	done := make(chan struct{})
	select {
	case c.syncs <- done:
	case <-c.ended:
		return
	case <-ctx.Done():
		return
	case <-timer.C:
		return
	}
	select {
	case <-done:
	case <-c.ended:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// follow is the only writer of the current generation.
func (c *Catalog) follow(ctx context.Context) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	failing := false
	next := c.current.Load()    // or the one to come
	var waiting []chan struct{} // for a reading that works
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case next = <-c.next:
		case done := <-c.syncs:
			waiting = append(waiting, done)
			for more := true; more; { // those who wait by now are served by one reading
				select {
				case done := <-c.syncs:
					waiting = append(waiting, done)
				default:
					more = false
				}
			}
		}
		fresh, err := c.catchUp(ctx, next)
		if err == nil {
			next = fresh
			for _, done := range waiting {
				close(done)
			}
			waiting = nil
		}
		if err != nil && !failing && ctx.Err() == nil {
			c.Log.Error("the registry's changes cannot be followed", "error", err)
		}
		failing = err != nil
	}
}

// CatchUp reads what was written after Load. It is for before Run, which follows by
// itself.
func (c *Catalog) CatchUp(ctx context.Context) error {
	_, err := c.catchUp(ctx, c.current.Load())
	return err
}

// catchUp brings g up to date, or makes it anew, and serves what it returns.
func (c *Catalog) catchUp(ctx context.Context, g *generation) (*generation, error) {
	err := c.poll(ctx, g)
	if errors.Is(err, errReload) {
		g, err = c.reload(ctx, g.embedder)
	}
	if err != nil {
		return nil, err
	}
	g.followed.Store(clock.Micros(c.Now()))
	c.current.Store(g)
	return g, nil
}

// errReload says that the copy must be made anew: there are vectors where there were
// none, or the database went back, as it does when a standby takes over.
var errReload = errors.New("the copy must be made anew")

// poll brings g up to date.
func (c *Catalog) poll(ctx context.Context, g *generation) error {
	low, high, err := c.Feed.Horizon(ctx)
	if err != nil {
		return fmt.Errorf("ask for the horizon: %w", err)
	}
	if low < g.horizon {
		return errReload // on one server it never falls
	}
	stamps, err := c.Feed.AgentsChanged(ctx, g.horizon, high)
	if err != nil {
		return fmt.Errorf("read changes: %w", err)
	}
	seen := map[id.Agent]int64{}
	var changed []id.Agent
	for _, s := range stamps {
		if g.seen[s.Agent] != s.Stamp {
			changed = append(changed, s.Agent)
		}
		if s.Stamp >= low {
			seen[s.Agent] = s.Stamp // it will be listed again
		}
	}
	since := c.qualityWindow()
	if since != g.since { // the calls of some agents have become too old to count
		called, err := c.Feed.AgentsCalledBetween(ctx, g.since, since)
		if err != nil {
			return fmt.Errorf("read who was called: %w", err)
		}
		g.aged, g.since = append(g.aged, called...), since
	}
	if err := c.takeAll(ctx, g, changed); err != nil {
		return err
	}
	g.horizon, g.seen = low, seen
	some := g.aged[:min(len(g.aged), agedBatch)] // nobody waits for them
	if err := c.takeAll(ctx, g, some); err != nil {
		return err
	}
	g.aged = g.aged[len(some):]
	return nil
}

func (c *Catalog) takeAll(ctx context.Context, g *generation, agents []id.Agent) error {
	for some := range slices.Chunk(agents, entryBatch) {
		if err := c.take(ctx, g, some); err != nil {
			return err
		}
	}
	return nil
}

// take reads agents anew.
func (c *Catalog) take(ctx context.Context, g *generation, agents []id.Agent) error {
	entries, err := c.Feed.Entries(ctx, agents, g.model, g.since)
	if err != nil {
		return fmt.Errorf("read agents: %w", err)
	}
	there := map[id.Agent]bool{}
	for _, e := range entries {
		there[e.Agent] = true
	}
	var gone []id.Agent
	for _, a := range agents {
		if !there[a] {
			gone = append(gone, a)
		}
	}
	g.remove(gone)
	if g.dim == 0 && slices.ContainsFunc(entries, func(e Entry) bool { return len(e.Vector) > 0 }) {
		return errReload
	}
	g.put(entries)
	if g.lacks() {
		select {
		case c.lacking <- struct{}{}:
		default:
		}
	}
	return nil
}
