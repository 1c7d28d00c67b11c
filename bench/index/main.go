// Command index measures the search index at sizes that grow: synthetic agents in
// clusters are put into a database by the real store, loaded by the real catalog, and
// found by the real service, embedding, ranking and reading the rows included. It
// prints times per query, recall against an exact search over vectors that were never
// rounded, memory, the time to load at start, and the time until a change is found.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	sizes := flag.String("sizes", "10000,100000,1000000", "comma list of numbers of agents")
	queries := flag.Int("queries", 1000, "queries timed for each size")
	judged := flag.Int("judged", 200, "queries whose recall is measured for each size")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *sizes, *queries, *judged); err != nil {
		fmt.Fprintln(os.Stderr, "index:", err)
		os.Exit(1)
	}
}

// row is what is printed of one size.
type row struct {
	agents      int
	p50, p99    time.Duration
	recall      float64
	megabytes   float64
	load        time.Duration
	change      time.Duration // median
	exact       time.Duration // p50 of the exact search, the baseline
	preparation time.Duration
}

func run(ctx context.Context, sizes string, queries, judged int) error {
	debug.SetGCPercent(400) // as the intuno command sets it
	var rows []row
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("sizes: %w", err)
		}
		r, err := measure(ctx, n, queries, judged)
		if err != nil {
			return fmt.Errorf("%d agents: %w", n, err)
		}
		rows = append(rows, r)
		fmt.Fprintf(os.Stderr, "%d agents done (%s to prepare)\n", n, r.preparation.Round(time.Second))
	}
	fmt.Printf("%d CPUs; %d queries a size, of which %d are judged; times in ms\n\n", runtime.NumCPU(), queries, judged)
	fmt.Printf("%9s %8s %8s %10s %10s %9s %9s %10s %12s\n", "agents", "p50", "p99", "recall@10", "memory MB", "load s", "change", "exact p50", "exact/ours")
	for _, r := range rows {
		fmt.Printf("%9d %8.2f %8.2f %10.3f %10.0f %9.2f %9.2f %10.2f %12.1f\n", r.agents, ms(r.p50), ms(r.p99), r.recall, r.megabytes,
			r.load.Seconds(), ms(r.change), ms(r.exact), float64(r.exact)/float64(r.p50))
	}
	for i := 1; i < len(rows); i++ {
		a, b := rows[i-1], rows[i]
		fmt.Printf("\n%d to %d agents: %.1f times as many, p50 %.1f times, load %.1f times", a.agents, b.agents,
			float64(b.agents)/float64(a.agents), float64(b.p50)/float64(a.p50), float64(b.load)/float64(a.load))
	}
	fmt.Println()
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func percentile(times []time.Duration, p float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}
