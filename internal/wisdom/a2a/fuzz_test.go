package a2a

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// FuzzCard: whatever a server answers, it is no card, or a fault with one of the two
// codes, or an agent inside every bound of the registry.
func FuzzCard(f *testing.F) {
	for _, seed := range []string{
		`{"name": "a", "url": "https://a.example.org/", "skills": [{"id": "x", "name": "X y", "description": "z"}], "capabilities": {"streaming": true}}`,
		`{"supportedInterfaces": [{"url": "https://a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}], "skills": [], "securitySchemes": {"a": {"httpAuthSecurityScheme": {"scheme": "bearer"}}}}`,
		`{"name": "\ud83d\ude00", "authentication": {"schemes": ["apiKey"]}, "preferredTransport": "GRPC", "additionalInterfaces": [{"url": "u", "transport": "JSONRPC"}]}`,
		`{"name": 1}`, `{"skills": {}}`, `[]`, `{"name": "a", "name": "b"}`, "{\"name\": \"\xff\"}", `{"name": "\u0000"}`, `{"skills": [{"name": " "}, {"name": "\t\n"}, {"name": "İ"}]}`, `{"name": "0", "url": "/"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, ok, err := readCard(text)
		if err != nil {
			if refused := fault.As(err); refused == nil || refused.Code != "card_invalid" || len(refused.Detail) > 1000 {
				t.Fatalf("%v", err)
			}
			return
		}
		if !ok {
			return
		}
		checkBounds(t, c.imported(given))
	})
}

func checkBounds(t *testing.T, i registry.Imported) {
	t.Helper()
	within := func(name, s string, least, most int) {
		if n := utf8.RuneCountInString(s); n < least || n > most || !utf8.ValidString(s) || bytes.ContainsRune([]byte(s), 0) {
			t.Fatalf("%s is %q: %d characters, want %d to %d", name, s, n, least, most)
		}
	}
	within("name", i.Name, 1, 255)
	within("description", i.Description, 1, 8192)
	within("version", i.Version, 1, 64)
	for n, tag := range i.Tags {
		within("tag", tag, 1, 64)
		if slices.Contains(i.Tags[:n], tag) || slices.ContainsFunc([]rune(tag), unicode.IsControl) {
			t.Fatalf("tags %q", i.Tags)
		}
	}
	if len(i.Tags) > 32 || len(i.InputSchema) > 64<<10 || !json.Valid(i.InputSchema) {
		t.Fatalf("%d tags, schema %s", len(i.Tags), i.InputSchema)
	}
	if i.Dialect != Dialect03 && i.Dialect != Dialect10 || !slices.Contains([]string{"public", "api_key", "bearer_token"}, i.AuthType) {
		t.Fatalf("%+v", i)
	}
}

// FuzzParams: no parameters of a message panic or become anything but an object.
func FuzzParams(f *testing.F) {
	for _, seed := range []string{
		`{"message": {"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "a"}, {"kind": "data", "data": {"a": 1}}]}}`,
		`{"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "a"}, {"data": [1]}, {"url": "u"}, {"raw": "AA=="}, null]}}`, `{}`, `[]`, `null`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, params []byte) {
		for name, g := range methods {
			input, err := inputOf(g, params)
			if err != nil {
				if refused := fault.As(err); refused == nil || refused.Extra["error"] == nil {
					t.Fatalf("%s: %v", name, err)
				}
				continue
			}
			var object map[string]any
			if json.Unmarshal(input, &object) != nil || object == nil {
				t.Fatalf("%s: input %s", name, input)
			}
		}
	})
}

// FuzzTask: no parameters of a task panic, or say something outside the bounds of a
// message.
func FuzzTask(f *testing.F) {
	for _, seed := range []string{
		taskParams(`{"id": "t", "status": {"state": "working"}, "history": [{"parts": [{"kind": "text", "text": "a"}, {"data": 1}]}], "metadata": {"intuno_channel": "call", "x": 1e400}}`),
		taskParams(`{"history": [{"parts": [{"type": "text", "text": "\u0000"}, null]}]}`), taskParams(`{}`), `{}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, params []byte) {
		s, err := sayingOf(params)
		if err != nil {
			if refused := fault.As(err); refused == nil || refused.Extra["error"] == nil {
				t.Fatal(err)
			}
			return
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(s.Metadata, &object) != nil || len(s.Metadata) > 32<<10 || utf8.RuneCountInString(s.Content) > 65536 || strings.Contains(s.Content, "\x00") {
			t.Fatalf("%+v", s)
		}
		if !slices.Contains([]string{"call", "message", "mailbox"}, s.Channel) || s.Network == "" || s.Sender == "" || s.Recipient == "" {
			t.Fatalf("%+v", s)
		}
	})
}
