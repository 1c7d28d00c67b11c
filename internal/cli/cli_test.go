package cli

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
)

// TestMain lets a test start this binary as another process: as intuno, or as one
// that only wants the secrets of a directory.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("CLI_TEST_MAIN") != "":
		os.Exit(Main(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
	case os.Getenv("CLI_TEST_SECRETS") != "":
		os.Exit(printSecrets(os.Getenv("CLI_TEST_SECRETS")))
	}
	os.Exit(m.Run())
}

// intuno runs a command line with exactly this environment.
func intuno(t *testing.T, environ []string, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(args, environ, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, c := range commands() {
		t.Run(c.path, func(t *testing.T) {
			words := strings.Fields(c.path)
			code, out, errOut := intuno(t, nil, "", append(words, "--help")...)
			if code != exitOK || errOut != "" {
				t.Fatalf("--help: exit %d, stderr %q; want 0 and nothing", code, errOut)
			}
			for _, want := range []string{"Usage: intuno " + c.path, "\nExample:\n", strings.TrimSpace(c.about)} {
				if !strings.Contains(out, want) {
					t.Errorf("help lacks %q:\n%s", want, out)
				}
			}
			if _, example, _ := strings.Cut(out, "\nExample:\n"); !strings.Contains(example, "intuno "+c.path) {
				t.Errorf("the example does not use the command:\n%s", example)
			}
			flags := flag.NewFlagSet(c.path, flag.ContinueOnError)
			c.setup(flags)
			flags.VisitAll(func(f *flag.Flag) {
				if !strings.Contains(out, "\n  --"+f.Name+" ") {
					t.Errorf("help does not show --%s:\n%s", f.Name, out)
				}
			})
			if len(c.about) < 40 || len(c.summary) < 10 {
				t.Errorf("%q and %q do not explain the command", c.summary, c.about)
			}
			for line := range strings.Lines(out) {
				if len(line) > 140 {
					t.Errorf("line of %d characters: %s", len(line), line)
				}
			}
			if _, again, _ := intuno(t, nil, "", append([]string{"help"}, words...)...); again != out {
				t.Errorf("'intuno help %s' differs from --help:\n%s", c.path, again)
			}
			if _, list, _ := intuno(t, nil, "", "help"); !strings.Contains(list, c.path) || !strings.Contains(list, c.summary) {
				t.Errorf("the list of commands lacks %s:\n%s", c.path, list)
			}
		})
	}
}

func TestWhatIsNotUnderstoodIsExit2WithAHint(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"", "intuno help COMMAND"},
		{"serv", "did you mean 'intuno serve'?"},
		{"frobnicate", "run 'intuno help' for the list"},
		{"admin", "intuno admin --help"},
		{"admin users", "intuno admin users --help"},
		{"admin user", "did you mean 'intuno admin users'?"},
		{"admin users lst", "did you mean 'intuno admin users list'?"},
		{"admin users --frob", "intuno admin users --help"},
		{"help serv", "did you mean 'intuno serve'?"},
		{"serve --prot 1", "unknown flag --prot"},
		{"serve --prot 1", "run 'intuno serve --help'"},
		{"serve now", `unexpected argument "now"`},
		{"--frob serve", "flags come after the command"},
		{"doctor --service everything", "--service must be all, wisdom or agents"},
		{"admin users activate", "--email or by --id"},
		{"admin users activate --id x --email y", "--email or by --id"},
		{"admin users activate --id 00112233445566778899aabbccddeeff", "must be a UUID"},
		{"admin users create", "--email is required"},
		{"admin users create --email a@example.org --plan gold", "free or pro"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			code, _, errOut := intuno(t, []string{"DATA_DIR=" + t.TempDir()}, "", strings.Fields(tc.args)...)
			if code != exitUsage || !strings.Contains(errOut, tc.want) {
				t.Errorf("exit %d, %q; want %d with %q", code, errOut, exitUsage, tc.want)
			}
		})
	}
}

func TestHelpIsNotAnError(t *testing.T) {
	for _, args := range []string{"help", "--help", "-h", "admin --help", "admin users -h", "help admin", "serve -h", "--version", "version"} {
		if code, out, errOut := intuno(t, nil, "", strings.Fields(args)...); code != exitOK || out == "" || errOut != "" {
			t.Errorf("%s: exit %d, stdout %d bytes, stderr %q; want 0 and only stdout", args, code, len(out), errOut)
		}
	}
}

