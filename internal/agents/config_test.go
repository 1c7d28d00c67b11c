package agents_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/agents"
	"github.com/IntunoAI/intuno-go/internal/config"
)

const (
	keyA = "A-key-of-quite-enough-characters-0001"
	keyB = "B-key-of-quite-enough-characters-0002"
	keyC = "C-key-of-quite-enough-characters-0003"
)

func check(vars map[string]string) (agents.Config, []string) {
	c, errs := agents.ParseConfig(vars)
	var lines []string
	for _, err := range append(errs, c.Check()...) {
		lines = append(lines, err.Error())
	}
	return c, lines
}

func with(base map[string]string, pairs ...string) map[string]string {
	vars := maps.Clone(base)
	for i := 0; i < len(pairs); i += 2 {
		vars[pairs[i]] = pairs[i+1]
	}
	return vars
}

func TestEachFaultAloneIsToldOnceAndWithoutItsValue(t *testing.T) {
	development := map[string]string{"AGENTS_API_KEY": "short is allowed"}
	production := map[string]string{"ENVIRONMENT": "production", "AGENTS_API_KEY": keyA, "AGENTS_SERVICE_API_KEY": keyB}
	for _, tc := range []struct {
		name string
		base map[string]string
		vars []string
		want string
	}{
		{"no key", development, []string{"AGENTS_API_KEY", ""}, "AGENTS_API_KEY"},
		{"a blank key is none", development, []string{"AGENTS_API_KEY", " \t"}, "AGENTS_API_KEY"},
		{"a key that no header can carry", development, []string{"AGENTS_API_KEY", " padded"}, "AGENTS_API_KEY"},
		{"a short key in production", production, []string{"AGENTS_API_KEY", "short"}, "AGENTS_API_KEY"},
		{"both keys are one in production", production, []string{"AGENTS_API_KEY", keyB}, "AGENTS_SERVICE_API_KEY"},
		{"the model key is the service key in production", production, []string{"LLM_API_KEY", keyB}, "AGENTS_SERVICE_API_KEY"},
		{"a short service key", development, []string{"AGENTS_SERVICE_API_KEY", "short"}, "AGENTS_SERVICE_API_KEY"},
		{"an empty service key", development, []string{"AGENTS_SERVICE_API_KEY", "," + keyB}, "AGENTS_SERVICE_API_KEY"},
		{"all interfaces without permission", development, []string{"AGENTS_ADDR", ":8001"}, "AGENTS_ADDR"},
		{"the unspecified address without permission", development, []string{"AGENTS_ADDR", "0.0.0.0:8001"}, "AGENTS_ADDR"},
		{"the unspecified IPv6 address without permission", development, []string{"AGENTS_ADDR", "[::]:8001"}, "AGENTS_ADDR"},
		{"a public address without permission", development, []string{"AGENTS_ADDR", "93.184.216.34:8001"}, "AGENTS_ADDR"},
		{"a public address, mapped", development, []string{"AGENTS_ADDR", "[::ffff:93.184.216.34]:8001"}, "AGENTS_ADDR"},
		{"a name without permission", development, []string{"AGENTS_ADDR", "agents.example.org:8001"}, "AGENTS_ADDR"},
		{"no port", development, []string{"AGENTS_ADDR", "127.0.0.1"}, "AGENTS_ADDR"},
		{"a permission that is neither", development, []string{"AGENTS_ALLOW_PUBLIC_BIND", "si"}, "AGENTS_ALLOW_PUBLIC_BIND"},
		{"metrics for everybody", development, []string{"OPS_ADDR", "0.0.0.0:9091"}, "OPS_ADDR"},
		{"a URL of wisdom that is none", development, []string{"INTUNO_BASE_URL", "localhost:8000"}, "INTUNO_BASE_URL"},
		{"a model endpoint without a model", development, []string{"LLM_BASE_URL", "http://127.0.0.1:1234/v1"}, "LLM_MODEL"},
		{"a model endpoint that is none", development, []string{"LLM_BASE_URL", "127.0.0.1:1234", "LLM_MODEL", "m"}, "LLM_BASE_URL"},
		{"a distance that is not a number", development, []string{"ROUTER_MAX_DISTANCE", "NaN"}, "ROUTER_MAX_DISTANCE"},
		{"a distance beyond every distance", development, []string{"ROUTER_MAX_DISTANCE", "4.5"}, "ROUTER_MAX_DISTANCE"},
		{"a turn of nothing", development, []string{"TURN_TIMEOUT_SECONDS", "0"}, "TURN_TIMEOUT_SECONDS"},
		{"a turn as long as wisdom waits", development, []string{"INTUNO_AGENTS_CHAT_TIMEOUT_SECONDS", "55"}, "TURN_TIMEOUT_SECONDS"},
		{"a database of another kind", development, []string{"AGENTS_DATABASE_URL", "file:x"}, "AGENTS_DATABASE_URL"},
		{"wisdom's database", development, []string{"AGENTS_DATABASE_URL", "postgres://h/x", "DATABASE_URL", "postgresql://u:p@h:5432/x"}, "AGENTS_DATABASE_URL"},
		{"a body cap in words", development, []string{"MAX_BODY_BYTES", "1MiB"}, "MAX_BODY_BYTES"},
		{"a drain of nothing", development, []string{"SHUTDOWN_GRACE_SECONDS", "-1"}, "SHUTDOWN_GRACE_SECONDS"},
		{"an unknown log level", development, []string{"LOG_LEVEL", "trace"}, "LOG_LEVEL"},
		{"production misspelt", development, []string{"ENVIRONMENT", "production1"}, "ENVIRONMENT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, lines := check(with(tc.base, tc.vars...))
			if len(lines) != 1 || !strings.HasPrefix(lines[0], tc.want+": ") {
				t.Fatalf("faults = %q, want exactly one, of %s", lines, tc.want)
			}
			for i := 1; i < len(tc.vars); i += 2 {
				if v := strings.TrimSpace(tc.vars[i]); len(v) > 9 && strings.Contains(lines[0], v) {
					t.Errorf("fault repeats the value: %s", lines[0])
				}
			}
		})
	}
}

