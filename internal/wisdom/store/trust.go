package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var (
	_ registry.CredentialStore = (*Store)(nil)
	_ registry.RatingStore     = (*Store)(nil)
	_ registry.CallStore       = (*Store)(nil)
)

// PutCredential implements registry.CredentialStore.
func (s *Store) PutCredential(ctx context.Context, owner id.User, c registry.SealedCredential, at time.Time) error {
	return s.changeCredentials(ctx, owner, c.Agent, at, func(q *query.Queries) error {
		return q.PutCredential(ctx, query.PutCredentialParams{AgentID: string(c.Agent), Type: c.Type, Sealed: c.Sealed, KeyID: c.KeyID,
			AuthHeader: c.Header, AuthScheme: c.Scheme, UpdatedUs: clock.Micros(at)})
	})
}

// DeleteCredentials implements registry.CredentialStore.
func (s *Store) DeleteCredentials(ctx context.Context, owner id.User, agent id.Agent, at time.Time) error {
	return s.changeCredentials(ctx, owner, agent, at, func(q *query.Queries) error { return q.DropCredentials(ctx, string(agent)) })
}

// changeCredentials runs change if the agent is the owner's, and notes in the agent
// which types are stored then.
func (s *Store) changeCredentials(ctx context.Context, owner id.User, agent id.Agent, at time.Time, change func(*query.Queries) error) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		q := query.New(tx)
		if _, err := q.OwnedAgent(ctx, query.OwnedAgentParams{ID: string(agent), OwnerID: string(owner)}); err != nil {
			return agentFault(err)
		}
		if err := change(q); err != nil {
			return sqldb.Translate(err)
		}
		types, err := q.CredentialTypes(ctx, string(agent))
		if err != nil {
			return sqldb.Translate(err)
		}
		if _, err := q.SetCredentialTypes(ctx, query.SetCredentialTypesParams{CredentialTypes: strings.Join(types, ","), ID: string(agent), OwnerID: string(owner)}); err != nil {
			return sqldb.Translate(err)
		}
		return s.touch(ctx, tx, agent, at)
	})
}

// Credential implements registry.CredentialStore.
func (s *Store) Credential(ctx context.Context, agent id.Agent, typ string) (registry.SealedCredential, error) {
	row, err := s.read.Credential(ctx, query.CredentialParams{AgentID: string(agent), Type: typ})
	return toCredential(row), sqldb.Translate(err)
}

// OtherwiseSealed implements registry.CredentialStore.
func (s *Store) OtherwiseSealed(ctx context.Context, keyID string, after registry.SealedCredential, limit int) ([]registry.SealedCredential, error) {
	rows, err := s.read.OtherwiseSealed(ctx, query.OtherwiseSealedParams{KeyID: after.KeyID, AgentID: string(after.Agent), Type: after.Type,
		Current: keyID, Lim: int64(limit)})
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	list := make([]registry.SealedCredential, len(rows))
	for i, row := range rows {
		list[i] = toCredential(row)
	}
	return list, nil
}

// Reseal implements registry.CredentialStore.
func (s *Store) Reseal(ctx context.Context, before, after registry.SealedCredential) (bool, error) {
	n, err := s.write.Reseal(ctx, query.ResealParams{Sealed: after.Sealed, KeyID: after.KeyID, AgentID: string(before.Agent), Type: before.Type, Before: before.Sealed})
	return n > 0, sqldb.Translate(err)
}

func toCredential(row query.AgentCredential) registry.SealedCredential {
	return registry.SealedCredential{Agent: id.Agent(row.AgentID), Type: row.Type, Sealed: row.Sealed, KeyID: row.KeyID, Header: row.AuthHeader, Scheme: row.AuthScheme}
}

// Called implements registry.RatingStore.
func (s *Store) Called(ctx context.Context, user id.User, agent id.Agent) (bool, error) {
	n, err := s.read.HasCalled(ctx, query.HasCalledParams{AgentID: string(agent), UserID: string(user)})
	return n > 0, sqldb.Translate(err)
}

// PutRating implements registry.RatingStore.
func (s *Store) PutRating(ctx context.Context, r registry.Rating) (registry.Rating, error) {
	var stored registry.Rating
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		q := query.New(tx)
		n, err := q.SeesAgent(ctx, query.SeesAgentParams{ID: string(r.Agent), OwnerID: string(r.User)})
		if err == nil && n == 0 {
			err = sql.ErrNoRows
		}
		if err != nil {
			return agentFault(err)
		}
		stored = r
		score, ratings := int64(r.Score), int64(1)
		before, err := q.RatingOf(ctx, query.RatingOfParams{AgentID: string(r.Agent), UserID: string(r.User)})
		switch {
		case err == nil:
			stored.ID, stored.Created = registry.RatingID(before.ID), clock.FromMicros(before.CreatedUs)
			score, ratings = score-before.Score, 0
		case !errors.Is(err, sql.ErrNoRows):
			return sqldb.Translate(err)
		}
		if err := q.PutRating(ctx, query.PutRatingParams{ID: string(stored.ID), AgentID: string(r.Agent), UserID: string(r.User), Score: int64(r.Score),
			Comment: r.Comment, CreatedUs: clock.Micros(stored.Created), UpdatedUs: clock.Micros(r.Updated)}); err != nil {
			return sqldb.Translate(err)
		}
		if err := q.AddRating(ctx, query.AddRatingParams{Score: score, Ratings: ratings, ID: string(r.Agent)}); err != nil {
			return sqldb.Translate(err)
		}
		return s.touch(ctx, tx, r.Agent, r.Updated)
	})
	return stored, err
}

