package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

var _ network.Queue = Networks{}

// neverDue is when a lane is due that nobody waits for.
const neverDue = math.MaxInt64

// renewal makes leases longer.
type renewal struct {
	worker string
	lanes  []id.Participant
	lease  time.Time
}

// Claim implements network.Queue. What it claims is marked with the end of the lease as it
// is now: a worker that loses a lane and claims it again has another one.
func (n Networks) Claim(ctx context.Context, c network.Claim) ([]network.Lane, error) {
	if c.Limit <= 0 {
		return nil, nil
	}
	w := &networkWrite{claim: &c}
	if err := n.networkWrites.DoAnyway(ctx, w); err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	return w.claimed, nil
}

// Renew implements network.Queue.
func (n Networks) Renew(ctx context.Context, worker string, lanes []id.Participant, lease time.Time) ([]id.Participant, error) {
	if len(lanes) == 0 {
		return nil, nil
	}
	w := &networkWrite{renew: &renewal{worker, lanes, lease}}
	if err := n.networkWrites.DoAnyway(ctx, w); err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	return w.kept, nil
}

// Settle implements network.Queue. It is never refused because much is waiting.
func (n Networks) Settle(ctx context.Context, s network.Settlement) error {
	w := &networkWrite{settle: &s}
	for _, o := range s.Done {
		w.logs = append(w.logs, loggedAttempts(o.Logs...)...)
	}
	if err := n.networkWrites.DoAnyway(ctx, w); err != nil {
		return fmt.Errorf("settle deliveries: %w", err)
	}
	return nil
}

// lane is a row of delivery_lanes that is locked, or that is to be.
type lane struct {
	revision, posts, due int64
	claim                string
	failing              bool

	there, changed bool
	network        id.Network // of one that is not there
}

// has tells whether the lane is leased to this claim, or to any claim of this worker.
func (l *lane) has(worker string) bool {
	return l.there && worker != "" && (l.claim == worker || strings.HasPrefix(l.claim, worker+"@"))
}

// takeLanes locks the lanes that the batch writes, and those whose worker must be known.
func (b *networkBatch) takeLanes(ctx context.Context) error {
	for _, w := range b.work {
		switch {
		case w.settle != nil:
			b.lanes[w.settle.Recipient] = &lane{}
		case w.renew != nil:
			for _, r := range w.renew.lanes {
				b.lanes[r] = &lane{}
			}
		}
	}
	for _, w := range b.accepted {
		if w.post.Queue {
			b.lanes[w.post.Recipient] = &lane{}
		}
	}
	var rows [][]any
	for _, r := range slices.Sorted(maps.Keys(b.lanes)) {
		rows = append(rows, []any{string(r)})
	}
	if err := b.rows(ctx, "id TEXT", "SELECT l.recipient_id, l.revision, l.posts, l.due_us, l.claim, l.failing FROM v JOIN delivery_lanes l ON l.recipient_id = v.id "+
		"ORDER BY l.recipient_id "+b.store.db.Dialect().ForNoKeyUpdate(), rows, func(rows *sql.Rows) error {
		var r id.Participant
		l := lane{there: true}
		err := rows.Scan(&r, &l.revision, &l.posts, &l.due, &l.claim, &l.failing)
		b.lanes[r] = &l
		return err
	}); err != nil {
		return fmt.Errorf("lock lanes: %w", err)
	}
	return nil
}

// settled is what settlements do to deliveries.
type settled struct {
	over    [][]any // recipient and number: to be delivered no more
	given   map[id.NetworkMessage]givenUp
	retried [][]any
	failed  map[id.NetworkMessage]bool // of those in given: the message was still pending
}

type givenUp struct {
	recipient id.Participant
	network.Outcome
	at int64
}

