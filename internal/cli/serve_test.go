package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// child is this binary, running as intuno.
type child struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	logs   *lockedBuffer
	ended  chan struct{}
	banner string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startChild runs a command with exactly this environment.
func startChild(t *testing.T, environ []string, args ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(self, args...), logs: &lockedBuffer{}, ended: make(chan struct{})}
	c.cmd.Env = append([]string{"CLI_TEST_MAIN=1"}, environ...)
	c.cmd.Stderr = c.logs
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stdout, c.out = writer, bufio.NewReader(reader)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	go func() {
		_ = c.cmd.Wait() // its result is in cmd.ProcessState
		close(c.ended)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
		_ = reader.Close()
		if strings.Contains(c.logs.String(), "DATA RACE") {
			t.Errorf("data race in intuno %v:\n%s", args, c.logs)
		}
	})
	return c
}

func serveArgs(dir string) []string {
	return []string{"serve", "--data", dir, "--addr", "127.0.0.1:0", "--agents-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0"}
}

// readBanner reads what serve prints, and returns the URL of the API.
func (c *child) readBanner(t *testing.T) string {
	t.Helper()
	for {
		line, err := c.out.ReadString('\n')
		c.banner += line
		if err != nil {
			t.Fatalf("serve ended: %v\n%s%s", err, c.banner, c.logs)
		}
		if strings.Contains(line, "/personal/entities") {
			break
		}
	}
	_, rest, _ := strings.Cut(c.banner, "API ")
	return strings.Fields(rest)[0]
}

// exit waits for the end and returns the exit code, -1 after a signal.
func (c *child) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-c.ended:
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(20 * time.Second):
		t.Fatalf("the process does not end:\n%s", c.logs)
		return 0
	}
}

