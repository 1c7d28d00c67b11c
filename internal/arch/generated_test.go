package arch_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGeneratedCodeFitsItsSources compares sqlc.sum, which tools/generate.sh writes,
// with the files as they are: so generated code that was edited by hand, or a query
// that was changed without generating, is found without running the generator.
func TestGeneratedCodeFitsItsSources(t *testing.T) {
	root := filepath.Join("..", "..")
	recorded, err := os.ReadFile(filepath.Join(root, "sqlc.sum"))
	if err != nil {
		t.Fatalf("%v: run make generate", err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(recorded)) {
		sum, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok {
			t.Fatalf("sqlc.sum: line %q is not a checksum and a file: run make generate", line)
		}
		want[file] = sum
	}
	files := []string{"sqlc.yaml"}
	for _, store := range []string{"internal/wisdom/store", "internal/agents/store"} {
		for _, pattern := range []string{"migrations/*.sql", "queries/*.sql", "query/*.go"} {
			found, err := filepath.Glob(filepath.Join(root, store, pattern))
			if err != nil {
				t.Fatal(err)
			}
			if len(found) == 0 {
				t.Errorf("%s/%s: no files: run make generate", store, pattern)
			}
			for _, path := range found {
				file, err := filepath.Rel(root, path)
				if err != nil {
					t.Fatal(err)
				}
				files = append(files, filepath.ToSlash(file))
			}
		}
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if got := hex.EncodeToString(sum[:]); got != want[file] {
			t.Errorf("%s: got checksum %.12s, want %.12s: run make generate", file, got, want[file])
		}
		delete(want, file)
	}
	for file := range want {
		t.Errorf("%s is in sqlc.sum and does not exist: run make generate", file)
	}
}
