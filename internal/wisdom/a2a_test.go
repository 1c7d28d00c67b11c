package wisdom

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	legacy "github.com/a2aproject/a2a-go/a2a"
	legacysrv "github.com/a2aproject/a2a-go/a2asrv"
	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	"github.com/a2aproject/a2a-go/v2/a2asrv"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// elsewhere is somebody else's server, allowed by INVOKE_ENDPOINT_ALLOWED_HOSTS, that
// answers what a test puts at a path.
type elsewhere struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]http.Handler
	asked []string
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{pages: map[string]http.Handler{}}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		page := e.pages[r.URL.Path]
		e.asked = append(e.asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Accept"))
		e.mu.Unlock()
		if page == nil {
			http.NotFound(w, r)
			return
		}
		page.ServeHTTP(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *elsewhere) host() string { return strings.TrimPrefix(e.URL, "http://") }

func (e *elsewhere) serve(path string, page http.Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pages[path] = page
}

func (e *elsewhere) text(path, text string) { e.serve(path, respond(200, text)) }

func (e *elsewhere) requests() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

func respond(status int, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	})
}

// cardPath is the first place where a card is looked for.
const cardPath = "/.well-known/agent-card.json"

func (w *world) importCard(u user, url string) reply {
	w.t.Helper()
	return w.send("POST", "/a2a/agents/import", quoteURL(url), u.bearer())
}

func quoteURL(url string) string {
	text, _ := json.Marshal(map[string]string{"url": url})
	return string(text)
}

func (w *world) imported(u user, url string) string {
	w.t.Helper()
	r := w.importCard(u, url)
	if r.status != 201 || !strings.Contains(r.body, `"success":true`) {
		w.t.Fatalf("import %s: %d %s", url, r.status, r.body)
	}
	return r.text("agent_id")
}

func (w *world) mine(u user) int {
	w.t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(w.want(200, "GET", "/registry/my-agents", "", u.bearer()).body), &list); err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

func TestAnImportIsAnAgentLikeAnyOther(t *testing.T) {
	e := newElsewhere(t)
	w := newWorld(t, nil, "INVOKE_ENDPOINT_ALLOWED_HOSTS", e.host())
	ada, bob := w.signUp("ada"), w.signUp("bob")
	e.text(cardPath, `{"name": "Weather Oracle", "description": "Forecasts.", "version": "2.0", "url": "`+e.URL+`/rpc/", "skills": [{"id": "f", "name": "Rain Radar"}],
	 "securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "X"}}}`)
	got := w.importCard(ada, e.URL)
	slug := got.text("agent_id")
	if want := fmt.Sprintf(`{"success":true,"agent_id":%q,"name":"Weather Oracle","description":"Forecasts. | Skills: Rain Radar","invoke_endpoint":%q,"tags":["a2a","external","rain-radar"]}`, slug, e.URL+"/rpc"); got.status != 201 || got.body != want {
		t.Fatalf("got %d %s, want %s", got.status, got.body, want)
	}
	if !strings.HasPrefix(slug, "a2a-weather-oracle-") {
		t.Errorf("slug %s", slug)
	}
	if asked := e.requests(); len(asked) != 1 || asked[0] != "GET "+cardPath+" application/json" {
		t.Errorf("asked %q", asked)
	}
	var agent map[string]any
	if err := json.Unmarshal([]byte(w.want(200, "GET", "/registry/agents/"+slug, "", ada.bearer()).body), &agent); err != nil {
		t.Fatal(err)
	}
	for member, want := range map[string]any{"category": "a2a", "trust_verification": "a2a-card", "auth_type": "api_key", "visibility": "public", "version": "2.0",
		"endpoint": e.URL + "/rpc", "supports_streaming": false, "is_active": true, "has_credentials": false} {
		if agent[member] != want {
			t.Errorf("%s is %v, want %v", member, agent[member], want)
		}
	}
	if r := w.want(200, "GET", "/registry/agents/"+slug, "", bob.bearer()); strings.Contains(r.body, e.URL) {
		t.Errorf("a stranger sees the endpoint: %s", r.body)
	}
	if r := w.want(200, "GET", "/registry/discover?query=rain+radar", "", bob.bearer()); !strings.Contains(r.body, slug) {
		t.Errorf("discovery does not find it: %s", r.body)
	}
	preview := w.want(200, "GET", "/a2a/agents/fetch-card?url="+url.QueryEscape(e.URL), "", bob.bearer())
	if !strings.HasPrefix(preview.body, `{"success":true,"card":{"name":"Weather Oracle","description":"Forecasts.","version":"2.0"`) {
		t.Errorf("preview %s", preview.body)
	}
	w.want(422, "GET", "/a2a/agents/fetch-card", "", bob.bearer())
	if n := w.mine(bob); n != 0 {
		t.Errorf("a preview stored %d agents", n)
	}
}

