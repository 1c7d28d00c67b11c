package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var (
	_ broker.Store         = (*Store)(nil)
	_ registry.CalleeStore = (*Store)(nil)
)

// limitsKept bounds the integrations whose limits are remembered.
const limitsKept = 4096

// Limits implements broker.Store. They are remembered for less than a second; a change
// by this process counts at once.
func (s *Store) Limits(ctx context.Context, user id.User, integration id.Integration) (broker.Limits, error) {
	if integration == "" {
		return broker.Limits{}, nil
	}
	return s.limits.Get(ctx, string(user)+" "+string(integration), func(ctx context.Context) (broker.Limits, error) {
		row, err := s.read.BrokerLimits(ctx, query.BrokerLimitsParams{IntegrationID: string(integration), UserID: string(user)})
		if errors.Is(err, sql.ErrNoRows) {
			return broker.Limits{}, nil
		}
		if err != nil {
			return broker.Limits{}, fmt.Errorf("read limits: %w", err)
		}
		l := broker.Limits{Monthly: row.MonthlyQuota, Daily: row.DailyQuota, MaxRetries: int(row.MaxRetries), Backoff: seconds(row.BackoffS)}
		if row.TimeoutS != nil {
			l.Timeout = seconds(*row.TimeoutS)
		}
		if err := json.Unmarshal([]byte(row.AllowedAgents), &l.Allowed); err != nil {
			return broker.Limits{}, fmt.Errorf("read allowed agents of integration %s: %w", integration, err)
		}
		return l, nil
	})
}

// Thread implements broker.Store.
func (s *Store) Thread(ctx context.Context, user id.User, c id.Conversation, m id.Message, agent id.Agent) (broker.Thread, error) {
	row, err := s.read.Thread(ctx, query.ThreadParams{MessageID: string(m), UserID: string(user), AgentID: string(agent), ID: string(c)})
	if err = sqldb.Translate(err); fault.Is(err, fault.NotFound) {
		return broker.Thread{}, fault.Missing("Conversation")
	}
	if err != nil {
		return broker.Thread{}, fmt.Errorf("read a conversation: %w", err)
	}
	t := broker.Thread{ExternalUser: row.ExternalUser, HasMessage: row.HasMessage, Context: row.ContextID}
	if row.IntegrationID != nil {
		t.Integration = id.Integration(*row.IntegrationID)
	}
	return t, nil
}

// OverQuota implements broker.Store.
func (s *Store) OverQuota(ctx context.Context, user id.User, integration id.Integration, monthly, daily *int64, at time.Time) (bool, error) {
	if monthly == nil && daily == nil {
		return false, nil
	}
	day, month := windows(at)
	row, err := s.read.BrokerCounts(ctx, query.BrokerCountsParams{DayUs: day, MonthUs: month, IntegrationID: string(integration), UserID: string(user)})
	if err != nil && !errors.Is(err, sql.ErrNoRows) { // no row: nothing was counted yet
		return false, fmt.Errorf("read invocation counts: %w", err)
	}
	return row.InDay >= atMost(daily) || row.InMonth >= atMost(monthly), nil
}

// CalledAgent implements registry.CalleeStore.
func (s *Store) CalledAgent(ctx context.Context, slug string) (registry.Agent, *registry.SealedCredential, error) {
	row, err := s.read.CalledAgent(ctx, slug)
	return toCalled(row, err)
}

// CalledAgentByID implements registry.CalleeStore.
func (s *Store) CalledAgentByID(ctx context.Context, agent id.Agent) (registry.Agent, *registry.SealedCredential, error) {
	row, err := s.read.CalledAgentByID(ctx, string(agent))
	return toCalled(query.CalledAgentRow(row), err)
}

func toCalled(row query.CalledAgentRow, err error) (registry.Agent, *registry.SealedCredential, error) {
	if err != nil {
		return registry.Agent{}, nil, agentFault(err)
	}
	a, err := toAgent(row.Agent)
	if err != nil {
		return registry.Agent{}, nil, err
	}
	a.Active = a.Active && row.Agent.DisabledUs == nil
	if row.KeyID == nil {
		return a, nil, nil
	}
	return a, &registry.SealedCredential{Agent: a.ID, Type: a.AuthType, Sealed: row.Sealed, KeyID: *row.KeyID, Header: row.AuthHeader, Scheme: row.AuthScheme}, nil
}

// listedPayloads is how many bytes a row may say, asked and answered together, to be
// listed with it: a page of 100 rows has at most 6.25 MiB.
const listedPayloads = 64 << 10

// Logs implements broker.Store.
func (s *Store) Logs(ctx context.Context, viewer id.User, q broker.LogQuery) ([]broker.Log, error) {
	text, args := logsQuery(viewer, q)
	rows, err := s.db.Prepared().QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("query invocation logs: %w", err)
	}
	defer rows.Close()
	logs := []broker.Log{}
	for rows.Next() {
		l, err := scanLog(rows)
		if err != nil {
			return nil, fmt.Errorf("read an invocation log: %w", err)
		}
		logs = append(logs, l)
	}
	return logs, rows.Err()
}

// Payloads implements broker.Store.
func (s *Store) Payloads(ctx context.Context, caller id.User, l id.Invocation) (request, response []byte, err error) {
	row, err := s.read.LogPayloads(ctx, query.LogPayloadsParams{ID: string(l), CallerID: string(caller)})
	return bytesPtr(row.Request), bytesPtr(row.Response), sqldb.Translate(err)
}

