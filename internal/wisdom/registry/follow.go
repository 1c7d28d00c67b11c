package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/IntunoAI/intuno-go/internal/embedding"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/search"
)

const (
	followEvery = 250 * time.Millisecond // changes by other processes show within a second
	syncTime    = 2 * time.Second        // longest wait of a writer for its own change
	entryBatch  = 100                    // agents read in one query
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
// does not wait for a catalog that does not run.
func (c *Catalog) Sync(ctx context.Context) {
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
	next := c.current.Load() // or the one to come
	for {
		var waiting []chan struct{}
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
		err := c.poll(ctx, next)
		if errors.Is(err, errNewSpace) {
			var fresh *generation
			if fresh, err = c.load(ctx, next.embedder); err == nil {
				next = fresh
			}
		}
		if err == nil {
			c.current.Store(next)
			for _, done := range waiting {
				close(done)
			}
		}
		if err != nil && !failing && ctx.Err() == nil {
			c.Log.Error("the registry's changes cannot be followed", "error", err)
		}
		failing = err != nil
	}
}

// errNewSpace says that there are vectors now, where there were none.
var errNewSpace = errors.New("the first vectors of a model")

// poll brings g up to date.
func (c *Catalog) poll(ctx context.Context, g *generation) error {
	low, high, err := c.Feed.Horizon(ctx)
	if err != nil {
		return fmt.Errorf("ask for the horizon: %w", err)
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
		changed = append(changed, called...)
	}
	for len(changed) > 0 {
		n := min(len(changed), entryBatch)
		if err := c.take(ctx, g, changed[:n], since); err != nil {
			return err
		}
		changed = changed[n:]
	}
	g.horizon, g.seen, g.since = low, seen, since
	return nil
}

// take reads agents anew.
func (c *Catalog) take(ctx context.Context, g *generation, agents []id.Agent, since Hour) error {
	entries, err := c.Feed.Entries(ctx, agents, g.model, since)
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
		return errNewSpace
	}
	if err := g.put(entries); err != nil {
		return err
	}
	if g.lacks() {
		select {
		case c.lacking <- struct{}{}:
		default:
		}
	}
	return nil
}

const (
	embedBatch  = 64
	embedPause  = 5 * time.Second // after a failure, and while another process does it
	embedLease  = time.Minute
	embedWork   = "embed agents"
	tidyEvery   = time.Hour
	keepTraces  = 7 * 24 * time.Hour // of deleted agents, and of models that nobody uses
	dropVectors = 1000

	longestWindow = 366 * 24         // hours; trending looks back 365 days at most
	embedTimeout  = 45 * time.Second // of one batch; less than the lease
)

// embed makes what agents lack, and lets the configured model serve when all have its
// vectors.
func (c *Catalog) embed(ctx context.Context) {
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	defer c.release(ctx)
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tidy.C:
			if err := c.tidy(ctx); err != nil && ctx.Err() == nil {
				c.Log.Error("old vectors cannot be removed", "error", err)
			}
			continue
		case <-c.lacking:
		case <-retry.C:
		}
		complete, err := c.embedAll(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			c.Log.Warn("agents cannot be embedded; words still find them", "error", err)
		}
		failing = err != nil
		if !complete {
			retry.Reset(embedPause)
		}
	}
}

