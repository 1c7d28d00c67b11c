package egress

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"code.dny.dev/ssrf"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// names is a resolver with a fixed zone. A name without addresses hangs.
type names map[string][]string

func (n names) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	list, ok := n[host]
	if !ok {
		return nil, errors.New("no such host")
	}
	if list == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var addrs []netip.Addr
	for _, text := range list {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

var zone = names{
	"example.org":           {"93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"},
	"xn--bcher-kva.example": {"93.184.216.34"},
	"mapped.example":        {"::ffff:93.184.216.34"}, // how package net returns IPv4
	"private.example":       {"10.0.0.5"},
	"rebind.example":        {"93.184.216.34", "127.0.0.1"},
	"mapped-10.example":     {"::ffff:10.0.0.5"},
	"nat64.example":         {"64:ff9b::5db8:d822"},
	"teredo.example":        {"2001:0:4136:e378:8000:63bf:3fff:fdd2"},
	"ula.example":           {"fd00::1"},
	"metadata.example":      {"169.254.169.254"},
	"azure.example":         {"168.63.129.16"},
	"localhost":             {"93.184.216.34"}, // a lying resolver
	"agents.internal":       {"93.184.216.77"},
	"alias.example":         {"93.184.216.77"},
	"db.internal":           {"10.9.9.9"},
	"slow.example":          nil,
	"0x7f.example":          {"93.184.216.34"},
}

func mustPolicy(t testing.TB, c Config, allowed string) *Policy {
	t.Helper()
	rules, err := ParseAllowedHosts(allowed)
	if err != nil {
		t.Fatal(err)
	}
	c.Allowed = rules
	if c.Resolver == nil {
		c.Resolver = zone
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantRefusal checks the shape of a refusal: 400 unsafe_url with one of the fixed texts.
func wantRefusal(t testing.TB, rawURL string, err error) {
	t.Helper()
	f := fault.As(err)
	if f == nil || f.Kind != fault.BadRequest || f.Code != "unsafe_url" {
		t.Fatalf("Check(%q) = %v, want 400 unsafe_url", rawURL, err)
	}
	texts := []string{errURL.Error(), errScheme.Error(), errHost.Error(), errPort.Error(), refusedAddress,
		"the URL must use https", "the host of the URL is not on the list of allowed hosts", "the port of the URL is not allowed"}
	if !slices.Contains(texts, f.Detail) {
		t.Errorf("Check(%q) says %q, which is not one of the fixed texts", rawURL, f.Detail)
	}
}

// accepted and refused are spellings for a policy without exceptions.
var accepted = []string{
	"https://example.org", "https://example.org/", "http://example.org/invoke?x=1&y=%2F", "HTTPS://EXAMPLE.ORG/A",
	"https://example.org./x", "https://example.org:443/", "http://example.org:80", "https://example.org:1024", "https://example.org:65535/p",
	"https://example.org?q", "https://example.org/%23/%0d%0a", "https://example.org/ü", "https://example.org/a//b/../c", "https://example.org:/",
	"https://bücher.example/", "https://BÜCHER.example/", "https://xn--bcher-kva.example/", "https://ｅｘａｍｐｌｅ.org/", "https://example。org/",
	"https://93.184.216.34/", "https://8.8.8.8:8443/x", "https://[2606:4700::1111]/", "https://[2606:4700::1111]:8443/", "https://8.8.8.8./",
	"https://mapped.example/", "https://unknown.example/", "https://a_b.unknown.example/", "https://0x7f.example/", "https://1.2.3.4.example/",
	"https://192.88.98.1/", "https://172.32.0.1/", "https://100.128.0.1/", "https://198.20.0.1/", "https://11.0.0.1", "https://223.255.255.255",
	"https://[2003::1]/", "https://[2001:200::1]/", "https://[3ffe::1]/", "https://" + strings.Repeat("a", 63) + ".example/",
}

var refused = []string{
	// not an absolute http URL
	"", " ", "example.org", "//example.org", "/invoke", "https://", "https:///x", "https:example.org", "https:/example.org", "http:", "://example.org",
	"ftp://example.org", "file:///etc/passwd", "gopher://example.org:70/", "ws://example.org", "javascript:alert(1)", "data:text/plain,x",
	"httpss://example.org", "unix:///var/run/docker.sock", "https+insecure://example.org",
	// ambiguous or hidden
	"https://user@example.org", "https://user:pw@example.org", "https://@example.org", "https://:@example.org", "https://example.org@127.0.0.1/",
	"https://example.org#", "https://example.org/#x", "https://example.org/ x", " https://example.org", "https://example.org\n", "https://example.org/\r\nHost: x",
	"https://example.org/\x00", "https://exa\tmple.org", "https://example.org\\@127.0.0.1", "https:\\\\127.0.0.1", "https://example.org/\u0085", "https://example.org/\u202e",
	"https://example.org/\u3000", "https://exam\u200bple.org/", "https://loc\u00adalhost/", "https://example.org/\xff", "https://%31%32%37.0.0.1/",
	"https://127.0.0.1%00.example.org/", "https://example%2eorg/", "https://ex%C3%A4mple.org/", "https://" + strings.Repeat("a", 2048),
	// host names that are none
	"https://.", "https://..", "https://example.org..", "https://.example.org", "https://exa..mple.org", "https://-example.org", "https://example-.org",
	"https://" + strings.Repeat("a", 64) + ".org", "https://" + strings.Repeat("aaaaaaa.", 32) + "org", "https://exa mple.org", "https://*.example.org", "https://exam!ple.org",
	"https://[example.org]/", "https://[127.0.0.1]/", "https://[8.8.8.8]/", "https://[::1", "https://::1/", "https://[v1.a]/", "https://[]/", "https://[2606:4700::1111]x/",
	// ports
	"https://example.org:0", "https://example.org:1", "https://example.org:22", "https://example.org:25", "https://example.org:79", "https://example.org:81", "https://example.org:1023",
	"https://example.org:65536", "https://example.org:99999999999", "https://example.org:-1", "https://example.org:http", "https://example.org:0443", "https://example.org:443:443",
	// IPv4 that is not four decimal parts
	"https://127.1", "https://127.0.1", "https://2130706433", "https://0x7f000001", "https://0x7f.0.0.1", "https://0177.0.0.1", "https://017700000001", "https://127.0.0.01",
	"https://127.0.0.1.1", "https://256.1.1.1", "https://0", "https://8.8", "https://134744072", "https://0x8.8.8.8", "https://010.8.8.8", "https://1.2.3.0x4", "https://example.0x",
	"https://0x7F.1", "https://4294967296", "https://00000177.0.0.1", "https://example.1", "https://127.0.0.1..",
	"https://１２７.０.０.１/", "https://①②⑦.⓪.⓪.①/", "https://127。0。0。1/", "https://８.８.８.８/", "https://0ｘ7f.1/",
	// this machine and its names
	"https://localhost", "https://LOCALHOST:8080", "https://localhost.", "https://a.localhost", "https://ⓛocalhost/", "https://127.0.0.1", "https://127.0.0.1.", "https://127.255.255.254",
	"https://0.0.0.0", "https://0.1.2.3", "https://[::]", "https://[::1]", "https://[0:0:0:0:0:0:0:1]", "https://[::0001]",
	// private and special IPv4
	"https://10.0.0.1", "https://10.255.255.255", "https://100.64.0.1", "https://100.127.255.255", "https://169.254.169.254/latest/meta-data/", "https://172.16.0.1", "https://172.31.255.255",
	"https://192.0.0.1", "https://192.0.0.9", "https://192.0.2.1", "https://192.31.196.1", "https://192.52.193.1", "https://192.88.99.1", "https://192.168.1.1", "https://192.175.48.1",
	"https://198.18.0.1", "https://198.19.255.255", "https://198.51.100.1", "https://203.0.113.1", "https://224.0.0.1", "https://239.255.255.255", "https://240.0.0.1", "https://255.255.255.255",
	"https://168.63.129.16",
	// special IPv6, and IPv4 inside it
	"https://[::ffff:127.0.0.1]", "https://[::ffff:7f00:1]", "https://[::ffff:8.8.8.8]", "https://[::127.0.0.1]", "https://[::8.8.8.8]", "https://[64:ff9b::127.0.0.1]", "https://[64:ff9b::808:808]",
	"https://[64:ff9b:1::1]", "https://[100::1]", "https://[100:0:0:1::1]", "https://[2001::1]", "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "https://[2001:1ff::1]", "https://[2001:db8::1]",
	"https://[2002:7f00:1::]", "https://[2002:808:808::1]", "https://[2620:4f:8000::1]", "https://[3fff::1]", "https://[5f00::1]", "https://[fc00::1]", "https://[fd00:ec2::254]", "https://[fe80::1]",
	"https://[fe80::1%25eth0]", "https://[fe80::1%eth0]", "https://[2606:4700::1111%25lo]", "https://[fec0::1]", "https://[ff02::1]", "https://[4000::1]", "https://[1::1]", "https://[8000::1]",
	// names that resolve to any of these
	"https://private.example", "https://rebind.example", "https://mapped-10.example", "https://nat64.example", "https://teredo.example", "https://ula.example", "https://metadata.example", "https://azure.example",
	"https://PRIVATE.example./",
}

func TestWithoutExceptionsOnlyPublicTargetsInTheirPlainSpellingAreAccepted(t *testing.T) {
	p := mustPolicy(t, Config{}, "")
	for _, u := range accepted {
		if err := p.Check(t.Context(), u); err != nil {
			t.Errorf("Check(%q) = %v, want nil", u, err)
		}
	}
	for _, u := range refused {
		wantRefusal(t, u, p.Check(t.Context(), u))
	}
	if n := len(accepted) + len(refused); n < 100 {
		t.Errorf("%d spellings, want at least 100", n)
	}
}

func TestTheLengthIsCountedInCharacters(t *testing.T) {
	p := mustPolicy(t, Config{}, "")
	base := "https://example.org/"
	if err := p.Check(t.Context(), base+strings.Repeat("é", maxURL-len(base))); err != nil {
		t.Errorf("2048 characters: %v, want nil", err)
	}
	long := base + strings.Repeat("é", maxURL-len(base)+1)
	wantRefusal(t, long, p.Check(t.Context(), long))
}

func TestPoliciesAndTheirExceptions(t *testing.T) {
	own := []string{"127.0.0.1:8001", "agents.internal:8443", ":9090", "db.internal:5432", "[2606:4700::1111]:7000"}
	for _, tt := range []struct {
		sentence string
		config   Config
		allowed  string
		url      string
		ok       bool
	}{
		{"production refuses http", Config{Production: true}, "", "http://example.org", false},
		{"production accepts https", Config{Production: true}, "", "https://example.org", true},
		{"a listed host is no exception from https", Config{Production: true}, "example.org", "http://example.org", false},

		{"a listed name may be private", Config{}, "private.example", "https://private.example", true},
		{"a listed name may use any port", Config{}, "private.example", "https://private.example:22", true},
		{"port 0 is none even when listed", Config{}, "private.example", "https://private.example:0", false},
		{"case and one trailing dot do not matter", Config{}, "Private.EXAMPLE.", "https://pRIVATE.example./", true},
		{"spaces around elements do not matter", Config{}, " a.example , private.example ,", "https://private.example", true},
		{"a listed port is the only exempt one", Config{}, "private.example:8080", "https://private.example:8081", false},
		{"a listed port is exempt", Config{}, "private.example:8080", "https://private.example:8080", true},
		{"the default port counts", Config{}, "private.example:443", "https://private.example", true},
		{"a glob matches below", Config{}, "*.example", "https://private.example", true},
		{"a glob matches deep below", Config{}, "*.internal:5432", "https://a.b.internal:5432", true},
		{"a glob does not match its base", Config{}, "*.private.example", "https://private.example", false},
		{"a glob needs a whole label", Config{}, "*.rivate.example", "https://private.example", false},
		{"an international name is compared in ASCII", Config{AllowlistOnly: true}, "bücher.example", "https://xn--bcher-kva.example", true},
		{"a listed address is exempt", Config{}, "10.0.0.5", "https://10.0.0.5:22", true},
		{"a listed IPv6 address is exempt", Config{}, "[fd00::1]:8080", "https://[fd00:0::1]:8080", true},
		{"a bare IPv6 address in the list", Config{}, "fd00::1", "https://[fd00::1]", true},
		{"a listed address is no name that resolves to it", Config{}, "10.0.0.5", "https://private.example", false},
		{"a listed IPv4 address is not its mapped form", Config{}, "10.0.0.5", "https://[::ffff:10.0.0.5]", false},
		{"a listed address does not excuse another spelling", Config{}, "127.0.0.1", "https://127.1", false},
		{"localhost may be listed", Config{}, "localhost", "http://localhost:3000", true},
		{"listed hosts obey the rules of spelling", Config{}, "private.example", "https://u@private.example", false},

		{"allow-list only refuses the rest", Config{AllowlistOnly: true}, "private.example", "https://example.org", false},
		{"allow-list only accepts the list", Config{AllowlistOnly: true}, "private.example", "https://private.example", true},
		{"allow-list only without a list refuses everything", Config{AllowlistOnly: true}, "", "https://example.org", false},

		{"our own address is refused although listed", Config{Own: own}, "127.0.0.1", "http://127.0.0.1:8001", false},
		{"on another port it is not our own", Config{Own: own}, "127.0.0.1", "http://127.0.0.1:8002", true},
		{"every loopback address reaches our own", Config{Own: own}, "127.9.9.9", "http://127.9.9.9:8001", false},
		{"so does the unspecified address", Config{Own: own}, "0.0.0.0", "http://0.0.0.0:8001", false},
		{"so does ::1", Config{Own: own}, "::1", "http://[::1]:8001", false},
		{"so does a mapped one", Config{Own: own}, "::ffff:127.0.0.1", "http://[::ffff:127.0.0.1]:8001", false},
		{"localhost among our own is known without a look-up", Config{Own: []string{"localhost:8001"}}, "127.0.0.1", "http://127.0.0.1:8001", false},
		{"a listener on all interfaces is our own on each", Config{Own: own}, "127.0.0.1", "http://127.0.0.1:9090", false},
		{"our own name is refused although listed", Config{Own: own}, "agents.internal", "https://AGENTS.internal.:8443", false},
		{"also while it does not resolve", Config{Own: []string{"gone.internal:8443"}}, "*.internal", "https://gone.internal:8443", false},
		{"a name that resolves to our own is refused although listed", Config{Own: own}, "alias.example", "https://alias.example:8443", false},
		{"and although public", Config{Own: own}, "", "https://alias.example:8443", false},
		{"the address of our own name is refused", Config{Own: own}, "", "https://93.184.216.77:8443", false},
		{"the same host on another port is not our own", Config{Own: own}, "", "https://alias.example:8444", true},
		{"the database is our own", Config{Own: own}, "10.9.9.9", "https://10.9.9.9:5432", false},
		{"a public literal of our own", Config{Own: own}, "", "https://[2606:4700::1111]:7000", false},
	} {
		p := mustPolicy(t, tt.config, tt.allowed)
		switch err := p.Check(t.Context(), tt.url); {
		case tt.ok && err != nil:
			t.Errorf("%s: Check(%q) = %v, want nil", tt.sentence, tt.url, err)
		case !tt.ok && err == nil:
			t.Errorf("%s: Check(%q) = nil, want unsafe_url", tt.sentence, tt.url)
		case !tt.ok:
			wantRefusal(t, tt.url, err)
		}
	}
}

func TestANameThatDoesNotResolveWithinTwoSecondsIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustPolicy(t, Config{}, "")
		start := time.Now()
		if err := p.Check(t.Context(), "https://slow.example"); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
	})
}

func TestACancelledCheckDecidesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := mustPolicy(t, Config{}, "").Check(ctx, "https://slow.example")
	if !errors.Is(err, context.Canceled) || fault.As(err) != nil {
		t.Errorf("got %v, want context.Canceled without a type", err)
	}
}

// A look-up that fails must not make us forget where our own names lead.
func TestTheLastAddressesOfAnOwnNameAreKept(t *testing.T) {
	resolver := names{"agents.internal": {"93.184.216.77"}}
	p := mustPolicy(t, Config{Own: []string{"agents.internal:8443"}, Resolver: resolver}, "")
	const url = "https://93.184.216.77:8443"
	wantRefusal(t, url, p.Check(t.Context(), url))
	delete(resolver, "agents.internal")
	wantRefusal(t, url, p.Check(t.Context(), url))
	if p.AllowedAddr(netip.MustParseAddr("93.184.216.77"), 8443) {
		t.Error("AllowedAddr accepts the address of our own")
	}
}

func TestEveryAddressOfEveryBlockIsRefused(t *testing.T) {
	p := mustPolicy(t, Config{}, "")
	for _, b := range blocks {
		for _, addr := range []netip.Addr{b.prefix.Addr(), last(b.prefix)} {
			if p.AllowedAddr(addr, 443) {
				t.Errorf("%v (%s) is accepted", addr, b.source)
			}
			if addr.Is4() {
				b4, mapped := addr.As4(), netip.AddrFrom16(addr.As16())
				nat64 := netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b, 12: b4[0], b4[1], b4[2], b4[3]})
				sixToFour := netip.AddrFrom16([16]byte{0x20, 0x02, b4[0], b4[1], b4[2], b4[3]})
				teredo := netip.AddrFrom16([16]byte{0x20, 0x01, 12: ^b4[0], ^b4[1], ^b4[2], ^b4[3]})
				for _, a := range []netip.Addr{mapped, nat64, sixToFour, teredo} {
					if p.AllowedAddr(a, 443) {
						t.Errorf("%v, which carries %v, is accepted", a, addr)
					}
				}
			}
		}
	}
	if p.AllowedAddr(netip.Addr{}, 443) {
		t.Error("the zero address is accepted")
	}
	if a := netip.MustParseAddr("2606:4700::1111%eth0"); p.AllowedAddr(a, 443) {
		t.Error("a zone is accepted")
	}
}

