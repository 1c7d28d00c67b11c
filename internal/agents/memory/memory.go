// Package memory holds what entities remember: short texts under keys, written by
// the owner or by the entity itself.
//
// Whether an entity may use its memory during a turn is not decided here but in
// brain; who may write through the API is decided by owning the entity.
package memory

import (
	"context"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

const (
	// KeyPattern is what a key must match (contract §9.1).
	KeyPattern = `^[a-z0-9][a-z0-9._-]{0,127}$`
	// MaxKey is the longest key, in characters.
	MaxKey = 128
	// MaxValue is the longest value, in Unicode code points (contract §10.6).
	MaxValue = 8192
	// Limit is how many memories an entity may have (contract §10.3).
	Limit = 1000
	// chunk is how many memories are read at once, to bound the memory that a
	// page of large values takes.
	chunk = 32
)

var keyPattern = regexp.MustCompile(KeyPattern)

// Source says who wrote a value.
type Source string

// The sources.
const (
	ByUser   Source = "user"
	ByEntity Source = "entity"
)

// Memory is one text under its key.
type Memory struct {
	Key     string
	Value   string
	Source  Source
	Created time.Time
	Updated time.Time
}

// Query selects a page of memories, sorted by the bytes of the key.
type Query struct {
	Prefix string // literal; "" for all
	After  string // keys greater than it; "" for all
	Limit  int    // 1..200
}

// Of names the entity whose memories are meant. Owner is always the owner of the
// entity; every statement of a store has both.
type Of struct {
	Owner  id.User
	Entity id.Entity
}

// Store keeps memories. An entity that is gone, or is somebody else's, has none,
// and putting to it is fault.Missing.
type Store interface {
	// EntityID finds an entity by name.
	EntityID(ctx context.Context, owner id.User, name string) (id.Entity, error)
	// PutMemory writes m and returns it as it is now, and whether the key is new.
	// A new key beyond limit is refused with full, atomically.
	PutMemory(ctx context.Context, of Of, m Memory, limit int, full error) (Memory, bool, error)
	Memory(ctx context.Context, of Of, key string) (Memory, error)
	Memories(ctx context.Context, of Of, q Query) ([]Memory, error)
	DeleteMemory(ctx context.Context, of Of, key string) error
	DeleteMemories(ctx context.Context, of Of) error
}

// Service applies the rules.
type Service struct {
	Store Store
	Now   clock.Now
}

// Find resolves the name of one of the user's entities.
func (s *Service) Find(ctx context.Context, p principal.Principal, name string) (Of, error) {
	entity, err := s.Store.EntityID(ctx, p.User, name)
	return Of{Owner: p.User, Entity: entity}, err
}

// Put writes a value and reports whether the key is new. created_at of a replaced
// memory stays. Faults: memory_limit_reached for a new key, 422 for a bad value or key.
func (s *Service) Put(ctx context.Context, of Of, key, value string, by Source) (Memory, bool, error) {
	if !keyPattern.MatchString(key) {
		return Memory{}, false, fault.InvalidField("string_pattern_mismatch", "must match "+KeyPattern, "body", "key")
	}
	if n := utf8.RuneCountInString(value); n < 1 || n > MaxValue || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		return Memory{}, false, fault.InvalidField("value_error", "must have 1 to 8192 characters", "body", "value")
	}
	now := s.Now()
	full := fault.New(fault.Conflict, "memory_limit_reached", "An entity can have at most %d memories", Limit)
	return s.Store.PutMemory(ctx, of, Memory{Key: key, Value: value, Source: by, Created: now, Updated: now}, Limit, full)
}

// Get returns one memory.
func (s *Service) Get(ctx context.Context, of Of, key string) (Memory, error) {
	return s.Store.Memory(ctx, of, key)
}

// List returns a page. It may be shorter than the limit to keep its JSON under
// 1 MiB; an empty page is the end.
func (s *Service) List(ctx context.Context, of Of, q Query) ([]Memory, error) {
	var page []Memory
	var budget entity.Page
	for len(page) < q.Limit {
		want := min(chunk, q.Limit-len(page))
		list, err := s.Store.Memories(ctx, of, Query{Prefix: q.Prefix, After: q.After, Limit: want})
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			if !budget.Take(jsonSize(m)) {
				return page, nil
			}
			page = append(page, m)
			q.After = m.Key
		}
		if len(list) < want {
			break
		}
	}
	return page, nil
}

// jsonSize is an upper bound of the bytes that m takes in a JSON list.
func jsonSize(m Memory) int { return 256 + len(m.Key) + entity.TextBytes(m.Value) }

// Delete forgets one memory. An absent key is fault.Missing.
func (s *Service) Delete(ctx context.Context, of Of, key string) error {
	return s.Store.DeleteMemory(ctx, of, key)
}

// Clear forgets everything.
func (s *Service) Clear(ctx context.Context, of Of) error { return s.Store.DeleteMemories(ctx, of) }

// Slug makes a key of what a person wrote: lower case, a hyphen for every run of
// characters that a key cannot have, no punctuation at the end, at most 128
// characters. It returns "" if nothing is left that a key can begin with.
func Slug(text string) string {
	var key []byte
	gap := false
	for _, c := range strings.ToLower(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', len(key) > 0 && (c == '.' || c == '_' || c == '-'):
			if gap && len(key) > 0 && key[len(key)-1] != '-' && c != '-' {
				key = append(key, '-')
			}
			key, gap = append(key, byte(c)), false
		default:
			gap = true
		}
	}
	return strings.TrimRight(string(key[:min(len(key), MaxKey)]), "-._")
}
