package broker

import (
	"context"
	"sync"

	"github.com/IntunoAI/intuno-go/internal/id"
)

// mostAtOnce is how many calls of one agent this process has under way. The others wait
// for one of them to end, within their own deadline: an agent that hangs must not use up
// the connections to a host on which others live too.
const mostAtOnce = 128

// slots are the calls under way, by agent.
type slots struct {
	mu     sync.Mutex
	agents map[id.Agent]*slot
}

type slot struct {
	taken chan struct{} // holds one token for each call
	users int           // calls that are under way or wait
}

// take waits for a slot of the agent, which is the caller's until release. False: ctx
// ended first, and nothing is to be released.
func (s *slots) take(ctx context.Context, agent id.Agent) (release func(), ok bool) {
	s.mu.Lock()
	of := s.agents[agent]
	if of == nil {
		of = &slot{taken: make(chan struct{}, mostAtOnce)}
		s.agents[agent] = of
	}
	of.users++
	s.mu.Unlock()
	select {
	case of.taken <- struct{}{}:
		return func() { <-of.taken; s.leave(agent, of) }, true
	case <-ctx.Done():
		s.leave(agent, of)
		return nil, false
	}
}

// leave forgets an agent that nobody calls.
func (s *slots) leave(agent id.Agent, of *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of.users--; of.users == 0 {
		delete(s.agents, agent)
	}
}
