package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// An API key is the prefix and 32 random bytes in base64url.
const (
	keyPrefix = "wsk_"
	keyBytes  = 32
	keyLength = len(keyPrefix) + 43

	maxKeyName = 255 // characters
)

// keyShaped reports whether s can be an API key at all, to spare the database a
// question.
func keyShaped(s string) bool {
	rest, ok := strings.CutPrefix(s, keyPrefix)
	return ok && len(s) == keyLength && strings.Trim(rest, base64Letters) == ""
}

// CreateKey makes an API key for p's user, who must have come with a token. text is
// the key itself, shown this once. Faults: jwt_required (403), validation_error.
func (s *Service) CreateKey(ctx context.Context, p principal.Principal, name string, expires *time.Time) (k APIKey, text string, err error) {
	return s.createKey(ctx, p, nil, name, expires)
}

// CreateIntegrationKey is CreateKey for one of the user's integrations. Fault: not_found
// too.
func (s *Service) CreateIntegrationKey(ctx context.Context, p principal.Principal, integration id.Integration, name string, expires *time.Time) (APIKey, string, error) {
	return s.createKey(ctx, p, &integration, name, expires)
}

func (s *Service) createKey(ctx context.Context, p principal.Principal, integration *id.Integration, name string, expires *time.Time) (k APIKey, text string, err error) {
	if p.Via != principal.JWT {
		return APIKey{}, "", jwtRequired()
	}
	now := s.now()
	if n := utf8.RuneCountInString(name); n < 1 || n > maxKeyName {
		return APIKey{}, "", fault.InvalidField("value_error", "1 to 255 characters", "body", "name")
	}
	if expires != nil && !expires.After(now) {
		return APIKey{}, "", fault.InvalidField("value_error", "must be in the future", "body", "expires_at")
	}
	text = keyPrefix + base64.RawURLEncoding.EncodeToString(random(keyBytes))
	digest := sha256.Sum256([]byte(text))
	k = APIKey{ID: id.New[id.APIKey](), Name: name, Integration: integration, Created: now, Expires: expires}
	if err := s.store.CreateAPIKey(ctx, p.User, k, hex.EncodeToString(digest[:])); err != nil {
		return APIKey{}, "", missing("Integration", "create API key", err)
	}
	return k, text, nil
}

// Keys lists the API keys of p's user, newest first.
func (s *Service) Keys(ctx context.Context, p principal.Principal) ([]APIKey, error) {
	list, err := s.store.APIKeys(ctx, p.User)
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return list, nil
}

// DeleteKey ends an API key of p's user, who must have come with a token. Faults:
// jwt_required (403), not_found.
func (s *Service) DeleteKey(ctx context.Context, p principal.Principal, key id.APIKey) error {
	if p.Via != principal.JWT {
		return jwtRequired()
	}
	if err := s.store.DeleteAPIKey(ctx, p.User, key); err != nil {
		return missing("API key", "delete API key", err)
	}
	s.Forget(p.User)
	return nil
}

// IntegrationKeys lists the API keys of an integration of p's user, newest first. Fault:
// not_found.
func (s *Service) IntegrationKeys(ctx context.Context, p principal.Principal, integration id.Integration) ([]APIKey, error) {
	list, err := s.store.IntegrationKeys(ctx, p.User, integration)
	if err != nil {
		return nil, missing("Integration", "list API keys of an integration", err)
	}
	return list, nil
}

// DeleteIntegrationKey is DeleteKey for a key of that integration.
func (s *Service) DeleteIntegrationKey(ctx context.Context, p principal.Principal, integration id.Integration, key id.APIKey) error {
	if p.Via != principal.JWT {
		return jwtRequired()
	}
	if err := s.store.DeleteIntegrationKey(ctx, p.User, integration, key); err != nil {
		return missing("API key", "delete API key of an integration", err)
	}
	s.Forget(p.User)
	return nil
}

// missing names what was not found.
func missing(what, doing string, err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Missing(what).Because(err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
