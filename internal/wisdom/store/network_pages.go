package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

// channels are all of them: a list of whatever channel merges theirs.
func channels() []string { return []string{network.Call, network.Push, network.Mailbox} }

// page builds a query for messages of one network, each read along an index of migration
// 7 and no further than needed. Only constants become part of the text; values are
// parameters.
type page struct {
	args     []any
	branches []string
	bounds   string // of the numbers
	order    string // of the numbers
	enough   string // how far each branch is read
	dialect  sqldb.Dialect
}

// newPage begins a page of the first limit messages after offset of them.
func newPage(d sqldb.Dialect, owner id.User, n id.Network, descending bool, limit, offset int) *page {
	p := &page{args: []any{string(n), string(owner)}, order: "seq", dialect: d}
	if descending {
		p.order = "seq DESC"
	}
	p.enough = p.count(limit + offset)
	return p
}

func (p *page) param(value any) string {
	p.args = append(p.args, value)
	return "$" + strconv.Itoa(len(p.args))
}

// count is a parameter for LIMIT: SQLite plans a statement anew for every value of a bare
// one.
func (p *page) count(n int) string { return "CAST(" + p.param(int64(n)) + " AS BIGINT)" }

// branch adds the messages for which condition is true, of one channel or of each; ""
// is each. Of them only the keys are read, from the index.
func (p *page) branch(condition, channel string) {
	for _, c := range channels() {
		if channel == "" || channel == c {
			p.branches = append(p.branches, "SELECT channel, seq FROM (SELECT channel, seq FROM network_messages WHERE "+condition+" AND channel = '"+c+"'"+p.bounds+
				" ORDER BY "+p.order+" LIMIT "+p.enough+") AS branch"+strconv.Itoa(len(p.branches)))
		}
	}
}

// text merges the branches with union and reads the rows of the page, each by its key:
// PostgreSQL must not make a join of that which reads the whole table, and which stays
// prepared when the table has grown (see lookup).
func (p *page) text(union string, limit, offset int) string {
	keys := "SELECT channel, seq FROM (" + strings.Join(p.branches, union) + ") AS merged ORDER BY " + p.order + " LIMIT " + p.count(limit) + " OFFSET " + p.count(offset)
	row := "JOIN network_messages m ON m.network_id = $1 AND m.channel = page.channel AND m.seq = page.seq "
	if p.dialect.Shared() {
		row = "JOIN LATERAL (SELECT x.* FROM network_messages x WHERE x.network_id = $1 AND x.channel = page.channel AND x.seq = page.seq LIMIT 1) m ON TRUE "
	}
	return "SELECT " + listedColumns("m") + " FROM (" + keys + ") AS page " + row +
		"JOIN networks n ON n.id = $1 AND n.owner_id = $2 AND COALESCE(n.deleted_us, 0) = 0 ORDER BY page." + p.order
}

// messagesQuery lists messages of a network with numbers between after and before; zero
// values do not filter. The participant must be one of the network: the messages at its
// two ends are not asked which network they are in. What somebody says to himself is at
// both, which UNION mends: a condition against it would read past all of these rows.
func messagesQuery(d sqldb.Dialect, owner id.User, n id.Network, q network.MessageQuery, before, after int64) (string, []any) {
	p := newPage(d, owner, n, q.Descending, q.Limit, q.Offset)
	if before != 0 {
		p.bounds += " AND seq < " + p.param(before)
	}
	if after != 0 {
		p.bounds += " AND seq > " + p.param(after)
	}
	union := " UNION ALL "
	if q.Participant == "" {
		p.branch("network_id = $1", q.Channel)
	} else {
		who := p.param(string(q.Participant))
		p.branch("sender_id = "+who, q.Channel)
		p.branch("recipient_id = "+who, q.Channel)
		union = " UNION "
	}
	text := p.text(union, q.Limit, q.Offset)
	return text, p.args
}