func TestTheSameCardIsTheSameAgent(t *testing.T) {
	e := newElsewhere(t)
	w := newWorld(t, nil, "INVOKE_ENDPOINT_ALLOWED_HOSTS", e.host())
	ada, bob := w.signUp("ada"), w.signUp("bob")
	e.text(cardPath, `{"name": "one", "description": "first", "url": "`+e.URL+`/rpc"}`)
	slug := w.imported(ada, e.URL)
	e.text(cardPath, `{"name": "two", "description": "second", "url": "`+e.URL+`/elsewhere"}`)
	for _, spelling := range []string{e.URL, e.URL + "/", e.URL + cardPath, strings.ToUpper(e.URL[:4]) + e.URL[4:], e.URL + "/?"} {
		if got := w.imported(ada, spelling); got != slug {
			t.Errorf("%s: agent %s, want %s", spelling, got, slug)
		}
	}
	if r := w.want(200, "GET", "/registry/agents/"+slug, "", ada.bearer()); r.text("name") != "two" || r.text("endpoint") != e.URL+"/elsewhere" {
		t.Errorf("not updated: %s", r.body)
	}
	// Nobody else's: not the import of another user, not a native agent of the same endpoint.
	native := w.want(201, "POST", "/registry/agents", `{"name":"native","description":"d","endpoint":"`+e.URL+`/elsewhere"}`, bob.bearer())
	before := w.want(200, "GET", "/registry/agents/"+slug, "", ada.bearer()).body
	other := w.imported(bob, e.URL)
	if other == slug || other == native.text("agent_id") {
		t.Errorf("bob's import is %s", other)
	}
	e.text(cardPath, `{"name": "three", "description": "of bob", "url": "`+e.URL+`/third"}`)
	if got := w.imported(bob, e.URL); got != other {
		t.Errorf("bob's second import is %s, want %s", got, other)
	}
	if after := w.want(200, "GET", "/registry/agents/"+slug, "", ada.bearer()).body; after != before {
		t.Errorf("bob's import changed ada's agent:\n%s\n%s", before, after)
	}
	if after := w.want(200, "GET", "/registry/agents/"+native.text("agent_id"), "", bob.bearer()); after.text("name") != "native" {
		t.Errorf("an import changed a native agent: %s", after.body)
	}
	// The visibility is that of the first import, until one names another.
	private := w.want(201, "POST", "/a2a/agents/import", `{"url":"`+e.URL+`","visibility":"private"}`, ada.bearer()).text("agent_id")
	w.want(404, "GET", "/registry/agents/"+private, "", bob.bearer())
	w.imported(ada, e.URL)
	w.want(404, "GET", "/registry/agents/"+private, "", bob.bearer())
	w.want(422, "POST", "/a2a/agents/import", `{"url":"`+e.URL+`","visibility":"secret"}`, ada.bearer())
	w.want(422, "POST", "/a2a/agents/import", `{}`, ada.bearer())
}

func TestADelegatedImportBelongsToTheSubject(t *testing.T) {
	e := newElsewhere(t)
	w := newWorld(t, nil, "INVOKE_ENDPOINT_ALLOWED_HOSTS", e.host())
	ada := w.signUp("ada")
	e.text(cardPath, `{"name": "one"}`)
	service := http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {ada.id}}
	slug := w.want(201, "POST", "/a2a/agents/import", quoteURL(e.URL), service).text("agent_id")
	if got := w.imported(ada, e.URL); got != slug || w.mine(ada) != 1 {
		t.Errorf("ada's own import is %s, want %s", got, slug)
	}
}

