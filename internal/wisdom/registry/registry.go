// Package registry decides about agents: who may see one, how it is named, what an
// owner may change, and how an entity of the private host becomes one.
//
// What is not here: calling an agent (broker), credentials and ratings, and
// discovery by meaning. SQL is in store, the wire shape in httpapi.
package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Who may see an agent.
const (
	Public  = "public"
	Private = "private" // for everybody but its owner it does not exist
)

// How an agent recognises its caller. Only AuthPublic matters here: it needs no
// stored credential.
const AuthPublic = "public"

// Where trust in an agent comes from.
const (
	SelfSigned = "self-signed"
	Hosted     = "hosted" // an entity of the private host
)

// Agent is one agent of the registry. Nil pointers and an empty InputSchema are null.
type Agent struct {
	ID              id.Agent
	Slug            string // agent_id of the API; never changes
	Owner           id.User
	Name            string
	Description     string
	Version         string
	Endpoint        *string // nil for hosted entities, and for everybody but the owner
	AuthType        string
	InputSchema     []byte // a JSON object
	Tags            []string
	Category        *string
	Visibility      string
	Trust           string
	Active          bool
	Streaming       bool
	HostedEntity    *string // nil for everybody but the owner
	PricingStrategy *string
	BasePrice       *float64
	PricingEnabled  bool
	Created         time.Time
	Updated         time.Time
	ContentChanged  time.Time // when what discovery reads really changed last
}

// HasCredentials tells the owner whether calls can be authenticated. Nobody else is
// told; see SeenBy.
func (a Agent) HasCredentials(viewer id.User) bool {
	return a.Owner == viewer && a.AuthType == AuthPublic
}

// SeenBy returns what viewer may see of a.
func (a Agent) SeenBy(viewer id.User) Agent {
	if a.Owner != viewer {
		a.Endpoint, a.HostedEntity = nil, nil
	}
	return a
}

// Orders of a list.
const (
	ByCreated Sort = iota
	ByUpdated
	ByName // case-folded
)

// Sort is the leading key of a list; the id follows.
type Sort uint8

// ParseOrder reads the query parameters sort and order. What is unknown means the
// default, created_at descending (contract §4.3).
func ParseOrder(sort, order string) (Sort, bool) {
	key := map[string]Sort{"updated_at": ByUpdated, "name": ByName}[sort] // else ByCreated
	return key, order == "asc"
}

// Query selects visible, active agents. Zero values do not filter.
type Query struct {
	Tags      []string // any of
	Search    string   // in name or description, case-insensitive, literally
	Category  string
	Days      int // registered in the last so many days
	Sort      Sort
	Ascending bool
	Limit     int
	Offset    int
}

// Store keeps agents. What is unknown, or not visible to the given user, is
// fault.NotFound.
type Store interface {
	// CreateAgent is fault.Conflict if the slug is taken.
	CreateAgent(ctx context.Context, a Agent) error
	// PutHostedAgent inserts a, or lets edit change the agent of the same owner and
	// entity, atomically. edit may run twice. fault.Conflict if the slug is taken.
	PutHostedAgent(ctx context.Context, a Agent, edit func(Agent) Agent) (stored Agent, created bool, err error)
	// UpdateAgent lets edit change the owner's agent, atomically. edit may run twice.
	UpdateAgent(ctx context.Context, owner id.User, agent id.Agent, edit func(Agent) Agent) (Agent, error)
	// DeleteAgent removes the owner's agent and everything that hangs on it.
	DeleteAgent(ctx context.Context, owner id.User, agent id.Agent) error

	// OwnedAgent is for the owner only, OwnedAgents too: newest first, inactive included.
	OwnedAgent(ctx context.Context, owner id.User, agent id.Agent) (Agent, error)
	OwnedAgents(ctx context.Context, owner id.User, limit, offset int) ([]Agent, error)
	// VisibleAgent finds by slug, inactive agents included.
	VisibleAgent(ctx context.Context, viewer id.User, slug string) (Agent, error)
	// VisibleAgents lists what q selects, registered at or after since.
	VisibleAgents(ctx context.Context, viewer id.User, q Query, since time.Time) ([]Agent, error)
}

// URLs tells whether an endpoint may be contacted; if not, 400 unsafe_url.
type URLs interface {
	Check(ctx context.Context, rawURL string) error
}

