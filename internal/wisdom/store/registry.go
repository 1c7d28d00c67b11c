package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var _ registry.Store = (*Store)(nil)

// CreateAgent implements registry.Store.
func (s *Store) CreateAgent(ctx context.Context, a registry.Agent, c registry.Content) error {
	return s.CreateAgents(ctx, []registry.Made{{Agent: a, Content: c}})
}

// CreateAgents writes several new agents, all or none.
func (s *Store) CreateAgents(ctx context.Context, agents []registry.Made) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, m := range agents {
			if err := s.insertAgent(ctx, tx, m.Agent, m.Content); err != nil {
				return err
			}
		}
		return nil
	})
}

// PutAgent implements registry.Store.
func (s *Store) PutAgent(ctx context.Context, a registry.Agent, c registry.Content, edit registry.Edit) (registry.Agent, bool, error) {
	var stored registry.Agent
	var created bool
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		q := query.New(tx)
		var row query.Agent
		var err error
		if a.CardURL != nil {
			row, err = q.ImportedAgent(ctx, query.ImportedAgentParams{OwnerID: string(a.Owner), CardDigest: cardDigest(a.CardURL)})
		} else {
			row, err = q.HostedAgent(ctx, query.HostedAgentParams{OwnerID: string(a.Owner), HostedEntity: a.HostedEntity})
		}
		err = agentFault(err)
		if created = fault.Is(err, fault.NotFound); created {
			stored = a
			return s.insertAgent(ctx, tx, a, c)
		}
		if err != nil {
			return err
		}
		stored, err = s.saveAgent(ctx, tx, row, edit)
		return err
	})
	return stored, created, err
}

// UpdateAgent implements registry.Store.
func (s *Store) UpdateAgent(ctx context.Context, owner id.User, agent id.Agent, edit registry.Edit) (registry.Agent, error) {
	var stored registry.Agent
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		row, err := query.New(tx).OwnedAgent(ctx, query.OwnedAgentParams{ID: string(agent), OwnerID: string(owner)})
		if err != nil {
			return agentFault(err)
		}
		stored, err = s.saveAgent(ctx, tx, row, edit)
		return err
	})
	return stored, err
}

// DeleteAgent implements registry.Store. What hangs on the agent goes with it. The row goes
// first: whoever let it join a network has done so by then (see Networks.Join).
func (s *Store) DeleteAgent(ctx context.Context, owner id.User, agent id.Agent, at time.Time) error {
	return s.db.TxByStatement(ctx, func(tx *sqldb.PreparedTx) error {
		q := query.New(tx)
		n, err := q.DeleteAgent(ctx, query.DeleteAgentParams{ID: string(agent), OwnerID: string(owner)})
		if err == nil && n == 0 {
			err = sql.ErrNoRows
		}
		if err != nil {
			return agentFault(err)
		}
		if err := q.UnlinkAgent(ctx, query.UnlinkAgentParams{UpdatedUs: clock.Micros(at), AgentID: string(agent)}); err != nil {
			return fmt.Errorf("unlink the participants of an agent: %w", err)
		}
		return s.touch(ctx, tx, agent, at)
	})
}

// OwnedAgent implements registry.Store.
func (s *Store) OwnedAgent(ctx context.Context, owner id.User, agent id.Agent) (registry.Agent, error) {
	row, err := s.read.OwnedAgent(ctx, query.OwnedAgentParams{ID: string(agent), OwnerID: string(owner)})
	if err != nil {
		return registry.Agent{}, agentFault(err)
	}
	return toAgent(row)
}

// OwnedAgents implements registry.Store.
func (s *Store) OwnedAgents(ctx context.Context, owner id.User, limit, offset int) ([]registry.Agent, error) {
	rows, err := s.read.OwnedAgents(ctx, query.OwnedAgentsParams{OwnerID: string(owner), Lim: int64(limit), Skip: int64(offset)})
	if err != nil {
		return nil, agentFault(err)
	}
	return toAgents(rows)
}

// VisibleAgent implements registry.Store.
func (s *Store) VisibleAgent(ctx context.Context, viewer id.User, slug string) (registry.Agent, error) {
	row, err := s.read.VisibleAgent(ctx, query.VisibleAgentParams{Slug: slug, OwnerID: string(viewer)})
	if err != nil {
		return registry.Agent{}, agentFault(err)
	}
	return toAgent(row)
}

