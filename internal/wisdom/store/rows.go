package store

import (
	"context"
	"strconv"
	"strings"

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