// Messages implements network.Store.
func (s Networks) Messages(ctx context.Context, owner id.User, n id.Network, q network.MessageQuery) ([]network.Message, error) {
	bounds, err := s.read.MessageBounds(ctx, query.MessageBoundsParams{Before: string(q.Before), After: string(q.After), ParticipantID: string(q.Participant),
		ID: string(n), OwnerID: string(owner)})
	if err != nil {
		return nil, missing("Network", err)
	}
	if q.Before != "" && bounds.BeforeSeq == 0 || q.After != "" && bounds.AfterSeq == 0 {
		return nil, fault.Missing("Message")
	}
	if q.Participant != "" && !bounds.HasParticipant {
		return []network.Message{}, nil
	}
	text, args := messagesQuery(s.db.Dialect(), owner, n, q, bounds.BeforeSeq, bounds.AfterSeq)
	return s.listMessages(ctx, text, args)
}

// inboxQuery lists what a participant of a network has not read, along the index of
// exactly that.
func inboxQuery(d sqldb.Dialect, owner id.User, n id.Network, who id.Participant, channel string, limit int) (string, []any) {
	p := newPage(d, owner, n, false, limit, 0)
	p.branch("recipient_id = "+p.param(string(who))+" AND status IN ('pending', 'delivered')", channel)
	text := p.text(" UNION ALL ", limit, 0)
	return text, p.args
}

// Inbox implements network.Store.
func (s Networks) Inbox(ctx context.Context, owner id.User, p id.Participant, channel string, limit int) ([]network.Message, error) {
	n, err := s.read.InboxNetwork(ctx, query.InboxNetworkParams{ID: string(p), OwnerID: string(owner)})
	if err != nil {
		return nil, missing("Participant", err)
	}
	text, args := inboxQuery(s.db.Dialect(), owner, id.Network(n), p, channel, limit)
	return s.listMessages(ctx, text, args)
}

// listedColumns are messageColumns as they are listed, and whether the message is Large: what
// is too large together is left out, unread, because octet_length looks at no content. They
// keep their names, so a query around it has them as it would have a table's.
func listedColumns(of string) string {
	of += "."
	small := "octet_length(" + of + "content) + COALESCE(octet_length(" + of + "metadata), 0) <= " + strconv.Itoa(listedMessage)
	return strings.NewReplacer("m.content", "CASE WHEN "+small+" THEN "+of+"content ELSE '' END AS content",
		"m.metadata", "CASE WHEN "+small+" THEN "+of+"metadata END AS metadata", "m.", of).Replace(messageColumns) + ", NOT (" + small + ") AS large"
}

// scanListed reads listedColumns, and more behind them.
func scanListed(rows *sql.Rows, more ...any) (network.Message, error) {
	var large bool
	m, err := scanMessage(rows, append([]any{&large}, more...)...)
	m.Large = large
	return m, err
}

