// Command bench measures the foundation: the private hop against a bare reverse
// proxy, the three kinds of credential against each other, the time from start to
// ready and the memory of an idle process. It builds and starts the real binary,
// sends requests over loopback, and prints ratios: absolute figures change with
// the machine, ratios of neighbouring runs do not.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/IntunoAI/intuno-go/bench/lab"
)

func main() {
	proxy := flag.String("proxy", "", "internal: run as the baseline reverse proxy in front of this address")
	listen := flag.String("listen", "", "internal: address of the baseline reverse proxy")
	rounds := flag.Int("rounds", 7, "how often each scenario runs; the median round counts")
	length := flag.Duration("length", 1500*time.Millisecond, "how long one scenario runs in a round")
	callers := flag.Int("callers", 32, "concurrent connections")
	profile := flag.String("profile", "", "write a CPU profile of wisdom during the last round of (3) to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *proxy != "" {
		exit(serveProxy(ctx, *listen, *proxy))
		return
	}
	exit(run(ctx, *rounds, *length, *callers, *profile))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, length time.Duration, callers int, profile string) error {
	w, err := newWorld(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.startAndIdle(ctx); err != nil {
		return err
	}
	scenarios, err := w.scenarios(ctx)
	if err != nil {
		return err
	}
	results := map[string][]lab.Result{}
	for round := range rounds {
		for _, s := range scenarios {
			if s.profiled && profile != "" && round == rounds-1 {
				go lab.Profile(ctx, w.ops, profile, length)
			}
			r, err := lab.Load(ctx, s.request, callers, length, 0)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			results[s.name] = append(results[s.name], r)
		}
	}
	report(scenarios, results, callers, rounds)
	return ctx.Err()
}

func report(scenarios []scenario, results map[string][]lab.Result, callers, rounds int) {
	fmt.Printf("\n%d connections, median of %d interleaved rounds (rate relative to: per round, then median)\n\n", callers, rounds)
	fmt.Printf("%-52s %10s %9s %9s   %s\n", "scenario", "requests/s", "p50 ms", "p99 ms", "rate ratio")
	for _, s := range scenarios {
		all := results[s.name]
		var ratios []float64
		for i, r := range all {
			ratios = append(ratios, r.Rate/results[s.against][i].Rate)
		}
		target := ""
		if s.target != "" {
			target = " (target " + s.target + ")"
		}
		fmt.Printf("%-52s %10.0f %9.3f %9.3f   %.2f of %s%s\n", s.name,
			lab.Median(all, func(r lab.Result) float64 { return r.Rate }),
			lab.Median(all, func(r lab.Result) float64 { return float64(r.P50.Microseconds()) / 1000 }),
			lab.Median(all, func(r lab.Result) float64 { return float64(r.P99.Microseconds()) / 1000 }),
			lab.Median(ratios, func(f float64) float64 { return f }), s.against[:3], target)
	}
}
