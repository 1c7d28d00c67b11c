// Package lab is what the benchmarks share: it builds the real binary, starts
// processes, sends requests over loopback and computes medians. What is measured, and
// against what, is each benchmark's own.
package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Lab is a folder with the binary under test, and the processes that were started.
type Lab struct {
	Dir, Binary string
	processes   []*exec.Cmd
}

// New builds the binary. Close ends what Start starts.
func New(ctx context.Context) (*Lab, error) {
	dir, err := os.MkdirTemp("", "intuno-bench-")
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, Binary: filepath.Join(dir, "intuno")}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", l.Binary, "./cmd/intuno")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	return l, nil
}

// Close kills the processes and removes the folder.
func (l *Lab) Close() {
	for _, p := range l.processes {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	_ = os.RemoveAll(l.Dir)
}

// FreeAddr is a loopback address at which nobody listens.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Start runs a command with a log file and waits until url answers 200. It returns how
// long that took.
func (l *Lab) Start(ctx context.Context, url string, env []string, name string, args ...string) (*exec.Cmd, time.Duration, error) {
	log, err := os.Create(filepath.Join(l.Dir, fmt.Sprintf("log-%d", len(l.processes))))
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
	l.processes = append(l.processes, cmd)
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

// Complaints are the last lines that the processes have logged as errors.
func (l *Lab) Complaints() string {
	const most = 5
	var lines []string
	logs, _ := filepath.Glob(filepath.Join(l.Dir, "log-*"))
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, `"ERROR"`) {
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "")
}

// Stop kills a process.
func (l *Lab) Stop(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	l.processes = slices.DeleteFunc(l.processes, func(p *exec.Cmd) bool { return p == cmd })
}

// Post sends in as JSON and reads the answer into out, if that is not nil. An empty
// token sends none.
func Post(ctx context.Context, url, token string, in, out any) error {
	return Send(ctx, http.MethodPost, url, token, in, out)
}

// Send is Post with another method.
func Send(ctx context.Context, method, url, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
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
		return fmt.Errorf("%s %s: %d %s", method, url, response.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// Profile fetches a CPU profile from an ops listener; without one the benchmark goes
// on.
func Profile(ctx context.Context, ops, path string, length time.Duration) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", ops, max(1, length.Seconds()-0.5)), nil)
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

// Median is the middle of the values of a list that is not empty.
func Median[T any, N cmp.Ordered](list []T, value func(T) N) N {
	var values []N
	for _, item := range list {
		values = append(values, value(item))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
