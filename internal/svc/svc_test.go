package svc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/IntunoAI/intuno-go/internal/svc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary is what happened, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// fake is a service whose one route answers when release is closed.
type fake struct {
	name     string
	diary    *diary
	entered  chan struct{} // one value for each request that is being handled
	release  chan struct{}
	fail     chan error // what Run returns before its time
	draining atomic.Bool
	deaf     bool // Run does not listen to its context
	gone     chan struct{}
}

func newFake(name string, d *diary) *fake {
	return &fake{name: name, diary: d, entered: make(chan struct{}, 100), release: make(chan struct{}), fail: make(chan error, 1), gone: make(chan struct{})}
}

func (f *fake) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			return
		}
		f.entered <- struct{}{}
		select {
		case <-f.release:
			f.diary.add("%s answered", f.name)
			_, _ = io.WriteString(w, "done")
		case <-r.Context().Done():
			f.diary.add("%s cut off", f.name)
		}
	})
}

func (f *fake) Run(ctx context.Context) error {
	if f.deaf {
		<-f.gone
		return nil
	}
	select {
	case err := <-f.fail:
		return err
	case <-ctx.Done():
		f.diary.add("%s work ended", f.name)
		return ctx.Err()
	}
}

func (f *fake) Drain() { f.draining.Store(true); f.diary.add("%s drained", f.name) }

func (f *fake) Ready(context.Context) (bool, map[string]string) {
	if f.draining.Load() {
		return false, map[string]string{"database": "ok", "drain": "draining"}
	}
	return true, map[string]string{"database": "ok"}
}

func (f *fake) Close() error { f.diary.add("%s closed", f.name); return nil }

