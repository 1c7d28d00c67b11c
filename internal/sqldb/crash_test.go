package sqldb_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

const crashURL = "SQLDB_CRASH_URL"

// TestChildThatWritesUntilKilled is the other process of the next test. It tells each
// commit when Tx has returned, and then leaves a transaction open.
func TestChildThatWritesUntilKilled(t *testing.T) {
	url := os.Getenv(crashURL)
	if url == "" {
		return
	}
	db := open(t, sqldb.Options{URL: url, Exclusive: true})
	for i := 1; ; i++ {
		err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), "INSERT INTO items (id) VALUES ($1)", fmt.Sprint(i))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(os.Stdout, "committed %d\n", i); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnAcknowledgedCommitSurvivesKillNine(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		url := newDB()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChildThatWritesUntilKilled$")
		child.Env = append(os.Environ(), crashURL+"="+url)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		told, last := bufio.NewScanner(out), 0
		for told.Scan() {
			_, _ = fmt.Sscanf(told.Text(), "committed %d", &last)
			if last == 25 {
				_ = child.Process.Kill() // SIGKILL
			}
		}
		_ = child.Wait()
		if last < 25 {
			t.Fatalf("the child got only to %d", last)
		}
		// The killed service's lock is free at once, and every row that it told of is there.
		db := open(t, sqldb.Options{URL: url, Exclusive: true})
		got := number(t, db.Read(), "SELECT COUNT(*) FROM items")
		if got < int64(last) || got > int64(last)+1 {
			t.Errorf("got %d rows, want %d (or one more, committed and not told)", got, last)
		}
		if strings.HasPrefix(url, "sqlite:") {
			var check string
			if err := db.Read().QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
				t.Errorf("got integrity %q, %v, want ok", check, err)
			}
		}
	})
}
