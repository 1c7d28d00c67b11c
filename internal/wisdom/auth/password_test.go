package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
)

var cheap = Hashing{MemoryKiB: 8, Passes: 1, Workers: 1}

func TestPasswordHash(t *testing.T) {
	h := newHasher(cheap)
	phc := h.hash("correct horse")
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=8,t=1,p=1$") {
		t.Errorf("got %q, want a PHC string with the parameters", phc)
	}
	if again := h.hash("correct horse"); again == phc {
		t.Error("two hashes of one password are equal: no salt")
	}
	for _, c := range []struct {
		name, phc, password string
		want                bool
	}{
		{"the password", phc, "correct horse", true},
		{"another", phc, "correct horsf", false},
		{"its beginning", phc, "correct hors", false},
		{"nothing", phc, "", false},
		{"the dummy", h.dummy, "", false},
		{"every byte counts", h.hash(strings.Repeat("é", 128)), strings.Repeat("é", 127) + "e", false},
		{"128 characters", h.hash(strings.Repeat("é", 128)), strings.Repeat("é", 128), true},
		{"other parameters than today's", newHasher(Hashing{MemoryKiB: 16, Passes: 2, Lanes: 2}).hash("x"), "x", true},
		{"test vector of the reference implementation", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password", true},
		{"not a PHC string", "hash", "hash", false},
		{"empty", "", "", false},
		{"argon2i", strings.Replace(phc, "argon2id", "argon2i", 1), "correct horse", false},
		{"another version", strings.Replace(phc, "v=19", "v=16", 1), "correct horse", false},
		{"no passes", strings.Replace(phc, "t=1", "t=0", 1), "correct horse", false},
		{"no lanes", strings.Replace(phc, "p=1", "p=0", 1), "correct horse", false},
		{"all memory there is", strings.Replace(phc, "m=8,", "m=4294967295,", 1), "correct horse", false},
		{"more passes than fit", strings.Replace(phc, "t=1", "t=99999999999", 1), "correct horse", false},
		{"a part too many", phc + "$", "correct horse", false},
		{"a damaged salt", strings.Replace(phc, "p=1$", "p=1$!", 1), "correct horse", false},
	} {
		if got := h.matches(c.phc, c.password); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHashWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(cheap)
		release, err := h.slot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := clock.System()
		_, err = h.slot(t.Context())
		if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || f.Code != "overloaded" || f.RetryAfter != time.Second {
			t.Errorf("busy: got %v, want overloaded", err)
		}
		if waited := clock.System().Sub(start); waited != time.Second {
			t.Errorf("waited %v, want 1s", waited)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.check(gone, h.dummy, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("client gone: got %v, want canceled", err)
		}
		time.AfterFunc(time.Second/2, release)
		if _, err := h.check(t.Context(), h.dummy, "x"); err != nil {
			t.Errorf("freed in time: got %v, want nil", err)
		}
		if release, err = h.slot(t.Context()); err != nil {
			t.Fatalf("check kept its slot: %v", err)
		}
		release()
		if got := h.runs.Load(); got != 1 {
			t.Errorf("got %d hashes, want 1", got)
		}
	})
}

func TestNetworkOfPeer(t *testing.T) {
	for _, c := range []struct{ name, peer, want string }{
		{"IPv4", "192.0.2.7", "192.0.2.7"},
		{"IPv4 in IPv6", "::ffff:192.0.2.7", "192.0.2.7"},
		{"IPv6 counts by /64", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"the same network", "2001:db8:1:2::1", "2001:db8:1:2::/64"},
		{"another network", "2001:db8:1:3::1", "2001:db8:1:3::/64"},
		{"zone", "fe80::1%eth0", "fe80::/64"},
		{"not an address", "somewhere", "somewhere"},
	} {
		if got := network(c.peer); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestKeyShape(t *testing.T) {
	good := "wsk_" + strings.Repeat("aZ0-_9bY7wx", 4)[:43]
	for _, c := range []struct {
		name, key string
		want      bool
	}{
		{"a key", good, true},
		{"empty", "", false},
		{"prefix alone", "wsk_", false},
		{"short", good[:46], false},
		{"long", good + "a", false},
		{"another prefix", "wsx_" + good[4:], false},
		{"another alphabet", good[:46] + "+", false},
		{"not ASCII", good[:45] + "é", false},
	} {
		if got := keyShaped(c.key); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEmailAddresses(t *testing.T) {
	domain := strings.Repeat("d", 60) + "." + strings.Repeat("e", 60) + "." + strings.Repeat("f", 60) + ".org"
	for _, c := range []struct {
		email string
		want  bool
	}{
		{"ada@example.org", true},
		{"Ada.Lovelace+x@Sub.Example.ORG", true},
		{"o'brien@example.org", true},
		{"a@b.co", true},
		{"ada@xn--mnchen-3ya.de", true},
		{strings.Repeat("l", 64) + "@example.org", true},
		{strings.Repeat("l", 64) + "@" + domain, true}, // 251

		{"", false},
		{"ada", false},
		{"@example.org", false},
		{"ada@", false},
		{"ada@localhost", false},
		{"ada@example..org", false},
		{"ada@.example.org", false},
		{"ada@example.org.", false},
		{"ada@-example.org", false},
		{"ada@example-.org", false},
		{"ada@127.0.0.1", false},
		{"ada@[127.0.0.1]", false},
		{".ada@example.org", false},
		{"ada.@example.org", false},
		{"a..da@example.org", false},
		{"ada@b@example.org", false},
		{"a da@example.org", false},
		{"ada@example.org ", false},
		{" ada@example.org", false},
		{"Ada <ada@example.org>", false},
		{"<ada@example.org>", false},
		{`"ada"@example.org`, false},
		{"ada@example.org,bob@example.org", false},
		{"ada@example.org\n", false},
		{"ada\x00@example.org", false},
		{"adá@example.org", false},
		{"ada@exämple.org", false},
		{strings.Repeat("l", 65) + "@example.org", false},
		{strings.Repeat("l", 64) + "@" + strings.Repeat("x", 5) + "." + domain, false}, // 257
	} {
		problems := NewUser{Email: c.email, Password: "12345678"}.problems()
		if got := len(problems) == 0; got != c.want {
			t.Errorf("%q: got %v (%v), want %v", c.email, got, problems, c.want)
		}
	}
}

func TestFoldingAddresses(t *testing.T) {
	if got, want := foldEmail("Ada.ÄÖ\u212a@EXAMPLE.org"), "ada.ÄÖ\u212a@example.org"; got != want {
		t.Errorf("got %q, want %q: only ASCII is folded", got, want)
	}
	if got, want := domainToLower("Ada.L@EXAMPLE.org"), "Ada.L@example.org"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
