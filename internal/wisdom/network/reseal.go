package network

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
)

const (
	resealBatch = 100
	resealEvery = time.Hour // processes with the keys of before may still store some
	resealRetry = 5 * time.Second
)

// reseal seals webhook secrets once more, with the current key, that another has sealed: at
// once and then every hour until ctx ends. It tells when it has done something, and what
// cannot be opened.
func (s *Service) reseal(ctx context.Context) {
	failing, known := false, 0
	for ctx.Err() == nil {
		wait := resealEvery
		resealed, unreadable, err := s.resealAll(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failing {
				s.config.Log.ErrorContext(ctx, "webhook secrets cannot be sealed with the current key", "error", err)
			}
			wait = resealRetry
		case unreadable > 0 && unreadable != known:
			s.config.Log.ErrorContext(ctx, "some webhook secrets cannot be opened: is a key missing from CREDENTIALS_ENCRYPTION_KEY?",
				"key_id", s.config.Keys.KeyID(), "resealed", resealed, "unreadable", unreadable)
		case resealed > 0:
			s.config.Log.InfoContext(ctx, "every webhook secret is sealed with the current key", "key_id", s.config.Keys.KeyID(), "resealed", resealed)
		}
		failing, known = err != nil, unreadable
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// resealAll goes through the secrets that another key has sealed. Several processes may do
// so at once, while others are stored.
func (s *Service) resealAll(ctx context.Context) (resealed, unreadable int, err error) {
	var after id.Participant
	for {
		list, err := s.config.Store.OtherwiseSealed(ctx, s.config.Keys.KeyID(), after, resealBatch)
		if err != nil {
			return resealed, unreadable, fmt.Errorf("list webhook secrets: %w", err)
		}
		if len(list) == 0 {
			return resealed, unreadable, nil
		}
		for i := range list {
			fresh, err := s.sealedAgain(&list[i])
			if err != nil {
				unreadable++
				continue
			}
			written, err := s.config.Store.Reseal(ctx, list[i].ID, list[i].Secret, fresh)
			if err != nil {
				return resealed, unreadable, fmt.Errorf("store a webhook secret: %w", err)
			}
			if written {
				resealed++
			}
		}
		after = list[len(list)-1].ID
	}
}

// sealedAgain is the secrets of p under the current key.
func (s *Service) sealedAgain(p *Participant) (Secrets, error) {
	current, err := s.config.Keys.Open(p.Secret.Sealed, string(p.ID))
	if err != nil {
		return Secrets{}, fmt.Errorf("open the webhook secret of participant %s: %w", p.ID, err)
	}
	fresh := Secrets{Sealed: s.sealSecret(p.ID, current), KeyID: s.config.Keys.KeyID()}
	if p.Secret.Old != nil {
		old, err := s.config.Keys.Open(p.Secret.Old, string(p.ID))
		if err != nil {
			return Secrets{}, fmt.Errorf("open the former webhook secret of participant %s: %w", p.ID, err)
		}
		fresh.Old, fresh.OldUntil = s.sealSecret(p.ID, old), p.Secret.OldUntil
	}
	return fresh, nil
}
