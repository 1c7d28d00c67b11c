package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// loopbackHosts are ways to write this machine, or to hide it, in the place of the
// host in a URL; most of them mean it to some resolver, parser or kernel.
var loopbackHosts = strings.Fields(`
127.0.0.1 127.0.0.1. 127.0.0.2 127.1.2.3 127.255.255.254 0.0.0.0 0.0.0.0. 0.1.2.3 127.1 127.0.1 127.1. 0 0. 00 0.0 0.0.0 127 1 2130706433
2130706433. 017700000001 0177.0.0.1 0177.0.0.01 0177.1 00177.0.0.1 000000177.0.0.1 0x7f000001 0x7F000001 0X7f000001 0x7f.0.0.1 0x7f.1 0x7f.0x0.0x0.0x1
0x7f.0.1 0x0 0x00000000 0x00000000000007f000001 127.0.0.0x1 127.0.0.01 127.000.000.001 0127.0.0.1 127.0x1 0b1111111.0.0.1 0o177.0.0.1 0b01111111000000000000000000000001
4294967296 4294967297 6425673729 127.0.0.1.1 127.0.0.256 127.0.0.-1 127.0.0.+1 127..1 .127.0.0.1 127.0.0.1.. 127,0.0.1 127.0.0.1_ 1_27.0.0.1 127.0.0.1_0
１２７.０.０.１ ①②⑦.⓪.⓪.① ⑴⑵⑺.0.0.1 𝟏𝟐𝟕.𝟎.𝟎.𝟏 𝟙𝟚𝟟.𝟘.𝟘.𝟙 ₁₂₇.0.0.1 ¹²⁷.0.0.1 127。0。0。1 127．0．0．1 127｡0｡0｡1 127.0.0.①  ²¹³⁰⁷⁰⁶⁴³³ ٠.٠.٠.٠ 127.0.0.1。 127.0.0.1%2e 0ｘ7f.1 ⓪ⓧ7f.1
[::1] [::1]. [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0001] [0::1] [::] [0::0] [::0.0.0.0] [::0.0.0.1]
[::127.0.0.1] [::7f00:1] [::ffff:127.0.0.1] [::FFFF:127.0.0.1] [::ffff:7f00:1] [::ffff:0:127.0.0.1] [::ffff:0:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::ffff:0.0.0.0] [::ffff:127.1] [::ffff:0177.0.0.1]
[64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::127.0.0.1] [64:FF9B:1:7f00:0:100::] [2002:7f00:1::] [2002:7f00:1::1] [2002:7f00:0001:0000:0000:0000:7f00:0001]
[2001::1] [2001:0:7f00:1::] [2001:0:4136:e378:8000:63bf:80ff:fffe] [2001:0000:7f00:0001:8000:ffff:80ff:fffe] [fe80::5efe:127.0.0.1] [fe80::200:5efe:7f00:1] [fe80::0:5efe:7f00:1]
[fe80::1] [fe80::1%25lo] [fe80::1%lo] [::1%25lo] [::1%lo] [::1%251] [::1%25] [::1%0] [2606:4700::1111%25lo] [fec0::1] [fc00::1] [fd00::1] [ff01::1] [ff02::1] [ff02::1%25lo]
[127.0.0.1] [127.1] [localhost] [::1 ::1] ::1 [[::1]] [::1]] [] [:] [::1]x x[::1] [::1]@127.0.0.1 [v1.127.0.0.1] [vF.::1] [::1/128] [::1]%00 (::1) {::1} <::1>
localhost LOCALHOST LocalHost localhost. LOCALHOST. localhost.. .localhost a.localhost a.b.localhost. ⓛocalhost ｌｏｃａｌｈｏｓｔ ʟocalhost loc%61lhost localhost%2e localhost%00 localhost%00.example.org localhost。 xn--localhost-
ip6-localhost ip6-loopback localhost.localdomain localhost4 localhost6
user@127.0.0.1 user:pw@127.0.0.1 @127.0.0.1 :@127.0.0.1 8.8.8.8@127.0.0.1 example.org@localhost example.org%40127.0.0.1 127.0.0.1@8.8.8.8 127.0.0.1%40example.org example.org\@127.0.0.1 127.0.0.1\@example.org
example.org#@127.0.0.1 127.0.0.1# 127.0.0.1? example.org;127.0.0.1 127.0.0.1;example.org 127.0.0.1& example.org,127.0.0.1
%31%32%37.0.0.1 %31%32%37%2e%30%2e%30%2e%31 127%2e0%2e0%2e1 127.0.0.1%00 127.0.0.1%00.example.org 127.0.0.1%20 127.0.0.1%0d%0a 127.0.0.1%09 %00127.0.0.1 %5b::1%5d %6c%6f%63%61%6c%68%6f%73%74 %e2%91%a0%e2%91%a1%e2%91%a6.0.0.1
`)

