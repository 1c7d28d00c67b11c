package egress

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const namespaceVariable = "EGRESS_TEST_NAMESPACE"

// In a network of its own this process may give itself any address: public ones and
// those of every block, all with the same server behind. So "it would have worked" is
// tried too, by an ordinary client. A machine that gives no namespace proves nothing,
// which the log says; one that gives it must prove everything.
func TestInANetworkOfItsOwn(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestTheNetworkInAChild$", "-test.v", "-test.timeout=60s")
	child.Env = append(os.Environ(), namespaceVariable+"=1", "GODEBUG=netdns=go")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	var out strings.Builder
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		// The kernel or its container says no: nothing about our code.
		t.Logf("NOT PROVED: this machine gives no network namespace (%v), so no request went to a public address", err)
		return
	}
	if err := child.Wait(); err != nil || !strings.Contains(out.String(), "--- PASS: TestTheNetworkInAChild") {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Log(out.String())
}

// everywhere is a server on every address and several ports, http and https, that
// counts the connections at each.
type everywhere struct {
	mu   sync.Mutex
	seen map[netip.Addr]int
}

func (e *everywhere) count(addr string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[netip.MustParseAddr(addr)]
}

func (e *everywhere) notPublic() (list []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for addr, n := range e.seen {
		if !publicAddr(addr) {
			list = append(list, fmt.Sprintf("%d at %v", n, addr))
		}
	}
	return list
}

// serve answers until the test ends. "/to?url" redirects.
func (e *everywhere) serve(t *testing.T, port int, secure *tls.Config) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	server := &http.Server{ErrorLog: quiet(), ConnState: func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			e.mu.Lock()
			e.seen[conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()]++
			e.mu.Unlock()
		}
	}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/to" {
			w.Header().Set("Location", r.URL.RawQuery)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
		_, _ = io.WriteString(w, r.Host)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
}

const public4, public6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"

func TestTheNetworkInAChild(t *testing.T) {
	if os.Getenv(namespaceVariable) == "" {
		return // TestInANetworkOfItsOwn runs this
	}
	special, six := giveAddresses(t)
	if special == nil {
		return
	}
	ca := newAuthority(t)
	server := &everywhere{seen: map[netip.Addr]int{}}
	server.serve(t, 80, nil)
	server.serve(t, 8080, nil)
	server.serve(t, 443, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, time.Now().Add(time.Hour), "public.example", public4, public6)}})
	// Every address can be reached by whoever asks no questions.
	all := append(slices.Clone(special), public4)
	if six {
		all = append(all, public6)
	}
	for _, addr := range all {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(addr, "80"), time.Second)
		if err != nil {
			t.Fatalf("an ordinary client does not reach %s: %v", addr, err)
		}
		_ = conn.Close()
	}
	server.wait(t, len(all))

	zone := names{"public.example": {public4, public6}, "six.example": {public6}, "half.example": {"2606:2800:220:1::dead", public4}}
	c := NewClient(mustPolicy(t, Config{Resolver: zone}, ""), ca.pool)
	defer c.Close()
	for _, url := range []string{"http://" + public4, "http://" + public4 + ":8080/x", "http://[" + public6 + "]/", "https://" + public4, "https://[" + public6 + "]",
		"https://public.example", "https://Public.Example.:443/", "http://six.example", "http://half.example", "http://public.example:8080"} {
		if !six && (strings.Contains(url, "[") || strings.Contains(url, "six")) {
			continue
		}
		got, err := c.Do(t.Context(), get(url))
		if err != nil || got.Status != http.StatusOK || string(got.Body) == "" {
			t.Errorf("a public address, %s: %+v, %v", url, got, err)
		}
	}
	if server.count(public4) < 2 || six && server.count(public6) < 2 {
		t.Errorf("connections to the public addresses: %d and %d", server.count(public4), server.count(public6))
	}

	for _, addr := range special {
		zone["name.example"] = []string{addr}
		zone["mixed.example"] = []string{public4, addr}
		for _, host := range []string{net.JoinHostPort(addr, "80"), net.JoinHostPort(addr, "8080"), "name.example", "name.example:8080", "mixed.example"} {
			url := "http://" + host + "/"
			_, err := c.Do(t.Context(), get(url))
			wantRefusal(t, url, err)
		}
	}
	for _, host := range loopbackHosts {
		for _, form := range []string{"http://%s", "https://%s", "http://%s:8080/"} {
			_, _ = c.Do(t.Context(), get(fmt.Sprintf(form, host)))
		}
	}
	for _, to := range []string{"http://127.0.0.1/", "http://10.0.0.0/", "//[::1]/", "https://localhost", "http://name.example"} {
		got, err := c.Do(t.Context(), get("http://"+public4+"/to?"+to))
		if err != nil || got.Status != http.StatusTemporaryRedirect || got.Header.Get("Location") != to {
			t.Errorf("a redirect from a public address to %s: %+v, %v, want it as it is", to, got, err)
		}
	}
	switchAddresses(t, server, ca)
	if list := server.notPublic(); len(list) > 0 {
		t.Errorf("connections to addresses that are not public: %v", list)
	}
	t.Logf("%d special addresses, none reached; public: %d connections by IPv4, %d by IPv6", len(special), server.count(public4), server.count(public6))
}

