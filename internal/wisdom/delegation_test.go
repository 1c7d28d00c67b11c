package wisdom

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/audit"
)

func idOf(u user) id.User { return id.User(u.id) }

// delegableRoutes is the complete list of contract §2.3, as far as it is served. It is
// written out here, and not read from the table, so that a bit set by mistake fails.
var delegableRoutes = map[string]bool{
	"GET /registry/agents": true, "POST /registry/agents": true, "GET /registry/agents/new": true,
	"GET /registry/agents/{agent_id}": true, "PUT /registry/agents/{uuid}": true, "DELETE /registry/agents/{uuid}": true,
	"GET /registry/discover": true, "GET /registry/agents/trending": true, "POST /registry/agents/{uuid}/credentials": true, "DELETE /registry/agents/{uuid}/credentials": true,
	"POST /registry/agents/{agent_id}/rate": true, "GET /registry/agents/{agent_id}/ratings": true,
	"POST /a2a/agents/import": true,
	"POST /broker/invoke":     true,
	"POST /networks":          true, "GET /networks": true, "GET /networks/{id}": true, "PATCH /networks/{id}": true, "DELETE /networks/{id}": true,
	"POST /networks/{id}/participants": true, "GET /networks/{id}/participants": true,
	"PATCH /networks/{id}/participants/{pid}": true, "DELETE /networks/{id}/participants/{pid}": true, "POST /networks/{id}/participants/{pid}/webhook-secret": true,
	"POST /networks/{id}/call": true, "POST /networks/{id}/messages/send": true, "POST /networks/{id}/mailbox": true, "GET /networks/{id}/inbox/{pid}": true,
	"POST /networks/{id}/messages/ack": true, "GET /networks/{id}/messages": true, "GET /networks/{id}/context": true,
	"GET /networks/{id}/dead-letters": true, "POST /networks/{id}/dead-letters/{message_id}/replay": true,
}

// watcher remembers whom the last request acted for.
type watcher struct {
	httpx.Guard
	mu   sync.Mutex
	last principal.Principal
}