func TestAStartWithFaultsTellsAllOfThemAndNoValue(t *testing.T) {
	const short = "too-short-to-be-a-key"
	for _, tc := range []struct {
		args    string
		environ []string
		want    []string
	}{
		{"wisdom", []string{"JWT_SECRET_KEY=" + short, "PERSONAL_FREE_TIER_ENTITY_CAP=-1", "TRUSTED_PROXIES=everyone", "WISDOM_ADDR=127.0.0.1:0", "OPS_ADDR=:0"},
			[]string{"JWT_SECRET_KEY", "PERSONAL_FREE_TIER_ENTITY_CAP", "TRUSTED_PROXIES", "OPS_ADDR"}},
		{"agents --addr 0.0.0.0:0", []string{"AGENTS_SERVICE_API_KEY=" + short, "LLM_BASE_URL=http://127.0.0.1:1", "OPS_ADDR=127.0.0.1:0"},
			[]string{"AGENTS_ADDR", "AGENTS_API_KEY", "AGENTS_SERVICE_API_KEY", "LLM_MODEL"}},
		{"serve --addr :0 --agents-addr 192.0.2.1:0 --ops-addr 0.0.0.0:0", []string{"LOG_LEVEL=loud"},
			[]string{"WISDOM_ADDR", "AGENTS_ADDR", "OPS_ADDR", "LOG_LEVEL"}},
		{"serve --addr 127.0.0.1:0 --agents-addr 127.0.0.1:0 --ops-addr 127.0.0.1:0",
			[]string{"AGENTS_API_KEY=one-key-of-the-two", "INTUNO_AGENTS_API_KEY=" + short, "DATABASE_URL=sqlite:x.db", "AGENTS_DATABASE_URL=sqlite:./x.db", "INTUNO_AGENTS_CHAT_TIMEOUT_SECONDS=55"},
			[]string{"AGENTS_API_KEY", "AGENTS_DATABASE_URL", "TURN_TIMEOUT_SECONDS"}},
		{"serve --addr 127.0.0.1:0 --agents-addr 127.0.0.1:0 --ops-addr 127.0.0.1:0", []string{"ENVIRONMENT=production", "CORS_ALLOWED_ORIGINS=*"},
			[]string{"BASE_URL", "CORS_ALLOWED_ORIGINS"}},
	} {
		t.Run(tc.args, func(t *testing.T) {
			dir := t.TempDir()
			code, out, errOut := intuno(t, append(tc.environ, "DATA_DIR="+dir), "", strings.Fields(tc.args)...)
			if code != exitError || out != "" {
				t.Errorf("exit %d, stdout %q; want %d and nothing", code, out, exitError)
			}
			command := strings.Fields(tc.args)[0]
			if got := strings.Count(errOut, "\n"); got != len(tc.want) {
				t.Errorf("%d lines, want %d:\n%s", got, len(tc.want), errOut)
			}
			for _, name := range tc.want {
				if !strings.Contains(errOut, "intuno "+command+": "+name+": ") {
					t.Errorf("no line for %s:\n%s", name, errOut)
				}
			}
			if strings.Contains(errOut, short) {
				t.Errorf("a value was printed:\n%s", errOut)
			}
			if _, err := os.Stat(dir + "/wisdom.db"); err == nil {
				t.Error("a database was created in spite of the faults")
			}
		})
	}
}

func TestAnAddressInUseIsToldWithTheOtherFaults(t *testing.T) {
	listeners, faults := listen(t.Context(), nil, addressForTest("127.0.0.1:0"))
	if faults != nil {
		t.Fatal(faults)
	}
	defer func() { _ = closeAll(listeners) }()
	taken := listeners[0].Addr().String()
	_, _, errOut := intuno(t, []string{"LOG_LEVEL=loud", "OPS_ADDR=127.0.0.1:0"}, "", "wisdom", "--addr", taken)
	for _, want := range []string{"JWT_SECRET_KEY: is required", "LOG_LEVEL: ", "WISDOM_ADDR: cannot listen on " + taken + ": the address is in use"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in:\n%s", want, errOut)
		}
	}
}
