package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// MinSecret is the least length of a shared secret: characters for keys that
// travel in a header, bytes for keys that only sign or encrypt (contract §17).
const MinSecret = 32

// Checks collects the faults of one configuration, so that all are told at once.
type Checks struct{ Faults []error }

// Fault records one fault: the variable and what to change. The same line is told once.
func (c *Checks) Fault(name, format string, args ...any) {
	line := fmt.Sprintf("%s: %s", name, fmt.Sprintf(format, args...))
	if !slices.ContainsFunc(c.Faults, func(err error) bool { return err.Error() == line }) {
		c.Faults = append(c.Faults, errors.New(line))
	}
}

// Int wants min ≤ v ≤ max.
func (c *Checks) Int(name string, v, min, max int) {
	switch {
	case v >= min && v <= max:
	case max == math.MaxInt:
		c.Fault(name, "must be at least %d", min)
	default:
		c.Fault(name, "must be between %d and %d", min, max)
	}
}

// Seconds wants 0 < v ≤ max.
func (c *Checks) Seconds(name string, v, max time.Duration) {
	if v <= 0 || v > max {
		c.Fault(name, "must be more than 0 and at most %g seconds", max.Seconds())
	}
}

// OneOf wants v to be one of the words.
func (c *Checks) OneOf(name, v string, words ...string) {
	if !slices.Contains(words, v) {
		c.Fault(name, "must be one of %s", strings.Join(words, ", "))
	}
}

// Addr wants "host:port", port 0..65535, and returns the host.
func (c *Checks) Addr(name, v string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(v)
	if n, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil || n > math.MaxUint16 {
		c.Fault(name, "must be host:port, such as 127.0.0.1:8000")
		return "", false
	}
	return host, true
}

// LoopbackAddr wants an address that only this machine can reach.
func (c *Checks) LoopbackAddr(name, v string) {
	if host, ok := c.Addr(name, v); ok && !Loopback(host) {
		c.Fault(name, "must be a loopback address, such as 127.0.0.1:9090")
	}
}

// Loopback reports whether a listener on host is reached from this machine only.
// A name other than localhost is not trusted to stay what it resolves to today.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// Private reports whether host is an address of this machine or of a private
// network. Every name but localhost, and the empty host (all interfaces), is not.
func Private(host string) bool {
	if Loopback(host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	ip = ip.Unmap()
	return err == nil && (ip.IsPrivate() || ip.IsLinkLocalUnicast())
}

// URL wants an absolute http or https URL without user, query and fragment.
func (c *Checks) URL(name, v string) {
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || badPort(u):
		c.Fault(name, "must be an absolute http or https URL")
	case u.User != nil:
		c.Fault(name, "must not contain a user or password")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(v, "#"):
		c.Fault(name, "must not contain a query or fragment")
	}
}

func badPort(u *url.URL) bool {
	_, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() != "" && err != nil || strings.HasSuffix(u.Host, ":")
}

// Origin wants a URL that is scheme, host and port only.
func (c *Checks) Origin(name, v string) {
	before := len(c.Faults)
	c.URL(name, v)
	if u, err := url.Parse(v); err == nil && len(c.Faults) == before && strings.Trim(u.Path, "/") != "" {
		c.Fault(name, "must be an origin (scheme, host, port) without a path")
	}
}

// Database wants postgres://… or sqlite:PATH, or nothing.
func (c *Checks) Database(name string, v secret.String) {
	if v.Blank() {
		return
	}
	text := v.Reveal()
	if path, ok := strings.CutPrefix(text, "sqlite:"); ok && strings.TrimSpace(path) != "" {
		return
	}
	scheme, rest, _ := strings.Cut(text, "://")
	_, err := url.Parse(text)
	// Several hosts, "a:5432,b:5432", are right for PostgreSQL but not for url.Parse.
	if scheme != "postgres" && scheme != "postgresql" || rest == "" || err != nil && !strings.Contains(rest, ",") {
		c.Fault(name, "must be postgres://user:password@host/database or sqlite:PATH")
	}
}

// SameDatabase reports whether two database URLs lead to the same database: the
// user and the parameters of the connection make no difference.
func SameDatabase(a, b secret.String) bool {
	return !a.Blank() && !b.Blank() && databaseKey(a.Reveal()) == databaseKey(b.Reveal())
}

func databaseKey(text string) string {
	if path, ok := strings.CutPrefix(text, "sqlite:"); ok {
		path, _, _ = strings.Cut(strings.TrimPrefix(path, "//"), "?")
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		return "sqlite:" + filepath.Clean(path)
	}
	_, rest, _ := strings.Cut(text, "://")
	address, query, _ := strings.Cut(rest, "?")
	hosts := egress.AddrsOf(text)
	if values, err := url.ParseQuery(query); err == nil && len(hosts) == 0 {
		hosts = values["host"] // a Unix socket
	}
	_, name, _ := strings.Cut(address, "/")
	return "postgres:" + strings.ToLower(strings.Join(hosts, ",")) + "/" + strings.Trim(name, "/")
}

// Bytes wants a secret that is absent or at least MinSecret bytes long.
func (c *Checks) Bytes(name string, v secret.String) {
	if !v.Blank() && v.Len() < MinSecret {
		c.Fault(name, "must be at least %d bytes long", MinSecret)
	}
}

