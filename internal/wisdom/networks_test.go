package wisdom

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// club is a wisdom with networks and receivers, which is asked over real HTTP.
type club struct{ *market }

func newClub(t *testing.T, url string, vars ...string) *club {
	t.Helper()
	m := newMarket(t, url, vars...)
	m.handler = overHTTP(t, m.handler)
	return &club{m}
}

// overHTTP serves handler on a socket and passes requests on to it.
func overHTTP(t *testing.T, handler http.Handler) http.Handler {
	t.Helper()
	server := httptest.NewServer(handler)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(func() { client.CloseIdleConnections(); server.Close() })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := r.Body
		if body == http.NoBody {
			body = nil
		}
		out, err := http.NewRequestWithContext(t.Context(), r.Method, server.URL+r.RequestURI, body)
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.RequestURI, err)
			return
		}
		out.ContentLength, out.Header = r.ContentLength, r.Header
		answer, err := client.Do(out)
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.RequestURI, err)
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	})
}

// network creates one; more is further members.
func (c *club) network(u user, more string) string {
	c.t.Helper()
	return c.want(201, "POST", "/networks", `{"name":"n"`+more+`}`, u.bearer()).text("id")
}

// join adds a participant; more is further members.
func (c *club) join(u user, network, more string) string {
	c.t.Helper()
	return c.want(201, "POST", "/networks/"+network+"/participants", `{"name":"p"`+more+`}`, u.bearer()).text("id")
}

func (c *club) set(u user, network, participant, status string) {
	c.t.Helper()
	c.want(200, "PATCH", "/networks/"+network+"/participants/"+participant, `{"status":"`+status+`"}`, u.bearer())
}

// say is the body of a call, a send or a mailbox.
func say(sender, recipient, content string) string {
	return fmt.Sprintf(`{"sender_participant_id":%q,"recipient_participant_id":%q,"content":%q}`, sender, recipient, content)
}

// settled reads path until its answer holds text.
func (c *club) settled(path, text string, header http.Header) reply {
	c.t.Helper()
	var got reply
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = c.want(200, "GET", path, "", header); strings.Contains(got.body, text) {
			return got
		}
	}
	c.t.Fatalf("%s never holds %q: %s", path, text, got.body)
	return reply{}
}

var volatile = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"`), `TIME`},
	{regexp.MustCompile(`"timestamp":1[0-9]{9}\.[0-9]{6}\b`), `"timestamp":SECONDS`},
	{regexp.MustCompile(`whsec_[A-Za-z0-9+/]{43}=`), `SECRET`},
	{regexp.MustCompile(`"last_error":"[^"]+"`), `"last_error":TEXT`},
}

// memory gives ids names, $NET and so on.
type memory []string // name, id, name, id, ...

func (m memory) ids(text string) string { return strings.NewReplacer(m...).Replace(text) }

func (m memory) names(text string) string {
	turned := make([]string, len(m))
	for i := 0; i < len(m); i += 2 {
		turned[i], turned[i+1] = m[i+1], m[i]
	}
	text = strings.NewReplacer(turned...).Replace(text)
	for _, v := range volatile {
		text = v.re.ReplaceAllString(text, v.by)
	}
	return text
}

// step is a request and the answer to it, byte for byte but for what is random.
type step struct {
	save               string // name for the id in the answer
	method, path, body string
	status             int
	want               string
	until              string // the answer is asked for until it holds this
}

