// Command delivery measures the way of a message from the moment at which it is accepted
// to its receiver: a hundred webhooks in a process of their own, the real binary as one
// process or as four, on SQLite and on PostgreSQL with durable commits. It prints how
// many messages a second are accepted and delivered, how long one takes at half of that
// load, what one dead receiver changes for the other hundred, what a million messages
// that nobody takes change for those that somebody does, and what pages of a large
// network cost against those of a small one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/IntunoAI/intuno-go/bench/lab"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

type options struct {
	rounds  int
	length  time.Duration
	backlog int
	engine  string
	part    string
	profile string
}

func main() {
	var o options
	receivers := flag.String("receivers", "", "internal: run as the receivers at this address")
	quick := flag.Bool("quick", false, "one short round, a small backlog: whether it works, not how fast")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each scenario runs; the median round counts")
	flag.DurationVar(&o.length, "length", 3*time.Second, "how long one scenario runs in a round")
	flag.IntVar(&o.backlog, "backlog", 1_000_000, "undelivered messages of dead receivers")
	flag.StringVar(&o.engine, "engine", "", "only sqlite or only postgresql")
	flag.StringVar(&o.part, "part", "", "only delivery, processes (of wisdom, four of them) or backlog")
	flag.StringVar(&o.profile, "profile", "", "write CPU profiles of wisdom under load to files whose names begin so")
	flag.Parse()
	if *quick {
		o.rounds, o.length, o.backlog = 1, time.Second, min(o.backlog, 20_000)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *receivers != "" {
		err = serveReceivers(*receivers)
	} else {
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
	receivers, err := lab.FreeAddr()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if _, _, err := l.Start(ctx, "http://"+receivers+countPath, nil, self, "-receivers", receivers); err != nil {
		return err
	}
	for _, engine := range []string{"sqlite", "postgresql"} {
		if o.engine != "" && o.engine != engine {
			continue
		}
		if err := measure(ctx, &bench{lab: l, receivers: receivers, engine: engine, options: o}); err != nil {
			return fmt.Errorf("%s: %w\n%s", engine, err, l.Complaints())
		}
	}
	return ctx.Err()
}

// bench is what is measured on one engine.
type bench struct {
	options
	lab       *lab.Lab
	receivers string // address
	engine    string
	server    string // URL of a database on PostgreSQL
}

// measure runs everything on one engine.
func measure(ctx context.Context, b *bench) (err error) {
	if b.engine == "postgresql" {
		var stop func() error
		if b.server, stop, err = testkit.StartPostgres(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	parts := []struct {
		name string
		run  func(context.Context) error
	}{
		{"delivery", func(ctx context.Context) error { return b.delivery(ctx, 1) }},
		{"processes", func(ctx context.Context) error { return b.delivery(ctx, 4) }},
		{"backlog", b.aside},
	}
	for _, part := range parts {
		if b.part != "" && b.part != part.name || b.server == "" && part.name == "processes" {
			continue
		}
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// database makes a new one of that name and returns its URL.
func (b *bench) database(ctx context.Context, name string) (string, error) {
	if b.server == "" {
		return "sqlite:" + filepath.Join(b.lab.Dir, name+".db"), nil
	}
	conn, err := pgx.Connect(ctx, b.server)
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return "", err
	}
	u, err := url.Parse(b.server)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}
