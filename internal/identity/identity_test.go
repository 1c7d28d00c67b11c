package identity_test

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/identity"
)

// request reads header lines as the server does.
func request(t *testing.T, lines ...string) identity.Credentials {
	t.Helper()
	text := "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return identity.Read(r.Header)
}

func TestReadKeepsLinesApart(t *testing.T) {
	c := request(t, "authorization: a", "x-api-key: b", "X-API-Key: c", "X-SERVICE-KEY:", "X-On-Behalf-Of: d",
		"x-user-id: e", "X-Invocation-Depth: 1")
	for name, got := range map[string]struct{ got, want []string }{
		"Authorization":      {c.Authorization, []string{"a"}},
		"X-API-Key":          {c.APIKey, []string{"b", "c"}},
		"X-Service-Key":      {c.ServiceKey, []string{""}}, // empty is not absent
		"X-On-Behalf-Of":     {c.OnBehalfOf, []string{"d"}},
		"X-User-Id":          {c.UserID, []string{"e"}},
		"X-Invocation-Depth": {c.Depth, []string{"1"}},
	} {
		if !slices.Equal(got.got, got.want) {
			t.Errorf("%s: got %q, want %q", name, got.got, got.want)
		}
	}
}

func TestOtherSpellingsAreOtherHeaders(t *testing.T) {
	c := request(t, "X_Service_Key: a", "X.Service.Key: a", "XServiceKey: a", "X-Service_Key: a", "X_User_Id: a",
		"X_API_Key: a", "X_On_Behalf_Of: a", "Proxy-Authorization: a", "X-Authorization: a", "X_Invocation_Depth: 1")
	for name, got := range map[string][]string{
		"Authorization": c.Authorization, "X-API-Key": c.APIKey, "X-Service-Key": c.ServiceKey,
		"X-On-Behalf-Of": c.OnBehalfOf, "X-User-Id": c.UserID, "X-Invocation-Depth": c.Depth,
	} {
		if got != nil {
			t.Errorf("%s: got %q, want it absent", name, got)
		}
	}
}

func TestRepeated(t *testing.T) {
	for _, name := range []string{"Authorization", "X-API-Key", "X-Service-Key", "X-On-Behalf-Of"} {
		if request(t, name+": a").Repeated() {
			t.Errorf("%s once counts as repeated", name)
		}
		if !request(t, name+": a", strings.ToLower(name)+":").Repeated() {
			t.Errorf("%s twice does not count as repeated", name)
		}
	}
	if request(t, "X-User-Id: a", "X-User-Id: a", "X-Invocation-Depth: 1", "X-Invocation-Depth: 1").Repeated() {
		t.Error("X-User-Id and X-Invocation-Depth are no credentials of the public side")
	}
}

func TestBearer(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{"Authorization: Bearer abc"}, "abc"},
		{[]string{"Authorization: bEaReR   abc"}, "abc"},
		{[]string{"Authorization: Bearer a b"}, "a b"},
		{nil, ""},
		{[]string{"Authorization:"}, ""},
		{[]string{"Authorization: Bearer"}, ""},
		{[]string{"Authorization: Bearer "}, ""},
		{[]string{"Authorization: abc"}, ""},
		{[]string{"Authorization: Basic abc"}, ""},
		{[]string{"Authorization: Bearerabc"}, ""},
		{[]string{"Authorization: Bearer\tabc"}, ""},
		{[]string{"Authorization: Bearer abc", "Authorization: Bearer abc"}, ""},
	} {
		got, ok := request(t, c.lines...).Bearer()
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%q: got %q, %v, want %q", c.lines, got, ok, c.want)
		}
	}
}

func TestCallDepth(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  int
	}{
		{[]string{"X-Invocation-Depth: 3"}, 3},
		{[]string{"X-Invocation-Depth: 007"}, 7},
		{[]string{"X-Invocation-Depth: 999999999"}, 999999999},
		{nil, 0},
		{[]string{"X-Invocation-Depth:"}, 0},
		{[]string{"X-Invocation-Depth: -1"}, 0},
		{[]string{"X-Invocation-Depth: +1"}, 0},
		{[]string{"X-Invocation-Depth: 1.0"}, 0},
		{[]string{"X-Invocation-Depth: 1 2"}, 0},
		{[]string{"X-Invocation-Depth: 0x1"}, 0},
		{[]string{"X-Invocation-Depth: 1000000000"}, 0},
		{[]string{"X-Invocation-Depth: ٣"}, 0},
		{[]string{"X-Invocation-Depth: 3", "X-Invocation-Depth: 3"}, 0},
	} {
		if got := request(t, c.lines...).CallDepth(); got != c.want {
			t.Errorf("%q: got %d, want %d", c.lines, got, c.want)
		}
	}
}

func TestCredentialsCannotBePrinted(t *testing.T) {
	c := request(t, "Authorization: hush", "X-API-Key: hush", "X-Service-Key: hush")
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(format, c); got != "[credentials]" {
			t.Errorf("%s: got %q", format, got)
		}
	}
}
