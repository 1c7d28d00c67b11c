//go:build unix

package agentsclient

import (
	"errors"
	"net"
	"syscall"
)

// alive reports whether an idle connection can carry a request, by looking at its
// socket without reading from it: the host may have closed it. On a plain connection
// waiting bytes count against it too, since nobody asked for them; below TLS they may
// be harmless session tickets.
func alive(c net.Conn, plain bool) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var n int
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, peekErr = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		return true // never waits: Go's sockets do not block
	})
	switch {
	case err != nil:
		return false
	case errors.Is(peekErr, syscall.EAGAIN), errors.Is(peekErr, syscall.EWOULDBLOCK):
		return true
	case peekErr != nil:
		return false
	}
	return n > 0 && !plain
}
