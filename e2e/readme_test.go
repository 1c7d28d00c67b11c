package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// readmeBlock returns the block of shell, or of another language, that the README marks
// with that name.
func readmeBlock(t *testing.T, name string, language ...string) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "<!-- tested: "+name+" -->\n```"+append(language, "sh")[0]+"\n")
	block, _, closed := strings.Cut(after, "\n```")
	if !ok || !closed {
		t.Fatalf("the README has no block %q", name)
	}
	return block
}

// generatedSecret reads a secret of the embedded mode.
func generatedSecret(s *stack, name string) string {
	text, err := os.ReadFile(filepath.Join(strings.TrimPrefix(s.admin[0], "DATA_DIR="), "secrets.env"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return value
		}
	}
	return ""
}

func TestTheReadmesCurlLinesWorkAsPrinted(t *testing.T) {
	s := embedded(t, allowLoopback)
	url := s.wisdoms[0].url
	hook, dir := freeAddr(t), t.TempDir()
	program := strings.ReplaceAll(readmeBlock(t, "webhook", "go"), "127.0.0.1:9999", hook)
	if err := os.WriteFile(filepath.Join(dir, "webhook.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + readmeBlock(t, "quickstart") + "\n" + readmeBlock(t, "discovery") + "\n" + readmeBlock(t, "broker") + "\n" +
		`USER_ID=$(curl -sS $API/auth/me -H "$AUTH" | sed 's/.*"id":"\([^"]*\)".*/\1/')` + "\n" + readmeBlock(t, "delegation") + "\n" + readmeBlock(t, "networks")
	script = strings.NewReplacer("http://localhost:8000", url, "127.0.0.1:9999", hook, "/tmp/webhook", filepath.Join(dir, "webhook")).Replace(script)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, 5*time.Second
	cmd.Env = append(os.Environ(), "AGENTS_SERVICE_API_KEY="+generatedSecret(s, "AGENTS_SERVICE_API_KEY"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// What the README says comes out, in its order.
	wants := []string{
		`"email":"ada@example.org"`, `"name":"aria"`, `"reply":"17.5 % of 240 = 42"`, `"actor":{"type":"service","id":"wisdom-agents"}`, `"status":"success"`,
		`"reply":`, `Rome`, `event: reply.completed`,
		`"code":"entity_quota_exceeded"`, `"status":"paused"`, `"code":"entity_paused"`, `"status":"active"`,
		`"version":1`, `"plan":"free"`, `"name":"Polyglot"`, `[{"id":`, `"name":"Weather Oracle"`,
		`"success":true`, `2.85714285714286`, `event: result`, `95.2`, `event: done`, `"external_user_id":null`, `"daily_quota":1000`, `"key":"wsk_`, `"agent_id":"weather-`,
		`"content":"Hello"`, `"content":"you said: Hello"`, `"sender":"ada","recipient":"weather","channel":"message","content":"Hello"`,
		`"sender":"weather","recipient":"ada","channel":"message","content":"you said: Hello"`, `"content":"Still there?"`, `"status":"pending"`,
	}
	rest := string(out)
	for _, want := range wants {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("no %s where it should be in:\n%s", want, out)
		}
		rest = after
	}
}

// TestTheReadmeListsEveryVariable compares it with the configuration structs.
func TestTheReadmeListsEveryVariable(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	tag := regexp.MustCompile("`env:\"([A-Z_]+)\"")
	for _, file := range []string{"../internal/wisdom/config.go", "../internal/agents/config.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := tag.FindAllSubmatch(source, -1)
		if len(found) < 10 {
			t.Fatalf("%s: only %d variables found", file, len(found))
		}
		for _, m := range found {
			if !strings.Contains(string(readme), "`"+string(m[1])+"`") {
				t.Errorf("the README does not list %s", m[1])
			}
		}
	}
}

func TestWhatServePrintsWorks(t *testing.T) {
	s := embedded(t)
	printed := s.wisdoms[0].log.String()
	for _, want := range []string{s.wisdoms[0].url, "/docs", "data"} {
		if !strings.Contains(printed, want) {
			t.Errorf("serve does not print %q:\n%s", want, printed)
		}
	}
	var lines []string
	for line := range strings.Lines(printed) {
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "curl ") || strings.HasPrefix(trimmed, "TOKEN=") {
			lines = append(lines, trimmed)
		}
	}
	if len(lines) != 4 {
		t.Fatalf("serve prints %d example lines, want 4:\n%s", len(lines), printed)
	}
	out, err := exec.Command("bash", "-c", "set -euo pipefail\n"+strings.Join(lines, "\n")).CombinedOutput()
	if err != nil || strings.Contains(string(out), `"detail"`) || !strings.Contains(string(out), "17.5 % of 240 = 42") {
		t.Errorf("the printed example: %v\n%s", err, out)
	}
}
