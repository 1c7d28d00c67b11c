package principal_test

import (
	"testing"

	"github.com/IntunoAI/intuno-go/internal/principal"
)

func TestActorIsWhatActed(t *testing.T) {
	for _, c := range []struct {
		via       principal.Via
		want      principal.Actor
		delegated bool
	}{
		{principal.JWT, principal.Actor{Type: "user", ID: "u"}, false},
		{principal.APIKey, principal.Actor{Type: "api_key", ID: "k"}, false},
		{principal.Delegation, principal.Actor{Type: "service", ID: "wisdom-agents"}, true},
		{principal.Host, principal.Actor{Type: "service", ID: "wisdom"}, false},
		{principal.Callback, principal.Actor{}, false},
	} {
		p := principal.Principal{User: "u", Key: "k", Via: c.via}
		if got := p.Actor(); got != c.want {
			t.Errorf("via %d: got %+v, want %+v", c.via, got, c.want)
		}
		if got := p.Delegated(); got != c.delegated {
			t.Errorf("via %d: got delegated %v, want %v", c.via, got, c.delegated)
		}
	}
}

func TestForgottenPrincipalIsNobody(t *testing.T) {
	var p principal.Principal
	if p.Via != principal.Anonymous || p.User != "" || p.Admin || p.Delegated() {
		t.Errorf("got %+v", p)
	}
}
