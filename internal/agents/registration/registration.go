package registration

import (
	"context"
	"errors"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// Wanted is what the registry should say of an entity.
type Wanted string

// What can be wanted.
const (
	Active   Wanted = "active"
	Inactive Wanted = "inactive"
	Removed  Wanted = "removed"
)

// Of is what is wanted of an entity that exists.
func Of(e entity.Entity) Wanted {
	if e.Status == entity.Active {
		return Active
	}
	return Inactive
}

// Changed reports whether the registry must be told of a change of an entity.
func Changed(before, after entity.Entity) bool {
	return before.DisplayName != after.DisplayName || Of(before) != Of(after)
}

// Job is one row that an attempt works on.
type Job struct {
	Owner    id.User
	Entity   string // its name
	Title    string // its display name
	Wanted   Wanted
	Revision int64    // of what is wanted
	Agent    id.Agent // in the registry; "": not known
	Stale    bool     // the agent is that of a deleted entity of the same name: it goes first
	Attempts int      // since the last change or success, this one included
	Claim    string   // names the attempt: the fence of what it writes
}

// ErrLost says that the job is no longer the attempt's: its lease ended, and another
// attempt has it or has done it.
var ErrLost = errors.New("the registration was taken over")

// Store keeps what is wanted. What is wanted is written with the change of the entity.
type Store interface {
	// ClaimRegistration leases the job that is due for longest. False: none is.
	ClaimRegistration(ctx context.Context, claim string, now, lease time.Time) (Job, bool, error)
	// SettleRegistration keeps that the job was done as it was claimed, and the agent's
	// id. If something else is wanted by now the job is due again. ErrLost: the registry
	// may say what this attempt wanted last, so the job was made due again too.
	SettleRegistration(ctx context.Context, j Job) error
	// PostponeRegistration keeps that the attempt failed. ErrLost as above.
	PostponeRegistration(ctx context.Context, j Job, again time.Time, reason string) error
}

// Registry is the registry of wisdom, on behalf of owner. An agent that the owner does
// not have, and an owner that wisdom does not know or has deactivated, are fault.NotFound.
type Registry interface {
	// Register makes the entity's agent, private, or finds it; it is active then.
	Register(ctx context.Context, owner id.User, entityName, title string) (id.Agent, error)
	// Update gives the agent its name and switches it on or off.
	Update(ctx context.Context, owner id.User, agent id.Agent, title string, active bool) error
	Remove(ctx context.Context, owner id.User, agent id.Agent) error
}
