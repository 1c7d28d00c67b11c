package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/IntunoAI/intuno-go/internal/clock"
)

// Options says which database to open and how.
type Options struct {
	URL        string // "postgres://…", "postgresql://…" or "sqlite:PATH"
	Migrations fs.FS  // *.sql files in goose's format at its root; nil: there are none
	Service    string // "wisdom" or "agents": a database of another service is refused
	Now        clock.Now
	Log        *slog.Logger // nil: silent

	// Exclusive claims a SQLite file for this process until Close. Every service
	// sets it; an administrator's command does not. It means nothing on PostgreSQL.
	Exclusive bool

	// NoMigrate opens the database as it is: nothing is created or changed, and an
	// older version is accepted. The caller asks Version, or CheckVersion.
	NoMigrate bool

	// Metrics, when set, gets the statistics of the connection pools.
	Metrics prometheus.Registerer

	// Count, when set, is called with the text of every statement before it is
	// executed, begin, commit and rollback included, from many goroutines.
	Count func(query string)
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	read, write *sql.DB // the same pool on PostgreSQL
	prepared    *Prepared
	// of the writer, for PreparedTx
	preparedWrites *Prepared
	dialect        Dialect
	service        string
	migrations     migrations
	now            clock.Now
	log            *slog.Logger
	lockPath       string // SQLite: the file to lock; "" on PostgreSQL
	unlock         func() error
}

// Open opens the database of o.URL and migrates it forward, unless o.NoMigrate. It
// refuses a database of another service, one whose version is more than one ahead
// of o.Migrations, and, when o.Exclusive, a SQLite file that another service holds.
// No error text carries the URL's password.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = clock.System
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var db *DB
	var err error
	switch {
	case strings.HasPrefix(o.URL, sqliteScheme):
		db, err = openSQLite(ctx, o)
	case strings.HasPrefix(o.URL, "postgres://"), strings.HasPrefix(o.URL, "postgresql://"):
		db, err = openPostgres(ctx, o)
	default:
		err = errors.New("want postgres://… or sqlite:PATH")
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", Redact(o.URL), err)
	}
	db.service, db.now, db.log = o.Service, o.Now, o.Log
	db.prepared = &Prepared{pool: db.read, keep: !db.dialect.Shared(), texts: map[string]*sql.Stmt{}}
	db.preparedWrites = &Prepared{pool: db.write, keep: !db.dialect.Shared(), texts: map[string]*sql.Stmt{}}
	if err := db.prepare(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", Redact(o.URL), err), db.Close())
	}
	if err := db.register(o.Metrics); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// register makes the pools visible as <service>_read and <service>_write, or as
// <service> where they are one.
func (db *DB) register(metrics prometheus.Registerer) error {
	if metrics == nil {
		return nil
	}
	pools := map[string]*sql.DB{db.service: db.read}
	if db.read != db.write {
		pools = map[string]*sql.DB{db.service + "_read": db.read, db.service + "_write": db.write}
	}
	for name, pool := range pools {
		if err := metrics.Register(collectors.NewDBStatsCollector(pool, name)); err != nil {
			return fmt.Errorf("register metrics of the database: %w", err)
		}
	}
	return nil
}

// Read is the pool for statements that only read. On SQLite it refuses writes.
func (db *DB) Read() *sql.DB { return db.read }

// Write is for one write statement that commits by itself. On SQLite it is the
// single writer connection, so using it inside the function given to Tx waits for
// that same transaction until ctx ends.
//
// On PostgreSQL such a statement is not serializable: a rule that counts or checks
// before it writes must use Tx in every place that writes the rows it looks at.
func (db *DB) Write() *sql.DB { return db.write }

// Dialect answers where the engines differ.
func (db *DB) Dialect() Dialect { return db.dialect }

// Now is the clock of Options.
func (db *DB) Now() clock.Now { return db.now }

// Ping asks whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.write.PingContext(ctx); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// Close waits for running statements, closes both pools and gives a SQLite file free.
func (db *DB) Close() error {
	// The writer goes last: closing a SQLite file's last connection folds the log
	// (-wal) into the file, which a read-only connection cannot do.
	err := errors.Join(db.prepared.close(), db.preparedWrites.close(), db.read.Close())
	if db.write != db.read {
		err = errors.Join(err, db.write.Close())
	}
	if db.unlock != nil {
		err = errors.Join(err, db.unlock())
		db.unlock = nil
	}
	return err
}