// VisibleAgents implements registry.Store. It is built by hand: filters come and go
// and the order varies, which sqlc's fixed texts cannot say without hiding the indexes
// from the planner.
func (s *Store) VisibleAgents(ctx context.Context, viewer id.User, q registry.Query, since time.Time) ([]registry.Agent, error) {
	text, args := visibleAgentsQuery(s.db.Dialect(), viewer, q, since)
	return s.queryAgents(ctx, text, args)
}

// ActiveAgents implements registry.Store.
func (s *Store) ActiveAgents(ctx context.Context, viewer id.User, agents []id.Agent) ([]registry.Agent, error) {
	if len(agents) == 0 {
		return nil, nil
	}
	list, args := parameters(agents)
	args = append(args, string(viewer))
	return s.queryAgents(ctx, "SELECT "+agentColumns+" FROM agents WHERE id IN ("+list+") AND is_active AND (visibility = 'public' OR owner_id = $"+
		strconv.Itoa(len(args))+")", args)
}

// queryAgents runs a query for agentColumns.
func (s *Store) queryAgents(ctx context.Context, text string, args []any) ([]registry.Agent, error) {
	rows, err := s.db.Prepared().QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("query agents: %w", err)
	}
	defer rows.Close()
	agents := []registry.Agent{}
	for rows.Next() {
		row, err := scanAgent(rows)
		if err != nil {
			return nil, fmt.Errorf("read an agent: %w", err)
		}
		a, err := toAgent(row)
		if err != nil {
			return nil, err
		}
		agents = append(agents, a)
	}
	return agents, rows.Err()
}

// parameters numbers the values of a list for IN, beginning with $1. The last is
// repeated up to a power of two: few texts are to be prepared.
func parameters[T ~string](values []T) (list string, args []any) {
	if n := len(values); n > 0 {
		values = append(slices.Clone(values), slices.Repeat(values[n-1:], 1<<bits.Len(uint(n-1))-n)...)
	}
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+1))
		args = append(args, string(v))
	}
	return b.String(), args
}

// visibleAgentsQuery merges two disjoint halves, everybody's public agents and the
// viewer's private ones, each read along its index (migration 2). Only constants
// become part of the text; values are parameters.
func visibleAgentsQuery(d sqldb.Dialect, viewer id.User, q registry.Query, since time.Time) (string, []any) {
	var args []any
	param := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	var where strings.Builder
	if !since.IsZero() {
		where.WriteString(" AND created_us >= " + param(clock.Micros(since)))
	}
	if q.Category != "" {
		where.WriteString(" AND category = " + param(q.Category))
	}
	if len(q.Tags) > 0 {
		var tags []string
		for _, tag := range slices.Compact(slices.Sorted(slices.Values(q.Tags))) {
			tags = append(tags, param(tag))
		}
		where.WriteString(" AND id IN (SELECT agent_id FROM agent_tags WHERE tag IN (" + strings.Join(tags, ", ") + "))")
	}
	if q.Search != "" {
		text := param(registry.Fold(q.Search))
		where.WriteString(" AND EXISTS (SELECT 1 FROM agent_search s WHERE s.agent_id = agents.id AND (" + d.Contains("s.name", text) + " OR " + d.Contains("s.description", text) + "))")
	}
	key := map[registry.Sort]string{registry.ByCreated: "created_us", registry.ByUpdated: "updated_us", registry.ByName: "name_sort"}[q.Sort]
	order := " DESC"
	if q.Ascending {
		order = " ASC"
	}
	order = " ORDER BY " + key + order + ", id" + order
	// SQLite plans a statement anew for every value of a bare parameter behind LIMIT.
	count := func(n int) string { return "CAST(" + param(int64(n)) + " AS BIGINT)" }
	// Each half stops by itself: PostgreSQL 15 would otherwise read both whole and sort.
	enough := count(q.Limit + q.Offset)
	half := func(condition, name string) string {
		return "SELECT " + agentColumns + " FROM (SELECT " + agentColumns + " FROM agents WHERE is_active AND " + condition + where.String() + order + " LIMIT " + enough + ") AS " + name
	}
	return half("visibility = 'public'", "shared") + " UNION ALL " + half("visibility = 'private' AND owner_id = "+param(string(viewer)), "own") +
		order + " LIMIT " + count(q.Limit) + " OFFSET " + count(q.Offset), args
}

