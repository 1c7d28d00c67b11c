package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/IntunoAI/intuno-go/"

// tree is the shape of the repository: every package, and what of the repository it
// may import. A package that is not listed fails the test.
var tree = map[string][]string{
	"api":             {},
	"sdk/intuno":      {"api"},
	"web":             {},
	"bench":           {"bench/lab"},
	"bench/broker":    {"bench/lab", "internal/testkit"},
	"bench/delivery":  {"bench/lab", "internal/testkit"},
	"bench/discovery": {"internal/..."},
	"bench/lab":       {},
	"bench/index":     {"internal/..."},
	"e2e":             {"api", "internal/testkit"},
	"cmd/intuno":      {"internal/cli"},

	"internal/clock":     {},
	"internal/fault":     {},
	"internal/id":        {},
	"internal/secret":    {},
	"internal/identity":  {},
	"internal/arch":      {},
	"internal/principal": {"internal/id"},
	"internal/config":    {"internal/secret", "internal/egress"},
	"internal/sqldb":     {"internal/fault", "internal/clock"},
	"internal/httpx":     {"api", "internal/clock", "internal/fault", "internal/id", "internal/principal"},
	"internal/egress":    {"internal/fault"},
	"internal/embedding": {"internal/clock", "internal/secret"},
	"internal/probe":     {"internal/clock"},
	"internal/recent":    {"internal/clock"},
	"internal/search":    {},
	"internal/queue":     {"internal/clock"},
	"internal/underway":  {},
	"internal/svc":       {"api", "internal/config", "internal/id"},
	"internal/demo":      {"internal/clock"},
	"internal/testkit":   {"api", "internal/sqldb", "internal/clock", "internal/id"},
	"internal/cli":       {"internal/agents", "internal/clock", "internal/config", "internal/demo", "internal/fault", "internal/id", "internal/secret", "internal/sqldb", "internal/svc", "internal/wisdom", "internal/wisdom/auth", "internal/wisdom/store", "internal/agents/store"},

	"internal/wisdom":              {"api", "web", "internal/probe", "internal/clock", "internal/config", "internal/demo", "internal/egress", "internal/embedding", "internal/fault", "internal/httpx", "internal/id", "internal/principal", "internal/secret", "internal/sqldb", "internal/wisdom/..."},
	"internal/wisdom/audit":        rules(),
	"internal/wisdom/auth":         rules("internal/identity"),
	"internal/wisdom/registry":     rules("internal/wisdom/auth", "internal/embedding", "internal/recent", "internal/search"),
	"internal/wisdom/personal":     rules("internal/wisdom/auth", "internal/queue"),
	"internal/wisdom/a2a":          rules("internal/wisdom/registry"),
	"internal/wisdom/broker":       rules("internal/underway", "internal/wisdom/registry"),
	"internal/wisdom/conversation": rules(),
	"internal/wisdom/integration":  rules(),
	"internal/wisdom/network":      rules("internal/wisdom/registry", "internal/queue", "internal/recent", "internal/underway"),
	"internal/wisdom/platform":     rules("internal/recent"),
	"internal/wisdom/store":        {"internal/clock", "internal/fault", "internal/id", "internal/principal", "internal/recent", "internal/sqldb", "internal/wisdom/audit", "internal/wisdom/auth", "internal/wisdom/registry", "internal/wisdom/personal", "internal/wisdom/broker", "internal/wisdom/conversation", "internal/wisdom/integration", "internal/wisdom/network", "internal/wisdom/platform", "internal/wisdom/store/query"},
	"internal/wisdom/store/query":  {},
	"internal/wisdom/httpapi":      {"api", "internal/wisdom/a2a", "internal/clock", "internal/fault", "internal/httpx", "internal/id", "internal/identity", "internal/principal", "internal/secret", "internal/wisdom/audit", "internal/wisdom/auth", "internal/wisdom/registry", "internal/wisdom/personal", "internal/wisdom/broker", "internal/wisdom/conversation", "internal/wisdom/integration", "internal/wisdom/network", "internal/wisdom/platform"},
	"internal/wisdom/mcpapi":       {"api", "internal/fault", "internal/httpx", "internal/id", "internal/principal", "internal/secret", "internal/wisdom/broker", "internal/wisdom/conversation", "internal/wisdom/httpapi", "internal/wisdom/network", "internal/wisdom/registry"},
	"internal/wisdom/agentsclient": {"api", "internal/clock", "internal/fault", "internal/id", "internal/secret", "internal/wisdom/broker", "internal/wisdom/network", "internal/wisdom/personal"},

	"internal/agents":              {"api", "internal/probe", "internal/clock", "internal/config", "internal/fault", "internal/httpx", "internal/id", "internal/identity", "internal/secret", "internal/sqldb", "internal/agents/..."},
	"internal/agents/entity":       rules(),
	"internal/agents/memory":       rules("internal/agents/entity"),
	"internal/agents/chat":         rules("internal/agents/entity", "internal/agents/brain", "internal/agents/memory"),
	"internal/agents/brain":        rules("internal/agents/entity", "internal/agents/memory"),
	"internal/agents/registration": rules("internal/agents/entity", "internal/queue"),
	"internal/agents/wisdomclient": {"api", "sdk/intuno", "internal/fault", "internal/id", "internal/secret", "internal/agents/brain", "internal/agents/registration"},
	"internal/agents/export":       rules("internal/agents/entity", "internal/agents/memory", "internal/agents/chat"),
	"internal/agents/store":        {"internal/agents/export", "internal/agents/registration", "internal/clock", "internal/fault", "internal/id", "internal/sqldb", "internal/agents/entity", "internal/agents/memory", "internal/agents/chat", "internal/agents/store/query"},
	"internal/agents/store/query":  {},
	"internal/agents/httpapi":      {"internal/agents/export", "api", "internal/clock", "internal/fault", "internal/httpx", "internal/id", "internal/identity", "internal/principal", "internal/secret", "internal/agents/entity", "internal/agents/memory", "internal/agents/chat", "internal/agents/brain"},
}

