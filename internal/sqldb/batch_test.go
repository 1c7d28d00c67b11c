package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// A hundred callers on two processes, one of them with work that cannot be done.
func TestABatchDoesTheWorkOfManyAndFailsNobodyForAnother(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		const callers, rounds = 100, 5
		url := newDB()
		var commits atomic.Int64
		count := func(text string) {
			if text == "commit" {
				commits.Add(1)
			}
		}
		var batches []*sqldb.Batch[string]
		for range 2 {
			db := open(t, sqldb.Options{URL: url, Count: count})
			batches = append(batches, sqldb.NewBatch(16, 2*callers, 1, func(ctx context.Context, ids []string) error {
				return db.TxByStatement(ctx, func(tx *sqldb.PreparedTx) error {
					for _, item := range ids {
						if _, err := tx.ExecContext(ctx, "INSERT INTO items (id, n) VALUES ($1, 1)", item); err != nil {
							return err
						}
					}
					_, err := tx.ExecContext(ctx, "INSERT INTO items (id, n) VALUES ('all', $1) ON CONFLICT (id) DO UPDATE SET n = items.n + excluded.n", len(ids))
					return err
				})
			}))
		}
		reader := open(t, sqldb.Options{URL: url})
		do(t, reader.Write(), "INSERT INTO items (id) VALUES ('taken')")
		commits.Store(0)
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				for round := range rounds {
					item := fmt.Sprint(i, "-", round)
					if i == 7 {
						item = "taken"
					}
					err := sqldb.Translate(batches[i%2].Do(t.Context(), item))
					if got := fault.Is(err, fault.Conflict); got != (i == 7) || err != nil && i != 7 {
						t.Errorf("%s: got %v", item, err)
					}
					if n := number(t, reader.Read(), "SELECT COUNT(*) FROM items WHERE id = $1", item); n != 1 {
						t.Errorf("%s is not there when its caller is told", item)
					}
				}
			})
		}
		group.Wait()
		const done = (callers - 1) * rounds
		if n := number(t, reader.Read(), "SELECT n FROM items WHERE id = 'all'"); n != done {
			t.Errorf("got %d, want %d: work was lost or done twice", n, done)
		}
		if n := commits.Load(); n >= done/2 {
			t.Errorf("%d commits for %d calls: they do not share", n, done)
		}
	})
}

// gate is the run of a Batch that stops until it is let go.
type gate struct {
	started chan []int
	let     chan error
}

func newGate() gate { return gate{make(chan []int), make(chan error)} }

func (g gate) run(_ context.Context, work []int) error {
	g.started <- work
	return <-g.let
}

func TestABatchIsWhatCameInDuringTheLast(t *testing.T) {
	g := newGate()
	b := sqldb.NewBatch(4, 5, 1, g.run)
	results := make(chan error, 20)
	call := func(ctx context.Context, work int) { results <- b.Do(ctx, work) }
	go call(t.Context(), 0)
	if got := <-g.started; !slices.Equal(got, []int{0}) {
		t.Fatalf("one who is alone is in %v", got)
	}
	leaving, leave := context.WithCancel(t.Context())
	go call(leaving, 1)
	for waiting(t, b) != 1 {
	}
	for work := 2; work <= 5; work++ {
		go call(t.Context(), work)
		for waiting(t, b) != work {
		}
	}
	err := b.Do(t.Context(), 6)
	if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || f.Code != "overloaded" || f.RetryAfter != time.Second {
		t.Errorf("one too many: got %v, want overloaded", err)
	}
	late, stop := context.WithCancel(t.Context())
	go func() { results <- b.DoAnyway(late, 9) }()
	for waiting(t, b) != 6 {
	}
	stop()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("one who ends what was begun: got %v, want it to wait", err)
	}
	leave()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("one who left: got %v", err)
	}
	go call(t.Context(), 7)
	for waiting(t, b) != 5 {
	}
	g.let <- nil
	if got := <-g.started; !slices.Equal(got, []int{2, 3, 4, 5}) {
		t.Errorf("the next batch is %v, want the first four who wait", got)
	}
	if err := <-results; err != nil {
		t.Errorf("the first: %v", err)
	}
	g.let <- nil
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := <-g.started; !slices.Equal(got, []int{7}) {
		t.Errorf("the last batch is %v", got)
	}
	g.let <- nil
	if err := <-results; err != nil {
		t.Error(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := b.Do(ended, 8); !errors.Is(err, context.Canceled) {
		t.Errorf("one who had left before: got %v", err)
	}
}

func waiting(t *testing.T, b *sqldb.Batch[int]) int {
	t.Helper()
	if t.Context().Err() != nil {
		t.Fatal("nobody comes")
	}
	time.Sleep(time.Millisecond)
	return b.Waiting()
}

// The work of one who leaves is done with that of the others.
func TestOneWhoLeavesARunningBatchDoesNotEndIt(t *testing.T) {
	g := newGate()
	b := sqldb.NewBatch(4, 4, 1, func(ctx context.Context, work []int) error {
		return errors.Join(g.run(ctx, work), ctx.Err())
	})
	ctx, leave := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- b.Do(ctx, 1) }()
	<-g.started
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	go func() { second <- b.Do(t.Context(), 2) }()
	g.let <- nil
	if got := <-g.started; !slices.Equal(got, []int{2}) {
		t.Errorf("got %v", got)
	}
	g.let <- nil
	if err := <-second; err != nil {
		t.Errorf("the batch ended with the caller who began it: %v", err)
	}
}