const (
	netN     = `{"id":"$N","owner_id":"$ADA","name":"n","topology_type":"mesh","metadata":{"k":1},"metadata_":{"k":1},"status":"active","created_at":TIME,"updated_at":TIME}`
	netM     = `{"id":"$M","owner_id":"$ADA","name":"m","topology_type":"mesh","metadata":null,"metadata_":null,"status":"active","created_at":TIME,"updated_at":TIME}`
	netX     = `{"id":"$M","owner_id":"$ADA","name":"x","topology_type":"ring","metadata":{},"metadata_":{},"status":"closed","created_at":TIME,"updated_at":TIME}`
	partP    = `{"id":"$P","network_id":"$N","agent_id":null,"participant_type":"agent","name":"ada","callback_url":null,"polling_enabled":true,"capabilities":null,"status":"active","created_at":TIME,"updated_at":TIME`
	partQ    = `{"id":"$Q","network_id":"$N","agent_id":"$A","participant_type":"persona","name":"weather","callback_url":"$URL/200/hello","polling_enabled":false,"capabilities":{"c":[1]},"status":"active","created_at":TIME,"updated_at":TIME`
	partR    = `{"id":"$R","network_id":"$N","agent_id":null,"participant_type":"orchestrator","name":"gone","callback_url":"$URL/410/gone","polling_enabled":true,"capabilities":null,"status":"active","created_at":TIME,"updated_at":TIME`
	joinQ    = `{"name":"weather","agent_id":"$A","participant_type":"persona","callback_url":"$URL/200/hello","polling_enabled":false,"capabilities":{ "c": [1] }}`
	toldQ    = `{"sender_participant_id":"$P","recipient_participant_id":"$Q","content":"Hello","metadata":{"m":2}}`
	toldP    = `{"sender_participant_id":"$P","recipient_participant_id":"$P","content":"Hello"}`
	toldR    = `{"sender_participant_id":"$P","recipient_participant_id":"$R","content":"Hello","metadata":null}`
	mailU    = `{"id":"$U","network_id":"$N","sender_participant_id":"$P","recipient_participant_id":"$Q","channel_type":"mailbox","content":"Hello","metadata":{"m":2},"metadata_":{"m":2},"status":"pending","in_reply_to_id":null,"created_at":TIME,"updated_at":TIME}`
	pushV    = `{"id":"$V","network_id":"$N","sender_participant_id":"$P","recipient_participant_id":"$P","channel_type":"message","content":"Hello","metadata":null,"metadata_":null,"status":"pending","in_reply_to_id":null,"created_at":TIME,"updated_at":TIME}`
	pushW    = `{"id":"$W","network_id":"$N","sender_participant_id":"$P","recipient_participant_id":"$R","channel_type":"message","content":"Hello","metadata":null,"metadata_":null,"status":"pending","in_reply_to_id":null,"created_at":TIME,"updated_at":TIME`
	entry    = `{"sender":"ada","recipient":"weather","channel":"mailbox","content":"Hello","message_id":"$U","timestamp":SECONDS}`
	calledQ  = `{"id":"$C","network_id":"$N","sender_participant_id":"$P","recipient_participant_id":"$Q","channel_type":"call","content":"Hello","metadata":{"m":2},"metadata_":{"m":2},"status":"delivered","in_reply_to_id":null,"created_at":TIME,"updated_at":TIME}`
	answered = `"network_id":"$N","sender_participant_id":"$Q","recipient_participant_id":"$P","channel_type":"call","content":"hello","metadata":{"in_reply_to":"$C"},"metadata_":{"in_reply_to":"$C"},"status":"delivered","in_reply_to_id":"$C","created_at":TIME,"updated_at":TIME}`
)

