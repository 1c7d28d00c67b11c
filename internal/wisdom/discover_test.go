package wisdom

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

func (w *world) register(u user, name, description string, more ...string) reply {
	w.t.Helper()
	return w.want(201, "POST", "/registry/agents", agentBody(name, description, more...), u.bearer())
}

// agentBody is a registration; more is further members.
func agentBody(name, description string, more ...string) string {
	quoted, _ := json.Marshal([]string{name, description})
	var texts []json.RawMessage
	_ = json.Unmarshal(quoted, &texts)
	return fmt.Sprintf(`{"name":%s,"description":%s,"endpoint":"https://93.184.215.14/"%s}`, texts[0], texts[1], strings.Join(append([]string{""}, more...), ","))
}

// agents are the members of an answer that is a list of agents.
func (r reply) agents(t testing.TB) (list []map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &list); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	return list
}

func names(list []map[string]any) (names []string) {
	for _, a := range list {
		names = append(names, a["name"].(string))
	}
	return names
}

func (w *world) discover(u user, text, more string) []map[string]any {
	w.t.Helper()
	return w.want(200, "GET", "/registry/discover?query="+url.QueryEscape(text)+more, "", u.bearer()).agents(w.t)
}

func TestAParaphraseFindsTheRightAgent(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob := w.signUp("ada"), w.signUp("bob")
	w.register(ada, "Weather Oracle", "Forecasts temperature and rainfall for any city.")
	w.register(ada, "Invoice Scribe", "Writes and sends bills to customers and reminds them to pay.")
	w.register(ada, "Polyglot", "Translates documents between forty languages.")
	for request, want := range map[string]string{
		"will I need an umbrella in Lisbon tomorrow?": "Weather Oracle",
		"my client still owes me money":               "Invoice Scribe",
		"what does this French letter say in English": "Polyglot",
	} {
		found := w.discover(bob, request, "")
		if len(found) != 3 || found[0]["name"] != want {
			t.Errorf("%q: found %q, want %q first", request, names(found), want)
		}
		if score, ok := found[0]["similarity_score"].(float64); !ok || score < 0 || score > 4 || found[0]["endpoint"] != nil {
			t.Errorf("%q: score %v, endpoint %v", request, found[0]["similarity_score"], found[0]["endpoint"])
		}
	}
	if found := w.discover(ada, " ", ""); len(found) != 3 || found[0]["similarity_score"] != nil || found[0]["endpoint"] == nil {
		t.Errorf("without text: %v", found)
	}
	if found := w.discover(ada, "umbrella", "&similarity_threshold=0"); len(found) != 0 {
		t.Errorf("threshold 0 keeps %q", names(found))
	}
	for query, loc := range map[string]string{"": "query", "?query=a&limit=51": "limit", "?query=a&limit=0": "limit", "?query=a&similarity_threshold=2.1": "similarity_threshold",
		"?query=a&similarity_threshold=-0.1": "similarity_threshold", "?query=a&similarity_threshold=NaN": "similarity_threshold",
		"?query=a&similarity_threshold=x": "similarity_threshold", "?query=" + strings.Repeat("a", 4001): "query"} {
		if got := w.want(422, "GET", "/registry/discover"+query, "", ada.bearer()); !strings.Contains(got.body, `"`+loc+`"`) {
			t.Errorf("%.40s: %s", query, got.body)
		}
	}
	w.want(200, "GET", "/registry/discover?query=&rank_by=nonsense&enhance_query=true", "", ada.bearer())
}

func TestAnExactNameComesFirstInEveryOrder(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob := w.signUp("ada"), w.signUp("bob")
	called := []string{"Straße", "Weather", "a", "TO", "the", "🦊🦊", "Καλημέρα Κόσμε", "Umbrella Finder Deluxe"}
	for _, name := range called {
		w.register(ada, name, "Something else entirely, about quarterly tax returns.")
	}
	for i := range 30 {
		rival := w.register(ada, fmt.Sprintf("Weather weather the a to umbrella finder deluxe %d", i), "weather a the to umbrella finder deluxe Straße 🦊 Καλημέρα")
		if err := w.service.store.RecordCalls(t.Context(), []registry.Call{{Agent: id.Agent(rival.text("id")), User: idOf(bob), At: clock.System(), Success: true}}); err != nil {
			t.Fatal(err)
		}
		w.want(200, "POST", "/registry/agents/"+rival.text("agent_id")+"/rate", `{"score":5}`, bob.bearer())
	}
	for _, name := range called {
		for _, said := range []string{name, "  " + strings.ToUpper(name) + "\t", strings.ToLower(name)} {
			if said == strings.ToUpper("Straße") || strings.TrimSpace(said) == "STRASSE" {
				continue // an upper-case ß is two letters; folding is letter by letter
			}
			for _, by := range []string{"balanced", "quality_first", "similarity_only", ""} {
				if found := w.discover(bob, said, "&limit=3&rank_by="+by); len(found) == 0 || found[0]["name"] != name {
					t.Errorf("%q, rank_by %q: found %q", said, by, names(found))
				}
			}
		}
	}
}

