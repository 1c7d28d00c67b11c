package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

const (
	doctorJWT  = "5dQ0m2vXy8Rk1LrT7uWc3NfZ9aHsEo4Bp6Gi"
	doctorHost = "uK8sVb3nQx1Wm6Zt0CyLe4RjPf7Da9Hg2Toi"
	doctorPeer = "Zc9Lx4Mv7Nb2Qw5Er8Ty1Ui3Op6As0DfGhJk"
)

// standIn is a host that answers as wisdom-agents does, with the clock off by skew.
func standIn(t *testing.T, skew time.Duration) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
		user := r.Header.Values("X-User-Id")
		switch {
		case r.URL.Path == "/health":
		case r.URL.Path == "/redirecting/health" || r.URL.Path == "/redirecting/entities":
			http.Redirect(w, r, "/health", http.StatusFound)
		case r.URL.Path != "/entities" || r.Method != http.MethodGet:
			w.WriteHeader(http.StatusNotFound)
		case len(r.Header.Values("X-API-Key")) != 1 || r.Header.Get("X-API-Key") != doctorHost:
			w.WriteHeader(http.StatusUnauthorized)
		case len(user) != 1:
			w.WriteHeader(http.StatusBadRequest)
		default:
			if _, ok := id.Parse[id.User](user[0]); !ok {
				w.WriteHeader(http.StatusBadRequest)
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// report runs the doctor and returns its lines by what they say and of what.
func report(t *testing.T, environ []string, args ...string) (code int, lines map[string][]string, text string) {
	t.Helper()
	code, out, errOut := intuno(t, environ, "", append([]string{"doctor"}, args...)...)
	lines = map[string][]string{}
	row := regexp.MustCompile(`^(ok|warn|fail) +(\S.*?)  +(\S.*)$`)
	for line := range strings.Lines(out) {
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Errorf("line %q is not 'state what text'", line)
			continue
		}
		key := m[1] + " " + m[2]
		lines[key] = append(lines[key], m[3])
	}
	return code, lines, out + errOut
}

func TestTheDoctorOfWisdom(t *testing.T) {
	good, late, early := standIn(t, 0), standIn(t, time.Minute), standIn(t, -10*time.Second)
	stopped := httptest.NewServer(http.NotFoundHandler())
	stopped.Close()
	database := testkit.SQLite(t)
	openWisdom(t, database)
	empty := "sqlite:" + filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(strings.TrimPrefix(empty, "sqlite:"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	base := map[string]string{
		"JWT_SECRET_KEY": doctorJWT, "INTUNO_AGENTS_API_KEY": doctorHost, "AGENTS_SERVICE_API_KEY": doctorPeer,
		"INTUNO_AGENTS_BASE_URL": good, "DATABASE_URL": database, "DATA_DIR": filepath.Join(t.TempDir(), "none"),
	}
	for _, tc := range []struct {
		name string
		vars map[string]string
		want string // "state what: part of the text"
	}{
		{"all is well: configuration", nil, "ok configuration: no fault"},
		{"all is well: secrets", nil, "ok secrets: 3 set"},
		{"all is well: database", nil, "ok wisdom database: at version"},
		{"all is well: host", nil, "ok entity host: accepts the key"},
		{"all is well: clock", nil, "ok clock: entity host"},
		{"a fault of the configuration", map[string]string{"RATE_LIMIT_PER_MINUTE": "-1"}, "fail configuration: RATE_LIMIT_PER_MINUTE"},
		{"a well-known key", map[string]string{"JWT_SECRET_KEY": "0123456789abcdef0123456789abcdef"}, "fail secrets: JWT_SECRET_KEY is a well-known value"},
		{"a key of few characters", map[string]string{"JWT_SECRET_KEY": strings.Repeat("abcab", 8)}, "warn secrets: JWT_SECRET_KEY has few different characters"},
		{"one key twice", map[string]string{"AGENTS_SERVICE_API_KEY": doctorJWT}, "warn secrets: must differ from JWT_SECRET_KEY"},
		{"no service key", map[string]string{"AGENTS_SERVICE_API_KEY": ""}, "warn secrets: delegation is off"},
		{"no key to the host", map[string]string{"INTUNO_AGENTS_API_KEY": ""}, "warn entity host: no key"},
		{"a host that is not there", map[string]string{"INTUNO_AGENTS_BASE_URL": stopped.URL}, "fail entity host: is it running?"},
		{"a host that is something else", map[string]string{"INTUNO_AGENTS_BASE_URL": good + "/other"}, "fail entity host: answers 404"},
		{"a host that redirects", map[string]string{"INTUNO_AGENTS_BASE_URL": good + "/redirecting"}, "fail entity host: answers 302"},
		{"the wrong key", map[string]string{"INTUNO_AGENTS_API_KEY": doctorHost + "x"}, "fail entity host: refuses the key"},
		{"a host that is ahead", map[string]string{"INTUNO_AGENTS_BASE_URL": late}, "fail clock: the entity host is"},
		{"a host that is behind", map[string]string{"INTUNO_AGENTS_BASE_URL": early}, "fail clock: the entity host is"},
		{"no database yet", map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "no.db")}, "fail wisdom database: start the service once"},
		{"an old database", map[string]string{"DATABASE_URL": empty}, "fail wisdom database: version 0"},
		{"a database that is not there", map[string]string{"DATABASE_URL": "postgres://u:hush-hush@127.0.0.1:1/d"}, "fail wisdom database: 127.0.0.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var environ []string
			for name, value := range base {
				if other, ok := tc.vars[name]; ok {
					value = other
				}
				environ = append(environ, name+"="+value)
			}
			for name, value := range tc.vars {
				if _, ok := base[name]; !ok {
					environ = append(environ, name+"="+value)
				}
			}
			code, lines, text := report(t, environ)
			row, part, _ := strings.Cut(tc.want, ": ")
			if !strings.Contains(strings.Join(lines[row], "\n"), part) {
				t.Errorf("no %q in:\n%s", tc.want, text)
			}
			wantCode := exitOK
			if strings.HasPrefix(tc.want, "fail") {
				wantCode = exitError
			}
			if code != wantCode {
				t.Errorf("exit %d, want %d:\n%s", code, wantCode, text)
			}
			for _, secret := range []string{doctorJWT, doctorHost, doctorPeer, "hush"} {
				if strings.Contains(text, secret) {
					t.Errorf("a secret was printed:\n%s", text)
				}
			}
		})
	}
}

