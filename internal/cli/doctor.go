package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/IntunoAI/intuno-go/internal/agents"
	agentsstore "github.com/IntunoAI/intuno-go/internal/agents/store"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/config"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom"
	wisdomstore "github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

func doctorCommand() command {
	return command{
		path:    "doctor",
		summary: "check configuration, secrets, databases, the private host and the clock",
		about: `
Check an installation and print one line a check: ok, warn or fail. It changes nothing,
and works whether or not the services run. The exit code is 1 if anything failed.

It looks at the same environment as the services and, for 'intuno serve', at the data
directory. Checked are: every variable, the strength of the secrets, the modes of the
data directory and its files, each database and its version, the private host and the
key to it, and the clocks of this machine, the host and PostgreSQL.`,
		example: "intuno doctor --data ~/intuno",
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal) error {
			data := flags.String("data", "", "`DIR` of the data of serve (default DATA_DIR, else ./data)")
			service := flags.String("service", "", "`NAME` of what runs here: all, wisdom or agents (default: found out)")
			ready := flags.Bool("ready", false, "only ask the ops listener whether the running service is ready: the probe of a container")
			return func(ctx context.Context, t *terminal) error {
				if !slices.Contains([]string{"", "all", "wisdom", "agents"}, *service) {
					return usageError{text: "--service must be all, wisdom or agents"}
				}
				vars := maps.Clone(t.vars)
				withFlag(vars, "DATA_DIR", *data)
				if *ready {
					return t.ready(ctx, vars, *service)
				}
				return t.doctor(ctx, vars, *service)
			}
		},
	}
}

// doctor prints the lines of a report and counts what failed.
type doctor struct {
	t      *terminal
	now    clock.Now
	failed int
}

func (d *doctor) ok(what, format string, args ...any)   { d.line("ok", what, format, args...) }
func (d *doctor) warn(what, format string, args ...any) { d.line("warn", what, format, args...) }
func (d *doctor) fail(what, format string, args ...any) {
	d.failed++
	d.line("fail", what, format, args...)
}

func (d *doctor) line(state, what, format string, args ...any) {
	text := strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n", "; ")
	d.t.print("%-4s  %-15s  %s\n", state, what, text)
}

func (t *terminal) doctor(ctx context.Context, vars map[string]string, service string) error {
	d := &doctor{t: t, now: clock.System}
	dir := dataDir(vars)
	secrets, err := readSecrets(dir)
	if service == "" {
		service = deployed(vars, secrets != nil || err != nil)
	}
	if service == "all" {
		if err != nil {
			d.fail("secrets", "%s", err)
		}
		d.dataDir(dir, secrets != nil)
		vars = withSecrets(vars, secrets)
		if running, err := os.ReadFile(filepath.Join(dir, runningFile)); err == nil {
			addresses, _ := parseLines(running) // what cannot be read is not there
			maps.Copy(vars, addresses)
		} else {
			withFlag(vars, "INTUNO_AGENTS_BASE_URL", hostURL(vars["AGENTS_ADDR"]))
		}
	}
	var w *wisdom.Config
	var a *agents.Config
	faults := d.configuration(vars, service, &w, &a)
	d.secrets(w, a)
	if w != nil {
		d.database(ctx, "wisdom database", "wisdom", "DATABASE_URL", faults, w.DatabaseURL)
	}
	if a != nil {
		d.database(ctx, "agents database", "agents", "AGENTS_DATABASE_URL", faults, a.DatabaseURL)
	}
	d.host(ctx, faults, w, a)
	if d.failed > 0 {
		return fmt.Errorf("%d of the checks failed", d.failed)
	}
	return nil
}

// deployed guesses what runs here. Whoever has a data directory with secrets runs serve.
func deployed(vars map[string]string, embedded bool) string {
	w, a := vars["JWT_SECRET_KEY"] != "", vars["AGENTS_API_KEY"] != ""
	switch {
	case embedded || w == a:
		return "all"
	case w:
		return "wisdom"
	}
	return "agents"
}

// hostURL is where the host of this machine is reached when it listens on addr.
func hostURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// configuration parses what runs here and tells every fault.
func (d *doctor) configuration(vars map[string]string, service string, w **wisdom.Config, a **agents.Config) []error {
	var faults []error
	switch service {
	case "all":
		var e embedded
		e, faults = parseEmbedded(vars)
		*w, *a = &e.wisdom, &e.agents
	case "wisdom":
		c, f := wisdom.ParseConfig(vars)
		*w, faults = &c, append(f, c.Check()...)
	default:
		c, f := agents.ParseConfig(vars)
		*a, faults = &c, append(f, c.Check()...)
	}
	for _, fault := range faults {
		d.fail("configuration", "%s", fault)
	}
	if len(faults) == 0 {
		d.ok("configuration", "no fault in the variables of %s", map[string]string{"all": "both services", "wisdom": "wisdom", "agents": "wisdom-agents"}[service])
	}
	return faults
}