// settle notes what a settlement does. A worker that has lost its lane says nothing about
// it any more, but what it has delivered is delivered.
func (b *networkBatch) settle(s *network.Settlement) {
	l, at := b.lanes[s.Recipient], clock.Micros(s.At)
	held := l.has(s.Worker)
	for _, o := range s.Done {
		key := []any{string(s.Recipient), o.Seq}
		switch {
		case o.Ending == network.Succeeded:
			b.ending(o.Message, messageEnd{s.Network, network.Delivered, at})
			b.settled.over = append(b.settled.over, key)
		case !held:
		case o.Ending == network.GivenUp:
			b.ending(o.Message, messageEnd{s.Network, network.Failed, at})
			if b.settled.given == nil {
				b.settled.given, b.settled.failed = map[id.NetworkMessage]givenUp{}, map[id.NetworkMessage]bool{}
			}
			b.settled.given[o.Message] = givenUp{s.Recipient, o, at}
		case o.Ending == network.Dropped:
			b.settled.over = append(b.settled.over, key)
		case o.Ending == network.Retried:
			b.settled.retried = append(b.settled.retried, append(key, int64(o.Attempts), status(o.Status), o.Error))
		}
	}
	if !held || s.Keep {
		return
	}
	l.claim, l.failing, l.due, l.changed = "", s.Failing, neverDue, true
	if !s.Due.IsZero() {
		l.due = clock.Micros(s.Due)
	}
	if l.revision != s.Revision || s.Due.IsZero() && l.posts != s.Posts {
		l.due = at
	}
}

// status is null for none.
func status(http int) any {
	if http == 0 {
		return nil
	}
	return int64(http)
}

// removeDeliveries removes those of the keys in v.
const removeDeliveries = "DELETE FROM deliveries WHERE (deliveries.recipient_id, deliveries.seq) IN (SELECT v.recipient_id, v.seq FROM v)"

// settleDeliveries writes what settle noted.
func (b *networkBatch) settleDeliveries(ctx context.Context) error {
	byKey := func(x, y []any) int {
		return cmp.Or(cmp.Compare(x[0].(string), y[0].(string)), cmp.Compare(x[1].(int64), y[1].(int64)))
	}
	slices.SortFunc(b.settled.retried, byKey)
	if err := b.rows(ctx, "recipient_id TEXT, seq BIGINT, attempts BIGINT, last_status BIGINT, last_error TEXT",
		"UPDATE deliveries SET attempts = v.attempts, last_status = v.last_status, last_error = v.last_error FROM v WHERE deliveries.recipient_id = v.recipient_id AND deliveries.seq = v.seq",
		b.settled.retried, nil); err != nil {
		return fmt.Errorf("count attempts: %w", err)
	}
	slices.SortFunc(b.settled.over, byKey)
	if err := b.rows(ctx, "recipient_id TEXT, seq BIGINT", removeDeliveries, b.settled.over, nil); err != nil {
		return fmt.Errorf("remove deliveries: %w", err)
	}
	var keys, letters [][]any
	for _, g := range b.settled.given {
		keys = append(keys, []any{string(g.recipient), g.Seq})
	}
	slices.SortFunc(keys, byKey)
	if err := b.rows(ctx, "recipient_id TEXT, seq BIGINT", removeDeliveries+" RETURNING message_id, network_id, actor_type, actor_id, request_id", keys, func(rows *sql.Rows) error {
		var m id.NetworkMessage
		var of, actorType, actor, request string
		if err := rows.Scan(&m, &of, &actorType, &actor, &request); err != nil {
			return err
		}
		if g := b.settled.given[m]; b.settled.failed[m] {
			letters = append(letters, []any{string(m), of, g.Seq, int64(g.Attempts), status(g.Status), g.Error, actorType, actor, request, g.at})
		}
		return nil
	}); err != nil {
		return fmt.Errorf("remove deliveries that were given up: %w", err)
	}
	if err := b.rows(ctx, "message_id TEXT, network_id TEXT, seq BIGINT, attempts BIGINT, last_status BIGINT, last_error TEXT, actor_type TEXT, actor_id TEXT, request_id TEXT, failed_us BIGINT",
		"INSERT INTO dead_letters (message_id, network_id, seq, attempts, last_status, last_error, actor_type, actor_id, request_id, failed_us) SELECT * FROM v WHERE v.message_id IS NOT NULL "+
			"ON CONFLICT (message_id) DO UPDATE SET attempts = excluded.attempts, last_status = excluded.last_status, last_error = excluded.last_error, failed_us = excluded.failed_us",
		letters, nil); err != nil {
		return fmt.Errorf("insert dead letters: %w", err)
	}
	return nil
}

