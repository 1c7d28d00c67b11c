package egress

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// httpHost asks net/http, independently of parse, which host a request for rawURL
// would dial; "" if it refuses the URL.
func httpHost(t testing.TB, rawURL string) string {
	t.Helper()
	if u, err := url.Parse(rawURL); err == nil && strings.IndexFunc(u.Host, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return u.Hostname() // ASCII hosts it passes on as they are, which the test is spared
	}
	dialled := make(chan string, 1)
	stop := errors.New("stop")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSHandshakeTimeout: 1,
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) { dialled <- addr; return nil, stop }}}
	if _, err := client.Get(rawURL); !errors.Is(err, stop) {
		return ""
	}
	host, _, err := net.SplitHostPort(<-dialled)
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// inetAton reads IPv4 as the C library does: 1..4 parts, each decimal, octal or
// hexadecimal, the last one filling the rest. It is the reader that §16 guards against.
func inetAton(s string) (netip.Addr, bool) {
	parts := strings.Split(strings.TrimSuffix(s, "."), ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		n, err := strconv.ParseUint(strings.ToLower(part), 0, 64) // 0x and 0 prefixes
		if err != nil || strings.Contains(part, "_") {
			return netip.Addr{}, false
		}
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if n >= 1<<bits {
			return netip.Addr{}, false
		}
		value = value<<bits | n
	}
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(value)))), true
}

// soundURL is what must hold of a URL that the policy without exceptions accepted.
func soundURL(t testing.TB, raw string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Contains(raw, "#") || utf8.RuneCountInString(raw) > maxURL {
		t.Fatalf("accepted %q (%v)", raw, err)
	}
	to, err := parse(raw)
	if err != nil {
		t.Fatalf("accepted %q, which does not parse: %v", raw, err)
	}
	host, port := to.url.Hostname(), cmp.Or(to.url.Port(), map[string]string{"http": "80", "https": "443"}[to.url.Scheme])
	// The request goes where the URL says, and the dialer reads the same out of it.
	if other := strings.TrimSuffix(strings.ToLower(httpHost(t, raw)), "."); other != "" && other != host && !(to.addr.IsValid() && netip.MustParseAddr(other) == to.addr) {
		t.Errorf("%q asks %q, but net/http would ask %q", raw, host, other)
	}
	if d, err := parseHostPort(net.JoinHostPort(host, port)); err != nil || d.name != to.name || d.addr != to.addr || d.port != to.port {
		t.Errorf("%q asks %s and port %s, which the dialer reads as %+v, %v", raw, host, port, d, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || !publicPort(uint16(n)) {
		t.Errorf("%q dials port %s", raw, port)
	}
	literal := netip.Addr{}
	if a, err := netip.ParseAddr(strings.TrimSuffix(host, ".")); err == nil {
		literal = a
	} else if a, ok := inetAton(host); ok {
		literal = a
		t.Errorf("%q dials %q, which is an address to the C library", raw, host)
	}
	if literal.IsValid() && (!publicAddr(literal) || literal.IsPrivate() || literal.IsLoopback() || !literal.IsGlobalUnicast()) {
		t.Errorf("%q dials the address %v", raw, literal)
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		t.Errorf("%q dials localhost", raw)
	}
}

// spelling draws one of the ways to write an IPv4 address in a URL.
func spelling(t *rapid.T, a netip.Addr) string {
	b := a.As4()
	n := binary.BigEndian.Uint32(b[:])
	wide := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r - '0' + '０'
			}
			return r
		}, s)
	}
	return rapid.SampledFrom([]string{
		a.String(), a.String() + ".", strconv.FormatUint(uint64(n), 10), fmt.Sprintf("0x%x", n), fmt.Sprintf("0X%X", n), fmt.Sprintf("0%o", n),
		fmt.Sprintf("%d.%d", b[0], n&0xffffff), fmt.Sprintf("%d.%d.%d", b[0], b[1], n&0xffff), fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("0x%x.%d.0%o.%d", b[0], b[1], b[2], b[3]), fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3]), wide(a.String()),
		strings.ReplaceAll(a.String(), ".", "。"), "[::ffff:" + a.String() + "]", fmt.Sprintf("[::ffff:%x:%x]", n>>16, n&0xffff), "[::" + a.String() + "]",
		"[64:ff9b::" + a.String() + "]", fmt.Sprintf("[2002:%x:%x::1]", n>>16, n&0xffff), fmt.Sprintf("%%3%d%s", b[0]%10, a.String()), "[" + a.String() + "]",
		"user@" + a.String(), "8.8.8.8@" + a.String(), a.String() + "%00.example.org", "name.test",
	}).Draw(t, "spelling")
}

// Whatever the spelling, an address inside a block is refused, also behind a name;
// and an accepted URL leads where the policy thinks it does.
func TestNoSpellingOfASpecialAddressIsAccepted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.SampledFrom(blocks).Draw(rt, "block")
		addr := within(rt, b.prefix)
		host := "[" + addr.String() + "]"
		if addr.Is4() {
			host = spelling(rt, addr)
		}
		p := mustPolicy(t, Config{Resolver: names{"name.test": {"8.8.8.8", addr.String()}}}, "")
		raw := rapid.SampledFrom([]string{"http://", "https://", "HTTPS://"}).Draw(rt, "scheme") + host +
			rapid.SampledFrom([]string{"", "/", ":80", ":8080/x", "?q=1"}).Draw(rt, "rest")
		wantRefusal(t, raw, p.Check(t.Context(), raw))
	})
}

func TestEveryPublicAddressIsAcceptedInItsPlainSpelling(t *testing.T) {
	p := mustPolicy(t, Config{}, "")
	rapid.Check(t, func(rt *rapid.T) {
		addr := within(rt, rapid.SampledFrom([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), globalUnicast}).Draw(rt, "family"))
		host := addr.String()
		if addr.Is6() {
			host = "[" + host + "]"
		}
		raw := "https://" + host + "/"
		if !publicAddr(addr) {
			wantRefusal(t, raw, p.Check(t.Context(), raw))
			return
		}
		if err := p.Check(t.Context(), raw); err != nil {
			t.Fatalf("Check(%q) = %v, want nil", raw, err)
		}
		soundURL(t, raw)
	})
}

// within draws an address of a prefix.
func within(t *rapid.T, p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	random := rapid.SliceOfN(rapid.Byte(), len(raw), len(raw)).Draw(t, "address")
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= random[i/8] & (0x80 >> (i % 8))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

// FuzzURL: whatever is accepted is a URL that net/http takes to a public port, and
// to no address that is special in any reader's eyes.
func FuzzURL(f *testing.F) {
	for _, u := range accepted {
		f.Add(u)
	}
	for _, u := range refused {
		f.Add(u)
	}
	p := mustPolicy(f, Config{Resolver: names{}}, "")
	f.Fuzz(func(t *testing.T, raw string) {
		err := p.Check(t.Context(), raw)
		if err != nil {
			wantRefusal(t, raw, err)
			return
		}
		soundURL(t, raw)
	})
}
