package sqldb_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// steps are n migrations, each of which fails when it runs twice.
func steps(n int) fstest.MapFS {
	list := []string{items}
	for i := 2; i <= n; i++ {
		list = append(list, "ALTER TABLE items ADD COLUMN extra"+string(rune('0'+i))+" TEXT")
	}
	return migrations(list...)
}

func version(t *testing.T, db *sqldb.DB, wantCurrent, wantKnown int64) {
	t.Helper()
	current, known, err := db.Version(t.Context())
	if err != nil || current != wantCurrent || known != wantKnown {
		t.Errorf("got version %d of %d, %v, want %d of %d", current, known, err, wantCurrent, wantKnown)
	}
}

func TestProcessesThatMigrateTogetherAllSucceed(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		url, size := newDB(), 6
		for _, known := range []int{2, 5} { // from nothing, and from an older version
			errs := make([]error, size)
			var wg sync.WaitGroup
			for i := range size {
				wg.Go(func() {
					db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Service: "wisdom", Migrations: steps(known)})
					if err == nil {
						version(t, db, int64(known), int64(known))
						err = db.Close()
					}
					errs[i] = err
				})
			}
			wg.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		db := open(t, sqldb.Options{URL: url, Migrations: steps(5)})
		if got := number(t, db.Read(), "SELECT COUNT(*) FROM intuno_schema WHERE version_id > 0"); got != 5 {
			t.Errorf("got %d migration records, want 5", got)
		}
		if got := number(t, db.Read(), "SELECT COUNT(*) FROM intuno_service"); got != 1 {
			t.Errorf("got %d service records, want 1", got)
		}
	})
}

func TestADatabaseBelongsToOneService(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		url := newDB()
		now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		db := open(t, sqldb.Options{URL: url, Service: "wisdom", Now: testkit.NewClock(now).Now})
		if got := number(t, db.Read(), "SELECT created_us FROM intuno_service"); got != now.UnixMicro() {
			t.Errorf("got created_us %d, want %d", got, now.UnixMicro())
		}
		for _, noMigrate := range []bool{false, true} {
			_, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Service: "agents", Migrations: steps(3), NoMigrate: noMigrate})
			if err == nil || !strings.Contains(err.Error(), `belongs to the service "wisdom", not to "agents"`) {
				t.Errorf("got %v, want a refusal that names both", err)
			}
		}
		version(t, db, 1, 1) // and the refusal changed nothing
	})
}

func TestANewerDatabaseIsAcceptedOneVersionAheadAndNoMore(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		url := newDB()
		open(t, sqldb.Options{URL: url, Migrations: steps(3)})
		version(t, open(t, sqldb.Options{URL: url, Migrations: steps(2)}), 3, 2)
		for _, noMigrate := range []bool{false, true} {
			_, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Service: "wisdom", Migrations: steps(1), NoMigrate: noMigrate})
			if err == nil || !strings.Contains(err.Error(), "is at version 3, and this program knows only up to 1") {
				t.Errorf("got %v, want a refusal that names the versions", err)
			}
		}
	})
}

func TestNoMigrateChangesNothingAndTellsTheVersions(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		url := newDB()
		if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
			_, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Service: "wisdom", NoMigrate: true})
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v, want: does not exist", err)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the file was created: %v", err)
			}
		} else {
			version(t, open(t, sqldb.Options{URL: url, Migrations: steps(2), NoMigrate: true}), 0, 2)
		}
		open(t, sqldb.Options{URL: url, Migrations: steps(1)})
		older := open(t, sqldb.Options{URL: url, Migrations: steps(3), NoMigrate: true})
		version(t, older, 1, 3)
		if err := older.CheckVersion(t.Context()); err == nil || !strings.Contains(err.Error(), "at version 1 and this program needs 3") {
			t.Errorf("got %v, want the two versions", err)
		}
		if err := open(t, sqldb.Options{URL: url, Migrations: steps(1), NoMigrate: true}).CheckVersion(t.Context()); err != nil {
			t.Errorf("got %v, want success", err)
		}
	})
}

func TestAMigrationThatFailsChangesNothingAndCanBeRepaired(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		url := newDB()
		broken := migrations(items, "CREATE TABLE half (id TEXT);\nALTER TABLE nosuch ADD COLUMN x TEXT")
		for range 2 {
			_, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Service: "wisdom", Migrations: broken})
			if err == nil || !strings.Contains(err.Error(), "nosuch") {
				t.Fatalf("got %v, want the database's complaint about nosuch", err)
			}
		}
		version(t, open(t, sqldb.Options{URL: url, Migrations: broken, NoMigrate: true}), 1, 2)
		open(t, sqldb.Options{URL: url, Migrations: migrations(items, "CREATE TABLE half (id TEXT)")})
	})
}

func TestAFileIsNotMigratedUnderItsService(t *testing.T) {
	url := testkit.SQLite(t)
	db := open(t, sqldb.Options{URL: url, Migrations: steps(1), Exclusive: true})
	open(t, sqldb.Options{URL: url, Migrations: steps(1)}) // nothing to migrate, nothing to wait for

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := sqldb.Open(ctx, sqldb.Options{URL: url, Service: "wisdom", Migrations: steps(2)})
	if err == nil || !strings.Contains(err.Error(), "is in use by another intuno process") {
		t.Errorf("got %v, want: in use by another intuno process", err)
	}
	version(t, db, 1, 1)
}