// queue makes the lane of a message due, unless it is leased or waits.
func (b *networkBatch) queue(w *networkWrite) {
	l, at := b.lanes[w.post.Recipient], clock.Micros(w.post.Created)
	l.posts++
	l.changed = true
	if !l.there {
		l.network = w.post.Network
		if l.posts > 1 {
			return
		}
		l.due = at
	}
	if l.due == neverDue {
		l.due = at
	}
}

// putLanes renews leases and writes the lanes that have changed. One that was not there may
// be now: then it is added to.
func (b *networkBatch) putLanes(ctx context.Context) error {
	for _, w := range b.work {
		if w.renew == nil {
			continue
		}
		for _, r := range w.renew.lanes {
			if l := b.lanes[r]; l.has(w.renew.worker) {
				l.due, l.changed = clock.Micros(w.renew.lease), true
				w.kept = append(w.kept, r)
			}
		}
	}
	var changed, added [][]any
	for _, r := range slices.Sorted(maps.Keys(b.lanes)) {
		switch l := b.lanes[r]; {
		case !l.changed:
		case l.there:
			changed = append(changed, []any{string(r), l.posts, l.due, l.claim, l.failing})
		default:
			added = append(added, []any{string(r), string(l.network), string(b.owners[l.network]), l.posts, l.due})
		}
	}
	if err := b.rows(ctx, "id TEXT, posts BIGINT, due_us BIGINT, claim TEXT, failing BOOLEAN",
		"UPDATE delivery_lanes SET posts = v.posts, due_us = v.due_us, claim = v.claim, failing = v.failing FROM v WHERE delivery_lanes.recipient_id = v.id", changed, nil); err != nil {
		return fmt.Errorf("change lanes: %w", err)
	}
	if err := b.rows(ctx, "recipient_id TEXT, network_id TEXT, owner_id TEXT, posts BIGINT, due_us BIGINT",
		"INSERT INTO delivery_lanes (recipient_id, network_id, owner_id, posts, due_us, revision, claim, failing) SELECT v.*, 1, '', FALSE FROM v WHERE v.recipient_id IS NOT NULL "+
			"ON CONFLICT (recipient_id) DO UPDATE SET posts = delivery_lanes.posts + excluded.posts, "+
			"due_us = CASE WHEN delivery_lanes.due_us = "+strconv.Itoa(neverDue)+" THEN excluded.due_us ELSE delivery_lanes.due_us END", added, nil); err != nil {
		return fmt.Errorf("add lanes: %w", err)
	}
	return nil
}

// claim leases lanes: first those whose last delivery went well, in the order in which they
// became due. They are locked by one statement and written by the next: PostgreSQL would
// run a statement that does both again, in part, when a lane has just been changed.
func (b *networkBatch) claim(ctx context.Context) error {
	for _, w := range b.work {
		if w.claim == nil {
			continue
		}
		c := *w.claim
		mark := c.Worker + "@" + strconv.FormatInt(clock.Micros(c.Lease), 10)
		text, args := b.dueQuery(c)
		if err := run(ctx, b.tx, text, args, func(rows *sql.Rows) error {
			l := network.Lane{Worker: mark}
			err := rows.Scan(&l.Recipient, &l.Network, &l.Owner, &l.Revision, &l.Posts, &l.Failing)
			w.claimed = append(w.claimed, l)
			return err
		}); err != nil {
			return fmt.Errorf("look for lanes that are due: %w", err)
		}
		slices.SortStableFunc(w.claimed, func(x, y network.Lane) int { return cmp.Compare(order(x.Failing), order(y.Failing)) })
		w.claimed = w.claimed[:min(len(w.claimed), c.Limit)]
		var rows [][]any
		for _, l := range w.claimed {
			rows = append(rows, []any{string(l.Recipient), mark, clock.Micros(c.Lease)})
		}
		if err := b.rows(ctx, "id TEXT, claim TEXT, due_us BIGINT", "UPDATE delivery_lanes SET claim = v.claim, due_us = v.due_us FROM v WHERE delivery_lanes.recipient_id = v.id", rows, nil); err != nil {
			return fmt.Errorf("claim lanes: %w", err)
		}
	}
	return nil
}