// agentColumns are the columns of query.Agent in its order; scanAgent reads them.
const agentColumns = "id, slug, owner_id, name, name_sort, description, version, endpoint, auth_type, input_schema, tags, category, visibility, trust, " +
	"is_active, supports_streaming, hosted_entity, pricing_strategy, base_price, pricing_enabled, disabled_us, created_us, updated_us, content_us, " +
	"card_url, card_digest, dialect, credential_types, rating_sum, rating_count, owner_active"

func scanAgent(rows *sql.Rows) (query.Agent, error) {
	var a query.Agent
	err := rows.Scan(&a.ID, &a.Slug, &a.OwnerID, &a.Name, &a.NameSort, &a.Description, &a.Version, &a.Endpoint, &a.AuthType, &a.InputSchema, &a.Tags, &a.Category,
		&a.Visibility, &a.Trust, &a.IsActive, &a.SupportsStreaming, &a.HostedEntity, &a.PricingStrategy, &a.BasePrice, &a.PricingEnabled, &a.DisabledUs,
		&a.CreatedUs, &a.UpdatedUs, &a.ContentUs, &a.CardUrl, &a.CardDigest, &a.Dialect, &a.CredentialTypes, &a.RatingSum, &a.RatingCount, &a.OwnerActive)
	return a, err
}

// insertAgent writes a new agent and what finds it.
func (s *Store) insertAgent(ctx context.Context, tx *sql.Tx, a registry.Agent, c registry.Content) error {
	tags, err := json.Marshal(a.Tags)
	if err != nil {
		return fmt.Errorf("encode tags: %w", err)
	}
	err = query.New(tx).CreateAgent(ctx, query.CreateAgentParams{
		ID: string(a.ID), Slug: a.Slug, OwnerID: string(a.Owner), Name: a.Name, NameSort: []byte(registry.Fold(a.Name)),
		Description: a.Description, Version: a.Version, Endpoint: a.Endpoint, AuthType: a.AuthType, InputSchema: textPtr(a.InputSchema),
		Tags: string(tags), Category: a.Category, Visibility: a.Visibility, Trust: a.Trust, IsActive: a.Active,
		SupportsStreaming: a.Streaming, HostedEntity: a.HostedEntity, PricingStrategy: a.PricingStrategy, BasePrice: a.BasePrice,
		PricingEnabled: a.PricingEnabled, CreatedUs: clock.Micros(a.Created), UpdatedUs: clock.Micros(a.Updated), ContentUs: clock.Micros(a.ContentChanged),
		CardUrl: a.CardURL, CardDigest: cardDigest(a.CardURL), Dialect: a.Dialect,
	})
	if err != nil {
		return agentFault(err)
	}
	return s.indexAgent(ctx, tx, a, c)
}

// saveAgent lets edit change the agent of row and writes the result. Credentials were
// meant for the origin they were given for: they do not follow the endpoint to another
// (contract §4.3).
func (s *Store) saveAgent(ctx context.Context, tx *sql.Tx, row query.Agent, edit registry.Edit) (registry.Agent, error) {
	before, err := toAgent(row)
	if err != nil {
		return before, err
	}
	q := query.New(tx)
	a, content := edit(before)
	if a.Disabled && a.Active {
		return before, registry.DisabledFault()
	}
	if len(a.CredentialTypes) > 0 && !registry.SameOrigin(before.Endpoint, a.Endpoint) {
		a.CredentialTypes = nil
		if err := q.DropCredentials(ctx, string(a.ID)); err != nil {
			return a, agentFault(err)
		}
	}
	tags, err := json.Marshal(a.Tags)
	if err != nil {
		return a, fmt.Errorf("encode tags: %w", err)
	}
	err = q.SaveAgent(ctx, query.SaveAgentParams{
		Name: a.Name, NameSort: []byte(registry.Fold(a.Name)), Description: a.Description, Endpoint: a.Endpoint, AuthType: a.AuthType,
		InputSchema: textPtr(a.InputSchema), Tags: string(tags), Category: a.Category, Visibility: a.Visibility, IsActive: a.Active,
		SupportsStreaming: a.Streaming, PricingStrategy: a.PricingStrategy, BasePrice: a.BasePrice, PricingEnabled: a.PricingEnabled,
		UpdatedUs: clock.Micros(a.Updated), ContentUs: clock.Micros(a.ContentChanged), Version: a.Version, Dialect: a.Dialect,
		CredentialTypes: strings.Join(a.CredentialTypes, ","), OwnerActive: a.OwnerActive, ID: string(a.ID), OwnerID: string(a.Owner),
	})
	switch {
	case err != nil:
		return a, agentFault(err)
	case content == nil:
		return a, s.touch(ctx, tx, a.ID, a.Updated)
	}
	if err := q.ClearAgentTags(ctx, string(a.ID)); err != nil {
		return a, agentFault(err)
	}
	if err := q.ClearAgentVectors(ctx, string(a.ID)); err != nil {
		return a, agentFault(err)
	}
	return a, s.indexAgent(ctx, tx, a, *content)
}