const resolverVariable = "EGRESS_TEST_RESOLVER"

// The names and odd numbers go through the resolvers that this machine really has:
// the test runs itself again with each.
func TestNoSpellingReachesThisMachine(t *testing.T) {
	if n := len(loopbackHosts); n < 100 {
		t.Fatalf("%d spellings, want at least 100", n)
	}
	for _, resolver := range []string{"go", "cgo"} {
		t.Run(resolver, func(t *testing.T) {
			t.Parallel()
			again(t, "TestSpellingsInAChild", "GODEBUG=netdns="+resolver, resolverVariable+"="+resolver)
		})
	}
}

// again runs one test of this binary in a process of its own.
func again(t *testing.T, name string, environment ...string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.v", "-test.timeout=60s")
	child.Env = append(os.Environ(), environment...)
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+name) {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	t.Logf("%s", out)
}

func TestSpellingsInAChild(t *testing.T) {
	resolver := os.Getenv(resolverVariable)
	if resolver == "" {
		return // TestNoSpellingReachesThisMachine runs this
	}
	// Only the C library takes this for an address: it tells which resolver is in use.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := net.DefaultResolver.LookupNetIP(ctx, "ip", "0x7f.1")
	switch isC := err == nil; {
	case resolver == "go" && isC:
		t.Fatal("this is not Go's resolver")
	case resolver == "cgo" && !isC && withCgo:
		t.Fatalf("this is not the C library's resolver: %v", err)
	case resolver == "cgo" && !isC && os.Getenv("CI") == "true":
		t.Fatal("the tests must be built with cgo, to try its resolver")
	case resolver == "cgo" && !isC:
		t.Log("built without cgo: only Go's resolver is tried")
		return
	}
	// Neither run waits for a name server: Go's resolver has none to talk to, and the C
	// library's is asked for nothing that it would have to look up.
	noServer := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no name server") }
	hosts, least, real := loopbackHosts, 5, &net.Resolver{Dial: noServer}
	if resolver == "cgo" {
		real, least = net.DefaultResolver, 30 // nearly all of what inetAton reads
		hosts = slices.DeleteFunc(slices.Clone(hosts), needsServer)
	} else if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	p := mustPolicy(t, Config{Resolver: real}, "")
	for _, where := range []string{"", "127.0.0.1", "::1"} {
		if l, err := net.Listen("tcp", net.JoinHostPort(where, "0")); err == nil {
			_ = l.Close()
		} else if where == "::1" {
			t.Log("ONLY IPv4: this machine has no IPv6")
			continue
		}
		trySpellings(t, p, newCanary(t, where), hosts, least)
	}
}

// needsServer tells of hosts that pass for names.
func needsServer(host string) bool {
	u, err := parse("http://" + host)
	return err == nil && u.name != "" && !loopbackName(u.name)
}

// trySpellings asks for the canary in every spelling, and once more without the rules
// on spelling, so that resolver and dialer see it too.
func trySpellings(t *testing.T, p *Policy, canary *canary, hosts []string, least int) {
	t.Helper()
	c, resolved := clientOf(t, p), 0
	port := netip.MustParseAddrPort(canary.address).Port()
	for _, host := range hosts {
		for _, scheme := range []string{"http://", "https://"} {
			url := scheme + host + ":" + canary.port + "/"
			if got, err := c.Do(t.Context(), get(url)); fault.As(err) == nil && !errors.Is(err, ErrUnreachable) {
				t.Errorf("Do(%q) = %+v, %v, want a refusal or nothing reachable", url, got, err)
			}
		}
		addr, numeric := inetAton(host) // forms that some C libraries would look up are left out, and public addresses
		if (!numeric || publicAddr(addr) || strings.ContainsAny(host, "bo") || strings.HasSuffix(host, ".")) && !strings.EqualFold(host, "localhost") {
			continue
		}
		conn, err := p.dialTarget(t.Context(), target{name: host, port: port})
		if err == nil {
			_ = conn.Close()
			t.Errorf("the dialer took %q to %v", host, conn.RemoteAddr())
		}
		if fault.As(err) != nil {
			resolved++
		}
	}
	if resolved < least {
		t.Errorf("%d of the spellings are addresses to the resolver, want at least %d", resolved, least)
	}
	canary.wantUntouched(t)
}

