// Package wisdom is the public API as one value: New wires configuration, storage,
// rules and routes together, Handler answers requests, Run does the background
// work. It has no rule of its own.
package wisdom

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/embedding"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/probe"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/a2a"
	"github.com/IntunoAI/intuno-go/internal/wisdom/agentsclient"
	"github.com/IntunoAI/intuno-go/internal/wisdom/audit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/httpapi"
	"github.com/IntunoAI/intuno-go/internal/wisdom/integration"
	"github.com/IntunoAI/intuno-go/internal/wisdom/mcpapi"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/platform"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
	"github.com/IntunoAI/intuno-go/web"
)

// Deps is what the process gives the service.
type Deps struct {
	Log     *slog.Logger
	Now     clock.Now
	Version string
	Metrics prometheus.Registerer // nil: none
	Demo    string                // where the demo agents are, such as http://127.0.0.1:7000; "": there are none

	Hashing  auth.Hashing       // cost of a password; zero: the default
	CountSQL func(query string) // called for every statement; nil: not
}

// Service is wisdom, ready to serve.
type Service struct {
	cfg      Config
	deps     Deps
	db       *sqldb.DB
	store    *store.Store
	auth     *auth.Service
	audit    *audit.Log
	personal *personal.Service
	catalog  *registry.Catalog
	vault    *registry.Vault
	callees  *registry.Callees
	host     *agentsclient.Client
	outbound *egress.Client
	limiter  *httpx.Limiter
	signed   *httpx.Limiter // of the holders of reply URLs
	api      *httpapi.API
	guard    *httpapi.Guard
	platform *platform.Service
	edge     *httpx.Server
	draining atomic.Bool
	probe    *probe.Probe
}

// callbacksPerMinute is how many requests the holder of a reply URL may make a minute,
// whatever RATE_LIMIT_PER_MINUTE is (contract §6.7).
const callbacksPerMinute = 120