// The lists of another project, made from the same registries, hold nothing that ours
// do not.
func TestTheListsOfAnotherProjectHoldNoMore(t *testing.T) {
	for _, prefix := range append(slices.Clone(ssrf.IPv4DeniedPrefixes), ssrf.IPv6DeniedPrefixes...) {
		if !slices.ContainsFunc(blocks, func(b block) bool { return b.prefix.Bits() <= prefix.Bits() && b.prefix.Contains(prefix.Addr()) }) {
			t.Errorf("%v is in no block", prefix)
		}
	}
	if globalUnicast != ssrf.IPv6GlobalUnicast {
		t.Errorf("global unicast is %v here and %v there", globalUnicast, ssrf.IPv6GlobalUnicast)
	}
}

func TestTheBlocksAreInOrder(t *testing.T) {
	date := regexp.MustCompile(`^(19|20)\d\d-(0[1-9]|1[0-2])$`)
	seen := map[netip.Prefix]bool{}
	for _, b := range blocks {
		if b.prefix != b.prefix.Masked() || seen[b.prefix] || !date.MatchString(b.date) && !strings.HasPrefix(b.source, "added: ") || b.source == "" {
			t.Errorf("%v (%s, %s) is no prefix, twice in the list, or without source and date", b.prefix, b.source, b.date)
		}
		seen[b.prefix] = true
	}
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

func TestTheNeighboursOfTheBlocksAreAccepted(t *testing.T) {
	p := mustPolicy(t, Config{}, "")
	for _, text := range []string{"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0",
		"172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0",
		"192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"168.63.129.15", "168.63.129.17", "2000::", "2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "2003::", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::",
		"3ffe:ffff::", "3fff:1000::"} {
		if !p.AllowedAddr(netip.MustParseAddr(text), 443) {
			t.Errorf("%s is refused", text)
		}
	}
}

func TestPorts(t *testing.T) {
	p := mustPolicy(t, Config{}, "")
	for port, want := range map[uint16]bool{0: false, 1: false, 22: false, 79: false, 80: true, 81: false, 442: false, 443: true, 444: false, 1023: false, 1024: true, 65535: true} {
		if got := p.AllowedAddr(netip.MustParseAddr("8.8.8.8"), port); got != want {
			t.Errorf("port %d: got %v, want %v", port, got, want)
		}
	}
}

func TestFaultsOfTheListOfHosts(t *testing.T) {
	for _, text := range []string{"*", "*.", "*.*.example", "a*.example", "*.10.0.0.1", "https://example.org", "example.org/x", "example.org:0", "example.org:65536", "example.org:", "10.0.0.0/8",
		"127.1", "u@example.org", "fe80::1%eth0", "[10.0.0.1]", "a b", "-a.example"} {
		if rules, err := ParseAllowedHosts(text); err == nil {
			t.Errorf("ParseAllowedHosts(%q) = %v, want an error", text, rules)
		}
	}
	_, err := ParseAllowedHosts("*, ok.example, 127.1")
	if err == nil || !strings.Contains(err.Error(), "element 1 ") || !strings.Contains(err.Error(), "element 3 ") {
		t.Errorf("got %v, want both faults by position", err)
	}
	if rules, err := ParseAllowedHosts("  "); err != nil || rules != nil {
		t.Errorf("a blank list: %v, %v, want nothing", rules, err)
	}
}

func TestAnUnreadableOwnAddressIsAnError(t *testing.T) {
	for _, own := range []string{"localhost", "localhost:x", "localhost:70000", "127.1:80", "a b:80"} {
		if _, err := New(Config{Own: []string{own}}); err == nil {
			t.Errorf("New with own address %q: nil, want an error", own)
		}
	}
}

func TestAddressesOfTheOperatorsURLs(t *testing.T) {
	for raw, want := range map[string][]string{
		"":                                  nil,
		"sqlite:/data/wisdom.db":            nil,
		"http://localhost:8001":             {"localhost:8001"},
		"http://agents.internal/base":       {"agents.internal:80"},
		"https://[fd00::1]":                 {"[fd00::1]:443"},
		"postgres://u:p@db/wisdom":          {"db:5432"},
		"postgresql://u@db:5433/x?a=b":      {"db:5433"},
		"postgres://u@a,b:5433/x":           {"a:5432", "b:5433"},
		"postgres:///x?host=/run/postgres":  nil,
		"postgres:///x?host=a,b&port=1,2":   {"a:1", "a:2", "b:1", "b:2"},
		"postgres://u:p%40w@db:1/x":         {"db:1"},
		"POSTGRES://db/x?sslmode=verify-ca": {"db:5432"},
		"POSTGRES:///x?host=db&port=5433":   {"db:5433"},
	} {
		if got := AddrsOf(raw); !slices.Equal(got, want) {
			t.Errorf("AddrsOf(%q) = %q, want %q", raw, got, want)
		}
		if _, err := New(Config{Own: AddrsOf(raw)}); err != nil {
			t.Errorf("New with the address of %q: %v", raw, err)
		}
	}
}