// golden is every route of §6.2, §6.3 and §6.7, with its success.
func golden() []step {
	return []step{
		{save: "$N", method: "POST", path: "/networks", body: `{"name":"n","metadata":{ "k" : 1 },"else":1}`, status: 201, want: netN},
		{save: "$M", method: "POST", path: "/networks/", body: `{"name":"m","topology_type":null,"metadata":null}`, status: 201, want: netM},
		{method: "GET", path: "/networks", status: 200, want: "[" + netM + "," + netN + "]"},
		{method: "GET", path: "/networks?limit=1&offset=1", status: 200, want: "[" + netN + "]"},
		{method: "GET", path: "/networks?offset=1000000", status: 200, want: "[]"},
		{method: "GET", path: "/networks/$N", status: 200, want: netN},
		{method: "PATCH", path: "/networks/$N", body: `{}`, status: 200, want: netN},
		{method: "PATCH", path: "/networks/$N", body: `{"name":null,"topology_type":null,"status":null,"metadata":null}`, status: 200, want: netN},
		{method: "PATCH", path: "/networks/$M", body: `{"name":"x","topology_type":"ring","status":"closed","metadata":{}}`, status: 200, want: netX},
		{method: "GET", path: "/networks/$M", status: 200, want: netX},
		{save: "$P", method: "POST", path: "/networks/$N/participants", body: `{"name":"ada","agent_id":null,"callback_url":null,"capabilities":null}`, status: 201, want: partP + `,"webhook_secret":"SECRET"}`},
		{save: "$Q", method: "POST", path: "/networks/$N/participants", body: joinQ, status: 201, want: partQ + `,"webhook_secret":"SECRET"}`},
		{save: "$R", method: "POST", path: "/networks/$N/participants", body: `{"name":"gone","participant_type":"orchestrator","polling_enabled":true}`, status: 201,
			want: strings.Replace(partR, `"$URL/410/gone"`, "null", 1) + `,"webhook_secret":"SECRET"}`},
		{method: "PATCH", path: "/networks/$N/participants/$R", body: `{"callback_url":"$URL/410/gone","capabilities":{"x":1}}`, status: 200, want: strings.Replace(partR, `"capabilities":null`, `"capabilities":{"x":1}`, 1) + "}"},
		{method: "PATCH", path: "/networks/$N/participants/$R", body: `{"callback_url":"","polling_enabled":false,"capabilities":null,"status":"disconnected"}`, status: 200,
			want: strings.NewReplacer(`"$URL/410/gone"`, "null", `"capabilities":null`, `"capabilities":{"x":1}`, `"polling_enabled":true`, `"polling_enabled":false`, `"active"`, `"disconnected"`).Replace(partR) + "}"},
		{method: "GET", path: "/networks/$N/participants", status: 200, want: "[" + partP + "}," + partQ + "}]"},
		{method: "PATCH", path: "/networks/$N/participants/$R", body: `{"callback_url":"$URL/410/gone","status":"active"}`, status: 200,
			want: strings.NewReplacer(`"capabilities":null`, `"capabilities":{"x":1}`, `"polling_enabled":true`, `"polling_enabled":false`).Replace(partR) + "}"},
		{method: "POST", path: "/networks/$N/participants/$R/webhook-secret", status: 200, want: `{"webhook_secret":"SECRET","previous_valid_until":TIME}`},
		{method: "GET", path: "/networks/$N/context", status: 200, want: `{"network_id":"$N","entries":[]}`},
		{save: "$U", method: "POST", path: "/networks/$N/mailbox", body: toldQ, status: 201, want: mailU},
		{save: "$V", method: "POST", path: "/networks/$N/messages/send", body: toldP, status: 201, want: pushV},
		{method: "GET", path: "/networks/$N/inbox/$P", status: 200, want: "[" + pushV + "]"},
		{method: "GET", path: "/networks/$N/inbox/$Q?channel_type=mailbox&limit=200", status: 200, want: "[" + mailU + "]"},
		{method: "GET", path: "/networks/$N/inbox/$Q?channel_type=message", status: 200, want: "[]"},
		{method: "GET", path: "/networks/$N/context?limit=200", status: 200, want: `{"network_id":"$N","entries":[` + entry + "," +
			strings.NewReplacer("weather", "ada", "mailbox", "message", "$U", "$V").Replace(entry) + `]}`},
		{method: "GET", path: "/networks/$N/messages", status: 200, want: "[" + mailU + "," + pushV + "]"},
		{method: "GET", path: "/networks/$N/messages?order=desc&limit=1", status: 200, want: "[" + pushV + "]"},
		{method: "GET", path: "/networks/$N/messages?order=whatever&offset=1", status: 200, want: "[" + pushV + "]"},
		{method: "GET", path: "/networks/$N/messages?participant_id=$Q", status: 200, want: "[" + mailU + "]"},
		{method: "GET", path: "/networks/$N/messages?channel_type=message", status: 200, want: "[" + pushV + "]"},
		{method: "GET", path: "/networks/$N/messages?after=$U", status: 200, want: "[" + pushV + "]"},
		{method: "GET", path: "/networks/$N/messages?before=$V&order=desc", status: 200, want: "[" + mailU + "]"},
		{method: "GET", path: "/networks/$N/dead-letters", status: 200, want: "[]"},
		{method: "POST", path: "/networks/$N/messages/ack", body: `{"message_ids":["$V","$V","$UNKNOWN"]}`, status: 200, want: `{"acknowledged":1}`},
		{method: "POST", path: "/networks/$N/messages/ack", body: `{"message_ids":["$V"]}`, status: 200, want: `{"acknowledged":1}`},
		{method: "POST", path: "/networks/$N/messages/ack", body: `{"message_ids":[]}`, status: 200, want: `{"acknowledged":0}`},
		{method: "GET", path: "/networks/$N/inbox/$P", status: 200, want: "[]"},
		{method: "GET", path: "/networks/$N/messages?after=$U", status: 200, want: "[" + strings.Replace(pushV, "pending", "read", 1) + "]"},
		{save: "$W", method: "POST", path: "/networks/$N/messages/send", body: toldR, status: 201, want: pushW + "}"},
		{method: "GET", path: "/networks/$N/dead-letters", status: 200, until: "failed_at",
			want: "[" + strings.Replace(pushW, "pending", "failed", 1) + `,"attempts":1,"last_status_code":410,"last_error":TEXT,"failed_at":TIME}]`},
		{method: "POST", path: "/networks/$N/dead-letters/$W/replay", status: 202, want: pushW + "}"},
		{save: "$C", method: "POST", path: "/networks/$N/call", body: toldQ, status: 200, want: `{"success":true,"message_id":"$C","response":{"raw_response":"hello"}}`},
		{method: "GET", path: "/networks/$N/messages?channel_type=call&limit=1", status: 200, want: "[" + calledQ + "]"},
		{save: "$D", method: "GET", path: "/networks/$N/inbox/$P?channel_type=call", status: 200, want: `[{"id":"$D",` + answered + "]"},
		{method: "DELETE", path: "/networks/$N/participants/$R", status: 204},
		{method: "DELETE", path: "/networks/$N/participants/$R", status: 204},
		{method: "GET", path: "/networks/$N/participants", status: 200, want: "[" + partP + "}," + partQ + "}]"},
		{method: "DELETE", path: "/networks/$N", status: 204},
		{method: "DELETE", path: "/networks/$N", status: 404},
		{method: "GET", path: "/networks/$N", status: 404},
		{method: "GET", path: "/networks", status: 200, want: "[" + netX + "]"},
	}
}