// New opens the database, migrating it forward, and builds the service. The caller
// has checked cfg.
func New(ctx context.Context, cfg Config, d Deps) (*Service, error) {
	db, err := sqldb.Open(ctx, sqldb.Options{URL: cfg.DatabaseURL.Reveal(), Migrations: store.Migrations(), Service: "wisdom",
		Exclusive: true, Now: d.Now, Log: d.Log, Metrics: d.Metrics, Count: d.CountSQL})
	if err != nil {
		return nil, fmt.Errorf("open the database of wisdom: %w", err)
	}
	s := &Service{cfg: cfg, deps: d, db: db, store: store.New(db), limiter: httpx.NewLimiter(cfg.RateLimitPerMinute), signed: httpx.NewLimiter(callbacksPerMinute)}
	s.probe = probe.New(d.Now, s.look)
	err = s.build()
	if err == nil {
		err = s.catalog.Load(ctx)
	}
	if err == nil {
		s.presentDemo(ctx, s.api.Registry.Service)
		err = s.catalog.CatchUp(ctx) // the first request finds them
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *Service) build() error {
	cfg, d := s.cfg, s.deps
	counters := newCounters(d.Metrics)
	s.auth = auth.New(s.store, auth.Config{Now: d.Now, Log: d.Log, JWTSecret: cfg.JWTSecretKey, TokenLifetime: cfg.TokenLifetime(),
		ServiceKeys: secret.NewSet(cfg.ServiceKeys()...), OldServiceKey: counters.oldKey.Inc,
		RegistrationClosed: !cfg.RegistrationOpen, Hashing: d.Hashing})
	s.audit = audit.New(s.store, d.Now)
	urls, err := s.egress()
	if err != nil {
		return err
	}
	if s.host, err = agentsclient.New(agentsclient.Config{BaseURL: cfg.AgentsBaseURL, Key: cfg.AgentsAPIKey,
		Timeout: cfg.AgentsTimeout, ChatTimeout: cfg.AgentsChatTimeout}); err != nil {
		return err
	}
	if s.personal, err = personal.New(personal.Config{
		Free:   personal.Limits{Entities: cfg.FreeEntityCap, PerMinute: cfg.FreeMessagesPerMinute, PerMonth: cfg.FreeMessagesPerMonth},
		Pro:    personal.Limits{Entities: cfg.ProEntityCap, PerMinute: cfg.ProMessagesPerMinute, PerMonth: cfg.ProMessagesPerMonth},
		Settle: cfg.SlotSettle, Timeout: cfg.AgentsTimeout, Store: s.store, Host: s.host, Log: d.Log, Now: d.Now}); err != nil {
		return err
	}
	embedder, older, err := s.embedders()
	if err != nil {
		return err
	}
	keys, err := secret.NewKeyring(registry.CredentialPurpose, cfg.SealingKeys()...)
	if err != nil {
		return err
	}
	s.callees = registry.NewCallees(s.store, keys, d.Now)
	s.catalog = registry.NewCatalog(registry.CatalogConfig{Feed: s.store, Embedder: embedder, Older: older, Now: d.Now, Log: d.Log,
		Degraded: counters.degraded.Inc, Changed: s.callees.Drop})
	s.vault = registry.NewVault(registry.VaultConfig{Store: s.store, Keys: keys, Changed: s.catalog.Sync, Now: d.Now, Log: d.Log})
	s.outbound = egress.NewClient(urls, nil)
	agents := registry.New(s.store, urls, s.catalog, d.Now)
	s.platform = platform.New(s.store, d.Now)
	invocations := s.newBroker(urls, counters)
	networks, err := s.newNetworks(urls, counters)
	if err != nil {
		return err
	}
	s.api = &httpapi.API{
		System:   httpapi.System{Ready: s.Ready},
		Auth:     httpapi.Auth{Service: s.auth},
		Admin:    httpapi.Admin{Service: s.auth, Registry: agents, Platform: s.platform},
		Registry: httpapi.Registry{Service: agents, Vault: s.vault},
		Personal: httpapi.Personal{Service: s.personal},
		A2A: httpapi.A2A{BaseURL: cfg.BaseURL, Version: d.Version,
			Service: a2a.New(a2a.Config{Registry: agents, URLs: urls, Fetcher: cardFetcher{s.outbound}, Broker: messages{invocations}, Networks: tasks{networks}, Log: d.Log})},
		Broker:       httpapi.Broker{Service: invocations},
		Conversation: httpapi.Conversation{Service: conversation.New(s.store, d.Now), Broker: invocations},
		Integration:  httpapi.Integration{Service: integration.NewService(s.store, s.auth, d.Now), Auth: s.auth},
		Network:      httpapi.Network{Service: networks},
	}
	s.api.MCP = s.newMCP(agents).Routes()
	s.guard = &httpapi.Guard{Authenticator: s.auth.Authenticator(), Audit: s.audit, Callbacks: s.api.Network.Service, Log: d.Log, KeyRefused: counters.refused.Inc}
	s.edge, err = s.newEdge(s.guard)
	return err
}

// hostOpsAddr is where wisdom-agents has its ops listener unless told otherwise. That
// listener is on loopback: it matters if both run on one machine.
const hostOpsAddr = "127.0.0.1:9091"

// egress is the rules for URLs that users supply.
func (s *Service) egress() (*egress.Policy, error) {
	allowed, err := egress.ParseAllowedHosts(s.cfg.InvokeEndpointAllowedHosts + "," + s.demoHost())
	if err != nil {
		return nil, fmt.Errorf("INVOKE_ENDPOINT_ALLOWED_HOSTS: %w", err)
	}
	own := append(egress.AddrsOf(s.cfg.AgentsBaseURL), s.cfg.OpsAddr, hostOpsAddr)
	own = append(own, sqldb.Addrs(s.cfg.DatabaseURL.Reveal())...)
	own = append(own, sqldb.Addrs(s.cfg.Host.HostDatabaseURL.Reveal())...)
	return egress.New(egress.Config{Production: s.cfg.Production(), Allowed: allowed, AllowlistOnly: s.cfg.EgressAllowlistOnly, Own: own})
}

// embedders returns what agents are found by, and what may know the vectors of before:
// the built-in table, or another model of the same endpoint.
func (s *Service) embedders() (registry.Embedder, func(model string) registry.Embedder, error) {
	builtin, err := embedding.Builtin()
	if err != nil {
		return nil, nil, fmt.Errorf("open the built-in embedding table: %w", err)
	}
	if s.cfg.EmbeddingBaseURL == "" {
		return builtin, func(string) registry.Embedder { return nil }, nil
	}
	endpoint := embedding.Endpoint{BaseURL: s.cfg.EmbeddingBaseURL, Key: s.cfg.EmbeddingAPIKey, Model: s.cfg.EmbeddingModel, Now: s.deps.Now}
	older := func(model string) registry.Embedder {
		if model == builtin.Model() {
			return builtin
		}
		if before := endpoint.Before(model); before != nil {
			return before
		}
		return nil
	}
	return embedding.NewEndpoint(endpoint), older, nil
}

// newBroker is what invokes agents.
func (s *Service) newBroker(urls *egress.Policy, c counters) *broker.Service {
	sender := agentSender{s.outbound}
	return broker.New(broker.Config{Store: s.store, Callees: s.callees, Platform: s.platform, URLs: urls,
		HTTP: broker.NewHTTP(sender), Events: broker.NewEvents(sender), A2A: broker.NewA2A(sender), Hosted: broker.NewHosted(s.host),
		Now: s.deps.Now, Timeout: s.cfg.BrokerTimeout, Ended: c.invocation})
}

// newNetworks is what delivers between the participants of networks.
func (s *Service) newNetworks(urls *egress.Policy, c counters) (*network.Service, error) {
	keys, err := secret.NewKeyring(network.SecretPurpose, s.cfg.SealingKeys()...)
	if err != nil {
		return nil, err
	}
	networks := network.New(network.Config{Store: store.Networks{Store: s.store}, Agents: s.callees, Owners: s.auth.Authenticator(), Platform: s.platform, URLs: urls,
		Sender: networkSender{s.outbound, s.deps.Now}, A2A: networkA2A{broker.NewA2A(agentSender{s.outbound})}, Host: s.host,
		Keys: keys, Callbacks: s.cfg.CallbackKey(), BaseURL: s.cfg.BaseURL, Now: s.deps.Now, Log: s.deps.Log,
		MaxParticipants: s.cfg.NetworkMaxParticipants, CallTimeout: s.cfg.NetworkCallTimeout, Attempts: s.cfg.NetworkDeliveryMaxAttempts,
		Backoff: s.cfg.NetworkDeliveryBackoff, ChatTimeout: s.cfg.AgentsChatTimeout, Ended: c.delivery})
	if s.deps.Metrics != nil {
		s.deps.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "intuno_delivering",
			Help: "Recipients that this process is delivering messages of networks to."}, func() float64 { return float64(networks.Delivering()) }))
	}
	return networks, nil
}

