package wisdom

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

func TestAnAgentIsSentTheInputAndNothingAboutTheCaller(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	ada := m.signUp("ada")
	agent := m.agent(ada, "/echo", `,"auth_type":"bearer_token"`)
	m.want(204, "POST", "/registry/agents/"+agent.text("id")+"/credentials", `{"credential_type":"bearer_token","value":"hush-hush"}`, ada.bearer())
	m.want(204, "POST", "/registry/agents/"+agent.text("id")+"/credentials", `{"credential_type":"api_key","value":"another"}`, ada.bearer())
	header := ada.bearer()
	header.Set("X-Request-Id", "my.request")
	header.Set("Cookie", "a=b")
	header.Set("X-Invocation-Depth", "8") // believed on the service path only
	body := fmt.Sprintf(`{"agent_id":%q, "input": {"n" : 1.10, "u":"\u00fc", "deep":[ {} ]}, "conversation_id":null, "message_id":null, "external_user_id":null, "unknown":1}`, agent.text("agent_id"))
	for _, way := range ways {
		got := m.success(way, body, header)
		sent := m.agents.last(t, "/echo")
		want := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"Intuno-Broker/1.0"}, "X-Request-Id": {"my.request"},
			"Idempotency-Key": {got.invocation}, "Authorization": {"Bearer hush-hush"}, "Accept-Encoding": {"gzip"}, "Content-Length": {fmt.Sprint(len(sent.body))}}
		if fmt.Sprint(sent.header) != fmt.Sprint(want) {
			t.Errorf("%s: got header %v, want %v", way, sent.header, want)
		}
		if sent.body != `{"n":1.10,"u":"\u00fc","deep":[{}]}` || got.data != `{"n":1.10,"u":"ü","deep":[{}]}` {
			t.Errorf("%s: got body %s, data %s", way, sent.body, got.data)
		}
		row := m.logs(ada, "?limit=1")[0]
		if text := fmt.Sprintf("%s %s %s %s", row.Request, row.Response, row.Input, row.Output); row.RequestID != "my.request" || strings.Contains(text, "hush") ||
			text != strings.Join([]string{`{"n":1.10,"u":"ü","deep":[{}]}`, got.data, got.data, got.data}, " ") {
			t.Errorf("%s: row %s", way, text)
		}
	}
}

func TestAStreamPassesChunksOnAndKeepsTheText(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		m := newMarket(t, open())
		ada := m.signUp("ada")
		for _, tt := range []struct {
			path, events, code string
			status             int
			says               string
		}{
			{"/events", `chunk {"text":"Hel"}|chunk {"delta":"lo, "}|chunk {"text":"wor"}|chunk {"content":"ld","n":1.10}|chunk [1]|done`, "", 200, "Hello, world"},
			{"/events-broken", `chunk {"text":"half"}|error|done`, "agent_unreachable", 500, ""},
			{"/events-large", strings.Repeat("chunk|", 17) + "error|done", "agent_response_too_large", 502, ""},
		} {
			agent := m.agent(ada, tt.path, `,"supports_streaming":true`)
			got := m.call("invoke/stream", invocation(agent, ""), ada.bearer())
			var events []string
			for _, e := range got.events {
				if e.name == "chunk" && len(e.data) < 1000 {
					e.name += " " + e.data
				}
				events = append(events, e.name)
			}
			if strings.Join(events, "|") != tt.events || got.status != tt.status || got.code != tt.code || got.conversation == "" {
				t.Errorf("%s: got %v, %d %s", tt.path, events, got.status, got.code)
			}
			if accept := m.agents.last(t, tt.path).header.Get("Accept"); accept != "text/event-stream" {
				t.Errorf("%s: Accept %q", tt.path, accept)
			}
			said, row := m.messages(ada, got.conversation), m.logs(ada, "?limit=1")[0]
			text, _ := json.Marshal(map[string]string{"text": tt.says})
			if tt.says == "" && (len(said) != 1 || string(row.Response) != "null") || tt.says != "" && (len(said) != 2 || said[1].Content != tt.says || string(said[1].Metadata) != string(text) || string(row.Response) != string(text)) {
				t.Errorf("%s: said %+v, row %s", tt.path, said, row.Response)
			}
		}
	})
}

