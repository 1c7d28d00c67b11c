package memory_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/agents/memory"
)

func TestSlug(t *testing.T) {
	for text, want := range map[string]string{
		"city":                               "city",
		"Favourite City":                     "favourite-city",
		"  my   wife's\tname ":               "my-wife-s-name",
		"a.b_c-d":                            "a.b_c-d",
		"...dots":                            "dots",
		"v1.2":                               "v1.2",
		"Rome?!":                             "rome",
		"ñandú":                              "and",
		"città preferita":                    "citt-preferita",
		"a - b":                              "a-b",
		"a--b":                               "a--b",
		"a . b":                              "a-.-b",
		"\u212a":                             "k", // the Kelvin sign is a K
		"!?":                                 "",
		"любимый город":                      "",
		"":                                   "",
		strings.Repeat("x", 200):             strings.Repeat("x", 128),
		strings.Repeat("x", 127) + " y":      strings.Repeat("x", 127),
		strings.Repeat("x", 126) + " y more": strings.Repeat("x", 126) + "-y",
	} {
		if got := memory.Slug(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzSlugIsAKeyOrNothing(f *testing.F) {
	pattern := regexp.MustCompile(memory.KeyPattern)
	for _, seed := range []string{"Favourite City", "--", "a\x00b", "\xff", "İ", "ﬀ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key := memory.Slug(text)
		if key != "" && !pattern.MatchString(key) {
			t.Errorf("%q: %q is not a key", text, key)
		}
		if memory.Slug(key) != key {
			t.Errorf("%q: the key %q has another key %q", text, key, memory.Slug(key))
		}
	})
}