// HeaderKey wants a secret that is absent or can travel in an HTTP header, of at
// least min characters.
func (c *Checks) HeaderKey(name string, v secret.String, min int) {
	if v.Blank() {
		return
	}
	text := v.Reveal()
	if utf8.RuneCountInString(text) < min {
		c.Fault(name, "must be at least %d characters long", min)
	}
	if strings.TrimSpace(text) != text || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		c.Fault(name, "must not begin or end with white space or contain control characters")
	}
}

// ServiceKeys checks every element of AGENTS_SERVICE_API_KEY (contract §2.3).
func (c *Checks) ServiceKeys(name string, v secret.String) {
	for i, key := range SplitSecrets(v) {
		switch {
		case key.Blank():
			c.Fault(name, "element %d of the list is empty: remove the extra comma", i+1)
		case utf8.RuneCountInString(key.Reveal()) < MinSecret:
			c.Fault(name, "element %d of the list must be at least %d characters long", i+1, MinSecret)
		default:
			c.HeaderKey(name, key, MinSecret)
		}
	}
}

// SplitSecrets splits a comma-separated list and trims its elements. A blank list
// has none; an empty element stays, for ServiceKeys to complain of.
func SplitSecrets(v secret.String) []secret.String {
	if v.Blank() {
		return nil
	}
	var list []secret.String
	for part := range strings.SplitSeq(v.Reveal(), ",") {
		list = append(list, secret.New(strings.TrimSpace(part)))
	}
	return list
}

// Split splits a comma-separated list, trims its elements and drops empty ones.
func Split(list string) []string {
	var parts []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// Prefix reads a CIDR block; a bare address is the block of that one address.
func Prefix(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// Named is a secret and the variable it came from.
type Named struct {
	Name  string
	Value secret.String
}

// hostKey are the two names of one secret: what wisdom sends and what the host expects.
var hostKey = []string{"AGENTS_API_KEY", "INTUNO_AGENTS_API_KEY"}

// Distinct wants every secret to differ from every other: one leaked key must not
// open a second door. The two names of the host's key are one secret.
func (c *Checks) Distinct(secrets ...Named) {
	for i, a := range secrets {
		for _, b := range secrets[:i] {
			switch {
			case a.Value.Blank() || a.Value.Reveal() != b.Value.Reveal():
			case a.Name == b.Name:
				c.Fault(a.Name, "lists the same secret twice")
			case slices.Contains(hostKey, a.Name) && slices.Contains(hostKey, b.Name):
			default:
				c.Fault(a.Name, "must differ from %s", b.Name)
			}
		}
	}
}

// wellKnown are values that stand in documentation, examples and the test vectors
// of the contract: whoever can read can forge with them.
var wellKnown = []string{
	"secret", "password", "changeme", "change-me", "change_me", "your-256-bit-secret", "your-secret-key", "your_secret_key",
	"your-jwt-secret", "jwt-secret", "jwt_secret", "jwt_secret_key", "supersecret", "super-secret", "super-secret-key", "test-secret",
	"secretkey", "secret-key", "secret_key", "development", "0123456789abcdef", "0123456789", "1234567890", "abcdefghijklmnopqrstuvwxyz",
	"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", // the key of a widely copied web framework tutorial
	"a-string-secret-at-least-256-bits-long", "your-super-secret-key", "dev-secret-key",
}

// WellKnown reports whether s is one of the keys that everybody knows, one of them
// repeated or padded with the text that such examples end in, or one repeated
// character.
func WellKnown(s secret.String) bool {
	text := strings.ToLower(strings.TrimSpace(s.Reveal()))
	if text == "" {
		return false
	}
	for _, word := range append([]string{text[:1]}, wellKnown...) {
		if strings.Trim(strings.ReplaceAll(text, word, ""), "-_. !") == "" {
			return true
		}
	}
	for _, start := range []string{"changeme", "change-me", "change_me", "your-256-bit-secret", "your-secret", "your_secret"} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return false
}

// TurnTimeout wants the host to give up on a turn before wisdom gives up on the
// host. Zero means that this process does not know the value.
func (c *Checks) TurnTimeout(turn, chat time.Duration) {
	if turn > 0 && chat > 0 && turn >= chat {
		c.Fault("TURN_TIMEOUT_SECONDS", "must be less than INTUNO_AGENTS_CHAT_TIMEOUT_SECONDS")
	}
}

// OwnDatabase wants the services not to share a database.
func (c *Checks) OwnDatabase(wisdom, agents secret.String) {
	if SameDatabase(wisdom, agents) {
		c.Fault("AGENTS_DATABASE_URL", "must not be the same database as DATABASE_URL")
	}
}

// Production reports whether the rules of production hold.
func Production(environment string) bool { return strings.EqualFold(environment, "production") }

// Environment refuses the usual slips of the pen for "production": they would
// turn its rules off unnoticed. Every other word is a name for not-production.
func (c *Checks) Environment(v string) {
	low := strings.ToLower(strings.TrimSpace(v))
	if !Production(v) && (strings.HasPrefix(low, "prod") || low == "prd" || low == "live") {
		c.Fault("ENVIRONMENT", "must be production or development")
	}
}

// LogLevel wants one of the four levels.
func (c *Checks) LogLevel(v string) {
	c.OneOf("LOG_LEVEL", v, "debug", "info", "warn", "error")
}
