// Package store keeps what wisdom-agents must not lose, in SQLite or PostgreSQL: it
// implements the stores of entity, memory, chat, registration and export. Each method is one fact
// in one transaction. It decides nothing that a rule decides: where a decision needs
// what is in the database, the rule comes along as a pure function.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/export"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/agents/registration"
	"github.com/IntunoAI/intuno-go/internal/agents/store/query"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations are the steps from an empty database to what this package expects.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return migrations // never: Sub fails on an ill-formed path only
	}
	return files
}

// Service names the service whose database this is (sqldb.Options.Service).
const Service = "agents"

// Store is safe for concurrent use.
type Store struct {
	db   *sqldb.DB
	read *query.Queries
}

var (
	_ entity.Store = (*Store)(nil)
	_ memory.Store = (*Store)(nil)
	_ chat.Store   = (*Store)(nil)
	_ export.Store = (*Store)(nil)

	_ registration.Store = (*Store)(nil)
)

// New returns the store of an open, migrated database.
func New(db *sqldb.DB) *Store { return &Store{db: db, read: query.New(db.Prepared())} }

// tx runs fn in one write transaction. fn may run twice.
func (s *Store) tx(ctx context.Context, doing string, fn func(q *query.Queries) error) error {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error { return fn(query.New(tx)) })
	return wrap(doing, err)
}

// rowTx runs fn in one write transaction that does not compete with those of tx. It is
// for facts that hang on one row, which the first statement of fn updates: whoever looks
// at that row in tx and would write it too is run again. At SERIALIZABLE, PostgreSQL
// would refuse many of them for touching the same pages of an index as others.
func (s *Store) rowTx(ctx context.Context, doing string, fn func(q *query.Queries) error) error {
	tx, err := s.db.Write().BeginTx(ctx, nil)
	if err != nil {
		return wrap(doing, err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit this does nothing
	if err = fn(query.New(tx)); err == nil {
		err = tx.Commit()
	}
	return wrap(doing, err)
}

// wrap keeps faults as they are and says of every other error what was done.
func wrap(doing string, err error) error {
	if err == nil || fault.As(err) != nil {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// found types the absence of a row.
func found(what string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.Missing(what)
	}
	return wrap("read "+what, err)
}

func micros(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	us := clock.Micros(*t)
	return &us
}

func ptr[T any](v T) *T { return &v }
