package sqldb

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Bounds of the PostgreSQL pool of one process. A server of 100 connections (its
// default) carries six processes.
const (
	postgresConns    = 16
	postgresLifetime = 30 * time.Minute
	postgresConnect  = 10 * time.Second
	// A process that stops inside a transaction holds its locks for this long.
	postgresIdleInTx = "60000" // milliseconds
)

func openPostgres(ctx context.Context, o Options) (*DB, error) {
	_, query, ok := split(o.URL)
	if !ok {
		return nil, errors.New("the URL is not well-formed: a password must be percent-encoded")
	}
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		// The cause may repeat the password: it stays here.
		return nil, errors.New("the URL is not a PostgreSQL connection URL, or names a certificate or password file that cannot be read")
	}
	if !query.Has("connect_timeout") {
		config.ConnectTimeout = postgresConnect
	}
	setDefault(config.RuntimeParams, "application_name", strings.TrimSuffix("intuno-"+o.Service, "-"))
	setDefault(config.RuntimeParams, "idle_in_transaction_session_timeout", postgresIdleInTx)
	if o.Count != nil {
		config.Tracer = countingTracer{o.Count}
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(postgresConns)
	pool.SetMaxIdleConns(postgresConns)
	pool.SetConnMaxLifetime(postgresLifetime)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &DB{read: pool, write: pool, dialect: Dialect{postgres: true}}, nil
}

// Addrs returns the "host:port" of the servers that a URL of Open may lead to, as the
// driver understands it, its environment included. SQLite, Unix sockets and URLs that
// Open refuses give none.
func Addrs(rawURL string) []string {
	if !strings.HasPrefix(rawURL, "postgres://") && !strings.HasPrefix(rawURL, "postgresql://") {
		return nil
	}
	config, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return nil
	}
	var addrs []string
	add := func(host string, port uint16) {
		if addr := net.JoinHostPort(host, strconv.Itoa(int(port))); host != "" && !strings.HasPrefix(host, "/") && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	add(config.Host, config.Port)
	for _, f := range config.Fallbacks {
		add(f.Host, f.Port)
	}
	return addrs
}

func setDefault(params map[string]string, key, value string) {
	if _, set := params[key]; !set {
		params[key] = value
	}
}
