package cli

import (
	"context"
	"errors"
	"flag"
	"maps"
	"net"

	"github.com/IntunoAI/intuno-go/internal/agents"
	"github.com/IntunoAI/intuno-go/internal/config"
	"github.com/IntunoAI/intuno-go/internal/svc"
	"github.com/IntunoAI/intuno-go/internal/wisdom"
)

func wisdomCommand() command {
	return command{
		path:    "wisdom",
		summary: "run the public service alone",
		about: `
Run wisdom, the public API, without its private host. Its configuration is the
environment (see the README for every variable); JWT_SECRET_KEY is required. Copies
of it may share a PostgreSQL database, named by DATABASE_URL. It does not encrypt
connections: put a TLS proxy in front.

SIGTERM lets running requests finish within SHUTDOWN_GRACE_SECONDS; a second one ends
the process at once. Logs are JSON on standard error.`,
		example: `
JWT_SECRET_KEY=$(openssl rand -hex 32) \
AGENTS_SERVICE_API_KEY=... INTUNO_AGENTS_API_KEY=... \
INTUNO_AGENTS_BASE_URL=http://agents.internal:8001 \
DATABASE_URL=postgres://intuno:...@db.internal/wisdom \
intuno wisdom --addr :8000`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal) error {
			addr := flags.String("addr", "", "`HOST:PORT` to listen on (default WISDOM_ADDR, else 127.0.0.1:8000)")
			ops := flags.String("ops-addr", "", "`HOST:PORT` of metrics, loopback only (default OPS_ADDR, else 127.0.0.1:9090)")
			return func(ctx context.Context, t *terminal) error { return t.wisdom(ctx, *addr, *ops) }
		},
	}
}

func (t *terminal) wisdom(ctx context.Context, addr, ops string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	vars := maps.Clone(t.vars)
	withFlag(vars, "WISDOM_ADDR", addr)
	withFlag(vars, "OPS_ADDR", ops)
	cfg, faults := wisdom.ParseConfig(vars)
	faults = append(faults, cfg.Check()...)
	listeners, faults := listen(ctx, faults, svc.Address{Variable: "WISDOM_ADDR", Addr: cfg.Addr}, svc.Address{Variable: "OPS_ADDR", Addr: cfg.OpsAddr})
	if faults != nil {
		return faultList(faults)
	}
	p := newProcess(t.err, cfg.LogLevel, cfg.ShutdownGrace)
	p.config["wisdom"] = config.Describe(&cfg)
	s, err := p.newWisdom(ctx, cfg, "")
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	t.print("wisdom listens on %s, metrics on %s\n", listeners[0].Addr(), listeners[1].Addr())
	return p.run(ctx, listeners[1], svc.Unit{Name: "wisdom", Service: s, Listener: listeners[0]})
}

func agentsCommand() command {
	return command{
		path:    "agents",
		summary: "run the private host of entities alone",
		about: `
Run wisdom-agents, the private host of users' entities. Only wisdom may reach it: it
trusts whoever sends AGENTS_API_KEY, which is required and equals wisdom's
INTUNO_AGENTS_API_KEY. It refuses an address that is neither loopback nor private
unless AGENTS_ALLOW_PUBLIC_BIND=true. Copies of it may share a PostgreSQL database,
named by AGENTS_DATABASE_URL, which is never that of wisdom.

SIGTERM lets running requests finish within SHUTDOWN_GRACE_SECONDS; a second one ends
the process at once. Logs are JSON on standard error.`,
		example: `
AGENTS_API_KEY=... AGENTS_SERVICE_API_KEY=... \
INTUNO_BASE_URL=http://wisdom.internal:8000 \
AGENTS_DATABASE_URL=postgres://intuno:...@db.internal/agents \
intuno agents --addr 10.0.0.7:8001`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal) error {
			addr := flags.String("addr", "", "`HOST:PORT` to listen on (default AGENTS_ADDR, else 127.0.0.1:8001)")
			ops := flags.String("ops-addr", "", "`HOST:PORT` of metrics, loopback only (default OPS_ADDR, else 127.0.0.1:9091)")
			return func(ctx context.Context, t *terminal) error { return t.agents(ctx, *addr, *ops) }
		},
	}
}

func (t *terminal) agents(ctx context.Context, addr, ops string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	vars := maps.Clone(t.vars)
	withFlag(vars, "AGENTS_ADDR", addr)
	withFlag(vars, "OPS_ADDR", ops)
	cfg, faults := agents.ParseConfig(vars)
	faults = append(faults, cfg.Check()...)
	listeners, faults := listen(ctx, faults, svc.Address{Variable: "AGENTS_ADDR", Addr: cfg.Addr}, svc.Address{Variable: "OPS_ADDR", Addr: cfg.OpsAddr})
	if faults != nil {
		return faultList(faults)
	}
	p := newProcess(t.err, cfg.LogLevel, cfg.ShutdownGrace)
	p.config["agents"] = config.Describe(&cfg)
	s, err := p.newAgents(ctx, cfg)
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	t.print("wisdom-agents listens on %s, metrics on %s\n", listeners[0].Addr(), listeners[1].Addr())
	return p.run(ctx, listeners[1], svc.Unit{Name: "agents", Service: s, Listener: listeners[0]})
}

// listen opens the addresses that no fault is about, so that an address in use is
// told together with every other fault. With any fault it leaves nothing open.
func listen(ctx context.Context, faults []error, addresses ...svc.Address) ([]net.Listener, []error) {
	var good []svc.Address
	for _, a := range addresses {
		if !names(faults, a.Variable) {
			good = append(good, a)
		}
	}
	listeners, more := svc.Listen(ctx, good...)
	faults = append(faults, more...)
	if len(faults) == 0 {
		return listeners, nil
	}
	if err := closeAll(listeners); err != nil {
		faults = append(faults, err)
	}
	return nil, faults
}
