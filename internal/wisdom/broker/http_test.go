package broker

import (
	"maps"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

func TestACallHasTheseHeadersAndAtMostOneCredential(t *testing.T) {
	text := func(s string) *string { return &s }
	key := func(header, scheme *string) *registry.Credential {
		return &registry.Credential{Type: registry.AuthAPIKey, Value: secret.New("hush"), Header: header, Scheme: scheme}
	}
	bearer := func(header, scheme *string) *registry.Credential {
		c := key(header, scheme)
		c.Type = registry.AuthBearerToken
		return c
	}
	for _, tt := range []struct {
		name       string
		credential *registry.Credential
		header     string
		value      string
		without    string // what is replaced
	}{
		{"public", nil, "", "", ""},
		{"api_key", key(nil, nil), "X-API-Key", "hush", ""},
		{"api_key with an empty scheme", key(nil, text("")), "X-API-Key", "hush", ""},
		{"api_key with a scheme", key(nil, text("Key")), "X-API-Key", "Key hush", ""},
		{"api_key in another header", key(text("x-weather"), nil), "x-weather", "hush", ""},
		{"api_key as Authorization", key(text("Authorization"), text("Basic")), "Authorization", "Basic hush", ""},
		{"bearer_token", bearer(nil, nil), "Authorization", "Bearer hush", ""},
		{"bearer_token without a scheme", bearer(nil, text("")), "Authorization", "hush", ""},
		{"bearer_token with another scheme", bearer(nil, text("Token")), "Authorization", "Token hush", ""},
		{"bearer_token in another header", bearer(text("X-Token"), nil), "X-Token", "Bearer hush", ""},
		{"a header of ours", key(text("idempotency-key"), nil), "idempotency-key", "hush", "Idempotency-Key"},
	} {
		want := map[string]string{"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "Intuno-Broker/1.0",
			"X-Request-ID": "r", "Idempotency-Key": "i"}
		delete(want, tt.without)
		if tt.header != "" {
			want[tt.header] = tt.value
		}
		got := Call{ID: "i", RequestID: "r", Caller: "nobody's business", Credential: tt.credential}.Header("application/json")
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, want)
		}
	}
}
