package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/bench/lab"
)

// The secrets of the benchmark's own processes.
const (
	hostKey    = "bench-host-key-0123456789abcdef01234567"
	serviceKey = "bench-service-key-0123456789abcdef012345"
	jwtKey     = "bench-jwt-key-0123456789abcdef0123456789"
)

// world is the processes under test.
type world struct {
	*lab.Lab
	wisdom, host, proxy, ops string // addresses; ops is wisdom's
}

// scenario is one request, sent over and over.
type scenario struct {
	name    string
	against string // the scenario to which the rate is compared
	request lab.Request
	target  string // of the ratio, for the reader

	profiled bool
}

func newWorld(ctx context.Context) (*world, error) {
	l, err := lab.New(ctx)
	if err != nil {
		return nil, err
	}
	w := &world{Lab: l}
	for _, addr := range []*string{&w.wisdom, &w.host, &w.proxy, &w.ops} {
		if *addr, err = lab.FreeAddr(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// startAndIdle measures the embedded mode: start to ready on an empty directory, and
// the resident memory after three idle seconds.
func (w *world) startAndIdle(ctx context.Context) error {
	var took []time.Duration
	for i := range 5 {
		addr, err := lab.FreeAddr()
		if err != nil {
			return err
		}
		cmd, elapsed, err := w.Start(ctx, "http://"+addr+"/ready", nil, w.Binary, "serve", "--data", filepath.Join(w.Dir, "serve"+strconv.Itoa(i)),
			"--addr", addr, "--agents-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0")
		if err != nil {
			return err
		}
		took = append(took, elapsed)
		if i == 4 {
			time.Sleep(3 * time.Second)
			fmt.Printf("start to ready, empty database (median of 5): %.0f ms (target <= 300)\n", float64(lab.Median(took, func(d time.Duration) time.Duration { return d }).Microseconds())/1000)
			fmt.Printf("resident memory of an idle `intuno serve`: %s (target <= 60 MB)\n", resident(cmd.Process.Pid))
		}
		w.Stop(cmd)
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
	env := []string{"DATA_DIR=" + w.Dir, "OPS_ADDR=127.0.0.1:0", "LOG_LEVEL=info", "AGENTS_SERVICE_API_KEY=" + serviceKey}
	if _, _, err := w.Start(ctx, "http://"+w.host+"/health", append(env, "AGENTS_ADDR="+w.host, "AGENTS_API_KEY="+hostKey,
		"INTUNO_BASE_URL=http://"+w.wisdom), w.Binary, "agents"); err != nil {
		return nil, err
	}
	if _, _, err := w.Start(ctx, "http://"+w.wisdom+"/ready", append(env, "OPS_ADDR="+w.ops, "WISDOM_ADDR="+w.wisdom, "JWT_SECRET_KEY="+jwtKey,
		"INTUNO_AGENTS_BASE_URL=http://"+w.host, "INTUNO_AGENTS_API_KEY="+hostKey, "RATE_LIMIT_PER_MINUTE=1000000000"), w.Binary, "wisdom"); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if _, _, err := w.Start(ctx, "http://"+w.proxy+"/health", nil, self, "-proxy", "http://"+w.host, "-listen", w.proxy); err != nil {
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
		if err := lab.Post(ctx, "http://"+w.wisdom+step.path, token.AccessToken, step.in, step.out); err != nil {
			return nil, err
		}
	}
	bearer := [2]string{"Authorization", "Bearer " + token.AccessToken}
	hostHeaders := [][2]string{{"X-API-Key", hostKey}, {"X-User-Id", user.ID}}
	const direct, proxied, jwt = "(1) entity host, directly", "(2) bare ReverseProxy in front of it", "(4) GET /registry/agents?limit=1, JWT"
	return []scenario{
		{name: direct, against: proxied, request: lab.Request{Addr: w.host, Path: "/entities/aria", Headers: hostHeaders}},
		{name: proxied, against: proxied, request: lab.Request{Addr: w.proxy, Path: "/entities/aria", Headers: hostHeaders}},
		{name: "(3) GET /personal/entities/{name} through wisdom", against: proxied, request: lab.Request{Addr: w.wisdom, Path: "/personal/entities/aria", Headers: [][2]string{bearer}}, profiled: true, target: ">= 0.90"},
		{name: jwt, against: jwt, request: lab.Request{Addr: w.wisdom, Path: "/registry/agents?limit=1", Headers: [][2]string{bearer}}},
		{name: "(4) GET /registry/agents?limit=1, API key", against: jwt, request: lab.Request{Addr: w.wisdom, Path: "/registry/agents?limit=1", Headers: [][2]string{{"X-API-Key", key.Key}}}, target: "0.85 to 1.15"},
		{name: "(4) GET /registry/agents?limit=1, service key", against: jwt, request: lab.Request{Addr: w.wisdom, Path: "/registry/agents?limit=1", Headers: [][2]string{{"X-Service-Key", serviceKey}, {"X-On-Behalf-Of", user.ID}}}, target: "0.85 to 1.15"},
	}, nil
}