func TestAQuietStreamHasAPulseAndEndsWithItsReader(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	m.service.api.Broker.Pulse = 20 * time.Millisecond
	ada := m.signUp("ada")
	agent := m.agent(ada, "/hang", `,"supports_streaming":true`)
	server := httptest.NewServer(m.handler)
	defer server.Close()
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/broker/invoke/stream", strings.NewReader(invocation(agent, "")))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = ada.bearer()
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, text := make([]byte, 100), ""
	for strings.Count(text, "\n\n") < 3 {
		n, err := response.Body.Read(read)
		if err != nil {
			t.Fatal(text, err)
		}
		text += string(read[:n])
	}
	if strings.Trim(text, ": \n") != "" {
		t.Errorf("got %q, want comments", text)
	}
	leave()
	var row logRow
	for range 500 {
		if rows := m.logs(ada, ""); len(rows) > 0 {
			row = rows[0]
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if row.Kind != "stream" || row.Success || row.Refused || deref(row.ErrorCode) != "cancelled" || row.Status != "error" || row.Conversation == nil {
		t.Errorf("row %+v", row)
	}
	if n := m.calls(agent.text("agent_id"), ada); n != "0" {
		t.Errorf("%s calls in the figures: the reader left, not the agent", n)
	}
}

func TestRowsAreOfTheirSubjectAndSayWhatActed(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		m := newMarket(t, open())
		ada, bob, owner := m.signUp("ada"), m.signUp("bob"), m.signUp("owner")
		agent := m.agent(owner, "/echo", "")
		keys := map[string]string{}
		for _, u := range []user{ada, bob} {
			keys[u.id] = decodeList[struct{ ID string }](t, m.want(200, "GET", "/auth/api-keys", "", u.bearer()).body)[0].ID
		}
		var group sync.WaitGroup
		for _, u := range []user{ada, bob} {
			for _, header := range []http.Header{u.bearer(), {"X-Api-Key": {u.key}}, {"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {u.id}, "Authorization": {"Bearer " + owner.token}}} {
				for range 3 {
					group.Go(func() {
						body := fmt.Sprintf(`{"agent_id":%q,"input":{"of":%q}}`, agent.text("agent_id"), u.id)
						if got := send(m.handler, "POST", "/broker/invoke", body, header); got.status != 200 || !strings.Contains(got.body, u.id) {
							t.Errorf("got %+v", got)
						}
					})
				}
			}
		}
		group.Wait()
		for _, u := range []user{ada, bob} {
			actors := map[string]int{}
			rows := m.logs(u, "")
			for _, row := range rows {
				actors[row.Actor.Type+" "+row.Actor.ID]++
				if deref(row.Caller) != u.id || string(row.Request) != `{"of":"`+u.id+`"}` || string(row.Output) != string(row.Request) || row.Conversation == nil || row.Message == nil {
					t.Errorf("%s sees %+v", u.id, row)
				}
			}
			if want := map[string]int{"user " + u.id: 3, "api_key " + keys[u.id]: 3, "service wisdom-agents": 3}; fmt.Sprint(actors) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", actors, want)
			}
			if n := len(m.conversations(u)); n != 9 {
				t.Errorf("%d conversations", n)
			}
		}
		rows := m.logs(owner, "")
		if len(rows) != 18 {
			t.Errorf("the owner sees %d rows", len(rows))
		}
		for _, row := range rows {
			if row.Caller != nil || row.Actor != nil || row.Conversation != nil || row.Message != nil || row.Integration != nil || string(row.Request) != "null" || string(row.Response) != "null" ||
				string(row.Input) != "{}" || string(row.Output) != "null" || deref(row.Agent) != agent.text("id") || deref(row.Name) != "agent" || !row.Success {
				t.Errorf("the owner sees %+v", row)
			}
		}
		if text := m.want(200, "GET", "/broker/logs", "", owner.bearer()).body; strings.Contains(text, ada.id) || strings.Contains(text, bob.id) {
			t.Errorf("the owner sees callers: %s", text)
		}
		if n := len(m.conversations(owner)); n != 0 {
			t.Errorf("the owner has %d conversations", n)
		}
	})
}

