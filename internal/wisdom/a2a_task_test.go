package wisdom

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// taskScene is a network of ada's, with participants of every kind, and tasks for them.
type taskScene struct {
	*market
	ada, bob                 user
	network, sender          string
	weather, poller, failing string
	received                 chan string // bodies that weather was sent
}

func newTaskScene(t *testing.T, database string) *taskScene {
	t.Helper()
	m := newMarket(t, database)
	s := &taskScene{market: m, ada: m.signUp("ada"), bob: m.signUp("bob"), received: make(chan string, 10)}
	outside := newElsewhere(t)
	outside.serve("/weather", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.received <- string(body)
		_, _ = io.WriteString(w, `{"content":"sun"}`)
	}))
	s.network = m.want(201, "POST", "/networks", `{"name":"talk"}`, s.ada.bearer()).text("id")
	join := func(name, callback string) string {
		body := fmt.Sprintf(`{"name":%q,"callback_url":%q}`, name, outside.URL+callback)
		if callback == "" {
			body = fmt.Sprintf(`{"name":%q}`, name)
		}
		return m.want(201, "POST", "/networks/"+s.network+"/participants", body, s.ada.bearer()).text("id")
	}
	s.sender, s.weather, s.poller, s.failing = join("ada", ""), join("weather", "/weather"), join("poller", ""), join("failing", "/nothing")
	return s
}

// send sends a task by JSON-RPC as ada.
func (s *taskScene) task(recipient, task string) reply {
	return s.taskAs(s.ada, s.network, s.sender, recipient, task)
}

func (s *taskScene) taskAs(u user, network, sender, recipient, task string) reply {
	return s.send("POST", "/a2a/tasks/send", fmt.Sprintf(`{"jsonrpc":"2.0","id":"x","method":"tasks/send","params":{"network_id":%q,"sender_participant_id":%q,"recipient_participant_id":%q,"task":%s}}`,
		network, sender, recipient, task), u.bearer())
}

// taskAnswer is an answer of tasks/send, or its refusal.
type taskAnswer struct {
	JSONRPC string
	ID      string
	Result  struct {
		ID     string
		Status struct {
			State     string
			Timestamp *api.Time
		}
		Artifacts []struct {
			Parts []struct{ Type, Text string }
		}
		History []struct {
			Role  string
			Parts []struct{ Type, Text string }
		}
		Metadata map[string]string
	}
	Error *struct {
		Code    int
		Message string
	}
	Code      string
	RequestID string `json:"request_id"`
}

func (s *taskScene) answer(r reply) (a taskAnswer) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(r.body), &a); err != nil || a.JSONRPC != "2.0" || a.ID != "x" {
		s.t.Errorf("%d %s: %v", r.status, r.body, err)
	}
	return a
}

// messages are those of the network, oldest first.
func (s *taskScene) messages() (list []api.NetworkMessage) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/networks/"+s.network+"/messages", "", s.ada.bearer()).body), &list); err != nil {
		s.t.Fatal(err)
	}
	return list
}

func TestTasksReachTheParticipantsOfANetwork(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s := newTaskScene(t, open())
		const text = `"history":[{"role":"user","parts":[{"text":"not this"}]},{"role":"user","parts":[{"type":"text","text":"Rome?"},{"kind":"text","text":"<today>"},{"kind":"data","data":{}},{"text":"please"}]}]`
		const content = "Rome?\n<today>\nplease"

		called := s.answer(s.task(s.weather, `{"id":"t-1","status":{"state":"submitted"},`+text+`,"metadata":{"intuno_channel":"call","n":12345678901234567890}}`))
		if r := called.Result; called.Error != nil || r.Status.State != "completed" || r.Status.Timestamp != nil || len(r.Artifacts) != 1 || len(r.Artifacts[0].Parts) != 1 ||
			r.Artifacts[0].Parts[0].Type != "text" || r.Artifacts[0].Parts[0].Text != "sun" || r.History != nil || r.Metadata != nil {
			t.Errorf("called %+v", called)
		}
		if body := <-s.received; !strings.Contains(body, `"channel":"call"`) || !strings.Contains(body, called.Result.ID) {
			t.Errorf("weather was called with %s", body)
		}
		sent := map[string]taskAnswer{}
		for channel, r := range map[string]reply{"message": s.task(s.weather, `{"id":"t-2",`+text+`,"metadata":{"intuno_channel":"message"}}`), "mailbox": s.task(s.weather, `{`+text+`,"metadata":{"intuno_channel":"mailbox","intuno_x":1,"a2a_task_id":"forged"}}`)} {
			a := s.answer(r)
			if r.status != 200 || a.Error != nil || a.Result.Status.State != "submitted" || a.Result.Status.Timestamp == nil || len(a.Result.History) != 1 || a.Result.History[0].Role != "user" ||
				len(a.Result.History[0].Parts) != 1 || a.Result.History[0].Parts[0].Text != content || a.Result.Artifacts != nil || len(a.Result.Metadata) != 4 ||
				a.Result.Metadata["intuno_network_id"] != s.network || a.Result.Metadata["intuno_channel"] != channel || a.Result.Metadata["sender"] != s.sender || a.Result.Metadata["recipient"] != s.weather {
				t.Errorf("%s: %d %s", channel, r.status, r.body)
			}
			sent[channel] = a
		}
		select {
		case body := <-s.received:
			if !strings.Contains(body, `"channel":"message"`) || !strings.Contains(body, sent["message"].Result.ID) {
				t.Errorf("weather was sent %s", body)
			}
		case <-time.After(10 * time.Second):
			t.Error("the message was not delivered")
		}
		// Without a channel it is a message, and with nothing to say an empty one.
		plain := s.answer(s.task(s.poller, `{}`))
		if plain.Result.Metadata["intuno_channel"] != "message" || plain.Result.Status.State != "submitted" {
			t.Errorf("sent %+v", plain)
		}
		want := map[string]struct{ channel, content, metadata string }{
			called.Result.ID:          {"call", content, `{"a2a_state":"submitted","a2a_task_id":"t-1","n":12345678901234567890}`},
			sent["message"].Result.ID: {"message", content, `{"a2a_state":null,"a2a_task_id":"t-2"}`},
			sent["mailbox"].Result.ID: {"mailbox", content, `{"a2a_state":null,"a2a_task_id":null}`},
			plain.Result.ID:           {"message", "", `{"a2a_state":null,"a2a_task_id":null}`},
		}
		stored := 0
		for _, m := range s.messages() {
			if w, ours := want[m.ID]; ours {
				stored++
				if m.ChannelType != w.channel || m.Content != w.content || string(m.Metadata) != w.metadata || m.SenderParticipantID != s.sender {
					t.Errorf("stored %+v with %s, want %+v", m, m.Metadata, w)
				}
			}
		}
		if stored != len(want) {
			t.Errorf("%d messages are stored, want %d", stored, len(want))
		}
		s.refuseTasks(t)
	})
}

