package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/embedding"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

const insertBatch = 2000

// anyURL accepts every endpoint: none is called.
type anyURL struct{}

func (anyURL) Check(context.Context, string) error { return nil }

// bench is a registry on a database of its own.
type bench struct {
	store   *store.Store
	table   *embedding.Static
	owner   principal.Principal
	catalog *registry.Catalog
	service *registry.Service
	index   map[id.Agent]int // of the vectors
	vectors [][]float32      // as the model made them, not rounded
}

func measure(ctx context.Context, n, queries, judged int) (row, error) {
	dir, err := os.MkdirTemp("", "intuno-bench-")
	if err != nil {
		return row{}, err
	}
	defer os.RemoveAll(dir)
	db, err := sqldb.Open(ctx, sqldb.Options{URL: "sqlite:" + filepath.Join(dir, "wisdom.db"), Migrations: store.Migrations(), Service: "wisdom",
		Now: clock.System, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return row{}, err
	}
	defer db.Close()
	b := &bench{store: store.New(db), index: map[id.Agent]int{}}
	r := row{agents: n}
	start := clock.System()
	if b.table, err = embedding.Builtin(); err != nil {
		return r, err
	}
	said := newTexts(1, b.table.Words())
	if err := b.fill(ctx, said, n); err != nil {
		return r, err
	}
	r.preparation = clock.System().Sub(start)

	before := heap()
	start = clock.System()
	b.catalog = b.newCatalog()
	if err := b.catalog.Load(ctx); err != nil {
		return r, err
	}
	r.load = clock.System().Sub(start)
	r.megabytes = heap() - before
	ctx, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- b.catalog.Run(ctx) }()
	defer func() { stop(); <-stopped }()
	b.service = registry.New(b.store, anyURL{}, b.catalog, clock.System)
	if err := b.ask(ctx, said, queries, judged, &r); err != nil {
		return r, err
	}
	return r, b.change(ctx, &r)
}

func (b *bench) newCatalog() *registry.Catalog {
	return registry.NewCatalog(registry.CatalogConfig{Feed: b.store, Embedder: b.table, Older: func(string) registry.Embedder { return nil },
		Now: clock.System, Log: slog.New(slog.DiscardHandler), Degraded: func() {}})
}

// heap is the memory that is in use, in MB.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}

func (b *bench) fill(ctx context.Context, said *texts, n int) error {
	b.owner = principal.Principal{User: id.New[id.User](), Via: principal.JWT}
	now := clock.System()
	account := auth.Account{User: auth.User{ID: b.owner.User, Email: "bench@example.org", Active: true, Plan: auth.Free, Created: now, Updated: now}, PasswordHash: "-"}
	if err := b.store.CreateUser(ctx, account, account.Email); err != nil {
		return err
	}
	catalog := b.newCatalog() // empty: it only makes content
	if err := catalog.Load(ctx); err != nil {
		return err
	}
	endpoint := "https://agent.example.org/"
	for len(b.vectors) < n {
		batch := make([]registry.Made, min(insertBatch, n-len(b.vectors)))
		for i := range batch {
			name, description := said.agent()
			agent := id.New[id.Agent]()
			a := registry.Agent{ID: agent, Slug: "agent-" + string(agent), Owner: b.owner.User, Name: name, Description: description, Version: "1.0.0",
				Endpoint: &endpoint, AuthType: registry.AuthPublic, Tags: []string{}, Visibility: registry.Public, Trust: registry.SelfSigned,
				Active: true, Created: now, Updated: now, ContentChanged: now}
			batch[i] = registry.Made{Agent: a, Content: catalog.Content(ctx, a)}
			vector, err := b.table.Query(ctx, registry.Text(a))
			if err != nil {
				return err
			}
			b.index[agent] = len(b.vectors)
			b.vectors = append(b.vectors, vector)
		}
		if err := b.store.CreateAgents(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) ask(ctx context.Context, said *texts, queries, judged int, r *row) error {
	asked := make([]string, queries)
	for i := range asked {
		asked[i] = said.query()
	}
	for _, q := range asked[:min(20, len(asked))] { // warm
		if _, err := b.service.Discover(ctx, b.owner, registry.Discovery{Text: q, Limit: 10}); err != nil {
			return err
		}
	}
	var times []time.Duration
	for _, q := range asked {
		start := clock.System()
		if _, err := b.service.Discover(ctx, b.owner, registry.Discovery{Text: q, Limit: 10}); err != nil {
			return err
		}
		times = append(times, clock.System().Sub(start))
	}
	r.p50, r.p99 = percentile(times, 0.50), percentile(times, 0.99)
	var baseline []time.Duration
	for _, q := range asked[:min(judged, len(asked))] {
		found, err := b.service.Discover(ctx, b.owner, registry.Discovery{Text: q, Limit: 10, RankBy: registry.SimilarityOnly})
		if err != nil {
			return err
		}
		vector, err := b.table.Query(ctx, q)
		if err != nil {
			return err
		}
		start := clock.System()
		want := exact(b.vectors, vector, 10)
		baseline = append(baseline, clock.System().Sub(start))
		hits := 0
		for _, a := range found.Agents {
			if slices.Contains(want, b.index[a.ID]) {
				hits++
			}
		}
		r.recall += float64(hits) / float64(len(want)) / float64(min(judged, len(asked)))
	}
	r.exact = percentile(baseline, 0.50)
	return nil
}

// change measures from the request to register an agent until a search finds it.
func (b *bench) change(ctx context.Context, r *row) error {
	endpoint := "https://agent.example.org/"
	var times []time.Duration
	for i := range 20 {
		name, description := fmt.Sprintf("Newcomer %d", i), "translates birdsong into sheet music"
		start := clock.System()
		if _, _, err := b.service.Register(ctx, b.owner, registry.Registration{Change: registry.Change{Name: &name, Description: &description, Endpoint: &endpoint}}); err != nil {
			return err
		}
		found, err := b.service.Discover(ctx, b.owner, registry.Discovery{Text: name, Limit: 1})
		if err != nil {
			return err
		}
		times = append(times, clock.System().Sub(start))
		if len(found.Agents) == 0 || found.Agents[0].Name != name {
			return fmt.Errorf("%s is not found", name)
		}
	}
	r.change = percentile(times, 0.50)
	return nil
}
