package wisdom

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/audit"
)

// tally counts answers by status and code.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) add(r reply) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.counts == nil {
		y.counts = map[string]int{}
	}
	y.counts[strings.TrimSpace(fmt.Sprint(r.status, " ", r.text("code")))]++
}

func (y *tally) is(t *testing.T, sentence string, want map[string]int) {
	t.Helper()
	if fmt.Sprint(y.counts) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", sentence, y.counts, want)
	}
}

// Contract §6.2: the limit and the agent rule also hold under concurrent joins and when
// PATCH makes a participant active again; on PostgreSQL for two processes.
func TestJoinsHoldTheLimitAndTheAgentRuleInParallel(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		c := newClub(t, url, "NETWORK_MAX_PARTICIPANTS", "10")
		nodes := []*club{c, c}
		if strings.HasPrefix(url, "postgres") {
			nodes[1] = newClub(t, url, "NETWORK_MAX_PARTICIPANTS", "10")
		}
		ada := c.signUp("ada")
		agent := c.agent(ada, "/echo", "").text("id")
		together := func(n int, ask func(c *club, i int) reply) *tally {
			var y tally
			var group sync.WaitGroup
			for i := range n {
				group.Go(func() { y.add(ask(nodes[i%2], i)) })
			}
			group.Wait()
			return &y
		}
		active := func(network string) int {
			return strings.Count(c.want(200, "GET", "/networks/"+network+"/participants", "", ada.bearer()).body, `"polling_enabled"`)
		}

		full := c.network(ada, "")
		var mu sync.Mutex
		var joined []string
		y := together(50, func(c *club, _ int) reply {
			r := c.send("POST", "/networks/"+full+"/participants", `{"name":"p"}`, ada.bearer())
			mu.Lock()
			defer mu.Unlock()
			if r.status == 201 {
				joined = append(joined, r.text("id"))
			}
			return r
		})
		y.is(t, "50 joins into 10 places", map[string]int{"201": 10, "409 participant_limit_reached": 40})

		one := c.network(ada, "")
		y = together(50, func(c *club, _ int) reply {
			return c.send("POST", "/networks/"+one+"/participants", `{"name":"p","agent_id":"`+agent+`"}`, ada.bearer())
		})
		y.is(t, "50 joins of one agent", map[string]int{"201": 1, "409 agent_already_joined": 49})

		for _, p := range joined {
			c.set(ada, full, p, "disconnected")
		}
		for range 8 {
			c.join(ada, full, "")
		}
		y = together(len(joined)*5, func(c *club, i int) reply {
			return c.send("PATCH", "/networks/"+full+"/participants/"+joined[i%len(joined)], `{"status":"active"}`, ada.bearer())
		})
		if y.counts["409 participant_limit_reached"] != 40 || active(full) != 10 {
			t.Errorf("10 came back 5 times each into 2 places: %v, %d active", y.counts, active(full))
		}

		var removed []string // all link one agent, of whom one at a time may be active
		for range 10 {
			p := c.want(200, "GET", "/networks/"+one+"/participants", "", ada.bearer()).body
			p = firstID.FindStringSubmatch(p)[1]
			c.set(ada, one, p, "removed")
			removed = append(removed, p)
			c.join(ada, one, `,"agent_id":"`+agent+`"`)
		}
		last := firstID.FindStringSubmatch(c.want(200, "GET", "/networks/"+one+"/participants", "", ada.bearer()).body)[1]
		c.set(ada, one, last, "disconnected")
		y = together(50, func(c *club, i int) reply {
			return c.send("PATCH", "/networks/"+one+"/participants/"+removed[i%10], `{"status":"active"}`, ada.bearer())
		})
		if y.counts["200"] != 5 || y.counts["409 agent_already_joined"] != 45 || active(one) != 1 {
			t.Errorf("10 with one agent came back 5 times each: %v, %d active", y.counts, active(one))
		}
	})
}

