package wisdom

import (
	"net/http"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// networkBodies are the routes of §6 that take ids in their path, with a body that they
// accept: SENDER and RECIPIENT are participants, MESSAGE is a message.
var networkBodies = map[string]string{
	"GET /networks/{id}": "", "PATCH /networks/{id}": `{"name":"theirs"}`, "DELETE /networks/{id}": "",
	"POST /networks/{id}/participants": `{"name":"theirs","callback_url":"http://10.0.0.1/"}`, "GET /networks/{id}/participants": "",
	"PATCH /networks/{id}/participants/{pid}": `{"callback_url":"http://10.0.0.1/","status":"removed"}`, "DELETE /networks/{id}/participants/{pid}": "",
	"POST /networks/{id}/participants/{pid}/webhook-secret": "",
	"POST /networks/{id}/call":                              sayAny, "POST /networks/{id}/messages/send": sayAny, "POST /networks/{id}/mailbox": sayAny,
	"GET /networks/{id}/inbox/{pid}": "", "POST /networks/{id}/messages/ack": `{"message_ids":["MESSAGE"]}`, "GET /networks/{id}/messages": "",
	"GET /networks/{id}/context": "", "GET /networks/{id}/dead-letters": "", "POST /networks/{id}/dead-letters/{message_id}/replay": "",
}

const sayAny = `{"sender_participant_id":"SENDER","recipient_participant_id":"RECIPIENT","content":"theirs"}`

// membership is a user with two networks of two participants, and a message and a dead
// letter in the first.
type membership struct {
	user
	network, one, two, message, letter string
	other, elsewhere                   string // network, and a participant of it
}

func (c *club) member(name string) membership {
	c.t.Helper()
	m := membership{user: c.signUp(name)}
	m.network, m.other = c.network(m.user, ""), c.network(m.user, "")
	m.one, m.elsewhere = c.join(m.user, m.network, ""), c.join(m.user, m.other, "")
	m.two = c.join(m.user, m.network, `,"callback_url":"`+c.agents.URL+`/410/gone"`)
	path := "/networks/" + m.network
	m.message = c.want(201, "POST", path+"/mailbox", say(m.one, m.one, "hush of "+m.id), m.bearer()).text("id")
	m.letter = c.want(201, "POST", path+"/messages/send", say(m.one, m.two, "hush of "+m.id), m.bearer()).text("id")
	c.settled(path+"/dead-letters", m.letter, m.bearer())
	return m
}

// everything is all that m has, as its owner sees it.
func (c *club) everything(m membership) string {
	c.t.Helper()
	var all []string
	for _, path := range []string{"", "/" + m.network, "/" + m.network + "/participants", "/" + m.network + "/messages", "/" + m.network + "/dead-letters",
		"/" + m.network + "/inbox/" + m.one, "/" + m.network + "/context", "/" + m.other + "/participants", "/" + m.other + "/messages"} {
		all = append(all, c.want(200, "GET", "/networks"+path, "", m.bearer()).body)
	}
	return strings.Join(all, "\n")
}

// Every route of §6 × a foreign network, a foreign participant, a foreign message, and
// those of another network of one's own × every credential: the answer is that to an
// unknown id, byte for byte, whatever the state of the network, and nothing changes.
func TestWhatIsInSomebodyElsesNetworkDoesNotExist(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		c := newClub(t, open())
		ada, bob := c.member("ada"), c.member("bob")
		for _, r := range c.service.edge.Routes() {
			name := r.Method + " " + r.Pattern
			if _, ok := networkBodies[name]; !ok && access[name] == "delegable" && strings.HasPrefix(r.Pattern, "/networks/") {
				t.Errorf("%s is not tested with foreign ids", name)
			}
		}
		for _, state := range []string{"active", "paused", "closed"} {
			c.want(200, "PATCH", "/networks/"+ada.network, `{"status":"`+state+`"}`, ada.bearer())
			before := c.everything(ada) + c.everything(bob)
			f := foreign{club: c, strangers: []http.Header{bob.bearer(), apiKeyHeader(bob.key), {"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {bob.id}}}}
			for name, body := range networkBodies {
				f.walk(name, body, ada, bob)
			}
			if after := c.everything(ada) + c.everything(bob); after != before {
				t.Errorf("%s: strangers changed\n%s\nto\n%s", state, before, after)
			}
			t.Logf("%s: %d requests", state, f.tried)
		}
	})
}

type foreign struct {
	*club
	strangers []http.Header
	tried     int
}

// question is a request to a route: the ids of its path, and its body.
type question struct {
	ids  []string
	body string
}

// same asks two questions, and wants both answered alike: what there is to find does not
// exist.
func (f *foreign) same(name string, foreign, unknown question) {
	f.t.Helper()
	method, pattern, _ := strings.Cut(name, " ")
	for _, header := range f.strangers {
		f.tried++
		got := f.send(method, fill(pattern, foreign.ids...), foreign.body, header)
		want := f.send(method, fill(pattern, unknown.ids...), unknown.body, header)
		if got.status != 404 || got.text("code") != "not_found" || shape(got) != shape(want) {
			f.t.Errorf("%s of %v %s:\n got %s\nwant %s", name, foreign.ids, foreign.body, shape(got), shape(want))
		}
		if strings.Contains(got.body, "hush") {
			f.t.Errorf("%s shows %s", name, got.body)
		}
	}
}

func (f *foreign) walk(name, body string, ada, bob membership) {
	f.t.Helper()
	theirs := strings.NewReplacer("SENDER", ada.one, "RECIPIENT", ada.two, "MESSAGE", ada.message).Replace(body)
	mine := strings.NewReplacer("SENDER", bob.one, "RECIPIENT", bob.two, "MESSAGE", bob.message).Replace(body)
	pair := func(network, foreign, unknownNetwork, unknown string) {
		f.t.Helper()
		f.same(name, question{[]string{network, foreign}, body}, question{[]string{unknownNetwork, unknown}, body})
	}
	switch {
	case strings.Contains(name, "{pid}"):
		pair(ada.network, ada.one, unknownID, unknownID)
		pair(ada.network, bob.one, unknownID, bob.one)
		pair(bob.network, ada.one, bob.network, unknownID)
		pair(bob.network, bob.elsewhere, bob.network, unknownID)
	case strings.Contains(name, "{message_id}"):
		pair(ada.network, ada.letter, unknownID, unknownID)
		pair(ada.network, bob.letter, unknownID, bob.letter)
		pair(bob.network, ada.letter, bob.network, unknownID)
		pair(bob.other, bob.letter, bob.other, unknownID)
	default:
		for _, b := range []string{theirs, mine} {
			f.same(name, question{[]string{ada.network}, b}, question{[]string{unknownID}, b})
		}
	}
	if body != sayAny {
		return
	}
	for _, foreign := range []string{ada.one, bob.elsewhere} { // in the network of mine that they are not in
		net := []string{bob.network}
		f.same(name, question{net, say(foreign, bob.one, "x")}, question{net, say(unknownID, bob.one, "x")})
		f.same(name, question{net, say(bob.one, foreign, "x")}, question{net, say(bob.one, unknownID, "x")})
	}
}

// What is in bodies and queries, too.
func TestForeignIDsInBodiesAndQueriesOfNetworksDoNotExist(t *testing.T) {
	c := newClub(t, testkit.SQLite(t))
	ada, bob := c.member("ada"), c.member("bob")
	secret := c.agent(ada.user, "/echo", `,"visibility":"private"`).text("id")
	own := c.agent(bob.user, "/echo", `,"visibility":"private"`).text("id")
	c.want(204, "DELETE", "/registry/agents/"+own, "", bob.bearer())
	before := c.everything(ada)
	net := "/networks/" + bob.network
	for _, tt := range []struct {
		sentence           string
		method, path, body string // FOREIGN stands for the id
		foreign            string
		status             int
		want               string // of a success
	}{
		{"a participant whose messages are asked for", "GET", net + "/messages?participant_id=FOREIGN", "", ada.one, 200, "[]"},
		{"one of another network of mine", "GET", net + "/messages?participant_id=FOREIGN", "", bob.elsewhere, 200, "[]"},
		{"a message to begin after", "GET", net + "/messages?after=FOREIGN", "", ada.message, 404, ""},
		{"a message to end before", "GET", net + "/messages?before=FOREIGN", "", ada.message, 404, ""},
		{"one in another network of mine", "GET", "/networks/" + bob.other + "/messages?after=FOREIGN", "", bob.message, 404, ""},
		{"a message to acknowledge", "POST", net + "/messages/ack", `{"message_ids":["FOREIGN"]}`, ada.message, 200, `{"acknowledged":0}`},
		{"one in another network of mine", "POST", "/networks/" + bob.other + "/messages/ack", `{"message_ids":["FOREIGN"]}`, bob.message, 200, `{"acknowledged":0}`},
		{"a private agent of somebody else", "POST", net + "/participants", `{"name":"p","agent_id":"FOREIGN"}`, secret, 404, ""},
		{"a deleted agent of mine", "POST", net + "/participants", `{"name":"p","agent_id":"FOREIGN"}`, own, 404, ""},
	} {
		ask := func(id string) reply {
			return c.send(tt.method, strings.ReplaceAll(tt.path, "FOREIGN", id), strings.ReplaceAll(tt.body, "FOREIGN", id), bob.bearer())
		}
		got, want := ask(tt.foreign), ask(unknownID)
		if got.status != tt.status || shape(got) != shape(want) || tt.want != "" && got.body != tt.want {
			t.Errorf("%s:\n got %s\nwant %d %s", tt.sentence, shape(got), tt.status, shape(want))
		}
	}
	if after := c.everything(ada); after != before {
		t.Errorf("a stranger changed\n%s\nto\n%s", before, after)
	}
	if inbox := c.want(200, "GET", net+"/inbox/"+bob.one, "", bob.bearer()).body; !strings.Contains(inbox, bob.message) {
		t.Errorf("acknowledged elsewhere: %s", inbox)
	}
}
