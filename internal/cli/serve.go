package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/IntunoAI/intuno-go/internal/agents"
	"github.com/IntunoAI/intuno-go/internal/config"
	"github.com/IntunoAI/intuno-go/internal/svc"
	"github.com/IntunoAI/intuno-go/internal/wisdom"
)

func serveCommand() command {
	return command{
		path:    "serve",
		summary: "run everything in one process, on this machine only",
		about: `
Run wisdom and wisdom-agents in one process. Data and secrets are kept in one
directory, which is made on the first start; nothing needs to be configured. The two
services talk over loopback HTTP exactly as when they are apart, each with a database
of its own. Every variable of the environment counts as for the two services, except
that their addresses for each other follow from where they listen.

Four small agents are part of the process: a calculator, a converter of units, a
counter of words, and one for dates and time zones. They are public agents of this
installation, and --no-demo leaves them out; so does ENVIRONMENT=production, which
allows no agent to be reached by plain http.

Only loopback addresses are accepted. To serve other machines, run 'intuno wisdom' and
'intuno agents' behind a proxy.

SIGTERM or Ctrl-C lets running requests finish; a second one ends the process at once.
Logs are JSON on standard error.`,
		example: "intuno serve --data ~/intuno 2> ~/intuno.log",
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal) error {
			var o serveFlags
			flags.StringVar(&o.data, "data", "", "`DIR` for databases and secrets (default DATA_DIR, else ./data)")
			flags.StringVar(&o.addr, "addr", "", "`HOST:PORT` of the public API (default WISDOM_ADDR, else 127.0.0.1:8000)")
			flags.StringVar(&o.agentsAddr, "agents-addr", "", "`HOST:PORT` of the private host (default AGENTS_ADDR, else 127.0.0.1:8001)")
			flags.StringVar(&o.opsAddr, "ops-addr", "", "`HOST:PORT` of metrics (default OPS_ADDR, else 127.0.0.1:9090)")
			flags.BoolVar(&o.noDemo, "no-demo", false, "leave out the demo agents")
			return func(ctx context.Context, t *terminal) error { return t.serve(ctx, o) }
		},
	}
}

type serveFlags struct {
	data, addr, agentsAddr, opsAddr string
	noDemo                          bool
}

// embedded is the configuration of both services in one process.
type embedded struct {
	dir    string
	wisdom wisdom.Config
	agents agents.Config
}

// parseEmbedded reads and checks both configurations, and what each must not have in
// common with the other.
func parseEmbedded(vars map[string]string) (embedded, []error) {
	e := embedded{dir: dataDir(vars)}
	var k config.Checks
	for _, name := range []string{"WISDOM_ADDR", "AGENTS_ADDR", "OPS_ADDR"} {
		if host, _, err := net.SplitHostPort(vars[name]); err == nil && !config.Loopback(host) {
			k.Fault(name, "must be a loopback address: to serve other machines, run 'intuno wisdom' and 'intuno agents' behind a proxy")
		}
	}
	var faults []error
	e.wisdom, faults = wisdom.ParseConfig(vars)
	a, more := agents.ParseConfig(vars)
	e.agents = a
	faults = append(faults, more...)
	a.AllowPublicBind = true // what is not loopback has been told above
	if e.agents.APIKey != e.wisdom.AgentsAPIKey {
		k.Fault("AGENTS_API_KEY", "must equal INTUNO_AGENTS_API_KEY: set one of the two")
	}
	e.wisdom.Host.HostDatabaseURL = a.DatabaseURL
	e.wisdom.Host.HostTurnTimeout = a.TurnTimeout
	faults = append(append(faults, e.wisdom.Check()...), a.Check()...)
	for _, fault := range faults {
		name, text, _ := strings.Cut(fault.Error(), ": ")
		if name != "OPS_ADDR" || !names(k.Faults, name) {
			k.Fault(name, "%s", text) // tells what both say once
		}
	}
	return e, k.Faults
}

// names reports whether a fault is about the variable.
func names(faults []error, variable string) bool {
	for _, fault := range faults {
		if strings.HasPrefix(fault.Error(), variable+": ") {
			return true
		}
	}
	return false
}

