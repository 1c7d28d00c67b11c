// Package sqldb opens the two databases that a service can store in, SQLite and
// PostgreSQL, behind one *sql.DB: it parses the URL, migrates forward, runs write
// transactions with the retries that they need, and turns driver errors into faults.
//
// One SQL text runs on both engines; the little that differs is a Dialect. The
// package holds no query of any capability (those live in the stores), no
// migration file (each service embeds its own), and no cache.
package sqldb
