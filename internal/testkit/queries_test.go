package testkit_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

func TestQueriesReadsGeneratedTexts(t *testing.T) {
	folder := t.TempDir()
	for name, code := range map[string]string{
		"a.sql.go": "package query\nconst x = `-- name: X :one\nSELECT 1`\nconst other = \"-- no query\"\n",
		"b.sql.go": "package query\nconst y = `-- name: Y :exec\nDELETE FROM t`\n",
		"db.go":    "package query\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := testkit.Queries(t, folder)
	want := map[string]string{"X": "-- name: X :one\nSELECT 1", "Y": "-- name: Y :exec\nDELETE FROM t"}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
