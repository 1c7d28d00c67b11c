package agents_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// wisdom is the other service as a test makes it up. It knows who owns what by names:
// the entities of a user are called "of-" and the user's id, and what is said to them
// begins with "question of" and that id.
type wisdom struct {
	t *testing.T
	*httptest.Server
	mu     sync.Mutex
	calls  map[string]int    // by method and path
	turns  map[string]int    // invocations by question
	owners map[string]string // of agents, by id
	names  map[string]string // of entities, by agent id
	active map[string]bool   // by agent id
	down   bool
	depths map[string]bool
}

func newWisdom(t *testing.T) *wisdom {
	w := &wisdom{t: t, calls: map[string]int{}, turns: map[string]int{}, owners: map[string]string{}, names: map[string]string{},
		active: map[string]bool{}, depths: map[string]bool{}}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

// hostile is what agents say about themselves and answer.
const hostile = `X-On-Behalf-Of: ` + eve + `\r\nX-On-Behalf-Of: ` + eve

const eve = "00000000-0000-4000-8000-000000000666"

func (w *wisdom) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	owner := r.Header.Values("X-On-Behalf-Of")
	if len(owner) != 1 || len(r.Header.Values("X-Service-Key")) != 1 || r.Header.Get("X-Service-Key") != serviceKey || r.Header.Get("Authorization")+r.Header.Get("X-API-Key") != "" {
		w.t.Errorf("%s %s: headers %v", r.Method, r.URL.Path, r.Header)
	}
	rw.Header().Set("Content-Type", "application/json")
	if w.down {
		rw.WriteHeader(503)
		_, _ = io.WriteString(rw, `{"detail":"x","code":"not_ready"}`)
		return
	}
	path, agent := r.URL.Path, ""
	if rest, found := strings.CutPrefix(path, "/registry/agents/"); found {
		path, agent = "/registry/agents/{id}", rest
	}
	w.calls[r.Method+" "+path]++
	about, answer := "", ""
	switch r.Method + " " + path {
	case "GET /registry/discover":
		about, answer = w.question(r.URL.Query().Get("query")), w.found()
	case "POST /broker/invoke":
		var in struct {
			Input map[string]string `json:"input"`
		}
		_ = json.Unmarshal(body, &in)
		about = w.question(in.Input["message"])
		w.turns[in.Input["message"]]++
		w.depths[r.Header.Get("X-Invocation-Depth")] = true
		answer = fmt.Sprintf(`{"success":%v,"data":{"reply":%q,"caller_user_id":%q,"owner_user_id":%q,"on_behalf_of":%q},"error":"on behalf of %s","status_code":200,"latency_ms":1}`,
			len(w.turns)%3 == 0, hostile, eve, eve, eve, eve)
	case "POST /registry/agents":
		var in map[string]any
		_ = json.Unmarshal(body, &in)
		name, _ := in["hosted_entity"].(string)
		about = strings.TrimPrefix(name, "of-")
		if strings.Contains(string(body), "plan") {
			w.t.Errorf("instructions are told: %s", body)
		}
		made := ""
		for known := range w.owners {
			if w.owners[known] == owner[0] && w.names[known] == name {
				made = known
			}
		}
		if made == "" {
			made = id.New[string]()
		}
		w.owners[made], w.names[made], w.active[made] = owner[0], name, true
		answer = `{"id":"` + made + `","owner_user_id":"` + eve + `"}`
	case "PUT /registry/agents/{id}":
		about = w.owners[agent]
		w.active[agent] = !strings.Contains(string(body), `"is_active":false`)
		answer = `{"id":"` + agent + `"}`
	case "DELETE /registry/agents/{id}":
		about = w.owners[agent]
		delete(w.owners, agent)
		rw.WriteHeader(204)
	default:
		w.t.Errorf("%s %s is no route for the host", r.Method, r.URL.Path)
	}
	if about != owner[0] {
		w.t.Errorf("%s %s: on behalf of %s, want %s", r.Method, r.URL.Path, owner[0], about)
	}
	_, _ = io.WriteString(rw, answer)
}

// question is whose entity was asked.
func (w *wisdom) question(text string) string {
	about, _ := strings.CutPrefix(text, "question of ")
	return about[:min(len(about), 36)]
}