// script resolves every name to the next of some answers, the last one forever.
type script struct {
	answers [][]string
	asked   atomic.Int32
}

func (s *script) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	n := int(s.asked.Add(1)) - 1
	var addrs []netip.Addr
	for _, text := range s.answers[min(n, len(s.answers)-1)] {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

func TestAnswersThatMixOrSwitchReachNothingHere(t *testing.T) {
	canary := newCanary(t, "")
	public, local := "93.184.216.34", "127.0.0.1"
	for _, answers := range [][][]string{
		{{public, local}}, {{local, public}}, {{"2606:4700::1111", "::1"}}, {{public, "::ffff:127.0.0.1"}}, {{public, "0.0.0.0"}}, {{public, "::"}}, {{public, "fe80::1%lo"}},
		{{public, public, public, public, public, local}}, {{"64:ff9b::7f00:1", public}}, {{"10.0.0.1"}}, {{"::1"}}, {{"fe80::1%lo"}}, {{"::ffff:0.0.0.0"}},
	} {
		url := "http://rebind.example:" + canary.port
		c := clientOf(t, mustPolicy(t, Config{Resolver: &script{answers: answers}}, ""))
		for range 3 {
			_, err := c.Do(t.Context(), get(url))
			wantRefusal(t, url, err)
		}
	}
	// Public when it is written, here when it is dialled, on every attempt.
	resolver := &script{answers: [][]string{{public}, {local}, {public, local}, {"::1"}}}
	p := mustPolicy(t, Config{Resolver: resolver}, "")
	url := "http://rebind.example:" + canary.port
	if err := p.Check(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		_, err := clientOf(t, p).Do(t.Context(), get(url))
		wantRefusal(t, url, err)
	}
	if n := resolver.asked.Load(); n != 5 {
		t.Errorf("%d look-ups, want one for the check and one for each of 4 requests", n)
	}
	canary.wantUntouched(t)
}

// The dialer's last check does not rely on those before it.
func TestTheSocketIsCheckedWhateverCameBefore(t *testing.T) {
	canary := newCanary(t, "")
	p := mustPolicy(t, Config{Own: []string{"127.0.0.1:" + canary.port}}, "")
	port := netip.MustParseAddrPort(canary.address).Port()
	for _, listed := range []bool{false, true} {
		d := &net.Dialer{Control: p.control(listed)}
		for _, host := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "127.9.9.9"} {
			conn, err := connect(t.Context(), d, []netip.Addr{netip.MustParseAddr(host)}, port)
			if f := fault.As(err); f == nil || f.Code != "unsafe_url" || conn != nil {
				t.Errorf("%s, listed %v: got %v, %v, want unsafe_url", host, listed, conn, err)
			}
		}
		for _, address := range []string{"", "127.0.0.1", "localhost:80", "[fe80::1%lo]:" + canary.port, "@unix"} {
			if err := d.Control("tcp", address, nil); !listed && fault.As(err) == nil {
				t.Errorf("Control(%q) = %v, want unsafe_url", address, err)
			}
		}
	}
	canary.wantUntouched(t)
}

