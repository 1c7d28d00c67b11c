package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// migrations has one file per given SQL text, numbered from 1.
func migrations(steps ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for i, step := range steps {
		name := "0000" + string(rune('1'+i)) + "_step.sql"
		files[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + step + ";\n")}
	}
	return files
}

const items = `CREATE TABLE items (
	id TEXT PRIMARY KEY,
	owner TEXT,
	n BIGINT NOT NULL DEFAULT 0,
	active BOOLEAN NOT NULL DEFAULT TRUE,
	score DOUBLE PRECISION NOT NULL DEFAULT 0,
	body BYTEA
)`

func open(t *testing.T, o sqldb.Options) *sqldb.DB {
	t.Helper()
	if o.Service == "" {
		o.Service = "wisdom"
	}
	if o.Migrations == nil {
		o.Migrations = migrations(items)
	}
	db, err := sqldb.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func do(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// number is the one number that a query returns.
func number(t *testing.T, db *sql.DB, query string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestACommittedWriteIsReadAtOnce(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		db := open(t, sqldb.Options{URL: newDB()})
		do(t, db.Write(), "INSERT INTO items (id, n) VALUES ('a', 0)")
		for want := int64(1); want <= 50; want++ {
			err := db.Tx(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), "UPDATE items SET n = $1 WHERE id = 'a'", want)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := number(t, db.Read(), "SELECT n FROM items WHERE id = 'a'"); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

type (
	itemID string
	owner  string
	amount int64
)

func TestNamedTypesPointersAndEveryColumnTypeGoInAndOut(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		db := open(t, sqldb.Options{URL: newDB()})
		who, insert := owner("o"), "INSERT INTO items (id, owner, n, active, score, body) VALUES ($1, $2, $3, $4, $5, $6)"
		do(t, db.Write(), insert, itemID("full"), &who, amount(1<<53+1), false, 0.1, []byte{0, 255})
		do(t, db.Write(), insert, itemID("null"), (*owner)(nil), amount(-1), true, -2.5, nil)
		do(t, db.Write(), insert, itemID("text €\n"), nil, amount(0), true, 1e300, []byte{})

		type row struct {
			id     itemID
			owner  *owner
			n      amount
			active bool
			score  float64
			body   []byte
		}
		for _, want := range []row{
			{"full", &who, 1<<53 + 1, false, 0.1, []byte{0, 255}},
			{"null", nil, -1, true, -2.5, nil},
			{"text €\n", nil, 0, true, 1e300, []byte{}},
		} {
			var got row
			err := db.Read().QueryRowContext(t.Context(), "SELECT id, owner, n, active, score, body FROM items WHERE id = $1", want.id).
				Scan(&got.id, &got.owner, &got.n, &got.active, &got.score, &got.body)
			if err != nil {
				t.Errorf("%s: %v", want.id, err)
				continue
			}
			if (got.owner == nil) != (want.owner == nil) || got.owner != nil && *got.owner != *want.owner {
				t.Errorf("%s: got owner %v, want %v", want.id, got.owner, want.owner)
			}
			// Read back, SQLite's driver does not tell an empty value from a null one; SQL does.
			null := number(t, db.Read(), "SELECT COUNT(*) FROM items WHERE id = $1 AND body IS NULL", want.id) == 1
			if string(got.body) != string(want.body) || null != (want.body == nil) {
				t.Errorf("%s: got body %#v, null %v, want %#v", want.id, got.body, null, want.body)
			}
			if got.id != want.id || got.n != want.n || got.active != want.active || got.score != want.score {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		var found bool
		if err := db.Read().QueryRowContext(t.Context(), "SELECT EXISTS (SELECT 1 FROM items WHERE active)").Scan(&found); err != nil || !found {
			t.Errorf("got %v, %v, want true", found, err)
		}
	})
}

func TestParametersAreBoundByTheirNumber(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		db := open(t, sqldb.Options{URL: newDB()})
		do(t, db.Write(), "INSERT INTO items (n, owner, id) VALUES ($3, $2, $1)", "id", "owner", 7)
		for _, c := range []struct {
			query string
			args  []any
		}{
			{"SELECT COUNT(*) FROM items WHERE owner = $2 AND id = $1", []any{"id", "owner"}},
			{"SELECT COUNT(*) FROM items WHERE n = $1 AND n + 1 > $1 AND owner = $2 AND (n = $1 OR id = $2)", []any{7, "owner"}},
			{"SELECT COUNT(*) FROM items WHERE owner = $3 AND (n, id) < ($2, $1)", []any{"id", 8, "owner"}},
			{"SELECT COUNT(*) FROM items WHERE $2 = owner AND (CAST($1 AS TEXT) IS NULL OR id = $1)", []any{nil, "owner"}},
			{"SELECT COUNT(*) FROM (SELECT 1 FROM items WHERE owner = $11 AND n = $2 AND id = $1 AND $3 = '3' AND $4 = '4' AND $5 = '5'" +
				" AND $6 = '6' AND $7 = '7' AND $8 = '8' AND $9 = '9' AND $10 = '10' LIMIT CAST($12 AS BIGINT)) x",
				[]any{"id", 7, "3", "4", "5", "6", "7", "8", "9", "10", "owner", 1}},
		} {
			if got := number(t, db.Read(), c.query, c.args...); got != 1 {
				t.Errorf("%s: got %d rows, want 1", c.query, got)
			}
		}
	})
}

func TestWhatADriverSaysAboutDataBecomesAFault(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		db := open(t, sqldb.Options{URL: newDB(), Migrations: migrations(items,
			"CREATE TABLE parts (item TEXT NOT NULL REFERENCES items (id), k TEXT NOT NULL, UNIQUE (item, k))")})
		do(t, db.Write(), "INSERT INTO items (id) VALUES ('a')")
		do(t, db.Write(), "INSERT INTO parts (item, k) VALUES ('a', 'k')")
		write := func(query string) error {
			_, err := db.Write().ExecContext(t.Context(), query)
			return err
		}
		var n int
		missing := db.Read().QueryRowContext(t.Context(), "SELECT n FROM items WHERE id = 'b'").Scan(&n)
		for _, c := range []struct {
			name string
			err  error
			want fault.Kind
		}{
			{"no row", missing, fault.NotFound},
			{"primary key", write("INSERT INTO items (id) VALUES ('a')"), fault.Conflict},
			{"unique", write("INSERT INTO parts (item, k) VALUES ('a', 'k')"), fault.Conflict},
		} {
			got := sqldb.Translate(c.err)
			if !fault.Is(got, c.want) || !errors.Is(got, c.err) {
				t.Errorf("%s: got %v, want kind %d around the cause", c.name, got, c.want)
			}
			if again := sqldb.Translate(got); again != got {
				t.Errorf("%s: a fault was changed to %v", c.name, again)
			}
		}
		for name, err := range map[string]error{
			"nothing": nil, "foreign key": write("INSERT INTO parts (item, k) VALUES ('none', 'k')"),
			"not null": write("INSERT INTO parts (item) VALUES ('a')"), "syntax": write("INSERT"),
		} {
			if name != "nothing" && err == nil {
				t.Errorf("%s: got no error", name)
			}
			if got := sqldb.Translate(err); got != err {
				t.Errorf("%s: got %v, want it unchanged: %v", name, got, err)
			}
		}
	})
}

