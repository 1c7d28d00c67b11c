package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/secret"
)

const hush = "hush-hush-hush"

func TestSecretsCannotBePrinted(t *testing.T) {
	s := secret.New(hush)
	config := struct{ Key secret.String }{s}
	out := map[string]string{"error": fmt.Errorf("with %v: %w", s, errors.New("x")).Error(), "string": s.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		args := []any{s}
		if strings.HasPrefix(verb, "%T") {
			args = []any{s, s}
		}
		out[verb] = fmt.Sprintf(verb, args...)
		out["in a struct "+verb] = fmt.Sprintf(verb, append([]any{config}, args[1:]...)...)
		out["pointer "+verb] = fmt.Sprintf(verb, append([]any{&s}, args[1:]...)...)
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	out["JSON"] = string(text)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", s)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", s, "config", config)
	out["slog"] = log.String()
	for how, text := range out {
		if strings.Contains(text, "hush") || strings.Contains(text, fmt.Sprintf("%x", hush)) {
			t.Errorf("%s: got %q", how, text)
		}
		if !strings.Contains(text, "[secret]") {
			t.Errorf("%s: got %q, want the mask", how, text)
		}
	}
	if s.Reveal() != hush || s.Len() != len(hush) {
		t.Errorf("got %q of %d bytes", s.Reveal(), s.Len())
	}
}

func TestSecretIsReadFromText(t *testing.T) {
	var s secret.String
	if err := s.UnmarshalText([]byte(hush)); err != nil || s.Reveal() != hush {
		t.Errorf("got %q, %v", s.Reveal(), err)
	}
}

func TestBlank(t *testing.T) {
	for text, want := range map[string]bool{"": true, " \t\n": true, "x": false, " x ": false} {
		if got := secret.New(text).Blank(); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestSet(t *testing.T) {
	set := secret.NewSet(secret.New(""), secret.New("one"), secret.New(" "), secret.New("two"), secret.New("one"))
	for given, want := range map[string]int{
		"one": 0, "two": 1, "": -1, " ": -1, "on": -1, "onee": -1, "One": -1, "one,two": -1, " one": -1, "[secret]": -1,
	} {
		if got := set.Index(given); got != want {
			t.Errorf("%q: got %d, want %d", given, got, want)
		}
	}
	if set.Empty() {
		t.Error("a set with secrets is empty")
	}
}

func TestSetOfBlanksAcceptsNothing(t *testing.T) {
	for _, set := range []secret.Set{{}, secret.NewSet(), secret.NewSet(secret.New(""), secret.New("  "))} {
		if !set.Empty() {
			t.Error("want it empty")
		}
		for _, given := range []string{"", " ", "  ", "x"} {
			if got := set.Index(given); got != -1 {
				t.Errorf("%q: got %d, want -1", given, got)
			}
		}
	}
}
