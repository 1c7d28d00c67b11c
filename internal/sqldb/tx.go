package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// How often and how patiently a transaction that lost to another is run again: the
// waits grow from firstWait to longestWait, each a random part of that.
const (
	maxAttempts = 20
	firstWait   = 2 * time.Millisecond
	longestWait = 200 * time.Millisecond
)

// Tx runs fn in one write transaction and commits it, or rolls back when fn returns
// an error, which comes back unchanged.
//
// On SQLite it waits for the single writer and begins IMMEDIATE. On PostgreSQL it is
// SERIALIZABLE and, when it loses to a concurrent transaction (SQLSTATE 40001 or
// 40P01), is run again up to 20 times; after that the fault is Unavailable. So fn MAY
// RUN TWICE: it must be pure apart from tx and reset what it captured. A unique
// violation is not retried: transactions that look before they insert lose with 40001
// (PostgreSQL 15 manual, 13.2.3), and for those that do not look it is the answer.
//
// When the connection breaks during the commit the error does not tell whether the
// transaction happened.
func (db *DB) Tx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	return db.again(ctx, sql.LevelSerializable, fn)
}

// TxByStatement is Tx for facts that are right statement by statement: inserts of rows
// that nobody else writes, upserts that add to what is there and have their condition in
// themselves, and what was read with a lock (Dialect.ForUpdate, Dialect.ForKeyShare).
//
// On PostgreSQL it is READ COMMITTED: a statement that meets a row which another
// transaction is changing waits, and goes on from what that one committed (PostgreSQL 15
// manual, 13.2.1). Under SERIALIZABLE it would fail and the whole transaction run again,
// which rows that everybody adds to make the rule. Take rows in the order of their ids:
// then transactions wait for each other and do not deadlock; those that do are run again.
//
// The texts that tx is given stay prepared for the next transaction. fn MAY RUN TWICE.
func (db *DB) TxByStatement(ctx context.Context, fn func(tx *PreparedTx) error) error {
	var wanted []string
	err := db.again(ctx, sql.LevelReadCommitted, func(tx *sql.Tx) error {
		p := &PreparedTx{tx: tx, texts: db.preparedWrites}
		defer func() { wanted = p.wanted }()
		return fn(p)
	})
	for _, text := range wanted {
		db.preparedWrites.stmt(ctx, text)
	}
	return err
}

// again makes attempts until one does not lose to another transaction.
func (db *DB) again(ctx context.Context, isolation sql.IsolationLevel, fn func(tx *sql.Tx) error) error {
	if !db.dialect.postgres {
		return db.attempt(ctx, nil, fn)
	}
	opts := &sql.TxOptions{Isolation: isolation}
	ceiling := firstWait
	for n := 1; ; n++ {
		err := db.attempt(ctx, opts, fn)
		if state := sqlState(err); state != pgSerializationFailure && state != pgDeadlockDetected {
			return err
		}
		if n == maxAttempts {
			return fault.New(fault.Unavailable, "overloaded", "too many concurrent changes, try again").
				After(time.Second).Because(err)
		}
		if err := pause(ctx, rand.N(ceiling)); err != nil {
			return err
		}
		ceiling = min(2*ceiling, longestWait)
	}
}

func (db *DB) attempt(ctx context.Context, opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	tx, err := db.write.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit this does nothing
	if err = fn(tx); err == nil {
		if err = tx.Commit(); err != nil {
			err = fmt.Errorf("commit transaction: %w", err)
		}
	}
	if ended := ctx.Err(); ended != nil && errors.Is(err, sql.ErrTxDone) {
		return ended // database/sql rolled back when ctx ended: that is the reason
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
