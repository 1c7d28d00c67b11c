package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

// How what is posted, claimed and settled shares transactions (ADR 0015).
const (
	networkWritesPerBatch = 128
	networkWritesWaiting  = 4096
	networkBatchesAbreast = 1
)

// networkWrite is a post, the failure of a call, a settlement, a claim or a renewal on its
// way to the database, and what became of it.
type networkWrite struct {
	post   *network.Draft
	fail   *failedCall
	settle *network.Settlement
	claim  *network.Claim
	renew  *renewal
	logs   []loggedAttempt

	message network.Message  // of a post, as it is stored
	refused error            // of a post: nothing is stored
	as      *networkWrite    // of a post: the one of this batch that has the same id
	claimed []network.Lane   // of a claim
	kept    []id.Participant // of a renewal
}

// failedCall is a call that is to be failed if it is pending.
type failedCall struct {
	network id.Network
	message id.NetworkMessage
	at      time.Time
}

// loggedAttempt is a Log with the id of its row, so that a second attempt at a batch
// writes the same.
type loggedAttempt struct {
	id id.Invocation
	network.Log
}

func loggedAttempts(logs ...network.Log) []loggedAttempt {
	list := make([]loggedAttempt, len(logs))
	for i, l := range logs {
		list[i] = loggedAttempt{id.New[id.Invocation](), l}
	}
	return list
}

// Post implements network.Store. What answers a call or a delivery is never refused because
// much is waiting.
func (n Networks) Post(ctx context.Context, d network.Draft) (network.Message, error) {
	w := &networkWrite{post: &d}
	if d.Log != nil {
		w.logs = loggedAttempts(*d.Log)
	}
	do := n.networkWrites.Do
	if d.Answers != "" || d.Once { // the receiver has done its part
		do = n.networkWrites.DoAnyway
	}
	if err := do(ctx, w); err != nil {
		return network.Message{}, fmt.Errorf("post a message: %w", err)
	}
	return w.message, w.refused
}

// FailCall implements network.Store.
func (n Networks) FailCall(ctx context.Context, of id.Network, message id.NetworkMessage, at time.Time, log *network.Log) error {
	w := &networkWrite{fail: &failedCall{of, message, at}}
	if log != nil {
		w.logs = loggedAttempts(*log)
	}
	if err := n.networkWrites.DoAnyway(ctx, w); err != nil {
		return fmt.Errorf("fail a call: %w", err)
	}
	return nil
}

