// Command broker measures what an invocation through the broker costs: an agent that
// answers at once, in a process of its own, is called directly and by POST
// /broker/invoke with everything on (authentication, checks, conversation, two
// messages, log), on SQLite and on PostgreSQL with durable commits, by one caller and
// by 64. Then it measures what invocations that hang on a dead agent do to others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/IntunoAI/intuno-go/bench/lab"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

type options struct {
	rounds  int
	length  time.Duration
	engine  string
	profile string
}

func main() {
	var o options
	agent := flag.String("agent", "", "internal: run as the agent at this address")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each scenario runs; the median round counts")
	flag.DurationVar(&o.length, "length", 2*time.Second, "how long one scenario runs in a round")
	flag.StringVar(&o.engine, "engine", "", "only sqlite or only postgresql")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of wisdom with 64 callers to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := serveAgent(*agent)
	if *agent == "" {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	l, err := lab.New(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	agent, err := lab.FreeAddr()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if _, _, err := l.Start(ctx, "http://"+agent+"/", nil, self, "-agent", agent); err != nil {
		return err
	}
	for _, engine := range []string{"sqlite", "postgresql"} {
		if o.engine != "" && o.engine != engine {
			continue
		}
		if err := measure(ctx, l, agent, engine, o); err != nil {
			return fmt.Errorf("%w\n%s", err, l.Complaints())
		}
	}
	return ctx.Err()
}

// measure runs everything on one engine.
func measure(ctx context.Context, l *lab.Lab, agent, engine string, o options) (err error) {
	url := "sqlite:" + filepath.Join(l.Dir, "wisdom.db")
	if engine == "postgresql" {
		var stop func() error
		if url, stop, err = testkit.StartPostgres(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	w, err := newWorld(ctx, l, agent, url)
	if err != nil {
		return err
	}
	defer l.Stop(w.process)
	if err := w.invocations(ctx, engine, o); err != nil {
		return err
	}
	return w.neighbours(ctx, engine, o)
}
