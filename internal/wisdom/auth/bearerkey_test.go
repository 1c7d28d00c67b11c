package auth_test

import (
	"testing"

	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

// TestAKeyMayStandWhereTheTokenWould is contract §12 on top of §2.1: what of several
// credentials acts, and that nothing but the class lets a key stand there.
func TestAKeyMayStandWhereTheTokenWould(t *testing.T) {
	n := newNode(t, testkit.SQLite(t), config(testkit.NewClock(noon).Now))
	ada, bob, gone := n.user(t), n.user(t), n.user(t)
	adaJWT, bobJWT, goneJWT := n.login(t, ada, password), n.login(t, bob, password), n.login(t, gone, password)
	_, adaKey := n.key(t, adaJWT)
	_, bobKey := n.key(t, bobJWT)
	_, goneKey := n.key(t, goneJWT)
	_, err := n.SetActive(t.Context(), auth.Ref{ID: gone.ID}, false)
	must(t, err)
	const no, twice = "not_authenticated", "duplicate_credentials"
	for _, c := range []struct {
		name    string
		headers []string
		want    string // "jwt ada", "key bob", or a code
	}{
		{"nothing", nil, no},
		{"a token", []string{"Authorization", "Bearer " + adaJWT}, "jwt ada"},
		{"a key", []string{"X-API-Key", adaKey}, "key ada"},
		{"a key as a token", []string{"Authorization", "Bearer " + adaKey}, "key ada"},
		{"a key as a token, scheme in another case", []string{"Authorization", "bEARER  " + adaKey}, "key ada"},
		{"a key as a token beside another key", []string{"Authorization", "Bearer " + adaKey, "X-API-Key", bobKey}, "key ada"},
		{"a key as a token beside no key", []string{"Authorization", "Bearer " + adaKey, "X-API-Key", ""}, "key ada"},
		{"a wrong key as a token beside a right one", []string{"Authorization", "Bearer " + adaKey[:46] + "_", "X-API-Key", bobKey}, "key bob"},
		{"a useless key as a token beside a right one", []string{"Authorization", "Bearer " + goneKey, "X-API-Key", bobKey}, "key bob"},
		{"a token beside another's key", []string{"Authorization", "Bearer " + adaJWT, "X-API-Key", bobKey}, "jwt ada"},
		{"a wrong token beside a key", []string{"Authorization", "Bearer " + adaJWT + "x", "X-API-Key", bobKey}, "key bob"},
		{"a key of nobody as a token", []string{"Authorization", "Bearer " + goneKey}, no},
		{"a wrong key as a token", []string{"Authorization", "Bearer " + adaKey + "x"}, no},
		{"a key under another scheme", []string{"Authorization", "Basic " + adaKey}, no},
		{"a key without a scheme", []string{"Authorization", adaKey}, no},
		{"a token as a key", []string{"X-API-Key", adaJWT}, no},
		{"a service key as a token", []string{"Authorization", "Bearer " + serviceKey, "X-On-Behalf-Of", string(ada.ID)}, no},
		{"service headers alone", []string{"X-Service-Key", serviceKey, "X-On-Behalf-Of", string(ada.ID)}, no},
		{"service headers beside a key as a token", []string{"X-Service-Key", "wrong", "X-On-Behalf-Of", string(ada.ID), "Authorization", "Bearer " + bobKey}, "key bob"},
		{"the same key as a token twice", []string{"Authorization", "Bearer " + adaKey, "Authorization", "Bearer " + adaKey}, twice},
		{"a key as a token and two keys", []string{"Authorization", "Bearer " + adaKey, "X-API-Key", adaKey, "X-API-Key", adaKey}, twice},
	} {
		p, err := n.try(t, auth.AnyUserBearerKey, c.headers...)
		got := shown(p, err)
		switch {
		case err != nil:
		case p.User == ada.ID:
			got += " ada"
		case p.User == bob.ID:
			got += " bob"
		}
		if got != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.name, got, err, c.want)
		}
	}
	for _, class := range []auth.Class{auth.AnyUser, auth.JWT, auth.KeyMgmt, auth.Delegable, auth.Admin} {
		if _, err := n.try(t, class, "Authorization", "Bearer "+adaKey); codeOf(err) != no {
			t.Errorf("class %d: a key as a token: got %v, want %s", class, err, no)
		}
	}
}