func TestTheHookSeesEveryStatement(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		var mu sync.Mutex
		var seen []string
		db := open(t, sqldb.Options{URL: newDB(), Count: func(query string) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, query)
		}})
		mu.Lock()
		if len(seen) == 0 {
			t.Error("the hook saw no statement of the migration")
		}
		seen = nil
		mu.Unlock()
		insert, pick := "INSERT INTO items (id) VALUES ($1)", "SELECT n FROM items WHERE id = $1"
		do(t, db.Write(), insert, "a")
		number(t, db.Read(), pick, "a")
		stmt, err := db.Read().PrepareContext(t.Context(), pick)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := stmt.QueryRowContext(t.Context(), "a").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if err := stmt.Close(); err != nil {
			t.Fatal(err)
		}
		err = db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), insert, "b")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		want := []string{insert, pick, pick, "begin", insert, "commit"}
		if len(seen) != len(want) {
			t.Fatalf("got %q, want %q", seen, want)
		}
		for i := range want {
			if !strings.HasPrefix(seen[i], want[i]) {
				t.Errorf("statement %d: got %q, want %q", i, seen[i], want[i])
			}
		}
	})
}

func TestDialectKnowsWhatTheEngineCanDo(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		db := open(t, sqldb.Options{URL: newDB()})
		d := db.Dialect()
		if got, want := d.Shared(), d.String() == "postgresql"; got != want {
			t.Errorf("%s: got shared %v, want %v", d, got, want)
		}
		// The suffix must be accepted where a store puts it.
		number(t, db.Write(), "SELECT COUNT(*) FROM (SELECT id FROM items ORDER BY id LIMIT 1 "+d.SkipLocked()+") x")
	})
}