func order(last bool) int {
	if last {
		return 1
	}
	return 0
}

// dueQuery locks lanes that are due, those that another transaction has locked left out.
func (b *networkBatch) dueQuery(c network.Claim) (string, []any) {
	args := []any{max(clock.Micros(c.Now), b.latest), int64(c.Limit), int64(min(c.Limit, max(c.Failing, 0)))}
	var owners strings.Builder
	if n := len(c.Not); n > 0 {
		owners.WriteString(" AND owner_id NOT IN (")
		size := 1 // few texts are to be prepared
		for size < n {
			size *= 2
		}
		for i := range size {
			if i > 0 {
				owners.WriteString(", ")
			}
			args = append(args, string(c.Not[min(i, n-1)]))
			owners.WriteString("$" + strconv.Itoa(len(args)))
		}
		owners.WriteString(")")
	}
	due := func(name, failing, limit string) string {
		return name + " AS MATERIALIZED (SELECT recipient_id, network_id, owner_id, revision, posts, failing FROM delivery_lanes WHERE failing = " + failing +
			" AND due_us <= CAST($1 AS BIGINT)" + owners.String() + " ORDER BY due_us, recipient_id LIMIT CAST(" + limit + " AS BIGINT) " + b.store.db.Dialect().SkipLocked() + ")"
	}
	return "WITH " + due("well", "FALSE", "$2") + ", " + due("failing", "TRUE", "$3") + " SELECT * FROM well UNION ALL SELECT * FROM failing", args
}

// lookup joins at most one row of a table, by its id. PostgreSQL must not turn that into
// something else: a statement stays prepared, and when its plan was made the table may have
// been so small that reading all of it was best.
func (n Networks) lookup(table, name, id string) string {
	if n.db.Dialect().Shared() {
		return " LEFT JOIN LATERAL (SELECT x.* FROM " + table + " x WHERE x.id = " + id + " LIMIT 1) " + name + " ON TRUE"
	}
	return " LEFT JOIN " + table + " " + name + " ON " + name + ".id = " + id
}

// How the looks at the heads of lanes share statements on PostgreSQL, where each costs a way
// to the server and back.
const (
	loadsPerBatch = 64
	loadsAbreast  = 2
	loadsLimit    = 4 // deliveries: who wants more asks alone
)

// loading is a Load on its way to the database.
type loading struct {
	lane  network.Lane
	after int64
	limit int
	load  network.Load
}

// Load implements network.Queue. The limit is part of the text: as a parameter PostgreSQL
// would take it for a tenth of all that waits.
//
// Who asks for what comes after a delivery does not see one before it that is queued again:
// then the lane's revision stays the one that was given.
func (n Networks) Load(ctx context.Context, l network.Lane, after int64, limit int) (network.Load, error) {
	w := &loading{lane: l, after: after, limit: limit}
	var err error
	if n.db.Dialect().Shared() && limit <= loadsLimit {
		err = n.loads.DoAnyway(ctx, w)
	} else {
		err = n.loadTogether(ctx, []*loading{w})
	}
	switch {
	case err != nil:
		return network.Load{}, fmt.Errorf("load deliveries: %w", err)
	case w.load.Network.ID == "":
		return network.Load{}, fault.Missing("Participant")
	}
	if after > 0 {
		w.load.Lane.Revision = l.Revision
	}
	return w.load, nil
}