func (t *terminal) serve(ctx context.Context, o serveFlags) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	vars := maps.Clone(t.vars)
	withFlag(vars, "DATA_DIR", o.data)
	withFlag(vars, "WISDOM_ADDR", o.addr)
	withFlag(vars, "AGENTS_ADDR", o.agentsAddr)
	withFlag(vars, "OPS_ADDR", o.opsAddr)
	secrets, err := ensureSecrets(dataDir(vars), vars)
	if err != nil {
		return err
	}
	vars = withSecrets(vars, secrets)
	e, faults := parseEmbedded(vars)
	listeners, faults := listen(ctx, faults,
		svc.Address{Variable: "WISDOM_ADDR", Addr: e.wisdom.Addr},
		svc.Address{Variable: "AGENTS_ADDR", Addr: e.agents.Addr},
		svc.Address{Variable: "OPS_ADDR", Addr: e.wisdom.OpsAddr},
		svc.Address{Variable: "WISDOM_ADDR", Addr: "127.0.0.1:0"},
		svc.Address{Variable: "WISDOM_ADDR", Addr: "127.0.0.1:0"})
	if faults != nil {
		return faultList(faults)
	}
	e.connect(listeners[0].Addr(), listeners[1].Addr(), listeners[3].Addr(), vars["BASE_URL"] == "")

	p := newProcess(t.err, e.wisdom.LogLevel, e.wisdom.ShutdownGrace)
	if o.noDemo {
		listeners, err = listeners[:4], listeners[4].Close()
	}
	var units []svc.Unit
	if err == nil {
		units, err = p.startBoth(ctx, e, listeners)
	}
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	running := filepath.Join(e.dir, runningFile)
	if err := writePrivate(running, e.addresses()); err != nil {
		p.log.Warn("the doctor will not find this process", "error", err)
	}
	t.print("%s", banner(e, len(units) > 2))
	err = p.run(ctx, listeners[2], units...)
	return errors.Join(err, os.Remove(running))
}

// startBoth builds the services, at the same time: each waits for its own disk. A fifth
// listener is for the demo agents. They come last to an end: those who call them are
// still at work when the public listeners are closed.
func (p *process) startBoth(ctx context.Context, e embedded, listeners []net.Listener) ([]svc.Unit, error) {
	demo := ""
	if len(listeners) > 4 {
		demo = "http://" + listeners[4].Addr().String()
	}
	units := []svc.Unit{{Name: "wisdom", Listener: listeners[0], Inside: listeners[3]}, {Name: "agents", Listener: listeners[1]}}
	p.config["wisdom"], p.config["agents"] = config.Describe(&e.wisdom), config.Describe(&e.agents)
	var starting errgroup.Group
	starting.Go(func() (err error) { units[0].Service, err = p.newWisdom(ctx, e.wisdom, demo); return err })
	starting.Go(func() (err error) { units[1].Service, err = p.newAgents(ctx, e.agents); return err })
	err := starting.Wait()
	switch {
	case err == nil && demo == "":
		return units, nil
	case err == nil:
		return append([]svc.Unit{{Name: "demo", Service: demoAgents{}, Inside: listeners[4]}}, units...), nil
	}
	for _, u := range units {
		if u.Service != nil {
			err = errors.Join(err, u.Service.Close())
		}
	}
	return nil, err
}

// connect gives each service the address at which the other really listens. The host
// has a listener of wisdom for itself, so that the last turns can still call wisdom when
// the public listener is closed.
func (e *embedded) connect(wisdomAddr, agentsAddr, insideAddr net.Addr, defaultBase bool) {
	e.agents.WisdomBaseURL = "http://" + insideAddr.String()
	e.wisdom.AgentsBaseURL = "http://" + agentsAddr.String()
	e.wisdom.Addr, e.agents.Addr = wisdomAddr.String(), agentsAddr.String()
	if defaultBase {
		// On the default address this is the default of the contract.
		e.wisdom.BaseURL = strings.Replace("http://"+e.wisdom.Addr, "//127.0.0.1:", "//localhost:", 1)
	}
}

// addresses is the text of running.env.
func (e *embedded) addresses() []byte {
	return fmt.Appendf(nil, "# Where the running 'intuno serve' listens, for 'intuno doctor'.\nINTUNO_BASE_URL=%s\nINTUNO_AGENTS_BASE_URL=%s\n",
		"http://"+e.wisdom.Addr, e.wisdom.AgentsBaseURL)
}

// banner is what a newcomer sees first. Its lines work as they stand.
func banner(e embedded, demo bool) string {
	dir, err := filepath.Abs(e.dir)
	if err != nil {
		dir = e.dir
	}
	url := "http://" + e.wisdom.Addr
	question := ""
	if demo && !e.wisdom.Production() {
		question = fmt.Sprintf(`
Ask it something that one of the demo agents knows:

curl -sS %s/personal/entities/aria/messages -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"content": "what is 17.5 %% of 240?"}'
`, url)
	}
	return fmt.Sprintf(`Intuno is running.

  API   %[1]s
  docs  %[1]s/docs
  data  %[2]s (both databases and %[3]s)

Sign up, sign in, create an entity:

curl -sS %[1]s/auth/register -H 'Content-Type: application/json' -d '{"email": "ada@example.org", "password": "correct horse"}'
TOKEN=$(curl -sS %[1]s/auth/login -H 'Content-Type: application/json' -d '{"email": "ada@example.org", "password": "correct horse"}' | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
curl -sS %[1]s/personal/entities -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"name": "aria"}'
%[4]s
`, url, dir, secretsFile, question)
}