func TestTheDoctorComparesTheClockOfPostgreSQL(t *testing.T) {
	url := testkit.Postgres(t)
	openWisdom(t, url)
	environ := []string{"JWT_SECRET_KEY=" + doctorJWT, "INTUNO_AGENTS_BASE_URL=" + standIn(t, 0), "DATABASE_URL=" + url}
	code, lines, text := report(t, environ)
	if got := strings.Join(lines["ok clock"], "\n"); code != exitOK || !strings.Contains(got, "database of wisdom") || !strings.Contains(got, "entity host") {
		t.Errorf("exit %d:\n%s\nwant both clocks compared", code, text)
	}
}

func TestTheDoctorLooksAtTheModesOfADataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	mustEnsure(t, dir, nil)
	_, lines, text := report(t, nil, "--data", dir)
	if len(lines["warn file mode"]) != 0 || len(lines["ok data directory"]) != 1 {
		t.Errorf("a private directory is not ok:\n%s", text)
	}
	if got := lines["ok secrets"]; len(got) != 1 || !strings.HasPrefix(got[0], "5 set") {
		t.Errorf("generated secrets are not ok:\n%s", text)
	}
	if got := lines["fail entity host"]; len(got) != 1 || !strings.Contains(got[0], "intuno serve") {
		t.Errorf("a stopped serve has no hint:\n%s", text)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, secretsFile): 0o640} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	_, lines, text = report(t, []string{"DATA_DIR=" + dir})
	got := strings.Join(lines["warn file mode"], "\n")
	if len(lines["warn file mode"]) != 2 || !strings.Contains(got, "has mode 0640") || !strings.Contains(got, "chmod 0600") || !strings.Contains(got, "chmod 0700") {
		t.Errorf("loose modes are not told:\n%s", text)
	}
	if _, lines, text := report(t, nil, "--data", filepath.Join(dir, "none")); len(lines["fail data directory"]) != 1 {
		t.Errorf("a missing directory is not told:\n%s", text)
	}
	if err := os.WriteFile(filepath.Join(dir, secretsFile), []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, lines, text := report(t, nil, "--data", dir); len(lines["fail secrets"]) != 1 || strings.Contains(text, "hush") {
		t.Errorf("a bad secrets file is not told, or shown:\n%s", text)
	}
}

func TestWhatRunsHereIsFoundOut(t *testing.T) {
	w, a := "JWT_SECRET_KEY", "AGENTS_API_KEY"
	for _, tc := range []struct {
		vars     map[string]string
		embedded bool
		want     string
	}{
		{nil, false, "all"}, {nil, true, "all"}, {map[string]string{w: "x"}, true, "all"},
		{map[string]string{w: "x"}, false, "wisdom"}, {map[string]string{a: "x"}, false, "agents"}, {map[string]string{w: "x", a: "x"}, false, "all"},
	} {
		if got := deployed(tc.vars, tc.embedded); got != tc.want {
			t.Errorf("%v, %v: got %s, want %s", tc.vars, tc.embedded, got, tc.want)
		}
	}
}

func TestHowTheHostOfThisMachineIsReached(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8001": "http://127.0.0.1:8001", ":8001": "http://127.0.0.1:8001", "0.0.0.0:1": "http://127.0.0.1:1", "[::]:1": "http://127.0.0.1:1",
		"[::1]:1": "http://[::1]:1", "10.0.0.7:80": "http://10.0.0.7:80", "nonsense": "", "": "",
	} {
		if got := hostURL(addr); got != want {
			t.Errorf("%q: got %q, want %q", addr, got, want)
		}
	}
}
