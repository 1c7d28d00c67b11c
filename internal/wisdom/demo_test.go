package wisdom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/demo"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

// demoServer is where the demo agents are, on a port of its own.
func demoServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(demo.Handler(clock.System))
	t.Cleanup(server.Close)
	return server.URL
}

func withDemo(base string) func(*Deps) { return func(d *Deps) { d.Demo = base } }

// presented are the demo agents that u sees, by name.
func (w *world) presented(u user) map[string]map[string]any {
	w.t.Helper()
	found := map[string]map[string]any{}
	for _, a := range w.want(200, "GET", "/registry/agents?limit=100", "", u.bearer()).agents(w.t) {
		found[a["name"].(string)] = a
	}
	return found
}

// eventually waits for what shows a moment after the start.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for range 200 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.t.Fatalf("%s does not come true", what)
}

// questions are what people ask, by the agent that should be found first.
var questions = map[string][]string{
	"Calculator": {
		"what is 17.5 % of 240?", "add 19% to 80", "what is 12.5% off 80?", "how much is 7 times 8?", "calculate (3 + 4) * 12", "what is 144 divided by 12", "what percent of 80 is 20?",
		"2 to the power of 10", "what is 3.5 plus 4.75?", "15% tip on 60", "240 * 17.5%", "subtract 18 from 100", "what is 25 squared?", "increase 50 by 10 percent",
	},
	"Unit Converter": {
		"convert 10 miles to km", "how many grams in 3 pounds", "what is 100 fahrenheit in celsius?", "5 feet in centimeters", "how many liters are in 2 gallons?", "convert 60 mph to km/h",
		"how many acres in 2 hectares", "3 gigabytes to megabytes", "90 minutes in hours", "convert 20 celsius to fahrenheit", "how many ounces are in a kilogram?", "1500 square feet to square meters",
	},
	"Text Statistics": {
		`how many words are in "to be or not to be"?`, "count the characters in: hello world", "how many letters are in the word strawberry", `what is the longest word in "a quick brown elephant"?`,
		`how many sentences are in "Hi. Really? Yes!"`, `word count of "the rain in Spain"`, `how long does it take to read "one two three"?`, `how many vowels are in the word "education"?`,
		"text statistics: One two. Three.", `count the words in "the quick brown fox"`, "number of characters in: some text", `what is the shortest word in "a long sentence"?`,
	},
	"World Clock and Calendar": {
		"what time is it in Tokyo?", "days between 2026-01-01 and 2026-03-01", "what weekday is 2026-12-24?", "add 90 days to 2026-01-15", "current time in New York", "how many days until christmas?",
		"what is the date in 30 days?", "is 2028 a leap year?", "what day of the week was July 20, 1969?", "what's the time in London right now?", "what date is 3 weeks before 2026-03-01?", "which week number is 2026-06-01?",
	},
}