func TestForeignConversationsAndMessagesAnswerLikeUnknownOnes(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	ada, bob := m.signUp("ada"), m.signUp("bob")
	agent := m.agent(ada, "/echo", "")
	foreign, mine := m.talk(bob), m.talk(ada)
	message := m.messages(bob, foreign)[0].ID
	blur := func(o outcome) string {
		text := o.body
		if o.invocation != "" {
			text = strings.ReplaceAll(text, o.invocation, "ID")
		}
		return text
	}
	for _, way := range ways {
		for _, pair := range [][2]string{
			{`,"conversation_id":"` + foreign + `"`, `,"conversation_id":"` + nowhere + `"`},
			{`,"conversation_id":"` + foreign + `","message_id":"` + message + `"`, `,"conversation_id":"` + nowhere + `","message_id":"` + nowhere + `"`},
			{`,"conversation_id":"` + mine + `","message_id":"` + message + `"`, `,"conversation_id":"` + mine + `","message_id":"` + nowhere + `"`},
		} {
			one, two := m.call(way, invocation(agent, pair[0]), ada.bearer()), m.call(way, invocation(agent, pair[1]), ada.bearer())
			if blur(one) != blur(two) || one.status != 404 {
				t.Errorf("%s: %s and %s differ", way, one.body, two.body)
			}
		}
	}
}

func TestAConversationGoesOn(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	ada := m.signUp("ada")
	agent, other := m.agent(ada, "/echo", ""), m.agent(ada, `/200/{"content":"sun"}`, "")
	first := m.success("invoke", invocation(agent, `,"external_user_id":"guest"`), ada.bearer())
	said := m.messages(ada, first.conversation)
	again := m.success("invoke/stream", invocation(other, fmt.Sprintf(`,"conversation_id":%q,"message_id":%q`, strings.ToUpper(first.conversation), strings.ToUpper(said[0].ID))), ada.bearer())
	third := m.success("invoke", invocation(agent, fmt.Sprintf(`,"conversation_id":%q,"external_user_id":"another"`, first.conversation)), ada.bearer())
	if again.conversation != first.conversation || third.conversation != first.conversation {
		t.Fatalf("%s, %s, %s", first.conversation, again.conversation, third.conversation)
	}
	var roles []string
	for _, message := range m.messages(ada, first.conversation) {
		roles = append(roles, message.Role+" "+message.Content+" "+deref(message.Agent))
	}
	echo := `{"city":"Oslo"}`
	want := []string{"user " + echo + " ", "assistant " + echo + " " + agent.text("agent_id"), "assistant sun " + other.text("agent_id"), "user " + echo + " ", "assistant " + echo + " " + agent.text("agent_id")}
	if !slices.Equal(roles, want) {
		t.Errorf("got %q, want %q", roles, want)
	}
	if list := m.conversations(ada); len(list) != 1 || deref(list[0].External) != "another" {
		t.Errorf("conversations %+v", list)
	}
	if row := m.logs(ada, "")[1]; deref(row.Message) != said[0].ID || deref(row.Conversation) != first.conversation {
		t.Errorf("row %+v", row)
	}
}

