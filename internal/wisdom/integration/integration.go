// Package integration decides about the products that users build on us: each calls
// agents with keys of its own, sees only its own conversations, and is held to a
// configuration (contract §7.2).
//
// Not here: the keys themselves (auth), applying the configuration (broker), and the
// conversations (conversation).
package integration

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Integration is one product of a user. Nil is null.
type Integration struct {
	ID       id.Integration
	User     id.User
	Name     string
	Kind     *string
	Metadata []byte // a JSON object
	Created  time.Time
	Updated  time.Time
	HasKey   bool // there are API keys for it, expired ones included; in lists only
}

// New is what an integration is made from. The edge has checked the bounds of contract
// §1.2.
type New struct {
	Name     string
	Kind     *string
	Metadata []byte
}

// Store keeps integrations. What is unknown or somebody else's is fault.NotFound.
type Store interface {
	CreateIntegration(ctx context.Context, i Integration) error
	// Integrations lists the user's, newest first.
	Integrations(ctx context.Context, user id.User) ([]Integration, error)
	Integration(ctx context.Context, user id.User, integration id.Integration) (Integration, error)
	// DeleteIntegration removes it with its keys, conversations, messages and
	// configuration, in one transaction.
	DeleteIntegration(ctx context.Context, user id.User, integration id.Integration) error

	// BrokerConfig is Default if nothing was put.
	BrokerConfig(ctx context.Context, user id.User, integration id.Integration) (Config, error)
	// EditBrokerConfig lets edit change it. An edit is atomic with the reading of what
	// it changes, and may run twice.
	EditBrokerConfig(ctx context.Context, user id.User, integration id.Integration, edit func(Config) Config) (Config, error)
	// SeenAgents keeps the agents that viewer may see, active or not, in any order.
	SeenAgents(ctx context.Context, viewer id.User, agents []id.Agent) ([]id.Agent, error)
}

// Credentials remembers for a moment what credentials are worth.
type Credentials interface {
	// Forget makes it ask anew for those of the user.
	Forget(user id.User)
}

// Service is safe for concurrent use.
type Service struct {
	store       Store
	credentials Credentials
	now         clock.Now
}

// NewService returns the service.
func NewService(store Store, credentials Credentials, now clock.Now) *Service {
	return &Service{store, credentials, now}
}

// Create makes an integration of p's user.
func (s *Service) Create(ctx context.Context, p principal.Principal, n New) (Integration, error) {
	now := s.now()
	i := Integration{ID: id.New[id.Integration](), User: p.User, Name: n.Name, Kind: n.Kind, Metadata: n.Metadata, Created: now, Updated: now}
	if err := s.store.CreateIntegration(ctx, i); err != nil {
		return Integration{}, fmt.Errorf("create an integration: %w", err)
	}
	return i, nil
}

// List returns the integrations of p's user, newest first.
func (s *Service) List(ctx context.Context, p principal.Principal) ([]Integration, error) {
	list, err := s.store.Integrations(ctx, p.User)
	if err != nil {
		return nil, fmt.Errorf("list integrations: %w", err)
	}
	return list, nil
}

// Get finds an integration of p's user. Fault: NotFound.
func (s *Service) Get(ctx context.Context, p principal.Principal, integration id.Integration) (Integration, error) {
	i, err := s.store.Integration(ctx, p.User, integration)
	if err != nil {
		return Integration{}, missing("find an integration", err)
	}
	return i, nil
}

// Delete removes an integration of p's user, who must have come with a token, with all
// that hangs on it. Its keys are useless afterwards: here at once, on other nodes within
// a second. Faults: jwt_required (403), NotFound.
func (s *Service) Delete(ctx context.Context, p principal.Principal, integration id.Integration) error {
	if p.Via != principal.JWT {
		return jwtRequired()
	}
	err := s.store.DeleteIntegration(ctx, p.User, integration)
	s.credentials.Forget(p.User) // after an error too: it may have happened
	if err != nil {
		return missing("delete an integration", err)
	}
	return nil
}

func jwtRequired() *fault.Error {
	return fault.New(fault.Forbidden, "jwt_required", "An API key may not do this: sign in")
}

// missing names what was not found.
func missing(doing string, err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Missing("Integration").Because(err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