// dataDir looks at who else may read the data of serve.
func (d *doctor) dataDir(dir string, secrets bool) {
	info, err := os.Stat(dir)
	if err != nil {
		d.fail("data directory", "%s: run 'intuno serve' once, or name another with --data", reasonOf(err))
		return
	}
	private := d.mode(dir, info, privateDir)
	for _, name := range []string{secretsFile, "wisdom.db", "agents.db"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			continue // a missing database is told by its own check
		}
		private = d.mode(filepath.Join(dir, name), info, privateFile) && private
	}
	if !secrets {
		d.warn("data directory", "%s has no %s: 'intuno serve' makes it", dir, secretsFile)
	} else if private {
		d.ok("data directory", "%s and what is in it is for its owner only", dir)
	}
}

func (d *doctor) mode(path string, info fs.FileInfo, want fs.FileMode) (private bool) {
	mode := info.Mode().Perm()
	if mode&^want != 0 {
		d.warn("file mode", "%s has mode %04o, others may get at it: run 'chmod %04o %s'", path, mode, want, path)
	}
	return mode&^want == 0
}

// reasonOf is the error without the name of the system call.
func reasonOf(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Path + ": " + path.Err.Error()
	}
	return err.Error()
}

// secrets judges what Check lets pass outside production: known, plain and equal ones.
func (d *doctor) secrets(w *wisdom.Config, a *agents.Config) {
	var all []config.Named
	add := func(name string, values ...secret.String) {
		for _, v := range values {
			if !v.Blank() {
				all = append(all, config.Named{Name: name, Value: v})
			}
		}
	}
	if w != nil {
		add("JWT_SECRET_KEY", w.JWTSecretKey)
		add("CREDENTIALS_ENCRYPTION_KEY", w.EncryptionKeys()...)
		add("CALLBACK_SIGNING_KEY", w.CallbackSigningKey)
		add("AGENTS_SERVICE_API_KEY", w.ServiceKeys()...)
		add("INTUNO_AGENTS_API_KEY", w.AgentsAPIKey)
	}
	if a != nil {
		add("AGENTS_API_KEY", a.APIKey)
		if w == nil {
			add("AGENTS_SERVICE_API_KEY", a.ServiceKey())
		}
	}
	weak := 0
	for _, s := range all {
		switch {
		case config.WellKnown(s.Value):
			d.fail("secrets", "%s is a well-known value: set %d random bytes, such as 'openssl rand -hex 32' prints", s.Name, config.MinSecret)
		case s.Value.Len() < config.MinSecret:
			d.warn("secrets", "%s is shorter than %d characters, production refuses it", s.Name, config.MinSecret)
		case variety(s.Value) < 10:
			d.warn("secrets", "%s has few different characters: it does not look random", s.Name)
		default:
			continue
		}
		weak++
	}
	var k config.Checks
	k.Distinct(all...)
	for _, fault := range k.Faults {
		d.warn("secrets", "%s", fault)
	}
	if weak+len(k.Faults) == 0 && len(all) > 0 {
		d.ok("secrets", "%d set, each long, random-looking and different from the others", len(all))
	}
	if w != nil && len(w.ServiceKeys()) == 0 {
		d.warn("secrets", "AGENTS_SERVICE_API_KEY is not set: delegation is off, entities cannot act for their owners")
	}
	if w != nil && w.AgentsAPIKey.Blank() {
		d.warn("secrets", "INTUNO_AGENTS_API_KEY is not set: /personal answers 502")
	}
}

// variety is the number of different bytes.
func variety(s secret.String) int {
	seen := map[byte]bool{}
	for _, b := range []byte(s.Reveal()) {
		seen[b] = true
	}
	return len(seen)
}

// database looks at version and clock, without creating or changing anything.
func (d *doctor) database(ctx context.Context, what, service, variable string, faults []error, url secret.String) {
	if names(faults, variable) {
		return // told already
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	migrations := wisdomstore.Migrations()
	if service == "agents" {
		migrations = agentsstore.Migrations()
	}
	db, err := sqldb.Open(ctx, sqldb.Options{URL: url.Reveal(), Migrations: migrations, Service: service, NoMigrate: true})
	if errors.Is(err, fs.ErrNotExist) {
		d.fail(what, "there is no database %s yet: start the service once", sqldb.Redact(url.Reveal()))
		return
	}
	if err != nil {
		d.fail(what, "%s", err)
		return
	}
	defer func() { _ = db.Close() }() // opened to look only
	current, known, err := db.Version(ctx)
	switch {
	case err != nil:
		d.fail(what, "%s", err)
		return
	case current < known:
		d.fail(what, "it is at version %d and this program needs %d: start the service, it migrates", current, known)
	default:
		d.ok(what, "%s at version %d", sqldb.Redact(url.Reveal()), current)
	}
	if !db.Dialect().Shared() {
		return // a file has no clock of its own
	}
	var seconds float64
	asked := d.now()
	if err := db.Read().QueryRowContext(ctx, "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)").Scan(&seconds); err != nil {
		d.fail("clock", "the database does not tell the time: %s", err)
		return
	}
	d.clock("the database of "+service, clock.FromMicros(int64(seconds*1e6)), asked, 0)
}
