package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	// dialTime bounds look-ups and connecting, and as much again the TLS handshake:
	// net/http lets a dial go on after the request that asked for it has ended.
	dialTime = 10 * time.Second
	// stepTime is the head start of an address over the next one (RFC 8305 §5).
	stepTime = 250 * time.Millisecond
	// mostAddrs are tried for one connection. An answer with hundreds of addresses
	// must not make a scanner of us.
	mostAddrs = 4
)

// dial connects to a host and port that an admitted URL names. The addresses that are
// checked are the ones that are dialled; those of a name are refused as a whole for
// one bad one among them.
//
// Nothing is checked again when a connection is reused, and nothing needs to be: it
// still leads to the peer that was checked, and it is only reused for the same host
// and port, in the one spelling that parse knows, so with the same exemption.
func (p *Policy) dial(ctx context.Context, _, hostPort string) (net.Conn, error) {
	t, err := parseHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	return p.dialTarget(ctx, t)
}

func (p *Policy) dialTarget(ctx context.Context, t target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	addrs, err := p.addrs(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := p.learnOwn(ctx, t.port); err != nil {
		return nil, err
	}
	listed := p.listed(t)
	if !p.mayDialAll(addrs, t.port, listed) {
		return nil, unsafe(refusedAddress)
	}
	d := &net.Dialer{Control: p.control(listed)}
	return connect(ctx, d, alternate(addrs), t.port)
}

// control is the last word: it sees the address of every socket before it connects.
func (p *Policy) control(listed bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		if a, err := netip.ParseAddrPort(address); err != nil || !p.mayDial(a.Addr(), a.Port(), listed) {
			return unsafe(refusedAddress)
		}
		return nil
	}
}

// connect returns the first connection to one of addrs. The next one is tried when
// one has failed or has not answered for stepTime.
func connect(ctx context.Context, d *net.Dialer, addrs []netip.Addr, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn net.Conn
		err  error
	}
	outcomes := make(chan outcome)
	running := 0
	start := func() {
		if len(addrs) == 0 {
			return
		}
		to := netip.AddrPortFrom(addrs[0], port).String()
		addrs = addrs[1:]
		running++
		go func() {
			conn, err := d.DialContext(ctx, "tcp", to)
			outcomes <- outcome{conn, err}
		}()
	}
	step := time.NewTicker(stepTime)
	defer step.Stop()
	var faults []error
	for start(); running > 0; {
		select {
		case <-step.C:
			start()
		case o := <-outcomes:
			running--
			if o.err != nil {
				faults = append(faults, o.err)
				start()
				continue
			}
			for cancel(); running > 0; running-- {
				if late := <-outcomes; late.conn != nil {
					_ = late.conn.Close()
				}
			}
			return o.conn, nil
		}
	}
	return nil, fmt.Errorf("connect: %w", errors.Join(faults...))
}

// alternate returns the addresses to try: in the resolver's order, but one of each
// family in turn, so that a broken family costs one step (RFC 8305 §4).
func alternate(addrs []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, addr := range addrs {
		if addr.Is4() == addrs[0].Is4() {
			first = append(first, addr)
		} else {
			second = append(second, addr)
		}
	}
	var order []netip.Addr
	for i := range max(len(first), len(second)) {
		for _, family := range [][]netip.Addr{first, second} {
			if i < len(family) {
				order = append(order, family[i])
			}
		}
	}
	return order[:min(len(order), mostAddrs)]
}
