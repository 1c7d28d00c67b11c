// Package egress decides which URLs supplied by users, cards or agents may be
// contacted (contract §16): spelling, scheme, port, address; and it contacts them. A
// URL is checked when it is written, and the address again whenever it is dialled,
// because a name may resolve to something else by then.
//
// What is not here: the requests of the services to each other and to the model
// provider. Their URLs come from the operator.
package egress

import (
	"context"
	"errors"
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
	p := &Policy{config: c, known: map[string][]netip.Addr{}}
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

// Check tells whether rawURL may be stored as the address of a third party. A name
// that does not resolve within 2 seconds is accepted: the dial decides. A refusal
// is a 400 unsafe_url whose text names no address.
func (p *Policy) Check(ctx context.Context, rawURL string) error {
	t, listed, err := p.admit(rawURL)
	if err != nil {
		return err
	}
	addrs := p.resolve(ctx, t)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("check a URL: %w", err)
	}
	if !p.mayDialAll(addrs, t.port, listed) {
		return unsafe(refusedAddress)
	}
	return nil
}

// Admit is the part of Check that asks nobody: a name is not looked up. A refusal is a
// 400 unsafe_url whose text names no address; what it accepts, the dial may still refuse.
func (p *Policy) Admit(rawURL string) error {
	_, _, err := p.admit(rawURL)
	return err
}

// admit is the part of the rules that needs no look-up: spelling, scheme, port,
// literal addresses, names. listed tells whether the operator exempts the target from
// the rules on addresses and ports.
func (p *Policy) admit(rawURL string) (t target, listed bool, err error) {
	t, err = parse(rawURL)
	if err != nil {
		return t, false, unsafe(err.Error())
	}
	listed = p.listed(t)
	switch {
	case p.config.Production && t.scheme != "https":
		err = unsafe("the URL must use https")
	case p.config.AllowlistOnly && !listed:
		err = unsafe("the host of the URL is not on the list of allowed hosts")
	case !listed && !publicPort(t.port):
		err = unsafe("the port of the URL is not allowed")
	case !listed && loopbackName(t.name), p.ownName(t), t.name == "" && !p.mayDial(t.addr, t.port, listed):
		err = unsafe(refusedAddress)
	}
	return t, listed, err
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

// mayDial is the rule on addresses, for listed hosts too. Names among our own count
// as in AllowedAddr.
func (p *Policy) mayDial(addr netip.Addr, port uint16, listed bool) bool {
	if listed {
		return !p.isOwn(addr, port)
	}
	return p.AllowedAddr(addr, port)
}

// mayDialAll refuses an answer of the resolver as a whole for one bad address in it.
func (p *Policy) mayDialAll(addrs []netip.Addr, port uint16, listed bool) bool {
	return !slices.ContainsFunc(addrs, func(addr netip.Addr) bool { return !p.mayDial(addr, port, listed) })
}

// resolve returns the addresses of t, none if its name does not resolve in time,
// and learns those of our own names at the same port, to compare.
func (p *Policy) resolve(ctx context.Context, t target) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	addrs, err := p.addrs(ctx, t)
	if err != nil {
		return nil
	}
	_ = p.learnOwn(ctx, t.port) // what stays unknown is settled at the dial
	return addrs
}

// addrs returns where t leads, at least one address or an error.
func (p *Policy) addrs(ctx context.Context, t target) ([]netip.Addr, error) {
	if t.name == "" {
		return []netip.Addr{t.addr}, nil
	}
	return p.lookup(ctx, t.name)
}

// lookup unmaps what it finds: the resolver of package net returns IPv4 addresses
// also in their 16-byte form, and the dialer treats both as the same.
func (p *Policy) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	found, err := p.config.Resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, fmt.Errorf("resolve a host: %w", err)
	}
	if len(found) == 0 {
		return nil, errNoAddr
	}
	addrs := make([]netip.Addr, 0, len(found))
	for _, addr := range found {
		addrs = append(addrs, addr.Unmap())
	}
	return addrs, nil
}

var (
	errNoAddr     = errors.New("resolve a host: no address")
	errUnknownOwn = errors.New("one of our own names has never resolved, so nobody can tell what it leads to")
)

// learnOwn looks our own names at that port up. A failed look-up keeps what was
// known before; it is an error if nothing was.
func (p *Policy) learnOwn(ctx context.Context, port uint16) error {
	var fault error
	for _, own := range p.own {
		if own.name == "" || own.port != port {
			continue
		}
		addrs, err := p.lookup(ctx, own.name)
		p.mu.Lock()
		if err == nil {
			p.known[own.name] = addrs
		} else if p.known[own.name] == nil {
			fault = fmt.Errorf("%w: %w", errUnknownOwn, err)
		}
		p.mu.Unlock()
	}
	return fault
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
	var own []netip.Addr
	for _, o := range p.own {
		if o.port != port {
			continue
		}
		if o.name == "" {
			own = append(own, o.addr)
			continue
		}
		p.mu.Lock()
		own = append(own, p.known[o.name]...)
		p.mu.Unlock()
	}
	if len(own) == 0 {
		return false
	}
	local := localAddrs()
	isLocal := func(a netip.Addr) bool {
		return a.IsLoopback() || a.IsUnspecified() || slices.Contains(local, a) // dialling the unspecified address reaches this machine
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(own, func(o netip.Addr) bool {
		o = o.Unmap().WithZone("")
		return o == addr || isLocal(o) && isLocal(addr)
	})
}

// localAddrs are the addresses of this machine's interfaces now: some machines get
// theirs late or change them. It is best effort: without it loopback addresses still
// count as local.
func localAddrs() []netip.Addr {
	nets, _ := net.InterfaceAddrs()
	var addrs []netip.Addr
	for _, n := range nets {
		if prefix, err := netip.ParsePrefix(n.String()); err == nil {
			addrs = append(addrs, prefix.Addr().Unmap())
		}
	}
	return addrs
}
