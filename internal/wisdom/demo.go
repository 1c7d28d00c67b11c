package wisdom

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/IntunoAI/intuno-go/internal/demo"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// demoUser owns the demo agents in every installation. Nobody can be that user: the
// account is inactive and no password fits it.
const (
	demoUser  = id.User("de300000-0000-4000-8000-00000000de30")
	demoEmail = "demo@intuno.invalid" // no such domain can exist (RFC 2606 §2)
	demoMost  = 100                   // agents of that user that are looked at
)

// demoHost is the host and port of the demo agents, which the egress rules let this
// process reach; "" if there are none. Those rules refuse plain http in production.
func (s *Service) demoHost() string {
	u, err := url.Parse(s.deps.Demo)
	if err != nil || s.cfg.Production() {
		return ""
	}
	return u.Host
}

// presentDemo registers the demo agents, or gives those of an earlier start the address
// that they have now; without a demo server it hides what is there. Ratings, figures and
// slugs stay, and what an administrator has disabled stays so.
//
// It must not keep the service from starting: trouble is only logged.
func (s *Service) presentDemo(ctx context.Context, agents *registry.Service) {
	present := s.demoHost() != ""
	if s.deps.Demo != "" && !present {
		s.deps.Log.Info("there are no demo agents in production: agents must be reached by https")
	}
	stored, err := s.store.OwnedAgents(ctx, demoUser, demoMost, 0)
	var wanted []demo.Agent
	if err == nil && present {
		wanted = demo.Agents()
		err = s.demoAccount(ctx)
	}
	for _, d := range wanted {
		if err == nil {
			err = s.presentAgent(ctx, agents, d, stored)
		}
	}
	for _, a := range stored {
		if a.Active && !slices.ContainsFunc(wanted, func(d demo.Agent) bool { return d.Name == a.Name }) && err == nil {
			inactive := false
			_, err = agents.Update(ctx, demoOwner(), a.ID, registry.Change{Active: &inactive})
		}
	}
	if err != nil && ctx.Err() == nil {
		s.deps.Log.Warn("the demo agents are not as they should be", "error", err)
	}
}

func demoOwner() principal.Principal { return principal.Principal{User: demoUser, Via: principal.JWT} }

// presentAgent registers one demo agent, or changes the one that is stored.
func (s *Service) presentAgent(ctx context.Context, agents *registry.Service, d demo.Agent, stored []registry.Agent) error {
	endpoint, active := s.deps.Demo+d.Path, true
	change := registry.Change{Description: &d.Description, Endpoint: &endpoint, InputSchema: []byte(d.Schema), Tags: d.Tags, Category: &d.Category}
	i := slices.IndexFunc(stored, func(a registry.Agent) bool { return a.Name == d.Name })
	var err error
	if i < 0 {
		change.Name = &d.Name
		_, _, err = agents.Register(ctx, demoOwner(), registry.Registration{Change: change})
	} else {
		if !stored[i].Disabled {
			change.Active = &active
		}
		_, err = agents.Update(ctx, demoOwner(), stored[i].ID, change)
	}
	if err != nil {
		return fmt.Errorf("present %s: %w", d.Name, err)
	}
	return nil
}

// demoAccount makes the account if it is not there. Should somebody have registered its
// address before, it gets another one: whoever has an account must not own these agents.
func (s *Service) demoAccount(ctx context.Context) error {
	for _, email := range []string{demoEmail, id.New[string]() + "." + demoEmail} {
		if _, err := s.store.UserByID(ctx, demoUser); !fault.Is(err, fault.NotFound) {
			return err
		}
		if err := s.auth.Reserve(ctx, demoUser, email); !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return errors.New("the account of the demo agents cannot be made")
}
