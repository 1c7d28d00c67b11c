package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/embedding"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/search"
)

const (
	embedBatch   = 64
	embedPause   = 5 * time.Second // after a failure, and while another process does it
	embedWork    = "embed agents"
	embedLease   = time.Minute
	embedTimeout = 45 * time.Second // of one call; less than the lease
	tidyEvery    = time.Hour
	keepTraces   = 7 * 24 * time.Hour // of deleted agents, and of models that nobody uses
	dropVectors  = 1000

	longestWindow = 366 * 24 // hours; trending looks back 365 days at most
)

// worker makes what agents lack. It belongs to one goroutine.
type worker struct {
	*Catalog
	leased  bool
	bytes   int                    // of a packed vector of the model, 0 until it was asked
	all     bool                   // some stored vectors have another length: every agent is looked at
	refused map[id.Agent]time.Time // agents whose text the model does not take, with the time of the text
}

// embed makes what agents lack, and lets the configured model serve when all have its
// vectors.
func (c *Catalog) embed(ctx context.Context) {
	w := &worker{Catalog: c, refused: map[id.Agent]time.Time{}}
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	if err := c.use(ctx); err != nil && ctx.Err() == nil {
		c.Log.Error("the models in use cannot be noted", "error", err)
	}
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tidy.C: // and what was skipped gets another chance
			if err := c.tidy(ctx); err != nil && ctx.Err() == nil {
				c.Log.Error("old vectors cannot be removed", "error", err)
			}
			clear(w.refused)
		case <-c.lacking:
		case <-retry.C:
		}
		complete, err := w.run(ctx)
		w.release(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			c.Log.Warn("agents cannot be embedded; words still find them", "error", err)
		}
		failing = err != nil
		if !complete {
			retry.Reset(embedPause)
		}
	}
}