func TestTheSameRegistryAndRequestGiveTheSameBytes(t *testing.T) {
	url := testkit.SQLite(t)
	clock := testkit.NewClock(clock.System())
	start := func(t *testing.T) *world {
		return newWorld(t, func(d *Deps) { d.Now = clock.Now }, "DATABASE_URL", url)
	}
	var answers [2][]string
	var ada user
	requests := []string{"send an invoice", "rain", "", "agent 7", "a text that resembles nothing at all", "agent"}
	for round := range answers {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			w := start(t)
			if round == 0 {
				ada = w.signUp("ada")
				for i := range 60 { // many of the same moment and the same text
					w.register(ada, fmt.Sprintf("Agent %d", i%20), []string{"sends an invoice", "tells rain", "paints"}[i%3])
				}
				// What happened before must not show.
				for i := range 10 {
					gone := w.register(ada, fmt.Sprint(i), "sends rain")
					w.want(204, "DELETE", "/registry/agents/"+gone.text("id"), "", ada.bearer())
				}
			}
			for _, request := range requests {
				for _, by := range []string{"balanced", "quality_first", "similarity_only"} {
					path := "/registry/discover?limit=50&rank_by=" + by + "&query=" + strings.ReplaceAll(request, " ", "+")
					first := w.want(200, "GET", path, "", ada.bearer()).body
					if again := w.want(200, "GET", path, "", ada.bearer()).body; again != first {
						t.Errorf("%s: a second answer differs", path)
					}
					answers[round] = append(answers[round], first)
				}
			}
		})
	}
	if !slices.Equal(answers[0], answers[1]) {
		t.Error("after a restart the answers differ")
	}
}

// Nobody learns of a foreign private agent, neither by seeing it nor by what it does to
// the order and the scores of others.
func TestForeignPrivateAgentsChangeNothing(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob := w.signUp("ada"), w.signUp("bob")
	for i := range 30 {
		w.register(ada, fmt.Sprintf("Agent %d", i), []string{"sends an invoice", "tells rain", "paints landscapes"}[i%3])
	}
	ask := func() (answers []string) {
		for _, request := range []string{"invoice", "rain in spain", "paint", "", "Agent 3", "zebra"} {
			for _, by := range []string{"balanced", "similarity_only"} {
				answers = append(answers, w.want(200, "GET", "/registry/discover?limit=50&rank_by="+by+"&query="+url.QueryEscape(request), "", ada.bearer()).body)
			}
		}
		return answers
	}
	before := ask()
	for i := range 40 {
		w.register(bob, "Agent 3", []string{"invoice invoice", "rain zebra", "spain"}[i%3], `"visibility":"private"`)
	}
	if after := ask(); !slices.Equal(before, after) {
		t.Error("foreign private agents changed what is found")
	}
	if found := w.discover(bob, "Agent 3", "&limit=50"); len(found) != 50 || found[39]["visibility"] != "private" {
		t.Errorf("their owner finds %d of them", len(found))
	}
}

// seen is one agent of the model of the property test.
type seen struct {
	owner   int
	private bool
	active  bool
	called  bool
	slug    string
}

func TestPrivateAgentsOfOthersNeverAppear(t *testing.T) {
	w := newWorld(t, nil)
	var users []user
	for i := range 3 {
		users = append(users, w.signUp(fmt.Sprintf("user%d", i)))
	}
	stranger := w.signUp("stranger")
	all := map[string]*seen{}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "changes")
		for range n {
			w.changeOne(t, users, all)
		}
		// Who else looks on than the stranger changes: a list costs the same for everybody.
		i := rapid.IntRange(0, len(users)-1).Draw(t, "viewer")
		w.checkView(t, i, users[i], all)
		w.checkView(t, len(users), stranger, all)
	})
}

func (w *world) changeOne(t *rapid.T, users []user, all map[string]*seen) {
	ids := make([]string, 0, len(all))
	for agent := range all {
		ids = append(ids, agent)
	}
	slices.Sort(ids)
	if len(ids) < 2 || len(ids) < 40 && rapid.Bool().Draw(t, "new") {
		a := &seen{owner: rapid.IntRange(0, len(users)-1).Draw(t, "owner"), private: rapid.Bool().Draw(t, "private"), active: true}
		created := w.register(users[a.owner], "Secret Fox", "finds secrets", fmt.Sprintf(`"visibility":%q,"tags":["fox"]`, visibility(a.private)))
		a.slug = created.text("agent_id")
		all[created.text("id")] = a
		return
	}
	agent := rapid.SampledFrom(ids).Draw(t, "agent")
	a := all[agent]
	owner := users[a.owner]
	switch rapid.IntRange(0, 3).Draw(t, "change") {
	case 0:
		w.want(204, "DELETE", "/registry/agents/"+agent, "", owner.bearer())
		delete(all, agent)
	case 1:
		a.private = !a.private
		w.want(200, "PUT", "/registry/agents/"+agent, fmt.Sprintf(`{"visibility":%q}`, visibility(a.private)), owner.bearer())
	case 2:
		a.active = !a.active
		w.want(200, "PUT", "/registry/agents/"+agent, fmt.Sprintf(`{"is_active":%v}`, a.active), owner.bearer())
	case 3:
		a.called = true
		if err := w.service.store.RecordCalls(w.t.Context(), []registry.Call{{Agent: id.Agent(agent), User: idOf(owner), At: clock.System(), Success: true}}); err != nil {
			t.Fatal(err)
		}
	}
}

