package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

func TestEveryCodeHasItsStatusAndItsText(t *testing.T) {
	want := map[Code]int{ConversationNotFound: 404, IntegrationMismatch: 403, MessageNotFound: 404, AgentNotFound: 404, AgentNotAllowed: 403, QuotaExceeded: 429,
		DepthExceeded: 508, UnsafeURL: 400, CredentialMissing: 503}
	for code, status := range want {
		if got := failure(code); got.Status != status || got.Success || got.Code != code || !code.refusal() {
			t.Errorf("%s: got %+v, want a refusal with %d", code, got, status)
		}
	}
	for code, status := range map[Code]int{AgentTimeout: 408, AgentUnreachable: 500, AgentResponseTooLarge: 502, AgentA2AError: 502, AgentInvalidJSON: 0, AgentError: 0, Cancelled: 499} {
		if got := statuses[code]; got != status || code.refusal() {
			t.Errorf("%s: got %d, want %d, no refusal", code, got, status)
		}
		want[code] = status
	}
	seen := map[string]Code{}
	for code := range want {
		text := code.Text()
		if text == "" || seen[text] != "" {
			t.Errorf("%s says %q, as does %q", code, text, seen[text])
		}
		seen[text] = code
	}
	if len(texts) != len(want) || Code("").Text() != "" {
		t.Errorf("%d texts, want %d", len(texts), len(want))
	}
}

func TestWhatCameBackIsMapped(t *testing.T) {
	body := func(status int, text string) Reply { return Reply{Status: status, Body: []byte(text)} }
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for _, tt := range []struct {
		name  string
		reply Reply
		err   error
		want  string // success status data code
	}{
		{"an object", body(200, " {\"b\" : 1.10,\n\"a\":[ ]} "), nil, `true 200 {"b":1.10,"a":[]} `},
		{"another status", body(207, `{}`), nil, `true 207 {} `},
		{"a list", body(200, `[1, {"a":2}]`), nil, `true 200 {"result":[1,{"a":2}]} `},
		{"a string", body(200, `"s\u0000"`), nil, `true 200 {"result":"s\u0000"} `},
		{"a number that no float holds", body(200, `123456789012345678901234567890.10`), nil, `true 200 {"result":123456789012345678901234567890.10} `},
		{"true", body(200, `true`), nil, `true 200 {"result":true} `},
		{"null", body(200, `null`), nil, `true 200 {"result":null} `},
		{"nothing", body(200, ""), nil, `true 200 {} `},
		{"no content", body(204, ""), nil, `true 204 {} `},
		{"as deep as allowed", body(200, deep(64)), nil, `true 200 ` + deep(64) + ` `},
		{"deeper", body(200, deep(65)), nil, `false 200  agent_invalid_json`},
		{"text", body(200, "hello"), nil, `false 200  agent_invalid_json`},
		{"white space", body(200, " \n"), nil, `false 200  agent_invalid_json`},
		{"two values", body(200, `{}{}`), nil, `false 200  agent_invalid_json`},
		{"half a value", body(200, `{"a":`), nil, `false 200  agent_invalid_json`},
		{"not UTF-8", body(200, "\"\xff\""), nil, `false 200  agent_invalid_json`},
		{"a lone surrogate", body(200, `"\ud800"`), nil, `false 200  agent_invalid_json`},
		{"a name twice", body(200, `{"a":1,"\u0061":2}`), nil, `false 200  agent_invalid_json`},
		{"a redirect", body(301, `{}`), nil, `false 301  agent_error`},
		{"not modified", body(304, ``), nil, `false 304  agent_error`},
		{"refused", body(403, `{"error":"secret"}`), nil, `false 403  agent_error`},
		{"broken", body(599, ``), nil, `false 599  agent_error`},
		{"the deadline", Reply{}, fmt.Errorf("ask: %w", ErrDeadline), `false 408  agent_timeout`},
		{"the deadline of the context", Reply{}, context.DeadlineExceeded, `false 408  agent_timeout`},
		{"unreachable", Reply{Status: 200}, errors.Join(ErrUnreachable, errors.New("x")), `false 500  agent_unreachable`},
		{"too large", Reply{}, ErrTooLarge, `false 502  agent_response_too_large`},
		{"A2A", Reply{}, ErrA2A, `false 502  agent_a2a_error`},
		{"the dial refused", Reply{}, fmt.Errorf("x: %w", fault.New(fault.BadRequest, "unsafe_url", "x")), `false 400  unsafe_url`},
		{"the caller left", Reply{}, context.Canceled, `false 499  cancelled`},
		{"nobody took a chunk", Reply{}, fmt.Errorf("%w: pipe", errLeft), `false 499  cancelled`},
		{"anything else", Reply{}, errors.New("x"), `false 500  agent_unreachable`},
	} {
		r := resultOf(tt.reply, tt.err)
		if got := fmt.Sprintf("%v %d %s %s", r.Success, r.Status, r.Data, r.Code); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestTheContentOfAMessageIsWhatAnObjectSays(t *testing.T) {
	for object, want := range map[string]string{
		`{"input":"i","prompt":"p","content":"c","text":"t","query":"q","message":" m "}`: "m",
		`{"input":"i","prompt":"p","content":"c","text":"t","query":"q"}`:                 "q",
		`{"input":"i","prompt":"p","content":"c","text":"t"}`:                             "t",
		`{"input":"i","prompt":"p","content":"c"}`:                                        "c",
		`{"input":"i","prompt":"p"}`:                                                      "p",
		`{"input":"i"}`:                                                                   "i",
		`{"message":" \t\n ","query":1,"text":null,"content":["x"],"prompt":{"message":"x"},"input":"\u00a0ü\n"}`: "ü",
		`{"message":""}`:                   `{"message":""}`,
		`{"Message":"x"}`:                  `{"Message":"x"}`,
		`{}`:                               `{}`,
		`{"n":1.10,"message":1}`:           `{"n":1.10,"message":1}`,
		`{"\u006dessage":"escaped\u0021"}`: "escaped!",
	} {
		if got := Text([]byte(object)); got != want {
			t.Errorf("%s: got %q, want %q", object, got, want)
		}
	}
	for text, want := range map[string]string{
		"a\x00b":                            "a\uFFFDb",
		strings.Repeat("ü", 65536):          strings.Repeat("ü", 65536),
		strings.Repeat("ü", 65537) + "\x00": strings.Repeat("ü", 65536),
		"":                                  "",
	} {
		if got := storable(text); got != want {
			t.Errorf("%.20q: got %d characters", text, len([]rune(got)))
		}
	}
}