func TestAQuestionFindsTheDemoAgentThatCanAnswerIt(t *testing.T) {
	base, paths := demoServer(t), map[string]string{}
	for _, d := range demo.Agents() {
		paths[d.Name] = d.Path
	}
	w := newWorld(t, withDemo(base))
	ada := w.signUp("ada")
	w.eventually("discovery of four agents", func() bool { return len(w.discover(ada, "calculate", "")) == len(questions) })
	for agent, list := range questions {
		for _, question := range list {
			found := w.discover(ada, question, "&limit=5")
			if found[0]["name"] != agent || found[0]["similarity_score"].(float64) > 1.8 {
				t.Errorf("%q: found %q (%v), want %q first, at most 1.8 away", question, names(found), found[0]["similarity_score"], agent)
				continue
			}
			body, _ := json.Marshal(map[string]string{"message": question}) // by itself: no figures, which would count in the order
			answer, err := http.Post(base+paths[agent], "application/json", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if _ = answer.Body.Close(); answer.StatusCode != 200 {
				t.Errorf("%q: %s does not know", question, agent)
			}
		}
	}
}

func (w *world) invoke(u user, slug, message string) map[string]any {
	w.t.Helper()
	body, _ := json.Marshal(map[string]any{"agent_id": slug, "input": map[string]string{"message": message}})
	var answer map[string]any
	if err := json.Unmarshal([]byte(w.want(200, "POST", "/broker/invoke", string(body), u.bearer()).body), &answer); err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// What none of them knows, none of them answers: whoever asked can go on.
func TestTheDemoAgentsDoNotAnswerWhatTheyDoNotKnow(t *testing.T) {
	w := newWorld(t, withDemo(demoServer(t)))
	ada := w.signUp("ada")
	agents := w.presented(ada)
	for _, question := range []string{
		"who wrote Hamlet?", "what is the capital of France?", "tell me a joke", "will it rain in Lisbon tomorrow?", "translate good morning to French", "write a poem about the sea",
		"how do I boil an egg?", "how many people live in Rome?", "what is the meaning of life?", "book me a table for two at eight", "who won the world cup in 1998?", "recommend a good book", "hello",
		"how much is a ticket to Berlin?", "when was the Eiffel Tower built?",
	} {
		for name, a := range agents {
			if answer := w.invoke(ada, a["agent_id"].(string), question); answer["success"] != false || answer["error_code"] != "agent_error" {
				t.Errorf("%q: %s answers %v", question, name, answer["data"])
			}
		}
	}
}

func TestTheCalculatorAnswersThroughTheBroker(t *testing.T) {
	w := newWorld(t, withDemo(demoServer(t)))
	ada := w.signUp("ada")
	answer := w.invoke(ada, w.presented(ada)["Calculator"]["agent_id"].(string), "what is 17.5 % of 240?")
	if data, _ := answer["data"].(map[string]any); data["result"] != "42" || data["reply"] != "17.5 % of 240 = 42" {
		t.Errorf("got %v", answer)
	}
	// Only that one port of this machine may be reached.
	other := w.register(ada, "Neighbour", "x", `"tags":[]`)
	w.want(400, "PUT", "/registry/agents/"+other.text("id"), `{"endpoint":"http://127.0.0.1:9/"}`, ada.bearer())
}

func TestTheFirstRequestFindsTheDemoAgents(t *testing.T) {
	w := newWorld(t, withDemo(demoServer(t)))
	found := w.want(200, "GET", "/registry/discover?limit=1&query=what+is+17.5+percent+of+240", "", w.signUp("ada").bearer()).agents(t)
	if len(found) != 1 || found[0]["name"] != "Calculator" {
		t.Errorf("found %v", found)
	}
}

func TestTheDemoAgentsStayTheSameOverRestarts(t *testing.T) {
	for engine, database := range map[string]func(testing.TB) string{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(engine, func(t *testing.T) {
			database := database(t)
			var ada user
			before := map[string]map[string]any{}
			start := func(demo string, check func(t *testing.T, w *world), vars ...string) {
				t.Run("", func(t *testing.T) { check(t, newWorld(t, withDemo(demo), append(vars, "DATABASE_URL", database)...)) })
			}
			same := func(t *testing.T, w *world, want ...string) {
				t.Helper()
				found := w.presented(ada)
				for name, a := range found {
					if a["id"] != before[name]["id"] || a["agent_id"] != before[name]["agent_id"] {
						t.Errorf("%s became another agent", name)
					}
				}
				if len(found) != len(want) {
					t.Errorf("there are %d agents, want %q", len(found), want)
				}
				for _, name := range want {
					if found[name] == nil {
						t.Errorf("%s is not there", name)
					}
				}
			}
			all := []string{"Calculator", "Unit Converter", "Text Statistics", "World Clock and Calendar"}
			start(demoServer(t), func(_ *testing.T, w *world) {
				ada = w.signUp("ada")
				before = w.presented(ada)
				if len(before) != 4 || before["Calculator"]["visibility"] != "public" || before["Calculator"]["endpoint"] != nil {
					t.Fatalf("at first: %v", before)
				}
				calculator := before["Calculator"]["agent_id"].(string)
				w.invoke(ada, calculator, "1 + 1")
				w.want(200, "POST", "/registry/agents/"+calculator+"/rate", `{"score":5}`, ada.bearer())
				if _, err := w.service.store.DisableAgent(w.t.Context(), idOfAgent(before["Text Statistics"]), clock.System()); err != nil {
					t.Fatal(err)
				}
			})
			start(demoServer(t), func(t *testing.T, w *world) {
				same(t, w, all[0], all[1], all[3])
				calculator := w.presented(ada)["Calculator"]
				if calculator["rating_count"] != 1.0 || calculator["quality_invocation_count"] != 1.0 {
					t.Errorf("the rating is gone: %v", calculator)
				}
				if answer := w.invoke(ada, calculator["agent_id"].(string), "6 * 7"); answer["success"] != true {
					t.Errorf("at its new address: %v", answer)
				}
			})
			start("", func(t *testing.T, w *world) { same(t, w) })
			start("", func(t *testing.T, w *world) {
				same(t, w)
				if _, err := w.service.store.EnableAgent(w.t.Context(), idOfAgent(before["Text Statistics"]), clock.System()); err != nil {
					t.Fatal(err)
				}
			})
			start(demoServer(t), func(t *testing.T, w *world) { same(t, w, all...) })
			start(demoServer(t), func(t *testing.T, w *world) { same(t, w) }, "ENVIRONMENT", "production", "BASE_URL", "https://intuno.example.org")
		})
	}
}

func TestNobodyCanBeTheOwnerOfTheDemoAgents(t *testing.T) {
	w := newWorld(t, withDemo(demoServer(t)))
	for _, password := range []string{"correct horse", "demo-demo"} {
		credentials := fmt.Sprintf(`{"email":%q,"password":%q}`, demoEmail, password)
		if r := w.want(401, "POST", "/auth/login", credentials, nil); r.text("code") != "invalid_credentials" {
			t.Errorf("login: %s", r.body)
		}
		if r := w.want(400, "POST", "/auth/register", credentials, nil); r.text("code") != "email_taken" {
			t.Errorf("register: %s", r.body)
		}
	}
	asOwner := http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {string(demoUser)}}
	w.want(404, "GET", "/registry/agents", "", asOwner)
	ada := w.signUp("ada")
	for _, a := range w.presented(ada) {
		w.want(404, "PUT", "/registry/agents/"+a["id"].(string), `{"name":"mine"}`, ada.bearer())
		w.want(404, "DELETE", "/registry/agents/"+a["id"].(string), "", ada.bearer())
	}
}

// Somebody may have registered the address while there were no demo agents.
func TestAnAccountOfBeforeDoesNotOwnTheDemoAgents(t *testing.T) {
	database := testkit.SQLite(t)
	var squatter user
	t.Run("", func(t *testing.T) {
		w := newWorld(t, nil, "DATABASE_URL", database)
		credentials := `{"email":"` + demoEmail + `","password":"correct horse"}`
		squatter.id = w.want(201, "POST", "/auth/register", credentials, nil).text("id")
		squatter.token = w.want(200, "POST", "/auth/login", credentials, nil).text("access_token")
	})
	w := newWorld(t, withDemo(demoServer(t)), "DATABASE_URL", database)
	if found := w.presented(squatter); len(found) != 4 || found["Calculator"]["endpoint"] != nil {
		t.Errorf("got %v", found)
	}
	if mine := w.want(200, "GET", "/registry/my-agents", "", squatter.bearer()).agents(t); len(mine) != 0 {
		t.Errorf("the squatter owns %q", names(mine))
	}
}

func TestAWisdomWithoutADemoDoesNextToNothingForIt(t *testing.T) {
	database := testkit.SQLite(t)
	t.Run("", func(t *testing.T) { newWorld(t, withDemo(demoServer(t)), "DATABASE_URL", database) })
	writes := func() (n int) {
		t.Run("", func(t *testing.T) {
			newWorld(t, func(d *Deps) {
				d.CountSQL = func(query string) {
					if strings.HasPrefix(query, "UPDATE agents") || strings.Contains(query, "\nUPDATE agents") {
						n++
					}
				}
			}, "DATABASE_URL", database)
		})
		return n
	}
	if first, second := writes(), writes(); first != 4 || second != 0 {
		t.Errorf("%d agents were changed by the first start and %d by the second, want 4 and 0", first, second)
	}
}

func TestProductionTellsThatThereAreNoDemoAgents(t *testing.T) {
	var log journal
	w := newWorld(t, func(d *Deps) {
		d.Demo, d.Log = "http://127.0.0.1:7000", slog.New(slog.NewTextHandler(&log, nil))
		d.Hashing = auth.Hashing{MemoryKiB: 64, Passes: 1, Lanes: 1, Workers: 4}
	}, "ENVIRONMENT", "production", "BASE_URL", "https://intuno.example.org")
	if n := strings.Count(log.String(), "no demo agents in production"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
	if found := w.presented(w.signUp("ada")); len(found) != 0 {
		t.Errorf("got %v", found)
	}
}

func idOfAgent(a map[string]any) id.Agent { return id.Agent(a["id"].(string)) }
