package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/IntunoAI/intuno-go/bench/lab"
)

const jwtKey = "bench-jwt-key-0123456789abcdef0123456789"

// input and answer are what is said in every invocation.
const (
	input  = `{"message":"Will I need an umbrella in Lisbon tomorrow?"}`
	answer = `{"reply":"No: sun, 24 degrees, wind from the north-west.","forecast":{"high":24,"low":16,"rain":0.02}}`
)

// serveAgent is the agent: it answers at once, or under /hang never.
func serveAgent(addr string) error {
	if addr == "" {
		return nil
	}
	server := &fasthttp.Server{Concurrency: 4096, Handler: func(c *fasthttp.RequestCtx) {
		if string(c.Path()) == "/hang" {
			time.Sleep(time.Minute)
		}
		c.SetContentType("application/json")
		c.SetBodyString(answer)
	}}
	return server.ListenAndServe(addr)
}

// world is one wisdom with a user and two agents, one of which is dead.
type world struct {
	agent, wisdom, ops string // addresses
	process            *exec.Cmd
	token              string
	live, dead         string // slugs
}

func newWorld(ctx context.Context, l *lab.Lab, agent, database string) (*world, error) {
	w := &world{agent: agent}
	var err error
	for _, addr := range []*string{&w.wisdom, &w.ops} {
		if *addr, err = lab.FreeAddr(); err != nil {
			return nil, err
		}
	}
	env := []string{"DATA_DIR=" + l.Dir, "DATABASE_URL=" + database, "WISDOM_ADDR=" + w.wisdom, "OPS_ADDR=" + w.ops, "JWT_SECRET_KEY=" + jwtKey,
		"RATE_LIMIT_PER_MINUTE=0", "INVOKE_ENDPOINT_ALLOWED_HOSTS=127.0.0.1"}
	if w.process, _, err = l.Start(ctx, "http://"+w.wisdom+"/ready", env, l.Binary, "wisdom"); err != nil {
		return nil, err
	}
	account := map[string]any{"email": "bench@example.org", "password": "correct horse battery"}
	if err := lab.Post(ctx, w.url("/auth/register"), "", account, nil); err != nil {
		return nil, err
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := lab.Post(ctx, w.url("/auth/login"), "", account, &token); err != nil {
		return nil, err
	}
	w.token = token.AccessToken
	for slug, path := range map[*string]string{&w.live: "/", &w.dead: "/hang"} {
		var a struct {
			AgentID string `json:"agent_id"`
		}
		if err := lab.Post(ctx, w.url("/registry/agents"), w.token, map[string]any{"name": "Oracle", "description": "Forecasts for any city.",
			"endpoint": "http://" + agent + path}, &a); err != nil {
			return nil, err
		}
		*slug = a.AgentID
	}
	return w, nil
}

func (w *world) url(path string) string { return "http://" + w.wisdom + path }

func (w *world) bearer() [][2]string { return [][2]string{{"Authorization", "Bearer " + w.token}} }

func (w *world) invoke(slug string) lab.Request {
	return lab.Request{Addr: w.wisdom, Path: "/broker/invoke", Headers: w.bearer(), Body: `{"agent_id":"` + slug + `","input":` + input + `}`}
}

// check makes sure that invocations succeed and are recorded: the load itself looks at
// the HTTP status only, which is 200 for failures too.
func (w *world) check(ctx context.Context) error {
	var result struct {
		Success        bool
		ConversationID *string `json:"conversation_id"`
		InvocationID   *string `json:"invocation_id"`
	}
	if err := lab.Post(ctx, w.url("/broker/invoke"), w.token, json.RawMessage(w.invoke(w.live).Body), &result); err != nil {
		return err
	}
	if !result.Success || result.ConversationID == nil || result.InvocationID == nil {
		return fmt.Errorf("the invocation failed: %+v", result)
	}
	return nil
}

// invocations compares calling the agent directly with calling it by the broker.
func (w *world) invocations(ctx context.Context, engine string, o options) error {
	if err := w.check(ctx); err != nil {
		return err
	}
	direct := lab.Request{Addr: w.agent, Path: "/", Body: input}
	brokered := w.invoke(w.live)
	fmt.Printf("\n%s: the agent directly, and by the broker (median of %d interleaved rounds of %s)\n\n", engine, o.rounds, o.length)
	fmt.Printf("%-8s %-12s %12s %9s %9s   %s\n", "callers", "way", "requests/s", "p50 ms", "p99 ms", "added p50 ms")
	for _, callers := range []int{1, 64} {
		var plain, through []lab.Result
		for round := range o.rounds {
			if o.profile != "" && callers > 1 && round == o.rounds-1 {
				go func() {
					time.Sleep(o.length)
					lab.Profile(ctx, w.ops, o.profile, o.length)
				}()
			}
			for _, way := range []struct {
				request lab.Request
				results *[]lab.Result
			}{{direct, &plain}, {brokered, &through}} {
				r, err := lab.Load(ctx, way.request, callers, o.length, 0)
				if err != nil {
					return err
				}
				*way.results = append(*way.results, r)
			}
		}
		rate, p50, p99 := medians(plain)
		fmt.Printf("%-8d %-12s %12.0f %9.3f %9.3f\n", callers, "direct", rate, p50, p99)
		rate2, p50b, p99b := medians(through)
		target := ""
		switch {
		case callers == 64:
			target = "   (target >= 2000 requests/s)"
		case engine == "sqlite":
			target = "   (target <= 1.5)"
		}
		fmt.Printf("%-8d %-12s %12.0f %9.3f %9.3f   %.3f%s\n", callers, "broker", rate2, p50b, p99b, p50b-p50, target)
	}
	return w.check(ctx)
}

func medians(list []lab.Result) (rate, p50, p99 float64) {
	return lab.Median(list, func(r lab.Result) float64 { return r.Rate }),
		lab.Median(list, func(r lab.Result) float64 { return float64(r.P50.Microseconds()) / 1000 }),
		lab.Median(list, func(r lab.Result) float64 { return float64(r.P99.Microseconds()) / 1000 })
}

// hanging is how many invocations hang on the dead agent, hangRounds how often they
// are sent: each time they hang until the broker gives up after 25 s.
const hanging, hangRounds = 500, 3

// neighbours measures other routes at a steady pace, without and with invocations that
// hang: both take turns, because a machine's pace changes.
func (w *world) neighbours(ctx context.Context, engine string, o options) error {
	routes := []struct {
		name    string
		request lab.Request
	}{
		{"GET /auth/me", lab.Request{Addr: w.wisdom, Path: "/auth/me", Headers: w.bearer()}},
		{"GET /registry/agents", lab.Request{Addr: w.wisdom, Path: "/registry/agents?limit=20", Headers: w.bearer()}},
		{"GET /registry/discover", lab.Request{Addr: w.wisdom, Path: "/registry/discover?query=umbrella", Headers: w.bearer()}},
		{"GET /broker/logs", lab.Request{Addr: w.wisdom, Path: "/broker/logs?limit=10", Headers: w.bearer()}},
		{"POST /broker/invoke, other agent", w.invoke(w.live)},
	}
	quiet, busy := make([][]lab.Result, len(routes)), make([][]lab.Result, len(routes))
	measure := func(results [][]lab.Result) error {
		for i, route := range routes {
			r, err := lab.Load(ctx, route.request, 8, o.length, 40*time.Millisecond)
			if err != nil {
				return err
			}
			results[i] = append(results[i], r)
		}
		return nil
	}
	for range hangRounds {
		if err := measure(quiet); err != nil {
			return err
		}
		wait, err := w.hang(ctx)
		if err == nil {
			err = measure(busy)
			wait()
		}
		if err != nil {
			return err
		}
	}
	fmt.Printf("\n%s: others while %d invocations hang (200 requests/s of each, median of %d rounds)\n\n", engine, hanging, hangRounds)
	fmt.Printf("%-34s %14s %14s   %s\n", "route", "p99 ms before", "p99 ms while", "ratio (target <= 1.5)")
	for i, route := range routes {
		_, _, before := medians(quiet[i])
		_, _, while := medians(busy[i])
		fmt.Printf("%-34s %14.3f %14.3f   %.2f\n", route.name, before, while, while/before)
	}
	return nil
}

// hang sends invocations of the dead agent. The function that it returns waits until
// all of them are answered.
func (w *world) hang(ctx context.Context) (wait func(), err error) {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: hanging}}
	var group sync.WaitGroup
	var answered atomic.Int64
	r := w.invoke(w.dead)
	for range hanging {
		group.Go(func() {
			defer answered.Add(1)
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url(r.Path), strings.NewReader(r.Body))
			if err != nil {
				return
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Authorization", "Bearer "+w.token)
			if response, err := client.Do(request); err == nil {
				_ = response.Body.Close()
			}
		})
	}
	wait = func() {
		group.Wait()
		client.CloseIdleConnections()
	}
	time.Sleep(2 * time.Second) // until the last of them is written and hangs
	if n := answered.Load(); n > 0 {
		wait()
		return nil, fmt.Errorf("%d invocations of the dead agent were answered at once", n)
	}
	return wait, nil
}