// rules is what a package of rules may import: vocabulary, and what is named.
func rules(more ...string) []string {
	return append([]string{"internal/clock", "internal/fault", "internal/id", "internal/principal", "internal/secret"}, more...)
}

// rulesPackages decide; they do not know how they are reached or where things are kept.
var rulesPackages = []string{"internal/wisdom/audit", "internal/wisdom/auth", "internal/wisdom/registry", "internal/wisdom/personal", "internal/wisdom/a2a",
	"internal/wisdom/broker", "internal/wisdom/conversation", "internal/wisdom/integration", "internal/wisdom/network", "internal/wisdom/platform",
	"internal/agents/entity", "internal/agents/memory", "internal/agents/chat", "internal/agents/brain", "internal/agents/registration", "internal/agents/export"}

var forbiddenToRules = []string{"net/http", "database/sql", "os", module + "internal/httpx", module + "internal/sqldb", module + "api"}

// todo is spelled so that this file does not contain it.
const todo = "TO" + "DO"

// homes are the names that may be used in one place only, with that place.
var homes = map[string][]string{
	"time.Now":              {"internal/clock"},
	"time.Since":            {"internal/clock"},
	"os.Getenv":             {"internal/cli"},
	"os.Environ":            {"cmd/intuno", "internal/cli"},
	"context.Background":    {"cmd/intuno", "internal/cli"},
	"context." + todo:       {},
	"http.DefaultClient":    {},
	"http.Get":              {},
	"http.Post":             {},
	"http.DefaultTransport": {},

	// Who opens connections: egress to where others say, the rest to where the operator says.
	"http.Transport":  {"sdk/intuno", "internal/egress", "internal/embedding", "internal/cli", "internal/agents/wisdomclient"},
	"http.Client":     {"internal/embedding", "internal/cli"},
	"net.Dialer":      {"internal/egress", "internal/embedding", "internal/wisdom/agentsclient"},
	"net.Dial":        {},
	"net.DialTimeout": {},
	"tls.Dial":        {},

	"slog.Default": {},
	"slog.Info":    {},
	"slog.Error":   {},
	"fmt.Print":    {},
	"fmt.Println":  {},
	"fmt.Printf":   {},
	"log.Print":    {},
	"log.Printf":   {},
	"log.Fatal":    {},
}

// exceptions are the places that break a rule, each with its reason.
var exceptions = map[string]string{
	"panic internal/httpx/respond.go": "http.ErrAbortHandler is how net/http cuts an answer that must not look complete",
	"panic internal/httpx/server.go":  "the same, after a panic in the middle of an answer",
}

