package registry

import (
	"context"
	"fmt"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/recent"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// Callee is an agent as it is called: with its endpoint, whoever asks, and with the
// credential of its auth type. One that an administrator has switched off is not active.
// It is shared: nobody may change what it points to.
type Callee struct {
	Agent
	Credential *Credential // nil: none is stored, or no key that is configured opens it
}

// CalleeStore reads agents to be called.
type CalleeStore interface {
	// CalledAgent finds an agent by its slug, whoever may see it, with the credential of
	// its auth type, nil if there is none: both as they were at one moment. An owner who
	// moves the endpoint to another origin, which deletes the credential, must never see
	// the old one arrive there. fault.NotFound.
	CalledAgent(ctx context.Context, slug string) (Agent, *SealedCredential, error)
	// CalledAgentByID is CalledAgent for what refers to an agent.
	CalledAgentByID(ctx context.Context, agent id.Agent) (Agent, *SealedCredential, error)
}

// calleesKept bounds the agents that are remembered to be called.
const calleesKept = 4096

// Callees finds what is to be called. What it knows is at most a second old, and as new
// as the last change by this process, provided that Drop is told of it. It is safe for
// concurrent use.
type Callees struct {
	store CalleeStore
	keys  *secret.Keyring
	kept  *recent.Cache[Callee]
}

// NewCallees returns Callees that open credentials with keys.
func NewCallees(store CalleeStore, keys *secret.Keyring, now clock.Now) *Callees {
	return &Callees{store, keys, recent.New[Callee](now, calleesKept)}
}

// Drop forgets everything: an agent or a credential has been changed.
func (c *Callees) Drop() { c.kept.Drop() }

// Callee finds an agent that viewer may see, active or not, by its slug. fault.NotFound.
func (c *Callees) Callee(ctx context.Context, viewer id.User, slug string) (Callee, error) {
	if !possibleSlug(slug) {
		return Callee{}, fault.Missing("Agent")
	}
	found, err := c.kept.Get(ctx, slug, func(ctx context.Context) (Callee, error) {
		a, sealed, err := c.store.CalledAgent(ctx, slug)
		return c.open(a, sealed, err)
	})
	if err != nil {
		return Callee{}, fmt.Errorf("find an agent to call: %w", err)
	}
	if !found.seenBy(viewer) {
		return Callee{}, fault.Missing("Agent")
	}
	return found, nil
}

// Linked finds an agent that something else refers to, active or not. The zero value: it
// is gone.
func (c *Callees) Linked(ctx context.Context, viewer id.User, agent id.Agent) (Link, error) {
	if agent == "" {
		return Link{}, nil
	}
	// No slug begins like that.
	found, err := c.kept.Get(ctx, "#"+string(agent), func(ctx context.Context) (Callee, error) {
		a, sealed, err := c.store.CalledAgentByID(ctx, agent)
		return c.open(a, sealed, err)
	})
	if err != nil {
		return Link{}, fmt.Errorf("find a linked agent: %w", err)
	}
	link := Link{Known: found.seenBy(viewer), Disabled: found.Disabled}
	if link.Known {
		link.Callee = found
	}
	return link, nil
}

func (c Callee) seenBy(viewer id.User) bool {
	return c.ID != "" && (c.Visibility == Public || c.Owner == viewer)
}

// open makes what is remembered of what was read. That there is none is remembered too:
// what is somebody else's must not answer faster than what does not exist.
func (c *Callees) open(a Agent, sealed *SealedCredential, err error) (Callee, error) {
	if fault.Is(err, fault.NotFound) {
		return Callee{}, nil
	}
	if err != nil || sealed == nil {
		return Callee{Agent: a}, err
	}
	value, err := c.keys.Open(sealed.Sealed, string(sealed.Agent), sealed.Type)
	if err != nil {
		return Callee{Agent: a}, nil //nolint:nilerr // Vault.Run tells of what no key opens
	}
	return Callee{a, &Credential{Type: sealed.Type, Value: value, Header: sealed.Header, Scheme: sealed.Scheme}}, nil
}

// maxSlug is the length of the longest slug (contract §4.2).
const maxSlug = 64

// possibleSlug tells whether there could be an agent of that name. Whatever else a caller
// sends is not asked for.
func possibleSlug(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxSlug
}

// Link is an agent that something else refers to, whatever has become of it.
type Link struct {
	Known    bool // it exists, and the viewer may see it
	Disabled bool // an administrator has switched it off, whoever may see it
	Callee        // if Known
}