func visibility(private bool) string {
	if private {
		return "private"
	}
	return "public"
}

// checkView compares every list with what viewer may see, exactly.
func (w *world) checkView(t *rapid.T, viewerIndex int, viewer user, all map[string]*seen) {
	want := func(which func(*seen) bool) []string {
		var ids []string
		for agent, a := range all {
			if a.active && which(a) && (!a.private || a.owner == viewerIndex) {
				ids = append(ids, agent)
			}
		}
		slices.Sort(ids)
		return ids
	}
	anyAgent := func(*seen) bool { return true }
	for path, which := range map[string]func(*seen) bool{
		"/registry/agents?limit=100": anyAgent, "/registry/agents?limit=100&search=SECRET": anyAgent, "/registry/agents?limit=100&tags=fox": anyAgent,
		"/registry/agents/new?limit=100": anyAgent, "/registry/discover?limit=50&query=": anyAgent,
		"/registry/discover?limit=50&query=secret+fox": anyAgent, "/registry/discover?limit=50&query=find+something+hidden": anyAgent,
		"/registry/agents/trending?limit=100": func(a *seen) bool { return a.called },
	} {
		var got []string
		var list []map[string]any
		if err := json.Unmarshal([]byte(w.want(200, "GET", path, "", viewer.bearer()).body), &list); err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			got = append(got, a["id"].(string))
		}
		slices.Sort(got)
		if expected := want(which); !slices.Equal(got, expected) {
			t.Fatalf("viewer %d, %s: got %d agents, want %d", viewerIndex, path, len(got), len(expected))
		}
	}
	cards := w.want(200, "GET", "/a2a/agents?limit=100", "", viewer.bearer()).body
	for _, a := range all {
		mine := a.owner == viewerIndex
		if shown := strings.Contains(cards, `"`+a.slug+`"`); shown != (a.active && (!a.private || mine)) {
			t.Fatalf("viewer %d: the A2A list shows %s: %v (%+v)", viewerIndex, a.slug, shown, *a)
		}
	}
	if len(all) == 0 {
		return
	}
	ids := slices.Sorted(maps.Keys(all))
	for range 5 { // one by one they cost too much to look at all every time
		a := all[rapid.SampledFrom(ids).Draw(t, "looked at")]
		mine := a.owner == viewerIndex
		status := 404
		if a.active && !a.private {
			status = 200
		}
		w.want(status, "GET", "/a2a/agents/"+a.slug+"/agent-card", "", viewer.bearer())
		status = 404
		if !a.private || mine {
			status = 200
		}
		w.want(status, "GET", "/registry/agents/"+a.slug, "", viewer.bearer())
	}
}

func TestDiscoveryFallsBackToWordsWhileTheEndpointIsDown(t *testing.T) {
	var up atomic.Bool
	up.Store(true)
	endpoint := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !up.Load() || r.URL.Path != "/v1/embeddings" || r.Header.Get("Authorization") != "Bearer sk-test-key" {
			http.Error(rw, "no", http.StatusInternalServerError)
			return
		}
		var body struct{ Input []string }
		text, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(text, &body)
		var data []string
		for i, input := range body.Input {
			vector := "[1,0]"
			if strings.Contains(input, "rain") {
				vector = "[0,1]"
			}
			data = append(data, fmt.Sprintf(`{"index":%d,"embedding":%s}`, i, vector))
		}
		fmt.Fprintf(rw, `{"data":[%s]}`, strings.Join(data, ","))
	}))
	defer endpoint.Close()
	now := testkit.NewClock(clock.System())
	w := newWorld(t, func(d *Deps) { d.Now = now.Now }, "EMBEDDING_BASE_URL", endpoint.URL, "EMBEDDING_API_KEY", "sk-test-key", "EMBEDDING_MODEL", "m")
	ada := w.signUp("ada")
	w.register(ada, "Weather", "tells of rain")
	w.register(ada, "Paint", "paints walls")
	ask := func(text string, header string, want ...string) {
		t.Helper()
		r := w.want(200, "GET", "/registry/discover?query="+url.QueryEscape(text), "", ada.bearer())
		if got := names(r.agents(t)); !slices.Equal(got, want) || r.header.Get("X-Discovery-Degraded") != header {
			t.Errorf("%q: found %q (degraded %q), want %q (%q)", text, got, r.header.Get("X-Discovery-Degraded"), want, header)
		}
	}
	ask("train", "", "Weather", "Paint") // the endpoint sees "rain" in it, words do not
	up.Store(false)
	ask("walls that rain", "embedding", "Paint", "Weather")
	w.register(ada, "Walls", "walls") // without a vector for now
	ask("wall", "embedding", "Walls", "Paint")
	up.Store(true)
	now.Add(10 * time.Second)
	ask("train again", "", "Weather", "Paint")
}
