//go:build unix

package testkit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// server is a PostgreSQL server that listens on a socket in its own folder.
type server struct {
	dir string
	// alive is the write end of the keeper's standard input. It is never closed: the
	// kernel does that when the test binary ends, however it ends.
	alive *os.File
}

// The keeper is the server's parent. It outlives a test binary that panics or is
// killed, long enough to stop the server and remove its folder. SIGQUIT is
// PostgreSQL's immediate shutdown.
const keeper = `
trap '' INT TERM HUP
dir=$1; shift
"$0" -D "$dir/data" -k "$dir" "$@" </dev/null &
pid=$!
cat >/dev/null
kill -QUIT $pid
wait $pid
cd / && rm -rf "$dir"
`

const startupTime = 30 * time.Second

func (s *server) url(database string) string {
	query := url.Values{"host": {s.dir}, "user": {"postgres"}, "sslmode": {"disable"}}
	return "postgres:///" + database + "?" + query.Encode()
}

func startServer(ctx context.Context, durable bool) (*server, error) {
	bin, err := serverBinaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "intuno-pg-")
	if err != nil {
		return nil, err
	}
	process := &syscall.SysProcAttr{Setsid: true} // a Ctrl-C is for the tests, not for the keeper
	if os.Getuid() == 0 {
		if process.Credential, err = unprivileged(dir); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "--no-sync",
		"-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C")
	initdb.Dir, initdb.SysProcAttr = dir, process
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	s := &server{dir: dir}
	if err := s.run(ctx, filepath.Join(bin, "postgres"), durable, process); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *server) run(ctx context.Context, postgres string, durable bool, process *syscall.SysProcAttr) error {
	settings := []string{"-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=32MB",
		"-c", "jit=off", "-c", "timezone=UTC"}
	if !durable {
		settings = append(settings, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	stdin, alive, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	// Nothing of the test's own output may be inherited: `go test` waits until every
	// holder of it is gone.
	cmd := exec.Command("/bin/sh", append([]string{"-c", keeper, postgres, s.dir}, settings...)...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, stdin, log, log, process
	if err := cmd.Start(); err != nil {
		return errors.Join(err, alive.Close())
	}
	s.alive = alive
	if err := s.await(ctx); err != nil {
		text, _ := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("%w; its log: %s", err, text), alive.Close())
	}
	return nil
}

// await returns when the server answers.
func (s *server) await(ctx context.Context) error {
	const step = 20 * time.Millisecond
	var err error
	for range startupTime / step {
		if err = s.ping(ctx); err == nil {
			return nil
		}
		time.Sleep(step)
	}
	return fmt.Errorf("no answer within %s: %w", startupTime, err)
}

// serverBinaries is the folder of initdb and postgres: the newest of those that
// Debian and others keep in versioned folders, else the one in PATH.
func serverBinaries() (string, error) {
	best, bestVersion := "", 0
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/local/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		folders, _ := filepath.Glob(pattern)
		for _, folder := range folders {
			version := trailingNumber(filepath.Base(filepath.Dir(folder)))
			if version > bestVersion && executable(folder, "postgres") && executable(folder, "initdb") {
				best, bestVersion = folder, version
			}
		}
	}
	if best != "" {
		return best, nil
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && executable(filepath.Dir(path), "initdb") {
			return filepath.Dir(path), nil
		}
	}
	return "", errors.New("no server binaries (initdb, postgres) found: install them, on Debian with `apt-get install postgresql`")
}

func executable(folder, name string) bool {
	_, err := exec.LookPath(filepath.Join(folder, name))
	return err == nil
}

// trailingNumber is the 15 of "15", "pgsql-15" and "postgresql@15", or 0.
func trailingNumber(name string) int {
	i := len(name)
	for i > 0 && name[i-1] >= '0' && name[i-1] <= '9' {
		i--
	}
	n, _ := strconv.Atoi(name[i:])
	return n
}

// unprivileged is whom the server runs as when the tests run as root, which PostgreSQL
// refuses. The folder becomes theirs.
func unprivileged(dir string) (*syscall.Credential, error) {
	account, err := user.Lookup("postgres")
	if err != nil {
		if account, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("as root the server needs another account to run as, and there is no postgres: %w", err)
		}
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