// refuseTasks sends tasks that are refused, by the rules of a send and a call.
func (s *taskScene) refuseTasks(t *testing.T) {
	t.Helper()
	before := len(s.messages())
	const unknown = "00000000-0000-4000-8000-00000000000a"
	const call = `{"history":[{"parts":[{"text":"hi"}]}],"metadata":{"intuno_channel":"call"}}`
	closed := s.want(201, "POST", "/networks", `{"name":"closed"}`, s.ada.bearer()).text("id")
	s.want(200, "PATCH", "/networks/"+closed, `{"status":"closed"}`, s.ada.bearer())
	for _, c := range []struct {
		name   string
		got    reply
		status int
		code   string
		rpc    int
	}{
		{"a foreign network", s.taskAs(s.bob, s.network, s.sender, s.weather, `{}`), 404, "not_found", -32000},
		{"an unknown network", s.taskAs(s.ada, unknown, s.sender, s.weather, `{}`), 404, "not_found", -32000},
		{"a closed network", s.taskAs(s.ada, closed, s.sender, s.weather, `{}`), 400, "network_not_active", -32600},
		{"an unknown sender", s.taskAs(s.ada, s.network, unknown, s.weather, `{}`), 404, "not_found", -32000},
		{"an unknown recipient", s.task(unknown, `{}`), 404, "not_found", -32000},
		{"a call to one who polls", s.task(s.poller, call), 400, "recipient_not_callable", -32600},
		{"an unknown channel", s.task(s.weather, `{"metadata":{"intuno_channel":"smoke"}}`), 400, "bad_request", -32602},
		{"a character that cannot be stored", s.task(s.weather, `{"history":[{"parts":[{"text":"\u0000"}]}]}`), 422, "validation_error", -32600},
		{"too much", s.task(s.weather, `{"history":[{"parts":[{"text":"`+strings.Repeat("é", 65537)+`"}]}]}`), 400, "bad_request", -32602},
		{"too much metadata", s.task(s.weather, `{"metadata":{"x":"`+strings.Repeat("x", 32<<10)+`"}}`), 400, "bad_request", -32602},
	} {
		a := s.answer(c.got)
		if c.got.status != c.status || a.Code != c.code || a.Error == nil || a.Error.Code != c.rpc || a.RequestID == "" || strings.Contains(c.got.body, `"result"`) {
			t.Errorf("%s: %d %.300s, want %d %s with %d", c.name, c.got.status, c.got.body, c.status, c.code, c.rpc)
		}
	}
	if foreign, none := s.taskAs(s.bob, s.network, s.sender, s.weather, call), s.taskAs(s.bob, unknown, s.sender, s.weather, call); withoutID(foreign) != withoutID(none) {
		t.Errorf("foreign %s\nunknown %s", foreign.body, none.body)
	}
	if after := len(s.messages()); after != before {
		t.Errorf("%d messages were stored by refused tasks", after-before)
	}
	// A call that is not answered is a message that failed.
	if got := s.task(s.failing, call); got.status != 502 || got.text("code") != "target_unreachable" || s.answer(got).Error.Code != -32000 {
		t.Errorf("a call that fails: %d %s", got.status, got.body)
	}
	if all := s.messages(); len(all) != before+1 || all[before].Status != "failed" {
		t.Errorf("a call that fails is %+v", all[before:])
	}
	s.halt(t, true)
	for _, u := range []user{s.ada, s.bob} { // before anything else is looked at
		if got := s.taskAs(u, s.network, s.sender, s.weather, `{}`); got.status != 503 || got.text("code") != "platform_halted" || s.answer(got).Error == nil {
			t.Errorf("halted: %d %s", got.status, got.body)
		}
	}
	s.halt(t, false)
	if got := s.task(s.weather, `{}`); got.status != 200 {
		t.Errorf("resumed: %d %s", got.status, got.body)
	}
}