func (w *watcher) Authenticate(ctx context.Context, r httpx.Request) (principal.Principal, error) {
	p, err := w.Guard.Authenticate(ctx, r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = p
	return p, err
}

// variant is one value of a header in the walk.
type variant struct {
	name   string
	header http.Header
}

// The walk: routes × service key × X-On-Behalf-Of × own credential. The first route of each
// class and method sees the whole product, the others every key with a good target and
// every target with the right key.
func TestDelegationWalk(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob, gone := w.signUp("ada"), w.signUp("bob"), w.signUp("gone")
	w.deactivate(gone)
	watch := &watcher{Guard: w.service.guard}
	handler, err := w.service.newEdge(watch)
	if err != nil {
		t.Fatal(err)
	}
	const unknown = "00000000-0000-4000-8000-000000000000"
	keys := []variant{
		{"absent", nil}, {"empty", http.Header{"X-Service-Key": {""}}}, {"wrong", http.Header{"X-Service-Key": {strings.Repeat("x", 40)}}},
		{"right", http.Header{"X-Service-Key": {firstKey}}}, {"second of two", http.Header{"X-Service-Key": {secondKey}}},
		{"two lines", http.Header{"X-Service-Key": {firstKey, firstKey}}}, {"the other shared secret", http.Header{"X-Service-Key": {hostKey}}},
		{"as X-API-Key", http.Header{"X-Api-Key": {firstKey}}}, {"as Bearer", http.Header{"Authorization": {"Bearer " + firstKey}}},
		{"X_Service_Key", http.Header{"X_service_key": {firstKey}, "X_Service_Key": {firstKey}}},
	}
	targets := []variant{
		{"absent", nil}, {"blank", http.Header{"X-On-Behalf-Of": {"  "}}}, {"malformed", http.Header{"X-On-Behalf-Of": {"ada"}}},
		{"x<uuid>y", http.Header{"X-On-Behalf-Of": {"x" + bob.id + "y"}}}, {"unknown", http.Header{"X-On-Behalf-Of": {unknown}}},
		{"inactive", http.Header{"X-On-Behalf-Of": {gone.id}}}, {"good", http.Header{"X-On-Behalf-Of": {strings.ToUpper(bob.id)}}},
	}
	owns := []variant{
		{"none", nil}, {"JWT", http.Header{"Authorization": {"Bearer " + ada.token}}}, {"API key", http.Header{"X-Api-Key": {ada.key}}},
		{"invalid JWT", http.Header{"Authorization": {"Bearer " + ada.token + "x"}}},
	}
	requests, accepted, refused := 0, 0, 0
	walked := map[string]bool{}
	body := `{"name":"a","description":"b","endpoint":"https://a.example.org/"}`
	for _, route := range w.service.edge.Routes() {
		path := samplePath(route.Pattern)
		class := route.Method + " " + route.Access.String()
		whole := !walked[class]
		walked[class] = true
		for _, key := range keys {
			for _, target := range targets {
				if !whole && key.name != "right" && target.name != "good" {
					continue
				}
				for _, own := range owns {
					// The own credential replaces nothing: the same header twice is a
					// repeated header.
					header := http.Header{}
					for _, v := range []variant{own, key, target} {
						for name, values := range v.header {
							header[name] = append(header[name], values...)
						}
					}
					name := route.Method + " " + route.Pattern
					if name == "POST /auth/logout" && own.name == "JWT" {
						continue // it would end the token; logout has tests of its own
					}
					requests++
					want := oracle(route, key.name, target.name, own.name, ada.id, bob.id, header)
					watch.last = principal.Principal{}
					got := send(handler, route.Method, path, body, header)
					watch.mu.Lock()
					acted := watch.last
					watch.mu.Unlock()
					if want.status != 0 && (got.status != want.status || got.text("code") != want.code) {
						t.Fatalf("%s, key %s, target %s, own %s: %d %s, want %d %s", name, key.name, target.name, own.name, got.status, got.body, want.status, want.code)
					}
					if want.status == 0 && (got.status == 401 || got.status == 400 && got.text("code") == "duplicate_credentials") {
						t.Fatalf("%s, key %s, target %s, own %s: refused with %d %s", name, key.name, target.name, own.name, got.status, got.body)
					}
					if string(acted.User) != want.user || want.service != acted.Delegated() {
						t.Fatalf("%s, key %s, target %s, own %s: acts as %+v, want user %q, service %v", name, key.name, target.name, own.name, acted, want.user, want.service)
					}
					if want.service && route.Method != "GET" && got.status != 422 { // a 422 never reaches what could change
						accepted++
					}
					if want.refusedKey {
						refused++
					}
				}
			}
		}
	}
	t.Logf("%d requests: %d delegated changes, %d refused keys", requests, accepted, refused)
	checkAudit(t, w, idOf(bob), accepted, refused)
}

// samplePath fills the parameters of a pattern with values that pass its checks, as
// far as one value can.
func samplePath(pattern string) string {
	const id = "00000000-0000-4000-8000-00000000000a"
	return regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllStringFunc(pattern, func(p string) string {
		switch p {
		case "{uuid}", "{agent_uuid}", "{id}", "{key_id}", "{message_id}", "{mid}", "{pid}", "{network_id}", "{participant_id}":
			return id
		}
		return "nobody"
	})
}

type verdict struct {
	status     int // 0: admitted, whatever the route then answers
	code       string
	user       string
	service    bool
	refusedKey bool
}

// oracle is contract §2.1 and 2.3, written down a second time.
func oracle(route httpx.Route, key, target, own, ada, bob string, header http.Header) verdict {
	repeated := false
	for _, name := range []string{"Authorization", "X-Api-Key", "X-Service-Key", "X-On-Behalf-Of"} {
		repeated = repeated || len(header[name]) > 1
	}
	delegable := delegableRoutes[route.Method+" "+route.Pattern]
	if (route.Access == httpx.Delegable) != delegable {
		return verdict{status: -1, code: "the delegable bit of this route is not as contract §2.3 lists it"}
	}
	switch route.Access {
	case httpx.Public:
		return verdict{}
	case httpx.Signed: // whatever credentials come along: there is no signature
		return verdict{status: 422, code: "validation_error"}
	}
	if delegable && len(header["X-Service-Key"]) == 1 {
		switch {
		case key != "right" && key != "second of two":
			return verdict{status: 401, code: "not_authenticated", refusedKey: true}
		case repeated:
			return verdict{status: 400, code: "duplicate_credentials"}
		case target == "absent" || target == "blank":
			return verdict{status: 400, code: "on_behalf_of_required"}
		case target == "malformed" || target == "x<uuid>y":
			return verdict{status: 400, code: "on_behalf_of_invalid"}
		case target == "unknown" || target == "inactive":
			return verdict{status: 404, code: "not_found"}
		}
		return verdict{user: bob, service: true}
	}
	if repeated {
		return verdict{status: 400, code: "duplicate_credentials"}
	}
	switch {
	case own == "JWT":
		if route.Access == httpx.Admin {
			return verdict{status: 403, code: "forbidden"}
		}
		return verdict{user: ada}
	case own == "API key" && (route.Access == httpx.User || route.Access == httpx.UserOrBearerKey || route.Access == httpx.Delegable):
		return verdict{user: ada}
	case own == "API key" && route.Access == httpx.KeyMgmt:
		return verdict{status: 403, code: "jwt_required"}
	}
	return verdict{status: 401, code: "not_authenticated"}
}

// checkAudit insists on one record for every delegated change and every refused key,
// none of which carries a key.
func checkAudit(t *testing.T, w *world, subject id.User, accepted, refused int) {
	t.Helper()
	var before audit.Record
	gotAccepted, gotRefused := 0, 0
	for {
		page, err := w.service.audit.Recent(t.Context(), before, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		before = page[len(page)-1]
		for _, r := range page {
			switch r.Event {
			case audit.Delegated:
				gotAccepted++
				if r.Subject != subject || r.Actor != (principal.Actor{Type: "service", ID: "wisdom-agents"}) || r.Status < 200 || r.RequestID == "" || r.Route == "" {
					t.Errorf("record %+v", r)
				}
			case audit.KeyRefused:
				gotRefused++
				if r.Status != 401 || r.Subject != "" {
					t.Errorf("record %+v", r)
				}
			}
			for _, secret := range []string{firstKey, secondKey, hostKey} {
				if strings.Contains(r.Actor.ID+r.Actor.Type+r.Route+r.RequestID+r.Method, secret) {
					t.Errorf("a record carries a key: %+v", r)
				}
			}
		}
	}
	if gotAccepted != accepted || gotRefused != refused {
		t.Errorf("audit: %d changes and %d refusals, want %d and %d", gotAccepted, gotRefused, accepted, refused)
	}
}

func TestWithoutASecretEveryServiceKeyIsRefused(t *testing.T) {
	for name, secret := range map[string]string{"unset": "", "blank": "   ", "whitespace": "\t \n"} {
		w := newWorld(t, nil, "AGENTS_SERVICE_API_KEY", secret)
		ada := w.signUp("ada")
		for _, value := range []string{"", " ", "   ", "\t \n", secret, firstKey, hostKey, jwtKey, "[secret]"} {
			header := http.Header{"X-Service-Key": {value}, "X-On-Behalf-Of": {ada.id}, "Authorization": {"Bearer " + ada.token}}
			if got := w.send("GET", "/registry/agents", "", header); got.status != 401 {
				t.Errorf("secret %s, header %q: %d, want 401", name, value, got.status)
			}
		}
		if got := w.send("GET", "/registry/agents", "", ada.bearer()); got.status != 200 {
			t.Errorf("secret %s: the user's own token: %d", name, got.status)
		}
	}
}

func TestADelegatedRegistrationBelongsToTheSubject(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob := w.signUp("ada"), w.signUp("bob")
	service := http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {ada.id}}
	agent := w.want(201, "POST", "/registry/agents", `{"name":"a","description":"b","endpoint":"https://a.example.org/","visibility":"private"}`, service)
	w.want(200, "GET", "/registry/agents/"+agent.text("agent_id"), "", ada.bearer())
	w.want(404, "GET", "/registry/agents/"+agent.text("agent_id"), "", bob.bearer())
	w.want(404, "DELETE", "/registry/agents/"+agent.text("id"), "", http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {bob.id}})
	w.want(403, "POST", "/registry/agents", `{"name":"a","description":"b","hosted_entity":"aria"}`, ada.bearer())
	w.want(201, "POST", "/registry/agents", `{"name":"a","description":"b","hosted_entity":"aria"}`, service)
	w.want(200, "POST", "/registry/agents", `{"name":"a","description":"b","hosted_entity":"aria"}`, service)
}
