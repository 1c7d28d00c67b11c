package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

// How Open and Close share transactions (ADR 0015).
const (
	writesPerBatch = 64
	writesWaiting  = 2048
	batchesAbreast = 1
)

// writing is an Open or a Close on its way to the database, and what became of it.
type writing struct {
	open *broker.Opening
	end  *broker.Ending

	full    bool   // a quota is used up
	missing string // what the Open needs and is gone; "": nothing
}

// refused tells whether nothing is to be written for it.
func (w *writing) refused() bool { return w.full || w.missing != "" }

// Open implements broker.Store.
func (s *Store) Open(ctx context.Context, o broker.Opening) (bool, error) {
	w := &writing{open: &o}
	if err := s.invocations.Do(ctx, w); err != nil {
		return false, fmt.Errorf("open an invocation: %w", err)
	}
	if w.missing != "" {
		return false, fault.Missing(w.missing)
	}
	return !w.full, nil
}

// Close implements broker.Store. An ending of a call is never refused because much is
// waiting: the agent has done its work. As many calls as there are wait at most.
func (s *Store) Close(ctx context.Context, e broker.Ending) error {
	do := s.invocations.DoAnyway
	if e.Log.Refused && e.Undo == nil {
		do = s.invocations.Do // nothing was opened
	}
	if err := do(ctx, &writing{end: &e}); err != nil {
		return fmt.Errorf("close an invocation: %w", err)
	}
	return nil
}

