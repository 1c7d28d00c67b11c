package network

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// oldSecretLife is how long a webhook secret signs too after it was replaced (contract
// §6.2).
const oldSecretLife = 24 * time.Hour

// NewParticipant is what a participant is made from.
type NewParticipant struct {
	Name         string
	Agent        id.Agent // "": none
	Kind         string   // "": agent
	CallbackURL  *string
	Polling      bool
	Capabilities []byte
}

// ParticipantPatch changes a participant; nil keeps what is there.
type ParticipantPatch struct {
	CallbackURL  *string // "" clears it
	Polling      *bool
	Capabilities []byte
	Status       *string
}

// Join adds a participant and returns the secret of its webhooks, which nobody is shown
// again. Faults, in this order: NotFound, network_not_active (400), unsafe_url (400),
// NotFound of the agent, agent_inactive (400), agent_already_joined and
// participant_limit_reached (409).
func (s *Service) Join(ctx context.Context, p principal.Principal, network id.Network, n NewParticipant) (Participant, secret.String, error) {
	state, err := s.present(ctx, p.User, network)
	if err != nil {
		return Participant{}, secret.String{}, err
	}
	if state.Status != Active {
		return Participant{}, secret.String{}, networkNotActive()
	}
	if err := s.checkJoin(ctx, p.User, n); err != nil {
		return Participant{}, secret.String{}, err
	}
	now, text := s.config.Now(), newWebhookSecret()
	who := Participant{ID: id.New[id.Participant](), Network: network, Owner: p.User, Agent: n.Agent, Kind: cmp.Or(n.Kind, "agent"), Name: n.Name,
		CallbackURL: n.CallbackURL, Capabilities: n.Capabilities, Status: Active, Created: now, Updated: now,
		Polling: n.Polling || n.CallbackURL == nil && n.Agent == ""}
	who.Secret = Secrets{Sealed: s.sealSecret(who.ID, text), KeyID: s.config.Keys.KeyID()}
	who, err = s.config.Store.Join(ctx, who, func(n Network, active int, joined bool) error {
		if n.Status != Active {
			return networkNotActive() // since this moment
		}
		return s.admit(active, joined)
	})
	s.changed(network)
	if err != nil {
		return Participant{}, secret.String{}, fmt.Errorf("join a network: %w", err) // what is missing it tells itself
	}
	return who, text, nil
}

// checkJoin looks at what a participant brings along.
func (s *Service) checkJoin(ctx context.Context, owner id.User, n NewParticipant) error {
	if n.CallbackURL != nil {
		if err := s.config.URLs.Check(ctx, *n.CallbackURL); err != nil {
			return fmt.Errorf("check a callback: %w", err)
		}
	}
	if n.Agent == "" {
		return nil
	}
	link, err := s.config.Agents.Linked(ctx, owner, n.Agent)
	switch {
	case err != nil:
		return fmt.Errorf("find the agent of a participant: %w", err)
	case !link.Known:
		return fault.Missing("Agent")
	case !link.Active:
		return fault.New(fault.BadRequest, "agent_inactive", "The agent is not active")
	}
	return nil
}

// admit tells whether one more may be active, beside so many, among whom its agent is or
// is not.
func (s *Service) admit(active int, joined bool) error {
	switch {
	case joined:
		return fault.New(fault.Conflict, "agent_already_joined", "The agent is a participant of the network already")
	case active >= s.config.MaxParticipants:
		return fault.New(fault.Conflict, "participant_limit_reached", "A network can have %d active participants", s.config.MaxParticipants)
	}
	return nil
}

// Participants lists those who are active, in the order in which they joined. Fault:
// NotFound.
func (s *Service) Participants(ctx context.Context, p principal.Principal, network id.Network) ([]Participant, error) {
	state, err := s.present(ctx, p.User, network)
	if err != nil {
		return nil, err
	}
	return state.active(), nil
}

