package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

const parallel = 40

// together runs fn in parallel goroutines that start at the same moment, and returns
// what they return.
func together(fn func(i int) error) []error {
	errs := make([]error, parallel)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range parallel {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func TestConcurrentReadModifyWritesLoseNothing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		url := newDB()
		// Two pools are two processes.
		nodes := []*sqldb.DB{open(t, sqldb.Options{URL: url}), open(t, sqldb.Options{URL: url})}
		do(t, nodes[0].Write(), "INSERT INTO items (id, n) VALUES ('a', 0)")
		for _, err := range together(func(i int) error {
			return nodes[i%2].Tx(t.Context(), func(tx *sql.Tx) error {
				var n int64
				if err := tx.QueryRowContext(t.Context(), "SELECT n FROM items WHERE id = 'a'").Scan(&n); err != nil {
					return err
				}
				_, err := tx.ExecContext(t.Context(), "UPDATE items SET n = $1 WHERE id = 'a'", n+1)
				return err
			})
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		if got := number(t, nodes[0].Read(), "SELECT n FROM items WHERE id = 'a'"); got != parallel {
			t.Errorf("got %d, want %d", got, parallel)
		}
	})
}

func TestACapThatCountsRowsHoldsInParallel(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		const limit = 5
		db := open(t, sqldb.Options{URL: newDB()})
		full := errors.New("full")
		for round := range 5 {
			who, won := fmt.Sprint("owner", round), 0
			for _, err := range together(func(i int) error {
				return db.Tx(t.Context(), func(tx *sql.Tx) error {
					var used int
					if err := tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM items WHERE owner = $1", who).Scan(&used); err != nil {
						return err
					}
					if used >= limit {
						return full
					}
					_, err := tx.ExecContext(t.Context(), "INSERT INTO items (id, owner) VALUES ($1, $2)", fmt.Sprint(round, "-", i), who)
					return err
				})
			}) {
				switch {
				case err == nil:
					won++
				case !errors.Is(err, full):
					t.Error(err)
				}
			}
			rows := number(t, db.Read(), "SELECT COUNT(*) FROM items WHERE owner = $1", who)
			if won != limit || rows != limit {
				t.Errorf("got %d successes and %d rows, want %d of each", won, rows, limit)
			}
		}
	})
}

// The reason why a unique violation is not retried: who looks first never gets one.
func TestLookThenInsertNeverEndsInAUniqueViolation(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		db := open(t, sqldb.Options{URL: newDB(), Migrations: migrations(items, "CREATE UNIQUE INDEX items_owner ON items (owner)")})
		for round := range 5 {
			who := fmt.Sprint("owner", round)
			for i, err := range together(func(i int) error {
				return db.Tx(t.Context(), func(tx *sql.Tx) error {
					var id string
					err := tx.QueryRowContext(t.Context(), "SELECT id FROM items WHERE owner = $1", who).Scan(&id)
					if !errors.Is(err, sql.ErrNoRows) {
						return err
					}
					_, err = tx.ExecContext(t.Context(), "INSERT INTO items (id, owner) VALUES ($1, $2)", fmt.Sprint(round, "-", i), who)
					return err
				})
			}) {
				if err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
			if got := number(t, db.Read(), "SELECT COUNT(*) FROM items WHERE owner = $1", who); got != 1 {
				t.Errorf("got %d rows, want 1", got)
			}
		}
	})
}

// lose reads the row, lets another transaction change it, and then writes it: which
// PostgreSQL answers with 40001.
func lose(ctx context.Context, db *sqldb.DB, tx *sql.Tx) error {
	var n int64
	if err := tx.QueryRowContext(ctx, "SELECT n FROM items WHERE id = 'a'").Scan(&n); err != nil {
		return err
	}
	if _, err := db.Write().ExecContext(ctx, "UPDATE items SET n = n + 100 WHERE id = 'a'"); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE items SET n = $1 WHERE id = 'a'", n+1)
	return err
}