// The checks of a join in their order: each row breaks its own rule, and all that follow.
func TestAJoinIsCheckedInTheOrderOfTheContract(t *testing.T) {
	c := newClub(t, testkit.SQLite(t), "NETWORK_MAX_PARTICIPANTS", "1")
	root, ada, bob := c.administrator(), c.signUp("ada"), c.signUp("bob")
	agent, inactive := c.agent(ada, "/echo", "").text("id"), c.agent(ada, "/echo", "").text("id")
	hidden := c.agent(bob, "/echo", `,"visibility":"private"`).text("id")
	killed := c.agent(ada, "/echo", "").text("id")
	c.want(200, "PUT", "/registry/agents/"+inactive, `{"is_active":false}`, ada.bearer())
	c.want(200, "POST", "/admin/agents/"+killed+"/kill", "", root.bearer())
	full, closed := c.network(ada, ""), c.network(ada, "")
	c.join(ada, full, `,"agent_id":"`+agent+`"`)
	c.join(ada, closed, `,"agent_id":"`+agent+`"`)
	c.want(200, "PATCH", "/networks/"+closed, `{"status":"closed"}`, ada.bearer())
	const unsafe, safe = `,"callback_url":"http://169.254.169.254/"`, `,"callback_url":"https://a.example.invalid/"`
	link := func(id string) string { return `,"agent_id":"` + id + `"` }
	for _, tt := range []struct {
		sentence, network, more string
		status                  int
		code                    string
	}{
		{"network mine", unknownID, unsafe + link(hidden), 404, "not_found"},
		{"network active", closed, unsafe + link(hidden), 400, "network_not_active"},
		{"the callback obeys the rules", full, unsafe + link(hidden), 400, "unsafe_url"},
		{"agent known", full, safe + link(unknownID), 404, "not_found"},
		{"agent visible", full, safe + link(hidden), 404, "not_found"},
		{"agent active", full, safe + link(inactive), 400, "agent_inactive"},
		{"agent not switched off by an administrator", full, safe + link(killed), 400, "agent_inactive"},
		{"agent not there yet", full, safe + link(agent), 409, "agent_already_joined"},
		{"a place", full, safe, 409, "participant_limit_reached"},
	} {
		got := c.send("POST", "/networks/"+tt.network+"/participants", `{"name":"p"`+tt.more+`}`, ada.bearer())
		if got.status != tt.status || got.text("code") != tt.code {
			t.Errorf("%s: got %d %s, want %d %s", tt.sentence, got.status, got.body, tt.status, tt.code)
		}
	}
}

// ends are participants by what is wrong with them.
type ends struct {
	network                                              string
	hub, spoke, disconnected, removed, disabled, unknown string
}

func (c *club) star(u user, agent string) ends {
	c.t.Helper()
	e := ends{network: c.network(u, `,"topology_type":"star"`), unknown: unknownID}
	e.hub, e.spoke, e.disconnected, e.removed = c.join(u, e.network, ""), c.join(u, e.network, ""), c.join(u, e.network, ""), c.join(u, e.network, "")
	e.disabled = c.join(u, e.network, `,"agent_id":"`+agent+`"`)
	c.set(u, e.network, e.disconnected, "disconnected")
	c.set(u, e.network, e.removed, "removed")
	return e
}

