package httpx

import (
	"context"
	"net/http"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/principal"
)

type linesInput struct {
	Origin []string `header:"Origin"`
}

func TestAListOfAHeaderHasEveryLineByItself(t *testing.T) {
	var got *linesInput
	s, _ := testServer(t, func(o *Options) {
		o.Routes = append(o.Routes, Get("/lines", Public, func(_ context.Context, _ principal.Principal, in *linesInput) (None, error) {
			got = in
			return None{}, nil
		}))
	})
	for _, c := range []struct {
		headers []string
		want    []string
	}{
		{nil, nil}, {[]string{"Origin", ""}, []string{""}}, {[]string{"Origin", "a, b"}, []string{"a, b"}}, {[]string{"Origin", "a", "Origin", "b"}, []string{"a", "b"}},
	} {
		w := do(s, "GET", "/lines", "", c.headers...)
		if w.Code != 204 || len(got.Origin) != len(c.want) || (got.Origin == nil) != (c.want == nil) {
			t.Fatalf("%q: %d, got %q", c.headers, w.Code, got.Origin)
		}
		for i := range c.want {
			if got.Origin[i] != c.want[i] {
				t.Errorf("%q: got %q", c.headers, got.Origin)
			}
		}
	}
}

func TestAnAnswerWithoutABodySaysNothingAboutIt(t *testing.T) {
	s, _ := testServer(t, func(o *Options) {
		o.Routes = append(o.Routes, Post("/accepted", User, func(context.Context, principal.Principal, *struct{}) (Reply, error) {
			return Reply{Status: http.StatusAccepted, Raw: []byte{}}, nil
		}))
	})
	w := do(s, "POST", "/accepted", "")
	if h := w.Header(); w.Code != 202 || w.Body.Len() != 0 || h["Content-Type"] != nil || h.Get("Content-Length") != "0" {
		t.Errorf("%d %v %q", w.Code, h, w.Body)
	}
}

// The class user has two forms: what is described and tested as one must not differ.
func TestTheClassOfBearerKeysIsDescribedAsUser(t *testing.T) {
	if got, want := UserOrBearerKey.String(), User.String(); got != want {
		t.Errorf("class %q, want %q", got, want)
	}
	if got, want := len(security(UserOrBearerKey)), len(security(User)); got != want {
		t.Errorf("%d ways in, want %d", got, want)
	}
}
