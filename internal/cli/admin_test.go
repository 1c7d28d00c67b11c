package cli

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

// openWisdom migrates a database, as a service would, and keeps it open.
func openWisdom(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: store.Migrations(), Service: "wisdom", Exclusive: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestUsersAreManagedWhileTheServiceHoldsTheDatabase(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		openWisdom(t, url)
		run := func(stdin string, args ...string) (int, string, string) {
			t.Helper()
			return intuno(t, nil, stdin, append(append([]string{"admin", "users"}, args...), "--database", url)...)
		}
		code, out, errOut := run("", "create", "--email", "Ada@Example.org", "--first-name", "Ada")
		if code != exitOK || !strings.Contains(out, "Ada@example.org") || !strings.Contains(out, "password: ") {
			t.Fatalf("create: exit %d, %q %q; want the user and a password", code, out, errOut)
		}
		if code, out, errOut = run("long enough\n", "create", "--email", "bob@example.org", "--plan", "pro", "--password-stdin"); code != exitOK || strings.Contains(out, "long enough") {
			t.Fatalf("create: exit %d, %q %q; want 0 and no password", code, out, errOut)
		}
		for _, tc := range []struct{ stdin, args, want string }{
			{"", "create --email ADA@example.org", "has an account already"},
			{"short\n", "create --email c@example.org --password-stdin", "password: at least 8 characters"},
			{"", "create --email c@example.org --password-stdin", "standard input"},
			{"", "create --email nobody", "email: not a valid e-mail address"},
			{"", "activate --email nobody@example.org", "User not found"},
			{"", "set-plan --id 00000000-0000-4000-8000-000000000000 --plan pro", "User not found"},
		} {
			if code, _, errOut := run(tc.stdin, strings.Fields(tc.args)...); code != exitError || !strings.Contains(errOut, tc.want) {
				t.Errorf("%s: exit %d, %q; want 1 with %q", tc.args, code, errOut, tc.want)
			}
		}
		var users []userLine
		read := func() {
			t.Helper()
			users = nil
			_, out, _ := run("", "list", "--json")
			for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
				var u userLine
				if err := d.Decode(&u); err != nil {
					t.Fatal(err)
				}
				users = append(users, u)
			}
			if len(users) != 2 {
				t.Fatalf("%d users, want 2", len(users))
			}
		}
		read()
		if users[0].Email != "Ada@example.org" || *users[0].FirstName != "Ada" || users[0].Plan != "free" || users[1].Plan != "pro" || !users[1].Active {
			t.Errorf("users = %+v, want Ada (free) and bob (pro)", users)
		}
		ada := string(users[0].ID)
		for _, args := range []string{"deactivate --email BOB@example.org", "set-plan --id " + strings.ToUpper(ada) + " --plan pro", "grant-admin --id " + ada} {
			if code, _, errOut := run("", strings.Fields(args)...); code != exitOK {
				t.Errorf("%s: exit %d, %s", args, code, errOut)
			}
		}
		if read(); users[0].Plan != "pro" || !users[0].Admin || users[1].Active {
			t.Errorf("users = %+v, want Ada pro and admin, bob inactive", users)
		}
		for _, args := range []string{"activate --email bob@example.org", "grant-admin --revoke --id " + ada} {
			if code, _, errOut := run("", strings.Fields(args)...); code != exitOK {
				t.Errorf("%s: exit %d, %s", args, code, errOut)
			}
		}
		if read(); users[0].Admin || !users[1].Active {
			t.Errorf("users = %+v, want no admin and bob active", users)
		}
		if _, table, _ := run("", "list"); !strings.Contains(table, "EMAIL") || !strings.Contains(table, ada) {
			t.Errorf("table = %q, want columns and Ada", table)
		}
	})
}

func TestTheDatabaseIsFoundAsTheServiceFindsIt(t *testing.T) {
	dir := t.TempDir()
	openWisdom(t, "sqlite:"+filepath.Join(dir, "wisdom.db"))
	other := testkit.SQLite(t)
	openWisdom(t, other)
	if code, _, errOut := intuno(t, []string{"DATABASE_URL=" + other}, "", "admin", "users", "create", "--email", "other@example.org"); code != exitOK {
		t.Fatal(errOut)
	}
	for _, tc := range []struct {
		name    string
		environ []string
		args    []string
		want    bool // other@example.org is there
	}{
		{"DATA_DIR", []string{"DATA_DIR=" + dir}, nil, false},
		{"--data over the environment", []string{"DATABASE_URL=" + other}, []string{"--data", dir}, false},
		{"DATABASE_URL over DATA_DIR", []string{"DATA_DIR=" + dir, "DATABASE_URL=" + other}, nil, true},
		{"--database over everything", []string{"DATA_DIR=" + dir}, []string{"--database", other, "--data", dir}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errOut := intuno(t, tc.environ, "", append([]string{"admin", "users", "list"}, tc.args...)...)
			if got := strings.Contains(out, "other@example.org"); code != exitOK || got != tc.want {
				t.Errorf("exit %d, found = %v (%s); want %v", code, got, errOut, tc.want)
			}
		})
	}
}

func TestACommandNeitherCreatesNorMigratesADatabase(t *testing.T) {
	dir := t.TempDir()
	code, _, errOut := intuno(t, []string{"DATA_DIR=" + dir}, "", "admin", "users", "list")
	if code != exitError || !strings.Contains(errOut, "start the service once") {
		t.Errorf("exit %d, %q; want 1 and what to do", code, errOut)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("files = %v, %v; want none", files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "wisdom.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := intuno(t, []string{"DATA_DIR=" + dir}, "", "admin", "users", "list"); code != exitError || !strings.Contains(errOut, "version 0") {
		t.Errorf("exit %d, %q; want 1 and the version", code, errOut)
	}
	_, _, errOut = intuno(t, nil, "", "admin", "users", "list", "--database", "postgres://user:hush-hush@127.0.0.1:1/x")
	if errOut == "" || strings.Contains(errOut, "hush") {
		t.Errorf("stderr = %q, want an error without the password", errOut)
	}
}