var firstID = regexp.MustCompile(`"(?:id|message_id)":"([0-9a-f-]{36})"`)

func TestEveryRouteOfNetworksAnswersAsTheContractShowsIt(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		c := newClub(t, open())
		ada := c.signUp("ada")
		known := memory{"$ADA", ada.id, "$UNKNOWN", unknownID, "$URL", c.agents.URL, "$A", c.agent(ada, "/echo", "").text("id")}
		for _, s := range golden() {
			path := known.ids(s.path)
			got := c.send(s.method, path, known.ids(s.body), ada.bearer())
			if s.until != "" {
				got = c.settled(path, s.until, ada.bearer())
			}
			if id := firstID.FindStringSubmatch(got.body); s.save != "" && id != nil {
				known = append(known, s.save, id[1])
			}
			if got.status != s.status || s.status < 300 && known.names(got.body) != s.want {
				t.Fatalf("%s %s %s\n got %d %s\nwant %d %s", s.method, s.path, s.body, got.status, known.names(got.body), s.status, s.want)
			}
			if got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: Cache-Control %q", s.method, s.path, got.header.Get("Cache-Control"))
			}
			if s.method == "GET" && s.status == 200 {
				head := c.send("HEAD", path, "", ada.bearer())
				if head.status != 200 || head.body != "" || head.header.Get("Content-Type") != "application/json" || head.header.Get("Content-Length") != got.header.Get("Content-Length") {
					t.Errorf("HEAD %s: %d %q %v", s.path, head.status, head.body, head.header)
				}
			}
		}
	})
}