// newMCP is the MCP face of the rules behind the routes.
func (s *Service) newMCP(agents *registry.Service) *mcpapi.API {
	return mcpapi.New(mcpapi.Config{Registry: agents, Broker: s.api.Broker.Service, Conversations: s.api.Conversation.Service, Importer: s.api.A2A.Service,
		Networks: s.api.Network.Service, Origins: append(s.cfg.Origins(), s.cfg.BaseURL), Version: s.deps.Version, Log: s.deps.Log})
}

// newEdge puts the routes behind a guard.
func (s *Service) newEdge(guard httpx.Guard) (*httpx.Server, error) {
	return httpx.New(httpx.Options{
		Service: "wisdom", Routes: s.api.Routes(), Guard: guard, Limiter: s.limiter, SignedLimiter: s.signed, TrustedProxies: s.cfg.TrustedProxyPrefixes(),
		CORSOrigins: s.cfg.Origins(), MaxBody: s.cfg.MaxBodyBytes, Now: s.deps.Now, Log: s.deps.Log, Metrics: s.deps.Metrics,
		Docs: &httpx.Docs{Title: "Intuno", Version: s.deps.Version, Description: description, Files: web.Docs()},
	})
}

const description = "The public API of Intuno: accounts, agents, and the Personal tier. " +
	"x-access names who may call a route; every error has detail, code and request_id."