// indexAgent writes the rows by which lists and discovery find a. It has no tags and no
// vectors yet.
func (s *Store) indexAgent(ctx context.Context, tx *sql.Tx, a registry.Agent, c registry.Content) error {
	q := query.New(tx)
	for _, tag := range a.Tags {
		if err := q.AddAgentTag(ctx, query.AddAgentTagParams{AgentID: string(a.ID), Tag: tag}); err != nil {
			return agentFault(err)
		}
	}
	if err := q.PutAgentSearch(ctx, query.PutAgentSearchParams{AgentID: string(a.ID), Name: registry.Fold(a.Name),
		Description: registry.Fold(a.Description), Words: c.Words, Analyzer: c.Analyzer}); err != nil {
		return agentFault(err)
	}
	if err := putVectors(ctx, q, a.ID, c.Vectors, a.Updated); err != nil {
		return err
	}
	return s.touch(ctx, tx, a.ID, a.Updated)
}

func toAgent(row query.Agent) (registry.Agent, error) {
	a := registry.Agent{
		ID: id.Agent(row.ID), Slug: row.Slug, Owner: id.User(row.OwnerID), Name: row.Name, Description: row.Description, Version: row.Version,
		Endpoint: row.Endpoint, AuthType: row.AuthType, Category: row.Category, Visibility: row.Visibility, Trust: row.Trust,
		Active: row.IsActive, Streaming: row.SupportsStreaming, HostedEntity: row.HostedEntity, PricingStrategy: row.PricingStrategy,
		BasePrice: row.BasePrice, PricingEnabled: row.PricingEnabled, Created: clock.FromMicros(row.CreatedUs),
		Updated: clock.FromMicros(row.UpdatedUs), ContentChanged: clock.FromMicros(row.ContentUs),
		Disabled: row.DisabledUs != nil, OwnerActive: row.OwnerActive, CardURL: row.CardUrl, Dialect: row.Dialect, RatingSum: row.RatingSum, RatingCount: row.RatingCount,
	}
	if row.CredentialTypes != "" {
		a.CredentialTypes = strings.Split(row.CredentialTypes, ",")
	}
	if row.InputSchema != nil {
		a.InputSchema = []byte(*row.InputSchema)
	}
	if err := json.Unmarshal([]byte(row.Tags), &a.Tags); err != nil {
		return a, fmt.Errorf("read tags of agent %s: %w", row.ID, err)
	}
	return a, nil
}

// cardDigest is what the card URL of an imported agent is found by.
func cardDigest(url *string) *string {
	if url == nil {
		return nil
	}
	digest := sha256.Sum256([]byte(*url))
	text := hex.EncodeToString(digest[:])
	return &text
}

func toAgents(rows []query.Agent) ([]registry.Agent, error) {
	agents := make([]registry.Agent, len(rows))
	for i, row := range rows {
		var err error
		if agents[i], err = toAgent(row); err != nil {
			return nil, err
		}
	}
	return agents, nil
}

func textPtr(b []byte) *string {
	if b == nil {
		return nil
	}
	s := string(b)
	return &s
}

// agentFault types what a driver reports: no row is a missing agent, whoever owns it.
func agentFault(err error) error {
	if err = sqldb.Translate(err); fault.Is(err, fault.NotFound) {
		return fault.Missing("Agent")
	}
	return err
}
