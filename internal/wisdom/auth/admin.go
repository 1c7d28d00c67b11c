package auth

import (
	"context"
	"fmt"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Ref names a user for the operator: by id, or by address if the id is empty.
type Ref struct {
	ID    id.User
	Email string // in any case
}

// AdminUpdate changes a user on an administrator's request. Faults: forbidden (403),
// not_found, validation_error.
func (s *Service) AdminUpdate(ctx context.Context, p principal.Principal, user id.User, active *bool, plan *Plan) (User, error) {
	if !p.Admin {
		return User{}, fault.New(fault.Forbidden, "forbidden", "Administrators only")
	}
	return s.update(ctx, user, Change{Active: active, Plan: plan})
}

// ListUsers is for the operator: up to limit users after the cursor, oldest first.
func (s *Service) ListUsers(ctx context.Context, after Cursor, limit int) ([]User, error) {
	list, err := s.store.Users(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return list, nil
}

// SetActive is for the operator. Deactivation makes all credentials of the user
// useless: here at once, on other nodes within a second. Tokens stay dead when the
// user is activated again; API keys do not.
func (s *Service) SetActive(ctx context.Context, r Ref, active bool) (User, error) {
	return s.change(ctx, r, Change{Active: &active})
}

// SetPlan is for the operator.
func (s *Service) SetPlan(ctx context.Context, r Ref, plan Plan) (User, error) {
	return s.change(ctx, r, Change{Plan: &plan})
}

// GrantAdmin is for the operator: no route gives the admin flag. Granted false takes
// it away.
func (s *Service) GrantAdmin(ctx context.Context, r Ref, granted bool) (User, error) {
	return s.change(ctx, r, Change{Admin: &granted})
}

func (s *Service) change(ctx context.Context, r Ref, c Change) (User, error) {
	if r.ID != "" {
		return s.update(ctx, r.ID, c)
	}
	a, err := s.store.UserByEmail(ctx, foldEmail(r.Email))
	if err != nil {
		return User{}, missingUser(err)
	}
	return s.update(ctx, a.ID, c)
}

func (s *Service) update(ctx context.Context, user id.User, c Change) (User, error) {
	if c.Plan != nil && *c.Plan != Free && *c.Plan != Pro {
		return User{}, fault.InvalidField("literal_error", "must be free or pro", "body", "plan")
	}
	u, err := s.store.UpdateUser(ctx, user, c, s.now())
	if err != nil {
		return User{}, missingUser(err)
	}
	s.auth.cache.drop(user)
	return u, nil
}

func missingUser(err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Missing("User").Because(err)
	}
	return fmt.Errorf("change user: %w", err)
}
