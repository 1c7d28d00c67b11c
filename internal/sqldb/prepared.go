package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// maxPrepared bounds the texts that are kept prepared. Lists with optional filters
// have a few dozen shapes; a text beyond the bound is run unprepared.
const maxPrepared = 256

// Prepared is a pool with its statements kept prepared: SQLite spends most of
// a small query on parsing its text. On PostgreSQL the driver does this itself, so
// there it only passes on. It is safe for concurrent use.
type Prepared struct {
	pool *sql.DB
	keep bool

	mu    sync.RWMutex
	texts map[string]*sql.Stmt // nil once closed
}

// Prepared is Read for texts that come again: it has the methods that sqlc's
// generated code wants.
func (db *DB) Prepared() *Prepared { return db.prepared }

// ExecContext implements DBTX; it is not prepared.
func (p *Prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.pool.ExecContext(ctx, query, args...)
}

// PrepareContext implements DBTX; the statement is the caller's to close.
func (p *Prepared) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return p.pool.PrepareContext(ctx, query)
}

// QueryContext implements DBTX.
func (p *Prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := p.stmt(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return p.pool.QueryContext(ctx, query, args...)
}

// QueryRowContext implements DBTX.
func (p *Prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := p.stmt(ctx, query); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return p.pool.QueryRowContext(ctx, query, args...)
}

// stmt returns the prepared statement, or nil if the text is to be run as it is: the
// pool keeps none, the bound is reached, or preparing failed, which running will
// report.
func (p *Prepared) stmt(ctx context.Context, query string) *sql.Stmt {
	if !p.keep {
		return nil
	}
	p.mu.RLock()
	stmt, full := p.texts[query], p.texts == nil || len(p.texts) >= maxPrepared
	p.mu.RUnlock()
	if stmt != nil || full {
		return stmt
	}
	stmt, err := p.pool.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first := p.texts[query]; first != nil || p.texts == nil {
		_ = stmt.Close() // somebody else was faster, or the pool has closed
		return first
	}
	p.texts[query] = stmt
	return stmt
}

func (p *Prepared) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var faults []error
	for _, stmt := range p.texts {
		faults = append(faults, stmt.Close())
	}
	p.texts = nil
	return errors.Join(faults...)
}

// PreparedTx is a transaction of TxByStatement: it has the methods that sqlc's generated
// code wants. It is not for concurrent use.
type PreparedTx struct {
	tx     *sql.Tx
	texts  *Prepared
	wanted []string // run as they are, because preparing needs the writer's connection
}

// ExecContext implements DBTX.
func (p *PreparedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := p.stmt(ctx, query); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return p.tx.ExecContext(ctx, query, args...)
}

// PrepareContext implements DBTX; the statement ends with the transaction.
func (p *PreparedTx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return p.tx.PrepareContext(ctx, query)
}

// QueryContext implements DBTX.
func (p *PreparedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := p.stmt(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return p.tx.QueryContext(ctx, query, args...)
}

// QueryRowContext implements DBTX.
func (p *PreparedTx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := p.stmt(ctx, query); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return p.tx.QueryRowContext(ctx, query, args...)
}

func (p *PreparedTx) stmt(ctx context.Context, query string) *sql.Stmt {
	if !p.texts.keep {
		return nil
	}
	p.texts.mu.RLock()
	stmt := p.texts.texts[query]
	p.texts.mu.RUnlock()
	if stmt == nil {
		p.wanted = append(p.wanted, query)
		return nil
	}
	return p.tx.StmtContext(ctx, stmt)
}
