// Package registry decides about agents: who may see one, how it is named, what an
// owner may change, how an entity of the private host or an A2A card becomes one, and
// which agents a request in somebody's own words finds, in which order.
//
// What is not here: calling an agent (broker) and reading a card (a2a). SQL is in
// store, the wire shape in httpapi, the searching itself in internal/search.
package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"

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

// How an agent recognises its caller. All but the first need a stored credential of
// that type.
const (
	AuthPublic      = "public"
	AuthAPIKey      = "api_key"
	AuthBearerToken = "bearer_token"
)

// Where trust in an agent comes from.
const (
	SelfSigned = "self-signed"
	A2ACard    = "a2a-card" // imported
	Hosted     = "hosted"   // an entity of the private host
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
	Disabled        bool // by an administrator: it is not Active, whatever its owner sets
	OwnerActive     bool // of a disabled agent: what its owner has set
	Streaming       bool
	HostedEntity    *string // nil for everybody but the owner
	PricingStrategy *string
	BasePrice       *float64
	PricingEnabled  bool
	Created         time.Time
	Updated         time.Time
	ContentChanged  time.Time // when what discovery reads really changed last

	CardURL         *string  // of an imported agent: where its card is
	Dialect         string   // of an imported agent: the A2A version it speaks, 0.3 or 1.0
	CredentialTypes []string // stored for it; sorted
	RatingSum       int64
	RatingCount     int64

	Figures    Figures  // of its calls, in the window of the answer
	Similarity *float64 // discovery only: a distance, 0 is the same, 2 unrelated; 6 decimals
}

// Figures are the calls of an agent in some window that reached it, added up.
type Figures struct {
	Calls, Successes, LatencyMS int64
}

// HasCredentials tells the owner whether calls can be authenticated. Nobody else is
// told; see SeenBy.
func (a Agent) HasCredentials(viewer id.User) bool {
	return a.Owner == viewer && (a.AuthType == AuthPublic || slices.Contains(a.CredentialTypes, a.AuthType))
}