func TestAPanicInABatchIsAnErrorOfItsMember(t *testing.T) {
	b := sqldb.NewBatch(64, 64, 1, func(_ context.Context, work []int) error {
		if slices.Contains(work, 3) {
			panic("three")
		}
		return nil
	})
	var failed atomic.Int64
	for _, err := range together(func(i int) error { return b.Do(t.Context(), i) }) {
		if err != nil {
			failed.Add(1)
		}
	}
	if got := failed.Load(); got != 1 {
		t.Errorf("%d callers failed, want one", got)
	}
}

// Everybody adds to the same rows, on two processes, and nobody has to begin again.
func TestStatementsThatAddLoseNothing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		url := newDB()
		var begun atomic.Int64
		count := func(text string) {
			if len(text) >= 5 && text[:5] == "begin" {
				begun.Add(1)
			}
		}
		nodes := []*sqldb.DB{open(t, sqldb.Options{URL: url, Count: count}), open(t, sqldb.Options{URL: url, Count: count})}
		begun.Store(0)
		for _, err := range together(func(i int) error {
			return nodes[i%2].TxByStatement(t.Context(), func(tx *sqldb.PreparedTx) error {
				for _, item := range []string{"a", "b"} {
					if _, err := tx.ExecContext(t.Context(), "INSERT INTO items (id, n) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET n = items.n + 1", item); err != nil {
						return err
					}
				}
				return nil
			})
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		if a, b := number(t, nodes[0].Read(), "SELECT n FROM items WHERE id = 'a'"), number(t, nodes[0].Read(), "SELECT n FROM items WHERE id = 'b'"); a != parallel || b != parallel {
			t.Errorf("got %d and %d, want %d", a, b, parallel)
		}
		if got := begun.Load(); got != parallel {
			t.Errorf("%d transactions for %d facts", got, parallel)
		}
	})
}

// Rows taken in opposite orders deadlock: one transaction is run again.
func TestADeadlockIsRunAgain(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		url := newDB()
		nodes := []*sqldb.DB{open(t, sqldb.Options{URL: url}), open(t, sqldb.Options{URL: url})}
		do(t, nodes[0].Write(), "INSERT INTO items (id) VALUES ('a'), ('b')")
		order := [][]string{{"a", "b"}, {"b", "a"}}
		errs := make([]error, 2)
		var group sync.WaitGroup
		for i := range 2 {
			group.Go(func() {
				errs[i] = nodes[i].TxByStatement(t.Context(), func(tx *sqldb.PreparedTx) error {
					for _, item := range order[i] {
						if _, err := tx.ExecContext(t.Context(), "UPDATE items SET n = n + 1 WHERE id = $1", item); err != nil {
							return err
						}
						time.Sleep(50 * time.Millisecond)
					}
					return nil
				})
			})
		}
		group.Wait()
		if n := number(t, nodes[0].Read(), "SELECT CAST(SUM(n) AS BIGINT) FROM items"); n != 4 || errors.Join(errs...) != nil {
			t.Errorf("got %d, %v, want 4", n, errs)
		}
	})
}

func TestTheTextsOfATransactionStayPrepared(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		db := open(t, sqldb.Options{URL: newDB()})
		for round := range int64(3) {
			err := db.TxByStatement(t.Context(), func(tx *sqldb.PreparedTx) error {
				if _, err := tx.ExecContext(t.Context(), "INSERT INTO items (id, n) VALUES ($1, $2)", fmt.Sprint(round), round); err != nil {
					return err
				}
				var sum int64
				if err := tx.QueryRowContext(t.Context(), "SELECT CAST(SUM(n) AS BIGINT) FROM items").Scan(&sum); err != nil || sum != round*(round+1)/2 {
					return fmt.Errorf("sum %d, %w", sum, err)
				}
				rows, err := tx.QueryContext(t.Context(), "SELECT id FROM items WHERE n = $1", round)
				if err != nil {
					return err
				}
				defer rows.Close()
				if !rows.Next() {
					return errors.New("the row is not there")
				}
				return rows.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		failed := errors.New("no")
		if err := db.TxByStatement(t.Context(), func(tx *sqldb.PreparedTx) error {
			_, _ = tx.ExecContext(t.Context(), "DELETE FROM items")
			return failed
		}); !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
		if n := number(t, db.Read(), "SELECT COUNT(*) FROM items"); n != 3 {
			t.Errorf("got %d rows, want 3: what failed was written", n)
		}
	})
}
