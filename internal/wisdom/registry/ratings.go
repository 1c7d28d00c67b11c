package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// RatingID is the id of a Rating, a UUIDv4 as in package id.
type RatingID string

// Rating is what a user who called an agent thinks of it.
type Rating struct {
	ID      RatingID
	User    id.User
	Agent   id.Agent
	Score   int // 1 to 5
	Comment *string
	Created time.Time
	Updated time.Time
}

// RatingStore keeps one rating for each user and agent.
type RatingStore interface {
	// Called tells whether user ever called agent.
	Called(ctx context.Context, user id.User, agent id.Agent) (bool, error)
	// PutRating stores r, or what r says in the rating that its user gave the agent
	// before, and returns what is stored. The agent's sum and count follow. NotFound if
	// r.User may not see the agent.
	PutRating(ctx context.Context, r Rating) (Rating, error)
	// Ratings lists the ratings of an agent, the latest change first.
	Ratings(ctx context.Context, agent id.Agent, limit, offset int) ([]Rating, error)
}

// Rate stores what p's user thinks of an agent, active or not, in place of what that
// user thought before. A comment of before goes if there is none now.
//
// Faults: NotFound if p may not see the agent, and rating_not_allowed if it is p's own
// or p never called it.
func (s *Service) Rate(ctx context.Context, p principal.Principal, slug string, score int, comment *string) (Rating, error) {
	a, err := s.store.VisibleAgent(ctx, p.User, slug)
	if err != nil {
		return Rating{}, fmt.Errorf("rate an agent: %w", err)
	}
	called, err := s.store.Called(ctx, p.User, a.ID)
	if err != nil {
		return Rating{}, fmt.Errorf("rate an agent: %w", err)
	}
	if a.Owner == p.User || !called {
		return Rating{}, fault.New(fault.Forbidden, "rating_not_allowed", "You may rate agents of others that you have invoked")
	}
	now := s.now()
	r, err := s.store.PutRating(ctx, Rating{ID: id.New[RatingID](), User: p.User, Agent: a.ID, Score: score, Comment: comment, Created: now, Updated: now})
	if err != nil {
		return Rating{}, fmt.Errorf("rate an agent: %w", err)
	}
	s.catalog.Sync(ctx)
	return r, nil
}

// Ratings lists the ratings of an agent that p may see, the latest change first.
func (s *Service) Ratings(ctx context.Context, p principal.Principal, slug string, limit, offset int) ([]Rating, error) {
	a, err := s.store.VisibleAgent(ctx, p.User, slug)
	if err != nil {
		return nil, fmt.Errorf("list ratings: %w", err)
	}
	ratings, err := s.store.Ratings(ctx, a.ID, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("list ratings: %w", err)
	}
	return ratings, nil
}