// writeInvocations writes a batch in one transaction.
//
// It is right statement by statement (sqldb.TxByStatement): messages, logs and new
// conversations are rows that nobody else writes, counts and figures are added to in
// place, and a quota is the condition of its own count. Whether what a Close refers to is
// still there is not asked but left to the foreign keys: it almost always is, and a batch
// in which it is not is divided (sqldb.Batch) until it is alone, see writeAlone. Locks are
// taken in the order conversations, counts, contexts, agents, figures, stamps; in each, by
// id. What is said in a conversation refers to it, which waits for nobody who only speaks
// in it too (Dialect.ForNoKeyUpdate).
func (s *Store) writeInvocations(ctx context.Context, work []*writing) error {
	err := s.db.TxByStatement(ctx, func(tx *sqldb.PreparedTx) error {
		b := invocationBatch{store: s, tx: tx, q: query.New(tx)}
		for _, w := range work {
			w.full, w.missing = false, "" // this may be the second attempt
			if w.open != nil {
				b.opens = append(b.opens, w)
			} else {
				b.ends = append(b.ends, w.end)
			}
		}
		for _, step := range []func(context.Context) error{b.take, b.takeBack, b.count, b.speak, b.keepContexts, b.log, b.figures} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if sqldb.Dangling(err) && len(work) == 1 {
		return s.writeAlone(ctx, work[0], err)
	}
	if err != nil {
		return fmt.Errorf("write %d invocations: %w", len(work), sqldb.Translate(err))
	}
	return nil
}

// writeAlone writes what refers to something that is gone: of an Ending it leaves that
// out. The log row refers to nothing, so it ends.
func (s *Store) writeAlone(ctx context.Context, w *writing, because error) error {
	if w.open != nil {
		w.missing = "Conversation"
		return nil
	}
	e := *w.end
	there, err := s.read.StillThere(ctx, query.StillThereParams{Conversation: string(e.Log.Conversation), UserID: string(e.Log.Caller), Agent: string(e.Log.Agent)})
	if err != nil {
		return fmt.Errorf("look what is gone: %w", err)
	}
	e.Reached = e.Reached && there.Agent
	if !there.Agent || !there.Conversation {
		e.Context = ""
	}
	if !there.Conversation {
		e.Message = ""
	}
	if e.Reached == w.end.Reached && e.Context == w.end.Context && e.Message == w.end.Message {
		return fmt.Errorf("close an invocation: %w", because)
	}
	return s.writeInvocations(ctx, []*writing{{end: &e}})
}

// invocationBatch is one attempt at a batch.
type invocationBatch struct {
	store *Store
	tx    *sqldb.PreparedTx
	q     *query.Queries
	opens []*writing
	ends  []*broker.Ending
}

// take locks the conversations that were there before, in the order of their ids: those
// that are spoken in, and those of openings that are taken back. It notes which of the
// former are gone, or not the integration's any more.
func (b *invocationBatch) take(ctx context.Context) error {
	type held struct {
		id   id.Conversation
		user id.User
		lock string
		with *writing // nil: it is taken back
	}
	var all []held
	for _, w := range b.opens {
		if o := w.open; !o.New {
			all = append(all, held{o.Conversation, o.User, b.store.db.Dialect().ForNoKeyUpdate(), w})
		}
	}
	for _, e := range b.ends {
		if o := e.Undo; o != nil {
			lock := b.store.db.Dialect().ForNoKeyUpdate()
			if o.New { // nobody may speak in it meanwhile: whether somebody has is seen below
				lock = b.store.db.Dialect().ForUpdate()
			}
			all = append(all, held{o.Conversation, o.User, lock, nil})
		}
	}
	slices.SortStableFunc(all, func(x, y held) int { return cmp.Compare(x.id, y.id) })
	for _, h := range all {
		var within id.Integration
		if h.with != nil {
			within = h.with.open.Integration
		}
		there, err := b.hold(ctx, h.id, h.user, within, h.lock)
		if err != nil {
			return err
		}
		if !there && h.with != nil {
			h.with.missing = "Conversation"
		}
	}
	return nil
}

// hold locks a conversation, if it is there and of that integration; "" is any. Each is
// asked for by itself: for a list of them PostgreSQL reads the whole table as long as it
// believes that to be small.
func (b *invocationBatch) hold(ctx context.Context, c id.Conversation, user id.User, within id.Integration, lock string) (bool, error) {
	var there int
	err := b.tx.QueryRowContext(ctx, "SELECT 1 FROM conversations WHERE id = $1 AND user_id = $2 AND (CAST($3 AS TEXT) = '' OR integration_id = CAST($3 AS TEXT)) "+lock,
		string(c), string(user), string(within)).Scan(&there)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("look for a conversation: %w", err)
	}
	return err == nil, nil
}

// takeBack undoes what openings wrote; count undoes what they counted.
func (b *invocationBatch) takeBack(ctx context.Context) error {
	for _, e := range b.ends {
		o := e.Undo
		if o == nil {
			continue
		}
		if o.Message != "" {
			if err := b.q.TakeMessageBack(ctx, query.TakeMessageBackParams{ID: string(o.Message), ConversationID: string(o.Conversation), UserID: string(o.User)}); err != nil {
				return err
			}
		}
		switch {
		case o.New:
			if err := b.q.TakeConversationBack(ctx, query.TakeConversationBackParams{ID: string(o.Conversation), UserID: string(o.User)}); err != nil {
				return err
			}
		case o.ExternalUser != nil:
			if err := b.q.TakeExternalUserBack(ctx, query.TakeExternalUserBackParams{Before: o.ExternalUserBefore, ID: string(o.Conversation), UserID: string(o.User),
				Written: o.ExternalUser}); err != nil {
				return err
			}
		}
	}
	return nil
}

// uncount gives back what openings have counted that are undone, of integrations up to
// last; "" is all. It returns those that are left.
func (b *invocationBatch) uncount(ctx context.Context, undone []*broker.Opening, last id.Integration) ([]*broker.Opening, error) {
	for len(undone) > 0 && (last == "" || undone[0].Integration <= last) {
		o := undone[0]
		day, month := windows(o.At)
		if err := b.q.UncountInvocation(ctx, query.UncountInvocationParams{DayUs: day, MonthUs: month, IntegrationID: string(o.Integration), UserID: string(o.User)}); err != nil {
			return nil, err
		}
		undone = undone[1:]
	}
	return undone, nil
}

// undone are the openings that were counted and are taken back, by their integrations.
func (b *invocationBatch) undone() []*broker.Opening {
	var list []*broker.Opening
	for _, e := range b.ends {
		if e.Undo != nil && e.Undo.Integration != "" {
			list = append(list, e.Undo)
		}
	}
	slices.SortStableFunc(list, func(x, y *broker.Opening) int { return cmp.Compare(x.Integration, y.Integration) })
	return list
}

// windows are the beginnings of t's day and month, UTC, in microseconds.
func windows(t time.Time) (day, month int64) {
	t = t.UTC()
	return clock.Micros(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)), clock.Micros(time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC))
}