// loadTogether reads the beginnings of lanes, those of one limit with one statement.
func (s *Store) loadTogether(ctx context.Context, work []*loading) error {
	limits := map[int][]*loading{}
	for _, w := range work {
		limits[w.limit] = append(limits[w.limit], w)
	}
	n := Networks{s}
	for limit, group := range limits {
		rows := make([][]any, len(group))
		for i, w := range group {
			w.load = network.Load{Lane: w.lane}
			rows[i] = []any{string(w.lane.Recipient), w.after, int64(i)}
		}
		if err := withRows(ctx, s.db.Prepared(), s.db.Dialect(), "lane_id TEXT, after_seq BIGINT, place BIGINT", n.loadQuery(limit), rows, func(rows *sql.Rows) error {
			return scanLoad(rows, group)
		}); err != nil {
			return err
		}
	}
	return nil
}

// loadQuery reads lanes of v, with the first limit deliveries after a number.
func (n Networks) loadQuery(limit int) string {
	content, metadata := "COALESCE(m.content, '')", "m.metadata"
	if limit > network.WholeJobs {
		content, metadata = "''", "CAST(NULL AS TEXT)"
	}
	head := "SELECT q.seq, q.message_id, q.attempts, q.actor_type, q.actor_id, q.request_id FROM deliveries q WHERE q.recipient_id = v.lane_id AND q.seq > v.after_seq ORDER BY q.seq LIMIT " + strconv.Itoa(limit)
	lane, deliveries := "CROSS JOIN delivery_lanes l ON l.recipient_id = v.lane_id", "LEFT JOIN LATERAL ("+head+") d ON TRUE"
	if n.db.Dialect().Shared() {
		lane = "JOIN LATERAL (SELECT x.* FROM delivery_lanes x WHERE x.recipient_id = v.lane_id LIMIT 1) l ON TRUE"
	} else {
		deliveries = "LEFT JOIN deliveries d ON d.recipient_id = v.lane_id AND d.seq IN (SELECT q.seq FROM deliveries q WHERE q.recipient_id = v.lane_id AND q.seq > v.after_seq ORDER BY q.seq LIMIT " + strconv.Itoa(limit) + ")"
	}
	return "SELECT v.place, n.id, n.owner_id, n.name, n.topology, n.status, n.revision, n.created_us, n.updated_us, " +
		"p.id, p.agent_id, p.kind, p.name, p.callback_url, p.polling, p.status, p.position, p.secret, p.secret_key, p.old_secret, p.old_until_us, p.created_us, p.updated_us, " +
		"l.revision, l.posts, l.failing, d.seq, COALESCE(d.attempts, 0), COALESCE(d.actor_type, ''), COALESCE(d.actor_id, ''), COALESCE(d.request_id, ''), COALESCE(s.status, ''), " +
		"COALESCE(m.id, ''), COALESCE(m.sender_id, ''), COALESCE(m.channel, ''), " + content + ", " + metadata + ", m.in_reply_to, COALESCE(m.status, ''), COALESCE(m.depth, 0), " +
		"COALESCE(m.created_us, 0), COALESCE(m.updated_us, 0) " +
		"FROM v " + lane + n.lookup("participants", "p", "l.recipient_id") + n.lookup("networks", "n", "p.network_id") + " " + deliveries +
		n.lookup("network_messages", "m", "d.message_id") + n.lookup("participants", "s", "m.sender_id") +
		" WHERE p.id IS NOT NULL AND n.id IS NOT NULL AND n.deleted_us IS NULL ORDER BY v.place, d.seq"
}

