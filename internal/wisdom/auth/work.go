package auth

import (
	"context"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
)

const (
	usesQueued    = 1024        // uses of API keys that wait to be noted; more are dropped
	useNotedEvery = time.Minute // of one API key
	purgeEvery    = 5 * time.Minute

	// endedFor is how long a revoked token is remembered after its end: longer than
	// the clocks of two nodes can differ.
	endedFor = time.Hour
)

// use is one use of an API key.
type use struct {
	owner id.User
	key   id.APIKey
	at    time.Time
}

// Run does what no request waits for, until ctx ends: it notes when API keys were
// used, and forgets ended tokens and old failed logins. It returns nil. Without it
// everything else works, only last_used_at stays behind and rows pile up.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	s.purge(ctx)
	for {
		select {
		case <-ctx.Done():
			for len(s.uses) > 0 {
				s.note(ctx, <-s.uses)
			}
			return nil
		case u := <-s.uses:
			s.note(ctx, u)
		case <-tick.C:
			s.purge(ctx)
		}
	}
}

// note runs even while ctx ends: a use that was taken from the queue is not lost.
func (s *Service) note(ctx context.Context, u use) {
	ctx, cancel := detached(ctx)
	defer cancel()
	if err := s.store.TouchAPIKey(ctx, u.owner, u.key, u.at, useNotedEvery); err != nil {
		s.log.Warn("note use of API key", "key", u.key, "error", err)
	}
}

func (s *Service) purge(ctx context.Context) {
	now := s.now()
	if err := s.store.PurgeLogins(ctx, now.Add(-endedFor), now.Add(-loginWindow)); err != nil && ctx.Err() == nil {
		s.log.Warn("purge revoked tokens and failed logins", "error", err)
	}
}