func TestALostTransactionRunsAgainOnPostgres(t *testing.T) {
	db := open(t, sqldb.Options{URL: testkit.Postgres(t)})
	do(t, db.Write(), "INSERT INTO items (id, n) VALUES ('a', 0)")
	runs := 0
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		runs++
		if runs == 1 {
			// What the store adds to the error must not hide it, nor a fault around it.
			return fault.New(fault.Internal, "x", "x").Because(fmt.Errorf("count: %w", lose(t.Context(), db, tx)))
		}
		_, err := tx.ExecContext(t.Context(), "UPDATE items SET n = n + 1 WHERE id = 'a'")
		return err
	})
	if err != nil || runs != 2 {
		t.Errorf("got %d runs and %v, want 2 and success", runs, err)
	}
	if got := number(t, db.Read(), "SELECT n FROM items"); got != 101 {
		t.Errorf("got %d, want 101", got)
	}
}

func TestADeadlockOnPostgresIsRunAgain(t *testing.T) {
	db := open(t, sqldb.Options{URL: testkit.Postgres(t)})
	do(t, db.Write(), "INSERT INTO items (id) VALUES ('a'), ('b')")
	var met sync.WaitGroup // both hold their first row before either asks for its second
	met.Add(2)
	var runs atomic.Int64
	ids := []string{"a", "b"}
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			first := true
			errs[i] = db.Tx(t.Context(), func(tx *sql.Tx) error {
				runs.Add(1)
				for step := range 2 {
					if step == 1 && first {
						first = false
						met.Done()
						met.Wait()
					}
					if _, err := tx.ExecContext(t.Context(), "UPDATE items SET n = n + 1 WHERE id = $1", ids[(i+step)%2]); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil || runs.Load() < 3 {
		t.Errorf("got %d runs and %v, want at least 3 and success", runs.Load(), err)
	}
	if got := number(t, db.Read(), "SELECT SUM(n) FROM items"); got != 4 {
		t.Errorf("got %d, want 4", got)
	}
}

func TestWhoLosesAlwaysIsToldToComeBackLater(t *testing.T) {
	db := open(t, sqldb.Options{URL: testkit.Postgres(t)})
	do(t, db.Write(), "INSERT INTO items (id, n) VALUES ('a', 0)")
	runs := 0
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		runs++
		return lose(t.Context(), db, tx)
	})
	if e := fault.As(err); e == nil || e.Kind != fault.Unavailable || e.RetryAfter <= 0 || runs != 20 {
		t.Errorf("got %d runs and %v, want 20 and unavailable", runs, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	runs = 0
	err = db.Tx(ctx, func(tx *sql.Tx) error {
		runs++
		lost := lose(ctx, db, tx)
		if runs == 3 {
			cancel()
		}
		return lost
	})
	if !errors.Is(err, context.Canceled) || runs != 3 {
		t.Errorf("got %d runs and %v, want 3 and cancelled", runs, err)
	}
}

func TestAnErrorOrAPanicRollsBackAndLeavesTheDatabaseUsable(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		db := open(t, sqldb.Options{URL: newDB()})
		own := errors.New("my own")
		insert := func(ctx context.Context, tx *sql.Tx) {
			if _, err := tx.ExecContext(ctx, "INSERT INTO items (id) VALUES ('a')"); err != nil {
				t.Error(err)
			}
		}
		err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			insert(t.Context(), tx)
			return own
		})
		if err != own {
			t.Errorf("got %v, want the function's own error", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = db.Tx(t.Context(), func(tx *sql.Tx) error {
				insert(t.Context(), tx)
				panic("mid-way")
			})
		}()
		ctx, cancel := context.WithCancel(t.Context())
		err = db.Tx(ctx, func(tx *sql.Tx) error {
			insert(ctx, tx)
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want cancelled", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err = db.Tx(ctx, func(tx *sql.Tx) error {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM items").Scan(&n); err != nil || n != 0 {
				t.Errorf("got %d rows, %v, want none", n, err)
			}
			insert(ctx, tx)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestWaitingForTheWriterEndsWithTheContext(t *testing.T) {
	db := open(t, sqldb.Options{URL: testkit.SQLite(t)})
	err := db.Tx(t.Context(), func(*sql.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return db.Tx(ctx, func(*sql.Tx) error { return errors.New("two writers at once") })
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want deadline exceeded", err)
	}
}