// listMessages runs a query for listedColumns.
func (s Networks) listMessages(ctx context.Context, text string, args []any) ([]network.Message, error) {
	rows, err := s.db.Prepared().QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("query messages: %w", err)
	}
	defer rows.Close()
	list := []network.Message{}
	for rows.Next() {
		m, err := scanListed(rows)
		if err != nil {
			return nil, fmt.Errorf("read a message: %w", err)
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// Message implements network.Store.
func (s Networks) Message(ctx context.Context, owner id.User, n id.Network, m id.NetworkMessage) (network.Message, error) {
	row, err := s.read.NetworkMessage(ctx, query.NetworkMessageParams{ID: string(m), NetworkID: string(n), OwnerID: string(owner)})
	return toNetworkMessage(row), missing("Message", err)
}

// Acknowledge implements network.Store. It takes the lanes of what may still be queued
// before the messages, as whoever settles does.
func (s Networks) Acknowledge(ctx context.Context, owner id.User, n id.Network, ids []id.NetworkMessage, at time.Time) (int, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	found := 0
	err := s.tx(ctx, func(tx *sqldb.PreparedTx) error {
		found = 0
		if _, err := query.New(tx).OwnedNetwork(ctx, query.OwnedNetworkParams{ID: string(n), OwnerID: string(owner)}); err != nil {
			return missing("Network", err)
		}
		if len(ids) == 0 {
			return nil
		}
		list, args := parameters(ids)
		args = append(args, string(n))
		a := acknowledgement{tx, s.db.Dialect(), "IN (" + list + ") AND COALESCE(network_id, '') = $" + strconv.Itoa(len(args)), args}
		var queued bool
		var err error
		if found, queued, err = a.look(ctx); err != nil || found == 0 {
			return err
		}
		if queued {
			if err := a.cancel(ctx, s.db.Now()()); err != nil {
				return err
			}
		}
		if err := a.exec(ctx, "UPDATE network_messages SET status = 'read', updated_us = "+a.next()+" WHERE status <> 'read' AND id "+a.listed, clock.Micros(at)); err != nil {
			return fmt.Errorf("make messages read: %w", err)
		}
		return nil
	})
	return found, err
}

// acknowledgement is one attempt to make messages read.
type acknowledgement struct {
	tx      *sqldb.PreparedTx
	dialect sqldb.Dialect
	listed  string // the condition that an id is one of them, and that the network is theirs
	args    []any  // of listed
}

func (a acknowledgement) exec(ctx context.Context, text string, more ...any) error {
	_, err := a.tx.ExecContext(ctx, text, slices.Concat(a.args, more)...)
	return err
}

// next is the first parameter after those of listed.
func (a acknowledgement) next() string { return "$" + strconv.Itoa(len(a.args)+1) }

// look counts the messages and tells whether any may be queued or given up. What was
// delivered or read by now is never queued again.
func (a acknowledgement) look(ctx context.Context) (found int, queued bool, err error) {
	var n int64
	err = a.tx.QueryRowContext(ctx, "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN channel = 'message' AND status IN ('pending', 'failed') THEN 1 ELSE 0 END), 0) AS BIGINT) "+
		"FROM network_messages WHERE id "+a.listed, a.args...).Scan(&found, &n)
	if err != nil {
		return 0, false, fmt.Errorf("look for messages: %w", err)
	}
	return found, n > 0, nil
}

// cancel holds the lanes of the recipients and removes what is queued, and what was given
// up. A lane whose first delivery goes is due at now: the next need not wait for what that
// one waited for.
func (a acknowledgement) cancel(ctx context.Context, now time.Time) error {
	err := a.exec(ctx, "SELECT recipient_id FROM delivery_lanes WHERE recipient_id IN (SELECT m.recipient_id FROM network_messages m WHERE m.id "+a.listed+
		") ORDER BY recipient_id "+a.dialect.ForNoKeyUpdate())
	if err != nil {
		return fmt.Errorf("hold lanes: %w", err)
	}
	us := "CAST(" + a.next() + " AS BIGINT)"
	err = a.exec(ctx, "UPDATE delivery_lanes SET revision = revision + 1, due_us = CASE WHEN claim = '' AND due_us > "+us+" THEN "+us+" ELSE due_us END "+
		"WHERE recipient_id IN (SELECT m.recipient_id FROM network_messages m WHERE m.id "+a.listed+") "+
		"AND (SELECT d.message_id FROM deliveries d WHERE d.recipient_id = delivery_lanes.recipient_id ORDER BY d.seq LIMIT 1) "+a.listed, clock.Micros(now))
	if err != nil {
		return fmt.Errorf("wake lanes: %w", err)
	}
	// The keys are read first: PostgreSQL might look for them in the whole queue.
	var keys [][]any
	if err := run(ctx, a.tx, "SELECT m.recipient_id, m.seq FROM network_messages m WHERE m.recipient_id IS NOT NULL AND m.id "+a.listed, a.args, func(rows *sql.Rows) error {
		var recipient string
		var seq int64
		err := rows.Scan(&recipient, &seq)
		keys = append(keys, []any{recipient, seq})
		return err
	}); err != nil {
		return fmt.Errorf("read keys of deliveries: %w", err)
	}
	if err := withRows(ctx, a.tx, a.dialect, "recipient_id TEXT, seq BIGINT", removeDeliveries, keys, nil); err != nil {
		return fmt.Errorf("cancel deliveries: %w", err)
	}
	if err := a.exec(ctx, "DELETE FROM dead_letters WHERE message_id "+a.listed); err != nil {
		return fmt.Errorf("remove dead letters: %w", err)
	}
	return nil
}

// DeadLetters implements network.Store.
func (s Networks) DeadLetters(ctx context.Context, owner id.User, n id.Network, limit, offset int) ([]network.DeadLetter, error) {
	list := []network.DeadLetter{}
	err := run(ctx, s.db.Prepared(), deadLettersQuery(), []any{string(n), string(owner), limit, offset}, func(rows *sql.Rows) (err error) {
		var l network.DeadLetter
		var failed int64
		l.Message, err = scanListed(rows, &l.Attempts, &l.LastStatus, &l.LastError, &failed)
		l.FailedAt = clock.FromMicros(failed)
		list = append(list, l)
		return err
	})
	if err == nil && len(list) == 0 {
		_, err = s.read.OwnedNetwork(ctx, query.OwnedNetworkParams{ID: string(n), OwnerID: string(owner)})
	}
	if err != nil {
		return nil, missing("Network", err)
	}
	return list, nil
}

// deadLettersQuery lists those of the network $1 of $2 along their index. What was given up
// together was given up in the order of the numbers.
func deadLettersQuery() string {
	return "SELECT " + listedColumns("m") + ", d.attempts, COALESCE(d.last_status, 0), d.last_error, d.failed_us " +
		"FROM (SELECT x.message_id, x.attempts, x.last_status, x.last_error, x.failed_us, x.seq FROM dead_letters x WHERE x.network_id = $1 " +
		"AND EXISTS (SELECT 1 FROM networks n WHERE n.id = $1 AND n.owner_id = $2 AND COALESCE(n.deleted_us, 0) = 0) " +
		"ORDER BY x.failed_us DESC, x.seq DESC LIMIT CAST($3 AS BIGINT) OFFSET CAST($4 AS BIGINT)) AS d " +
		"JOIN network_messages m ON m.id = d.message_id ORDER BY d.failed_us DESC, d.seq DESC"
}

// Replay implements network.Store.
func (s Networks) Replay(ctx context.Context, owner id.User, n id.Network, m id.NetworkMessage, at time.Time) (network.Message, error) {
	var stored network.Message
	err := s.tx(ctx, func(tx *sqldb.PreparedTx) error {
		q := query.New(tx)
		// While the network is held nobody deletes it, so nothing is left behind.
		var held int
		err := tx.QueryRowContext(ctx, "SELECT 1 FROM networks WHERE id = $1 AND owner_id = $2 AND COALESCE(deleted_us, 0) = 0 "+s.db.Dialect().ForNoKeyUpdate(), string(n), string(owner)).Scan(&held)
		if err != nil {
			return missing("Network", err)
		}
		row, err := q.NetworkMessage(ctx, query.NetworkMessageParams{ID: string(m), NetworkID: string(n), OwnerID: string(owner)})
		if err != nil {
			return missing("Message", err)
		}
		if row.RecipientID == nil {
			return notFailed(sql.ErrNoRows)
		}
		// The lane goes first, as in Acknowledge.
		if err := q.WakeLane(ctx, query.WakeLaneParams{NowUs: clock.Micros(s.db.Now()()), RecipientID: *row.RecipientID, NetworkID: string(n)}); err != nil {
			return fmt.Errorf("wake a lane: %w", err)
		}
		letter, err := q.TakeDeadLetter(ctx, query.TakeDeadLetterParams{MessageID: string(m), NetworkID: string(n)})
		if err != nil {
			return notFailed(err)
		}
		if row, err = q.ReviveMessage(ctx, query.ReviveMessageParams{UpdatedUs: clock.Micros(at), ID: string(m), NetworkID: string(n)}); err != nil {
			return notFailed(err)
		}
		stored = toNetworkMessage(row)
		return sqldb.Translate(q.QueueAgain(ctx, query.QueueAgainParams{RecipientID: *row.RecipientID, Seq: row.Seq, MessageID: row.ID, NetworkID: row.NetworkID,
			ActorType: letter.ActorType, ActorID: letter.ActorID, RequestID: letter.RequestID}))
	})
	return stored, err
}

// notFailed types that there is no dead letter.
func notFailed(err error) error {
	if err = sqldb.Translate(err); fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "message_not_failed", "the delivery of this message has not failed")
	}
	return err
}

func toNetworkMessage(row query.NetworkMessage) network.Message {
	return network.Message{ID: id.NetworkMessage(row.ID), Network: id.Network(row.NetworkID), Seq: row.Seq, Sender: id.Participant(row.SenderID),
		Recipient: id.Participant(text(row.RecipientID)), Channel: row.Channel, Content: row.Content, Metadata: bytesPtr(row.Metadata),
		InReplyTo: id.NetworkMessage(text(row.InReplyTo)), Status: row.Status, Depth: int(row.Depth),
		Created: clock.FromMicros(row.CreatedUs), Updated: clock.FromMicros(row.UpdatedUs)}
}