const (
	maxFileLines = 600
	maxFuncLines = 80
)

type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
	Deps       []string
}

func (p pkg) folder() string { return strings.TrimPrefix(p.ImportPath, module) }

var packages = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles,Deps", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var list []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		if len(p.GoFiles) > 0 {
			list = append(list, p)
		}
	}
})

func load(t *testing.T) []pkg {
	t.Helper()
	list, err := packages()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return list
}

func TestEveryPackageImportsOnlyWhatTheTreeAllows(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range load(t) {
		allowed, ok := tree[p.folder()]
		if !ok {
			t.Errorf("%s is not in the tree: add it with what it may import", p.folder())
			continue
		}
		seen[p.folder()] = true
		for _, imported := range p.Imports {
			if folder, ours := strings.CutPrefix(imported, module); ours && !slices.ContainsFunc(allowed, func(a string) bool {
				prefix, open := strings.CutSuffix(a, "/...")
				return a == folder || open && strings.HasPrefix(folder, prefix)
			}) {
				t.Errorf("%s imports %s, which the tree does not allow", p.folder(), folder)
			}
		}
	}
	for folder := range tree {
		if !seen[folder] && !onlyTests(t, folder) {
			t.Errorf("%s is in the tree but not in the repository", folder)
		}
	}
}

func onlyTests(t *testing.T, folder string) bool {
	t.Helper()
	files, _ := filepath.Glob("../../" + folder + "/*_test.go")
	return len(files) > 0
}

func TestTheTwoServicesNeverImportEachOther(t *testing.T) {
	for _, p := range load(t) {
		for _, pair := range [][2]string{{"internal/wisdom", "internal/agents"}, {"internal/agents", "internal/wisdom"}} {
			if p.folder() != pair[0] && !strings.HasPrefix(p.folder(), pair[0]+"/") {
				continue
			}
			for _, dep := range p.Deps {
				if strings.HasPrefix(dep, module+pair[1]+"/") || dep == module+pair[1] {
					t.Errorf("%s depends on %s", p.folder(), dep)
				}
			}
		}
	}
}

// bench tells whether a folder is of benchmarks, which are programs of their own.
func bench(folder string) bool { return folder == "bench" || strings.HasPrefix(folder, "bench/") }

func TestRulesKnowNeitherTransportNorStorage(t *testing.T) {
	for _, p := range load(t) {
		if !slices.Contains(rulesPackages, p.folder()) {
			continue
		}
		for _, imported := range p.Imports {
			if slices.Contains(forbiddenToRules, imported) {
				t.Errorf("%s imports %s", p.folder(), imported)
			}
		}
	}
}

func TestOnlyTheStorageLayerTouchesDatabaseSQL(t *testing.T) {
	for _, p := range load(t) {
		home := p.folder() == "internal/sqldb" || strings.Contains(p.folder(), "/store") || bench(p.folder()) || p.folder() == "internal/testkit"
		for _, imported := range p.Imports {
			if !home && (imported == "database/sql" || strings.HasPrefix(imported, "modernc.org/sqlite") || strings.HasPrefix(imported, "github.com/jackc/pgx")) {
				t.Errorf("%s imports %s", p.folder(), imported)
			}
		}
	}
}

func TestTheBinaryContainsNoTestCode(t *testing.T) {
	for _, p := range load(t) {
		if p.folder() != "cmd/intuno" {
			continue
		}
		for _, dep := range p.Deps {
			if dep == "testing" || strings.HasSuffix(dep, "/httptest") || strings.HasSuffix(dep, "internal/testkit") {
				t.Errorf("the binary contains %s", dep)
			}
		}
	}
}