// wait lets the server see the connections of the ordinary client, and forgets them.
func (e *everywhere) wait(t *testing.T, want int) {
	t.Helper()
	for range 500 {
		e.mu.Lock()
		if len(e.seen) >= want {
			e.seen = map[netip.Addr]int{}
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the server sees too few addresses, want %d", want)
}

// switchAddresses is rebinding: the name is public for the check and for the first
// request, and then something else.
func switchAddresses(t *testing.T, server *everywhere, ca *authority) {
	t.Helper()
	resolver := &script{answers: [][]string{{public4}, {public4}, {"127.0.0.1"}, {"10.0.0.0"}, {"::1", public6}, {public4}}}
	p := mustPolicy(t, Config{Resolver: resolver}, "")
	c := NewClient(p, ca.pool)
	defer c.Close()
	if err := p.Check(t.Context(), "http://public.example"); err != nil {
		t.Fatal(err)
	}
	before := server.count(public4)
	for range 3 { // the second and third go through the connection of the first, which is still public
		if _, err := c.Do(t.Context(), get("http://public.example")); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.count(public4) - before; n != 1 {
		t.Errorf("%d connections for three requests, want 1", n)
	}
	for range 3 {
		c.Close() // so that the next request dials
		_, err := c.Do(t.Context(), get("http://public.example"))
		wantRefusal(t, "a name that has moved", err)
	}
	if _, err := c.Do(t.Context(), get("http://public.example")); err != nil {
		t.Errorf("a name that is public again: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(ctx, get("http://public.example:8080")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// giveAddresses raises the loopback interface and gives it the public addresses and
// one of every block that the kernel takes. It returns the latter, nil if the machine
// does not let us, and whether there is IPv6.
func giveAddresses(t *testing.T) (special []string, six bool) {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	up := make([]byte, 16) // struct ifinfomsg: family, type, index, flags, change
	binary.NativeEndian.PutUint32(up[4:], uint32(lo.Index))
	binary.NativeEndian.PutUint32(up[8:], syscall.IFF_UP)
	binary.NativeEndian.PutUint32(up[12:], syscall.IFF_UP)
	if err := netlink(syscall.RTM_NEWLINK, 0, up); errors.Is(err, syscall.EPERM) {
		t.Log("NOT PROVED: this machine gives a network namespace without any right in it")
		return nil, false
	} else if err != nil {
		t.Fatalf("raise the interface: %v", err)
	}
	add := func(addr netip.Addr) error {
		family := byte(syscall.AF_INET)
		if addr.Is6() {
			family = syscall.AF_INET6
		}
		const noDuplicateDetection = 2                                                      // IFA_F_NODAD
		message := []byte{family, byte(addr.BitLen()), noDuplicateDetection, 0, 0, 0, 0, 0} // struct ifaddrmsg: family, bits, flags, scope, index
		binary.NativeEndian.PutUint32(message[4:], uint32(lo.Index))
		for _, kind := range []uint16{syscall.IFA_LOCAL, syscall.IFA_ADDRESS} {
			message = binary.NativeEndian.AppendUint16(message, uint16(4+addr.BitLen()/8))
			message = binary.NativeEndian.AppendUint16(message, kind)
			message = append(message, addr.AsSlice()...)
		}
		return netlink(syscall.RTM_NEWADDR, syscall.NLM_F_CREATE, message)
	}
	if err := add(netip.MustParseAddr(public4)); err != nil || !reached(t, public4) {
		t.Fatalf("add %s: %v", public4, err)
	}
	special = []string{"127.0.0.1"}
	if err := add(netip.MustParseAddr(public6)); err != nil {
		t.Logf("ONLY IPv4: this machine has no IPv6 (%v)", err)
	} else if six = reached(t, public6); six {
		special = append(special, "::1")
	}
	for _, b := range blocks {
		addr := b.prefix.Addr().Next()
		if b.prefix.IsSingleIP() {
			addr = b.prefix.Addr()
		}
		if addr.IsLoopback() || addr.IsUnspecified() || addr.Is6() && !six {
			continue
		}
		if err := add(addr); err != nil && !errors.Is(err, syscall.EEXIST) {
			t.Logf("the kernel does not take %v (%s): %v", addr, b.source, err)
		} else if addr = addr.Unmap(); !slices.Contains(special, addr.String()) {
			special = append(special, addr.String())
		}
	}
	special = slices.DeleteFunc(special, func(addr string) bool { return !reached(t, addr) })
	if len(special) < 20 {
		t.Fatalf("%d addresses of special blocks, want at least 20", len(special))
	}
	return special, six
}

// reached waits until the kernel, which does that in the background, leads to an
// address that it was given. Some it never does.
func reached(t *testing.T, addr string) bool {
	t.Helper()
	for range 50 {
		_, err := net.DialTimeout("tcp", net.JoinHostPort(addr, "1"), 100*time.Millisecond)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return true
		}
		if errors.Is(err, syscall.EINVAL) {
			t.Logf("the kernel takes %s and does not lead to it", addr)
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s was given and is not reached", addr)
	return false
}

// netlink sends one request to the kernel and returns its verdict.
func netlink(kind uint16, flags uint16, payload []byte) error {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	message := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(payload)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = binary.NativeEndian.AppendUint16(message, flags|syscall.NLM_F_REQUEST|syscall.NLM_F_ACK)
	message = append(append(message, make([]byte, 8)...), payload...) // sequence and port: zero
	if err := syscall.Sendto(fd, message, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := syscall.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n < syscall.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(answer[4:]) != syscall.NLMSG_ERROR {
		return errors.New("the kernel answers something else")
	}
	if code := int32(binary.NativeEndian.Uint32(answer[syscall.NLMSG_HDRLEN:])); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}