// embedAll reports whether every agent has what it needs and the configured model
// serves.
func (c *Catalog) embedAll(ctx context.Context) (complete bool, err error) {
	model, g := c.Embedder.Model(), c.current.Load()
	dropped, err := c.dropOthers(ctx, model)
	if err != nil {
		return false, err
	}
	serving := g.model == model && !dropped
	first := g.firstLacking()
	if serving && first == "" {
		return true, nil
	}
	var after id.Agent
	if serving {
		after = before(first)
	}
	defer c.release(ctx)
	for {
		agents, err := c.Feed.Outdated(ctx, model, search.AnalyzerVersion, after, embedBatch)
		if err != nil {
			return false, fmt.Errorf("read agents without vectors: %w", err)
		}
		if len(agents) == 0 {
			break
		}
		now := c.Now()
		if mine, err := c.Feed.Lease(ctx, embedWork, c.holder, now, now.Add(embedLease)); err != nil || !mine {
			return false, err
		}
		c.leased = true
		if err := c.embedBatch(ctx, agents); err != nil {
			return false, err
		}
		after = agents[len(agents)-1].ID
	}
	if serving {
		return true, nil
	}
	if g, err = c.load(ctx, c.Embedder); err != nil {
		return false, err
	}
	select {
	case c.next <- g:
		c.dropped = false
		c.Log.Info("discovery serves another model", "model", model)
		return !g.lacks(), nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// dropOthers removes, once in the life of a process, the vectors of the model that are of
// another length than those it makes now: whoever runs an endpoint may put another model
// under the same name. An endpoint that is down will be asked again.
func (c *Catalog) dropOthers(ctx context.Context, model string) (dropped bool, err error) {
	if c.measured {
		return c.dropped, nil
	}
	v, err := c.Embedder.Query(ctx, "dimension")
	if err != nil {
		return false, fmt.Errorf("ask a model for its dimension: %w", err)
	}
	want := len(v) + embedding.PackedOverhead
	models, err := c.Feed.VectorModels(ctx)
	if err != nil {
		return false, fmt.Errorf("count vectors: %w", err)
	}
	others := slices.ContainsFunc(models, func(m ModelVectors) bool {
		return m.Model == model && m.Bytes > 0 && (m.Bytes != want || m.Least != want)
	})
	for others {
		n, err := c.Feed.DropVectors(ctx, model, want, dropVectors)
		if err != nil {
			return false, fmt.Errorf("drop vectors of another length: %w", err)
		}
		if n == 0 {
			break
		}
		c.dropped = true
	}
	if c.measured = true; c.dropped {
		c.Log.Warn("the model makes vectors of another length than before: agents are embedded anew", "model", model)
	}
	return c.dropped, nil
}

// release lets others embed at once.
func (c *Catalog) release(ctx context.Context) {
	if !c.leased {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	now := c.Now()
	if _, err := c.Feed.Lease(ctx, embedWork, c.holder, now, now); err == nil {
		c.leased = false // else it ends by itself
	}
}

// before is a text that sorts right before s.
func before(s id.Agent) id.Agent {
	return s[:len(s)-1] + id.Agent([]byte{s[len(s)-1] - 1})
}

func (c *Catalog) embedBatch(ctx context.Context, agents []Agent) error {
	ctx, cancel := context.WithTimeout(ctx, embedTimeout)
	defer cancel()
	made := make([]Made, len(agents))
	texts := make([]string, len(agents))
	for i, a := range agents {
		made[i] = Made{Agent: a, Content: words(a)}
		texts[i] = made[i].Content.text
	}
	vectors, err := c.Embedder.Embed(ctx, texts)
	if embedding.Refused(err) { // one text must not keep the others from being found
		if _, failed := c.Embedder.Embed(ctx, []string{"text"}); failed != nil {
			return fmt.Errorf("embed agents: %w", err) // it is not the text
		}
		vectors, err = c.embedEach(ctx, texts)
	}
	if err != nil {
		return fmt.Errorf("embed agents: %w", err)
	}
	for i := range made {
		made[i].Content.Vectors = []Vector{{c.Embedder.Model(), embedding.Quantise(vectors[i])}}
	}
	if err := c.Feed.PutContent(ctx, made, c.Now()); err != nil {
		return fmt.Errorf("store vectors: %w", err)
	}
	return nil
}

// embedEach gives a text that the model refuses no direction.
func (c *Catalog) embedEach(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		one, err := c.Embedder.Embed(ctx, []string{text})
		switch {
		case err == nil:
			vectors[i] = one[0]
		case !embedding.Refused(err):
			return nil, err
		}
	}
	return vectors, nil
}

// tidy removes what nobody reads any more.
func (c *Catalog) tidy(ctx context.Context) error {
	old := c.Now().Add(-keepTraces)
	if err := c.Feed.ForgetDeleted(ctx, old); err != nil {
		return fmt.Errorf("forget deleted agents: %w", err)
	}
	if err := c.Feed.ForgetCalls(ctx, HourOf(c.Now())-longestWindow); err != nil {
		return fmt.Errorf("forget old calls: %w", err)
	}
	models, err := c.Feed.VectorModels(ctx)
	if err != nil {
		return fmt.Errorf("count vectors: %w", err)
	}
	serving := c.current.Load().model
	for _, m := range models {
		if m.Model == serving || m.Model == c.Embedder.Model() || m.Written.After(old) {
			continue
		}
		for {
			n, err := c.Feed.DropVectors(ctx, m.Model, 0, dropVectors)
			if err != nil {
				return fmt.Errorf("drop vectors: %w", err)
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}
