package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/IntunoAI/intuno-go/bench/lab"
)

const (
	deep    = 7    // dead receivers of the large network: each has a seventh of the backlog
	crowds  = 20   // networks of many dead receivers with few messages
	crowd   = 50   // receivers of each
	each    = 10   // messages of each of those
	small   = 1000 // messages of the small network
	mailbox = 20   // every so many messages of the large and the small one is in a mailbox
)

// aside measures two databases by turns: an empty one, and one with a backlog that
// nobody takes. Then it reads pages of the network that has most of it, and of one with
// a thousand messages.
func (b *bench) aside(ctx context.Context) error {
	quiet, err := b.newWorld(ctx, "quiet", 1)
	if err != nil {
		return err
	}
	defer quiet.stop()
	busy, err := b.newWorld(ctx, "busy", 1)
	if err != nil {
		return err
	}
	defer busy.stop()
	began := time.Now()
	pages, err := busy.fill(ctx)
	if err != nil {
		return fmt.Errorf("the backlog: %w", err)
	}
	fmt.Printf("\n%s: %d messages that %d dead receivers do not take (written in %s)\n\n", b.engine, b.backlog+crowds*crowd*each, deep+crowds*crowd,
		time.Since(began).Round(time.Second))
	if err := b.neighbours(ctx, quiet, busy); err != nil {
		return err
	}
	return busy.pages(ctx, pages)
}

// neighbours compares what the hundred receivers get on the two databases.
func (b *bench) neighbours(ctx context.Context, quiet, busy *world) error {
	without, with := []*scenario{{name: "sustained"}, {name: "half", open: true}}, []*scenario{{name: "sustained"}, {name: "half", open: true}}
	rate := 0.0
	for _, w := range []*world{quiet, busy} { // warm
		r, err := w.send(ctx, w.live, pace{length: b.length})
		if err != nil {
			return err
		}
		rate = r.delivered / 2
	}
	for round := range b.rounds {
		for i := range without {
			if err := quiet.play(ctx, without[i], rate); err != nil {
				return fmt.Errorf("without, %s: %w", without[i].name, err)
			}
			if b.profile != "" && round == b.rounds-1 && i == 0 {
				go lab.Profile(ctx, busy.nodes[0].ops, fmt.Sprintf("%s-%s-backlog.pprof", b.profile, b.engine), b.length)
			}
			if err := busy.play(ctx, with[i], rate); err != nil {
				return fmt.Errorf("with, %s: %w", with[i].name, err)
			}
		}
	}
	fmt.Printf("%-34s %12s %12s   %s\n", "others", "without", "with", "ratio (targets <= 1.2)")
	line := func(name string, i int, value func(result) float64, target string) {
		fmt.Printf("%-34s %12.2f %12.2f   %.2f%s\n", name, without[i].median(value), with[i].median(value), ratio(with[i], without[i], value), target)
	}
	rates := func(r result) float64 { return 1000 / r.delivered }
	line("sustained, ms per delivery", 0, rates, "")
	line("half, POST p50 ms", 1, func(r result) float64 { return r.post50 }, "")
	line("half, POST p99 ms", 1, func(r result) float64 { return r.post99 }, " (no target)")
	line("half, way p50 ms", 1, func(r result) float64 { return r.p50 }, "")
	line("half, way p99 ms", 1, func(r result) float64 { return r.p99 }, " (no target)")
	return nil
}

// filled is a network that was written into the database.
type filled struct {
	target
	messages int
	middle   string // id of a message
}

// fill writes the backlog while wisdom is down, and starts it again.
func (w *world) fill(ctx context.Context) (list []filled, err error) {
	nobody, err := lab.FreeAddr()
	if err != nil {
		return nil, err
	}
	made := func(name string, receivers, messages int) error {
		callbacks := make([]string, receivers)
		for i := range callbacks {
			callbacks[i] = "http://" + nobody + "/"
		}
		targets, err := w.network(ctx, name, callbacks)
		if err == nil {
			list = append(list, filled{target: targets[0], messages: messages})
		}
		return err
	}
	err = errors.Join(made("large", deep, w.backlog*mailbox/(mailbox-1)), made("small", deep, small))
	for i := range crowds {
		err = errors.Join(err, made(fmt.Sprint("crowd ", i), crowd, crowd*each))
	}
	if err != nil {
		return nil, err
	}
	w.stop()
	driver, dsn := "pgx", w.database
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // what is set there holds for all statements
	if err := w.insert(ctx, db, driver, list); err != nil {
		return nil, err
	}
	for i := range list {
		if err := db.QueryRowContext(ctx, "SELECT id FROM network_messages WHERE network_id = $1 AND seq = $2", list[i].network, list[i].messages/2).Scan(&list[i].middle); err != nil {
			return nil, err
		}
	}
	return list[:2], w.start(ctx, 1)
}

