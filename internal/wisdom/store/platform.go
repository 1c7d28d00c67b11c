package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/platform"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var (
	_ platform.Store        = (*Store)(nil)
	_ registry.DisableStore = (*Store)(nil)
)

// haltSwitch is the name of the one switch that there is.
const haltSwitch = "halt"

// Halt implements platform.Store.
func (s *Store) Halt(ctx context.Context, at time.Time) (time.Time, error) {
	since, err := s.write.SwitchOn(ctx, query.SwitchOnParams{Name: haltSwitch, SinceUs: clock.Micros(at)})
	return clock.FromMicros(since), sqldb.Translate(err)
}

// Resume implements platform.Store.
func (s *Store) Resume(ctx context.Context) error {
	return sqldb.Translate(s.write.SwitchOff(ctx, haltSwitch))
}

// Halted implements platform.Store.
func (s *Store) Halted(ctx context.Context) (*time.Time, error) {
	since, err := s.read.SwitchedOn(ctx, haltSwitch)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, sqldb.Translate(err)
	}
	return clock.FromMicrosPtr(&since), nil
}

// DisableAgent implements registry.DisableStore.
func (s *Store) DisableAgent(ctx context.Context, agent id.Agent, at time.Time) (registry.Agent, error) {
	return s.administer(ctx, agent, at, func(q *query.Queries) (query.Agent, error) {
		return q.DisableAgent(ctx, query.DisableAgentParams{AtUs: clock.Micros(at), ID: string(agent)})
	})
}

// EnableAgent implements registry.DisableStore.
func (s *Store) EnableAgent(ctx context.Context, agent id.Agent, at time.Time) (registry.Agent, error) {
	return s.administer(ctx, agent, at, func(q *query.Queries) (query.Agent, error) { return q.EnableAgent(ctx, string(agent)) })
}

func (s *Store) administer(ctx context.Context, agent id.Agent, at time.Time, change func(*query.Queries) (query.Agent, error)) (registry.Agent, error) {
	var changed registry.Agent
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		row, err := change(query.New(tx))
		if err != nil {
			return agentFault(err)
		}
		if changed, err = toAgent(row); err != nil {
			return err
		}
		return s.touch(ctx, tx, agent, at)
	})
	return changed, err
}

// DisabledAgents implements registry.DisableStore.
func (s *Store) DisabledAgents(ctx context.Context, limit, offset int) ([]registry.Agent, error) {
	rows, err := s.read.DisabledAgents(ctx, query.DisabledAgentsParams{Lim: int64(limit), Skip: int64(offset)})
	if err != nil {
		return nil, agentFault(err)
	}
	return toAgents(rows)
}