func TestSQLiteWriterIsDurableAndReadersCannotWrite(t *testing.T) {
	db := open(t, sqldb.Options{URL: testkit.SQLite(t)})
	for pragma, want := range map[string]int64{"synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000, "query_only": 0} {
		if got := number(t, db.Write(), "PRAGMA "+pragma); got != want {
			t.Errorf("writer: got %s %d, want %d", pragma, got, want)
		}
	}
	var mode string
	if err := db.Write().QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("got journal_mode %q, %v, want wal", mode, err)
	}
	if got := number(t, db.Read(), "PRAGMA query_only"); got != 1 {
		t.Errorf("reader: got query_only %d, want 1", got)
	}
	if _, err := db.Read().ExecContext(t.Context(), "INSERT INTO items (id) VALUES ('a')"); err == nil {
		t.Error("a reader wrote")
	}
	if got := db.Write().Stats().MaxOpenConnections; got != 1 {
		t.Errorf("got %d writers, want 1", got)
	}
	if got := db.Read().Stats().MaxOpenConnections; got != 4 {
		t.Errorf("got %d readers, want 4", got)
	}
}

func TestReadersDoNotWaitForAnOpenWriteTransaction(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newDB func() string) {
		db := open(t, sqldb.Options{URL: newDB()})
		err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO items (id) VALUES ('a')"); err != nil {
				return err
			}
			if got := number(t, db.Read(), "SELECT COUNT(*) FROM items"); got != 0 {
				t.Errorf("a reader sees %d uncommitted rows", got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestSQLiteFilesAreTheOwnersAlone(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data", "deep")
	path := filepath.Join(folder, "odd name %41 #1.db")
	db := open(t, sqldb.Options{URL: "sqlite:" + path, Exclusive: true})
	do(t, db.Write(), "INSERT INTO items (id) VALUES ('a')")
	number(t, db.Read(), "SELECT COUNT(*) FROM items")
	for name, want := range map[string]os.FileMode{
		folder: 0o700, filepath.Dir(folder): 0o700,
		path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600, path + ".lock": 0o600,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: got mode %o, want %o", name, got, want)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close the log is still next to the file: %v", err)
	}
}

func TestAServiceHoldsItsSQLiteFileAlone(t *testing.T) {
	url := testkit.SQLite(t)
	first := open(t, sqldb.Options{URL: url, Exclusive: true})

	_, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Service: "wisdom", Migrations: migrations(items), Exclusive: true})
	if err == nil || !strings.Contains(err.Error(), "is in use by another intuno process") {
		t.Fatalf("got %v, want: in use by another intuno process", err)
	}
	command := open(t, sqldb.Options{URL: url, NoMigrate: true}) // an administrator's command may work meanwhile
	do(t, command.Write(), "INSERT INTO items (id) VALUES ('a')")
	if got := number(t, first.Read(), "SELECT COUNT(*) FROM items"); got != 1 {
		t.Errorf("the service sees %d of the command's rows, want 1", got)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, sqldb.Options{URL: url, Exclusive: true})
}

