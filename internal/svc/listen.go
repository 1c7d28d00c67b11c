package svc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// Address is where to listen, and the variable that says so.
type Address struct {
	Variable string
	Addr     string // host:port; port 0 takes a free one
}

// Listen opens a listener on every address, in their order. If any fails, all the
// errors are returned together, one line each, and nothing stays open.
func Listen(ctx context.Context, addresses ...Address) ([]net.Listener, []error) {
	var listeners []net.Listener
	var faults []error
	for _, a := range addresses {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", a.Addr)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: cannot listen on %s: %s", a.Variable, a.Addr, reason(err)))
			continue
		}
		listeners = append(listeners, l)
	}
	if faults == nil {
		return listeners, nil
	}
	for _, l := range listeners {
		if err := l.Close(); err != nil {
			faults = append(faults, fmt.Errorf("close listener %s: %w", l.Addr(), err))
		}
	}
	return nil, faults
}

// reason says what an operator can do about it.
func reason(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "the address is in use: stop the process that has it, or choose another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address"
	case errors.Is(err, os.ErrPermission):
		return "not permitted: choose a port above 1023"
	}
	return err.Error()
}