// start runs a group of the services and returns their URLs, that of ops last, the
// function that tells the group to stop, and its result.
func start(t *testing.T, grace time.Duration, services ...*fake) (urls []string, stop func(), result chan error) {
	t.Helper()
	var addresses []svc.Address
	for range len(services) + 1 {
		addresses = append(addresses, svc.Address{Variable: "X", Addr: "127.0.0.1:0"})
	}
	listeners, faults := svc.Listen(t.Context(), addresses...)
	if faults != nil {
		t.Fatal(faults)
	}
	g := svc.Group{
		Grace: grace, Log: slog.New(slog.DiscardHandler),
		Ops: svc.Ops{
			Listener: listeners[len(services)], Metrics: prometheus.NewRegistry(),
			Version: map[string]string{"version": "1.2.3"}, Config: map[string]string{"KEY": "[set]"},
		},
	}
	for i, f := range services {
		g.Units = append(g.Units, svc.Unit{Name: f.name, Service: f, Listener: listeners[i]})
	}
	for _, l := range listeners {
		urls = append(urls, "http://"+l.Addr().String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	result = make(chan error, 1)
	go func() { result <- g.Run(ctx) }()
	return urls, cancel, result
}

// get asks on a connection of its own.
func get(url string) (status int, body string, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// eventually waits for a condition that another goroutine is about to make true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestADrainLetsRunningRequestsFinishBeforeAnythingEnds(t *testing.T) {
	d := &diary{}
	first, second := newFake("first", d), newFake("second", d)
	urls, stop, result := start(t, 20*time.Second, first, second)
	if status, _, err := get(urls[2] + "/ready"); err != nil || status != http.StatusOK {
		t.Fatalf("ready before the drain = %d, %v; want 200", status, err)
	}
	answers := make(chan string, 2)
	for i, f := range []*fake{first, second} {
		go func() {
			_, body, err := get(urls[i])
			answers <- fmt.Sprint(body, err)
		}()
		<-f.entered
	}
	stop()

	eventually(t, "no new connections to the first", func() bool { _, _, err := get(urls[0] + "/quick"); return err != nil })
	status, body, err := get(urls[2] + "/ready")
	if err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("ready during the drain = %d, %v; want 503", status, err)
	}
	var answer struct {
		Detail, Code, RequestID string
		Checks                  map[string]string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Code != "not_ready" || answer.Checks["first.drain"] != "draining" {
		t.Errorf("ready during the drain = %s, want code not_ready and the checks of both services", body)
	}
	if status, _, err := get(urls[1] + "/quick"); err != nil || status != http.StatusOK {
		t.Errorf("the second service answered %d, %v while the first finishes; want 200", status, err)
	}
	close(first.release)
	eventually(t, "no new connections to the second", func() bool { _, _, err := get(urls[1] + "/quick"); return err != nil })
	if slices.Contains(d.read(), "first work ended") {
		t.Error("background work ended before the last request")
	}
	close(second.release)
	if err := <-result; err != nil {
		t.Errorf("Run = %v, want nil after a drain that was asked for", err)
	}
	for range 2 {
		if got := <-answers; got != "done<nil>" {
			t.Errorf("answer = %s, want done", got)
		}
	}
	got := d.read()
	want := []string{"first drained", "second drained", "first answered", "second answered", "second closed", "first closed"}
	if got = slices.DeleteFunc(got, func(s string) bool { return strings.HasSuffix(s, "work ended") }); !slices.Equal(got, want) {
		t.Errorf("order = %q, want %q", got, want)
	}
}

func TestWhatTheGraceDoesNotCoverIsCutOff(t *testing.T) {
	d := &diary{}
	f := newFake("slow", d)
	urls, stop, result := start(t, 50*time.Millisecond, f)
	broken := make(chan error, 1)
	go func() { _, _, err := get(urls[0]); broken <- err }()
	<-f.entered
	stop()
	if err := <-result; err != nil {
		t.Errorf("Run = %v, want nil: a cut is logged, not a failure", err)
	}
	if err := <-broken; err == nil {
		t.Error("the request was answered, want its connection cut")
	}
	eventually(t, "the handler notices", func() bool { return slices.Contains(d.read(), "slow cut off") })
}

func TestBackgroundWorkThatDoesNotStopIsAnError(t *testing.T) {
	f := newFake("deaf", &diary{})
	f.deaf = true
	_, stop, result := start(t, 10*time.Millisecond, f)
	stop()
	if err := <-result; err == nil || !strings.Contains(err.Error(), "did not stop") {
		t.Errorf("Run = %v, want that work did not stop", err)
	}
	close(f.gone)
}

func TestAServiceThatFailsDrainsTheWholeGroup(t *testing.T) {
	d := &diary{}
	bad, good := newFake("bad", d), newFake("good", d)
	_, _, result := start(t, time.Second, bad, good)
	boom := errors.New("boom")
	bad.fail <- boom
	if err := <-result; !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "bad: ") {
		t.Errorf("Run = %v, want the failure and whose it is", err)
	}
	for _, want := range []string{"bad drained", "good drained", "bad closed", "good closed"} {
		if !slices.Contains(d.read(), want) {
			t.Errorf("%q is missing in %q", want, d.read())
		}
	}
}

func TestAListenerThatBreaksDrainsTheGroup(t *testing.T) {
	f := newFake("one", &diary{})
	listeners, faults := svc.Listen(t.Context(), svc.Address{Variable: "A", Addr: "127.0.0.1:0"}, svc.Address{Variable: "B", Addr: "127.0.0.1:0"})
	if faults != nil {
		t.Fatal(faults)
	}
	g := svc.Group{
		Units: []svc.Unit{{Name: "one", Service: f, Listener: listeners[0]}}, Ops: svc.Ops{Listener: listeners[1], Metrics: prometheus.NewRegistry()},
		Grace: time.Second, Log: slog.New(slog.DiscardHandler),
	}
	if err := listeners[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run = %v, want net.ErrClosed", err)
	}
}

func TestTheOpsListenerShowsWhatItShouldAndOnlyToThisMachine(t *testing.T) {
	f := newFake("one", &diary{})
	urls, stop, result := start(t, time.Second, f)
	for path, want := range map[string]string{
		"/version": `"1.2.3"`, "/config": `[set]`, "/metrics": "", "/debug/pprof/": "goroutine", "/ready": `{"checks":{"database":"ok"},"status":"ready"}`,
	} {
		status, body, err := get(urls[1] + path)
		if err != nil || status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s = %d %.80q %v, want 200 with %q", path, status, body, err, want)
		}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, urls[1]+path, nil)
		req.Host = "rebound.example.org"
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s by another host name = %d, want 403", path, resp.StatusCode)
		}
	}
	close(f.release)
	if _, body, err := get(urls[0] + "/metrics"); err != nil || body != "done" {
		t.Errorf("/metrics on the public listener = %q, %v; want the service's own answer", body, err)
	}
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestListenTellsAllFaultsTogetherAndLeavesNothingOpen(t *testing.T) {
	taken, faults := svc.Listen(t.Context(), svc.Address{Variable: "TAKEN", Addr: "127.0.0.1:0"})
	if faults != nil {
		t.Fatal(faults)
	}
	defer func() { _ = taken[0].Close() }()
	free, faults := svc.Listen(t.Context(), svc.Address{Variable: "FREE", Addr: "127.0.0.1:0"})
	if faults != nil {
		t.Fatal(faults)
	}
	addr := free[0].Addr().String()
	if err := free[0].Close(); err != nil {
		t.Fatal(err)
	}
	_, faults = svc.Listen(t.Context(),
		svc.Address{Variable: "WISDOM_ADDR", Addr: taken[0].Addr().String()},
		svc.Address{Variable: "AGENTS_ADDR", Addr: addr},
		svc.Address{Variable: "OPS_ADDR", Addr: "192.0.2.1:1"})
	if len(faults) != 2 || !strings.Contains(faults[0].Error(), "WISDOM_ADDR: cannot listen on "+taken[0].Addr().String()+": the address is in use") ||
		!strings.HasPrefix(faults[1].Error(), "OPS_ADDR: ") {
		t.Errorf("faults = %v, want the taken address and the foreign one", faults)
	}
	again, faults := svc.Listen(t.Context(), svc.Address{Variable: "AGENTS_ADDR", Addr: addr})
	if faults != nil {
		t.Fatalf("the free address was left open: %v", faults)
	}
	_ = again[0].Close()
}

