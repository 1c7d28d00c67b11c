package sqldb_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

func TestPreparedReadsSeeCommittedRowsInParallelAndPastTheBound(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		var counted atomic.Int64
		db := open(t, sqldb.Options{URL: url(), Migrations: migrations("CREATE TABLE pairs (k BIGINT PRIMARY KEY, v TEXT NOT NULL)"),
			Count: func(string) { counted.Add(1) }})
		for k := range 20 {
			do(t, db.Write(), "INSERT INTO pairs (k, v) VALUES ($1, $2)", k, fmt.Sprint("v", k))
		}
		counted.Store(0)
		var group sync.WaitGroup
		for k := range 20 {
			group.Go(func() {
				for i := range 40 {
					// 800 texts in all, more than are kept.
					text := fmt.Sprintf("SELECT v FROM pairs WHERE k = $1 AND %d = %d", 100*k+i, 100*k+i)
					var v string
					if err := db.Prepared().QueryRowContext(t.Context(), text, k).Scan(&v); err != nil || v != fmt.Sprint("v", k) {
						t.Errorf("%q: %q, %v", text, v, err)
					}
				}
			})
		}
		group.Wait()
		if got := counted.Load(); got != 800 {
			t.Errorf("the hook saw %d statements, want 800", got)
		}
		do(t, db.Write(), "UPDATE pairs SET v = $1 WHERE k = $2", "new", 3)
		for range 3 {
			rows, err := db.Prepared().QueryContext(t.Context(), "SELECT v FROM pairs WHERE k = $1", 3)
			if err != nil {
				t.Fatal(err)
			}
			var v string
			for rows.Next() {
				err = rows.Scan(&v)
			}
			if err != nil || rows.Err() != nil || v != "new" {
				t.Errorf("v = %q, want %q (%v, %v)", v, "new", err, rows.Err())
			}
		}
		var v string
		if err := db.Prepared().QueryRowContext(t.Context(), "SELECT nothing FROM nowhere").Scan(&v); err == nil {
			t.Error("a broken statement gives no error")
		}
	})
}
