package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var _ personal.Store = (*Store)(nil)

// ChangeSlots implements personal.Store. Every change writes the stamp's row: that is
// what makes changes of one user wait for each other or, on PostgreSQL, be run again.
// One that changes nothing, a refusal say, writes nothing.
func (s *Store) ChangeSlots(ctx context.Context, user id.User, change func(personal.Book) (personal.Change, error)) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		q := query.New(tx)
		b, err := readBook(ctx, q, user)
		if err != nil {
			return err
		}
		c, err := change(b)
		if err != nil || c == (personal.Change{}) {
			return err
		}
		if err := q.PutSlotStamp(ctx, query.PutSlotStampParams{UserID: string(user), Stamp: b.Stamp}); err != nil {
			return fmt.Errorf("write slot stamp: %w", err)
		}
		if c.Put != nil {
			return putSlot(ctx, q, user, c.Put)
		}
		return q.DropSlot(ctx, query.DropSlotParams{UserID: string(user), Name: c.Drop})
	})
}

func readBook(ctx context.Context, q *query.Queries, user id.User) (b personal.Book, err error) {
	head, err := q.PlanAndStamp(ctx, string(user))
	if err != nil {
		return b, sqldb.Translate(err)
	}
	b.Plan, b.Stamp = head.Plan, head.Stamp+1
	b.Slots, err = readSlots(ctx, q, user)
	return b, err
}

// Slots implements personal.Store.
func (s *Store) Slots(ctx context.Context, user id.User) ([]personal.Slot, error) {
	return readSlots(ctx, s.read, user)
}

func readSlots(ctx context.Context, q *query.Queries, user id.User) ([]personal.Slot, error) {
	rows, err := q.ListSlots(ctx, string(user))
	if err != nil {
		return nil, fmt.Errorf("read entity slots: %w", err)
	}
	slots := make([]personal.Slot, len(rows))
	for i, row := range rows {
		if slots[i], err = toSlot(row); err != nil {
			return nil, err
		}
	}
	return slots, nil
}

func toSlot(row query.EntitySlot) (personal.Slot, error) {
	slot := personal.Slot{
		Name: row.Name, State: personal.State(row.State), Version: row.Version, Epoch: row.Epoch, Holders: int(row.Holders),
		SettleAt: clock.FromMicros(row.SettleUs), Created: clock.FromMicros(row.CreatedUs),
	}
	if err := json.Unmarshal([]byte(row.Keys), &slot.Keys); err != nil {
		return slot, fmt.Errorf("read keys of entity slot: %w", err)
	}
	return slot, nil
}

func putSlot(ctx context.Context, q *query.Queries, user id.User, slot *personal.Slot) error {
	keys, err := json.Marshal(slot.Keys)
	if err != nil {
		return fmt.Errorf("encode keys of entity slot: %w", err)
	}
	return q.PutSlot(ctx, query.PutSlotParams{
		UserID: string(user), Name: slot.Name, State: string(slot.State), Version: slot.Version, Epoch: slot.Epoch,
		Holders: int64(slot.Holders), Keys: string(keys),
		SettleUs: clock.Micros(slot.SettleAt), CreatedUs: clock.Micros(slot.Created),
	})
}

// claimSlots is not among the generated queries because of its dialect's suffix. Its
// rows are those of query.EntitySlot.
const claimSlots = `UPDATE entity_slots SET settle_us = $1 WHERE (user_id, name) IN (
	SELECT user_id, name FROM entity_slots WHERE settle_us <= $2 ORDER BY settle_us LIMIT $3 %s)
RETURNING user_id, name, state, version, epoch, holders, keys, settle_us, created_us`

// ClaimSlots implements personal.Store. It may run beside ChangeSlots: a change that
// saw the slot before the claim runs again.
func (s *Store) ClaimSlots(ctx context.Context, now, lease time.Time, limit int) ([]personal.Claim, error) {
	rows, err := s.db.Write().QueryContext(ctx, fmt.Sprintf(claimSlots, s.db.Dialect().SkipLocked()),
		clock.Micros(lease), clock.Micros(now), limit)
	if err != nil {
		return nil, fmt.Errorf("claim entity slots: %w", err)
	}
	defer rows.Close()
	var claims []personal.Claim
	for rows.Next() {
		var row query.EntitySlot
		err := rows.Scan(&row.UserID, &row.Name, &row.State, &row.Version, &row.Epoch, &row.Holders, &row.Keys,
			&row.SettleUs, &row.CreatedUs)
		if err != nil {
			return nil, fmt.Errorf("read claimed entity slot: %w", err)
		}
		slot, err := toSlot(row)
		if err != nil {
			return nil, err
		}
		claims = append(claims, personal.Claim{User: id.User(row.UserID), Slot: slot})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("claim entity slots: %w", err)
	}
	return claims, nil
}

// ChangeCounters implements personal.Store.
func (s *Store) ChangeCounters(ctx context.Context, user id.User, change func(string, personal.Counters) (personal.Counters, error)) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		q := query.New(tx)
		plan, c, err := readCounters(ctx, q, user)
		if err != nil {
			return err
		}
		if c, err = change(plan, c); err != nil {
			return err
		}
		return q.PutMessageCounts(ctx, query.PutMessageCountsParams{
			UserID:   string(user),
			MinuteUs: clock.Micros(c.Minute), InMinute: int64(c.InMinute),
			MonthUs: clock.Micros(c.Month), InMonth: int64(c.InMonth),
		})
	})
}

// Counters implements personal.Store.
func (s *Store) Counters(ctx context.Context, user id.User) (string, personal.Counters, error) {
	return readCounters(ctx, s.read, user)
}

func readCounters(ctx context.Context, q *query.Queries, user id.User) (plan string, c personal.Counters, err error) {
	if plan, err = q.UserPlan(ctx, string(user)); err != nil {
		return "", c, sqldb.Translate(err)
	}
	row, err := q.MessageCounts(ctx, string(user))
	if errors.Is(err, sql.ErrNoRows) {
		return plan, c, nil // no message yet
	}
	if err != nil {
		return "", c, fmt.Errorf("read message counts: %w", err)
	}
	return plan, personal.Counters{
		Minute: clock.FromMicros(row.MinuteUs), InMinute: int(row.InMinute),
		Month: clock.FromMicros(row.MonthUs), InMonth: int(row.InMonth),
	}, nil
}
