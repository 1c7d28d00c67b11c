package a2a

import (
	"encoding/json"
	"strings"
	"testing"

	spec03 "github.com/a2aproject/a2a-go/a2a"
	spec "github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

func TestAMessageIsItsTextsOrItsOneDataPart(t *testing.T) {
	const exact = `{"n":12345678901234567890,"f":1.10}`
	for _, tc := range []struct{ method, parts, want string }{
		{"message/send", `[{"kind": "text", "text": "a"}]`, `{"message":"a"}`},
		{"message/send", `[{"kind": "text", "text": "a"}, {"kind": "text", "text": "b"}]`, `{"message":"a\nb"}`},
		{"message/send", `[{"kind": "text", "text": "a"}, {"kind": "data", "data": ` + exact + `}]`, exact},
		{"SendMessage", `[{"text": "a"}, {"text": ""}, {"text": "<b>"}]`, `{"message":"a\n\n<b>"}`},
		{"SendMessage", `[{"data": ` + exact + `, "mediaType": "application/json"}]`, exact},
	} {
		got, err := inputOf(methods[tc.method], []byte(`{"message": {"messageId": "m", "role": "user", "parts": `+tc.parts+`}}`))
		if err != nil || string(got) != tc.want {
			t.Errorf("%s %s: got %s, %v, want %s", tc.method, tc.parts, got, err, tc.want)
		}
	}
}

func TestOddParametersAreInvalidParams(t *testing.T) {
	message := func(parts string) string {
		return `{"message": {"messageId": "m", "role": "user", "parts": ` + parts + `}}`
	}
	for _, tc := range []struct{ method, params string }{
		{"message/send", ``}, {"message/send", `null`}, {"message/send", `[]`}, {"message/send", `"x"`}, {"message/send", `{}`}, {"message/send", `{"message": null}`},
		{"message/send", `{"message": "hi"}`}, {"message/send", `{"message": {"parts": null}}`}, {"message/send", message(`[]`)}, {"message/send", message(`{}`)}, {"message/send", message(`[null]`)},
		{"message/send", message(`[{"text": "a"}]`)}, {"message/send", message(`[{"kind": "text", "text": 5}]`)}, {"message/send", message(`[{"kind": "text"}]`)},
		{"message/send", message(`[{"kind": "file", "file": {"uri": "https://x"}}]`)}, {"message/send", message(`[{"kind": "data", "data": [1]}]`)}, {"message/send", message(`[{"kind": "data"}]`)},
		{"message/send", message(`[{"kind": "data", "data": {}}, {"kind": "data", "data": {}}]`)}, {"message/send", message(`[{"kind": "data", "DATA": {}}]`)},
		{"SendMessage", `{}`}, {"SendMessage", message(`[null]`)}, {"SendMessage", message(`[{}]`)}, {"SendMessage", message(`[{"text": "a", "data": {}}]`)}, {"SendMessage", message(`[{"url": "https://x"}]`)},
		{"SendMessage", message(`[{"raw": "AA=="}]`)}, {"SendMessage", message(`[{"data": "text"}]`)}, {"SendMessage", message(`[{"text": " "}]`)},
	} {
		_, err := inputOf(methods[tc.method], []byte(tc.params))
		f := fault.As(err)
		if f == nil || f.Kind != fault.BadRequest || f.Code != "bad_request" {
			t.Errorf("%s %s: %v", tc.method, tc.params, err)
			continue
		}
		if e, _ := f.Extra["error"].(map[string]any); e["code"] != CodeInvalidParams || strings.Contains(f.Detail, "json") {
			t.Errorf("%s %s: %+v", tc.method, tc.params, f)
		}
	}
}

// The answer is read back with the types of the official modules.
func TestAnAnswerIsAMessageOfTheCallersGeneration(t *testing.T) {
	o := Outcome{Text: "sunny", Data: []byte(`{"content":"sunny","n":12345678901234567890}`)}
	for method, g := range methods {
		result, err := g.write(o)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(result)
		if err != nil || !strings.Contains(string(text), "12345678901234567890") {
			t.Fatalf("%s: %s, %v", method, text, err)
		}
		if method == "message/send" {
			event, err := spec03.UnmarshalEventJSON(text)
			m, ok := event.(*spec03.Message)
			if err != nil || !ok || m.Role != spec03.MessageRoleAgent || len(m.Parts) != 2 || m.Parts[0].(spec03.TextPart).Text != "sunny" || m.ID == "" {
				t.Errorf("%s: %s, %v", method, text, err)
			}
			continue
		}
		var event spec.StreamResponse
		err = json.Unmarshal(text, &event)
		m, ok := event.Event.(*spec.Message)
		if err != nil || !ok || m.Role != spec.MessageRoleAgent || len(m.Parts) != 2 || m.Parts[0].Text() != "sunny" || m.Parts[1].Data() == nil || m.ID == "" {
			t.Errorf("%s: %s, %v", method, text, err)
		}
	}
}

func principalOf(user string) principal.Principal {
	return principal.Principal{User: id.User(user), Via: principal.JWT}
}