// Service is the registry's routes.
type Service struct {
	store Store
	urls  URLs
	now   clock.Now
	slug  func(prefix, name string) string
}

// New returns a Service.
func New(store Store, urls URLs, now clock.Now) *Service {
	return &Service{store: store, urls: urls, now: now, slug: newSlug}
}

// slugAttempts bounds the tries for a slug that nobody has: even one repetition has a
// chance of about 1 in 4 billion per agent of the same name.
const slugAttempts = 5

// Register adds an agent that belongs to p's user. With a hosted entity, which only
// the entity host may name, a second registration changes the first and created is
// false.
//
// Faults: Forbidden, Invalid, and unsafe_url for the endpoint.
func (s *Service) Register(ctx context.Context, p principal.Principal, r Registration) (a Agent, created bool, err error) {
	if err := r.check(p); err != nil {
		return Agent{}, false, err
	}
	if r.Endpoint != nil {
		if err := s.urls.Check(ctx, *r.Endpoint); err != nil {
			return Agent{}, false, err
		}
	}
	now := s.now()
	for range slugAttempts {
		a, created, err = s.insert(ctx, r, r.agent(p.User, now), now)
		if !fault.Is(err, fault.Conflict) {
			break
		}
	}
	if err != nil {
		return Agent{}, false, fmt.Errorf("register an agent: %w", err)
	}
	return a.SeenBy(p.User), created, nil
}

// insert gives a a slug and stores it.
func (s *Service) insert(ctx context.Context, r Registration, a Agent, now time.Time) (Agent, bool, error) {
	if r.HostedEntity == nil {
		a.Slug = s.slug("", a.Name)
		return a, true, s.store.CreateAgent(ctx, a)
	}
	a.Slug = s.slug("entity-", a.Name)
	return s.store.PutHostedAgent(ctx, a, func(stored Agent) Agent {
		return r.renewed().apply(stored, now)
	})
}

// Update changes p's agent. Absent members keep their value.
//
// Faults: NotFound if the agent is not p's, Invalid, and unsafe_url for the endpoint.
func (s *Service) Update(ctx context.Context, p principal.Principal, agent id.Agent, c Change) (Agent, error) {
	stored, err := s.store.OwnedAgent(ctx, p.User, agent)
	if err != nil {
		return Agent{}, fmt.Errorf("update an agent: %w", err)
	}
	if err := c.check(stored.HostedEntity != nil); err != nil {
		return Agent{}, err
	}
	if c.Endpoint != nil {
		if err := s.urls.Check(ctx, *c.Endpoint); err != nil {
			return Agent{}, err
		}
	}
	now := s.now()
	changed, err := s.store.UpdateAgent(ctx, p.User, agent, func(a Agent) Agent { return c.apply(a, now) })
	if err != nil {
		return Agent{}, fmt.Errorf("update an agent: %w", err)
	}
	return changed.SeenBy(p.User), nil
}

// Delete removes p's agent. NotFound if it is not p's.
func (s *Service) Delete(ctx context.Context, p principal.Principal, agent id.Agent) error {
	if err := s.store.DeleteAgent(ctx, p.User, agent); err != nil {
		return fmt.Errorf("delete an agent: %w", err)
	}
	return nil
}

// Agent finds an agent that p may see, active or not, by its slug.
func (s *Service) Agent(ctx context.Context, p principal.Principal, slug string) (Agent, error) {
	a, err := s.store.VisibleAgent(ctx, p.User, slug)
	if err != nil {
		return Agent{}, fmt.Errorf("find an agent: %w", err)
	}
	return a.SeenBy(p.User), nil
}

// List returns the active agents that p may see and q selects.
func (s *Service) List(ctx context.Context, p principal.Principal, q Query) ([]Agent, error) {
	var since time.Time
	if q.Days > 0 {
		since = s.now().AddDate(0, 0, -q.Days)
	}
	agents, err := s.store.VisibleAgents(ctx, p.User, q, since)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	for i := range agents {
		agents[i] = agents[i].SeenBy(p.User)
	}
	return agents, nil
}

// Mine returns p's own agents, newest first, inactive ones included.
func (s *Service) Mine(ctx context.Context, p principal.Principal, limit, offset int) ([]Agent, error) {
	agents, err := s.store.OwnedAgents(ctx, p.User, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("list own agents: %w", err)
	}
	return agents, nil
}
