package sqldb

// Dialect answers where the two engines differ. A store asks it instead of
// comparing engine names. The zero value is SQLite.
type Dialect struct{ postgres bool }

// Shared reports whether several processes may use the database at once: true for
// PostgreSQL, false for SQLite.
func (d Dialect) Shared() bool { return d.postgres }

// SkipLocked is the suffix of a SELECT that claims rows for a worker: other workers'
// rows are passed over. SQLite has one writer at a time and needs none.
func (d Dialect) SkipLocked() string {
	if d.postgres {
		return "FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// String names the engine, for logs and reports.
func (d Dialect) String() string {
	if d.postgres {
		return "postgresql"
	}
	return "sqlite"
}
