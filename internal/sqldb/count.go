package sqldb

import (
	"context"
	"database/sql/driver"

	"github.com/jackc/pgx/v5"
)

// countingTracer calls Options.Count for every statement on PostgreSQL.
type countingTracer struct{ count func(string) }

func (t countingTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	t.count(q.SQL)
	return ctx
}

func (countingTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// countingConnector does the same on SQLite, whose driver has no hook.
type countingConnector struct {
	driver.Connector
	count func(string)
}

func (c countingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return countingConn{conn.(sqliteConn), c.count}, nil
}

// sqliteConn is what the SQLite driver's connection offers to database/sql. All of it
// must be passed on: a missing method silently selects a slower path.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type countingConn struct {
	sqliteConn
	count func(string)
}

func (c countingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.count(query)
	return c.sqliteConn.ExecContext(ctx, query, args)
}

func (c countingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.count(query)
	return c.sqliteConn.QueryContext(ctx, query, args)
}

func (c countingConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.count("begin")
	tx, err := c.sqliteConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return countingTx{tx, c.count}, nil
}

func (c countingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return countingStmt{stmt.(sqliteStmt), query, c.count}, nil
}

type countingTx struct {
	driver.Tx
	count func(string)
}

func (t countingTx) Commit() error   { t.count("commit"); return t.Tx.Commit() }
func (t countingTx) Rollback() error { t.count("rollback"); return t.Tx.Rollback() }

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type countingStmt struct {
	sqliteStmt
	query string
	count func(string)
}

func (s countingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.count(s.query)
	return s.sqliteStmt.ExecContext(ctx, args)
}

func (s countingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.count(s.query)
	return s.sqliteStmt.QueryContext(ctx, args)
}
