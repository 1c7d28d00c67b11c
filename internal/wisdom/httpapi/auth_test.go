package httpapi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/audit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

// accounts serves the routes of accounts, and nothing else.
type accounts struct {
	*httpx.Server
	service *auth.Service
	now     *testkit.Clock
}

func serveAccounts(t *testing.T) *accounts {
	t.Helper()
	now := testkit.NewClock(time.Date(2026, 4, 23, 12, 0, 0, 123456000, time.UTC))
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: testkit.SQLite(t), Migrations: store.Migrations(), Service: "wisdom", Now: clock.System})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := auth.New(store.New(db), auth.Config{
		Now: now.Now, JWTSecret: secret.New(strings.Repeat("k", 32)), TokenLifetime: time.Hour,
		Hashing: auth.Hashing{MemoryKiB: 8, Passes: 1, Wait: time.Minute},
	})
	log := slog.New(slog.DiscardHandler)
	routes := append((&Auth{s}).routes(), (&Admin{Service: s}).routes()...)
	server, err := httpx.New(httpx.Options{
		Service: "wisdom", Routes: routes, Now: now.Now, Log: log,
		Guard: &Guard{Authenticator: s.Authenticator(), Audit: audit.New(store.New(db), now.Now), Log: log},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &accounts{server, s, now}
}

// do sends a request and returns the status and the body. auth is a token, an API
// key or empty.
func (a *accounts) do(method, path, credential, body string) (int, map[string]any, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if strings.HasPrefix(credential, "wsk_") {
		r.Header.Set("X-API-Key", credential)
	} else if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	var object map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &object)
	return w.Code, object, strings.TrimSpace(w.Body.String())
}

// join registers and signs in.
func (a *accounts) join(t *testing.T, email string) (user, token string) {
	t.Helper()
	status, u, text := a.do("POST", "/auth/register", "", fmt.Sprintf(`{"email":%q,"password":"correct horse"}`, email))
	if status != 201 {
		t.Fatalf("register: %d %s", status, text)
	}
	status, l, text := a.do("POST", "/auth/login", "", fmt.Sprintf(`{"email":%q,"password":"correct horse"}`, email))
	if status != 200 {
		t.Fatalf("login: %d %s", status, text)
	}
	return u["id"].(string), l["access_token"].(string)
}

// masked replaces what differs from run to run.
func masked(text string) string {
	for expr, by := range map[string]string{
		`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`: "ID",
		`wsk_[A-Za-z0-9_-]{43}`:                     "KEY",
		`eyJ[A-Za-z0-9_.-]+`:                        "TOKEN",
	} {
		text = regexp.MustCompile(expr).ReplaceAllString(text, by)
	}
	return text
}

const (
	userJSON = `{"id":"ID","email":"Ada@example.org","first_name":"Ada","last_name":null,"is_active":true,"plan":"free",` +
		`"created_at":"2026-04-23T12:00:00.123456Z","updated_at":"2026-04-23T12:00:00.123456Z"}`
	keyTail = `"integration_id":null,"created_at":"2026-04-23T12:00:00.123456Z","last_used_at":null,"expires_at":`
)

