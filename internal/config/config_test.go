package config_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/config"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

type sample struct {
	Count int           `env:"COUNT" envDefault:"7"`
	Wait  time.Duration `env:"WAIT" envDefault:"2"`
	On    bool          `env:"ON" envDefault:"true"`
	Ratio float64       `env:"RATIO" envDefault:"0.5"`
	Key   secret.String `env:"KEY"`
	Peer  struct {
		Name string `env:"NAME"`
	}
}

func TestBlankIsUnset(t *testing.T) {
	var s sample
	if faults := config.Parse(&s, map[string]string{"COUNT": "", "WAIT": " ", "ON": "\t", "KEY": " ", "NAME": "  "}); faults != nil {
		t.Fatal(faults)
	}
	if s.Count != 7 || s.Wait != 2*time.Second || !s.On || s.Key.Len() != 0 || s.Peer.Name != "" {
		t.Errorf("got %+v, want the defaults", s)
	}
}

func TestUnreadableValuesAreToldTogetherAndGiveWayToTheDefault(t *testing.T) {
	var s sample
	faults := config.Parse(&s, map[string]string{"COUNT": "many", "WAIT": "Inf", "ON": "perhaps", "RATIO": "half", "NAME": "kept"})
	want := "[COUNT: must be a whole number WAIT: must be a number of seconds, such as 30 ON: must be true or false RATIO: must be a number]"
	if got := fmt.Sprint(faults); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if s.Count != 7 || s.Wait != 2*time.Second || !s.On || s.Ratio != 0.5 || s.Peer.Name != "kept" {
		t.Errorf("got %+v, want the defaults and the readable name", s)
	}
}

func TestSecretsAreDescribedButNotShown(t *testing.T) {
	var s sample
	config.Parse(&s, map[string]string{"KEY": "hush", "WAIT": "1.5", "NAME": "n"})
	want := "[{COUNT 7} {KEY [set]} {NAME n} {ON true} {RATIO 0.5} {WAIT 1.5}]"
	if got := fmt.Sprint(config.Describe(&s)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTheCallersMapIsNotChanged(t *testing.T) {
	vars := map[string]string{"COUNT": "many", "KEY": " "}
	config.Parse(&sample{}, vars)
	if want := map[string]string{"COUNT": "many", "KEY": " "}; !maps.Equal(vars, want) {
		t.Errorf("got %v, want %v", vars, want)
	}
}

func TestWhichAddressesAreLoopbackAndWhichPrivate(t *testing.T) {
	for host, want := range map[string][2]bool{
		"127.0.0.1": {true, true}, "127.9.9.9": {true, true}, "::1": {true, true}, "localhost": {true, true}, "LOCALHOST": {true, true},
		"::ffff:127.0.0.1": {true, true}, "10.1.2.3": {false, true}, "172.16.0.1": {false, true}, "192.168.1.1": {false, true},
		"169.254.1.1": {false, true}, "fe80::1": {false, true}, "fd00::1": {false, true}, "": {}, "0.0.0.0": {}, "::": {}, "172.32.0.1": {},
		"100.64.0.1": {}, "2001:db8::1": {}, "db.internal": {}, "localhost.example.org": {}, "127.1": {}, "::ffff:8.8.8.8": {},
	} {
		if got := [2]bool{config.Loopback(host), config.Private(host)}; got != want {
			t.Errorf("%q: loopback, private = %v, want %v", host, got, want)
		}
	}
}

func TestWellKnownKeys(t *testing.T) {
	for text, want := range map[string]bool{
		"secret": true, "SECRET": true, "secretsecretsecretsecretsecretsecret": true, "test-secret": true, "test-secret-test-secret-test-secret": true,
		"0123456789abcdef0123456789abcdef": true, "your-256-bit-secret": true, "your-256-bit-secret-your-256-bit-secret": true,
		"changeme-changeme-changeme-changeme": true, "change-me-please-change-me-please": true, strings.Repeat("0", 64): true,
		"": false, "3q2-7wAByZ0c9v1kQ8mT5rL2xN7pJ4hG6fD0sA": false, "a quite long sentence that holds the word secret once": false,
	} {
		if got := config.WellKnown(secret.New(text)); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestWhichDatabaseURLsMeanTheSameDatabase(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"postgres://a:x@h/d", "postgresql://b:y@H:5432/d?sslmode=disable", true},
		{"postgres://h/d", "postgres://h/e", false},
		{"postgres://h:5433/d", "postgres://h/d", false},
		{"postgres:///d?host=/run/a", "postgres:///d?host=/run/a&user=x", true},
		{"postgres:///d?host=/run/a", "postgres:///d?host=/run/b", false},
		{"postgres://h1:1,h2:2/d", "postgres://h1:1,h2:2/d", true},
		{"sqlite:x.db", "sqlite:./y/../x.db", true},
		{"sqlite:x.db", "sqlite:y.db", false},
		{"sqlite:x.db", "postgres://h/x.db", false},
		{"", "", false},
	} {
		if got := config.SameDatabase(secret.New(tc.a), secret.New(tc.b)); got != tc.want {
			t.Errorf("%s and %s: got %v, want %v", tc.a, tc.b, got, tc.want)
		}
	}
}
