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

// ForUpdate is the suffix of a SELECT whose rows nobody else may change or delete until
// the transaction ends. SQLite has one writer at a time and needs none.
func (d Dialect) ForUpdate() string {
	if d.postgres {
		return "FOR UPDATE"
	}
	return ""
}

// ForNoKeyUpdate is ForUpdate that lets others write rows which refer to these.
func (d Dialect) ForNoKeyUpdate() string {
	if d.postgres {
		return "FOR NO KEY UPDATE"
	}
	return ""
}

// ForKeyShare is the suffix of a SELECT whose rows nobody may delete until the
// transaction ends: rows that refer to them can be written. Others may do the same at the
// same time, and change them.
func (d Dialect) ForKeyShare() string {
	if d.postgres {
		return "FOR KEY SHARE"
	}
	return ""
}

// Stamp is the SQL expression for a column stamp of a table that readers follow: its
// value grows from one change to the next.
//
// On PostgreSQL it is the transaction's own number, because transactions do not commit
// in the order in which a sequence hands out numbers. On SQLite, where one transaction
// writes at a time, it counts.
func (d Dialect) Stamp(table string) string {
	if d.postgres {
		return "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"
	}
	return "(SELECT COALESCE(MAX(stamp), 0) + 1 FROM " + table + ")"
}

// Horizon is the query for two numbers, low and high, to be asked before the rows of
// that table are read. Whatever is not visible yet will have a stamp of at least low:
// the next reading starts there. Whatever is visible has a stamp below high, unless it
// was restored from another server; those stamps mean nothing and are left out.
func (d Dialect) Horizon(table string) string {
	if d.postgres {
		return "SELECT CAST(CAST(pg_snapshot_xmin(s) AS TEXT) AS BIGINT), CAST(CAST(pg_snapshot_xmax(s) AS TEXT) AS BIGINT) FROM (SELECT pg_current_snapshot() AS s) AS now"
	}
	return "SELECT COALESCE(MAX(stamp), 0) + 1, COALESCE(MAX(stamp), 0) + 1 FROM " + table
}

// Contains is the condition that text stands somewhere in a column, literally. LIKE would
// take time that grows with the product of both lengths, and SQLite bounds its patterns.
func (d Dialect) Contains(column, text string) string {
	if d.postgres {
		return "strpos(" + column + ", " + text + ") > 0"
	}
	return "instr(" + column + ", " + text + ") > 0"
}

// String names the engine, for logs and reports.
func (d Dialect) String() string {
	if d.postgres {
		return "postgresql"
	}
	return "sqlite"
}