// What a network of dead receivers holds: messages to each by turns, their deliveries,
// of which the first was tried three times, and the lanes, which wait for up to five
// minutes.
const (
	sqliteID    = `lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))`
	postgresID  = `CAST(gen_random_uuid() AS TEXT)`
	addMessages = `WITH RECURSIVE g(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM g WHERE i < CAST($1 AS BIGINT))
INSERT INTO network_messages (id, network_id, seq, sender_id, recipient_id, channel, content, metadata, in_reply_to, status, depth, call_until_us, created_us, updated_us)
SELECT %s, p.network_id, g.i, CAST($2 AS TEXT), p.id, CASE WHEN CAST($3 AS BIGINT) > 0 AND g.i %% CAST($3 AS BIGINT) = 10 THEN 'mailbox' ELSE 'message' END,
       CAST($4 AS TEXT), NULL, NULL, 'pending', 0, NULL, CAST($5 AS BIGINT) + g.i, CAST($5 AS BIGINT) + g.i
FROM g JOIN participants p ON p.network_id = CAST($6 AS TEXT) AND p.position = 2 + g.i %% CAST($7 AS BIGINT)`
	addDeliveries = `INSERT INTO deliveries (recipient_id, seq, message_id, network_id, attempts, last_status, last_error, actor_type, actor_id, request_id)
SELECT recipient_id, seq, id, network_id, CASE WHEN seq <= CAST($2 AS BIGINT) THEN 3 ELSE 0 END, NULL, NULL, 'user', sender_id, 'bench'
FROM network_messages WHERE network_id = $1 AND channel = 'message' ORDER BY recipient_id, seq`
	addLanes = `INSERT INTO delivery_lanes (recipient_id, network_id, owner_id, revision, due_us, claim, failing)
SELECT id, network_id, owner_id, 1, CAST($2 AS BIGINT) + (1 + (position * 37) % 300) * 1000000, '', TRUE FROM participants WHERE network_id = $1 AND position > 1`
)

func (w *world) insert(ctx context.Context, db *sql.DB, driver string, list []filled) error {
	newID, before, after := postgresID, []string{}, []string{"VACUUM ANALYZE"}
	if driver == "sqlite" {
		newID = sqliteID
		before = []string{"PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -1000000", "BEGIN"}
		after = []string{"COMMIT", "PRAGMA journal_mode = WAL"}
	}
	do := func(statements ...string) error {
		for _, s := range statements {
			if _, err := db.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	}
	if err := do(before...); err != nil {
		return err
	}
	now := time.Now().UnixMicro()
	for _, n := range list {
		receivers, mails := crowd, 0
		if n.messages != crowd*each {
			receivers, mails = deep, mailbox
		}
		for _, s := range []struct {
			text string
			args []any
		}{
			{fmt.Sprintf(addMessages, newID), []any{n.messages, n.sender, mails, content, now - 1e9, n.network, receivers}},
			{addDeliveries, []any{n.network, receivers}},
			{addLanes, []any{n.network, now}},
			{"UPDATE networks SET last_seq = $2 WHERE id = $1", []any{n.network, n.messages}},
		} {
			if _, err := db.ExecContext(ctx, s.text, s.args...); err != nil {
				return fmt.Errorf("%.40s: %w", s.text, err)
			}
		}
		var written int
		if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM network_messages WHERE network_id = $1", n.network).Scan(&written); err != nil || written != n.messages {
			return fmt.Errorf("%d messages are written, want %d: %w", written, n.messages, err)
		}
	}
	return do(after...)
}

// pages reads pages of 50 of the large network and of the small one by turns.
func (w *world) pages(ctx context.Context, of []filled) error {
	list := []struct{ name, path string }{
		{"messages", "messages?limit=50"},
		{"messages, newest first", "messages?limit=50&order=desc"},
		{"messages of a channel", "messages?limit=50&channel_type=message"},
		{"messages of a rare channel", "messages?limit=50&channel_type=mailbox&order=desc"},
		{"messages of a recipient", "messages?limit=50&participant_id=RECIPIENT"},
		{"messages of the sender, newest", "messages?limit=50&participant_id=SENDER&order=desc"},
		{"messages of a recipient, channel", "messages?limit=50&participant_id=RECIPIENT&channel_type=message&order=desc"},
		{"messages before one", "messages?limit=50&before=MIDDLE&order=desc"},
		{"messages after one", "messages?limit=50&after=MIDDLE"},
		{"messages of a recipient after one", "messages?limit=50&participant_id=RECIPIENT&after=MIDDLE"},
		{"inbox", "inbox/RECIPIENT?limit=50"},
		{"inbox of a channel", "inbox/RECIPIENT?limit=50&channel_type=message"},
		{"context", "context?limit=50"},
	}
	fmt.Printf("\n%s: pages of 50, p50 ms (median of %d interleaved rounds)\n\n", w.engine, w.rounds)
	fmt.Printf("%-34s %12s %12s   %s\n", "page", fmt.Sprint("of ", of[1].messages), fmt.Sprint("of ", of[0].messages), "ratio (target: the same, <= 1.2)")
	for _, page := range list {
		results := make([][]lab.Result, len(of))
		for range w.rounds {
			for i, n := range of {
				path := strings.NewReplacer("RECIPIENT", n.recipient, "SENDER", n.sender, "MIDDLE", n.middle).Replace(page.path)
				r, err := lab.Load(ctx, lab.Request{Addr: w.nodes[0].addr, Path: "/networks/" + n.network + "/" + path,
					Headers: [][2]string{{"Authorization", "Bearer " + w.token}}}, 1, min(w.length, 300*time.Millisecond), 0)
				if err != nil {
					return fmt.Errorf("%s: %w", page.name, err)
				}
				results[i] = append(results[i], r)
			}
		}
		p50 := func(r lab.Result) float64 { return float64(r.P50.Microseconds()) / 1000 }
		large, little := lab.Median(results[0], p50), lab.Median(results[1], p50)
		fmt.Printf("%-34s %12.3f %12.3f   %.2f\n", page.name, little, large, large/little)
	}
	return ctx.Err()
}
