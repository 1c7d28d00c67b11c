// Package store keeps wisdom's data in SQLite or PostgreSQL, with one SQL text for
// both. A method is one business fact in one transaction; it implements the Store
// interface of the capability whose file it is in.
//
// Not here: decisions. What may be done, and by whom, is settled before a method is
// called; the one exception is what must be decided in the same transaction that
// writes (a limit, a compare-and-set).
package store

import (
	"embed"
	"io/fs"

	"github.com/IntunoAI/intuno-go/internal/recent"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the schema's steps, for sqldb.Options.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return migrations // never: Sub fails on an ill-formed path only
	}
	return files
}

// Store is wisdom's data. It is safe for concurrent use.
type Store struct {
	db    *sqldb.DB
	read  *query.Queries // reads
	write *query.Queries // single statements that write

	invocations   *sqldb.Batch[*writing]
	networkWrites *sqldb.Batch[*networkWrite]
	loads         *sqldb.Batch[*loading]
	limits        *recent.Cache[broker.Limits]
}

// New returns the store of an open database, which stays the caller's to close.
func New(db *sqldb.DB) *Store {
	s := &Store{db: db, read: query.New(db.Prepared()), write: query.New(db.Write()), limits: recent.New[broker.Limits](db.Now(), limitsKept)}
	s.invocations = sqldb.NewBatch(writesPerBatch, writesWaiting, batchesAbreast, s.writeInvocations)
	s.networkWrites = sqldb.NewBatch(networkWritesPerBatch, networkWritesWaiting, networkBatchesAbreast, s.writeNetworks)
	s.loads = sqldb.NewBatch(loadsPerBatch, loadsPerBatch, loadsAbreast, s.loadTogether)
	return s
}
