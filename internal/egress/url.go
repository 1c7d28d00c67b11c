package egress

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxURL is the longest URL, in characters.
const maxURL = 2048

// The faults of spelling. Their texts are shown to clients.
var (
	errURL    = errors.New("the URL must be absolute, with a host, of at most 2048 characters, and without user name, fragment, spaces and control characters")
	errScheme = errors.New("the URL must use http or https")
	errHost   = errors.New("the host of the URL must be a name, an IPv4 address of four decimal parts or an IPv6 address in brackets")
	errPort   = errors.New("the port of the URL is not allowed")
)

// target is where a URL leads. It has a name or an address.
type target struct {
	scheme string // http or https
	name   string // lower case, ASCII, without trailing dot
	addr   netip.Addr
	port   uint16
	url    *url.URL // with the host above, as a request needs it
}

// loopbackName reports the names that mean this machine by definition (RFC 6761
// §6.3), whether or not the resolver knows them.
func loopbackName(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// parse reads a URL that somebody else wrote. What two programs could read in two
// ways is refused instead of repaired.
func parse(rawURL string) (target, error) {
	if !utf8.ValidString(rawURL) || utf8.RuneCountInString(rawURL) > maxURL || strings.ContainsFunc(rawURL, unsafeRune) {
		return target{}, errURL
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Opaque != "" || u.Host == "" || u.User != nil {
		return target{}, errURL
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return target{}, errScheme
	}
	// The authority as it was written: url.Parse has already decoded and dropped things.
	_, authority, _ := strings.Cut(rawURL, "//")
	if i := strings.IndexAny(authority, "/?"); i >= 0 {
		authority = authority[:i]
	}
	if strings.ContainsAny(authority, "%@") {
		return target{}, errHost
	}
	t := target{scheme: u.Scheme}
	if t.port, err = portOf(u); err != nil {
		return target{}, err
	}
	if t.name, t.addr, err = parseHost(u.Hostname()); err != nil {
		return target{}, err
	}
	// From here on there is one spelling: the host that is checked is the host that is
	// asked for, and connections are kept by it.
	u.Host = t.authority()
	t.url = u
	return t, nil
}

// authority is the host as a URL and a Host header write it, without a default port.
func (t target) authority() string {
	host := t.name
	if host == "" {
		host = t.addr.String()
	}
	if t.scheme == "http" && t.port == 80 || t.scheme == "https" && t.port == 443 {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(t.port)))
}

// parseHostPort reads what a transport wants to dial: the authority of a parsed URL
// with its port.
func parseHostPort(text string) (target, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return target{}, errHost
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return target{}, errPort
	}
	name, addr, err := parseHost(host)
	return target{name: name, addr: addr, port: uint16(n)}, err
}

// unsafeRune reports what has no place in a URL: controls, white space, invisible
// characters, the backslash that some parsers take for a slash, and the fragment.
func unsafeRune(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z) || r == '\\' || r == '#' || r == utf8.RuneError
}

func portOf(u *url.URL) (uint16, error) {
	text := u.Port()
	switch {
	case text == "" && u.Scheme == "https":
		return 443, nil
	case text == "":
		return 80, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || text[0] == '0' {
		return 0, errPort
	}
	return uint16(n), nil
}

// parseHost returns host, without brackets, as a name or as an address. IPv4 is
// read in its four-part decimal form only: the short, octal, hexadecimal and
// one-number forms mean an address to some resolvers and nothing to others.
func parseHost(host string) (name string, addr netip.Addr, err error) {
	if strings.Contains(host, ":") {
		if addr, err = netip.ParseAddr(host); err != nil || addr.Zone() != "" {
			return "", addr, errHost
		}
		return "", addr, nil
	}
	ascii, err := toASCII(host)
	if err != nil {
		return "", addr, errHost
	}
	name = strings.TrimSuffix(strings.ToLower(ascii), ".")
	if !validName(name) {
		return "", addr, errHost
	}
	if !numeric(name[strings.LastIndexByte(name, '.')+1:]) {
		return name, addr, nil
	}
	if addr, err = netip.ParseAddr(name); err != nil || ascii != host {
		return "", addr, errHost // ascii != host: digits that were not written in ASCII
	}
	return "", addr, nil
}

// validName wants labels of 1..63 letters, digits, hyphens and underscores, no
// hyphen at either end, 253 characters in all (RFC 1035 §2.3.4). It also keeps out
// what toASCII could not convert.
func validName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// numeric reports whether a host with this last label is an attempt at IPv4: the
// rule of browsers (URL Standard, "ends in a number").
//
// Newer C libraries also read 0b, and other parsers 0o and digits grouped by "_".
func numeric(label string) bool {
	for prefix, digits := range map[string]string{"0x": "0123456789abcdef", "0o": "01234567", "0b": "01"} {
		if rest, ok := strings.CutPrefix(label, prefix); ok {
			return strings.Trim(rest, digits+"_") == ""
		}
	}
	return label == "" || label[0] != '_' && strings.Trim(label, "0123456789_") == ""
}

// toASCII folds an international name (UTS 46), with the rules that net/http has.
func toASCII(host string) (string, error) {
	if strings.IndexFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return host, nil
	}
	return idna.Lookup.ToASCII(host)
}
