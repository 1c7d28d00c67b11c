package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// DisableStore lets administrators switch agents off, whoever owns them. What is
// unknown is fault.NotFound.
type DisableStore interface {
	// DisableAgent makes an agent inactive until EnableAgent, and keeps what its owner
	// has set. Once more changes nothing.
	DisableAgent(ctx context.Context, agent id.Agent, at time.Time) (Agent, error)
	// EnableAgent makes a disabled agent as its owner has set it. Of another one it
	// changes nothing.
	EnableAgent(ctx context.Context, agent id.Agent, at time.Time) (Agent, error)
	// DisabledAgents lists disabled agents, the one disabled last first.
	DisabledAgents(ctx context.Context, limit, offset int) ([]Agent, error)
}

// DisabledFault is what an owner hears who wants a disabled agent active.
func DisabledFault() *fault.Error {
	return fault.New(fault.Forbidden, "agent_disabled", "An administrator has disabled this agent")
}

// Disable makes an agent inactive everywhere on an administrator's request; its owner
// cannot switch it on. Discovery follows before it returns. The answer is what p may
// see of the agent. Faults: forbidden (403), NotFound.
func (s *Service) Disable(ctx context.Context, p principal.Principal, agent id.Agent) (Agent, error) {
	return s.administer(ctx, p, agent, s.store.DisableAgent)
}

// Enable takes back Disable: the agent is active if its owner has it so. Faults:
// forbidden (403), NotFound.
func (s *Service) Enable(ctx context.Context, p principal.Principal, agent id.Agent) (Agent, error) {
	return s.administer(ctx, p, agent, s.store.EnableAgent)
}

func (s *Service) administer(ctx context.Context, p principal.Principal, agent id.Agent,
	change func(context.Context, id.Agent, time.Time) (Agent, error)) (Agent, error) {
	if !p.Admin {
		return Agent{}, administratorsOnly()
	}
	changed, err := change(ctx, agent, s.now())
	if err != nil {
		return Agent{}, fmt.Errorf("disable or enable an agent: %w", err)
	}
	s.catalog.Sync(ctx)
	return s.shown(ctx, p, changed), nil
}

// Disabled lists the agents that administrators have disabled, the one disabled last
// first. Fault: forbidden (403).
func (s *Service) Disabled(ctx context.Context, p principal.Principal, limit, offset int) ([]Agent, error) {
	if !p.Admin {
		return nil, administratorsOnly()
	}
	agents, err := s.store.DisabledAgents(ctx, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("list disabled agents: %w", err)
	}
	return s.withFigures(ctx, p, agents, s.qualityWindow())
}

func administratorsOnly() *fault.Error {
	return fault.New(fault.Forbidden, "forbidden", "Administrators only")
}
