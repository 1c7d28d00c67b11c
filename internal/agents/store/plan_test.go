package store_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/agents/store"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

var (
	queryName = regexp.MustCompile(`(?m)^-- name: (\w+) `)
	queryText = regexp.MustCompile("(?s)= `-- name: (\\w+) :\\w+\n(.*?)`")
	parameter = regexp.MustCompile(`\$\d+`)
	found     = regexp.MustCompile(`^SCAN (kept|\(subquery-\d+\))$`) // what a sub-query found is no table
)

// Nothing that runs every second or on a request may read a whole table.
func TestEveryStatementUsesAnIndex(t *testing.T) {
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: testkit.SQLite(t), Migrations: store.Migrations(), Service: store.Service})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	written, explained := 0, 0
	for _, name := range []string{"entities", "turns", "deliveries", "registrations"} {
		source, err := os.ReadFile("queries/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		generated, err := os.ReadFile("query/" + name + ".sql.go")
		if err != nil {
			t.Fatal(err)
		}
		written += len(queryName.FindAll(source, -1))
		for _, query := range queryText.FindAllStringSubmatch(string(generated), -1) {
			explained++
			rows, err := db.Read().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+parameter.ReplaceAllString(query[2], "1"))
			if err != nil {
				t.Fatalf("%s: %v", query[1], err)
			}
			for rows.Next() {
				var a, b, c int
				var step string
				if err := rows.Scan(&a, &b, &c, &step); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(step, "SCAN ") && !found.MatchString(step) {
					t.Errorf("%s: %s", query[1], step)
				}
			}
			if err := rows.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if written == 0 || explained != written {
		t.Errorf("explained %d of %d statements", explained, written)
	}
}