func TestTheBoundsOfNetworks(t *testing.T) {
	c := newClub(t, testkit.SQLite(t))
	ada := c.signUp("ada")
	n := c.network(ada, "")
	p := c.join(ada, n, "")
	net := "/networks/" + n
	big := func(bytes int) string { return `{"x":"` + strings.Repeat("x", bytes-8) + `"}` }
	told := func(content, more string) string {
		return fmt.Sprintf(`{"sender_participant_id":%q,"recipient_participant_id":%q,"content":"%s"%s}`, p, p, content, more)
	}
	ids := func(n int) string {
		return `{"message_ids":["` + strings.TrimSuffix(strings.Repeat(unknownID+`","`, n), `","`) + `"]}`
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		loc                string // of the only problem
	}{
		{"POST", "/networks", `{"name":"` + strings.Repeat("é", 255) + `","metadata":` + big(32768) + `}`, 201, ""},
		{"POST", "/networks", `{"name":"` + strings.Repeat("é", 256) + `"}`, 422, `["body","name"]`},
		{"POST", "/networks", `{"name":""}`, 422, `["body","name"]`},
		{"POST", "/networks", `{}`, 422, `["body","name"]`},
		{"POST", "/networks", `{"name":"n","topology_type":"bus"}`, 422, `["body","topology_type"]`},
		{"POST", "/networks", `{"name":"n","metadata":[]}`, 422, `["body","metadata"]`},
		{"POST", "/networks", `{"name":"n","metadata":` + big(32769) + `}`, 422, `["body","metadata"]`},
		{"POST", "/networks", `{"name":"n","metadata":{"x":"\u0000"}}`, 422, `["body","metadata","x"]`},
		{"POST", "/networks", "", 422, `["body"]`},
		{"GET", "/networks?limit=0", "", 422, `["query","limit"]`},
		{"GET", "/networks?limit=201", "", 422, `["query","limit"]`},
		{"GET", "/networks?limit=200", "", 200, ""},
		{"GET", "/networks?offset=1000001", "", 422, `["query","offset"]`},
		{"GET", "/networks/nobody", "", 422, `["path","id"]`},
		{"PATCH", net, `{"status":"deleted"}`, 422, `["body","status"]`},
		{"PATCH", net, `{"topology_type":""}`, 422, `["body","topology_type"]`},
		{"PATCH", net, `{"name":""}`, 422, `["body","name"]`},
		{"POST", net + "/participants", `{"name":"p","participant_type":"human"}`, 422, `["body","participant_type"]`},
		{"POST", net + "/participants", `{"name":"p","agent_id":"slug"}`, 422, `["body","agent_id"]`},
		{"POST", net + "/participants", `{"name":"p","agent_id":"` + strings.ToUpper(unknownID) + `"}`, 404, ""},
		{"POST", net + "/participants", `{"name":"p","callback_url":"https://a.example.org/` + strings.Repeat("a", 2048-22) + `"}`, 201, ""},
		{"POST", net + "/participants", `{"name":"p","callback_url":"https://a.example.org/` + strings.Repeat("a", 2049-22) + `"}`, 422, `["body","callback_url"]`},
		{"POST", net + "/participants", `{"name":"p","callback_url":"http://10.0.0.1/"}`, 400, ""},
		{"POST", net + "/participants", `{"name":"p","polling_enabled":1}`, 422, `["body","polling_enabled"]`},
		{"POST", net + "/participants", `{"name":"p","capabilities":` + big(32768) + `}`, 201, ""},
		{"POST", net + "/participants", `{"name":"p","capabilities":` + big(32769) + `}`, 422, `["body","capabilities"]`},
		{"PATCH", net + "/participants/" + p, `{"status":"gone"}`, 422, `["body","status"]`},
		{"PATCH", net + "/participants/" + p, `{"callback_url":"ftp://a.example.org/"}`, 400, ""},
		{"DELETE", net + "/participants/x", "", 422, `["path","pid"]`},
		{"POST", net + "/mailbox", told(strings.Repeat("x", 65536), `,"metadata":`+big(32768)), 201, ""},
		{"POST", net + "/messages/send", told(strings.Repeat("\U0001f600", 65536), ""), 201, ""},
		{"POST", net + "/messages/send", told(strings.Repeat("x", 65537), ""), 422, `["body","content"]`},
		{"POST", net + "/mailbox", told(strings.Repeat("\U0001f600", 65537), ""), 422, `["body","content"]`},
		{"POST", net + "/call", told(strings.Repeat("x", 65537), ""), 422, `["body","content"]`},
		{"POST", net + "/mailbox", told("", ""), 201, ""},
		{"POST", net + "/mailbox", told(`a\u0000b`, ""), 422, `["body","content"]`},
		{"POST", net + "/mailbox", told("", `,"metadata":`+big(32769)), 422, `["body","metadata"]`},
		{"POST", net + "/mailbox", told("", `,"metadata":"x"`), 422, `["body","metadata"]`},
		{"POST", net + "/mailbox", `{"sender_participant_id":"` + p + `","content":"x"}`, 422, `["body","recipient_participant_id"]`},
		{"POST", net + "/mailbox", `{"sender_participant_id":"x","recipient_participant_id":"` + p + `","content":"x"}`, 422, `["body","sender_participant_id"]`},
		{"POST", net + "/mailbox", strings.Replace(told("x", ""), `"x"`, "null", 1), 422, `["body","content"]`},
		{"POST", net + "/mailbox", told(strings.Repeat("x", 1<<20), ""), 413, ""},
		{"POST", net + "/messages/ack", ids(500), 200, ""},
		{"POST", net + "/messages/ack", ids(501), 422, `["body","message_ids"]`},
		{"POST", net + "/messages/ack", `{"message_ids":["x"]}`, 422, `["body","message_ids",0]`},
		{"POST", net + "/messages/ack", `{"message_ids":null}`, 422, `["body","message_ids"]`},
		{"POST", net + "/messages/ack", `{}`, 422, `["body","message_ids"]`},
		{"GET", net + "/messages?limit=501", "", 422, `["query","limit"]`},
		{"GET", net + "/messages?limit=500&order=DESC", "", 200, ""},
		{"GET", net + "/messages?channel_type=mail", "", 422, `["query","channel_type"]`},
		{"GET", net + "/messages?channel_type=", "", 422, `["query","channel_type"]`},
		{"GET", net + "/messages?participant_id=x", "", 422, `["query","participant_id"]`},
		{"GET", net + "/messages?before=x", "", 422, `["query","before"]`},
		{"GET", net + "/messages?after=x", "", 422, `["query","after"]`},
		{"GET", net + "/inbox/" + p + "?limit=201", "", 422, `["query","limit"]`},
		{"GET", net + "/inbox/" + p + "?channel_type=x", "", 422, `["query","channel_type"]`},
		{"GET", net + "/inbox/x", "", 422, `["path","pid"]`},
		{"GET", net + "/context?limit=201", "", 422, `["query","limit"]`},
		{"GET", net + "/context?limit=0", "", 422, `["query","limit"]`},
		{"GET", net + "/dead-letters?limit=201", "", 422, `["query","limit"]`},
		{"POST", net + "/dead-letters/x/replay", "", 422, `["path","message_id"]`},
		{"POST", net + "/dead-letters/" + unknownID + "/replay", "", 404, ""},
	} {
		got := c.send(tt.method, tt.path, tt.body, ada.bearer())
		shown := tt.body[:min(len(tt.body), 120)]
		if got.status != tt.status {
			t.Errorf("%s %s %s: %d %.200s, want %d", tt.method, tt.path, shown, got.status, got.body, tt.status)
			continue
		}
		var problems struct {
			Detail []struct{ Loc json.RawMessage }
		}
		_ = json.Unmarshal([]byte(got.body), &problems)
		if tt.loc != "" && (len(problems.Detail) != 1 || string(problems.Detail[0].Loc) != tt.loc) {
			t.Errorf("%s %s %s: %.300s, want one problem at %s", tt.method, tt.path, shown, got.body, tt.loc)
		}
	}
	// A list of many large messages is whole, whatever way it is sent.
	list := c.want(200, "GET", net+"/messages?limit=500", "", ada.bearer())
	var messages []struct{ Content string }
	if err := json.Unmarshal([]byte(list.body), &messages); err != nil || len(messages) != 3 || messages[1].Content != strings.Repeat("\U0001f600", 65536) {
		t.Errorf("%d messages: %v", len(messages), err)
	}
}