// scanLoad adds a row to the load in whose place it is: the first says the same of network,
// recipient and lane as all of them.
func scanLoad(rows *sql.Rows, loads []*loading) error {
	var net network.Network
	var p network.Participant
	var j network.Job
	var created, updated [3]int64
	var oldUntil, seq *int64
	var agent, metadata, inReplyTo *string
	var place int64
	var lane network.Lane
	if err := rows.Scan(&place, &net.ID, &net.Owner, &net.Name, &net.Topology, &net.Status, &net.Revision, &created[0], &updated[0],
		&p.ID, &agent, &p.Kind, &p.Name, &p.CallbackURL, &p.Polling, &p.Status, &p.Position, &p.Secret.Sealed, &p.Secret.KeyID, &p.Secret.Old, &oldUntil, &created[1], &updated[1],
		&lane.Revision, &lane.Posts, &lane.Failing, &seq, &j.Attempts, &j.Actor.Type, &j.Actor.ID, &j.Request, &j.SenderStatus,
		&j.ID, &j.Sender, &j.Channel, &j.Content, &metadata, &inReplyTo, &j.Status, &j.Depth, &created[2], &updated[2]); err != nil {
		return err
	}
	load := &loads[place].load
	load.Lane.Revision, load.Lane.Posts, load.Lane.Failing = lane.Revision, lane.Posts, lane.Failing
	net.Created, net.Updated = clock.FromMicros(created[0]), clock.FromMicros(updated[0])
	p.Network, p.Owner, p.Agent = net.ID, net.Owner, id.Agent(text(agent))
	p.Created, p.Updated = clock.FromMicros(created[1]), clock.FromMicros(updated[1])
	if oldUntil != nil {
		p.Secret.OldUntil = clock.FromMicros(*oldUntil)
	}
	load.Network, load.Recipient = net, p
	if seq == nil {
		return nil
	}
	j.Network, j.Recipient, j.Seq = net.ID, p.ID, *seq
	j.Metadata, j.InReplyTo = bytesPtr(metadata), id.NetworkMessage(text(inReplyTo))
	j.Created, j.Updated = clock.FromMicros(created[2]), clock.FromMicros(updated[2])
	load.Jobs = append(load.Jobs, j)
	return nil
}

// LastEntries implements network.Store. Numbers have no gaps, and both ends of what is read
// are given: PostgreSQL would take an open range for a third of all that there is.
func (n Networks) LastEntries(ctx context.Context, of id.Network, limit int) ([]network.Entry, error) {
	last, err := n.read.LastNumber(ctx, string(of))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read the last number of a network: %w", err)
	}
	return n.entries(ctx, of, last-int64(limit)+1, last, listedColumns("c"))
}

// Entries implements network.Store.
func (n Networks) Entries(ctx context.Context, of id.Network, from, to int64) ([]network.Entry, error) {
	return n.entries(ctx, of, from, to, "c.*, FALSE AS large")
}

// entries reads columns, those of a message and large. In each channel they are a range of an
// index; asked for all three at once, PostgreSQL may look through all of the network.
func (n Networks) entries(ctx context.Context, of id.Network, from, to int64, columns string) ([]network.Entry, error) {
	list := []network.Entry{}
	var channels []string
	for _, channel := range []string{network.Call, network.Push, network.Mailbox} {
		channels = append(channels, "SELECT "+columns+" FROM network_messages c WHERE c.network_id = $1 AND c.channel = '"+channel+"' AND c.seq >= CAST($2 AS BIGINT) AND c.seq <= CAST($3 AS BIGINT)")
	}
	text := "SELECT " + messageColumns + ", m.large, COALESCE(s.name, ''), COALESCE(r.name, '') FROM (" + strings.Join(channels, " UNION ALL ") + ") m" +
		n.lookup("participants", "s", "m.sender_id") + n.lookup("participants", "r", "m.recipient_id") + " ORDER BY m.seq"
	if err := run(ctx, n.db.Prepared(), text, []any{string(of), from, to}, func(rows *sql.Rows) (err error) {
		var e network.Entry
		e.Message, err = scanListed(rows, &e.SenderName, &e.RecipientName)
		list = append(list, e)
		return err
	}); err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return list, nil
}