// run reports whether every agent has what it needs, as far as the model takes its text,
// and the configured model serves.
func (w *worker) run(ctx context.Context) (complete bool, err error) {
	if w.bytes == 0 {
		if err := w.measure(ctx); err != nil {
			return false, err
		}
	}
	g := w.current.Load()
	serving := g.model == w.Embedder.Model() && !w.all
	first := g.firstLacking()
	if serving && first == "" {
		return true, nil
	}
	var after id.Agent
	if serving {
		after = before(first)
	}
	known := len(w.refused)
	for {
		agents, err := w.Feed.Outdated(ctx, w.Embedder.Model(), w.bytes, search.AnalyzerVersion, after, embedBatch)
		if err != nil {
			return false, fmt.Errorf("read agents without vectors: %w", err)
		}
		if len(agents) == 0 {
			break
		}
		after = agents[len(agents)-1].Agent.ID
		agents = slices.DeleteFunc(agents, func(l Lacking) bool { return w.refused[l.Agent.ID].Equal(l.Agent.ContentChanged) })
		if done, err := w.make(ctx, agents); err != nil || !done {
			return false, err
		}
	}
	if len(w.refused) > known {
		w.Log.Warn("the model does not take the text of some agents; words still find them", "agents", len(w.refused))
	}
	if serving {
		return true, nil
	}
	if g, err = w.reload(ctx, w.Embedder); err != nil {
		return false, err
	}
	select {
	case w.next <- g:
		w.all = false
		w.Log.Info("discovery serves the vectors of a model that were made in the background", "model", g.model)
		return len(w.refused) > 0 || !g.lacks(), nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// measure learns how long the model's vectors are. Whoever runs an endpoint may put
// another model under the same name: then stored vectors are of another length.
func (w *worker) measure(ctx context.Context) error {
	v, err := w.Embedder.Query(ctx, "dimension")
	if err != nil {
		return fmt.Errorf("ask a model for its dimension: %w", err)
	}
	models, err := w.Feed.VectorModels(ctx)
	if err != nil {
		return fmt.Errorf("count vectors: %w", err)
	}
	w.bytes = len(v) + embedding.PackedOverhead
	w.all = slices.ContainsFunc(models, func(m ModelVectors) bool {
		return m.Model == w.Embedder.Model() && m.Bytes > 0 && (m.Bytes != w.bytes || m.Least != w.bytes)
	})
	if w.all {
		w.Log.Warn("the model makes vectors of another length than before: agents are embedded anew", "model", w.Embedder.Model())
	}
	return nil
}

// before is a text that sorts right before s.
func before(s id.Agent) id.Agent {
	return s[:len(s)-1] + id.Agent([]byte{s[len(s)-1] - 1})
}

// make makes what agents lack and stores it. False: another process is at it. A text that
// the model does not take keeps nobody else waiting: the others are done without it.
func (w *worker) make(ctx context.Context, agents []Lacking) (bool, error) {
	if len(agents) == 0 {
		return true, nil
	}
	now := w.Now()
	mine, err := w.Feed.Lease(ctx, embedWork, w.holder, now, now.Add(embedLease))
	if err != nil || !mine {
		return false, err
	}
	w.leased = true
	failed := w.makeTogether(ctx, agents)
	switch {
	case failed == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	if _, err := w.vectors(ctx, []string{"text"}); err != nil {
		return false, failed // it is not the text
	}
	if len(agents) == 1 {
		a := agents[0].Agent
		w.refused[a.ID] = a.ContentChanged
		return true, w.makeTogether(ctx, []Lacking{{Agent: a}})
	}
	half := len(agents) / 2
	if done, err := w.make(ctx, agents[:half]); err != nil || !done {
		return done, err
	}
	return w.make(ctx, agents[half:])
}

func (w *worker) vectors(ctx context.Context, texts []string) ([][]float32, error) {
	ctx, cancel := context.WithTimeout(ctx, embedTimeout)
	defer cancel()
	vectors, err := w.Embedder.Embed(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("embed agents: %w", err)
	}
	return vectors, nil
}

// makeTogether asks the model about those only that have no vector: words are made here.
func (w *worker) makeTogether(ctx context.Context, agents []Lacking) error {
	made := make([]Made, len(agents))
	var texts []string
	var of []int // the agent of each text
	for i, l := range agents {
		made[i] = Made{Agent: l.Agent, Content: words(l.Agent)}
		if l.Vector {
			texts, of = append(texts, made[i].Content.text), append(of, i)
		}
	}
	if len(texts) > 0 {
		vectors, err := w.vectors(ctx, texts)
		if err != nil {
			return err
		}
		for n, i := range of {
			made[i].Content.Vectors = []Vector{{w.Embedder.Model(), embedding.Quantise(vectors[n])}}
		}
	}
	if err := w.Feed.PutContent(ctx, made, w.Now()); err != nil {
		return fmt.Errorf("store vectors: %w", err)
	}
	return nil
}

// release lets others embed at once.
func (w *worker) release(ctx context.Context) {
	if !w.leased {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	now := w.Now()
	if _, err := w.Feed.Lease(ctx, embedWork, w.holder, now, now); err == nil {
		w.leased = false // else it ends by itself
	}
}

// inUse is the lease by which processes tell that they serve a model. Nobody holds it
// alone.
func inUse(model string) string { return "model " + model }

// use notes, for as long as traces are kept, that the models of this process are in use.
func (c *Catalog) use(ctx context.Context) error {
	now := c.Now()
	for _, model := range []string{c.Embedder.Model(), c.current.Load().model} {
		if _, err := c.Feed.Lease(ctx, inUse(model), "", now, now.Add(keepTraces)); err != nil {
			return fmt.Errorf("note a model: %w", err)
		}
	}
	return nil
}

// tidy removes what nobody reads any more.
func (c *Catalog) tidy(ctx context.Context) error {
	now := c.Now()
	if err := c.use(ctx); err != nil {
		return err
	}
	if err := c.Feed.ForgetDeleted(ctx, now.Add(-keepTraces)); err != nil {
		return fmt.Errorf("forget deleted agents: %w", err)
	}
	if err := c.Feed.ForgetCalls(ctx, HourOf(now)-longestWindow); err != nil {
		return fmt.Errorf("forget old calls: %w", err)
	}
	models, err := c.Feed.VectorModels(ctx)
	if err != nil {
		return fmt.Errorf("count vectors: %w", err)
	}
	for _, m := range models {
		if m.Written.After(now.Add(-keepTraces)) {
			continue
		}
		if free, err := c.Feed.Lease(ctx, inUse(m.Model), c.holder, now, now); err != nil || !free {
			if err != nil {
				return fmt.Errorf("ask for a model: %w", err)
			}
			continue // a process serves it, maybe this one
		}
		for {
			n, err := c.Feed.DropVectors(ctx, m.Model, dropVectors)
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
