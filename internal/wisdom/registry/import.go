package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Imported is an agent as its A2A card describes it. Lengths are within the bounds of
// contract §1.2 and the endpoint was checked; package a2a sees to both.
type Imported struct {
	Name        string
	Description string
	Version     string
	Endpoint    string
	Dialect     string // 0.3 or 1.0
	AuthType    string
	Tags        []string
	InputSchema []byte
	Streaming   bool
}

const importedCategory = "a2a"

// Import registers the agent of a card for p's user, or updates it in place if that
// user has imported the same card URL before. Nobody else's agent is touched.
// visibility nil means public for a new agent and stays for one that is there.
func (s *Service) Import(ctx context.Context, p principal.Principal, cardURL string, i Imported, visibility *string) (Agent, error) {
	now := s.now()
	a := i.apply(Agent{ID: id.New[id.Agent](), Owner: p.User, Visibility: Public, Trust: A2ACard, Active: true, CardURL: &cardURL, Created: now}, now)
	a.Updated, a.ContentChanged = now, now
	set(&a.Visibility, visibility)
	stored, _, err := s.put(ctx, p, a, "a2a-", func(stored Agent) Agent {
		return Change{Visibility: visibility}.apply(i.apply(stored, now), now)
	})
	return stored, err
}

// Refresh lets read fetch the card of p's imported agent anew and updates the agent by
// its id. NotFound if the agent is not p's; read decides what an agent without a card
// is.
func (s *Service) Refresh(ctx context.Context, p principal.Principal, slug string, read func(Agent) (Imported, error)) (Agent, error) {
	stored, err := s.store.VisibleAgent(ctx, p.User, slug)
	if err == nil {
		stored, err = s.store.OwnedAgent(ctx, p.User, stored.ID) // visible is not enough
	}
	if err != nil {
		return Agent{}, fmt.Errorf("refresh an agent: %w", err)
	}
	i, err := read(stored)
	if err != nil {
		return Agent{}, err
	}
	now := s.now()
	return s.change(ctx, p, stored, func(a Agent) Agent { return i.apply(a, now) })
}

// apply returns a as the card says it is. What a card does not speak of stays as the
// owner set it.
func (i Imported) apply(a Agent, now time.Time) Agent {
	before := a
	category := importedCategory
	a.Version, a.Dialect = i.Version, i.Dialect
	a = Change{Name: &i.Name, Description: &i.Description, Endpoint: &i.Endpoint, AuthType: &i.AuthType, InputSchema: i.InputSchema,
		Tags: i.Tags, Category: &category, Streaming: &i.Streaming}.apply(a, now)
	if before.Version != a.Version || before.Dialect != a.Dialect {
		a.Updated = now
	}
	return a
}