type counters struct {
	refused, oldKey, degraded prometheus.Counter
	invocations, deliveries   *prometheus.CounterVec
}

func newCounters(registerer prometheus.Registerer) counters {
	c := counters{
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "intuno_service_keys_refused_total", Help: "Requests with a service key that is not ours."}),
		oldKey:  prometheus.NewCounter(prometheus.CounterOpts{Name: "intuno_service_keys_old_total", Help: "Requests with a service key other than the first one configured."}),
		degraded: prometheus.NewCounter(prometheus.CounterOpts{Name: "intuno_discovery_degraded_total",
			Help: "Discoveries ranked by words alone because the embedding endpoint was down."}),
		invocations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "intuno_invocations_total",
			Help: "Attempts at agents by how they ended: success, or the error code."}, []string{"kind", "outcome"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "intuno_deliveries_total",
			Help: "Attempts at participants of networks by channel, call or message, and by how they ended: success or failure."}, []string{"channel", "outcome"}),
	}
	if registerer != nil {
		registerer.MustRegister(c.refused, c.oldKey, c.degraded, c.invocations, c.deliveries)
	}
	return c
}

// delivery counts an attempt at a participant of a network.
func (c counters) delivery(channel string, success bool) {
	outcome := "failure"
	if success {
		outcome = "success"
	}
	c.deliveries.WithLabelValues(channel, outcome).Inc()
}

// invocation counts an attempt at an agent.
func (c counters) invocation(kind string, code broker.Code) {
	c.invocations.WithLabelValues(kind, cmp.Or(string(code), "success")).Inc()
}

// Handler answers the public listener.
func (s *Service) Handler() http.Handler { return s.edge }

// Run does the background work until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.auth.Run(ctx) })
	group.Go(func() error { return s.personal.Run(ctx) })
	group.Go(func() error { return s.catalog.Run(ctx) })
	group.Go(func() error { return s.vault.Run(ctx) })
	group.Go(func() error { return s.api.Network.Service.Run(ctx) })
	for _, limiter := range []*httpx.Limiter{s.limiter, s.signed} {
		if limiter == nil || !s.db.Dialect().Shared() {
			continue
		}
		group.Go(func() error {
			limiter.Run(ctx, s.store, s.deps.Log)
			return nil
		})
	}
	return group.Wait()
}

// lastWrites is the part of the grace period that is left for invocations and calls to be
// recorded as cut off.
const lastWrites = 3 * time.Second

// Drain makes Ready answer false from now on, and begins the grace period of the
// invocations and calls that are under way. It does not wait.
func (s *Service) Drain() {
	s.draining.Store(true)
	grace := s.cfg.ShutdownGrace
	time.AfterFunc(max(grace-lastWrites, grace/2), func() {
		s.api.Broker.Service.Cut()
		s.api.Network.Service.Cut()
	})
}

// Close closes the connections to the host and the database.
func (s *Service) Close() error {
	s.host.Close()
	s.outbound.Close()
	return s.db.Close()
}

// Ready reports whether requests should be sent here, and the state of the
// dependencies, at most a second old. The entity host is reported but does not
// decide.
func (s *Service) Ready(ctx context.Context) (bool, map[string]string) {
	state := s.probe.State(ctx)
	return state.Ready && !s.draining.Load(), state.Checks
}

func (s *Service) look(ctx context.Context) probe.State {
	database, host := "ok", "ok"
	var group sync.WaitGroup
	group.Go(func() {
		if s.db.Ping(ctx) != nil {
			database = "unreachable"
		}
	})
	group.Go(func() {
		if s.host.Ping(ctx) != nil {
			host = "unreachable"
		}
	})
	group.Wait()
	return probe.State{Ready: database == "ok", Checks: map[string]string{"database": database, "entity_host": host}}
}