func TestShapesOfAccounts(t *testing.T) {
	a := serveAccounts(t)
	var token, key, keyID string
	for _, c := range []struct {
		name, method, path, credential, body string
		status                               int
		want                                 string
	}{
		{"register", "POST", "/auth/register", "", `{"email":"Ada@EXAMPLE.org","password":"correct horse","first_name":"Ada","last_name":null,"x":1}`, 201, userJSON},
		{"login", "POST", "/auth/login", "", `{"email":"ada@example.ORG","password":"correct horse"}`, 200, `{"access_token":"TOKEN","token_type":"bearer","expires_in":3600}`},
		{"me", "GET", "/auth/me", "TOKEN", "", 200, userJSON},
		{"no keys", "GET", "/auth/api-keys", "TOKEN", "", 200, `[]`},
		{"create a key", "POST", "/auth/api-keys", "TOKEN", `{"name":"laptop"}`, 201, `{"id":"ID","name":"laptop","key":"KEY",` + keyTail + `null}`},
		{"create a key that ends", "POST", "/auth/api-keys", "TOKEN", `{"name":"short","expires_at":"2026-04-23T16:00:00.1234567+02:00"}`, 201, `{"id":"ID","name":"short","key":"KEY",` + keyTail + `"2026-04-23T14:00:00.123456Z"}`},
		{"keys", "GET", "/auth/api-keys", "KEY", "", 200, ""},
		{"me by key", "GET", "/auth/me", "KEY", "", 200, userJSON},
		{"create a key by key", "POST", "/auth/api-keys", "KEY", `{"name":"x"}`, 403, ""},
		{"delete a key by key", "DELETE", "/auth/api-keys/KEYID", "KEY", "", 403, ""},
		{"delete a key", "DELETE", "/auth/api-keys/KEYID", "TOKEN", "", 204, ""},
		{"delete it again", "DELETE", "/auth/api-keys/KEYID", "TOKEN", "", 404, ""},
		{"a key that is no UUID", "DELETE", "/auth/api-keys/laptop", "TOKEN", "", 422, ""},
		{"the deleted key", "GET", "/auth/me", "KEY", "", 401, ""},
		{"log out by key", "POST", "/auth/logout", "KEY", "", 401, ""},
		{"log out", "POST", "/auth/logout", "TOKEN", "", 204, ""},
		{"log out again", "POST", "/auth/logout", "TOKEN", "", 401, ""},
		{"login again", "POST", "/auth/login", "", `{"email":"Ada@example.org","password":"correct horse"}`, 200, ""},
		{"a wrong old password", "POST", "/auth/password", "TOKEN", `{"old_password":"x","new_password":"another one"}`, 403, ""},
		{"a new password", "POST", "/auth/password", "TOKEN", `{"old_password":"correct horse","new_password":"another one"}`, 204, ""},
		{"the token before it", "GET", "/auth/me", "TOKEN", "", 401, ""},
		{"the password before it", "POST", "/auth/login", "", `{"email":"Ada@example.org","password":"correct horse"}`, 401, ""},
		{"the new password works at once", "POST", "/auth/login", "", `{"email":"Ada@example.org","password":"another one"}`, 200, ""},
		{"me again", "GET", "/auth/me", "TOKEN", "", 200, ""},
	} {
		credential := strings.NewReplacer("TOKEN", token, "KEY", key).Replace(c.credential)
		status, object, text := a.do(c.method, strings.Replace(c.path, "KEYID", keyID, 1), credential, c.body)
		if status != c.status || (c.want != "" && masked(text) != c.want) {
			t.Errorf("%s: got %d %s, want %d %s", c.name, status, masked(text), c.status, c.want)
		}
		if s, ok := object["access_token"].(string); ok {
			token = s
		}
		if s, ok := object["key"].(string); ok && key == "" {
			key, keyID = s, object["id"].(string)
		}
	}
}

func TestProblemsOfAccounts(t *testing.T) {
	a := serveAccounts(t)
	_, token := a.join(t, "ada@example.org")
	for _, c := range []struct {
		name, path, body string
		status           int
		code             string
		types            string // of the problems, in order
	}{
		{"nothing", "/auth/register", `{}`, 422, "validation_error", "missing missing"},
		{"all wrong", "/auth/register", `{"email":"ada","password":"` + strings.Repeat("x", 7) + `","first_name":"` + strings.Repeat("x", 65) + `","last_name":1}`, 422, "validation_error", "string_pattern_mismatch string_too_long string_type string_too_short"},
		{"a long local part", "/auth/register", `{"email":"` + strings.Repeat("x", 65) + `@example.org","password":"correct horse"}`, 422, "validation_error", "value_error"},
		{"a display name", "/auth/register", `{"email":"Ada <ada@example.org>","password":"correct horse"}`, 422, "validation_error", "string_pattern_mismatch"},
		{"taken", "/auth/register", `{"email":"ADA@example.org","password":"correct horse"}`, 400, "email_taken", ""},
		{"login without a password", "/auth/login", `{"email":"ada@example.org"}`, 422, "validation_error", "missing"},
		{"login with a number", "/auth/login", `{"email":"ada@example.org","password":12345678}`, 422, "validation_error", "string_type"},
		{"login with a long password", "/auth/login", `{"email":"ada@example.org","password":"` + strings.Repeat("x", 100000) + `"}`, 401, "invalid_credentials", ""},
		{"login of nobody", "/auth/login", `{"email":"","password":""}`, 401, "invalid_credentials", ""},
		{"short new password", "/auth/password", `{"old_password":"correct horse","new_password":"x"}`, 422, "validation_error", "string_too_short"},
		{"key without a name", "/auth/api-keys", `{"expires_at":null}`, 422, "validation_error", "missing"},
		{"key that ended", "/auth/api-keys", `{"name":"x","expires_at":"2026-04-23T12:00:00.123456Z"}`, 422, "validation_error", "value_error"},
		{"key that ends some day", "/auth/api-keys", `{"name":"x","expires_at":"tomorrow"}`, 422, "validation_error", "datetime_parsing"},
		{"key that ends after a number", "/auth/api-keys", `{"name":"x","expires_at":99999999999}`, 422, "validation_error", "string_type"},
	} {
		status, object, text := a.do("POST", c.path, token, c.body)
		var types []string
		if list, ok := object["detail"].([]any); ok {
			for _, p := range list {
				types = append(types, p.(map[string]any)["type"].(string))
			}
		}
		if status != c.status || object["code"] != c.code || strings.Join(types, " ") != c.types {
			t.Errorf("%s: got %d %s, want %d %s with %s", c.name, status, text, c.status, c.code, c.types)
		}
		if strings.Contains(text, "correct horse") || strings.Contains(text, `"input":"xxxxxxx"`) {
			t.Errorf("%s: the answer repeats a password: %s", c.name, text)
		}
	}
}

