// Package agents is wisdom-agents, the private host of entities, as one value: New
// wires configuration, storage, rules and routes together, Handler answers requests,
// Run does the background work. It has no rule of its own.
package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/export"
	"github.com/IntunoAI/intuno-go/internal/agents/httpapi"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/agents/registration"
	"github.com/IntunoAI/intuno-go/internal/agents/store"
	"github.com/IntunoAI/intuno-go/internal/agents/wisdomclient"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/probe"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
)

// Deps is what the process gives the service.
type Deps struct {
	Log     *slog.Logger
	Now     clock.Now
	Version string
	Metrics prometheus.Registerer // nil: none

	// Brain makes the brain of all entities; nil: the router.
	Brain    func(brain.Memories) brain.Brain
	CountSQL func(query string) // called for every statement; nil: not
}

// Service is wisdom-agents, ready to serve.
type Service struct {
	deps     Deps
	db       *sqldb.DB
	entities *entity.Service
	chat     *chat.Service
	wisdom   *wisdomclient.Client // nil: delegation is off
	listed   *registration.Worker // nil likewise
	api      *httpapi.API
	edge     *httpx.Server
	draining atomic.Bool
	probe    *probe.Probe
}

// New opens the database, migrating it forward, and builds the service. The caller
// has checked cfg.
func New(ctx context.Context, cfg Config, d Deps) (*Service, error) {
	db, err := sqldb.Open(ctx, sqldb.Options{URL: cfg.DatabaseURL.Reveal(), Migrations: store.Migrations(), Service: store.Service,
		Exclusive: true, Now: d.Now, Log: d.Log, Metrics: d.Metrics, Count: d.CountSQL})
	if err != nil {
		return nil, fmt.Errorf("open the database of wisdom-agents: %w", err)
	}
	s := &Service{deps: d, db: db}
	s.probe = probe.New(d.Now, s.look)
	if err := s.build(cfg); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *Service) build(cfg Config) (err error) {
	d, rows := s.deps, store.New(s.db)
	memories := &memory.Service{Store: rows, Now: d.Now}
	var network brain.Network = brain.NoNetwork{}
	if key := cfg.ServiceKey(); !key.Blank() {
		if s.wisdom, err = wisdomclient.New(cfg.WisdomBaseURL, key); err != nil {
			return err
		}
		s.listed = registration.New(rows, s.wisdom, d.Now, d.Log)
		network = s.wisdom
	}
	var thinks brain.Brain = &brain.Router{Memories: memories, Now: d.Now, Network: network, MaxDistance: cfg.RouterMaxDistance,
		Reserve: min(longestReserve, cfg.TurnTimeout/reserveShare)}
	if d.Brain != nil {
		thinks = d.Brain(memories)
	}
	s.chat = chat.New(chat.Options{Store: rows, Brain: thinks, Encode: httpapi.EncodeEvent, Now: d.Now, Log: d.Log,
		TurnTimeout: cfg.TurnTimeout, Grace: cfg.ShutdownGrace, Shared: s.db.Dialect().Shared()})
	s.entities = &entity.Service{Store: rows, Now: d.Now, Encode: httpapi.EncodeEntity, Gone: s.chat.Gone, Changed: s.wake}
	s.api = &httpapi.API{Entities: s.entities, Memories: memories, Chat: s.chat, Exports: export.New(rows, d.Now)}
	s.edge, err = httpx.New(httpx.Options{Service: "agents", Routes: s.api.Routes(), Guard: &httpapi.Guard{Keys: secret.NewSet(cfg.APIKey)},
		MaxBody: cfg.MaxBodyBytes, ClosedBodies: true, Now: d.Now, Log: d.Log, Metrics: d.Metrics})
	return err
}

// The part of a turn's time that the router leaves for its reply.
const (
	longestReserve = 3 * time.Second
	reserveShare   = 5 // at most a fifth
)

// wake has a change of an entity told to the registry.
func (s *Service) wake() {
	if s.listed != nil {
		s.listed.Wake()
	}
}

// Routes is the table of routes.
func (s *Service) Routes() []httpx.Route { return s.api.Routes() }

// Handler answers the private listener.
func (s *Service) Handler() http.Handler { return s.edge }

// sweepEvery is how often expired idempotency records are dropped.
const sweepEvery = 10 * time.Minute

// Run does the background work. When ctx ends it waits for the running turns, at
// most for the rest of the grace period.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.chat.Run(ctx) })
	group.Go(func() error { return s.sweep(ctx) })
	if s.listed != nil { // otherwise what is to be told waits in the database
		group.Go(func() error { return s.listed.Run(ctx) })
	}
	return group.Wait()
}

func (s *Service) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.entities.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.Error("idempotency records are not dropped", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Drain makes Ready answer false from now on, and begins the grace period of the
// running turns. Requests are still answered.
func (s *Service) Drain() {
	s.draining.Store(true)
	s.chat.Drain()
}

// Close closes the database, and idle connections to wisdom.
func (s *Service) Close() error {
	if s.wisdom != nil {
		s.wisdom.Close()
	}
	return s.db.Close()
}

// Ready reports whether requests should be sent here, at most a second late.
func (s *Service) Ready(ctx context.Context) (bool, map[string]string) {
	state := s.probe.State(ctx)
	return state.Ready && !s.draining.Load(), state.Checks
}

func (s *Service) look(ctx context.Context) probe.State {
	if s.db.Ping(ctx) != nil {
		return probe.State{Checks: map[string]string{"database": "unreachable"}}
	}
	return probe.State{Ready: true, Checks: map[string]string{"database": "ok"}}
}