func TestFiftyImportsOfOneCardAtOnceAreOneAgent(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		e := newElsewhere(t)
		w := newWorld(t, nil, "INVOKE_ENDPOINT_ALLOWED_HOSTS", e.host(), "DATABASE_URL", open())
		ada := w.signUp("ada")
		e.text(cardPath, `{"name": "one"}`)
		replies := make([]reply, 50)
		var group sync.WaitGroup
		for i := range replies {
			group.Go(func() { replies[i] = w.importCard(ada, e.URL) })
		}
		group.Wait()
		for _, r := range replies {
			if r.status != 201 || r.text("agent_id") != replies[0].text("agent_id") {
				t.Errorf("%d %s, want 201 and %s", r.status, r.body, replies[0].text("agent_id"))
			}
		}
		if n := w.mine(ada); n != 1 {
			t.Errorf("%d agents, want 1", n)
		}
	})
}

func TestAnOddCardIsA400AndNothingIsStored(t *testing.T) {
	e := newElsewhere(t)
	w := newWorld(t, nil, "INVOKE_ENDPOINT_ALLOWED_HOSTS", e.host())
	ada := w.signUp("ada")
	var internal atomic.Int64
	canary := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { internal.Add(1) }))
	t.Cleanup(canary.Close)
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"name": "`))
		for {
			if _, err := w.Write([]byte(strings.Repeat("x", 4096))); err != nil {
				return
			}
		}
	})
	for i, tc := range []struct {
		name       string
		page       http.Handler
		code, text string
	}{
		{"a number for a name", respond(200, `{"name": 1}`), "card_invalid", "name must be a string"},
		{"an object for skills", respond(200, `{"skills": {"a": {}}}`), "card_invalid", "skills must be a list"},
		{"ten thousand skills", respond(200, `{"name": "a", "skills": [`+strings.TrimSuffix(strings.Repeat(`{"id":"a"},`, 10_000), ",")+`]}`), "card_invalid", "10000 items"},
		{"a name twice", respond(200, `{"name": "a", "name": "b"}`), "card_invalid", "occurs twice"},
		{"deep", respond(200, `{"name": "a", "x": `+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`), "card_invalid", "64 levels"},
		{"deeper than any reader goes", respond(200, `{"name": "a", "x": `+strings.Repeat("[", 120_000)+strings.Repeat("]", 120_000)+`}`), "card_not_found", ""},
		{"U+0000", respond(200, `{"name": "a\u0000"}`), "card_invalid", "U+0000"},
		{"invalid UTF-8", respond(200, "{\"name\": \"\xff\"}"), "card_invalid", "UTF-8"},
		{"HTML", respond(200, "<!doctype html><title>name</title>"), "card_not_found", "not a JSON object"},
		{"an array", respond(200, `[{"name": "a"}]`), "card_not_found", "not a JSON object"},
		{"nothing", respond(200, ``), "card_not_found", "not a JSON object"},
		{"endless", endless, "card_not_found", "larger than 262144 bytes"},
		{"too large", respond(200, `{"name": "a", "x": "`+strings.Repeat("x", 256<<10)+`"}`), "card_not_found", "larger than 262144 bytes"},
		{"a refusal", respond(403, `{"name": "a"}`), "card_not_found", "status 200"},
		{"a redirect", http.RedirectHandler(canary.URL+"/card.json", http.StatusFound), "card_not_found", "redirects are not followed"},
		{"an internal endpoint", respond(200, `{"name": "a", "url": "`+canary.URL+`/rpc"}`), "unsafe_url", ""},
		{"an internal interface", respond(200, `{"name": "a", "supportedInterfaces": [{"url": "http://169.254.169.254/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]}`), "unsafe_url", ""},
		{"a file", respond(200, `{"name": "a", "url": "file:///etc/passwd"}`), "unsafe_url", ""},
		{"a relative endpoint", respond(200, `{"name": "a", "url": "/rpc"}`), "unsafe_url", ""},
		{"only a slash", respond(200, `{"name": "a", "url": "/"}`), "unsafe_url", ""},
	} {
		path := fmt.Sprintf("/%d", i)
		e.serve(path+cardPath, tc.page)
		for name, got := range map[string]reply{
			"import": w.importCard(ada, e.URL+path), "import of the card itself": w.importCard(ada, e.URL+path+cardPath),
			"preview": w.send("GET", "/a2a/agents/fetch-card?url="+url.QueryEscape(e.URL+path), "", ada.bearer()),
		} {
			if got.status != 400 || got.text("code") != tc.code || !strings.Contains(got.text("detail"), tc.text) {
				t.Errorf("%s of %s: %d %s, want %s, %s", name, tc.name, got.status, got.body, tc.code, tc.text)
			}
		}
	}
	for _, bad := range []string{canary.URL, "http://127.0.0.1/", "ftp://" + e.host(), "http://user@" + e.host(), e.URL + "/#x", "x", "", "http://localhost:" + e.host()[strings.LastIndex(e.host(), ":")+1:]} {
		if got := w.importCard(ada, bad); got.status != 400 || got.text("code") != "unsafe_url" {
			t.Errorf("%q: %d %s, want unsafe_url", bad, got.status, got.body)
		}
	}
	if got := w.importCard(ada, "https://a.example.org/"+strings.Repeat("x", 2048)); got.status != 422 {
		t.Errorf("a long URL: %d %s, want 422", got.status, got.body)
	}
	if n := w.mine(ada); n != 0 || internal.Load() != 0 {
		t.Errorf("%d agents were stored and %d requests reached the canary", n, internal.Load())
	}
}

func TestARefreshReadsTheCardAgain(t *testing.T) {
	e := newElsewhere(t)
	w := newWorld(t, nil, "INVOKE_ENDPOINT_ALLOWED_HOSTS", e.host())
	ada, bob := w.signUp("ada"), w.signUp("bob")
	e.text("/x"+cardPath, `{"name": "one", "url": "`+e.URL+`/rpc"}`)
	slug := w.imported(ada, e.URL+"/x")
	refresh := "/a2a/agents/" + slug + "/refresh"
	foreign, unknown := w.send("POST", refresh, "", bob.bearer()), w.send("POST", "/a2a/agents/a2a-one-00000000/refresh", "", bob.bearer())
	if foreign.status != 404 || withoutID(foreign) != withoutID(unknown) {
		t.Errorf("foreign %d %s, unknown %d %s", foreign.status, foreign.body, unknown.status, unknown.body)
	}
	native := w.want(201, "POST", "/registry/agents", `{"name":"native","description":"d","endpoint":"`+e.URL+`/n"}`, ada.bearer())
	if got := w.want(400, "POST", "/a2a/agents/"+native.text("agent_id")+"/refresh", "", ada.bearer()); got.text("code") != "bad_request" {
		t.Errorf("a native agent: %s", got.body)
	}
	if got := w.want(404, "POST", "/a2a/agents/"+native.text("agent_id")+"/refresh", "", bob.bearer()); withoutID(got) != withoutID(unknown) {
		t.Errorf("somebody else's native agent: %s", got.body)
	}
	e.text("/x"+cardPath, `{"name": "two", "url": "`+e.URL+`/moved"}`)
	if got := w.want(200, "POST", refresh, "", ada.bearer()); got.body != fmt.Sprintf(`{"success":true,"agent_id":%q,"name":"two"}`, slug) {
		t.Errorf("refresh: %s", got.body)
	}
	agent := func() reply { return w.want(200, "GET", "/registry/agents/"+slug, "", ada.bearer()) }
	if a := agent(); a.text("endpoint") != e.URL+"/moved" || a.text("name") != "two" {
		t.Errorf("after the refresh: %s", a.body)
	}
	// A card that has become unusable changes nothing.
	before := agent().body
	for _, text := range []string{`{"name": 1}`, `{"name": "evil", "url": "http://127.0.0.1:1/"}`, `<html>`} {
		e.text("/x"+cardPath, text)
		w.want(400, "POST", refresh, "", ada.bearer())
	}
	if after := agent().body; after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	// A card that has moved on its server is found; without an endpoint in it, the agent keeps its own.
	e.serve("/x"+cardPath, nil)
	e.text("/x/agent.json", `{"name": "three"}`)
	w.want(200, "POST", refresh, "", ada.bearer())
	if a := agent(); a.text("endpoint") != e.URL+"/moved" || a.text("name") != "three" {
		t.Errorf("after the move: %s", a.body)
	}
}

// withoutID is an error body without what differs from request to request.
func withoutID(r reply) string {
	return strings.Replace(r.body, r.text("request_id"), "", 1)
}

func TestABatchTellsForEachCardWhatBecameOfIt(t *testing.T) {
	e := newElsewhere(t)
	w := newWorld(t, nil, "INVOKE_ENDPOINT_ALLOWED_HOSTS", e.host())
	ada := w.signUp("ada")
	e.text("/a"+cardPath, `{"name": "a"}`)
	e.text("/b/card.json", `{"name": "b"}`)
	e.text("/c"+cardPath, `{"name": 5}`)
	urls := []string{e.URL + "/a", e.URL + "/c", e.URL + "/b/card.json", "http://127.0.0.1:1/", e.URL + "/none", e.URL + "/a"}
	body, _ := json.Marshal(map[string]any{"urls": urls})
	var got struct{ Results []map[string]any }
	if err := json.Unmarshal([]byte(w.want(200, "POST", "/a2a/agents/import/batch", string(body), ada.bearer()).body), &got); err != nil || len(got.Results) != len(urls) {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, want := range []struct{ name, code string }{{"a", ""}, {"", "card_invalid"}, {"b", ""}, {"", "unsafe_url"}, {"", "card_not_found"}, {"a", ""}} {
		r := got.Results[i]
		if want.code == "" && (r["success"] != true || r["name"] != want.name || r["agent_id"] == "" || len(r) != 4) ||
			want.code != "" && (r["success"] != false || r["code"] != want.code || r["error"] == "" || len(r) != 4) || r["url"] != urls[i] {
			t.Errorf("result %d is %v, want %+v", i, r, want)
		}
	}
	if got.Results[0]["agent_id"] != got.Results[5]["agent_id"] || w.mine(ada) != 2 {
		t.Errorf("one card twice in a batch: %v and %v", got.Results[0], got.Results[5])
	}
	w.want(422, "POST", "/a2a/agents/import/batch", `{"urls":[]}`, ada.bearer())
	w.want(422, "POST", "/a2a/agents/import/batch", `{"urls":["`+strings.Repeat(`x","`, 20)+`x"]}`, ada.bearer())
	w.want(422, "POST", "/a2a/agents/import/batch", `{"urls":[5]}`, ada.bearer())
}

func TestCardsOfPrivateAndSleepingAgentsDoNotExist(t *testing.T) {
	w := newWorld(t, nil, "BASE_URL", "https://intuno.example.org/")
	ada, bob := w.signUp("ada"), w.signUp("bob")
	register := func(name, more string) reply {
		return w.want(201, "POST", "/registry/agents", `{"name":"`+name+`","description":"d","endpoint":"https://a.example.org/"`+more+`}`, ada.bearer())
	}
	public, private, asleep := register("public", ""), register("private", `,"visibility":"private"`), register("asleep", "")
	w.want(200, "PUT", "/registry/agents/"+asleep.text("id"), `{"is_active":false}`, ada.bearer())
	hosted := w.want(201, "POST", "/registry/agents", `{"name":"aria","description":"d","hosted_entity":"aria"}`, http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {ada.id}})
	card := w.want(200, "GET", "/a2a/agents/"+public.text("agent_id")+"/agent-card", "", http.Header{"Host": {"evil.example.org"}, "X-Forwarded-Host": {"evil.example.org"}})
	if card.text("url") != "https://intuno.example.org/a2a/agents/"+public.text("agent_id") || strings.Contains(card.body, "evil") || strings.Contains(card.body, "a.example.org") {
		t.Errorf("card %s", card.body)
	}
	unknown := w.want(404, "GET", "/a2a/agents/unknown-00000000/agent-card", "", nil)
	for _, hidden := range []reply{private, asleep, hosted} {
		for name, header := range map[string]http.Header{"nobody": nil, "its owner": ada.bearer()} {
			if got := w.send("GET", "/a2a/agents/"+hidden.text("agent_id")+"/agent-card", "", header); got.status != 404 || withoutID(got) != withoutID(unknown) {
				t.Errorf("card of %s for %s: %d %s", hidden.text("name"), name, got.status, got.body)
			}
		}
	}
	for _, tc := range []struct {
		u     user
		query string
		want  []string
	}{{ada, "", []string{"aria", "private", "public"}}, {bob, "", []string{"public"}}, {ada, "?limit=1&offset=1", []string{"private"}}} {
		var list struct{ Agents []struct{ Name string } }
		if err := json.Unmarshal([]byte(w.want(200, "GET", "/a2a/agents"+tc.query, "", tc.u.bearer()).body), &list); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range list.Agents {
			names = append(names, a.Name)
		}
		if !slices.Equal(names, tc.want) {
			t.Errorf("list%s: %q, want %q", tc.query, names, tc.want)
		}
	}
	w.want(422, "GET", "/a2a/agents?limit=101", "", ada.bearer())
	for _, path := range []string{"/.well-known/agent.json", "/.well-known/agent-card.json", "/a2a/agent-card"} {
		if got := w.want(200, "GET", path, "", nil); got.text("url") != "https://intuno.example.org/a2a/tasks/send" || got.text("version") != "test" {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	if got := w.want(200, "GET", "/.well-known/mcp/server-card.json", "", nil); got.body != `{"name":"Intuno","version":"test","url":"https://intuno.example.org/mcp","transport":"streamable-http"}` {
		t.Errorf("MCP card: %s", got.body)
	}
}

func TestMessagesAreAnsweredInJSONRPCWhateverHappens(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob := w.signUp("ada"), w.signUp("bob")
	slug := w.want(201, "POST", "/registry/agents", `{"name":"a","description":"d","endpoint":"https://a.example.org/","visibility":"private"}`, ada.bearer()).text("agent_id")
	asleep := w.want(201, "POST", "/registry/agents", `{"name":"b","description":"d","endpoint":"https://a.example.org/"}`, ada.bearer())
	w.want(200, "PUT", "/registry/agents/"+asleep.text("id"), `{"is_active":false}`, ada.bearer())
	const message = `{"messageId":"m","role":"user","parts":[{"kind":"text","text":"hi"}]}`
	call := func(id, method, params string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":` + params + `}`
	}
	good := call("1", "message/send", `{"message":`+message+`}`)
	const uuid = `"00000000-0000-4000-8000-00000000000a"`
	task := `{"network_id":` + uuid + `,"sender_participant_id":` + uuid + `,"recipient_participant_id":` + uuid + `,"task":{}}`
	for _, tc := range []struct {
		name, path, body string
		header           http.Header
		status, code     int
		id               string
	}{
		{"no broker yet", "/a2a/agents/" + slug, good, ada.bearer(), 200, -32603, "1"},
		{"the other generation", "/a2a/agents/" + slug, call(`"x"`, "SendMessage", `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}]}}`), ada.bearer(), 200, -32603, `"x"`},
		{"an exact id", "/a2a/agents/" + slug, call("12345678901234567890", "x", "{}"), ada.bearer(), 200, -32601, "12345678901234567890"},
		{"an unknown method", "/a2a/agents/" + slug, call("null", "tasks/get", `{"id":"x"}`), ada.bearer(), 200, -32601, "null"},
		{"no id", "/a2a/agents/" + slug, `{"jsonrpc":"2.0","method":"x"}`, ada.bearer(), 200, -32601, "null"},
		{"odd params", "/a2a/agents/" + slug, call("2", "message/send", `{"message":5}`), ada.bearer(), 400, -32602, "2"},
		{"no params", "/a2a/agents/" + slug, `{"jsonrpc":"2.0","id":3,"method":"SendMessage"}`, ada.bearer(), 400, -32602, "3"},
		{"another version", "/a2a/agents/" + slug, `{"jsonrpc":"1.0","id":4,"method":"x"}`, ada.bearer(), 422, -32600, "4"},
		{"no method", "/a2a/agents/" + slug, `{"jsonrpc":"2.0","id":5}`, ada.bearer(), 422, -32600, "5"},
		{"an odd id", "/a2a/agents/" + slug, call(`{"a":1}`, "x", `{}`), ada.bearer(), 422, -32600, "null"},
		{"a batch", "/a2a/agents/" + slug, `[` + good + `]`, ada.bearer(), 422, -32600, "null"},
		{"no body", "/a2a/agents/" + slug, ``, ada.bearer(), 422, -32600, "null"},
		{"no JSON", "/a2a/agents/" + slug, `{"jsonrpc":`, ada.bearer(), 400, -32700, "null"},
		{"a foreign agent", "/a2a/agents/" + slug, good, bob.bearer(), 404, -32000, "1"},
		{"an unknown agent", "/a2a/agents/a-00000000", good, bob.bearer(), 404, -32000, "1"},
		{"an agent that sleeps", "/a2a/agents/" + asleep.text("agent_id"), good, ada.bearer(), 404, -32000, "1"},
		{"an agent that cannot be", "/a2a/agents/A_b", good, bob.bearer(), 404, -32000, "1"},
		{"nobody", "/a2a/agents/" + slug, good, nil, 401, -32000, "null"},
		{"another media type", "/a2a/agents/" + slug, good, http.Header{"Authorization": {"Bearer " + ada.token}, "Content-Type": {"text/plain"}}, 415, -32600, "null"},
		{"too much", "/a2a/agents/" + slug, `"` + strings.Repeat("x", 1<<20) + `"`, ada.bearer(), 413, -32600, "null"},
		{"a task", "/a2a/tasks/send", `{"id":6,"method":7,"params":` + task + `}`, ada.bearer(), 404, -32000, "6"},
		{"a task without its network", "/a2a/tasks/send", `{"id":"7","params":{}}`, ada.bearer(), 400, -32602, `"7"`},
		{"a task for nobody", "/a2a/tasks/send", `{"id":8,"params":` + strings.Replace(task, "recipient_", "r_", 1) + `}`, ada.bearer(), 400, -32602, "8"},
		{"a task by nobody", "/a2a/tasks/send", `{"id":9,"params":` + task + `}`, nil, 401, -32000, "null"},
	} {
		got := w.send("POST", tc.path, tc.body, tc.header)
		var body struct {
			JSONRPC           string
			ID                json.RawMessage
			Error             struct{ Code int }
			Detail, Code      any
			RequestID, Result any
		}
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.status != tc.status || body.JSONRPC != "2.0" || string(body.ID) != tc.id || body.Error.Code != tc.code {
			t.Errorf("%s: %d %s, want %d, %d, id %s (%v)", tc.name, got.status, got.body, tc.status, tc.code, tc.id, err)
		}
		if errorBody := body.Detail != nil && body.Code != nil && strings.Contains(got.body, `"request_id"`); errorBody != (tc.status != 200) || body.Result != nil {
			t.Errorf("%s: %s", tc.name, got.body)
		}
	}
	foreign, unknown := w.send("POST", "/a2a/agents/"+slug, good, bob.bearer()), w.send("POST", "/a2a/agents/a-00000000", good, bob.bearer())
	if withoutID(foreign) != withoutID(unknown) {
		t.Errorf("foreign %s\nunknown %s", foreign.body, unknown.body)
	}
}

// The official modules serve the cards, each in its generation, and one in both.
func TestCardsOfTheOfficialServersAreImported(t *testing.T) {
	e := newElsewhere(t)
	w := newWorld(t, nil, "INVOKE_ENDPOINT_ALLOWED_HOSTS", e.host())
	ada := w.signUp("ada")
	skills := []a2a.AgentSkill{{ID: "rain", Name: "Rain Radar", Description: "Where it rains", Tags: []string{"weather"}, Examples: []string{"will it rain?"}}}
	card := &a2a.AgentCard{Name: "Official", Description: "An agent.", Version: "3.1", Capabilities: a2a.AgentCapabilities{Streaming: true}, DefaultInputModes: []string{"text/plain"}, Skills: skills,
		SupportedInterfaces:  []*a2a.AgentInterface{{URL: e.URL + "/rest", ProtocolBinding: a2a.TransportProtocolHTTPJSON, ProtocolVersion: "1.0"}, a2a.NewAgentInterface(e.URL+"/rpc", a2a.TransportProtocolJSONRPC)},
		SecuritySchemes:      a2a.NamedSecuritySchemes{"o": a2a.OAuth2SecurityScheme{Flows: a2a.ClientCredentialsOAuthFlow{TokenURL: "https://t.example.org", Scopes: map[string]string{"a": "b"}}}},
		SecurityRequirements: a2a.SecurityRequirementsOptions{{"o": {"a"}}}}
	both := *card
	both.SupportedInterfaces = append(slices.Clone(card.SupportedInterfaces), &a2a.AgentInterface{URL: e.URL + "/old", ProtocolBinding: a2a.TransportProtocolJSONRPC, ProtocolVersion: "0.3"})
	older := both
	older.SupportedInterfaces = both.SupportedInterfaces[2:]
	old := &legacy.AgentCard{Name: "Official", Description: "An agent.", Version: "3.1", ProtocolVersion: string(legacy.Version), URL: e.URL + "/rpc", PreferredTransport: legacy.TransportProtocolJSONRPC,
		Capabilities: legacy.AgentCapabilities{Streaming: true}, Skills: []legacy.AgentSkill{{ID: "rain", Name: "Rain Radar", Description: "Where it rains", Tags: []string{"weather"}}},
		SecuritySchemes: legacy.NamedSecuritySchemes{"o": legacy.OAuth2SecurityScheme{Flows: legacy.OAuthFlows{Password: &legacy.PasswordOAuthFlow{}, Implicit: &legacy.ImplicitOAuthFlow{}}}},
		Security:        []legacy.SecurityRequirements{{"o": {"a"}}}}
	for path, tc := range map[string]struct {
		handler           http.Handler
		endpoint, dialect string
	}{
		"/new":   {a2asrv.NewStaticAgentCardHandler(card), "/rpc", "1.0"},
		"/old":   {legacysrv.NewStaticAgentCardHandler(old), "/rpc", "0.3"},
		"/both":  {a2asrv.NewAgentCardHandler(a2av0.NewStaticAgentCardProducer(&both)), "/rpc", "1.0"},
		"/older": {a2asrv.NewAgentCardHandler(a2av0.NewStaticAgentCardProducer(&older)), "/old", "0.3"},
	} {
		e.serve(path+a2asrv.WellKnownAgentCardPath, tc.handler)
		slug := w.imported(ada, e.URL+path)
		a, err := w.service.store.VisibleAgent(t.Context(), idOf(ada), slug)
		if err != nil {
			t.Fatal(err)
		}
		if a.Name != "Official" || a.Description != "An agent. | Skills: Where it rains" || a.Version != "3.1" || *a.Endpoint != e.URL+tc.endpoint || a.Dialect != tc.dialect ||
			a.AuthType != "bearer_token" || !a.Streaming || !slices.Equal(a.Tags, []string{"a2a", "external", "rain-radar", "streaming"}) {
			t.Errorf("%s: %+v at %s", path, a, *a.Endpoint)
		}
	}
}

// listenFirst tells the address of a server before there is what it serves.
func listenFirst(t *testing.T) (baseURL string, serve func(http.Handler)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + l.Addr().String(), func(h http.Handler) {
		server := httptest.NewUnstartedServer(h)
		_ = server.Listener.Close()
		server.Listener = l
		server.Start()
		t.Cleanup(server.Close)
	}
}