func TestAHeaderBeyondTheCapIsRefused(t *testing.T) {
	f := newFake("one", &diary{})
	urls, stop, result := start(t, time.Second, f)
	conn, err := net.Dial("tcp", strings.TrimPrefix(urls[0], "http://"))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = fmt.Fprintf(conn, "GET /quick HTTP/1.1\r\nHost: x\r\nX-Big: %s\r\n\r\n", bytes.Repeat([]byte("a"), 300<<10))
	}()
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 431" {
		t.Errorf("answer = %q, %v; want 431", answer, err)
	}
	_ = conn.Close()
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// lingerer asks another service when its background work is told to end.
type lingerer struct {
	*fake
	ask, public string
	answered    chan [2]error // inside, public
}

func (l *lingerer) Run(ctx context.Context) error {
	<-ctx.Done()
	_, _, inside := get(l.ask + "/quick")
	_, _, public := get(l.public + "/quick")
	l.answered <- [2]error{inside, public}
	return nil
}

func TestTheLastWorkOfAServiceCanStillAskTheOneBeforeItFromInside(t *testing.T) {
	d := &diary{}
	asked := newFake("asked", d)
	var addresses [4]svc.Address
	for i := range addresses {
		addresses[i] = svc.Address{Variable: "X", Addr: "127.0.0.1:0"}
	}
	listeners, faults := svc.Listen(t.Context(), addresses[:]...)
	if faults != nil {
		t.Fatal(faults)
	}
	asks := &lingerer{fake: newFake("asks", d), ask: "http://" + listeners[1].Addr().String(), public: "http://" + listeners[0].Addr().String(), answered: make(chan [2]error, 1)}
	g := svc.Group{
		Units: []svc.Unit{{Name: "asked", Service: asked, Listener: listeners[0], Inside: listeners[1]}, {Name: "asks", Service: asks, Listener: listeners[2]}},
		Ops:   svc.Ops{Listener: listeners[3], Metrics: prometheus.NewRegistry()}, Grace: 10 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- g.Run(ctx) }()
	eventually(t, "it serves", func() bool { _, _, err := get(asks.ask + "/quick"); return err == nil })
	stop()
	if err := <-result; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if got := <-asks.answered; got[0] != nil || got[1] == nil {
		t.Errorf("at the end: inside %v, public %v; want an answer from inside only", got[0], got[1])
	}
	if _, _, err := get(asks.ask + "/quick"); err == nil {
		t.Error("the listener inside is open after the end")
	}
}

func TestAUnitMayBeReachedFromInsideOnly(t *testing.T) {
	d := &diary{}
	listeners, faults := svc.Listen(t.Context(), svc.Address{Variable: "X", Addr: "127.0.0.1:0"}, svc.Address{Variable: "X", Addr: "127.0.0.1:0"}, svc.Address{Variable: "X", Addr: "127.0.0.1:0"})
	if faults != nil {
		t.Fatal(faults)
	}
	asks := &lingerer{fake: newFake("asks", d), ask: "http://" + listeners[0].Addr().String(), public: "http://" + listeners[1].Addr().String(), answered: make(chan [2]error, 1)}
	g := svc.Group{
		Units: []svc.Unit{{Name: "asked", Service: newFake("asked", d), Inside: listeners[0]}, {Name: "asks", Service: asks, Listener: listeners[1]}},
		Ops:   svc.Ops{Listener: listeners[2], Metrics: prometheus.NewRegistry()}, Grace: 10 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- g.Run(ctx) }()
	eventually(t, "it serves", func() bool { _, _, err := get(asks.ask + "/quick"); return err == nil })
	stop()
	if err := <-result; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if got := <-asks.answered; got[0] != nil {
		t.Errorf("while the other one ended: %v, want an answer", got[0])
	}
	if _, _, err := get(asks.ask + "/quick"); err == nil {
		t.Error("the listener inside is open after the end")
	}
}