func TestTheLogIsFiltered(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		m := newMarket(t, open())
		ada, bob := m.signUp("ada"), m.signUp("bob")
		good, bad, late := m.agent(ada, "/echo", ""), m.agent(ada, "/500/", ""), m.agent(bob, "/504/", "")
		m.success("invoke", invocation(good, ""), ada.bearer())
		m.call("invoke", invocation(bad, ""), ada.bearer())
		m.call("invoke", invocation(late, ""), ada.bearer())
		m.success("invoke", invocation(good, ""), bob.bearer())
		var times []string
		for _, row := range decodeList[struct {
			CreatedAt string `json:"created_at"`
			Timestamp string
		}](t, m.want(200, "GET", "/broker/logs", "", ada.bearer()).body) {
			if row.CreatedAt != row.Timestamp {
				t.Errorf("%s and %s", row.CreatedAt, row.Timestamp)
			}
			times = append(times, row.CreatedAt)
		}
		if len(times) != 4 || !slices.IsSortedFunc(times, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Fatalf("times %v", times)
		}
		offset := strings.Replace(times[2], "Z", "%2B00:00", 1)
		for query, want := range map[string]int{
			"": 4, "?limit=2": 2, "?limit=2&offset=3": 1, "?offset=4": 0, "?status=success": 2, "?status=error": 1, "?status=timeout": 1,
			"?agent_id=" + good.text("id"): 2, "?agent_id=" + strings.ToUpper(good.text("id")): 2, "?agent_id=" + late.text("id"): 1, "?agent_id=" + nowhere: 0,
			"?from_date=" + times[1]: 2, "?to_date=" + times[1]: 3, "?from_date=" + offset + "&to_date=" + offset: 1, "?from_date=" + strings.Replace(times[0], "Z", "1Z", 1): 0,
			"?to_date=" + strings.Replace(times[0], "Z", "1Z", 1): 4, "?from_date=0001-01-01T00:00:00Z&to_date=9999-12-31T23:59:59Z": 4,
		} {
			if got := len(m.logs(ada, query)); got != want {
				t.Errorf("%q: got %d rows, want %d", query, got, want)
			}
		}
		for path, want := range map[string]int{"/agent/" + good.text("id"): 1, "/agent/" + late.text("id"): 1, "/agent/" + nowhere: 0, "/agent/" + good.text("id") + "?offset=1": 0} {
			if got := len(m.logs(ada, path)); got != want {
				t.Errorf("%s: got %d rows, want %d", path, got, want)
			}
		}
		for _, query := range []string{"?limit=0", "?limit=101", "?offset=-1", "?offset=1000001", "?agent_id=" + good.text("agent_id"), "?from_date=yesterday", "?from_date=2026-04-23",
			"?to_date=2026-04-23T12:00:00", "?to_date=", "?status=ok", "?status=Success", "/agent/" + good.text("agent_id"), "/agent/" + good.text("id") + "?limit=101"} {
			m.want(422, "GET", "/broker/logs"+query, "", ada.bearer())
		}
		m.want(204, "DELETE", "/registry/agents/"+good.text("id"), "", ada.bearer())
		row := m.logs(ada, "?status=success")[0]
		if row.Target != nil || row.Agent != nil || row.Identifier != nil || row.Name != nil || !row.Success {
			t.Errorf("after the deletion of the agent: %+v", row)
		}
	})
}

func TestTheShapeOfAnInvocationIsChecked(t *testing.T) {
	m := newMarket(t, testkit.SQLite(t))
	ada := m.signUp("ada")
	slug := m.agent(ada, "/echo", "").text("agent_id")
	for body, want := range map[string]int{
		"": 422, "[]": 422, "{": 400, `{"agent_id":"` + slug + `"}`: 422, `{"input":{}}`: 422, `{"agent_id":null,"input":{}}`: 422, `{"agent_id":1,"input":{}}`: 422,
		`{"agent_id":"` + slug + `","input":null}`: 422, `{"agent_id":"` + slug + `","input":[]}`: 422, `{"agent_id":"` + slug + `","input":"x"}`: 422,
		`{"agent_id":"` + slug + `","input":{},"conversation_id":"x"}`: 422, `{"agent_id":"` + slug + `","input":{},"conversation_id":""}`: 422,
		`{"agent_id":"` + slug + `","input":{},"message_id":1}`: 422, `{"agent_id":"` + slug + `","input":{},"external_user_id":"` + strings.Repeat("x", 256) + `"}`: 422,
		`{"agent_id":"` + slug + `","input":{"a":"\u0000"}}`: 422, `{"agent_id":"` + slug + `","input":{"a":1,"a":2}}`: 400,
	} {
		for _, way := range ways {
			if got := m.send("POST", "/broker/"+way, body, ada.bearer()); got.status != want || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
				t.Errorf("%s %.80s: got %d %s, want %d", way, body, got.status, got.body, want)
			}
		}
	}
	if rows := m.logs(ada, ""); len(rows) != 0 {
		t.Errorf("rows %+v", rows)
	}
}