// SeenBy returns what viewer may see of a.
func (a Agent) SeenBy(viewer id.User) Agent {
	if a.Owner != viewer {
		a.Endpoint, a.HostedEntity, a.CardURL, a.CredentialTypes = nil, nil, nil, nil
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
// fault.NotFound. An Edit is atomic with the reading of what it changes, and may run
// twice.
type Store interface {
	// CreateAgent is fault.Conflict if the slug is taken.
	CreateAgent(ctx context.Context, a Agent, c Content) error
	// PutAgent inserts a, or edits the agent of the same owner and hosted entity or
	// card URL, whichever a has. fault.Conflict if the slug is taken.
	PutAgent(ctx context.Context, a Agent, c Content, edit Edit) (stored Agent, created bool, err error)
	// UpdateAgent edits the owner's agent. agent_disabled if that makes a disabled
	// agent active.
	UpdateAgent(ctx context.Context, owner id.User, agent id.Agent, edit Edit) (Agent, error)
	// DeleteAgent removes the owner's agent and everything that hangs on it.
	DeleteAgent(ctx context.Context, owner id.User, agent id.Agent, at time.Time) error

	// OwnedAgent is for the owner only, OwnedAgents too: newest first, inactive included.
	OwnedAgent(ctx context.Context, owner id.User, agent id.Agent) (Agent, error)
	OwnedAgents(ctx context.Context, owner id.User, limit, offset int) ([]Agent, error)
	// VisibleAgent finds by slug, inactive agents included.
	VisibleAgent(ctx context.Context, viewer id.User, slug string) (Agent, error)
	// VisibleAgents lists what q selects, registered at or after since.
	VisibleAgents(ctx context.Context, viewer id.User, q Query, since time.Time) ([]Agent, error)
	// ActiveAgents reads the agents of a list of ids that are active and visible, in
	// any order.
	ActiveAgents(ctx context.Context, viewer id.User, agents []id.Agent) ([]Agent, error)
	// CallFigures adds up the calls of agents since an hour. Agents without calls are
	// absent.
	CallFigures(ctx context.Context, agents []id.Agent, since Hour) (map[id.Agent]Figures, error)

	RatingStore
	CallStore
	DisableStore
}

// Edit changes an agent. A nil Content leaves what discovery finds it by.
type Edit = func(Agent) (Agent, *Content)

// URLs tells whether an endpoint may be contacted; if not, 400 unsafe_url.
type URLs interface {
	Check(ctx context.Context, rawURL string) error
}

// Service is the registry's routes.
type Service struct {
	store   Store
	urls    URLs
	catalog *Catalog
	agents  *otter.Cache[agentKey, Agent] // of answers of Discover
	now     clock.Now
	slug    func(prefix, name string) string
}

// New returns a Service. What it writes shows in catalog at once, provided that the
// catalog runs.
func New(store Store, urls URLs, catalog *Catalog, now clock.Now) *Service {
	return &Service{store: store, urls: urls, catalog: catalog, agents: newAgentCache(), now: now, slug: newSlug}
}

// slugAttempts bounds the tries for a slug that nobody has: even one repetition has a
// chance of about 1 in 4 billion per agent of the same name.
const slugAttempts = 5

// Register adds an agent that belongs to p's user. With a hosted entity, which only
// the entity host may name, a second registration changes the first and created is
// false. When it returns, discovery finds the agent.
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
	if r.HostedEntity == nil {
		return s.put(ctx, p, r.agent(p.User, now), "", nil)
	}
	return s.put(ctx, p, r.agent(p.User, now), "entity-", func(stored Agent) Agent { return r.renew(stored, now) })
}

// put stores a new agent under a fresh slug, or changes the one that it repeats.
// Without change there is nothing that it could repeat.
func (s *Service) put(ctx context.Context, p principal.Principal, a Agent, prefix string, change func(Agent) Agent) (stored Agent, created bool, err error) {
	content := s.catalog.Content(ctx, a)
	for range slugAttempts {
		a.Slug = s.slug(prefix, a.Name)
		if change == nil {
			stored, created, err = a, true, s.store.CreateAgent(ctx, a, content)
		} else {
			stored, created, err = s.store.PutAgent(ctx, a, content, edit(change, &content))
		}
		if !fault.Is(err, fault.Conflict) {
			break
		}
	}
	if err != nil {
		return Agent{}, false, fmt.Errorf("register an agent: %w", err)
	}
	s.catalog.Sync(ctx)
	return s.shown(ctx, p, stored), created, nil
}

// edit is change with what discovery finds the result by. The vectors are those of
// ready, if it was made from the same text; else they follow in the background: no
// model is asked inside a transaction.
func edit(change func(Agent) Agent, ready *Content) Edit {
	return func(before Agent) (Agent, *Content) {
		after := change(before)
		switch {
		case sameText(before, after):
			return after, nil
		case ready != nil && ready.text == Text(after):
			return after, ready
		}
		content := words(after)
		return after, &content
	}
}

// Update changes p's agent. Absent members keep their value. Discovery follows before
// it returns.
//
// Faults: NotFound if the agent is not p's, Invalid, agent_disabled if it is to be active
// and an administrator has disabled it, and unsafe_url for the endpoint.
func (s *Service) Update(ctx context.Context, p principal.Principal, agent id.Agent, c Change) (Agent, error) {
	stored, err := s.store.OwnedAgent(ctx, p.User, agent)
	if err != nil {
		return Agent{}, fmt.Errorf("update an agent: %w", err)
	}
	if err := c.check(stored.HostedEntity != nil); err != nil {
		return Agent{}, err
	}
	if stored.Disabled && c.Active != nil && *c.Active {
		return Agent{}, DisabledFault()
	}
	if c.Endpoint != nil {
		if err := s.urls.Check(ctx, *c.Endpoint); err != nil {
			return Agent{}, err
		}
	}
	now := s.now()
	return s.change(ctx, p, stored, func(a Agent) Agent { return c.apply(a, now) })
}

// change edits an agent of p's that was just read.
func (s *Service) change(ctx context.Context, p principal.Principal, stored Agent, change func(Agent) Agent) (Agent, error) {
	var ready *Content
	if expected := change(stored); !sameText(stored, expected) {
		content := s.catalog.Content(ctx, expected)
		ready = &content
	}
	changed, err := s.store.UpdateAgent(ctx, p.User, stored.ID, edit(change, ready))
	if err != nil {
		return Agent{}, fmt.Errorf("update an agent: %w", err)
	}
	s.catalog.Sync(ctx)
	return s.shown(ctx, p, changed), nil
}

// Delete removes p's agent. NotFound if it is not p's.
func (s *Service) Delete(ctx context.Context, p principal.Principal, agent id.Agent) error {
	if err := s.store.DeleteAgent(ctx, p.User, agent, s.now()); err != nil {
		return fmt.Errorf("delete an agent: %w", err)
	}
	s.catalog.Sync(ctx)
	return nil
}

// Agent finds an agent that p may see, active or not, by its slug.
func (s *Service) Agent(ctx context.Context, p principal.Principal, slug string) (Agent, error) {
	a, err := s.store.VisibleAgent(ctx, p.User, slug)
	if err != nil {
		return Agent{}, fmt.Errorf("find an agent: %w", err)
	}
	found, err := s.withFigures(ctx, p, []Agent{a}, s.qualityWindow())
	if err != nil {
		return Agent{}, err
	}
	return found[0], nil
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
	return s.withFigures(ctx, p, agents, s.qualityWindow())
}

// Mine returns p's own agents, newest first, inactive ones included.
func (s *Service) Mine(ctx context.Context, p principal.Principal, limit, offset int) ([]Agent, error) {
	agents, err := s.store.OwnedAgents(ctx, p.User, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("list own agents: %w", err)
	}
	return s.withFigures(ctx, p, agents, s.qualityWindow())
}

// shown is what p sees of an agent that was just written. Without figures if they
// cannot be read: the write has happened.
func (s *Service) shown(ctx context.Context, p principal.Principal, a Agent) Agent {
	if list, err := s.withFigures(ctx, p, []Agent{a}, s.qualityWindow()); err == nil {
		return list[0]
	}
	return a.SeenBy(p.User)
}

// withFigures is what p sees of agents, with their calls since an hour.
func (s *Service) withFigures(ctx context.Context, p principal.Principal, agents []Agent, since Hour) ([]Agent, error) {
	if len(agents) == 0 {
		return agents, nil
	}
	ids := make([]id.Agent, len(agents))
	for i, a := range agents {
		ids[i] = a.ID
	}
	figures, err := s.store.CallFigures(ctx, ids, since)
	if err != nil {
		return nil, fmt.Errorf("read figures of agents: %w", err)
	}
	for i := range agents {
		agents[i] = agents[i].SeenBy(p.User)
		agents[i].Figures = figures[agents[i].ID]
	}
	return agents, nil
}

// qualityWindow is the first hour that quality figures count (contract §4.1).
func (s *Service) qualityWindow() Hour { return HourOf(s.now()) - qualityDays*24 }

// qualityDays is how long a call counts for the quality of an agent.
const qualityDays = 90

// Hour counts hours since the Unix epoch. Calls are added up by it, so that a window
// is exact to an hour.
type Hour int64

// HourOf is the hour that t is in.
func HourOf(t time.Time) Hour { return Hour(t.Unix() / 3600) }
