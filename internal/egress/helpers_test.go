package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"
)

type syscallConn = syscall.RawConn

// quiet is the log of servers whose clients are meant to hang up.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// canary accepts connections that nobody should make.
type canary struct {
	address string
	port    string
	mu      sync.Mutex
	touched []netip.AddrPort // where each connection arrived
}

// newCanary listens on host; "" is every address of both families.
func newCanary(t testing.TB, host string) *canary {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	c := &canary{address: listener.Addr().String()}
	_, c.port, _ = net.SplitHostPort(c.address)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.touched = append(c.touched, conn.LocalAddr().(*net.TCPAddr).AddrPort())
			c.mu.Unlock()
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-stopped })
	return c
}

// wantUntouched makes a connection of its own and wants it to be the only one: what
// came before it has been accepted by then.
func (c *canary) wantUntouched(t testing.TB) {
	t.Helper()
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.touched) != 1 {
		t.Errorf("%d connections to the canary, the last one ours: %v", len(c.touched), c.touched)
	}
	c.touched = nil
}

// authority issues certificates.
type authority struct {
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{pool, cert, key}
}

// issue returns a certificate for names and addresses.
func (a *authority) issue(t testing.TB, until time.Time, hosts ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}
