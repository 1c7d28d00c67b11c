package wisdom

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestAWarmRequestMakesNoStatementToAuthenticate counts what reaches the database.
func TestAWarmRequestMakesNoStatementToAuthenticate(t *testing.T) {
	host := newRawHost(t)
	var mu sync.Mutex
	var statements []string
	w := newWorld(t, func(d *Deps) {
		d.CountSQL = func(query string) {
			mu.Lock()
			defer mu.Unlock()
			statements = append(statements, query)
		}
	}, "INTUNO_AGENTS_BASE_URL", "http://"+host.addr)
	ada := w.signUp("ada")
	for name, header := range map[string]http.Header{
		"JWT":         ada.bearer(),
		"API key":     {"X-Api-Key": {ada.key}},
		"service key": {"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {ada.id}},
	} {
		// A cached principal may end between two requests: three tries, one must be warm.
		var seen []string
		for range 3 {
			w.want(200, "GET", "/registry/agents?limit=1", "", header)
			mu.Lock()
			statements = nil
			mu.Unlock()
			w.want(200, "GET", "/registry/agents?limit=1", "", header)
			mu.Lock()
			seen = statements
			mu.Unlock()
			if len(seen) == 1 {
				break
			}
		}
		if len(seen) != 1 || !strings.Contains(seen[0], "FROM agents") {
			t.Errorf("%s: a warm request made %d statements, want the list alone: %q", name, len(seen), seen)
		}
	}
	for range 3 {
		w.want(200, "GET", "/personal/entities/aria", "", ada.bearer())
		mu.Lock()
		statements = nil
		mu.Unlock()
		w.want(200, "GET", "/personal/entities/aria", "", ada.bearer())
		mu.Lock()
		n := len(statements)
		mu.Unlock()
		if n == 0 {
			return
		}
	}
	t.Errorf("a warm request to an entity made statements: %q", statements)
}
