// Package egress decides which URLs supplied by users, cards or agents may be
// contacted (contract §16): spelling, scheme, port, address. A URL is checked when it
// is written, and the address again whenever it is dialled, because a name may
// resolve to something else by then.
//
// What is not here: the requests of the services to each other and to the model
// provider. Their URLs come from the operator.
package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// resolveTime bounds the look-ups of one Check.
const resolveTime = 2 * time.Second

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what an operator decides about outbound requests. The zero value
// allows public addresses over http and https.
type Config struct {
	Production    bool       // https only, listed hosts included
	Allowed       []HostRule // hosts exempt from the rules on addresses and ports
	AllowlistOnly bool       // refuse every host that Allowed does not name
	// Own is "host:port" of the entity host, the database and the ops listeners:
	// never acceptable, listed or not. See AddrsOf.
	Own      []string
	Resolver Resolver // nil means net.DefaultResolver
}

// Policy is the rules of one process. It is safe for concurrent use.
type Policy struct {
	config Config
	own    []ownAddr
	local  []netip.Addr // of this machine's interfaces

	mu    sync.Mutex
	known map[string][]netip.Addr // the last addresses seen for a name in own
}

// ownAddr is one address that no request may go to. It has a name or an address.
type ownAddr struct {
	name string
	addr netip.Addr
	port uint16
}

// New returns the policy of c. An entry of c.Own that is not host:port is an error.
func New(c Config) (*Policy, error) {
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	p := &Policy{config: c, local: interfaceAddrs(), known: map[string][]netip.Addr{}}
	for _, text := range c.Own {
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			return nil, fmt.Errorf("own address: %w", err)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("own address %q: port %w", text, err)
		}
		own, err := parseOwn(host, uint16(n))
		if err != nil {
			return nil, fmt.Errorf("own address %q: %w", text, err)
		}
		p.own = append(p.own, own)
	}
	return p, nil
}

func parseOwn(host string, port uint16) (ownAddr, error) {
	if host == "" {
		return ownAddr{addr: netip.IPv6Unspecified(), port: port}, nil // ":9090" listens everywhere
	}
	name, addr, err := parseHost(host)
	if loopbackName(name) {
		name, addr = "", netip.IPv6Loopback() // whatever the resolver says
	}
	return ownAddr{name, addr, port}, err
}

// interfaceAddrs is best effort: without it loopback addresses still count as local.
func interfaceAddrs() []netip.Addr {
	nets, _ := net.InterfaceAddrs()
	var addrs []netip.Addr
	for _, n := range nets {
		if prefix, err := netip.ParsePrefix(n.String()); err == nil {
			addrs = append(addrs, prefix.Addr().Unmap())
		}
	}
	return addrs
}

// Check tells whether rawURL may be stored as the address of a third party. A name
// that does not resolve within 2 seconds is accepted: the dial decides. A refusal
// is a 400 unsafe_url whose text names no address.
func (p *Policy) Check(ctx context.Context, rawURL string) error {
	t, err := parse(rawURL)
	if err != nil {
		return unsafe(err.Error())
	}
	if p.config.Production && t.scheme != "https" {
		return unsafe("the URL must use https")
	}
	listed := p.listed(t)
	switch {
	case p.config.AllowlistOnly && !listed:
		return unsafe("the host of the URL is not on the list of allowed hosts")
	case !listed && !publicPort(t.port):
		return unsafe("the port of the URL is not allowed")
	case !listed && loopbackName(t.name), p.ownName(t):
		return unsafe(refusedAddress)
	}
	addrs := p.resolve(ctx, t)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("check a URL: %w", err)
	}
	for _, addr := range addrs {
		if p.isOwn(addr, t.port) || !listed && !p.AllowedAddr(addr, t.port) {
			return unsafe(refusedAddress)
		}
	}
	return nil
}

const refusedAddress = "the URL leads to an address that is not allowed"

func unsafe(text string) *fault.Error {
	return fault.New(fault.BadRequest, "unsafe_url", "%s", text)
}

// AllowedAddr tells whether an unlisted host may be contacted at addr: a public
// unicast address, in none of the special blocks, on a public port, and not one of
// our own. It makes no look-up: names among our own count with the addresses that
// learnOwn saw last.
func (p *Policy) AllowedAddr(addr netip.Addr, port uint16) bool {
	return publicPort(port) && publicAddr(addr) && !p.isOwn(addr, port)
}

// resolve returns the addresses of t, none if its name does not resolve in time,
// and learns those of our own names at the same port, to compare.
func (p *Policy) resolve(ctx context.Context, t target) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	addrs := []netip.Addr{t.addr}
	if t.name != "" {
		var err error
		if addrs, err = p.lookup(ctx, t.name); err != nil {
			return nil
		}
	}
	p.learnOwn(ctx, t.port)
	return addrs
}

// lookup unmaps what it finds: the resolver of package net returns IPv4 addresses
// also in their 16-byte form, and the dialer treats both as the same.
func (p *Policy) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	found, err := p.config.Resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, fmt.Errorf("resolve a host: %w", err)
	}
	addrs := make([]netip.Addr, 0, len(found))
	for _, addr := range found {
		addrs = append(addrs, addr.Unmap())
	}
	return addrs, nil
}

// learnOwn looks our own names at that port up. A failed look-up keeps what was
// known before.
func (p *Policy) learnOwn(ctx context.Context, port uint16) {
	for _, own := range p.own {
		if own.name == "" || own.port != port {
			continue
		}
		if addrs, err := p.lookup(ctx, own.name); err == nil {
			p.mu.Lock()
			p.known[own.name] = addrs
			p.mu.Unlock()
		}
	}
}

// ownName tells whether t spells one of our own addresses by its name.
func (p *Policy) ownName(t target) bool {
	return t.name != "" && slices.ContainsFunc(p.own, func(own ownAddr) bool {
		return own.name == t.name && own.port == t.port
	})
}

// isOwn tells whether a connection to addr and port would reach one of our own
// listeners. Every address of this machine stands for every other: a listener on
// all interfaces answers on each.
func (p *Policy) isOwn(addr netip.Addr, port uint16) bool {
	addr = addr.Unmap().WithZone("")
	same := func(own netip.Addr) bool {
		own = own.Unmap().WithZone("")
		return own == addr || p.isLocal(own) && p.isLocal(addr)
	}
	for _, own := range p.own {
		if own.port != port {
			continue
		}
		if own.name == "" && same(own.addr) {
			return true
		}
		p.mu.Lock()
		known := p.known[own.name]
		p.mu.Unlock()
		if slices.ContainsFunc(known, same) {
			return true
		}
	}
	return false
}

// isLocal includes the unspecified address: dialling it reaches this machine.
func (p *Policy) isLocal(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsUnspecified() || slices.Contains(p.local, addr)
}