// active are those who are active, in the order in which they joined.
func (s *State) active() []Participant {
	return slices.DeleteFunc(slices.Clone(s.Participants), func(p Participant) bool { return p.Status != Active })
}

// EditParticipant changes a participant; any status may follow any other. Faults:
// NotFound, unsafe_url (400), and if it becomes active agent_already_joined and
// participant_limit_reached (409).
func (s *Service) EditParticipant(ctx context.Context, p principal.Principal, network id.Network, who id.Participant, patch ParticipantPatch) (Participant, error) {
	if patch.CallbackURL != nil && *patch.CallbackURL != "" {
		// Nobody may have our name servers asked for a participant that is not his.
		if _, err := s.config.Store.Participant(ctx, p.User, network, who); err != nil {
			return Participant{}, missing("Participant", "find a participant", err)
		}
		if err := s.config.URLs.Check(ctx, *patch.CallbackURL); err != nil {
			return Participant{}, fmt.Errorf("check a callback: %w", err)
		}
	}
	now := s.config.Now()
	return s.editParticipant(ctx, p.User, network, who, func(p Participant, active int, joined bool) (Participant, error) {
		if patch.Status != nil && *patch.Status == Active && p.Status != Active {
			if err := s.admit(active, joined); err != nil {
				return p, err
			}
		}
		p.Updated = now
		replace(&p.Status, patch.Status)
		replace(&p.Polling, patch.Polling)
		if patch.Capabilities != nil {
			p.Capabilities = patch.Capabilities
		}
		switch {
		case patch.CallbackURL == nil:
		case *patch.CallbackURL == "":
			p.CallbackURL = nil
		default:
			p.CallbackURL = patch.CallbackURL
		}
		return p, nil
	})
}

// Remove removes a participant; once more changes nothing. Fault: NotFound.
func (s *Service) Remove(ctx context.Context, p principal.Principal, network id.Network, who id.Participant) error {
	now := s.config.Now()
	_, err := s.editParticipant(ctx, p.User, network, who, func(p Participant, _ int, _ bool) (Participant, error) {
		if p.Status != Removed {
			p.Status, p.Updated = Removed, now
		}
		return p, nil
	})
	return err
}

// RotateSecret gives a participant a new webhook secret; the old one signs too until the
// returned time, 24 h from now. The one before that is forgotten. Fault: NotFound.
func (s *Service) RotateSecret(ctx context.Context, p principal.Principal, network id.Network, who id.Participant) (secret.String, time.Time, error) {
	now, text := s.config.Now(), newWebhookSecret()
	until := now.Add(oldSecretLife)
	fresh := s.sealSecret(who, text)
	_, err := s.editParticipant(ctx, p.User, network, who, func(p Participant, _ int, _ bool) (Participant, error) {
		p.Updated = now
		next := Secrets{Sealed: fresh, KeyID: s.config.Keys.KeyID()}
		// One key seals both, so the old one is sealed anew. One that no key opens any more
		// signs nothing either way.
		if old, err := s.config.Keys.Open(p.Secret.Sealed, string(who)); err == nil {
			next.Old, next.OldUntil = s.sealSecret(who, old), until
		}
		p.Secret = next
		return p, nil
	})
	if err != nil {
		return secret.String{}, time.Time{}, err
	}
	return text, until, nil
}

// editParticipant changes one of owner's. Fault: NotFound.
func (s *Service) editParticipant(ctx context.Context, owner id.User, network id.Network, who id.Participant,
	edit func(p Participant, active int, joined bool) (Participant, error)) (Participant, error) {
	edited, err := s.config.Store.EditParticipant(ctx, owner, network, who, func(_ Network, p Participant, active int, joined bool) (Participant, error) {
		return edit(p, active, joined)
	})
	s.changed(network)
	if err != nil {
		return Participant{}, missing("Participant", "edit a participant", err)
	}
	return edited, nil
}
