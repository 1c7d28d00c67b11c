package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var _ registry.Feed = (*Store)(nil)

// touch marks an agent as changed, for the memory copies. Every transaction that
// changes what an Entry shows ends with it.
func (s *Store) touch(ctx context.Context, tx query.DBTX, agent id.Agent, at time.Time) error {
	return s.touchAll(ctx, tx, map[id.Agent]time.Time{agent: at})
}

// touchAll is touch for several, in the order of their ids.
func (s *Store) touchAll(ctx context.Context, tx query.DBTX, at map[id.Agent]time.Time) error {
	var rows [][]any
	for _, agent := range slices.Sorted(maps.Keys(at)) {
		rows = append(rows, []any{string(agent), clock.Micros(at[agent])})
	}
	if err := insertRows(ctx, tx, "INSERT INTO agent_changes (agent_id, stamp, at_us)", "(?, "+s.db.Dialect().Stamp("agent_changes")+", ?)",
		"ON CONFLICT (agent_id) DO UPDATE SET stamp = excluded.stamp, at_us = excluded.at_us", rows); err != nil {
		return fmt.Errorf("mark agents as changed: %w", err)
	}
	return nil
}

// Horizon implements registry.Feed.
func (s *Store) Horizon(ctx context.Context) (low, high int64, err error) {
	if err := s.db.Prepared().QueryRowContext(ctx, s.db.Dialect().Horizon("agent_changes")).Scan(&low, &high); err != nil {
		return 0, 0, fmt.Errorf("read the horizon: %w", err)
	}
	return low, high, nil
}

// AgentsChanged implements registry.Feed.
func (s *Store) AgentsChanged(ctx context.Context, from, to int64) ([]registry.Stamp, error) {
	rows, err := s.read.AgentsChanged(ctx, query.AgentsChangedParams{Stamp: from, Stamp_2: to})
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	stamps := make([]registry.Stamp, len(rows))
	for i, row := range rows {
		stamps[i] = registry.Stamp{Agent: id.Agent(row.AgentID), Stamp: row.Stamp}
	}
	return stamps, nil
}

// entryQuery reads entries without the figures of calls; $1 is the model.
const entryQuery = "SELECT a.id, a.owner_id, a.name_sort, a.visibility = 'public', a.is_active, a.created_us, a.content_us, a.rating_sum, a.rating_count, " +
	"COALESCE(c.stamp, 0), s.words, s.analyzer, v.agent_id IS NOT NULL, v.vector " +
	"FROM agents a JOIN agent_search s ON s.agent_id = a.id LEFT JOIN agent_changes c ON c.agent_id = a.id " +
	"LEFT JOIN agent_vectors v ON v.agent_id = a.id AND v.model = $1"

// AllEntries implements registry.Feed.
func (s *Store) AllEntries(ctx context.Context, model string, since registry.Hour, yield func(registry.Entry) error) error {
	figures := map[id.Agent]registry.Figures{}
	first := firstDay(since)
	rows, err := s.read.CallFigures(ctx, query.CallFiguresParams{Since: int64(since), Until: 24 * first, Day: first})
	if err != nil {
		return sqldb.Translate(err)
	}
	for _, row := range rows {
		figures[id.Agent(row.AgentID)] = registry.Figures{Calls: row.Calls, Successes: row.Successes, LatencyMS: row.LatencyMs}
	}
	return s.entries(ctx, entryQuery, []any{model}, figures, yield)
}