// Contract §6.3: every state of platform, network, sender and recipient × every channel.
// The first check that fails answers, and nothing is stored.
func TestChannelsAreCheckedInTheOrderOfTheContract(t *testing.T) {
	c := newClub(t, testkit.SQLite(t))
	root, ada, bob := c.administrator(), c.signUp("ada"), c.signUp("bob")
	agent := c.agent(ada, "/echo", "").text("id")
	open, closed, paused, foreign := c.star(ada, agent), c.star(ada, agent), c.star(ada, agent), c.star(bob, agent)
	c.want(200, "PATCH", "/networks/"+closed.network, `{"status":"closed"}`, ada.bearer())
	c.want(200, "PATCH", "/networks/"+paused.network, `{"status":"paused"}`, ada.bearer())
	c.want(200, "POST", "/admin/agents/"+agent+"/kill", "", root.bearer())
	nowhere := open
	nowhere.network = unknownID
	tried, stored := 0, 0
	for _, halted := range []bool{true, false} {
		if !halted {
			c.want(200, "POST", "/admin/platform/resume", "", root.bearer())
		} else {
			c.want(200, "POST", "/admin/platform/halt", "", root.bearer())
		}
		for _, e := range []ends{open, closed, paused, foreign, nowhere} {
			for _, sender := range []string{e.unknown, e.removed, e.disconnected, e.disabled, e.spoke, e.hub} {
				for _, recipient := range []string{e.unknown, e.removed, e.disconnected, e.disabled, e.spoke, e.hub} {
					var want string
					switch {
					case halted:
						want = "503 platform_halted"
					case e == foreign || e == nowhere:
						want = "404 not_found"
					case e == closed || e == paused:
						want = "400 network_not_active"
					case sender == e.unknown:
						want = "404 not_found"
					case sender == e.removed || sender == e.disconnected:
						want = "400 participant_not_active"
					case recipient == e.unknown:
						want = "404 not_found"
					case recipient == e.removed || recipient == e.disconnected:
						want = "400 participant_not_active"
					case sender == e.disabled || recipient == e.disabled:
						want = "403 agent_disabled"
					case sender != e.hub:
						want = "400 topology_violation"
					}
					for _, channel := range []string{"call", "messages/send", "mailbox"} {
						want := want
						if want == "" && channel == "call" {
							want = "400 recipient_not_callable"
						}
						got := c.send("POST", "/networks/"+e.network+"/"+channel, say(sender, recipient, "x"), ada.bearer())
						tried++
						if want == "" {
							want = "201 "
							stored++
						}
						if text := fmt.Sprint(got.status, " ", got.text("code")); text != want {
							t.Errorf("halted %v, %s from %s to %s of %+v: got %s %s, want %s", halted, channel, sender, recipient, e, text, got.body, want)
						}
					}
				}
			}
		}
	}
	got := 0
	for _, e := range []ends{open, closed, paused} {
		got += strings.Count(c.want(200, "GET", "/networks/"+e.network+"/messages?limit=500", "", ada.bearer()).body, `"channel_type"`)
	}
	if got != stored || stored == 0 {
		t.Errorf("%d requests stored %d messages, want %d", tried, got, stored)
	}
}

// Contract §6.4. The participants join in the order a, x, b, c; x is disconnected.
func TestTopologies(t *testing.T) {
	c := newClub(t, testkit.SQLite(t))
	ada := c.signUp("ada")
	const all = "aa ab ac ba bb bc ca cb cc"
	for _, tt := range []struct {
		topology, active string
		allowed          string // pairs of sender and recipient
		detail           string // of every other pair
	}{
		{"mesh", "abc", all, ""},
		{"custom", "abc", all, ""},
		{"star", "abc", "aa ab ac", "hub"},
		{"star", "bc", "bb bc", "hub"},
		{"star", "c", "cc", "hub"},
		{"ring", "abc", "ab bc ca", "Ring topology"},
		{"ring", "ac", "ac ca", "Ring topology"},
		{"ring", "b", "bb", "Ring topology"},
	} {
		n := c.network(ada, `,"topology_type":"`+tt.topology+`"`)
		who := map[rune]string{}
		for _, name := range "axbc" {
			who[name] = c.join(ada, n, "")
		}
		for name, id := range who {
			if !strings.ContainsRune(tt.active, name) {
				c.set(ada, n, id, "removed")
			}
		}
		c.topology(ada, n, who, tt.topology, tt.active, tt.allowed, tt.detail)
		if tt.active != "abc" { // who comes back has the place that he had
			for _, name := range "cba" {
				c.set(ada, n, who[name], "active")
			}
			whole := map[string]string{"star": "aa ab ac", "ring": "ab bc ca"}[tt.topology]
			c.topology(ada, n, who, tt.topology, "abc", whole, tt.detail)
		}
	}
}

