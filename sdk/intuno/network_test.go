package intuno

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/api"
)

const replyPath = "/networks/" + userA + "/participants/" + userB + "/callback"

func TestAReplyGoesWhereItWasAskedForAndNowhereElse(t *testing.T) {
	const query = "?sig=00ff&exp=1800000000"
	for _, c := range []struct{ base, reply, want string }{
		{"https://h", "https://h" + replyPath + query, "https://h" + replyPath + query},
		{"https://h/", "HTTPS://H:443" + replyPath + query, "https://h" + replyPath + query},
		{"http://h:80", "http://h" + replyPath + query, "http://h:80" + replyPath + query},
		{"http://[::1]:8000/a%2Fb", "http://[::1]:8000/a%2Fb" + replyPath + query, "http://[::1]:8000/a%2Fb" + replyPath + query},
		{"https://h", "https://h" + replyPath + "?exp=1800000000&more=x&sig=00ff", "https://h" + replyPath + query},

		{"https://h", "", ""},
		{"https://h", "%", ""},
		{"https://h", replyPath + query, ""},
		{"https://h", "//h" + replyPath + query, ""},
		{"https://h", "http://h" + replyPath + query, ""},
		{"http://h:8443", "https://h:8443" + replyPath + query, ""},
		{"https://h", "https://h:8443" + replyPath + query, ""},
		{"https://h", "https://h.evil.example" + replyPath + query, ""},
		{"https://h", "https://evil.example" + replyPath + query, ""},
		{"https://h", "https://h@evil.example" + replyPath + query, ""},
		{"https://h", "https://u@h" + replyPath + query, ""},
		{"https://h", "https://h" + replyPath + query + "#x", ""},
		{"https://h", "https://h" + replyPath, ""},
		{"https://h", "https://h" + replyPath + "?sig=00ff", ""},
		{"https://h", "https://h" + replyPath + "?sig=00%0aff&exp=1", ""},
		{"https://h", "https://h" + replyPath + "?sig=00%26exp=2&exp=1", ""},
		{"https://h", "https://h" + replyPath + "?sig=00ff&exp=1%20", ""},
		{"https://h", "https://h" + replyPath + "?sig=00;ff&exp=1", ""},
		{"https://h", "https://h/other" + replyPath + query, ""},
		{"https://h/prefix", "https://h" + replyPath + query, ""},
		{"https://h", "https://h/networks/" + userA + "/participants/" + userB + query, ""},
		{"https://h", "https://h/networks/x/participants/" + userB + "/callback" + query, ""},
		{"https://h", "https://h/networks/../participants/" + userB + "/callback" + query, ""},
		{"https://h", "https://h/networks/" + userA + "/participants/a%2Fb/callback" + query, ""},
	} {
		var got string
		client := newClient(t, c.base, WithAPIKey(secret), WithTransport(transport(func(r *http.Request) (*http.Response, error) {
			if got = r.URL.String(); r.Header.Get("X-API-Key") != "" {
				t.Errorf("%s: a credential is sent", c.reply)
			}
			return answer(403, `{"detail":"The signature is not valid","code":"signature_invalid"}`), nil
		})))
		_, err := client.Reply(t.Context(), c.reply, api.CallbackMessage{Content: "hi"})
		if c.want == "" && !errors.Is(err, ErrArgument) || c.want != "" && Code(err) != api.CodeSignatureInvalid || got != c.want {
			t.Errorf("%s with %s: asked %q (%v), want %q", c.base, c.reply, got, err, c.want)
		}
		if err == nil || strings.Contains(err.Error(), "00ff") || strings.Contains(err.Error(), "evil") {
			t.Errorf("%s: the error repeats the URL: %v", c.reply, err)
		}
	}
}

// networks is as much of a server as EnsureNetwork and the walks need.
type networks struct {
	asked        []string
	networks     []api.Network
	participants map[string][]api.Participant
	joins        []string // bodies
	messages     []api.NetworkMessage
	fail         string // a route that answers 503
}