func TestOurOwnIsNeverDialled(t *testing.T) {
	canary := newCanary(t, "")
	for _, tt := range []struct {
		sentence string
		own      string
		resolver names
		host     string
		want     error // nil is a refusal
	}{
		{"our own address, listed", "127.0.0.1", nil, "127.0.0.1", nil},
		{"our own address in IPv6", "127.0.0.1", nil, "[::1]", nil},
		{"the unspecified address", "127.0.0.1", nil, "0.0.0.0", nil},
		{"localhost is our own", "localhost", nil, "127.0.0.1", nil},
		{"our own name", "agents.internal", names{"agents.internal": {"127.0.0.1"}}, "agents.internal", nil},
		{"another name of our own name", "agents.internal", names{"agents.internal": {"127.0.0.1"}, "alias.internal": {"127.0.0.1"}}, "alias.internal", nil},
		{"another name of our own address", "127.0.0.1", names{"alias.internal": {"127.3.2.1"}}, "alias.internal", nil},
		{"our own among others", "127.0.0.1", names{"alias.internal": {"10.1.1.1", "127.0.0.1"}}, "alias.internal", nil},
		{"a private address, whatever our own name leads to", "agents.internal", names{}, "10.1.1.1", nil},
		{"what may be our own, whose name does not resolve", "agents.internal", names{"alias.internal": {"127.0.0.1"}}, "alias.internal", ErrUnreachable},
		{"an address that may be our own", "agents.internal", names{"agents.internal": {}}, "127.0.0.1", ErrUnreachable},
	} {
		p := mustPolicy(t, Config{Own: []string{tt.own + ":" + canary.port}, Resolver: tt.resolver}, "*.internal, 127.0.0.1, ::1, 0.0.0.0")
		url := "http://" + tt.host + ":" + canary.port
		_, err := clientOf(t, p).Do(t.Context(), get(url))
		if tt.want == nil {
			wantRefusal(t, url, err)
		} else if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.sentence, err, tt.want)
		}
	}
	canary.wantUntouched(t)
	p := mustPolicy(t, Config{Own: []string{"agents.internal:1", "127.0.0.1:2"}, Resolver: names{}}, "127.0.0.1")
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, err := clientOf(t, p).Do(t.Context(), get(server.URL)); err != nil {
		t.Errorf("another port than our own: %v, want an answer", err)
	}
}

func TestTheRulesHoldForRequestsToo(t *testing.T) {
	canary := newCanary(t, "127.0.0.1")
	for _, tt := range []struct {
		config  Config
		allowed string
		url     string
	}{
		{Config{Production: true}, "127.0.0.1", "http://" + canary.address},
		{Config{AllowlistOnly: true}, "other.example", "http://agent.example:" + canary.port},
		{Config{}, "127.0.0.1:1", "http://" + canary.address},
		{Config{}, "", "ftp://" + canary.address},
		{Config{}, "", "http://agent.example:22"},
	} {
		tt.config.Resolver = here{}
		_, err := clientOf(t, mustPolicy(t, tt.config, tt.allowed)).Do(t.Context(), get(tt.url))
		wantRefusal(t, tt.url, err)
	}
	for _, url := range refused {
		_, err := clientOf(t, mustPolicy(t, Config{}, "")).Do(t.Context(), get(url))
		wantRefusal(t, url, err)
	}
	canary.wantUntouched(t)
}

func TestTheProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	canary := newCanary(t, "127.0.0.1")
	proxy := "http://" + canary.address
	again(t, "TestProxiesInAChild", "HTTP_PROXY="+proxy, "http_proxy="+proxy, "HTTPS_PROXY="+proxy, "https_proxy="+proxy, "ALL_PROXY="+proxy, "NO_PROXY=", "no_proxy=")
	canary.wantUntouched(t)
}

func TestProxiesInAChild(t *testing.T) {
	if os.Getenv("ALL_PROXY") == "" {
		return // TestTheProxiesOfTheEnvironmentAreNotUsed runs this
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	if request, err := http.NewRequest("GET", "http://agent.example:"+port, nil); err != nil {
		t.Fatal(err)
	} else if proxy, err := http.ProxyFromEnvironment(request); err != nil || proxy == nil {
		t.Fatalf("the environment asks for no proxy: %v", err)
	}
	if got, err := trusting(t).Do(t.Context(), get("http://agent.example:"+port)); err != nil || got.Status != http.StatusNotFound {
		t.Errorf("http: got %+v, %v, want 404 from the server itself", got, err)
	}
	if _, err := trusting(t).Do(t.Context(), get("https://agent.example:"+port)); !errors.Is(err, ErrUnreachable) {
		t.Errorf("https: %v, want the server's own refusal of TLS", err)
	}
}