// count counts openings against their quotas, after it has given back what is undone.
// Those of one integration are counted together if all of them fit, else one by one.
func (b *invocationBatch) count(ctx context.Context) error {
	groups := map[query.CountInvocationsParams][]*writing{}
	for _, w := range b.opens {
		if o := w.open; o.Integration != "" && !w.refused() {
			day, month := windows(o.At)
			key := query.CountInvocationsParams{DayUs: day, N: 1, MonthUs: month, IntegrationID: string(o.Integration), UserID: string(o.User),
				Daily: atMost(o.Daily), Monthly: atMost(o.Monthly)}
			groups[key] = append(groups[key], w)
		}
	}
	keys := make([]query.CountInvocationsParams, 0, len(groups))
	for key := range groups {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(x, y query.CountInvocationsParams) int {
		return cmp.Or(cmp.Compare(x.IntegrationID, y.IntegrationID), cmp.Compare(x.DayUs, y.DayUs))
	})
	undone := b.undone()
	var err error
	for _, key := range keys {
		if undone, err = b.uncount(ctx, undone, id.Integration(key.IntegrationID)); err != nil {
			return err
		}
		group, all := groups[key], key
		if all.N = int64(len(group)); all.N > 1 {
			if n, err := b.q.CountInvocations(ctx, all); err != nil {
				return err
			} else if n > 0 {
				continue
			}
		}
		for _, w := range group {
			if err := b.countOne(ctx, w, key); err != nil {
				return err
			}
		}
	}
	_, err = b.uncount(ctx, undone, "")
	return err
}

// countOne counts w, or notes why not.
func (b *invocationBatch) countOne(ctx context.Context, w *writing, key query.CountInvocationsParams) error {
	n, err := b.q.CountInvocations(ctx, key)
	if err != nil || n > 0 {
		return err
	}
	there, err := b.q.HasIntegration(ctx, query.HasIntegrationParams{ID: key.IntegrationID, UserID: key.UserID})
	if w.full = there > 0; err == nil && !w.full {
		w.missing = "Integration"
	}
	return err
}

func atMost(quota *int64) int64 {
	if quota == nil {
		return math.MaxInt64
	}
	return *quota
}