func (n *networks) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	n.asked = append(n.asked, r.Method+" "+r.URL.RequestURI())
	network := strings.Split(r.URL.Path+"//", "/")[2]
	var found any
	switch route := r.Method + " " + strings.Replace(r.URL.Path, network, "", 1); {
	case route == n.fail:
		return answer(503, fmt.Sprintf(refused, "platform_halted")), nil
	case r.URL.Path == "/networks" && r.Method == "GET":
		var limit, offset int
		_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &offset)
		found = n.networks[min(offset, len(n.networks)):min(offset+limit, len(n.networks))]
	case r.URL.Path == "/networks":
		var in api.NewNetwork
		_ = json.Unmarshal(body, &in)
		made := api.Network{ID: fmt.Sprintf("n%d", len(n.networks)+1), Name: in.Name, Metadata: in.Metadata, Status: "active"}
		n.networks, found = append([]api.Network{made}, n.networks...), made
	case strings.HasSuffix(r.URL.Path, "/messages"):
		list := slices.Clone(n.messages)
		if r.URL.Query().Get("order") == "desc" {
			slices.Reverse(list)
		}
		mark := r.URL.Query().Get("after") + r.URL.Query().Get("before")
		list = list[slices.IndexFunc(list, func(m api.NetworkMessage) bool { return m.ID == mark })+1:]
		if r.URL.Query().Get("offset") != "" {
			list = list[1:]
		}
		found = list[:min(2, len(list))]
	case r.Method == "GET":
		found = append([]api.Participant{}, n.participants[network]...)
	default:
		var in api.NewParticipant
		_ = json.Unmarshal(body, &in)
		n.joins = append(n.joins, string(body))
		p := api.Participant{ID: fmt.Sprintf("p%d", len(n.joins)), Name: in.Name, Status: "active"}
		n.participants[network] = append(n.participants[network], p)
		found = api.JoinedParticipant{Participant: p, WebhookSecret: "whsec_" + in.Name}
	}
	text, err := json.Marshal(found)
	return answer(200, string(text)), err
}

