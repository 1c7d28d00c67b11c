package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/integration"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var _ integration.Store = (*Store)(nil)

// CreateIntegration implements integration.Store.
func (s *Store) CreateIntegration(ctx context.Context, i integration.Integration) error {
	return sqldb.Translate(s.write.InsertIntegration(ctx, query.InsertIntegrationParams{ID: string(i.ID), UserID: string(i.User), Name: i.Name, Kind: i.Kind,
		Metadata: textPtr(i.Metadata), CreatedUs: clock.Micros(i.Created), UpdatedUs: clock.Micros(i.Updated)}))
}

// Integrations implements integration.Store.
func (s *Store) Integrations(ctx context.Context, user id.User) ([]integration.Integration, error) {
	rows, err := s.read.Integrations(ctx, string(user))
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	list := make([]integration.Integration, len(rows))
	for i, row := range rows {
		list[i] = toIntegration(row.Integration)
		list[i].HasKey = row.HasKey
	}
	return list, nil
}

// Integration implements integration.Store.
func (s *Store) Integration(ctx context.Context, user id.User, i id.Integration) (integration.Integration, error) {
	row, err := s.read.Integration(ctx, query.IntegrationParams{ID: string(i), UserID: string(user)})
	return toIntegration(row), sqldb.Translate(err)
}

// DeleteIntegration implements integration.Store. Conversations, their messages, the
// configuration and the counts go by their references; keys have none, being older
// than integrations.
func (s *Store) DeleteIntegration(ctx context.Context, user id.User, i id.Integration) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		q, text := query.New(tx), string(i)
		if err := q.DeleteIntegrationKeys(ctx, query.DeleteIntegrationKeysParams{UserID: string(user), IntegrationID: &text}); err != nil {
			return sqldb.Translate(err)
		}
		return one(q.DeleteIntegration(ctx, query.DeleteIntegrationParams{ID: text, UserID: string(user)}))
	})
}

// BrokerConfig implements integration.Store.
func (s *Store) BrokerConfig(ctx context.Context, user id.User, i id.Integration) (integration.Config, error) {
	return readConfig(ctx, s.read, user, i)
}

// EditBrokerConfig implements integration.Store.
func (s *Store) EditBrokerConfig(ctx context.Context, user id.User, i id.Integration, edit func(integration.Config) integration.Config) (integration.Config, error) {
	var c integration.Config
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		q := query.New(tx)
		before, err := readConfig(ctx, q, user, i)
		if err != nil {
			return err
		}
		c = edit(before)
		allowed, err := json.Marshal(append([]id.Agent{}, c.Allowed...))
		if err != nil {
			return fmt.Errorf("encode allowed agents: %w", err)
		}
		put := query.PutBrokerConfigParams{IntegrationID: string(i), UserID: string(user), MonthlyQuota: c.Monthly, DailyQuota: c.Daily,
			MaxRetries: int64(c.MaxRetries), BackoffS: c.Backoff.Seconds(), AllowedAgents: string(allowed)}
		if c.Timeout != nil {
			seconds := c.Timeout.Seconds()
			put.TimeoutS = &seconds
		}
		return sqldb.Translate(q.PutBrokerConfig(ctx, put))
	})
	s.limits.Drop()
	return c, err
}

// readConfig is Default for an integration without one, fault.NotFound if the
// integration is not the user's.
func readConfig(ctx context.Context, q *query.Queries, user id.User, i id.Integration) (integration.Config, error) {
	row, err := q.BrokerConfig(ctx, query.BrokerConfigParams{IntegrationID: string(i), UserID: string(user)})
	if err = sqldb.Translate(err); fault.Is(err, fault.NotFound) {
		_, err = q.Integration(ctx, query.IntegrationParams{ID: string(i), UserID: string(user)})
		return integration.Default(), sqldb.Translate(err)
	}
	if err != nil {
		return integration.Config{}, err
	}
	c := integration.Config{Monthly: row.MonthlyQuota, Daily: row.DailyQuota, MaxRetries: int(row.MaxRetries), Backoff: seconds(row.BackoffS)}
	if row.TimeoutS != nil {
		timeout := seconds(*row.TimeoutS)
		c.Timeout = &timeout
	}
	if err := json.Unmarshal([]byte(row.AllowedAgents), &c.Allowed); err != nil {
		return c, fmt.Errorf("read allowed agents of integration %s: %w", i, err)
	}
	return c, nil
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// SeenAgents implements integration.Store.
func (s *Store) SeenAgents(ctx context.Context, viewer id.User, agents []id.Agent) ([]id.Agent, error) {
	if len(agents) == 0 {
		return nil, nil
	}
	list, args := parameters(agents)
	args = append(args, string(viewer))
	rows, err := s.db.Prepared().QueryContext(ctx, "SELECT id FROM agents WHERE id IN ("+list+") AND (visibility = 'public' OR owner_id = $"+strconv.Itoa(len(args))+")", args...)
	if err != nil {
		return nil, fmt.Errorf("query agents: %w", err)
	}
	defer rows.Close()
	var seen []id.Agent
	for rows.Next() {
		var agent id.Agent
		if err := rows.Scan(&agent); err != nil {
			return nil, fmt.Errorf("read an agent: %w", err)
		}
		seen = append(seen, agent)
	}
	return seen, rows.Err()
}

func toIntegration(row query.Integration) integration.Integration {
	i := integration.Integration{ID: id.Integration(row.ID), User: id.User(row.UserID), Name: row.Name, Kind: row.Kind,
		Created: clock.FromMicros(row.CreatedUs), Updated: clock.FromMicros(row.UpdatedUs)}
	if row.Metadata != nil {
		i.Metadata = []byte(*row.Metadata)
	}
	return i
}
