package wisdom

import (
	"net/http"
	"slices"
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

// TestAWarmInvocationReadsNothing leaves out what follows the registry in the background.
func TestAWarmInvocationReadsNothing(t *testing.T) {
	var mu sync.Mutex
	var statements []string
	w := newWorld(t, func(d *Deps) {
		d.Demo = demoServer(t)
		d.CountSQL = func(query string) {
			mu.Lock()
			defer mu.Unlock()
			statements = append(statements, query)
		}
	})
	ada := w.signUp("ada")
	slug := w.presented(ada)["Calculator"]["agent_id"].(string)
	background := []string{"stamp", "-- name: CatalogEntries", "agent_vectors", "leases"}
	var reads []string
	for range 5 { // what is remembered may end between two requests: one of several must be warm
		w.invoke(ada, slug, "1 + 1")
		mu.Lock()
		statements = nil
		mu.Unlock()
		w.invoke(ada, slug, "2 + 2")
		mu.Lock()
		reads = nil
		writes := 0
		for _, s := range statements {
			switch {
			case strings.Contains(s, "INSERT INTO conversation"), strings.Contains(s, "INSERT INTO invocation_logs"):
				writes++
			case strings.Contains(s, "SELECT") && !strings.Contains(s, "INSERT") && !strings.Contains(s, "UPDATE") &&
				!slices.ContainsFunc(background, func(b string) bool { return strings.Contains(s, b) }):
				reads = append(reads, s)
			}
		}
		mu.Unlock()
		if writes < 3 {
			t.Fatalf("%d writes: %q", writes, statements)
		}
		if len(reads) == 0 {
			return
		}
	}
	t.Errorf("a warm invocation read %d times: %q", len(reads), reads)
}
