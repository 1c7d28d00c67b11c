package network

import (
	"cmp"
	"context"
	"fmt"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// NewNetwork is what a network is made from. The edge has checked the bounds of contract
// §1.2.
type NewNetwork struct {
	Name     string
	Topology string // "": mesh
	Metadata []byte
}

// Patch changes a network; nil keeps what is there.
type Patch struct {
	Name, Topology, Status *string
	Metadata               []byte
}

// Create makes a network of p's user.
func (s *Service) Create(ctx context.Context, p principal.Principal, n NewNetwork) (Network, error) {
	now := s.config.Now()
	network := Network{ID: id.New[id.Network](), Owner: p.User, Name: n.Name, Topology: cmp.Or(n.Topology, Mesh), Metadata: n.Metadata,
		Status: Active, Revision: 1, Created: now, Updated: now}
	if err := s.config.Store.CreateNetwork(ctx, network); err != nil {
		return Network{}, fmt.Errorf("create a network: %w", err)
	}
	return network, nil
}

// List returns the networks of p's user, newest first.
func (s *Service) List(ctx context.Context, p principal.Principal, limit, offset int) ([]Network, error) {
	list, err := s.config.Store.Networks(ctx, p.User, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	return list, nil
}

// Get finds a network of p's user. Fault: NotFound.
func (s *Service) Get(ctx context.Context, p principal.Principal, network id.Network) (Network, error) {
	state, err := s.present(ctx, p.User, network)
	return state.Network, err
}

// Edit changes a network of p's user. Any status may follow any other. Fault: NotFound.
func (s *Service) Edit(ctx context.Context, p principal.Principal, network id.Network, patch Patch) (Network, error) {
	now := s.config.Now()
	n, err := s.config.Store.EditNetwork(ctx, p.User, network, func(n Network) Network {
		n.Updated = now
		replace(&n.Name, patch.Name)
		replace(&n.Topology, patch.Topology)
		replace(&n.Status, patch.Status)
		if patch.Metadata != nil {
			n.Metadata = patch.Metadata
		}
		return n
	})
	s.changed(network) // after an error too: it may have happened
	if err != nil {
		return Network{}, missing("Network", "edit a network", err)
	}
	return n, nil
}

// Delete removes a network of p's user with everything in it. Fault: NotFound.
func (s *Service) Delete(ctx context.Context, p principal.Principal, network id.Network) error {
	err := s.config.Store.DeleteNetwork(ctx, p.User, network, s.config.Now())
	s.changed(network)
	if err != nil {
		return missing("Network", "delete a network", err)
	}
	return nil
}

// recent is a network as it was less than a second ago, whoever asks, without Metadata and
// Capabilities; the zero value if there is none. That is remembered too: what is somebody
// else's must not answer faster than what does not exist.
func (s *Service) recent(ctx context.Context, network id.Network) (State, error) {
	state, err := s.states.Get(ctx, string(network), func(ctx context.Context) (State, error) {
		state, err := s.read(ctx, network)
		state.Metadata = nil // up to 32 KiB each
		for i := range state.Participants {
			state.Participants[i].Capabilities = nil
		}
		return state, err
	})
	if err != nil {
		return State{}, fmt.Errorf("read a network: %w", err)
	}
	return state, nil
}

// read is a network as it is, whoever asks; the zero value if there is none.
func (s *Service) read(ctx context.Context, network id.Network) (State, error) {
	state, err := s.config.Store.State(ctx, network)
	if fault.Is(err, fault.NotFound) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read a network: %w", err)
	}
	return state, nil
}

// present is a network of owner as it is. Fault: NotFound.
func (s *Service) present(ctx context.Context, owner id.User, network id.Network) (State, error) {
	state, err := s.read(ctx, network)
	if err == nil {
		err = state.of(owner)
	}
	if err != nil {
		return State{}, err
	}
	return state, nil
}

// known is present, but as the network was less than a second ago: for what asks the
// store for the owner again.
func (s *Service) known(ctx context.Context, owner id.User, network id.Network) (State, error) {
	state, err := s.recent(ctx, network)
	if err == nil {
		err = state.of(owner)
	}
	if err != nil {
		return State{}, err
	}
	return state, nil
}

// of is the one place that tells whose a network is. Fault: NotFound.
func (s *State) of(owner id.User) error {
	if s.ID == "" || owner == "" || s.Owner != owner {
		return fault.Missing("Network")
	}
	return nil
}

// changed forgets what is known of a network, and has its deliveries looked at.
func (s *Service) changed(network id.Network) {
	s.states.Forget(string(network))
	s.wake()
}

// replace sets what is given.
func replace[T any](to *T, by *T) {
	if by != nil {
		*to = *by
	}
}

// missing names what was not found.
func missing(what, doing string, err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Missing(what).Because(err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func networkNotActive() *fault.Error {
	return fault.New(fault.BadRequest, "network_not_active", "The network is not active")
}