func (c *child) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// post sends JSON and returns the status and the answer.
func post(t *testing.T, url, token, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// opsAddress finds the ops listener in the log.
func (c *child) opsAddress(t *testing.T) string {
	t.Helper()
	for range 500 {
		for line := range strings.Lines(c.logs.String()) {
			var entry struct{ Msg, Service, Addr string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" && entry.Service == "ops" {
				return entry.Addr
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no ops listener in the log:\n%s", c.logs)
	return ""
}

const account = `{"email": "grace@example.org", "password": "correct horse"}`

func TestServeKeepsItsDataAndSecretsOverARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := startChild(t, nil, serveArgs(dir)...)
	url := first.readBanner(t)
	if status, answer := post(t, url+"/auth/register", "", account); status != http.StatusCreated {
		t.Fatalf("register = %d %v", status, answer)
	}
	_, answer := post(t, url+"/auth/login", "", account)
	token, _ := answer["access_token"].(string)
	if status, answer := post(t, url+"/personal/entities", token, `{"name": "aria"}`); status != http.StatusCreated {
		t.Fatalf("create entity = %d %v, want 201: the services do not find each other", status, answer)
	}
	code, lines, text := report(t, nil, "--data", dir)
	if code != exitOK || len(lines["ok entity host"]) != 1 || len(lines["ok agents database"]) != 1 {
		t.Errorf("the doctor of the running serve: exit %d\n%s", code, text)
	}
	if code, out, errOut := intuno(t, nil, "", "admin", "users", "set-plan", "--data", dir, "--email", "grace@example.org", "--plan", "pro"); code != exitOK {
		t.Errorf("set-plan: exit %d %s%s", code, out, errOut)
	}
	second := startChild(t, nil, serveArgs(dir)...)
	if code := second.exit(t); code != exitError || !strings.Contains(second.logs.String(), "in use by another intuno process") {
		t.Errorf("a second serve: exit %d, %s; want 1 and why", code, second.logs)
	}
	first.signal(t, syscall.SIGTERM)
	if code := first.exit(t); code != exitOK {
		t.Errorf("exit after SIGTERM = %d, want 0:\n%s", code, first.logs)
	}
	if _, err := os.Stat(filepath.Join(dir, runningFile)); err == nil {
		t.Errorf("%s is left after the end", runningFile)
	}
	if code, lines, text := report(t, nil, "--data", dir); code != exitError || len(lines["fail entity host"]) != 1 {
		t.Errorf("the doctor of the stopped serve: exit %d\n%s", code, text)
	}
	third := startChild(t, nil, serveArgs(dir)...)
	url = third.readBanner(t)
	if status, answer := post(t, url+"/personal/entities", token, `{"name": "second"}`); status != http.StatusCreated {
		t.Errorf("the old token, on the pro plan, after a restart = %d %v, want 201", status, answer)
	}
	if strings.Contains(third.logs.String(), token) || strings.Contains(third.logs.String(), "correct horse") {
		t.Error("a token or password is in the log")
	}
}

// slowRequest sends a registration but holds back the last byte. finish sends it and
// returns the status line of the answer.
func slowRequest(t *testing.T, addr, email string) (conn net.Conn, finish func() string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	body := fmt.Sprintf(`{"email": %q, "password": "correct horse"}`, email)
	_, err = fmt.Fprintf(conn, "POST /auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:len(body)-1])
	if err != nil {
		t.Fatal(err)
	}
	return conn, func() string {
		if _, err := io.WriteString(conn, body[len(body)-1:]); err != nil {
			return err.Error()
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(line)
	}
}

func TestSIGTERMTurnsReadinessOffAndLetsRunningRequestsFinish(t *testing.T) {
	c := startChild(t, nil, serveArgs(filepath.Join(t.TempDir(), "data"))...)
	addr := strings.TrimPrefix(c.readBanner(t), "http://")
	ops := c.opsAddress(t)
	ready := func() (int, string) {
		resp, err := http.Get("http://" + ops + "/ready")
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, body := ready(); status != http.StatusOK {
		t.Fatalf("ready = %d %s, want 200", status, body)
	}
	environ := []string{"OPS_ADDR=" + ops}
	if code, out, errOut := intuno(t, environ, "", "doctor", "--ready"); code != exitOK || out != "ready\n" {
		t.Errorf("doctor --ready = %d %q %q, want 0 and ready", code, out, errOut)
	}
	_, finish := slowRequest(t, addr, "slow@example.org")
	// The next request is answered after the slow one was read: it is in the handler's hands.
	if resp, err := http.Get("http://" + addr + "/health"); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("health: %v", err)
	}
	c.signal(t, syscall.SIGTERM)
	for range 500 {
		if conn, err := net.Dial("tcp", addr); err != nil {
			break
		} else if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("connections are still accepted")
	}
	if status, body := ready(); status != http.StatusServiceUnavailable || !strings.Contains(body, "not_ready") {
		t.Errorf("ready while draining = %d %s, want 503 not_ready", status, body)
	}
	if code, _, errOut := intuno(t, environ, "", "doctor", "--ready"); code != exitError || !strings.Contains(errOut, "answers 503") {
		t.Errorf("doctor --ready while draining = %d %q, want 1", code, errOut)
	}
	if got := finish(); got != "HTTP/1.1 201 Created" {
		t.Errorf("the running request got %q, want 201", got)
	}
	if code := c.exit(t); code != exitOK {
		t.Errorf("exit = %d, want 0:\n%s", code, c.logs)
	}
}

func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	c := startChild(t, nil, serveArgs(filepath.Join(t.TempDir(), "data"))...)
	addr := strings.TrimPrefix(c.readBanner(t), "http://")
	ops := c.opsAddress(t)
	_, _ = slowRequest(t, addr, "stuck@example.org")
	c.signal(t, syscall.SIGINT)
	for range 500 {
		if resp, err := http.Get("http://" + ops + "/ready"); err == nil && resp.StatusCode == http.StatusServiceUnavailable {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.signal(t, syscall.SIGTERM)
	if code := c.exit(t); code != -1 {
		t.Errorf("exit = %d, want an end by the signal", code)
	}
}

func TestRequestsThatOutlastTheGraceAreCutOff(t *testing.T) {
	c := startChild(t, []string{"SHUTDOWN_GRACE_SECONDS=0.2", "JWT_SECRET_KEY=" + doctorJWT, "DATA_DIR=" + t.TempDir(), "OPS_ADDR=127.0.0.1:0"},
		"wisdom", "--addr", "127.0.0.1:0")
	conn, _ := slowRequest(t, c.readAddress(t), "cut@example.org")
	c.opsAddress(t)
	c.signal(t, syscall.SIGTERM)
	if code := c.exit(t); code != exitOK {
		t.Errorf("exit = %d, want 0:\n%s", code, c.logs)
	}
	if !strings.Contains(c.logs.String(), "requests were cut off") {
		t.Errorf("the cut is not in the log:\n%s", c.logs)
	}
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("read = %v, want the end of the connection", err)
	}
}

// readAddress reads the one line that a service alone prints.
func (c *child) readAddress(t *testing.T) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%v\n%s", err, c.logs)
	}
	_, rest, _ := strings.Cut(line, "listens on ")
	addr, _, _ := strings.Cut(rest, ",")
	return addr
}

func TestTheServicesRunApart(t *testing.T) {
	keys := []string{"AGENTS_API_KEY=" + doctorHost, "INTUNO_AGENTS_API_KEY=" + doctorHost, "AGENTS_SERVICE_API_KEY=" + doctorPeer, "OPS_ADDR=127.0.0.1:0"}
	host := startChild(t, append(keys, "DATA_DIR="+t.TempDir()), "agents", "--addr", "127.0.0.1:0")
	hostAddr := host.readAddress(t)
	public := startChild(t, append(keys, "DATA_DIR="+t.TempDir(), "JWT_SECRET_KEY="+doctorJWT, "INTUNO_AGENTS_BASE_URL=http://"+hostAddr), "wisdom", "--addr", "127.0.0.1:0")
	url := "http://" + public.readAddress(t)
	if status, answer := post(t, url+"/auth/register", "", account); status != http.StatusCreated {
		t.Fatalf("register = %d %v", status, answer)
	}
	_, answer := post(t, url+"/auth/login", "", account)
	token, _ := answer["access_token"].(string)
	if status, answer := post(t, url+"/personal/entities", token, `{"name": "aria"}`); status != http.StatusCreated {
		t.Errorf("create entity = %d %v, want 201", status, answer)
	}
	resp, err := http.Get("http://" + public.opsAddress(t) + "/config")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.Contains(string(shown), "INTUNO_AGENTS_BASE_URL") || strings.Contains(string(shown), doctorJWT) || strings.Contains(string(shown), doctorHost) {
		t.Errorf("/config = %s (%v), want every variable and no secret", shown, err)
	}
	for name, c := range map[string]*child{"wisdom": public, "agents": host} {
		c.signal(t, syscall.SIGTERM)
		if code := c.exit(t); code != exitOK {
			t.Errorf("%s: exit %d, want 0:\n%s", name, code, c.logs)
		}
	}
}
