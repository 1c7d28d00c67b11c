package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/identity"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

const (
	fuzzUser = "7c9e6679-7425-40de-944b-e07fc1f90ae7" // acts by token, by key and through the service
	fuzzGone = "11111111-1111-4111-8111-111111111111" // is inactive
	fuzzKey  = "wsk_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
)

// known is a store that knows fuzzUser, fuzzGone and fuzzKey, without a database: the
// fuzzer asks it a hundred thousand times a second.
type known struct{ auth.Store }

func (known) UserStanding(_ context.Context, user id.User) (auth.Standing, error) {
	switch user {
	case fuzzUser, fuzzGone:
		return auth.Standing{User: user, Active: user == fuzzUser}, nil
	}
	return auth.Standing{}, fault.Missing("user")
}

func (k known) TokenStanding(ctx context.Context, user id.User, _ string) (auth.Standing, error) {
	return k.UserStanding(ctx, user)
}

func (known) KeyStanding(_ context.Context, digest string) (auth.Standing, error) {
	sum := sha256.Sum256([]byte(fuzzKey))
	if digest == hex.EncodeToString(sum[:]) {
		return auth.Standing{User: fuzzUser, Active: true, Key: "1f0a0000-0000-4000-8000-000000000000"}, nil
	}
	return auth.Standing{}, fault.Missing("key")
}

func (known) UserByEmail(context.Context, string) (auth.Account, error) {
	// "correct horse" at m=8 t=1 p=1.
	return auth.Account{User: auth.User{ID: fuzzUser, Active: true},
		PasswordHash: "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$fGboIvzlkt1eU7JnWpaFoCiFdQqj41xKJW/x6HC4Hu4"}, nil
}

func (known) CountAttempt(context.Context, auth.Attempt) (bool, time.Time, error) {
	return true, time.Time{}, nil
}
func (known) ReturnAttempt(context.Context, auth.Attempt) error { return nil }
func (known) ClearAttempts(context.Context, string) error       { return nil }
func (known) IssueToken(_ context.Context, _ id.User, _ string, now time.Time) (int64, error) {
	return now.Unix(), nil
}

// FuzzServiceHeaders builds the headers of one request out of up to three lines of
// each credential header and one line with a name of the fuzzer's choice, and compares
// the decision with a second, plain reading of contract §2.1 and 2.3.
func FuzzServiceHeaders(f *testing.F) {
	a := auth.New(known{}, config(testkit.NewClock(noon).Now))
	issued, err := a.Login(f.Context(), "ada@example.org", password, peer)
	if err != nil {
		f.Fatal(err)
	}
	token := issued.Text
	// In seeds and corpora TOKEN stands for the token, which is another one every time.
	f.Add(uint8(5), uint8(1), serviceKey, uint8(1), fuzzUser, uint8(0), "", uint8(0), "", "", "")
	for class := range uint8(7) {
		for _, key := range []string{serviceKey, retiredKey, "", "wrong"} {
			for _, lines := range []uint8{0, 1, 2} {
				f.Add(class, lines, key, uint8(1), fuzzUser, uint8(1), "Bearer TOKEN", uint8(1), fuzzKey, "X_Service_Key", serviceKey)
				f.Add(class, lines, key, uint8(0), "", uint8(1), "Basic TOKEN", uint8(1), fuzzKey, "x-service-key", serviceKey)
			}
		}
		for _, target := range []string{fuzzGone, strings.ToUpper(fuzzUser), "x" + fuzzUser + "y", "urn:uuid:" + fuzzUser, " ", "", "\t"} {
			f.Add(class, uint8(1), serviceKey, uint8(1), target, uint8(0), "", uint8(2), "x", "x-on-behalf-of", fuzzUser)
			f.Add(class, uint8(1), serviceKey, uint8(1), target, uint8(0), "", uint8(1), "wsk_", "", "")
		}
	}
	f.Fuzz(func(t *testing.T, class, serviceLines uint8, service string, targetLines uint8, target string,
		tokenLines uint8, authorization string, keyLines uint8, key, otherName, other string) {
		var lines []line
		repeat := func(n uint8, name, value string) {
			for range n % 4 {
				lines = append(lines, line{name, value})
			}
		}
		repeat(serviceLines, "X-Service-Key", service)
		repeat(targetLines, "X-On-Behalf-Of", target)
		repeat(tokenLines, "Authorization", strings.ReplaceAll(authorization, "TOKEN", token))
		repeat(keyLines, "X-API-Key", key)
		lines = append(lines, line{otherName, strings.ReplaceAll(other, "TOKEN", token)})
		h := http.Header{}
		for _, l := range lines {
			h.Add(l.name, l.value) // canonical names, as net/http reads them
		}
		p, err := a.Authenticator().Authenticate(t.Context(), auth.Class(class%7), identity.Read(h))
		got := shown(p, err)
		if want := decision(auth.Class(class%7), lines, token); got != want {
			t.Errorf("class %d, %q: got %q (%v), want %q", class%7, lines, got, err, want)
		}
		if got := p.User; err == nil && p.Via != principal.Anonymous && got != fuzzUser {
			t.Errorf("%q: acts as %q", lines, got)
		}
		if f := fault.As(err); f != nil && service != "" && len(service) > 12 && strings.Contains(f.Detail, service) {
			t.Errorf("the answer repeats the key: %v", err)
		}
	})
}

type line struct{ name, value string }

var (
	hyphenated = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	bearer     = regexp.MustCompile(`^[bB][eE][aA][rR][eE][rR] +(.*)$`)
)

// decision is the oracle: it shares no code with the package.
func decision(class auth.Class, lines []line, token string) string {
	of := func(name string) (values []string) {
		for _, l := range lines {
			if ascii(l.name) == name {
				values = append(values, l.value)
			}
		}
		return values
	}
	service, target := of("x-service-key"), of("x-on-behalf-of")
	authorization, keys := of("authorization"), of("x-api-key")
	if class == 0 {
		return "untyped"
	}
	if class == auth.Public {
		return ""
	}
	if class == auth.Delegable && len(service) == 1 && service[0] != serviceKey && service[0] != retiredKey {
		return "not_authenticated"
	}
	for _, values := range [][]string{service, target, authorization, keys} {
		if len(values) > 1 {
			return "duplicate_credentials"
		}
	}
	if class == auth.Delegable && len(service) == 1 {
		switch {
		case len(target) == 0 || strings.TrimSpace(target[0]) == "":
			return "on_behalf_of_required"
		case !hyphenated.MatchString(target[0]):
			return "on_behalf_of_invalid"
		case strings.ToLower(target[0]) != fuzzUser:
			return "not_found"
		}
		return "service"
	}
	if len(authorization) == 1 {
		if m := bearer.FindStringSubmatch(authorization[0]); m != nil && m[1] == token {
			if class == auth.Admin {
				return "forbidden"
			}
			return "jwt"
		}
	}
	if len(keys) == 1 && keys[0] == fuzzKey && class != auth.JWT && class != auth.Admin {
		if class == auth.KeyMgmt {
			return "jwt_required"
		}
		return "key"
	}
	return "not_authenticated"
}

func ascii(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
