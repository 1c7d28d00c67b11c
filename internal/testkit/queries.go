package testkit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Queries reads the SQL texts in the Go files of folder, by the names that their
// "-- name: X" lines give them. A store's test prepares each on both engines: that
// finds what sqlc accepts and an engine does not.
func Queries(t testing.TB, folder string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.sql.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no generated queries in %s (%v)", folder, err)
	}
	queries := map[string]string{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			if head, ok := strings.CutPrefix(text, "-- name: "); ok {
				name, _, _ := strings.Cut(head, " ")
				queries[name] = text
			}
			return true
		})
	}
	return queries
}
