package id_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/id"
)

const canonical = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

func TestNewIsVersion4AndUnique(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[id.User]bool{}
	for range 1000 {
		u := id.New[id.User]()
		if !shape.MatchString(string(u)) || seen[u] {
			t.Fatalf("got %q, want a new UUIDv4", u)
		}
		if parsed, ok := id.Parse[id.User](string(u)); !ok || parsed != u {
			t.Fatalf("%q does not parse to itself: %q", u, parsed)
		}
		seen[u] = true
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     bool
	}{
		{"canonical", canonical, true},
		{"upper case", strings.ToUpper(canonical), true},
		{"mixed case", "7C9e6679-7425-40De-944b-e07fc1f90aE7", true},
		{"any version", "00000000-0000-0000-0000-000000000000", true},
		{"empty", "", false},
		{"no hyphens", strings.ReplaceAll(canonical, "-", ""), false},
		{"urn", "urn:uuid:" + canonical, false},
		{"braces", "{" + canonical + "}", false},
		{"something around", "x" + canonical + "y", false},
		{"a space before", " " + canonical, false},
		{"a space behind", canonical + " ", false},
		{"a line break behind", canonical + "\n", false},
		{"one digit short", canonical[:35], false},
		{"one digit long", canonical + "0", false},
		{"not hex", "g" + canonical[1:], false},
		{"a hyphen elsewhere", "7c9e667-97425-40de-944b-e07fc1f90ae7", false},
		{"a full-width digit", "７" + canonical[3:], false},
		{"NUL", canonical[:35] + "\x00", false},
	} {
		got, ok := id.Parse[id.User](c.in)
		if ok != c.want {
			t.Errorf("%s: got %v, want %v", c.name, ok, c.want)
		}
		if want := id.User(strings.ToLower(c.in)); ok && got != want {
			t.Errorf("%s: got %q, want %q", c.name, got, want)
		}
		if !ok && got != "" {
			t.Errorf("%s: got %q beside false", c.name, got)
		}
	}
}

// FuzzUUID compares with a regular expression, and insists on one spelling.
func FuzzUUID(f *testing.F) {
	for _, s := range []string{canonical, strings.ToUpper(canonical), "{" + canonical + "}", "urn:uuid:" + canonical,
		"x" + canonical + "y", canonical[:35], canonical + "0", strings.ReplaceAll(canonical, "-", ""), "", canonical[:8] + "_" + canonical[9:]} {
		f.Add(s)
	}
	shape := regexp.MustCompile(`\A[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := id.Parse[id.User](s)
		if want := shape.MatchString(s); ok != want {
			t.Fatalf("%q: got %v, want %v", s, ok, want)
		}
		if !ok {
			return
		}
		if string(got) != strings.ToLower(s) {
			t.Errorf("%q: got %q, want it in lower case", s, got)
		}
		if again, ok := id.Parse[id.User](strings.ToUpper(string(got))); !ok || again != got {
			t.Errorf("%q has two spellings: %q and %q", s, got, again)
		}
	})
}