// listed tells of l whether its payloads are small enough for a list, $2 bytes. The
// length of a value is known without reading it.
const listed = "COALESCE(octet_length(l.request), 0) + COALESCE(octet_length(l.response), 0) <= CAST($2 AS BIGINT)"

// logColumns are what logsQuery gives of l, an invocation log, and a, its agent if the
// viewer, $1, may see that. What belongs to a foreign caller is masked here, so that it
// does not leave the database.
const logColumns = "l.id, l.kind, CASE WHEN l.caller_id = $1 THEN l.caller_id ELSE '' END, CASE WHEN l.caller_id = $1 THEN l.actor_type ELSE '' END, " +
	"CASE WHEN l.caller_id = $1 THEN l.actor_id ELSE '' END, a.id, l.agent_owner_id, a.slug, a.name, l.success, l.refused, l.status, l.latency_ms, l.error_code, " +
	"(SELECT i.id FROM integrations i WHERE i.id = l.integration_id AND l.caller_id = $1), " +
	"(SELECT c.id FROM conversations c WHERE c.id = l.conversation_id AND l.caller_id = $1), " +
	"(SELECT m.id FROM conversation_messages m WHERE m.id = l.message_id AND l.caller_id = $1), " +
	"CASE WHEN l.caller_id = $1 AND " + listed + " THEN l.request END, CASE WHEN l.caller_id = $1 AND " + listed + " THEN l.response END, " +
	"l.caller_id = $1 AND NOT (" + listed + "), l.request_id, page.created_us"

// logsQuery merges two halves, what the viewer called and what was called of the viewer's
// agents, each read along its index and no further than needed. Who calls agents of their
// own is in both, which UNION mends: a condition against it would read past all of these
// rows; so would PostgreSQL, if the look at the agent were an EXISTS that it can turn into
// a join. Until the page is known only ids and times are carried: payloads may have a
// megabyte each. Only constants become part of the text; values are parameters.
//
// A conversation is the viewer's or there is nothing: its rows are read along its own
// index, which the expression about the caller keeps the planners from leaving.
func logsQuery(viewer id.User, q broker.LogQuery) (string, []any) {
	var args []any
	param := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	me := param(string(viewer))
	param(int64(listedPayloads)) // $2
	var where strings.Builder
	if q.Agent != "" {
		where.WriteString(" AND agent_id = " + param(string(q.Agent)))
	}
	if !q.From.IsZero() {
		where.WriteString(" AND created_us >= " + param(clock.Micros(q.From)))
	}
	if !q.To.IsZero() {
		where.WriteString(" AND created_us <= " + param(clock.Micros(q.To)))
	}
	where.WriteString(map[string]string{"success": " AND success", "timeout": " AND NOT success AND status IN (408, 504)",
		"error": " AND NOT success AND status NOT IN (408, 504)"}[q.Status])
	const order = " ORDER BY created_us DESC, id DESC LIMIT "
	// SQLite plans a statement anew for every value of a bare parameter behind LIMIT.
	count := func(n int) string { return "CAST(" + param(int64(n)) + " AS BIGINT)" }
	enough := count(q.Limit + q.Offset)
	half := func(condition, name string) string {
		return "SELECT id, created_us FROM (SELECT id, created_us FROM invocation_logs WHERE " + condition + where.String() + order + enough + ") AS " + name
	}
	var halves string
	switch {
	case q.Conversation != "":
		halves = half("conversation_id = "+param(string(q.Conversation))+" AND COALESCE(caller_id, '') = "+me, "said")
	case q.Mine:
		halves = half("caller_id = "+me, "mine")
	default:
		halves = half("caller_id = "+me, "mine") + " UNION " +
			half("agent_owner_id = "+me+" AND (SELECT a.owner_id FROM agents a WHERE a.id = invocation_logs.agent_id) = "+me, "theirs")
	}
	page := "SELECT id, created_us FROM (" + halves + ") AS merged" + order + count(q.Limit) + " OFFSET " + count(q.Offset)
	return "SELECT " + logColumns + " FROM (" + page + ") AS page JOIN invocation_logs l ON l.id = page.id " +
		"LEFT JOIN agents a ON a.id = l.agent_id AND (a.visibility = 'public' OR a.owner_id = " + me + ") ORDER BY page.created_us DESC, page.id DESC", args
}

func scanLog(rows *sql.Rows) (broker.Log, error) {
	var l broker.Log
	var agent, slug, name, integration, conversation, message, request, response *string
	var created int64
	err := rows.Scan(&l.ID, &l.Kind, &l.Caller, &l.Actor.Type, &l.Actor.ID, &agent, &l.AgentOwner, &slug, &name, &l.Success, &l.Refused, &l.Status, &l.LatencyMS,
		&l.Code, &integration, &conversation, &message, &request, &response, &l.Large, &l.RequestID, &created)
	l.Agent, l.Slug, l.Name = id.Agent(text(agent)), text(slug), text(name)
	l.Integration, l.Conversation, l.Message = id.Integration(text(integration)), id.Conversation(text(conversation)), id.Message(text(message))
	l.Request, l.Response, l.At = bytesPtr(request), bytesPtr(response), clock.FromMicros(created)
	return l, err
}

// text is empty for null.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func bytesPtr(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}
