package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

const (
	sqliteScheme  = "sqlite:"
	sqliteReaders = 4
)

// The writer commits durably (synchronous=FULL: a committed row survives a power
// cut) and takes the write lock when a transaction begins, so that it never has to
// be upgraded half-way. Batches of rows with random ids touch many pages: 16 MiB of them
// are kept in memory, and the log is folded into the file after as many have been
// written, not after 4 MiB, so that a page which many commits change is written once.
// The readers can not write.
const (
	sqliteWriter = "?_busy_timeout=10000&_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_txlock=immediate&_pragma=wal_autocheckpoint(4000)&_pragma=cache_size(-16384)"
	sqliteReader = "?mode=ro&_busy_timeout=10000&_foreign_keys=on&_query_only=on"
)

func openSQLite(ctx context.Context, o Options) (_ *DB, err error) {
	path, err := sqlitePath(o.URL)
	if err != nil {
		return nil, err
	}
	if err := ensureFile(path, !o.NoMigrate); err != nil {
		return nil, err
	}
	db := &DB{lockPath: path + ".lock"}
	if o.Exclusive {
		if db.unlock, err = lockFile(db.lockPath); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil && db.unlock != nil {
			err = errors.Join(err, db.unlock())
		}
	}()
	uri := fileURI(path)
	if db.write, err = sqlitePool(uri+sqliteWriter, 1, o.Count); err != nil {
		return nil, err
	}
	// The first connection creates the log's files, which a reader may not.
	if err := db.write.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.write.Close())
	}
	if db.read, err = sqlitePool(uri+sqliteReader, sqliteReaders, o.Count); err != nil {
		return nil, errors.Join(err, db.write.Close())
	}
	return db, nil
}

// sqlitePath is the absolute path in "sqlite:PATH" or "sqlite:///PATH".
func sqlitePath(raw string) (string, error) {
	path := strings.TrimPrefix(raw, sqliteScheme)
	if after, ok := strings.CutPrefix(path, "//"); ok {
		if !strings.HasPrefix(after, "/") {
			return "", errors.New("want sqlite:PATH or sqlite:///ABSOLUTE/PATH")
		}
		path = after
	}
	switch {
	case path == "":
		return "", errors.New("want sqlite:PATH, the path is missing")
	case strings.HasPrefix(path, ":memory:"):
		return "", errors.New("a database in memory is not supported: every connection would see its own")
	case strings.ContainsAny(path, "?\x00"):
		return "", errors.New("sqlite:PATH takes no parameters")
	}
	return filepath.Abs(path)
}

func fileURI(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// ensureFile makes a missing file readable by its owner only; SQLite gives the files
// next to it the same mode. The modes of what is there already are left alone.
func ensureFile(path string, create bool) error {
	if !create {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a directory", path)
		}
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

func sqlitePool(dsn string, conns int, count func(string)) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	if count != nil {
		connector = countingConnector{connector, count}
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool, nil
}

func errInUse(path string) error {
	return fmt.Errorf("the database %s is in use by another intuno process", strings.TrimSuffix(path, ".lock"))
}
