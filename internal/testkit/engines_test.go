package testkit_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

func TestEveryOpenIsANewDatabase(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		if a, b := open(), open(); a == b {
			t.Fatalf("got the same URL twice: %s", a)
		}
	})
}

func TestPostgresIsEmptyAndTakesTables(t *testing.T) {
	for range 2 { // the second would fail on the first one's table
		conn, err := pgx.Connect(t.Context(), testkit.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE x (id TEXT)"); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// The child prints its server's folder and then ends in the way that the parent asked
// for, without any cleanup.
const childEnd = "TESTKIT_CHILD_END"

func TestChildThatEnds(t *testing.T) {
	end := os.Getenv(childEnd)
	if end == "" {
		return // only a child of the next test
	}
	url := testkit.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var folder string
	if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&folder); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stdout.WriteString("folder=" + folder + "\n"); err != nil {
		t.Fatal(err)
	}
	if end == "panic" {
		panic("as asked")
	}
	process, _ := os.FindProcess(os.Getpid())
	_ = process.Kill()
	select {}
}

func TestServerAndItsFolderGoAwayWithTheTestBinary(t *testing.T) {
	for _, end := range []string{"panic", "kill"} {
		t.Run(end, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChildThatEnds$")
			child.Env = append(os.Environ(), childEnd+"="+end)
			out, _ := child.CombinedOutput() // it fails, that is the point; it also returns: nobody holds its output
			_, after, ok := strings.Cut(string(out), "folder=")
			if !ok {
				t.Fatalf("the child did not get as far as its server: %s", out)
			}
			folder, _, _ := strings.Cut(after, "\n")
			for range 500 {
				if _, err := os.Stat(folder); os.IsNotExist(err) {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Fatalf("%s is still there 10 s after the test binary ended", folder)
		})
	}
}

func TestClockMovesOnlyWhenMoved(t *testing.T) {
	start := time.Date(2031, 1, 2, 3, 4, 5, 678901234, time.FixedZone("", 3600))
	c := testkit.NewClock(start)
	if got, want := c.Now(), start.UTC().Truncate(time.Microsecond); !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("got %v, want %v", got, want)
	}
	c.Add(time.Hour)
	if got, want := c.Now(), start.Add(time.Hour).UTC().Truncate(time.Microsecond); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