func TestAllFaultsOfOneConfigurationAreToldTogether(t *testing.T) {
	_, lines := check(map[string]string{
		"ENVIRONMENT": "production", "AGENTS_ADDR": ":8001", "OPS_ADDR": ":1", "AGENTS_DATABASE_URL": "x", "MAX_BODY_BYTES": "x",
		"SHUTDOWN_GRACE_SECONDS": "x", "LOG_LEVEL": "x", "AGENTS_SERVICE_API_KEY": "x", "INTUNO_BASE_URL": "x", "LLM_BASE_URL": "x",
		"ROUTER_MAX_DISTANCE": "x", "TURN_TIMEOUT_SECONDS": "-1", "AGENTS_ALLOW_PUBLIC_BIND": "x",
	})
	all := "\n" + strings.Join(lines, "\n")
	for _, name := range []string{
		"AGENTS_ADDR", "OPS_ADDR", "AGENTS_DATABASE_URL", "MAX_BODY_BYTES", "SHUTDOWN_GRACE_SECONDS", "LOG_LEVEL", "AGENTS_API_KEY",
		"AGENTS_SERVICE_API_KEY", "INTUNO_BASE_URL", "LLM_BASE_URL", "LLM_MODEL", "ROUTER_MAX_DISTANCE", "TURN_TIMEOUT_SECONDS", "AGENTS_ALLOW_PUBLIC_BIND",
	} {
		if got := strings.Count(all, "\n"+name+": "); got != 1 {
			t.Errorf("%d faults name %s, want 1, in%s", got, name, all)
		}
	}
}

func TestNoFault(t *testing.T) {
	for _, tc := range []struct {
		name string
		vars []string
	}{
		{"the least configuration", nil},
		{"a private address", []string{"AGENTS_ADDR", "10.1.2.3:8001"}},
		{"a unique local address", []string{"AGENTS_ADDR", "[fd00::1]:8001"}},
		{"localhost", []string{"AGENTS_ADDR", "localhost:0"}},
		{"all interfaces, permitted", []string{"AGENTS_ADDR", ":8001", "AGENTS_ALLOW_PUBLIC_BIND", "true"}},
		{"a model without an endpoint: the router answers", []string{"LLM_MODEL", "m"}},
		{"an endpoint with a model and no key", []string{"LLM_BASE_URL", "http://127.0.0.1:1234/v1", "LLM_MODEL", "m"}},
		{"no service key: delegation is off", []string{"AGENTS_SERVICE_API_KEY", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, lines := check(with(map[string]string{"AGENTS_API_KEY": "k"}, tc.vars...)); len(lines) != 0 {
				t.Errorf("faults = %q, want none", lines)
			}
		})
	}
}

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	c, lines := check(map[string]string{"AGENTS_API_KEY": "k"})
	if len(lines) != 0 {
		t.Fatal(lines)
	}
	want := map[string]string{
		"ENVIRONMENT": "development", "AGENTS_ADDR": "127.0.0.1:8001", "AGENTS_ALLOW_PUBLIC_BIND": "false", "OPS_ADDR": "127.0.0.1:9091",
		"DATA_DIR": "./data", "AGENTS_DATABASE_URL": "[set]", "MAX_BODY_BYTES": "1048576", "SHUTDOWN_GRACE_SECONDS": "20", "LOG_LEVEL": "info",
		"AGENTS_API_KEY": "[set]", "INTUNO_BASE_URL": "http://localhost:8000", "AGENTS_SERVICE_API_KEY": "[unset]", "LLM_BASE_URL": "",
		"LLM_API_KEY": "[unset]", "LLM_MODEL": "", "ROUTER_MAX_DISTANCE": "1.8", "TURN_TIMEOUT_SECONDS": "55",
		"DATABASE_URL": "[unset]", "INTUNO_AGENTS_CHAT_TIMEOUT_SECONDS": "0", // the other service's, only compared
	}
	got := map[string]string{}
	for _, s := range config.Describe(&c) {
		got[s.Name] = s.Value
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got, want := c.DatabaseURL.Reveal(), "sqlite:data/agents.db"; got != want {
		t.Errorf("database = %q, want %q", got, want)
	}
}

func TestTheHostSendsTheFirstServiceKey(t *testing.T) {
	c, _ := check(map[string]string{"AGENTS_API_KEY": keyA, "AGENTS_SERVICE_API_KEY": " " + keyB + " , " + keyC})
	if got := c.ServiceKey().Reveal(); got != keyB {
		t.Errorf("service key = %q, want the first of the list", got)
	}
}