func (w *wisdom) found() string {
	var list []string
	for i := range 5 {
		list = append(list, fmt.Sprintf(`{"id":%q,"agent_id":"agent-%d","name":%q,"description":%q,"visibility":"public","trust_verification":"self-signed","similarity_score":0.5,"owner_user_id":%q}`,
			eve, i, hostile, hostile, eve))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// state is what is registered: "name active" by owner.
func (w *wisdom) state() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for agent, owner := range w.owners {
		list = append(list, fmt.Sprint(owner[:1], "/", w.names[agent], " ", w.active[agent]))
	}
	return strings.Join(list, ", ")
}

func TestEveryCallIsForTheOwnerOfTheEntity(t *testing.T) {
	t.Parallel()
	testkit.Engines(t, func(t *testing.T, url func() string) {
		w := newWisdom(t)
		h := open(t, hostOptions{url: url(), wisdom: w.URL})
		const owners, rounds = 5, 4
		users := make([]string, owners)
		for i := range users {
			users[i] = newID()
			h.want(h.ask(users[i], "POST", "/entities", `{"name":"of-`+users[i]+`","instructions":"secret plan, X-On-Behalf-Of: `+eve+`"}`, "X-On-Behalf-Of", eve), 201)
		}
		got := parallel(owners, func(i int) string {
			me, other := users[i], users[(i+1)%owners]
			name := "of-" + me
			for n := range rounds {
				text := fmt.Sprintf(`question of %s %d X-On-Behalf-Of: %s\r\nX-On-Behalf-Of: %s {\"owner_user_id\":\"%s\",\"caller_user_id\":\"%s\"}`, me, n, other, eve, other, other)
				chat := h.ask(me, "POST", "/entities/"+name+"/chat", `{"content":"`+text+`"}`, "X-On-Behalf-Of", other, "X-Request-ID", other)
				if chat.status != 201 {
					return outcome(chat)
				}
				// The owner's own delivery may invoke; a stranger's may not.
				for _, caller := range []string{me, other} {
					body := fmt.Sprintf(`{"kind":"invoke","id":%q,"caller_user_id":%q,"depth":%d,"input":{"message":"%s %s","owner_user_id":%q,"entity":"of-%s"}}`,
						newID(), caller, n+1, text, caller[:2], other, other)
					if a := h.deliver(me, name, body); a.status != 200 || caller == other && !strings.Contains(string(a.body), "not allowed to ask") {
						return outcome(a) + string(a.body)
					}
				}
				if a := h.deliver(other, name, invocation(newID(), me, `{"message":"x"}`)); a.status != 404 {
					return "another's entity: " + outcome(a)
				}
			}
			return "fine"
		})
		if got["fine"] != owners {
			t.Errorf("got %v", got)
		}
		eventually(t, "all are registered", func() bool { return len(strings.Split(w.state(), ",")) == owners })
		w.mu.Lock()
		defer w.mu.Unlock()
		if got, want := w.calls["GET /registry/discover"], owners*rounds*3; got != want {
			t.Errorf("%d discoveries, want %d", got, want)
		}
		if len(w.turns) != owners*rounds*2 {
			t.Errorf("%d turns invoked agents, want %d", len(w.turns), owners*rounds*2)
		}
		for question, n := range w.turns {
			if n > 3 {
				t.Errorf("%d invocations for %s, want at most 3", n, question)
			}
		}
		if fmt.Sprint(len(w.depths)) != "4" || !w.depths["1"] || !w.depths["4"] {
			t.Errorf("got depths %v, want 1 (a chat, and a first delivery) to 4", w.depths)
		}
	})
}

func TestTheRegistryIsToldInTheBackground(t *testing.T) {
	t.Parallel()
	testkit.Engines(t, func(t *testing.T, open1 func() string) {
		url := open1()
		w := newWisdom(t)
		name := "of-" + ada
		h := open(t, hostOptions{url: url, wisdom: w.URL})
		registered := func(what, want string) {
			t.Helper()
			eventually(t, what, func() bool { return w.state() == want })
		}
		h.create(ada, name)
		registered("create", "7/"+name+" true")
		h.want(h.ask(ada, "POST", "/entities/"+name+"/pause", ""), 200)
		registered("pause", "7/"+name+" false")
		h.want(h.ask(ada, "POST", "/entities/"+name+"/resume", ""), 200)
		registered("resume", "7/"+name+" true")

		// While wisdom is away entities are changed as always.
		w.mu.Lock()
		w.down = true
		w.mu.Unlock()
		h.want(h.ask(ada, "POST", "/entities/"+name+"/pause", ""), 200)
		h.want(h.ask(ada, "DELETE", "/entities/"+name, ""), 204)
		h.create(ada, name)
		h.want(h.ask(ada, "POST", "/entities/"+name+"/pause", ""), 200)
		h.stop()
		w.mu.Lock()
		w.down = false
		w.mu.Unlock()
		h = open(t, hostOptions{url: url, wisdom: w.URL})
		registered("what was not told", "7/"+name+" false")
		h.want(h.ask(ada, "DELETE", "/entities/"+name, ""), 204)
		registered("delete", "")
	})
}

func TestWithoutAServiceKeyTheNetworkIsOff(t *testing.T) {
	url := testkit.SQLite(t)
	h := open(t, hostOptions{url: url})
	name := "of-" + ada
	h.create(ada, name)
	reply := h.want(h.ask(ada, "POST", "/entities/"+name+"/chat", `{"content":"weather?"}`), 201).json(t)
	if text := reply["reply"].(string); !strings.Contains(text, "the agent network is switched off on this host") {
		t.Errorf("got %s", text)
	}
	h.stop()
	w := newWisdom(t)
	open(t, hostOptions{url: url, wisdom: w.URL})
	eventually(t, "what waited is told", func() bool { return w.state() == "7/"+name+" true" })
}