func TestANetworkOfTwoIsMadeOnce(t *testing.T) {
	at := api.Network{Status: "active"}
	n := &networks{participants: map[string][]api.Participant{}}
	for i := range 250 { // more than a page of others
		at.ID, at.Name = fmt.Sprintf("other%d", i), fmt.Sprintf("other %d", i)
		n.networks = append(n.networks, at)
	}
	closed := api.Network{ID: "closed", Name: "private-ada-weather", Status: "closed"}
	half := api.Network{ID: "half", Name: "private-ada-weather", Status: "active"}
	n.networks = append(n.networks, closed, half)
	n.participants["half"] = []api.Participant{{ID: "a", Name: "ada", Status: "active"}, {ID: "w", Name: "weather", Status: "disconnected"}}
	n.participants["closed"] = []api.Participant{{ID: "a", Name: "ada", Status: "active"}, {ID: "w", Name: "weather", Status: "active"}}
	c := newClient(t, "http://h", WithTransport(n))
	two := Private{Caller: "ada", Target: "weather", TargetAgentID: userA, CallbackBaseURL: "https://cb.example/x"}
	first, err := c.EnsureNetwork(t.Context(), two)
	if want := (Channel{"n253", "p1", "p2", "whsec_ada", "whsec_weather"}); err != nil || first != want {
		t.Fatalf("made %+v, %v, want %+v", first, err, want)
	}
	if got := string(n.networks[0].Metadata); got != `{"auto_created":true,"purpose":"Channel: ada \u003c-\u003e weather"}` {
		t.Errorf("metadata %s", got)
	}
	// What was made last comes first; and one that is further back is found too.
	for _, rotate := range []bool{false, true} {
		if rotate {
			n.networks = append(n.networks[1:], n.networks[0])
		}
		again, err := c.EnsureNetwork(t.Context(), two)
		if want := (Channel{NetworkID: "n253", CallerID: "p1", TargetID: "p2"}); err != nil || again != want {
			t.Errorf("again %+v, %v, want %+v", again, err, want)
		}
	}
	for _, private := range []Private{{Caller: "é/", Target: "b", CallbackBaseURL: "https://cb.example"}, {Caller: "c", Target: "d", CallerType: "persona", CallbackBaseURL: "https://cb.example"}, {Caller: "same", Target: "same"}} {
		made, err := c.EnsureNetwork(t.Context(), private)
		again, err2 := c.EnsureNetwork(t.Context(), private)
		if err != nil || err2 != nil || made.CallerID == made.TargetID || again != (Channel{NetworkID: made.NetworkID, CallerID: made.CallerID, TargetID: made.TargetID}) {
			t.Errorf("%+v: made %+v, then %+v (%v, %v)", private, made, again, err, err2)
		}
	}
	want := []string{
		`{"name":"ada","callback_url":"https://cb.example/x/agents/ada/callback"}`,
		`{"name":"weather","agent_id":"` + userA + `","callback_url":"https://cb.example/x/agents/weather/callback"}`,
		`{"name":"é/","callback_url":"https://cb.example/agents/%C3%A9%2F/callback"}`, `{"name":"b","callback_url":"https://cb.example/agents/b/callback"}`,
		`{"name":"c","participant_type":"persona","polling_enabled":true}`, `{"name":"d","callback_url":"https://cb.example/agents/d/callback"}`,
		`{"name":"same"}`, `{"name":"same"}`,
	}
	if !slices.Equal(n.joins, want) {
		t.Errorf("joined %q\nwant   %q", n.joins, want)
	}
	for _, fail := range []string{"GET /networks", "POST /networks", "GET /networks//participants", "POST /networks//participants"} {
		n.fail = fail
		target := "nobody"
		if fail == "GET /networks//participants" {
			target = "weather"
		}
		if got, err := must(c.With(WithRetries(0))).EnsureNetwork(t.Context(), Private{Caller: "ada", Target: target}); !errors.Is(err, ErrUnavailable) || got != (Channel{}) {
			t.Errorf("%s fails: %+v, %v", fail, got, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestTheMessagesOfANetworkAreWalkedFromOneToTheNext(t *testing.T) {
	n := &networks{}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		n.messages = append(n.messages, api.NetworkMessage{ID: id})
	}
	c := newClient(t, "http://h", WithTransport(n))
	for _, test := range []struct {
		query NetworkMessageQuery
		want  string
		first string // request
	}{
		{NetworkMessageQuery{}, "abcde", "?limit=100"},
		{NetworkMessageQuery{NewestFirst: true}, "edcba", "?limit=100&order=desc"},
		{NetworkMessageQuery{After: "b", Channel: "call", ParticipantID: userA}, "cde", "?after=b&channel_type=call&limit=100&participant_id=" + userA},
		{NetworkMessageQuery{Before: "d", NewestFirst: true, Page: Page{Limit: 2}}, "cba", "?before=d&limit=2&order=desc"},
		{NetworkMessageQuery{Page: Page{Offset: 1}}, "bcde", "?limit=100&offset=1"},
	} {
		n.asked = nil
		for range 2 { // a walk can be begun again
			got := ""
			for m, err := range c.AllNetworkMessages(t.Context(), userA, test.query) {
				if err != nil {
					t.Fatal(err)
				}
				got += m.ID
			}
			if got != test.want || n.asked[0] != "GET /networks/"+userA+"/messages"+test.first {
				t.Errorf("%+v: %s by %q, want %s", test.query, got, n.asked, test.want)
			}
		}
	}
}

func TestAnEmptyAcknowledgementIsAnEmptyList(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) != `{"message_ids":[]}` {
			t.Errorf("sent %s", body)
		}
		_, _ = io.WriteString(w, `{"acknowledged":0}`)
	})
	if n, err := c.AcknowledgeMessages(t.Context(), userA, nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
