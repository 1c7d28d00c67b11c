package cli

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/svc"
)

func addressForTest(addr string) svc.Address { return svc.Address{Variable: "TEST_ADDR", Addr: addr} }

// printSecrets is the other process of the race.
func printSecrets(dir string) int {
	secrets, err := ensureSecrets(dir, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, name := range generated {
		fmt.Println(name, secrets[name])
	}
	return 0
}

func mustEnsure(t *testing.T, dir string, vars map[string]string) map[string]string {
	t.Helper()
	secrets, err := ensureSecrets(dir, vars)
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestSecretsAreMadeOnceForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	first := mustEnsure(t, dir, nil)
	seen := map[string]bool{}
	for _, name := range generated {
		if len(first[name]) != 43 || seen[first[name]] {
			t.Errorf("%s has %d characters, or is not unique; want 43 of its own", name, len(first[name]))
		}
		seen[first[name]] = true
	}
	if got := modeOf(t, dir); got != 0o700 {
		t.Errorf("mode of the directory = %o, want 700", got)
	}
	if got := modeOf(t, filepath.Join(dir, secretsFile)); got != 0o600 {
		t.Errorf("mode of the file = %o, want 600", got)
	}
	before, err := os.ReadFile(filepath.Join(dir, secretsFile))
	if err != nil {
		t.Fatal(err)
	}
	if second := mustEnsure(t, dir, nil); !maps.Equal(first, second) {
		t.Error("the second start has other secrets")
	}
	after, err := os.ReadFile(filepath.Join(dir, secretsFile))
	if err != nil || string(before) != string(after) {
		t.Errorf("the second start changed the file (%v)", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v %v", left, err)
	}
}

func TestProcessesThatRaceForANewDirectoryAgreeOnItsSecrets(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		dir := filepath.Join(t.TempDir(), "data")
		type result struct {
			out []byte
			err error
		}
		results := make(chan result)
		const racers = 5
		for range racers {
			go func() {
				cmd := exec.Command(self)
				cmd.Env = append(os.Environ(), "CLI_TEST_SECRETS="+dir)
				out, err := cmd.Output()
				results <- result{out, err}
			}()
		}
		var first string
		for i := range racers {
			r := <-results
			if r.err != nil {
				t.Fatal(r.err)
			}
			if i == 0 {
				first = string(r.out)
			}
			if string(r.out) != first || strings.Count(first, "\n") != len(generated) {
				t.Errorf("round %d: two processes have different secrets", round)
			}
		}
	}
}

func TestOnlyMissingSecretsAreMade(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, secretsFile)
	const own = "# mine\nJWT_SECRET_KEY=kept-as-it-is\nLLM_API_KEY = also \n\nAGENTS_API_KEY="
	if err := os.WriteFile(path, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets := mustEnsure(t, dir, map[string]string{"CREDENTIALS_ENCRYPTION_KEY": "from the environment"})
	if secrets["JWT_SECRET_KEY"] != "kept-as-it-is" || secrets["LLM_API_KEY"] != "also" {
		t.Error("what was in the file was not kept")
	}
	if _, made := secrets["CREDENTIALS_ENCRYPTION_KEY"]; made {
		t.Error("a secret was made that the environment has")
	}
	if len(secrets["AGENTS_API_KEY"]) != 43 || len(secrets["AGENTS_SERVICE_API_KEY"]) != 43 {
		t.Error("a missing or blank secret was not made")
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), own+"\n") {
		t.Errorf("the file does not begin with what it had (%v)", err)
	}
	if again := mustEnsure(t, dir, nil); again["AGENTS_API_KEY"] != secrets["AGENTS_API_KEY"] {
		t.Error("the next start reads another key")
	}
}

func TestTheEnvironmentWinsAndTheTwoNamesOfTheHostKeyAreOne(t *testing.T) {
	file := map[string]string{"JWT_SECRET_KEY": "file", "AGENTS_API_KEY": "file"}
	for _, tc := range []struct {
		name                string
		vars                map[string]string
		jwt, host, expected string
	}{
		{"nothing is set", nil, "file", "file", "file"},
		{"the signing key is set", map[string]string{"JWT_SECRET_KEY": "env"}, "env", "file", "file"},
		{"the host's name is set", map[string]string{"AGENTS_API_KEY": "env"}, "file", "env", "env"},
		{"wisdom's name is set", map[string]string{"INTUNO_AGENTS_API_KEY": "env"}, "file", "env", "env"},
		{"both are set, differently", map[string]string{"INTUNO_AGENTS_API_KEY": "a", "AGENTS_API_KEY": "b"}, "file", "a", "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := withSecrets(tc.vars, file)
			if got["JWT_SECRET_KEY"] != tc.jwt || got["INTUNO_AGENTS_API_KEY"] != tc.host || got["AGENTS_API_KEY"] != tc.expected {
				t.Errorf("got %v, want %s, %s, %s", got, tc.jwt, tc.host, tc.expected)
			}
		})
	}
}

func TestABadSecretsFileIsRefusedWithoutShowingIt(t *testing.T) {
	for name, text := range map[string]string{
		"a line without =":           "JWT_SECRET_KEY=x\nhush-hush\n",
		"a variable not of secrets":  "WISDOM_ADDR=hush-hush\n",
		"a name that may be a value": "hush-hush=1\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, secretsFile), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ensureSecrets(dir, nil)
			if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), secretsFile) {
				t.Errorf("error = %v, want one that names the file and shows nothing of it", err)
			}
		})
	}
}
