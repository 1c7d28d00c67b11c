package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

const (
	someNetwork = "00000000-0000-4000-8000-00000000000a"
	someSender  = "00000000-0000-4000-8000-00000000000b"
	someReader  = "00000000-0000-4000-8000-00000000000c"
)

// taskParams are good but for the task.
func taskParams(task string) string {
	return `{"network_id": "` + strings.ToUpper(someNetwork) + `", "sender_participant_id": "` + someSender + `", "recipient_participant_id": "` + someReader + `", "task": ` + task + `}`
}

// talk stands in for networks.
type talk struct {
	by    id.User
	said  Saying
	times int
	answer
}

type answer struct {
	Said
	err error
}

func (n *talk) Say(_ context.Context, p principal.Principal, s Saying) (Said, error) {
	n.by, n.said = p.User, s
	n.times++
	return n.Said, n.err
}

func TestATaskNamesItsNetworkAndItsEnds(t *testing.T) {
	n := &talk{}
	s := New(Config{Networks: n})
	if _, err := s.SendTask(t.Context(), principalOf("ada"), []byte(taskParams(`{}`))); err != nil || n.by != "ada" || n.said.Network != someNetwork || n.said.Sender != someSender || n.said.Recipient != someReader {
		t.Fatalf("%v: %s said %+v", err, n.by, n.said)
	}
	n.times = 0
	for _, name := range []string{"network_id", "sender_participant_id", "recipient_participant_id", "task"} {
		for _, value := range []string{"", "null", "5", `"x"`, `"{00000000-0000-4000-8000-00000000000a}"`, `"urn:uuid:00000000-0000-4000-8000-00000000000a"`, "[]"} {
			var object map[string]json.RawMessage
			if err := json.Unmarshal([]byte(taskParams(`{}`)), &object); err != nil {
				t.Fatal(err)
			}
			delete(object, name)
			if value != "" {
				object[name] = json.RawMessage(value)
			}
			params, _ := json.Marshal(object)
			_, err := s.SendTask(t.Context(), principalOf("ada"), params)
			if f := invalidParams(t, name+" "+value, err); f != nil && !strings.Contains(f.Detail, name) {
				t.Errorf("%s %s: %v", name, value, err)
			}
		}
	}
	for _, params := range []string{"", "null", "[]", `"x"`} {
		_, err := s.SendTask(t.Context(), principalOf("ada"), []byte(params))
		invalidParams(t, "params "+params, err)
	}
	if n.times != 0 {
		t.Errorf("%d of them were said", n.times)
	}
}

