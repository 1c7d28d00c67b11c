package auth

import (
	"context"
	"fmt"

	"github.com/IntunoAI/intuno-go/internal/id"
)

// Reserve makes an account that belongs to the system: it is inactive, and its password
// hash is of no password. A login to it fails like one to any other account, at the same
// cost. fault.Conflict if the id or the address is taken.
func (s *Service) Reserve(ctx context.Context, user id.User, email string) error {
	now := s.now()
	a := Account{User: User{ID: user, Email: email, Plan: Free, Created: now, Updated: now}, PasswordHash: s.hasher.dummy}
	if err := s.store.CreateUser(ctx, a, foldEmail(email)); err != nil {
		return fmt.Errorf("reserve an account: %w", err)
	}
	return nil
}
