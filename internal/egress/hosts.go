package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// HostRule is one element of the operator's list of hosts: a name, every name
// below one ("*.example.org", not example.org itself), or an address.
type HostRule struct {
	name string
	glob bool // name is a suffix that starts with a dot
	addr netip.Addr
	port uint16 // 0 is any
}

// ParseAllowedHosts reads INVOKE_ENDPOINT_ALLOWED_HOSTS: a comma list of names,
// "*." globs and IP literals, each with an optional :port (IPv6 then in brackets).
// Empty elements are skipped; all faults are reported at once, by position.
func ParseAllowedHosts(s string) ([]HostRule, error) {
	var rules []HostRule
	var faults []error
	for i, element := range strings.Split(s, ",") {
		element = strings.TrimSpace(element)
		if element == "" {
			continue
		}
		rule, err := parseHostRule(element)
		if err != nil {
			faults = append(faults, fmt.Errorf("element %d of the list: %w", i+1, err))
			continue
		}
		rules = append(rules, rule)
	}
	return rules, errors.Join(faults...)
}

func parseHostRule(text string) (HostRule, error) {
	var rule HostRule
	host := text
	bare := text
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		bare = text[1 : len(text)-1]
	}
	if addr, err := netip.ParseAddr(bare); err == nil && addr.Is6() {
		host = bare // a bare IPv6 address is full of colons, but has no port
	} else if h, port, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return rule, errors.New("the port must be 1 to 65535")
		}
		host, rule.port = h, uint16(n)
	}
	suffix, glob := strings.CutPrefix(host, "*.")
	name, addr, err := parseHost(suffix)
	if err != nil || glob && name == "" {
		return rule, errors.New("must be a host name, *.name or an IP address, with an optional :port")
	}
	rule.name, rule.addr, rule.glob = name, addr, glob
	if glob {
		rule.name = "." + name
	}
	return rule, nil
}

// listed tells whether the operator exempts t. An address in the list means a URL
// that spells this address, not a name that resolves to it.
func (p *Policy) listed(t target) bool {
	for _, rule := range p.config.Allowed {
		if rule.port != 0 && rule.port != t.port {
			continue
		}
		switch {
		case rule.glob && strings.HasSuffix(t.name, rule.name),
			!rule.glob && rule.name != "" && rule.name == t.name,
			rule.addr.IsValid() && rule.addr == t.addr:
			return true
		}
	}
	return false
}

// AddrsOf returns the "host:port" of the operator's own URLs, for Config.Own:
// http, https and postgres, the latter with several hosts or with host and port as
// parameters. URLs that lead to no TCP address (files, Unix sockets, "") give none.
func AddrsOf(rawURLs ...string) []string {
	var addrs []string
	for _, raw := range rawURLs {
		scheme, rest, _ := strings.Cut(raw, "://")
		scheme = strings.ToLower(scheme)
		ports := map[string]string{"http": "80", "https": "443", "postgres": "5432", "postgresql": "5432"}
		port := ports[scheme]
		if port == "" {
			continue
		}
		rest, query, _ := strings.Cut(rest, "?")
		hosts, _, _ := strings.Cut(rest, "/")
		hosts = hosts[strings.LastIndexByte(hosts, '@')+1:]
		if values, err := url.ParseQuery(query); err == nil && strings.HasPrefix(scheme, "postgres") {
			if values.Get("host") != "" {
				hosts = values.Get("host")
			}
			if values.Get("port") != "" {
				port = values.Get("port")
			}
		}
		for host := range strings.SplitSeq(hosts, ",") {
			switch _, _, err := net.SplitHostPort(host); {
			case host == "" || strings.HasPrefix(host, "/"):
			case err == nil:
				addrs = append(addrs, host)
			default:
				for n := range strings.SplitSeq(port, ",") {
					addrs = append(addrs, net.JoinHostPort(strings.Trim(host, "[]"), n))
				}
			}
		}
	}
	return addrs
}