// Entries implements registry.Feed.
func (s *Store) Entries(ctx context.Context, agents []id.Agent, model string, since registry.Hour) ([]registry.Entry, error) {
	figures, err := s.CallFigures(ctx, agents, since)
	if err != nil {
		return nil, err
	}
	list, args := parameters(append([]id.Agent{id.Agent(model)}, agents...))
	var entries []registry.Entry
	err = s.entries(ctx, entryQuery+" WHERE a.id IN ("+list[len("$1, "):]+")", args, figures, func(e registry.Entry) error {
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

func (s *Store) entries(ctx context.Context, text string, args []any, figures map[id.Agent]registry.Figures, yield func(registry.Entry) error) error {
	rows, err := s.db.Read().QueryContext(ctx, text, args...)
	if err != nil {
		return fmt.Errorf("query entries: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e registry.Entry
		var name []byte
		var created, changed int64
		if err := rows.Scan(&e.Agent, &e.Owner, &name, &e.Public, &e.Active, &created, &changed, &e.RatingSum, &e.RatingCount,
			&e.Stamp, &e.Words, &e.Analyzer, &e.Embedded, &e.Vector); err != nil {
			return fmt.Errorf("read an entry: %w", err)
		}
		e.Name, e.Created, e.ContentChanged, e.Figures = string(name), clock.FromMicros(created), clock.FromMicros(changed), figures[e.Agent]
		if err := yield(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// firstDay is the first whole day of a window that begins with an hour.
func firstDay(since registry.Hour) int64 { return (int64(since) + 23) / 24 }

// CallFigures implements registry.Store.
func (s *Store) CallFigures(ctx context.Context, agents []id.Agent, since registry.Hour) (map[id.Agent]registry.Figures, error) {
	if len(agents) == 0 {
		return nil, nil
	}
	list, args := parameters(agents)
	n, first := len(args), firstDay(since)
	rows, err := s.db.Prepared().QueryContext(ctx, "SELECT agent_id, CAST(SUM(calls) AS BIGINT), CAST(SUM(successes) AS BIGINT), CAST(SUM(latency_ms) AS BIGINT) FROM ("+
		"SELECT agent_id, calls, successes, latency_ms FROM agent_hours WHERE agent_id IN ("+list+fmt.Sprintf(") AND hour >= $%d AND hour < $%d ", n+1, n+2)+
		"UNION ALL SELECT agent_id, calls, successes, latency_ms FROM agent_days WHERE agent_id IN ("+list+fmt.Sprintf(") AND day >= $%d) AS c GROUP BY agent_id", n+3),
		append(args, int64(since), 24*first, first)...)
	if err != nil {
		return nil, fmt.Errorf("query calls: %w", err)
	}
	defer rows.Close()
	figures := map[id.Agent]registry.Figures{}
	for rows.Next() {
		var agent id.Agent
		var f registry.Figures
		if err := rows.Scan(&agent, &f.Calls, &f.Successes, &f.LatencyMS); err != nil {
			return nil, fmt.Errorf("read calls: %w", err)
		}
		figures[agent] = f
	}
	return figures, rows.Err()
}

// AgentsCalledBetween implements registry.Feed.
func (s *Store) AgentsCalledBetween(ctx context.Context, from, to registry.Hour) ([]id.Agent, error) {
	rows, err := s.read.AgentsCalledBetween(ctx, query.AgentsCalledBetweenParams{Hour: int64(from), Hour_2: int64(to)})
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	agents := make([]id.Agent, len(rows))
	for i, agent := range rows {
		agents[i] = id.Agent(agent)
	}
	return agents, nil
}

// Outdated implements registry.Feed.
func (s *Store) Outdated(ctx context.Context, model string, bytes int, analyzer string, after id.Agent, limit int) ([]registry.Lacking, error) {
	rows, err := s.read.OutdatedAgents(ctx, query.OutdatedAgentsParams{ID: string(after), Model: model, Bytes: int64(bytes), Analyzer: analyzer, Lim: int64(limit)})
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	list := make([]registry.Lacking, len(rows))
	for i, row := range rows {
		if list[i].Agent, err = toAgent(row.Agent); err != nil {
			return nil, err
		}
		list[i].Vector = row.LacksVector
	}
	return list, nil
}

// PutContent implements registry.Feed.
func (s *Store) PutContent(ctx context.Context, made []registry.Made, at time.Time) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		q := query.New(tx)
		for _, m := range made {
			n, err := q.PutAgentWords(ctx, query.PutAgentWordsParams{Words: m.Content.Words, Analyzer: m.Content.Analyzer,
				AgentID: string(m.Agent.ID), ContentUs: clock.Micros(m.Agent.ContentChanged)})
			switch {
			case err != nil:
				return sqldb.Translate(err)
			case n == 0:
				continue // it changed, and lacks other content now
			}
			if err := putVectors(ctx, q, m.Agent.ID, m.Content.Vectors, at); err != nil {
				return err
			}
			if err := s.touch(ctx, tx, m.Agent.ID, at); err != nil {
				return err
			}
		}
		return nil
	})
}

func putVectors(ctx context.Context, q *query.Queries, agent id.Agent, vectors []registry.Vector, at time.Time) error {
	for _, v := range vectors {
		packed := v.Packed
		if packed == nil {
			packed = []byte{} // a null is not a vector
		}
		if err := q.PutAgentVector(ctx, query.PutAgentVectorParams{AgentID: string(agent), Model: v.Model, Vector: packed, WrittenUs: clock.Micros(at)}); err != nil {
			return sqldb.Translate(err)
		}
	}
	return nil
}

// VectorModels implements registry.Feed.
func (s *Store) VectorModels(ctx context.Context) ([]registry.ModelVectors, error) {
	rows, err := s.read.VectorModels(ctx)
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	models := make([]registry.ModelVectors, len(rows))
	for i, row := range rows {
		models[i] = registry.ModelVectors{Model: row.Model, Vectors: row.Vectors, Bytes: int(row.Bytes), Least: int(row.Least), Written: clock.FromMicros(row.WrittenUs)}
	}
	return models, nil
}

// DropVectors implements registry.Feed.
func (s *Store) DropVectors(ctx context.Context, model string, limit int) (int64, error) {
	n, err := s.write.DropModelVectors(ctx, query.DropModelVectorsParams{Model: model, Lim: int64(limit)})
	return n, sqldb.Translate(err)
}

// ForgetDeleted implements registry.Feed.
func (s *Store) ForgetDeleted(ctx context.Context, before time.Time) error {
	return sqldb.Translate(s.write.ForgetDeletedAgents(ctx, clock.Micros(before)))
}

// ForgetCalls implements registry.Feed.
func (s *Store) ForgetCalls(ctx context.Context, before registry.Hour) error {
	if err := s.write.ForgetCalls(ctx, int64(before)); err != nil {
		return sqldb.Translate(err)
	}
	return sqldb.Translate(s.write.ForgetDays(ctx, int64(before)/24))
}

// Lease implements registry.Feed.
func (s *Store) Lease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	n, err := s.write.TakeLease(ctx, query.TakeLeaseParams{Name: name, Holder: holder, UntilUs: clock.Micros(until), NowUs: clock.Micros(now)})
	return n > 0, sqldb.Translate(err)
}
