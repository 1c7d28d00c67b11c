package agentsclient

import (
	"net/url"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

// Whatever a name, key, message id or query value is: either nothing is sent, or the
// target is the one route with the value in its one place.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"aria", "", "..", "a/b", "?", "x#", "%2e%2e", "x%23", "..%2f..%2fadmin", "a\x00", "a\r\nX-User-Id: b", "\xc0\xae", message} {
		f.Add(s, s, s, s)
	}
	f.Add("aria", "home.town", message, "a&after=b c")
	f.Fuzz(func(t *testing.T, name, key, msg, value string) {
		for op := personal.CreateEntity; op <= personal.ExportEntity; op++ {
			c := personal.Call{Op: op, Name: name, Key: key, Message: id.Message(msg), Before: id.Message(value), Prefix: value, After: value, Limit: 5}
			got, err := target(&routes[op], &c)
			if err != nil {
				if !personal.NothingDone(err) {
					t.Fatalf("%v: an unknown outcome", err)
				}
				continue
			}
			want := strings.NewReplacer("{name}", name, "{key}", key, "{message}", strings.ToLower(msg)).Replace(routes[op].path)
			u, err := url.ParseRequestURI(got)
			if err != nil || u.EscapedPath() != want || u.Path != want || u.Fragment != "" || strings.ContainsAny(got, " \r\n\x00#") {
				t.Fatalf("%s: got %q, want the path %q", op, got, want)
			}
			for parameter, values := range u.Query() {
				if wanted := map[string]string{"limit": "5", "before": value, "prefix": value, "after": value}[parameter]; len(values) != 1 || values[0] != wanted {
					t.Fatalf("%s: got %s=%q, want %q", op, parameter, values, wanted)
				}
			}
		}
	})
}

// A host's error body of any form becomes a 4xx fault that repeats nothing but a
// string or list.
func FuzzRefusal(f *testing.F) {
	for _, s := range []string{`{"detail":"x","code":"conflict"}`, `{"detail":[{}]}`, `{"detail":{}}`, `{"detail":"x"`, `{"detail":"a","detail":"b"}`, `[]`, "{\"detail\":\"\xff\"}"} {
		f.Add(400, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r := refusal(status, nil, body)
		if len(r.RawDetail) > 0 && r.RawDetail[0] != '"' && r.RawDetail[0] != '[' {
			t.Fatalf("got detail %s, want a string or list", r.RawDetail)
		}
		if !codes[r.Code] {
			t.Fatalf("got code %q, want one of the contract", r.Code)
		}
	})
}