func TestThrottledLoginOverHTTP(t *testing.T) {
	a := serveAccounts(t)
	for range 10 {
		if status, _, text := a.do("POST", "/auth/login", "", `{"email":"ada@example.org","password":"x"}`); status != 401 {
			t.Fatalf("got %d %s, want 401", status, text)
		}
	}
	a.now.Add(500 * time.Millisecond)
	r := httptest.NewRequest("POST", "/auth/login", strings.NewReader(`{"email":"Ada@example.org","password":"x"}`))
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if w.Code != 429 || w.Header().Get("Retry-After") != "900" || !strings.Contains(w.Body.String(), `"login_throttled"`) {
		t.Errorf("got %d, Retry-After %q, %s, want 429 after 900", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
}

func TestAdministrationOverHTTP(t *testing.T) {
	a := serveAccounts(t)
	boss, bossToken := a.join(t, "boss@example.org")
	user, token := a.join(t, "ada@example.org")
	if _, err := a.service.GrantAdmin(t.Context(), auth.Ref{Email: "boss@example.org"}, true); err != nil {
		t.Fatal(err)
	}
	_, k, _ := a.do("POST", "/auth/api-keys", bossToken, `{"name":"x"}`)
	for _, c := range []struct {
		name, credential, user, body string
		status                       int
		want                         string // a part of the answer
	}{
		{"without a credential", "", user, `{}`, 401, "not_authenticated"},
		{"by a user", token, user, `{}`, 403, "forbidden"},
		{"by an administrator's key", k["key"].(string), user, `{}`, 401, "not_authenticated"},
		{"nothing is kept", bossToken, user, `{"is_active":null,"plan":null}`, 200, `"is_active":true,"plan":"free"`},
		{"the plan", bossToken, strings.ToUpper(user), `{"plan":"pro"}`, 200, `"is_active":true,"plan":"pro"`},
		{"another plan", bossToken, user, `{"plan":"gold"}`, 422, "literal_error"},
		{"not a truth", bossToken, user, `{"is_active":"no"}`, 422, "validation_error"},
		{"deactivation", bossToken, user, `{"is_active":false}`, 200, `"is_active":false,"plan":"pro"`},
		{"the user is out", token, user, `{}`, 401, "not_authenticated"},
		{"an unknown user", bossToken, "7c9e6679-7425-40de-944b-e07fc1f90ae7", `{}`, 404, "not_found"},
		{"not a UUID", bossToken, "ada", `{}`, 422, "uuid_parsing"},
		{"no way to make administrators", bossToken, user, `{"is_admin":true}`, 200, `"plan":"pro"`},
		{"the administrator too", bossToken, boss, `{"is_active":false}`, 200, `"is_active":false`},
		{"and is out", bossToken, boss, `{}`, 401, "not_authenticated"},
	} {
		status, _, text := a.do("PATCH", "/admin/users/"+c.user, c.credential, c.body)
		if status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: got %d %s, want %d with %s", c.name, status, text, c.status, c.want)
		}
	}
	list, err := a.service.ListUsers(t.Context(), auth.Cursor{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range list {
		if u.Admin != (string(u.ID) == boss) {
			t.Errorf("%s: got admin %v", u.Email, u.Admin)
		}
	}
}

func TestEdgeAndRulesAgreeOnAddresses(t *testing.T) {
	f, ok := reflect.TypeFor[registerBody]().FieldByName("Email")
	if got := f.Tag.Get("pattern"); !ok || got != auth.EmailPattern {
		t.Errorf("got %q, want auth.EmailPattern %q", got, auth.EmailPattern)
	}
}
