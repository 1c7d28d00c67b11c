package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
)

const (
	versionTable = "intuno_schema"
	// ownerTable has one row: the service that the database belongs to.
	ownerTable = "intuno_service"

	// migrateLock is the PostgreSQL advisory lock of whoever migrates: "intuno" in
	// ASCII. Such locks are per database.
	migrateLock = 0x696e74756e6f
	lockRetry   = 50 * time.Millisecond
	// A SQLite file that must be migrated and is held by a service is given up on
	// after this many tries.
	sqliteLockTries = 200
)

// migrations are the steps that this program knows.
type migrations struct {
	provider *goose.Provider // nil: none
	newest   int64
}

// state is what a database says about itself. The zero value is an empty database.
type state struct {
	service string
	version int64
}

// prepare checks the database and brings it to the newest known version.
func (db *DB) prepare(ctx context.Context, o Options) error {
	if err := db.loadMigrations(o.Migrations); err != nil {
		return err
	}
	s, err := db.check(ctx)
	if err != nil || o.NoMigrate || db.upToDate(s) {
		return err
	}
	unlock, err := db.lockMigration(ctx)
	if err != nil {
		return fmt.Errorf("wait to migrate: %w", err)
	}
	return errors.Join(db.migrate(ctx), unlock())
}

func (db *DB) loadMigrations(files fs.FS) error {
	if files == nil {
		return nil
	}
	dialect := goose.DialectSQLite3
	if db.dialect.postgres {
		dialect = goose.DialectPostgres
	}
	provider, err := goose.NewProvider(dialect, db.write, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithSlog(db.log))
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	db.migrations.provider = provider
	for _, source := range provider.ListSources() {
		db.migrations.newest = max(db.migrations.newest, source.Version)
	}
	return nil
}

func (db *DB) upToDate(s state) bool {
	return s.service == db.service && s.version >= db.migrations.newest
}

// check refuses a database that this program must not touch. One version ahead is
// accepted, because migrations are additive for one release: while the copies of a
// service are replaced, the old ones run on the new schema.
func (db *DB) check(ctx context.Context) (state, error) {
	s, err := db.state(ctx)
	if err != nil {
		return s, err
	}
	if s.service != "" && s.service != db.service {
		return s, fmt.Errorf("it belongs to the service %q, not to %q", s.service, db.service)
	}
	if s.version > db.migrations.newest+1 {
		return s, fmt.Errorf("it is at version %d, and this program knows only up to %d: use a newer intuno",
			s.version, db.migrations.newest)
	}
	return s, nil
}

// state reads without creating anything.
func (db *DB) state(ctx context.Context) (state, error) {
	var s state
	err := db.readIfExists(ctx, ownerTable, "SELECT service FROM "+ownerTable, &s.service)
	if err == nil {
		err = db.readIfExists(ctx, versionTable, "SELECT COALESCE(MAX(version_id), 0) FROM "+versionTable, &s.version)
	}
	if err != nil {
		return s, fmt.Errorf("read schema version: %w", err)
	}
	return s, nil
}

// readIfExists leaves dest alone when the table is missing or empty.
func (db *DB) readIfExists(ctx context.Context, table, query string, dest any) error {
	exists := "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1"
	if db.dialect.postgres {
		exists = "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass($1)"
	}
	var found int
	if err := db.write.QueryRowContext(ctx, exists, table).Scan(&found); err != nil || found == 0 {
		return err
	}
	err := db.write.QueryRowContext(ctx, query).Scan(dest)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// migrate runs under the migration lock, so it looks again at what others did.
func (db *DB) migrate(ctx context.Context) error {
	s, err := db.check(ctx)
	if err != nil || db.upToDate(s) {
		return err
	}
	_, err = db.write.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+ownerTable+
		" (one BIGINT PRIMARY KEY CHECK (one = 1), service TEXT NOT NULL, created_us BIGINT NOT NULL)")
	if err != nil {
		return fmt.Errorf("mark database: %w", err)
	}
	_, err = db.write.ExecContext(ctx, "INSERT INTO "+ownerTable+
		" (one, service, created_us) VALUES (1, $1, $2) ON CONFLICT DO NOTHING", db.service, db.now().UnixMicro())
	if err != nil {
		return fmt.Errorf("mark database: %w", err)
	}
	if s.version >= db.migrations.newest {
		return nil
	}
	if _, err := db.migrations.provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w", s.version, db.migrations.newest, err)
	}
	return nil
}

// lockMigration lets one process migrate at a time.
func (db *DB) lockMigration(ctx context.Context) (unlock func() error, err error) {
	if db.dialect.postgres {
		return db.lockPostgres(ctx)
	}
	if db.unlock != nil { // a service holds its file anyway
		return func() error { return nil }, nil
	}
	for range sqliteLockTries {
		if unlock, err = lockFile(db.lockPath); err == nil {
			return unlock, nil
		}
		if stop := pause(ctx, lockRetry); stop != nil {
			return nil, errors.Join(err, stop)
		}
	}
	return nil, err
}

// lockPostgres tries again and again instead of waiting inside PostgreSQL, where the
// waiting statement's snapshot would block a CREATE INDEX CONCURRENTLY of the holder.
func (db *DB) lockPostgres(ctx context.Context) (unlock func() error, err error) {
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for {
		var locked bool
		err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", int64(migrateLock)).Scan(&locked)
		if err == nil && !locked {
			err = pause(ctx, lockRetry)
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if locked {
			break
		}
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrateLock))
		return errors.Join(err, conn.Close())
	}, nil
}

// Version returns the version that the database is at (0: none yet) and the newest
// one that this program knows.
func (db *DB) Version(ctx context.Context) (current, known int64, err error) {
	s, err := db.state(ctx)
	return s.version, db.migrations.newest, err
}

// CheckVersion refuses a database that is older than this program: for a command that
// opened it with NoMigrate and wants to use it.
func (db *DB) CheckVersion(ctx context.Context) error {
	current, known, err := db.Version(ctx)
	if err == nil && current < known {
		err = fmt.Errorf("the database is at version %d and this program needs %d: start the service once, it migrates", current, known)
	}
	return err
}