func (c *club) topology(u user, network string, who map[rune]string, topology, active, allowed, detail string) {
	c.t.Helper()
	for _, sender := range active {
		for _, recipient := range active {
			pair := string(sender) + string(recipient)
			for _, channel := range []string{"call", "messages/send", "mailbox"} {
				got := c.send("POST", "/networks/"+network+"/"+channel, say(who[sender], who[recipient], "x"), u.bearer())
				refused := got.status == 400 && got.text("code") == "topology_violation" && strings.Contains(got.text("detail"), detail)
				passed := got.status == 201 || channel == "call" && got.text("code") == "recipient_not_callable"
				if ok := slices.Contains(strings.Fields(allowed), pair); ok && !passed || !ok && !refused {
					c.t.Errorf("%s of %s: %s from %c to %c: got %d %s, allowed %v", topology, active, channel, sender, recipient, got.status, got.body, ok)
				}
			}
		}
	}
}

// A service acts as its user, and leaves a record of every change that it asked for.
func TestWhatAServiceDoesInNetworksIsItsUsersAndIsRecorded(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		c := newClub(t, open())
		ada, bob := c.signUp("ada"), c.signUp("bob")
		agent := c.agent(ada, "/200/hello", "").text("id")
		service := func(u user) map[string][]string {
			return map[string][]string{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {u.id}}
		}
		n := c.want(201, "POST", "/networks", `{"name":"n"}`, service(ada))
		if got := n.text("owner_id"); got != ada.id {
			t.Errorf("the network is %s's, want %s's", got, ada.id)
		}
		net := "/networks/" + n.text("id")
		one := c.want(201, "POST", net+"/participants", `{"name":"p"}`, service(ada)).text("id")
		two := c.want(201, "POST", net+"/participants", `{"name":"p","agent_id":"`+agent+`"}`, service(ada)).text("id")
		c.want(200, "POST", net+"/call", say(one, two, "Hello"), service(ada))
		c.want(201, "POST", net+"/mailbox", say(one, two, "Hello"), service(ada))
		c.want(404, "POST", net+"/mailbox", say(one, two, "Hello"), service(bob))
		c.want(200, "GET", net+"/messages", "", service(ada))
		c.want(200, "GET", net, "", ada.bearer())
		c.want(204, "DELETE", net+"/participants/"+two, "", service(ada))

		records, err := c.service.audit.Recent(t.Context(), audit.Record{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range slices.Backward(records) {
			got = append(got, fmt.Sprint(r.Method, " ", r.Route, " ", r.Status, " ", r.Actor.Type, ":", r.Actor.ID, " ", strings.NewReplacer(ada.id, "ada", bob.id, "bob").Replace(string(r.Subject))))
		}
		const by = " service:wisdom-agents "
		want := []string{"POST /networks 201" + by + "ada", "POST /networks/{id}/participants 201" + by + "ada", "POST /networks/{id}/participants 201" + by + "ada",
			"POST /networks/{id}/call 200" + by + "ada", "POST /networks/{id}/mailbox 201" + by + "ada", "POST /networks/{id}/mailbox 404" + by + "bob",
			"DELETE /networks/{id}/participants/{pid} 204" + by + "ada"}
		if !slices.Equal(got, want) {
			t.Errorf("records:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		log := c.settled("/broker/logs", agent, ada.bearer()).body
		for _, text := range []string{`"kind":"network"`, `"actor":{"type":"service","id":"wisdom-agents"}`, `"caller_user_id":"` + ada.id + `"`} {
			if !strings.Contains(log, text) {
				t.Errorf("the log lacks %s: %s", text, log)
			}
		}
	})
}