// An answer is later than what it answers, whatever the clocks of two nodes say:
// messages are read in the order of their times.
const (
	insertConversations = "INSERT INTO conversations (id, user_id, integration_id, external_user, created_us, updated_us)"
	conversationRow     = "(?, ?, ?, ?, ?, ?)"
	insertMessages      = "INSERT INTO conversation_messages (id, conversation_id, user_id, role, content, metadata, agent_slug, created_us)"
	questionRow         = "(?, ?, ?, 'user', ?, ?, NULL, ?)"
	answerRow           = "(?, ?, ?, 'assistant', ?, ?, ?, (SELECT CASE WHEN MAX(m.created_us) >= CAST(? AS BIGINT) THEN MAX(m.created_us) + 1 ELSE CAST(? AS BIGINT) END " +
		"FROM conversation_messages m WHERE m.id = ?))"
	insertLogs = "INSERT INTO invocation_logs (id, kind, caller_id, actor_type, actor_id, agent_id, agent_owner_id, success, refused, status, latency_ms, error_code, " +
		"integration_id, conversation_id, message_id, request, response, request_id, created_us)"
	logRow = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

// speak writes conversations and what is said in them.
func (b *invocationBatch) speak(ctx context.Context) error {
	var conversations, questions, answers [][]any
	for _, w := range b.opens {
		o := w.open
		if w.refused() {
			continue
		}
		if o.New {
			conversations = append(conversations, []any{string(o.Conversation), string(o.User), nullable(o.Integration), o.ExternalUser, clock.Micros(o.At), clock.Micros(o.At)})
		} else if err := b.q.SpeakInConversation(ctx, query.SpeakInConversationParams{ExternalUser: o.ExternalUser, UpdatedUs: clock.Micros(o.At), ID: string(o.Conversation), UserID: string(o.User)}); err != nil {
			return fmt.Errorf("change a conversation: %w", err)
		}
		if o.Message != "" {
			questions = append(questions, []any{string(o.Message), string(o.Conversation), string(o.User), o.Content, textPtr(o.Metadata), clock.Micros(o.At)})
		}
	}
	for _, e := range b.ends {
		if at := clock.Micros(e.Log.At); e.Message != "" {
			answers = append(answers, []any{string(e.Message), string(e.Log.Conversation), string(e.Log.Caller), e.Content, textPtr(e.Metadata), nullable(e.Log.Slug),
				at, at, string(e.Log.Message)})
		}
	}
	if err := insertRows(ctx, b.tx, insertConversations, conversationRow, "", conversations); err != nil {
		return fmt.Errorf("insert conversations: %w", err)
	}
	if err := insertRows(ctx, b.tx, insertMessages, questionRow, "", questions); err != nil {
		return fmt.Errorf("insert messages of users: %w", err)
	}
	if err := insertRows(ctx, b.tx, insertMessages, answerRow, "", answers); err != nil {
		return fmt.Errorf("insert messages of agents: %w", err)
	}
	return nil
}

// keepContexts notes what agents call conversations.
func (b *invocationBatch) keepContexts(ctx context.Context) error {
	ends := slices.Clone(b.ends)
	slices.SortStableFunc(ends, func(x, y *broker.Ending) int {
		return cmp.Or(cmp.Compare(x.Log.Conversation, y.Log.Conversation), cmp.Compare(x.Log.Agent, y.Log.Agent))
	})
	for _, e := range ends {
		if e.Context == "" {
			continue
		}
		if err := b.q.PutContext(ctx, query.PutContextParams{ConversationID: string(e.Log.Conversation), AgentID: string(e.Log.Agent), ContextID: e.Context}); err != nil {
			return err
		}
	}
	return nil
}

func (b *invocationBatch) log(ctx context.Context) error {
	rows := make([][]any, len(b.ends))
	for i, e := range b.ends {
		l := e.Log
		rows[i] = []any{string(l.ID), l.Kind, string(l.Caller), l.Actor.Type, l.Actor.ID, string(l.Agent), string(l.AgentOwner), l.Success, l.Refused, int64(l.Status),
			l.LatencyMS, string(l.Code), nullable(l.Integration), nullable(l.Conversation), nullable(l.Message), textPtr(l.Request), textPtr(l.Response), l.RequestID, clock.Micros(l.At)}
	}
	if err := insertRows(ctx, b.tx, insertLogs, logRow, "", rows); err != nil {
		return fmt.Errorf("insert invocation logs: %w", err)
	}
	return nil
}

// figures adds up the calls that reached agents.
func (b *invocationBatch) figures(ctx context.Context) error {
	var calls []registry.Call
	for _, e := range b.ends {
		if e.Reached {
			calls = append(calls, registry.Call{Agent: e.Log.Agent, User: e.Log.Caller, At: e.Log.At, Success: e.Log.Success, Latency: time.Duration(e.Log.LatencyMS) * time.Millisecond})
		}
	}
	return b.store.addCalls(ctx, b.tx, calls)
}
