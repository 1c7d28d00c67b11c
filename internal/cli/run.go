package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/IntunoAI/intuno-go/internal/agents"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/config"
	"github.com/IntunoAI/intuno-go/internal/svc"
	"github.com/IntunoAI/intuno-go/internal/wisdom"
)

// process is what the services of one process share.
type process struct {
	log     *slog.Logger
	metrics *prometheus.Registry
	grace   time.Duration
	config  map[string][]config.Setting // of each service, redacted
}

// gcPercent lets the heap grow to five times what is live before it is collected.
// What is live is small (a few megabytes, see fitGC), so this trades little memory for fewer
// collections under load; `make bench` prints both. GOGC in the environment wins.
const gcPercent, defaultGCPercent = 400, 100

func newProcess(errOut io.Writer, level string, grace time.Duration) *process {
	if before := debug.SetGCPercent(gcPercent); before != defaultGCPercent {
		debug.SetGCPercent(before)
	}
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // Check has told the fault
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	log := slog.New(slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: l}))
	slog.SetDefault(log) // net/http writes what peers send at the wrong moment to the standard logger
	return &process{log: log, metrics: metrics, grace: grace, config: map[string][]config.Setting{}}
}

// largeHeap is when memory counts for more than collections: the copy of a large
// registry lives as long as the process.
const largeHeap = 128 << 20 // bytes

// fitGC goes back to the runtime's own pace if the services hold much.
func fitGC() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc < largeHeap {
		return
	}
	if before := debug.SetGCPercent(defaultGCPercent); before != gcPercent {
		debug.SetGCPercent(before) // GOGC in the environment
	}
}

// newWisdom builds wisdom. demo is where the demo agents are; "": there are none.
func (p *process) newWisdom(ctx context.Context, cfg wisdom.Config, demo string) (svc.Service, error) {
	s, err := wisdom.New(ctx, cfg, wisdom.Deps{
		Log: p.log.With("service", "wisdom"), Now: clock.System, Version: release, Metrics: p.metrics, Demo: demo,
	})
	if err != nil {
		return nil, fmt.Errorf("start wisdom: %w", err)
	}
	fitGC()
	return s, nil
}

func (p *process) newAgents(ctx context.Context, cfg agents.Config) (svc.Service, error) {
	s, err := agents.New(ctx, cfg, agents.Deps{
		Log: p.log.With("service", "agents"), Now: clock.System, Version: release, Metrics: p.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("start wisdom-agents: %w", err)
	}
	return s, nil
}

// run serves the units until the process is told to stop.
func (p *process) run(ctx context.Context, ops net.Listener, units ...svc.Unit) error {
	group := svc.Group{
		Units: units, Grace: p.grace, Log: p.log,
		Ops: svc.Ops{Listener: ops, Metrics: p.metrics, Version: thisBuild(), Config: p.config},
	}
	return group.Run(ctx)
}

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. A second
// one ends the process at once: before the context ends the signals have their default
// effect again, so that whoever sees the drain can end it.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	first := make(chan os.Signal, 1)
	signal.Notify(first, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case <-first:
		case <-ctx.Done():
		}
		signal.Stop(first)
		cancel()
	}()
	return ctx, cancel
}

// closeAll gives listeners back after a start that came to nothing.
func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// withFlag returns vars with the variable set, if the flag was given.
func withFlag(vars map[string]string, name, value string) {
	if value != "" {
		vars[name] = value
	}
}
