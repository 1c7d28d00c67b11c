package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The secrets of the benchmark's own processes.
const (
	hostKey    = "bench-host-key-0123456789abcdef01234567"
	serviceKey = "bench-service-key-0123456789abcdef012345"
	jwtKey     = "bench-jwt-key-0123456789abcdef0123456789"
)

// world is the processes under test.
type world struct {
	dir                      string
	binary                   string
	wisdom, host, proxy, ops string // addresses; ops is wisdom's
	processes                []*exec.Cmd
}

func newWorld(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "intuno-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, binary: filepath.Join(dir, "intuno")}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", w.binary, "./cmd/intuno")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	for _, addr := range []*string{&w.wisdom, &w.host, &w.proxy, &w.ops} {
		if *addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (w *world) close() {
	for _, p := range w.processes {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	_ = os.RemoveAll(w.dir)
}

// start runs a command with a log file and waits until url answers 200.
func (w *world) start(ctx context.Context, url string, env []string, name string, args ...string) (*exec.Cmd, time.Duration, error) {
	log, err := os.Create(filepath.Join(w.dir, fmt.Sprintf("log-%d", len(w.processes))))
	if err != nil {
		return nil, 0, err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.Stdout, cmd.Stderr = log, log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	w.processes = append(w.processes, cmd)
	for time.Since(began) < 20*time.Second && ctx.Err() == nil {
		response, err := http.Get(url)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return cmd, time.Since(began), nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	return nil, 0, fmt.Errorf("%s %v is not ready: %s", name, args, text)
}

// startAndIdle measures the embedded mode: start to ready on an empty directory, and
// the resident memory after three idle seconds.
func (w *world) startAndIdle(ctx context.Context) error {
	var took []time.Duration
	for i := range 5 {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		cmd, elapsed, err := w.start(ctx, "http://"+addr+"/ready", nil, w.binary, "serve", "--data", filepath.Join(w.dir, "serve"+strconv.Itoa(i)),
			"--addr", addr, "--agents-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0")
		if err != nil {
			return err
		}
		took = append(took, elapsed)
		if i == 4 {
			time.Sleep(3 * time.Second)
			fmt.Printf("start to ready, empty database (median of 5): %.0f ms (target <= 300)\n", float64(median(took, func(d time.Duration) time.Duration { return d }).Microseconds())/1000)
			fmt.Printf("resident memory of an idle `intuno serve`: %s (target <= 60 MB)\n", resident(cmd.Process.Pid))
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		w.processes = w.processes[:len(w.processes)-1]
	}
	return nil
}

func resident(pid int) string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "not known on this system"
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), " kB"))
			return fmt.Sprintf("%.1f MB", float64(kb)/1024)
		}
	}
	return "not known"
}

// scenarios starts both services apart and the baseline proxy, and prepares a user
// with an entity, an agent and an API key.
func (w *world) scenarios(ctx context.Context) ([]scenario, error) {
	env := []string{"DATA_DIR=" + w.dir, "OPS_ADDR=127.0.0.1:0", "LOG_LEVEL=info", "AGENTS_SERVICE_API_KEY=" + serviceKey}
	if _, _, err := w.start(ctx, "http://"+w.host+"/health", append(env, "AGENTS_ADDR="+w.host, "AGENTS_API_KEY="+hostKey,
		"INTUNO_BASE_URL=http://"+w.wisdom), w.binary, "agents"); err != nil {
		return nil, err
	}
	if _, _, err := w.start(ctx, "http://"+w.wisdom+"/ready", append(env, "OPS_ADDR="+w.ops, "WISDOM_ADDR="+w.wisdom, "JWT_SECRET_KEY="+jwtKey,
		"INTUNO_AGENTS_BASE_URL=http://"+w.host, "INTUNO_AGENTS_API_KEY="+hostKey, "RATE_LIMIT_PER_MINUTE=1000000000"), w.binary, "wisdom"); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if _, _, err := w.start(ctx, "http://"+w.proxy+"/health", nil, self, "-proxy", "http://"+w.host, "-listen", w.proxy); err != nil {
		return nil, err
	}
	var user struct{ ID string }
	var token struct {
		AccessToken string `json:"access_token"`
	}
	var key struct{ Key string }
	account := map[string]any{"email": "bench@example.org", "password": "correct horse battery"}
	for _, step := range []struct {
		path    string
		in, out any
	}{
		{"/auth/register", account, &user},
		{"/auth/login", account, &token},
		{"/auth/api-keys", map[string]any{"name": "bench"}, &key},
		{"/personal/entities", map[string]any{"name": "aria", "instructions": strings.Repeat("Be brief. ", 60)}, nil},
		{"/registry/agents", map[string]any{"name": "Weather Oracle", "description": "Forecasts for any city.", "endpoint": "https://weather.example.org/invoke", "tags": []string{"weather"}}, nil},
	} {
		if err := post(ctx, "http://"+w.wisdom+step.path, token.AccessToken, step.in, step.out); err != nil {
			return nil, err
		}
	}
	bearer := [2]string{"Authorization", "Bearer " + token.AccessToken}
	hostHeaders := [][2]string{{"X-API-Key", hostKey}, {"X-User-Id", user.ID}}
	const direct, proxied, jwt = "(1) entity host, directly", "(2) bare ReverseProxy in front of it", "(4) GET /registry/agents?limit=1, JWT"
	return []scenario{
		{name: direct, against: proxied, addr: w.host, path: "/entities/aria", headers: hostHeaders},
		{name: proxied, against: proxied, addr: w.proxy, path: "/entities/aria", headers: hostHeaders},
		{name: "(3) GET /personal/entities/{name} through wisdom", against: proxied, addr: w.wisdom, path: "/personal/entities/aria", headers: [][2]string{bearer}, profiled: true, target: ">= 0.90"},
		{name: jwt, against: jwt, addr: w.wisdom, path: "/registry/agents?limit=1", headers: [][2]string{bearer}},
		{name: "(4) GET /registry/agents?limit=1, API key", against: jwt, addr: w.wisdom, path: "/registry/agents?limit=1", headers: [][2]string{{"X-API-Key", key.Key}}, target: "0.85 to 1.15"},
		{name: "(4) GET /registry/agents?limit=1, service key", against: jwt, addr: w.wisdom, path: "/registry/agents?limit=1", headers: [][2]string{{"X-Service-Key", serviceKey}, {"X-On-Behalf-Of", user.ID}}, target: "0.85 to 1.15"},
	}, nil
}

// profile fetches a CPU profile of wisdom; without one the benchmark goes on.
func (w *world) profile(ctx context.Context, path string, length time.Duration) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", w.ops, max(1, length.Seconds()-0.5)), nil)
	if err != nil {
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: profile:", err)
		return
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: profile:", err)
	}
}

func post(ctx context.Context, url, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s: %d %s", url, response.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}