// eachFile parses the non-test, non-generated Go files.
func eachFile(t *testing.T, visit func(folder, name string, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	for _, p := range load(t) {
		if strings.HasSuffix(p.folder(), "/query") {
			continue
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			visit(p.folder(), p.folder()+"/"+name, fset, file)
		}
	}
}

func TestNamesWithOneHomeAreUsedOnlyThere(t *testing.T) {
	eachFile(t, func(folder, name string, _ *token.FileSet, file *ast.File) {
		if folder == "internal/testkit" || bench(folder) {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok {
					used := x.Name + "." + n.Sel.Name
					if home, listed := homes[used]; listed && !slices.Contains(home, folder) && exceptions[used+" "+name] == "" {
						t.Errorf("%s uses %s, whose home is %v", name, used, home)
					}
				}
			case *ast.CallExpr:
				if fun, ok := n.Fun.(*ast.Ident); ok && fun.Name == "panic" && exceptions["panic "+name] == "" {
					t.Errorf("%s panics", name)
				}
			}
			return true
		})
	})
}

// credentialHeaders may be named in package identity only, and where a request to
// another service is built.
var credentialHeaders = []string{"authorization", "x-api-key", "x-service-key", "x-on-behalf-of", "x-user-id"}

func TestCredentialHeadersAreReadInOnePlace(t *testing.T) {
	readers := []string{"internal/identity"}
	eachFile(t, func(folder, name string, _ *token.FileSet, file *ast.File) {
		if slices.Contains(readers, folder) || bench(folder) {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Get" && sel.Sel.Name != "Values" {
				return true
			}
			if lit, ok := call.Args[0].(*ast.BasicLit); ok {
				if text, err := strconv.Unquote(lit.Value); err == nil && slices.Contains(credentialHeaders, strings.ToLower(text)) {
					t.Errorf("%s reads the credential header %s", name, text)
				}
			}
			return true
		})
	})
}

func TestNoInitAndNoMutablePackageVariables(t *testing.T) {
	eachFile(t, func(_, name string, _ *token.FileSet, file *ast.File) {
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function", name)
			}
		}
	})
}

func TestEveryPackageHasOneDocComment(t *testing.T) {
	docs := map[string]int{}
	eachFile(t, func(folder, _ string, _ *token.FileSet, file *ast.File) {
		docs[folder] += 0
		if file.Doc != nil {
			docs[folder]++
		}
	})
	for folder, n := range docs {
		if n != 1 {
			t.Errorf("%s has %d package comments, want 1", folder, n)
		}
	}
}

func TestExportedThingsAreDocumented(t *testing.T) {
	eachFile(t, func(_, name string, fset *token.FileSet, file *ast.File) {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && !hidden(d) {
					t.Errorf("%s:%d: %s has no doc comment", name, fset.Position(d.Pos()).Line, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil && ts.Comment == nil {
						t.Errorf("%s:%d: %s has no doc comment", name, fset.Position(ts.Pos()).Line, ts.Name.Name)
					}
				}
			}
		}
	})
}

// hidden reports whether d is a method of a type that is not exported.
func hidden(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return false
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	name, ok := t.(*ast.Ident)
	return ok && !name.IsExported()
}

func TestFilesAndFunctionsStaySmall(t *testing.T) {
	eachFile(t, func(_, name string, fset *token.FileSet, file *ast.File) {
		if lines := fset.Position(file.End()).Line; lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", name, lines, maxFileLines)
		}
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				if lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; lines > maxFuncLines {
					t.Errorf("%s: %s has %d lines, more than %d", name, fn.Name.Name, lines, maxFuncLines)
				}
			}
		}
	})
}

// TestFaultCodesAreInTheContract: a code that a rule answers is one of package api.
func TestFaultCodesAreInTheContract(t *testing.T) {
	source, err := os.ReadFile("../../api/api.go")
	if err != nil {
		t.Fatal(err)
	}
	eachFile(t, func(_, name string, fset *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "New" {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "fault" {
				return true
			}
			if lit, ok := call.Args[1].(*ast.BasicLit); ok && !bytes.Contains(source, []byte("= "+lit.Value+"\n")) {
				t.Errorf("%s:%d: code %s is not in package api", name, fset.Position(call.Pos()).Line, lit.Value)
			}
			return true
		})
	})
}

func TestNoFileIsUnfinished(t *testing.T) {
	marks := []string{todo, "FIX" + "ME", "t." + "Skip"}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == "data" || d.Name() == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".sql") && !strings.HasSuffix(path, ".sh") {
			return nil
		}
		content, err := os.ReadFile(path)
		for _, mark := range marks {
			if bytes.Contains(content, []byte(mark)) {
				t.Errorf("%s contains %s", path, mark)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
