package main

import (
	"context"
	"fmt"

	"github.com/IntunoAI/intuno-go/bench/lab"
)

// scenario is a load that is run in every round.
type scenario struct {
	name    string
	also    *target // sent to by turns with the hundred; connected meanwhile
	open    bool    // at half of what is sustained
	unbound bool
	results []result
}

// delivery measures n processes: what is taken in, what is sustained, how long one takes
// at half of that, and the last two with one dead receiver more.
func (b *bench) delivery(ctx context.Context, n int) error {
	w, err := b.newWorld(ctx, fmt.Sprint("delivery", n), n)
	if err != nil {
		return err
	}
	defer w.stop()
	warm, err := w.send(ctx, w.live, pace{length: b.length})
	if err != nil {
		return err
	}
	rate := warm.delivered / 2
	list := []*scenario{
		{name: "taken in", unbound: true},
		{name: "sustained"}, {name: "sustained, one refuses", also: &w.refused}, {name: "sustained, one hangs", also: &w.hanging},
		{name: "half", open: true}, {name: "half, one refuses", open: true, also: &w.refused}, {name: "half, one hangs", open: true, also: &w.hanging},
	}
	for round := range b.rounds {
		for _, s := range list {
			if b.profile != "" && round == b.rounds-1 && s.name == "sustained" {
				go lab.Profile(ctx, w.nodes[0].ops, fmt.Sprintf("%s-%s-%d.pprof", b.profile, b.engine, n), b.length)
			}
			if err := w.play(ctx, s, rate); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		var sustained float64
		for _, r := range list[1].results {
			sustained += r.delivered / float64(len(list[1].results))
		}
		rate = sustained / 2
	}
	b.report(n, list)
	return nil
}

// play runs a scenario once.
func (w *world) play(ctx context.Context, s *scenario, rate float64) error {
	targets, p := w.live, pace{length: w.length, unbound: s.unbound}
	if s.open {
		p.rate = rate
	}
	if s.also != nil {
		if err := w.connect(ctx, *s.also, true); err != nil {
			return err
		}
		targets = append(targets[:len(targets):len(targets)], *s.also)
	}
	r, err := w.send(ctx, targets, p)
	if err != nil {
		return err
	}
	s.results = append(s.results, r)
	if s.also != nil {
		return w.connect(ctx, *s.also, false)
	}
	return nil
}

// targets are the rates of issue 5, messages a second, of one process and more.
func targets(engine string) float64 {
	if engine == "sqlite" {
		return 1500
	}
	return 2000
}

func (b *bench) report(n int, list []*scenario) {
	fmt.Printf("\n%s, %d process(es), %d receivers in %d networks, %d senders (median of %d interleaved rounds of %s; ms)\n\n",
		b.engine, n, receivers, networks, senders, b.rounds, b.length)
	fmt.Printf("%-24s %10s %11s %9s %9s %9s %9s %9s %8s\n", "load", "accepted/s", "delivered/s", "POST p50", "POST p99", "way p50", "way p99", "due p99", "backlog")
	for _, s := range list {
		fmt.Printf("%-24s %10.0f %11.0f %9.2f %9.2f %9.2f %9.2f %9.2f %8.0f\n", s.name, s.median(func(r result) float64 { return r.accepted }),
			s.median(func(r result) float64 { return r.delivered }), s.median(func(r result) float64 { return r.post50 }), s.median(func(r result) float64 { return r.post99 }),
			s.median(func(r result) float64 { return r.p50 }), s.median(func(r result) float64 { return r.p99 }), s.median(func(r result) float64 { return r.due99 }),
			s.median(func(r result) float64 { return float64(r.backlog) }))
	}
	sustained, half := list[1], list[4]
	fmt.Printf("\nway: from the answer of the POST until the webhook is called; due: from when it was to be sent\n")
	fmt.Printf("sustained, delivered/s        %8.0f   (target >= %.0f)\n", sustained.median(func(r result) float64 { return r.delivered }), targets(b.engine))
	fmt.Printf("half of that, way p99 ms      %8.1f   (target <= 250)\n", half.median(func(r result) float64 { return r.p99 }))
	for i, how := range []string{"refuses", "hangs"} {
		fmt.Printf("one %-8s delivered/s ratio %7.2f   (target >= 0.90)\n", how, ratio(list[2+i], sustained, func(r result) float64 { return r.delivered }))
		fmt.Printf("one %-8s way p99 ratio     %7.2f   (target <= 2)\n", how, ratio(list[5+i], half, func(r result) float64 { return r.p99 }))
	}
}

func (s *scenario) median(value func(result) float64) float64 { return lab.Median(s.results, value) }

// ratio is the median of the ratios of each round.
func ratio(of, to *scenario, value func(result) float64) float64 {
	var list []float64
	for i := range of.results {
		list = append(list, value(of.results[i])/value(to.results[i]))
	}
	return lab.Median(list, func(f float64) float64 { return f })
}