// FailCalls implements network.Store.
func (n Networks) FailCalls(ctx context.Context, now time.Time) (int, error) {
	var failed int64
	err := n.db.TxByStatement(ctx, func(tx *sqldb.PreparedTx) (err error) {
		if err := n.steady(ctx, tx); err != nil {
			return err
		}
		failed, err = query.New(tx).FailCalls(ctx, query.FailCallsParams{UpdatedUs: clock.Micros(now), NowUs: new(clock.Micros(now))})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("fail calls that have run out: %w", err)
	}
	return int(failed), nil
}

// writeNetworks writes a batch in one transaction. Only the figures refer to something
// that may be gone, an agent: then it is looked for (addCalls).
func (s *Store) writeNetworks(ctx context.Context, work []*networkWrite) error {
	err := s.writeNetworkBatch(ctx, work, false)
	if sqldb.Dangling(err) && len(work) == 1 {
		err = s.writeNetworkBatch(ctx, work, true)
	}
	if err != nil {
		return fmt.Errorf("write %d changes of networks: %w", len(work), sqldb.Translate(err))
	}
	return nil
}

// networkBatch is one attempt at a batch.
type networkBatch struct {
	store *Store
	tx    *sqldb.PreparedTx
	work  []*networkWrite
	look  bool // whether the agents of the figures are still there

	latest   int64           // time of what the batch makes due
	accepted []*networkWrite // posts that are stored
	owners   map[id.Network]id.User
	lanes    map[id.Participant]*lane
	ends     map[id.NetworkMessage]messageEnd
	settled  settled
}

// messageEnd is what becomes of a pending message.
type messageEnd struct {
	network id.Network
	status  string
	at      int64
}

// writeNetworkBatch is right statement by statement (sqldb.TxByStatement): what a
// condition is about has been locked by an earlier statement or is in the row that the
// statement writes. Locks are taken in the order networks, lanes, messages, deliveries,
// and what addCalls locks; in each, by id. A claim steps over what is locked.
//
// Settlements come first: a lane that is given back is due for the posts of the batch, and
// a claim sees both.
func (s *Store) writeNetworkBatch(ctx context.Context, work []*networkWrite, look bool) error {
	return s.db.TxByStatement(ctx, func(tx *sqldb.PreparedTx) error {
		b := networkBatch{store: s, tx: tx, work: work, look: look, lanes: map[id.Participant]*lane{}, ends: map[id.NetworkMessage]messageEnd{}}
		for _, w := range work { // this may be the second attempt
			w.message, w.refused, w.as, w.claimed, w.kept = network.Message{}, nil, nil, nil, nil
			if w.post != nil {
				b.latest = max(b.latest, clock.Micros(w.post.Created))
			}
			if w.settle != nil {
				b.latest = max(b.latest, clock.Micros(w.settle.At))
			}
		}
		if err := s.steady(ctx, tx); err != nil {
			return err
		}
		for _, step := range []func(context.Context) error{b.recognize, b.number, b.takeLanes, b.end, b.settleDeliveries, b.put, b.putLanes, b.claim, b.log, b.figures} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// steadyPlans keeps PostgreSQL to its indexes until the transaction ends: a plan that was
// made while a table was small stays for as long as the statement is prepared, and reads
// all of it later. Plans do not depend on values, so each is made once, and anew after
// plansLast: the server itself thinks of that a minute after a table has grown. For the
// same reason conditions that the planner could take for those of a worse index, while
// both are small, are hidden from it by COALESCE.
const (
	steadyPlans = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), " +
		"set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true), COALESCE(current_setting('intuno.planned', true), '')"
	plansLast = 5 * time.Second
)

func (s *Store) steady(ctx context.Context, tx *sqldb.PreparedTx) error {
	if !s.db.Dialect().Shared() {
		return nil
	}
	var off [5]string
	var planned string
	if err := tx.QueryRowContext(ctx, steadyPlans).Scan(&off[0], &off[1], &off[2], &off[3], &off[4], &planned); err != nil {
		return fmt.Errorf("set how statements are planned: %w", err)
	}
	now := s.db.Now()()
	if at, err := strconv.ParseInt(planned, 10, 64); err == nil && now.Sub(clock.FromMicros(at)).Abs() < plansLast {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "DISCARD PLANS"); err != nil {
		return fmt.Errorf("forget plans: %w", err)
	}
	_, err := tx.ExecContext(ctx, "SELECT set_config('intuno.planned', $1, false)", strconv.FormatInt(clock.Micros(now), 10))
	return err
}

// rows is withRows.
func (b *networkBatch) rows(ctx context.Context, columns, text string, values [][]any, each func(*sql.Rows) error) error {
	return withRows(ctx, b.tx, b.store.db.Dialect(), columns, text, values, each)
}

// messageColumns are what scanMessage reads of m.
const messageColumns = "m.id, m.network_id, m.seq, m.sender_id, m.recipient_id, m.channel, m.content, m.metadata, m.in_reply_to, m.status, m.depth, m.created_us, m.updated_us"

// scanMessage reads messageColumns, and more behind them.
func scanMessage(rows *sql.Rows, more ...any) (network.Message, error) {
	var m network.Message
	var recipient, metadata, inReplyTo *string
	var created, updated int64
	err := rows.Scan(append([]any{&m.ID, &m.Network, &m.Seq, &m.Sender, &recipient, &m.Channel, &m.Content, &metadata, &inReplyTo, &m.Status, &m.Depth, &created, &updated}, more...)...)
	m.Recipient, m.Metadata, m.InReplyTo = id.Participant(text(recipient)), bytesPtr(metadata), id.NetworkMessage(text(inReplyTo))
	m.Created, m.Updated = clock.FromMicros(created), clock.FromMicros(updated)
	return m, err
}

// recognize looks for messages that may be stored already, when their networks are locked
// and nobody else can store them.
func (b *networkBatch) recognize(ctx context.Context) error {
	var ids [][]any
	networks := map[id.Network]bool{}
	for _, w := range b.work {
		if w.post == nil {
			continue
		}
		networks[w.post.Network] = true
		if w.post.Once {
			ids = append(ids, []any{string(w.post.ID), string(w.post.Network)})
		}
	}
	if ids == nil {
		return nil
	}
	if lock := b.store.db.Dialect().ForNoKeyUpdate(); lock != "" {
		var rows [][]any
		for _, of := range slices.Sorted(maps.Keys(networks)) {
			rows = append(rows, []any{string(of)})
		}
		if err := b.rows(ctx, "id TEXT", "SELECT n.id FROM v JOIN networks n ON n.id = v.id ORDER BY n.id "+lock, rows, nil); err != nil {
			return fmt.Errorf("lock networks: %w", err)
		}
	}
	known := map[id.NetworkMessage]network.Message{}
	if err := b.rows(ctx, "id TEXT, network_id TEXT", "SELECT "+messageColumns+" FROM v JOIN network_messages m ON m.id = v.id AND COALESCE(m.network_id, '') = v.network_id", ids, func(rows *sql.Rows) error {
		m, err := scanMessage(rows)
		known[m.ID] = m
		return err
	}); err != nil {
		return fmt.Errorf("look for messages: %w", err)
	}
	first := map[id.NetworkMessage]*networkWrite{}
	for _, w := range b.work {
		if w.post == nil {
			continue
		}
		if m, stored := known[w.post.ID]; stored && w.post.Once {
			w.message, w.as = m, w
			continue
		}
		if as := first[w.post.ID]; as != nil && w.post.Once {
			w.as = as
			continue
		}
		first[w.post.ID] = w
	}
	return nil
}

// numbering is what a batch posts to a network. Revisions only grow, so nothing but the
// largest that somebody has seen can still be right.
type numbering struct {
	revision int64
	checked  int64 // posts at that revision
	anyhow   int64 // posts at any
	owner    id.User
	next     int64 // number; 0: there is no such network
	stale    bool
}

// number gives posts the next numbers of their networks, which stay locked: numbers are
// committed in their order. Posts to one network are numbered in the order in which they
// came.
func (b *networkBatch) number(ctx context.Context) error {
	groups := map[id.Network]*numbering{}
	for _, w := range b.work {
		if w.post == nil || w.as != nil {
			continue
		}
		g := groups[w.post.Network]
		if g == nil {
			g = &numbering{}
			groups[w.post.Network] = g
		}
		switch revision := w.post.Revision; {
		case revision == 0:
			g.anyhow++
		case revision > g.revision:
			g.revision, g.checked = revision, 1
		case revision == g.revision:
			g.checked++
		}
	}
	var rows [][]any
	for _, of := range slices.Sorted(maps.Keys(groups)) {
		g := groups[of]
		rows = append(rows, []any{string(of), g.revision, g.checked, g.anyhow})
	}
	if err := b.rows(ctx, "id TEXT, revision BIGINT, checked BIGINT, anyhow BIGINT",
		"UPDATE networks SET last_seq = networks.last_seq + v.anyhow + CASE WHEN networks.revision = v.revision THEN v.checked ELSE 0 END "+
			"FROM v WHERE networks.id = v.id AND COALESCE(networks.deleted_us, 0) = 0 RETURNING networks.id, networks.owner_id, networks.revision, networks.last_seq",
		rows, func(rows *sql.Rows) error {
			var of id.Network
			var owner id.User
			var revision, last int64
			if err := rows.Scan(&of, &owner, &revision, &last); err != nil {
				return err
			}
			g := groups[of]
			g.owner, g.stale, g.next = owner, revision != g.revision, last-g.anyhow+1
			if !g.stale {
				g.next -= g.checked
			}
			return nil
		}); err != nil {
		return fmt.Errorf("number messages: %w", err)
	}
	b.accept(groups)
	return nil
}

// accept decides which posts are stored, and as what.
func (b *networkBatch) accept(groups map[id.Network]*numbering) {
	b.owners = map[id.Network]id.User{}
	for _, w := range b.work {
		d := w.post
		if d == nil || w.as == w {
			continue
		}
		if w.as != nil { // which came before
			w.message, w.refused = w.as.message, w.as.refused
			continue
		}
		g := groups[d.Network]
		switch {
		case g.next == 0:
			w.refused = fault.Missing("Network")
		case d.Revision != 0 && (g.stale || d.Revision != g.revision):
			w.refused = network.ErrStale
		default:
			w.message = d.Message
			w.message.Seq = g.next
			g.next++
			b.owners[d.Network] = g.owner
			b.accepted = append(b.accepted, w)
		}
	}
}

// end changes messages that are pending: delivered, or failed.
func (b *networkBatch) end(ctx context.Context) error {
	for _, w := range b.work {
		switch {
		case w.settle != nil:
			b.settle(w.settle)
		case w.post != nil && w.post.Answers != "" && w.refused == nil && w.as == nil:
			b.ending(w.post.Answers, messageEnd{w.post.Network, network.Delivered, clock.Micros(w.post.Created)})
		case w.fail != nil:
			b.ending(w.fail.message, messageEnd{w.fail.network, network.Failed, clock.Micros(w.fail.at)})
		}
	}
	var rows [][]any
	for _, m := range slices.Sorted(maps.Keys(b.ends)) {
		e := b.ends[m]
		rows = append(rows, []any{string(m), string(e.network), e.status, e.at})
	}
	text := "UPDATE network_messages SET status = v.status, updated_us = v.at_us FROM v " +
		"WHERE network_messages.id = v.id AND COALESCE(network_messages.network_id, '') = v.network_id AND COALESCE(network_messages.status, '') = 'pending'"
	var each func(*sql.Rows) error
	if len(b.settled.given) > 0 {
		text += " RETURNING network_messages.id, network_messages.status"
		each = func(rows *sql.Rows) error {
			var m id.NetworkMessage
			var status string
			err := rows.Scan(&m, &status)
			if status == network.Failed {
				b.settled.failed[m] = true
			}
			return err
		}
	}
	if err := b.rows(ctx, "id TEXT, network_id TEXT, status TEXT, at_us BIGINT", text, rows, each); err != nil {
		return fmt.Errorf("end messages: %w", err)
	}
	return nil
}

// ending notes what becomes of a message. That it was delivered is a fact.
func (b *networkBatch) ending(m id.NetworkMessage, e messageEnd) {
	if before, noted := b.ends[m]; !noted || before.status != network.Delivered {
		b.ends[m] = e
	}
}

const (
	newMessage = "id TEXT, network_id TEXT, seq BIGINT, sender_id TEXT, recipient_id TEXT, channel TEXT, content TEXT, metadata TEXT, in_reply_to TEXT, status TEXT, " +
		"depth BIGINT, call_until_us BIGINT, created_us BIGINT, updated_us BIGINT"
	insertNetworkMessages = "INSERT INTO network_messages (id, network_id, seq, sender_id, recipient_id, channel, content, metadata, in_reply_to, status, depth, call_until_us, " +
		"created_us, updated_us) SELECT * FROM v WHERE v.id IS NOT NULL"
	newDelivery      = "recipient_id TEXT, seq BIGINT, message_id TEXT, network_id TEXT, actor_type TEXT, actor_id TEXT, request_id TEXT"
	insertDeliveries = "INSERT INTO deliveries (recipient_id, seq, message_id, network_id, actor_type, actor_id, request_id, attempts) SELECT v.*, 0 FROM v WHERE v.recipient_id IS NOT NULL"
)

// put inserts messages and their deliveries.
func (b *networkBatch) put(ctx context.Context) error {
	var messages, deliveries [][]any
	for _, w := range b.accepted {
		d, m := w.post, w.message
		var until any
		if !d.CallUntil.IsZero() {
			until = clock.Micros(d.CallUntil)
		}
		messages = append(messages, []any{string(m.ID), string(m.Network), m.Seq, string(m.Sender), nullable(m.Recipient), m.Channel, m.Content, textPtr(m.Metadata),
			nullable(m.InReplyTo), m.Status, int64(m.Depth), until, clock.Micros(m.Created), clock.Micros(m.Updated)})
		if d.Queue {
			deliveries = append(deliveries, []any{string(m.Recipient), m.Seq, string(m.ID), string(m.Network), d.Actor.Type, d.Actor.ID, d.Request})
			b.queue(w)
		}
	}
	if err := b.rows(ctx, newMessage, insertNetworkMessages, messages, nil); err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	if err := b.rows(ctx, newDelivery, insertDeliveries, deliveries, nil); err != nil {
		return fmt.Errorf("insert deliveries: %w", err)
	}
	return nil
}

// logged are the attempts of the batch that are to be logged: those of posts only if they
// are stored, the others happened whatever else is true now.
func (b *networkBatch) logged(each func(loggedAttempt) error) error {
	for _, w := range b.work {
		if w.refused != nil || w.as != nil {
			continue
		}
		for _, l := range w.logs {
			if err := each(l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *networkBatch) log(ctx context.Context) error {
	var rows [][]any
	if err := b.logged(func(l loggedAttempt) error {
		request, err := json.Marshal(struct {
			Channel string `json:"channel"`
			Length  int    `json:"content_length"`
		}{l.Channel, l.Length})
		rows = append(rows, []any{string(l.id), broker.KindNetwork, string(l.Caller), l.Actor.Type, l.Actor.ID, string(l.Agent.ID), string(l.Agent.Owner), l.Success, l.Refused,
			int64(l.Status), l.LatencyMS, l.Code, nil, nil, nullable(l.Message), string(request), nil, l.RequestID, clock.Micros(l.At)})
		return err
	}); err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	if err := insertRows(ctx, b.tx, insertLogs, logRow, "", rows); err != nil {
		return fmt.Errorf("insert invocation logs: %w", err)
	}
	return nil
}

// figures adds up the attempts that reached agents.
func (b *networkBatch) figures(ctx context.Context) error {
	var calls []registry.Call
	gone := map[id.Agent]bool{}
	if err := b.logged(func(l loggedAttempt) error {
		if !l.Reached {
			return nil
		}
		calls = append(calls, registry.Call{Agent: l.Agent.ID, User: l.Caller, At: l.At, Success: l.Success, Latency: time.Duration(l.LatencyMS) * time.Millisecond})
		if !b.look {
			return nil
		}
		var found int
		err := b.tx.QueryRowContext(ctx, "SELECT 1 FROM agents WHERE id = $1 "+b.store.db.Dialect().ForKeyShare(), string(l.Agent.ID)).Scan(&found)
		if errors.Is(err, sql.ErrNoRows) {
			gone[l.Agent.ID], err = true, nil
		}
		return err
	}); err != nil {
		return fmt.Errorf("look for an agent: %w", err)
	}
	calls = slices.DeleteFunc(calls, func(c registry.Call) bool { return gone[c.Agent] })
	return b.store.addCalls(ctx, b.tx, calls)
}
