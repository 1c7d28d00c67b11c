package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

// rowsPerStatement bounds the parameters of one insert, and the texts to be prepared.
// The SQLite driver looks every parameter up in the list of all.
const rowsPerStatement = 16

// insertRows runs "head VALUES row, row … tail" for many rows, in statements of as many
// rows as a power of two: few texts are to be prepared. Each ? of row stands for the next
// value. Rows are taken in their order.
func insertRows(ctx context.Context, tx query.DBTX, head, row, tail string, values [][]any) error {
	for size := rowsPerStatement; len(values) > 0; size /= 2 {
		for len(values) >= size {
			var args []any
			for _, v := range values[:size] {
				args = append(args, v...)
			}
			if _, err := tx.ExecContext(ctx, head+" VALUES "+numbered(row, size)+" "+tail, args...); err != nil {
				return err
			}
			values = values[size:]
		}
	}
	return nil
}

// numbered repeats row, each ? a parameter of its own.
func numbered(row string, rows int) string {
	var b strings.Builder
	b.Grow(rows * (len(row) + 4*strings.Count(row, "?") + 2))
	n := 0
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		for rest := row; rest != ""; {
			before, after, found := strings.Cut(rest, "?")
			b.WriteString(before)
			if found {
				n++
				b.WriteString("$" + strconv.Itoa(n))
			}
			rest = after
		}
	}
	return b.String()
}

// nullable is null for what is empty.
func nullable[T ~string](v T) any {
	if v == "" {
		return nil
	}
	return string(v)
}

// rowsPerTable bounds the rows of one withRows on PostgreSQL, where a statement costs a
// way to the server and back.
const rowsPerTable = 128

// withRows runs text for many rows of values, of which it sees some at a time as the table
// v: columns are the names and types of that, "id TEXT, n BIGINT". There are as many rows
// as a power of two, so that few texts are to be prepared: those that are missing are null,
// which text must leave alone. Rows are taken in their order. each may be nil.
func withRows(ctx context.Context, tx query.DBTX, d sqldb.Dialect, columns, text string, values [][]any, each func(*sql.Rows) error) error {
	most := rowsPerStatement
	if d.Shared() {
		most = rowsPerTable
	}
	var names, casts []string
	for _, column := range strings.Split(columns, ", ") {
		name, typ, _ := strings.Cut(column, " ")
		names, casts = append(names, name), append(casts, "CAST(? AS "+typ+")")
	}
	row := "(" + strings.Join(casts, ", ") + ")"
	for len(values) > 0 {
		n, size := min(len(values), most), 1
		for size < n {
			size *= 2
		}
		args := make([]any, 0, size*len(names))
		for _, v := range values[:n] {
			args = append(args, v...)
		}
		args = args[:size*len(names)]
		values = values[n:]
		table := "v (" + strings.Join(names, ", ") + ") AS (VALUES " + numbered(row, size) + ")"
		if d.Shared() { // see steadyPlans: this it takes for one row, which is looked up
			table = "v AS (SELECT * FROM (VALUES " + numbered(row, size) + ") AS x (" + strings.Join(names, ", ") + ") WHERE CAST(x." + names[0] + " AS TEXT) || '' = COALESCE(CAST(x." + names[0] + " AS TEXT), ''))"
		}
		if err := run(ctx, tx, "WITH "+table+" "+text, args, each); err != nil {
			return err
		}
	}
	return nil
}

// run executes a statement, and calls each for every row that it returns.
func run(ctx context.Context, tx query.DBTX, text string, args []any, each func(*sql.Rows) error) error {
	if each == nil {
		_, err := tx.ExecContext(ctx, text, args...)
		return err
	}
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