func TestNoErrorRepeatsThePassword(t *testing.T) {
	const secret = "s3cr3t"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, url := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/x",
		"postgres://u:" + secret + "@127.0.0.1:1/x?sslmode=disable&connect_timeout=1",
		"postgresql://127.0.0.1:1/x?user=u&password=" + secret,
		"postgres://u:" + secret + "@127.0.0.1:port/x",
		"postgres://u:" + secret + "%zz@127.0.0.1:1/x",
		"postgres://u:12/" + secret + "@127.0.0.1:1/x",
		"postgres://u:12?" + secret + "@127.0.0.1:1/x",
		"postgres://u:12#" + secret + "@127.0.0.1:1/x",
		"postgres://u:1@2/" + secret + "@127.0.0.1:1/x",
		"postgres://u:" + secret + "@127.0.0.1:1/x?sslmode=nonsense",
		"postgres://u:" + secret + "@127.0.0.1:1/x?sslrootcert=/nonexistent&sslmode=verify-full",
		"postgres://u:" + secret + "@[::1/x",
		"mysql://u:" + secret + "@127.0.0.1/x",
		"postgres:u:" + secret + "@127.0.0.1/x",
		"host=127.0.0.1 password=" + secret,
		secret,
	} {
		_, err := sqldb.Open(ctx, sqldb.Options{URL: url, Service: "wisdom"})
		if err == nil {
			t.Errorf("%s: opened", url)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error repeats the password: %v", url, err)
		}
	}
	// A server that answers, and refuses, is another path through the driver.
	wrong := strings.Replace(testkit.Postgres(t), "user=postgres", "user=nobody&password="+secret, 1)
	if _, err := sqldb.Open(ctx, sqldb.Options{URL: wrong, Service: "wisdom"}); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v, want a refusal without the password", err)
	}
}

func TestRedactHidesThePasswordAndNothingElse(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:p%40ss@db:5432/x?sslmode=require": "postgres://u:xxxxx@db:5432/x?sslmode=require",
		"postgresql://u@db/x":                           "postgresql://u@db/x",
		"postgres://db/x?password=p&user=u":             "postgres://db/x?password=xxxxx&user=u",
		"postgres://db/x?sslpassword=p":                 "postgres://db/x?sslpassword=xxxxx",
		"postgres:///x?host=/run/postgresql":            "postgres:///x?host=/run/postgresql",
		"postgres://u:p/q@db/x":                         "postgres://xxxxx",
		"postgres://u:p#q@db/x":                         "postgres://xxxxx",
		"sqlite:/data/wisdom.db":                        "sqlite:/data/wisdom.db",
		"host=db password=p":                            "xxxxx",
		"":                                              "xxxxx",
	} {
		if got := sqldb.Redact(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestAURLThatIsNoDatabaseIsRefused(t *testing.T) {
	for url, want := range map[string]string{
		"":                       "want postgres://",
		"mysql://db/x":           "want postgres://",
		"/data/x.db":             "want postgres://",
		"sqlite:":                "path is missing",
		"sqlite::memory:":        "not supported",
		"sqlite:x.db?mode=ro":    "takes no parameters",
		"sqlite://data/x.db":     "sqlite:///ABSOLUTE/PATH",
		"sqlite:" + t.TempDir():  "is a directory",
		"sqlite:/dev/null/x.db":  "not a directory",
		"postgres://db/x?port=x": "not a PostgreSQL connection URL",
	} {
		_, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Service: "wisdom"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", url, err, want)
		}
	}
}

func TestARelativeOrTripleSlashPathIsThatFile(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for url, file := range map[string]string{
		"sqlite:a/rel.db":                     "a/rel.db",
		"sqlite://" + folder + "/triple.db":   "triple.db",
		"sqlite:" + folder + "/x/../plain.db": "plain.db",
	} {
		open(t, sqldb.Options{URL: url})
		if _, err := os.Stat(filepath.Join(folder, file)); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