// Ratings implements registry.RatingStore.
func (s *Store) Ratings(ctx context.Context, agent id.Agent, limit, offset int) ([]registry.Rating, error) {
	rows, err := s.read.Ratings(ctx, query.RatingsParams{AgentID: string(agent), Lim: int64(limit), Skip: int64(offset)})
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	list := make([]registry.Rating, len(rows))
	for i, row := range rows {
		list[i] = registry.Rating{ID: registry.RatingID(row.ID), User: id.User(row.UserID), Agent: id.Agent(row.AgentID), Score: int(row.Score),
			Comment: row.Comment, Created: clock.FromMicros(row.CreatedUs), Updated: clock.FromMicros(row.UpdatedUs)}
	}
	return list, nil
}

// RecordCalls implements registry.CallStore.
func (s *Store) RecordCalls(ctx context.Context, calls []registry.Call) error {
	return s.db.TxByStatement(ctx, func(tx *sqldb.PreparedTx) error {
		there := map[id.Agent]bool{}
		for _, c := range calls {
			there[c.Agent] = false
		}
		for _, agent := range slices.Sorted(maps.Keys(there)) {
			var found int
			err := tx.QueryRowContext(ctx, "SELECT 1 FROM agents WHERE id = $1 "+s.db.Dialect().ForKeyShare(), string(agent)).Scan(&found)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("look for an agent: %w", err)
			}
			there[agent] = err == nil
		}
		return s.addCalls(ctx, tx, slices.DeleteFunc(slices.Clone(calls), func(c registry.Call) bool { return !there[c.Agent] }))
	})
}

// addCalls adds up calls of agents that are there, or a foreign key says that one is not.
// It ends a transaction: nothing that has a lock may follow. Rows are taken in the order of
// agents' ids, so that two transactions do not wait for each other.
func (s *Store) addCalls(ctx context.Context, tx query.DBTX, calls []registry.Call) error {
	type when struct {
		agent id.Agent
		hour  int64 // or day
	}
	type who struct {
		agent id.Agent
		user  id.User
	}
	hours, days, callers, last := map[when]registry.Figures{}, map[when]registry.Figures{}, map[who]bool{}, map[id.Agent]time.Time{}
	for _, c := range calls {
		hour := int64(registry.HourOf(c.At))
		hours[when{c.Agent, hour}] = hours[when{c.Agent, hour}].Plus(c.Figures())
		days[when{c.Agent, hour / 24}] = days[when{c.Agent, hour / 24}].Plus(c.Figures())
		callers[who{c.Agent, c.User}] = true
		if c.At.After(last[c.Agent]) {
			last[c.Agent] = c.At
		}
	}
	var rows [][]any
	for _, k := range slices.SortedFunc(maps.Keys(callers), func(x, y who) int { return cmp.Or(cmp.Compare(x.agent, y.agent), cmp.Compare(x.user, y.user)) }) {
		rows = append(rows, []any{string(k.agent), string(k.user)})
	}
	if err := insertRows(ctx, tx, "INSERT INTO agent_callers (agent_id, user_id)", "(?, ?)", "ON CONFLICT (agent_id, user_id) DO NOTHING", rows); err != nil {
		return fmt.Errorf("note callers: %w", err)
	}
	for _, sum := range []struct {
		table, column string
		figures       map[when]registry.Figures
	}{{"agent_hours", "hour", hours}, {"agent_days", "day", days}} {
		rows = nil
		for _, k := range slices.SortedFunc(maps.Keys(sum.figures), func(x, y when) int { return cmp.Or(cmp.Compare(x.agent, y.agent), cmp.Compare(x.hour, y.hour)) }) {
			f := sum.figures[k]
			rows = append(rows, []any{string(k.agent), k.hour, f.Calls, f.Successes, f.LatencyMS})
		}
		if err := insertRows(ctx, tx, "INSERT INTO "+sum.table+" (agent_id, "+sum.column+", calls, successes, latency_ms)", "(?, ?, ?, ?, ?)",
			"ON CONFLICT (agent_id, "+sum.column+") DO UPDATE SET calls = "+sum.table+".calls + excluded.calls, successes = "+sum.table+
				".successes + excluded.successes, latency_ms = "+sum.table+".latency_ms + excluded.latency_ms", rows); err != nil {
			return fmt.Errorf("add calls up: %w", err)
		}
	}
	return s.touchAll(ctx, tx, last)
}

// TrendingAgents implements registry.CallStore.
func (s *Store) TrendingAgents(ctx context.Context, viewer id.User, since registry.Hour, limit int) ([]registry.Agent, error) {
	first := firstDay(since)
	rows, err := s.read.TrendingAgents(ctx, query.TrendingAgentsParams{Since: int64(since), Until: 24 * first, Day: first, Viewer: string(viewer), Lim: int64(limit)})
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	agents := make([]registry.Agent, len(rows))
	for i, row := range rows {
		if agents[i], err = toAgent(row.Agent); err != nil {
			return nil, err
		}
		agents[i].Figures = registry.Figures{Calls: row.Calls, Successes: row.Successes, LatencyMS: row.LatencyMs}
	}
	return agents, nil
}
