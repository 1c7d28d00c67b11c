package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Engines runs body as the sub-tests "sqlite" and "postgres". Every call of open
// returns the URL of a new empty database; open the same URL twice to act as two
// processes.
func Engines(t *testing.T, body func(t *testing.T, open func() string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { body(t, func() string { return SQLite(t) }) })
	t.Run("postgres", func(t *testing.T) { body(t, func() string { return Postgres(t) }) })
}

// SQLite returns the URL of a new database in a folder that goes away with the test.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "test.db")
}

// Postgres returns the URL of a new empty database on a real PostgreSQL server. The
// server is started at the first call in a test binary and ends with the binary. Its
// databases survive a crash of the server, not of the machine (fsync is off).
//
// Where no server is installed the test fails: it never skips.
func Postgres(t testing.TB) string {
	t.Helper()
	return fastServer.get(t, false).newDatabase(t)
}

// DurablePostgres is Postgres on a second server with fsync on, for tests and
// benchmarks of what a commit costs.
func DurablePostgres(t testing.TB) string {
	t.Helper()
	return durableServer.get(t, true).newDatabase(t)
}

// StartPostgres starts a server with fsync on for a program that is no test: the
// benchmarks. It returns the URL of a new empty database, and the function that stops
// the server, which otherwise ends with the program.
func StartPostgres(ctx context.Context) (url string, stop func() error, err error) {
	s, err := startServer(ctx, true)
	if err != nil {
		return "", nil, err
	}
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err == nil {
		_, err = conn.Exec(ctx, "CREATE DATABASE bench")
		err = errors.Join(err, conn.Close(ctx))
	}
	if err != nil {
		return "", nil, errors.Join(err, s.alive.Close())
	}
	return s.url("bench"), s.alive.Close, nil
}

// One server of each kind per test binary: there is no place but the package for what
// all of its tests share.
var fastServer, durableServer lazyServer

// lazyServer starts a server when it is first asked for.
type lazyServer struct {
	once sync.Once
	s    *server
	err  error
}

func (l *lazyServer) get(t testing.TB, durable bool) *server {
	t.Helper()
	l.once.Do(func() { l.s, l.err = startServer(context.WithoutCancel(t.Context()), durable) })
	if l.err != nil {
		t.Fatalf("start PostgreSQL: %v", l.err)
	}
	return l.s
}

func (s *server) newDatabase(t testing.TB) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	s.admin(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.admin(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return s.url(name)
}

// ping asks whether the server takes connections.
func (s *server) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// admin runs one statement on a connection of its own, so that no pool and no
// goroutine outlives it.
func (s *server) admin(t testing.TB, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // in a cleanup the test's context is over
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
