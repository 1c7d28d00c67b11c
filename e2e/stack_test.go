package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// The secrets of the processes that the tests start.
const (
	hostKey    = "e2e-host-key-0123456789abcdef0123456789"
	serviceKey = "e2e-service-key-0123456789abcdef01234567"
	jwtKey     = "e2e-jwt-key-0123456789abcdef0123456789ab"
)

// binary builds the command once for all tests, with the race detector, so that
// every process under test is checked by it too.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "intuno-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "intuno")
	build := exec.Command("go", "build", "-race", "-o", path, "../cmd/intuno")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 100 // there are tests with many callers
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// process is one running `intuno`.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	log  *lockedBuffer
	done chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs the binary and waits until url+probe answers 200.
func start(t *testing.T, url, probe string, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		conn.Close()
		t.Fatalf("somebody else answers at %s", url)
	}
	p := &process{t: t, cmd: exec.Command(path, args...), url: url, log: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if strings.Contains(p.log.String(), "WARNING: DATA RACE") {
			t.Errorf("data race in intuno %v:\n%s", args, p.log)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if response, err := http.Get(url + probe); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return p
			}
		}
		select {
		case <-p.done:
			t.Fatalf("intuno %v ended:\n%s", args, p.log)
		default:
		}
	}
	t.Fatalf("intuno %v is not ready:\n%s", args, p.log)
	return nil
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop is SIGTERM; a process that does not end in time fails the test.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Errorf("process does not end after SIGTERM:\n%s", p.log)
		p.kill()
	}
}

// freeAddr is an address that stays free while its process is down: its port is below
// those that systems give to outgoing connections.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(20000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// stack is a set of processes that serve one public API.
type stack struct {
	wisdoms []*process
	hosts   []*process
	admin   []string // environment for `intuno admin`
	next    atomic.Int64
}

// url takes the wisdom processes in turn, as a load balancer would.
func (s *stack) url() string {
	return s.wisdoms[int(s.next.Add(1))%len(s.wisdoms)].url
}

// embedded is `intuno serve`, with more in its environment.
func embedded(t *testing.T, more ...string) *stack {
	addr, data := freeAddr(t), t.TempDir()
	p := start(t, "http://"+addr, "/ready", append([]string{"RATE_LIMIT_PER_MINUTE=100000"}, more...),
		"serve", "--data", data, "--addr", addr, "--agents-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0")
	return &stack{wisdoms: []*process{p}, admin: []string{"DATA_DIR=" + data}}
}

// apart is n processes of each service on one PostgreSQL server.
func apart(t *testing.T, n int) *stack {
	s := &stack{}
	wisdomDB, agentsDB := testkit.Postgres(t), testkit.Postgres(t)
	for range n {
		hostAddr, addr := freeAddr(t), freeAddr(t)
		s.hosts = append(s.hosts, start(t, "http://"+hostAddr, "/health", []string{"AGENTS_ADDR=" + hostAddr, "OPS_ADDR=127.0.0.1:0",
			"AGENTS_DATABASE_URL=" + agentsDB, "AGENTS_API_KEY=" + hostKey, "AGENTS_SERVICE_API_KEY=" + serviceKey, "INTUNO_BASE_URL=http://" + addr}, "agents"))
		s.wisdoms = append(s.wisdoms, startWisdom(t, addr, wisdomDB, "http://"+hostAddr))
	}
	s.admin = []string{"DATABASE_URL=" + wisdomDB}
	return s
}

func startWisdom(t *testing.T, addr, database, host string, more ...string) *process {
	t.Helper()
	return start(t, "http://"+addr, "/ready", append([]string{"WISDOM_ADDR=" + addr, "OPS_ADDR=127.0.0.1:0", "DATABASE_URL=" + database,
		"JWT_SECRET_KEY=" + jwtKey, "AGENTS_SERVICE_API_KEY=" + serviceKey, "INTUNO_AGENTS_BASE_URL=" + host,
		"INTUNO_AGENTS_API_KEY=" + hostKey, "RATE_LIMIT_PER_MINUTE=100000"}, more...), "wisdom")
}

// command runs the binary to its end.
func command(t *testing.T, env []string, stdin string, args ...string) (output string, code int) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("intuno %v: %v\n%s", args, err, out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) field(name string) any {
	var object map[string]any
	if json.Unmarshal(a.body, &object) != nil {
		return nil
	}
	return object[name]
}

func (a answer) text(name string) string {
	s, _ := a.field(name).(string)
	return s
}

// call sends a request. headers are pairs; a body that is not "" is JSON.
func call(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	a, err := try(method, url, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func try(method, url, body string, headers ...string) (answer, error) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}

// expect is call with a wanted status.
func expect(t *testing.T, status int, method, url, body string, headers ...string) answer {
	t.Helper()
	a := call(t, method, url, body, headers...)
	if a.status != status {
		t.Fatalf("%s %s: status = %d, want %d: %s", method, url, a.status, status, a.body)
	}
	return a
}

// account is a signed-up user.
type account struct{ id, email, password, token string }

func (a account) bearer() []string { return []string{"Authorization", "Bearer " + a.token} }

var accounts atomic.Int64

func signUp(t *testing.T, s *stack) account {
	t.Helper()
	a := account{email: fmt.Sprintf("user%d@example.org", accounts.Add(1)), password: "correct horse battery"}
	credentials := fmt.Sprintf(`{"email":%q,"password":%q}`, a.email, a.password)
	a.id = expect(t, 201, "POST", s.url()+"/auth/register", credentials).text("id")
	a.token = expect(t, 200, "POST", s.url()+"/auth/login", credentials).text("access_token")
	return a
}