func TestTheDescriptionKnowsNetworks(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, In string
				Required bool
			}
			Responses map[string]struct {
				Content map[string]struct{ Schema struct{ Type any } }
			}
		}
	}
	if err := json.Unmarshal([]byte(newWorld(t, nil).want(200, "GET", "/openapi.json", "", nil).body), &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range doc.Paths["/networks/{network_id}/participants/{participant_id}/callback"]["post"].Parameters {
		got = append(got, fmt.Sprint(p.In, " ", p.Name, " ", p.Required))
	}
	if want := "path network_id true, path participant_id true, query sig true, query exp true"; strings.Join(got, ", ") != want {
		t.Errorf("the callback takes %q, want %s", got, want)
	}
	for name, status := range map[string]string{"post /networks": "201", "delete /networks/{id}": "204", "post /networks/{id}/participants": "201", "post /networks/{id}/call": "200",
		"post /networks/{id}/messages/send": "201", "post /networks/{id}/mailbox": "201", "post /networks/{id}/dead-letters/{message_id}/replay": "202"} {
		method, path, _ := strings.Cut(name, " ")
		if _, ok := doc.Paths[path][method].Responses[status]; !ok {
			t.Errorf("%s is not described to answer %s", name, status)
		}
	}
	for _, path := range []string{"", "/{id}/participants", "/{id}/messages", "/{id}/inbox/{pid}", "/{id}/dead-letters"} {
		if got := doc.Paths["/networks"+path]["get"].Responses["200"].Content["application/json"].Schema.Type; got != "array" {
			t.Errorf("GET /networks%s is described as %v, want array", path, got)
		}
	}
}
