package entity

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Bounds of an entity's fields, in Unicode code points (contract §10.2).
const (
	MaxDisplayName  = 128
	MaxInstructions = 32768
	MaxModel        = 128
	MaxPauseReason  = 280
)

// The tools that an entity may be allowed to use (contract §11.3).
const (
	ToolDiscover  = "discover_agents"
	ToolInvoke    = "invoke_agent"
	ToolImportA2A = "import_a2a_agent"
	ToolNetworks  = "networks"
	ToolMemory    = "memory"
	ToolClock     = "clock"
)

// Status says whether an entity takes messages.
type Status string

// The statuses of an entity.
const (
	Active Status = "active"
	Paused Status = "paused"
)

// Entity is a user's private assistant.
type Entity struct {
	ID            id.Entity
	Owner         id.User
	Name          string // unique per owner, never changes
	DisplayName   string
	Instructions  string
	Model         *string  // nil: the host's default
	Temperature   *float64 // 0..2; nil: the model's default
	Tools         []string
	MemoryEnabled bool
	Status        Status
	PauseReason   *string
	Created       time.Time
	Updated       time.Time
	LastActive    *time.Time // when a message was last accepted
}

// Allows reports whether the entity may use a tool.
func (e Entity) Allows(tool string) bool { return slices.Contains(e.Tools, tool) }

// ForStranger is the entity as it works for somebody who is not its owner: with the
// tools clock and discover_agents at most, and without memory (contract §10.7).
func (e Entity) ForStranger() Entity {
	e.Tools = slices.DeleteFunc(slices.Clone(e.Tools), func(tool string) bool { return tool != ToolClock && tool != ToolDiscover })
	e.MemoryEnabled = false
	return e
}

// Draft is what a create may say. Nil means the default.
type Draft struct {
	Name          string
	DisplayName   *string
	Instructions  *string
	Model         *string
	Temperature   *float64
	Tools         []string // nil: every tool but import_a2a_agent
	MemoryEnabled *bool
}

// Nullable is a field of a Patch that may also be reset.
type Nullable[T any] struct {
	Set   bool // the patch names the field
	Value *T   // nil resets it
}

// Patch is what may change. A nil field keeps its value.
type Patch struct {
	DisplayName   *string
	Instructions  *string
	Model         Nullable[string]
	Temperature   Nullable[float64]
	Tools         *[]string
	MemoryEnabled *bool
}

func (p Patch) empty() bool {
	return p.DisplayName == nil && p.Instructions == nil && !p.Model.Set && !p.Temperature.Set &&
		p.Tools == nil && p.MemoryEnabled == nil
}

func (p Patch) apply(e *Entity) {
	if p.DisplayName != nil {
		e.DisplayName = *p.DisplayName
	}
	if p.Instructions != nil {
		e.Instructions = *p.Instructions
	}
	if p.Model.Set {
		e.Model = p.Model.Value
	}
	if p.Temperature.Set {
		e.Temperature = p.Temperature.Value
	}
	if p.Tools != nil {
		e.Tools = *p.Tools
	}
	if p.MemoryEnabled != nil {
		e.MemoryEnabled = *p.MemoryEnabled
	}
}

// Store keeps entities. Every method but CreateEntity finds only what belongs to
// owner; anything else is fault.Missing.
type Store interface {
	// CreateEntity keeps e and, in the same transaction, the answer under the
	// key of once, unless admit decides otherwise.
	CreateEntity(ctx context.Context, e Entity, once Once, answer []byte, admit func(*Record) Admission) (Receipt, error)
	Entity(ctx context.Context, owner id.User, name string) (Entity, error)
	// Entities lists oldest first.
	Entities(ctx context.Context, owner id.User) ([]Entity, error)
	// EditEntity replaces the entity by what edit returns. edit is pure: it may
	// run twice. A false keeps the entity as it is.
	EditEntity(ctx context.Context, owner id.User, name string, edit func(Entity) (Entity, bool)) (Entity, error)
	// DeleteEntity removes the entity and everything that hangs on it, its
	// idempotency records included.
	DeleteEntity(ctx context.Context, owner id.User, name string) (id.Entity, error)
	// ForgetOnce drops up to limit records that were made before the time.
	ForgetOnce(ctx context.Context, before time.Time, limit int) (int, error)
}

// Service applies the rules. All methods act on the entities of the principal's
// user only.
type Service struct {
	Store   Store
	Now     clock.Now
	Encode  func(Entity) ([]byte, error) // the answer of a create, as it is sent and kept
	Gone    func(id.Entity)              // told when an entity has been deleted; may be nil
	Changed func()                       // told after a create, change or deletion; may be nil
}