// invalidParams checks that err is a 400 with the JSON-RPC code for it.
func invalidParams(t *testing.T, name string, err error) *fault.Error {
	t.Helper()
	f := fault.As(err)
	if f == nil || f.Kind != fault.BadRequest || f.Code != "bad_request" {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	if e, _ := f.Extra["error"].(map[string]any); e["code"] != CodeInvalidParams || e["message"] != f.Detail {
		t.Errorf("%s: %+v", name, f.Extra)
	}
	return f
}

func TestATaskSaysTheTextOfItsLastEntry(t *testing.T) {
	long := strings.Repeat("é", 65536)
	for _, tc := range []struct{ history, want string }{
		{`null`, ""}, {`[]`, ""}, {`[{}]`, ""}, {`[{"parts": null}]`, ""}, {`[{"role": "user", "parts": []}]`, ""},
		{`[{"parts": [{"type": "text", "text": "a"}]}]`, "a"},
		{`[{"parts": [{"kind": "text", "text": "a"}, {"type": "text", "text": "b"}, {"text": "<c>"}]}]`, "a\nb\n<c>"},
		{`[{"parts": [{"kind": "data", "data": {"a": 1}}, {"kind": "file", "text": "no"}, {"data": 1}, {"url": "u"}, {"text": ""}, {"text": "x"}]}]`, "\nx"},
		{`[5, {"parts": 7}, {"parts": [{"text": "first"}]}, {"parts": [{"text": "last"}]}]`, "last"},
		{`[{"parts": [{"Text": "no", "text": "yes"}]}]`, "yes"},
		{`[{"parts": [{"text": "` + long + `"}]}]`, long},
	} {
		s, err := sayingOf([]byte(taskParams(`{"history": ` + tc.history + `}`)))
		if err != nil || s.Content != tc.want || s.Channel != "message" {
			t.Errorf("%.200s: %.200q by %s, %v, want %.200q", tc.history, s.Content, s.Channel, err, tc.want)
		}
	}
}

func TestAnOddTaskIsInvalidParams(t *testing.T) {
	for _, task := range []string{
		`{"history": {}}`, `{"history": "x"}`, `{"history": [5]}`, `{"history": [null]}`, `{"history": [{}, []]}`, `{"history": [{"parts": {}}]}`, `{"history": [{"parts": [null]}]}`,
		`{"history": [{"parts": [5]}]}`, `{"history": [{"parts": [{"kind": "text"}]}]}`, `{"history": [{"parts": [{"text": 5}]}]}`, `{"history": [{"parts": [{"type": "text", "text": null}]}]}`,
		`{"history": [{"parts": [{"text": "a\u0000"}]}]}`, `{"history": [{"parts": [{"text": "` + strings.Repeat("é", 65537) + `"}]}]}`,
		`{"history": [{"parts": [{"text": "` + strings.Repeat("x", 40000) + `"}, {"text": "` + strings.Repeat("x", 25536) + `"}]}]}`,
		`{"id": 5}`, `{"status": "done"}`, `{"status": {"state": 5}}`, `{"metadata": []}`, `{"metadata": "x"}`,
		`{"metadata": {"intuno_channel": "smoke"}}`, `{"metadata": {"intuno_channel": ""}}`, `{"metadata": {"intuno_channel": 5}}`, `{"metadata": {"intuno_channel": ["call"]}}`,
		`{"metadata": {"x": "` + strings.Repeat("x", 32<<10) + `"}}`, `{"id": "` + strings.Repeat("x", 32<<10) + `"}`,
	} {
		s, err := sayingOf([]byte(taskParams(task)))
		if invalidParams(t, fmt.Sprintf("%.80s", task), err); s.Network != "" {
			t.Errorf("%.80s: %+v beside the fault", task, s)
		}
	}
}

func TestATaskBringsItsMetadata(t *testing.T) {
	for _, tc := range []struct{ task, channel, want string }{
		{`{}`, "message", `{"a2a_state":null,"a2a_task_id":null}`},
		{`{"id": null, "status": null, "metadata": null}`, "message", `{"a2a_state":null,"a2a_task_id":null}`},
		{`{"id": "t-1", "status": {"state": "submitted"}, "metadata": {"intuno_channel": null}}`, "message", `{"a2a_state":"submitted","a2a_task_id":"t-1"}`},
		{`{"metadata": {"intuno_channel": "call", "intuno_x": 1, "a2a_task_id": "forged", "a2a_x": 1}}`, "call", `{"a2a_state":null,"a2a_task_id":null}`},
		{`{"metadata": {"intuno_channel": "mailbox", "z": 12345678901234567890, "a": {"f": 1.10, "e": 1e400, "intuno_x": "<&>"}}}`, "mailbox",
			`{"a":{"f":1.10,"e":1e400,"intuno_x":"<&>"},"a2a_state":null,"a2a_task_id":null,"z":12345678901234567890}`},
	} {
		s, err := sayingOf([]byte(taskParams(tc.task)))
		if err != nil || s.Channel != tc.channel || string(s.Metadata) != tc.want {
			t.Errorf("%s: by %s with %s, %v, want %s with %s", tc.task, s.Channel, s.Metadata, err, tc.channel, tc.want)
		}
	}
	most := strings.Repeat("x", 32<<10-len(`{"a2a_state":null,"a2a_task_id":null,"z":""}`))
	if s, err := sayingOf([]byte(taskParams(`{"metadata": {"z": "` + most + `"}}`))); err != nil || len(s.Metadata) != 32<<10 {
		t.Errorf("the most: %d bytes, %v", len(s.Metadata), err)
	}
}

func TestWhatBecameOfATask(t *testing.T) {
	at := time.Date(2026, 4, 23, 14, 0, 0, 123456789, time.FixedZone("", 7200))
	const accepted = `{"id":"m","status":{"state":"%s","timestamp":"2026-04-23T12:00:00.123456Z"},"history":[{"role":"user","parts":[{"type":"text","text":"<hi>"}]}],` +
		`"metadata":{"intuno_network_id":"` + someNetwork + `","intuno_channel":"%s","sender":"` + someSender + `","recipient":"` + someReader + `"}}`
	const answered = `{"id":"m","status":{"state":"completed"},"artifacts":[{"parts":[{"type":"text","text":%s}]}]}`
	for _, tc := range []struct{ channel, status, response, want string }{
		{"message", "pending", "", fmt.Sprintf(accepted, "submitted", "message")},
		{"message", "delivered", "", fmt.Sprintf(accepted, "working", "message")},
		{"message", "failed", "", fmt.Sprintf(accepted, "failed", "message")},
		{"mailbox", "read", "", fmt.Sprintf(accepted, "completed", "mailbox")},
		{"call", "delivered", `"sun"`, fmt.Sprintf(answered, `"sun"`)},
		{"call", "delivered", `{"raw_response":"a\nb"}`, fmt.Sprintf(answered, `"a\nb"`)},
		{"call", "delivered", `{"content":"sun"}`, fmt.Sprintf(answered, `"sun"`)},
		{"call", "delivered", `{"content":"sun","n":12345678901234567890}`, fmt.Sprintf(answered, `"{\"content\":\"sun\",\"n\":12345678901234567890}"`)},
		{"call", "delivered", `{"n":1e400}`, fmt.Sprintf(answered, `"{\"n\":1e400}"`)},
		{"call", "delivered", `"1e400"`, fmt.Sprintf(answered, `"1e400"`)},
		{"call", "delivered", `1e400`, fmt.Sprintf(answered, `"1e400"`)},
		{"call", "delivered", `{"n":1.10}`, fmt.Sprintf(answered, `"{\"n\":1.10}"`)},
		{"call", "delivered", `[1,2]`, fmt.Sprintf(answered, `"[1,2]"`)},
		{"call", "delivered", `null`, fmt.Sprintf(answered, `""`)},
	} {
		n := &talk{answer: answer{Said: Said{Message: "m", Status: tc.status, At: at, Response: []byte(tc.response)}}}
		task := `{"history": [{"parts": [{"text": "<hi>"}]}], "metadata": {"intuno_channel": "` + tc.channel + `"}}`
		got, err := New(Config{Networks: n}).SendTask(t.Context(), principalOf("ada"), []byte(taskParams(task)))
		if err != nil || got.Err != nil || string(got.Result) != tc.want {
			t.Errorf("%s %s %s: %v\ngot  %s\nwant %s", tc.channel, tc.status, tc.response, err, got.Result, tc.want)
		}
	}
}

func TestAFaultOfTheNetworkIsTheFaultOfTheTask(t *testing.T) {
	broken := errors.New("store")
	for _, err := range []error{broken, fault.New(fault.Unavailable, "platform_halted", "halted"), fault.Missing("Network")} {
		_, got := New(Config{Networks: &talk{answer: answer{err: err}}}).SendTask(t.Context(), principalOf("ada"), []byte(taskParams(`{}`)))
		if !errors.Is(got, err) {
			t.Errorf("got %v, want %v", got, err)
		}
	}
}
