package sqldb

import (
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// SQLSTATE codes, https://www.postgresql.org/docs/15/errcodes-appendix.html
const (
	pgUniqueViolation      = "23505"
	pgForeignKeyViolation  = "23503"
	pgSerializationFailure = "40001"
	pgDeadlockDetected     = "40P01"
)

// Extended result codes, https://www.sqlite.org/rescode.html
const (
	sqliteConstraintForeignKey = 787
	sqliteConstraintPrimaryKey = 1555
	sqliteConstraintUnique     = 2067
	sqliteConstraintRowID      = 2579
)

// Translate makes a fault of what a driver reports about data: no row is NotFound, a
// unique violation is Conflict. The fault's text is generic, so a store types what it
// knows better. Every other error, nil and a fault come back as they are.
func Translate(err error) error {
	switch {
	case err == nil || fault.As(err) != nil:
		return err
	case errors.Is(err, sql.ErrNoRows):
		return fault.New(fault.NotFound, "not_found", "not found").Because(err)
	case uniqueViolation(err):
		return fault.New(fault.Conflict, "conflict", "already exists").Because(err)
	}
	return err
}

// Dangling tells whether a row was refused because what it refers to is not there.
func Dangling(err error) bool {
	var onSQLite *sqlite.Error
	if errors.As(err, &onSQLite) {
		return onSQLite.Code() == sqliteConstraintForeignKey
	}
	return sqlState(err) == pgForeignKeyViolation
}

func uniqueViolation(err error) bool {
	var onSQLite *sqlite.Error
	if errors.As(err, &onSQLite) {
		switch onSQLite.Code() {
		case sqliteConstraintUnique, sqliteConstraintPrimaryKey, sqliteConstraintRowID:
			return true
		}
	}
	return sqlState(err) == pgUniqueViolation
}

// sqlState is PostgreSQL's code in err's chain, or "".
func sqlState(err error) string {
	var onPostgres *pgconn.PgError
	if errors.As(err, &onPostgres) {
		return onPostgres.Code
	}
	return ""
}