func (s *Service) changed() {
	if s.Changed != nil {
		s.Changed()
	}
}

// Created is the outcome of Create: the answer as it is sent, or a refusal that
// was kept under the Idempotency-Key.
type Created struct {
	Answer   []byte
	Refusal  *fault.Error
	Replayed bool
}

// Create makes an entity. It is durable when Create returns.
// Faults: entity_exists, and those of a repeated key (contract §1.6).
func (s *Service) Create(ctx context.Context, p principal.Principal, d Draft, once Once) (Created, error) {
	e := s.entity(p, d)
	answer, err := s.Encode(e)
	if err != nil {
		return Created{}, fmt.Errorf("encode entity: %w", err)
	}
	receipt, err := s.Store.CreateEntity(ctx, e, once, answer, func(r *Record) Admission { return Admit(r, once, e.Created) })
	if err != nil {
		return Created{}, err
	}
	if receipt.Replay == nil {
		s.changed()
		return Created{Answer: answer}, nil
	}
	return Created{Answer: receipt.Replay.Answer, Refusal: receipt.Replay.Refusal, Replayed: true}, nil
}

func (s *Service) entity(p principal.Principal, d Draft) Entity {
	now := s.Now()
	e := Entity{
		ID: id.New[id.Entity](), Owner: p.User, Name: d.Name, DisplayName: d.Name, Model: d.Model, Temperature: d.Temperature,
		Tools:         []string{ToolDiscover, ToolInvoke, ToolNetworks, ToolMemory, ToolClock},
		MemoryEnabled: true, Status: Active, Created: now, Updated: now,
	}
	patch := Patch{DisplayName: d.DisplayName, Instructions: d.Instructions, MemoryEnabled: d.MemoryEnabled}
	if d.Tools != nil {
		patch.Tools = &d.Tools
	}
	patch.apply(&e)
	return e
}

// Get returns one entity.
func (s *Service) Get(ctx context.Context, p principal.Principal, name string) (Entity, error) {
	return s.Store.Entity(ctx, p.User, name)
}

// List returns the user's entities, oldest first.
func (s *Service) List(ctx context.Context, p principal.Principal) ([]Entity, error) {
	return s.Store.Entities(ctx, p.User)
}

// Patch changes an entity. Fault: empty_patch.
func (s *Service) Patch(ctx context.Context, p principal.Principal, name string, change Patch) (Entity, error) {
	if change.empty() {
		// An entity that is not there is reported first (contract §1.4).
		if _, err := s.Store.Entity(ctx, p.User, name); err != nil {
			return Entity{}, err
		}
		return Entity{}, fault.New(fault.BadRequest, "empty_patch", "Name at least one field to change")
	}
	return s.edit(ctx, p, name, func(e *Entity) bool {
		change.apply(e)
		return true
	})
}

// Pause stops an entity from taking messages; a running turn finishes. Pausing a
// paused entity changes nothing, except that a reason replaces the former one.
func (s *Service) Pause(ctx context.Context, p principal.Principal, name string, reason *string) (Entity, error) {
	return s.edit(ctx, p, name, func(e *Entity) bool {
		known := e.PauseReason != nil && reason != nil && *e.PauseReason == *reason
		if e.Status == Paused && (reason == nil || known) {
			return false
		}
		e.Status, e.PauseReason = Paused, reason
		return true
	})
}

// Resume lets an entity take messages again and forgets the reason of the pause.
func (s *Service) Resume(ctx context.Context, p principal.Principal, name string) (Entity, error) {
	return s.edit(ctx, p, name, func(e *Entity) bool {
		if e.Status == Active {
			return false
		}
		e.Status, e.PauseReason = Active, nil
		return true
	})
}

func (s *Service) edit(ctx context.Context, p principal.Principal, name string, change func(*Entity) bool) (Entity, error) {
	now := s.Now()
	e, err := s.Store.EditEntity(ctx, p.User, name, func(e Entity) (Entity, bool) {
		if !change(&e) {
			return e, false
		}
		if now.After(e.Updated) { // a clock that steps back must not show
			e.Updated = now
		}
		return e, true
	})
	if err == nil {
		s.changed()
	}
	return e, err
}

// Delete removes an entity with all that it said and remembers, and cancels its
// running turn. It is durable when Delete returns.
func (s *Service) Delete(ctx context.Context, p principal.Principal, name string) error {
	gone, err := s.Store.DeleteEntity(ctx, p.User, name)
	if err != nil {
		return err
	}
	s.changed()
	if s.Gone != nil {
		s.Gone(gone)
	}
	return nil
}
