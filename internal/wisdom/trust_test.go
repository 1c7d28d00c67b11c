package wisdom

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// journal is a log of every level that a test reads.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// wait returns when text was logged.
func (j *journal) wait(t *testing.T, text string) {
	t.Helper()
	for range 1000 {
		if strings.Contains(j.String(), text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q was not logged:\n%s", text, j)
}

func (j *journal) deps(d *Deps) {
	d.Log = slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

const weather = `{"name":"weather oracle","description":"Forecasts","endpoint":"https://a.example.org/","auth_type":"api_key"}`

func TestACredentialShowsNowhere(t *testing.T) {
	var log journal
	w := newWorld(t, log.deps)
	ada, bob := w.signUp("ada"), w.signUp("bob")
	agent := w.want(201, "POST", "/registry/agents", weather, ada.bearer())
	credentials := "/registry/agents/" + agent.text("id") + "/credentials"
	const value = "hush-hush-9f3a01bc"

	var answers []string
	send := func(status int, who user, method, path, body string) reply {
		t.Helper()
		got := w.want(status, method, path, body, who.bearer())
		answers = append(answers, got.body+fmt.Sprint(got.header))
		return got
	}
	body := func(format string, args ...any) string {
		return fmt.Sprintf(strings.ReplaceAll(format, "HUSH", value), args...)
	}
	send(204, ada, "POST", credentials, body(`{"credential_type":"api_key","value":"HUSH","auth_header":"X-Weather","auth_scheme":""}`))
	send(204, ada, "POST", credentials, body(`{"credential_type":"bearer_token","value":"HUSH","auth_header":null,"unknown":1}`))
	for _, tt := range []struct{ body, problem string }{
		{`{"credential_type":"api_key","value":"HUSH\n"}`, "value"},
		{`{"credential_type":"api_key","value":"HUSH\u0000"}`, "value"},
		{`{"credential_type":"api_key","value":"HUSH\u0085"}`, "value"},
		{`{"credential_type":"api_key","value":"HUSH` + strings.Repeat("x", 8192) + `"}`, "value"},
		{`{"credential_type":"api_key","value":["HUSH"]}`, "value"},
		{`{"credential_type":"api_key","value":{"HUSH":"HUSH"}}`, "value"},
		{`{"credential_type":"api_key","value":""}`, "value"},
		{`{"credential_type":"api_key","value":null}`, "value"},
		{`{"credential_type":"api_key"}`, "value"},
		{`"HUSH"`, "body"},
		{`["HUSH"]`, "body"},
		{`{"credential_type":"public","value":"HUSH"}`, "credential_type"},
		{`{"credential_type":null,"value":"HUSH"}`, "credential_type"},
		{`{"credential_type":"api_key","value":"HUSH","auth_header":"Host"}`, "auth_header"},
		{`{"credential_type":"api_key","value":"HUSH","auth_header":"x_user_id"}`, "auth_header"},
		{`{"credential_type":"api_key","value":"HUSH","auth_header":"X Y"}`, "auth_header"},
		{`{"credential_type":"api_key","value":"HUSH","auth_header":""}`, "auth_header"},
		{`{"credential_type":"api_key","value":"HUSH","auth_scheme":"a b"}`, "auth_scheme"},
		{`{"credential_type":"api_key","value":"HUSH","auth_scheme":7}`, "auth_scheme"},
	} {
		got := send(422, ada, "POST", credentials, body(tt.body))
		var fault struct{ Detail []struct{ Loc []string } }
		if err := json.Unmarshal([]byte(got.body), &fault); err != nil || len(fault.Detail) == 0 {
			t.Errorf("%.80s: got %s, %v", tt.body, got.body, err)
		}
		for _, problem := range fault.Detail {
			if problem.Loc[len(problem.Loc)-1] != tt.problem {
				t.Errorf("%.80s: got %s, want problems of %s only", tt.body, got.body, tt.problem)
			}
		}
	}
	send(400, ada, "POST", credentials, body(`{"credential_type":"api_key","value":"HUSH","value":"HUSH"}`))
	send(400, ada, "POST", credentials, body(`{"credential_type":"api_key","value":"HUSH"} HUSH`))
	send(404, bob, "POST", credentials, body(`{"credential_type":"api_key","value":"HUSH"}`))
	for _, path := range []string{"/registry/agents/" + agent.text("agent_id"), "/registry/agents", "/registry/my-agents", "/registry/agents/new", "/registry/discover?query=weather"} {
		got := send(200, ada, "GET", path, "")
		if !strings.Contains(got.body, `"has_credentials":true`) || strings.Contains(got.body, "X-Weather") {
			t.Errorf("%s shows its owner %s", path, got.body)
		}
		if path != "/registry/my-agents" {
			if got := send(200, bob, "GET", path, ""); !strings.Contains(got.body, `"has_credentials":false`) {
				t.Errorf("%s shows a stranger %s", path, got.body)
			}
		}
	}
	send(200, ada, "PUT", "/registry/agents/"+agent.text("id"), `{"auth_type":"bearer_token"}`)
	send(204, ada, "DELETE", credentials, "")
	if got := send(200, ada, "GET", "/registry/agents/"+agent.text("agent_id"), ""); !strings.Contains(got.body, `"has_credentials":false`) {
		t.Errorf("after the delete: %s", got.body)
	}
	log.wait(t, credentialsPattern)
	for _, out := range append(answers, log.String()) {
		for _, form := range []string{value, value[:9], hex.EncodeToString([]byte(value)), base64.StdEncoding.EncodeToString([]byte(value))[:20]} {
			if strings.Contains(out, form) {
				t.Errorf("%q shows in %s", form, out)
			}
		}
	}
}

const credentialsPattern = "/registry/agents/{uuid}/credentials"

func TestForeignCredentialsAndRatingsAreUnknown(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob := w.signUp("ada"), w.signUp("bob")
	hidden := w.want(201, "POST", "/registry/agents", strings.Replace(weather, `"name"`, `"visibility":"private","name"`, 1), ada.bearer())
	public := w.want(201, "POST", "/registry/agents", weather, ada.bearer())
	const unknown = "00000000-0000-4000-8000-00000000000a"
	same := func(method, foreign, unknown, body string) {
		t.Helper()
		one, two := w.want(404, method, foreign, body, bob.bearer()), w.want(404, method, unknown, body, bob.bearer())
		if strip := func(r reply) string { return strings.ReplaceAll(r.body, r.text("request_id"), "") }; strip(one) != strip(two) {
			t.Errorf("%s %s: %s and %s differ", method, foreign, one.body, two.body)
		}
	}
	for _, agent := range []reply{hidden, public} {
		same("POST", "/registry/agents/"+agent.text("id")+"/credentials", "/registry/agents/"+unknown+"/credentials", `{"credential_type":"api_key","value":"x"}`)
		same("DELETE", "/registry/agents/"+agent.text("id")+"/credentials", "/registry/agents/"+unknown+"/credentials", "")
	}
	same("POST", "/registry/agents/"+hidden.text("agent_id")+"/rate", "/registry/agents/nobody-00000000/rate", `{"score":5}`)
	same("GET", "/registry/agents/"+hidden.text("agent_id")+"/ratings", "/registry/agents/nobody-00000000/ratings", "")
	same("GET", "/registry/agents/"+public.text("id")+"/ratings", "/registry/agents/"+unknown+"/ratings", "")
	w.want(422, "POST", "/registry/agents/"+public.text("agent_id")+"/credentials", `{"credential_type":"api_key","value":"x"}`, ada.bearer())
	w.want(422, "POST", "/registry/agents/"+hidden.text("agent_id")+"/rate", `{"score":6}`, bob.bearer()) // the shape comes first
	for _, method := range []string{"PUT", "DELETE", "POST"} {
		w.want(405, method, "/registry/agents/trending", "", ada.bearer())
	}
}

func TestRatingsAndFiguresTravel(t *testing.T) {
	w := newWorld(t, nil)
	ada, bob := w.signUp("ada"), w.signUp("bob")
	agent := w.want(201, "POST", "/registry/agents", weather, ada.bearer())
	rate := "/registry/agents/" + agent.text("agent_id") + "/rate"
	if got := w.want(403, "POST", rate, `{"score":5}`, bob.bearer()); got.text("code") != "rating_not_allowed" {
		t.Errorf("before the first call: %s", got.body)
	}
	record := func(by user, ago time.Duration, success bool, ms int) {
		t.Helper()
		if err := w.service.store.RecordCalls(t.Context(), []registry.Call{{Agent: id.Agent(agent.text("id")), User: idOf(by), At: clock.System().Add(-ago), Success: success,
			Latency: time.Duration(ms) * time.Millisecond}}); err != nil {
			t.Fatal(err)
		}
	}
	record(bob, 0, true, 100)
	record(bob, 25*time.Hour, false, 101)
	record(ada, 89*24*time.Hour, true, 200)
	record(ada, 91*24*time.Hour, true, 9999)
	for _, body := range []string{`{"score":0}`, `{"score":6}`, `{"score":1.5}`, `{"score":"5"}`, `{"score":null}`, `{}`, `{"score":5,"comment":"` + strings.Repeat("ü", 2001) + `"}`} {
		w.want(422, "POST", rate, body, bob.bearer())
	}
	if got := w.want(403, "POST", rate, `{"score":5}`, ada.bearer()); got.text("code") != "rating_not_allowed" {
		t.Errorf("by the owner: %s", got.body)
	}
	first := w.want(200, "POST", rate, `{"score":5,"comment":"`+strings.Repeat("ü", 2000)+`"}`, bob.bearer())
	service := http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {bob.id}}
	second := w.want(200, "POST", rate, `{"score":4}`, service)
	if first.text("user_id") != bob.id || first.text("agent_id") != agent.text("id") || second.text("id") != first.text("id") || second.text("created_at") != first.text("created_at") ||
		!strings.Contains(second.body, `"comment":null`) {
		t.Errorf("first %s\nsecond %s", first.body, second.body)
	}
	ratings := "/registry/agents/" + agent.text("agent_id") + "/ratings"
	if got := w.want(200, "GET", ratings, "", ada.bearer()); got.body != "["+second.body+"]" {
		t.Errorf("ratings: %s", got.body)
	}
	if got := w.want(200, "GET", ratings+"?offset=1", "", ada.bearer()); got.body != "[]" {
		t.Errorf("ratings beyond the end: %s", got.body)
	}
	const ratedLine = `"rating_avg":4,"rating_count":1,`
	want := ratedLine + `"quality_success_rate":0.67,"quality_avg_latency_ms":133.67,"quality_invocation_count":3,"invocation_count":null`
	for _, path := range []string{"/registry/agents/" + agent.text("agent_id"), "/registry/agents", "/registry/agents/new", "/registry/discover?query=weather"} {
		if got := w.want(200, "GET", path, "", bob.bearer()); !strings.Contains(got.body, want) {
			t.Errorf("%s: got %s, want %s", path, got.body, want)
		}
	}
	for query, want := range map[string]string{
		"":                          `"quality_success_rate":0.5,"quality_avg_latency_ms":100.5,"quality_invocation_count":2,"invocation_count":2`,
		"?window_days=1&limit=100":  `"quality_success_rate":1,"quality_avg_latency_ms":100,"quality_invocation_count":1,"invocation_count":1`,
		"?window_days=365&limit=01": `"quality_invocation_count":4,"invocation_count":4`,
	} {
		if got := w.want(200, "GET", "/registry/agents/trending"+query, "", bob.bearer()); !strings.Contains(got.body, ratedLine) || !strings.Contains(got.body, want) {
			t.Errorf("trending%s: got %s, want %s", query, got.body, want)
		}
	}
	for _, query := range []string{"window_days=0", "window_days=366", "window_days=x", "limit=0", "limit=101"} {
		w.want(422, "GET", "/registry/agents/trending?"+query, "", bob.bearer())
	}
	if got := w.want(200, "GET", "/registry/agents/trending", "", http.Header{"X-Service-Key": {firstKey}, "X-On-Behalf-Of": {ada.id}}); !strings.Contains(got.body, "https://a.example.org/") {
		t.Errorf("the owner does not see the endpoint: %s", got.body)
	}
}

const (
	oldKey   = "old-encryption-key-0123456789abcdef0123"
	newKey   = "new-encryption-key-0123456789abcdef0123"
	otherJWT = "another-jwt-key-0123456789abcdef012345"
)

// stage is one start of the service with other keys on the same database.
type stage struct {
	name      string
	keys, jwt string
	told      string
	opens     bool
}

// An operator's way from no key of its own to one, to another, and a mistake.
func TestEncryptionKeysRotate(t *testing.T) {
	rotate(t, []stage{
		{"derived from the JWT key", "", jwtKey, `"resealed":0`, true},
		{"a key of its own", oldKey, jwtKey, `"resealed":1`, true},
		{"a new key second", oldKey + "," + newKey, jwtKey, `"resealed":0`, true},
		{"a new key first", newKey + " , " + oldKey, jwtKey, `"resealed":3`, true},
		{"the new key alone, and another JWT key", newKey, otherJWT, `"resealed":0`, true},
		{"a wrong key", "wrong-encryption-key-0123456789abcdef01", otherJWT, `"resealed":0,"unreadable":5`, false},
		{"the new key again", newKey, otherJWT, `"resealed":0`, true},
	})
}

// Whoever changed the JWT key too early lists the one of before.
func TestACredentialSealedWithAnOldJWTKeyIsNotLost(t *testing.T) {
	rotate(t, []stage{
		{"derived from the JWT key", "", jwtKey, `"resealed":0`, true},
		{"derived from another JWT key", "", otherJWT, `"unreadable":1`, false},
		{"with the JWT key of before listed", newKey + "," + jwtKey, otherJWT, `"resealed":1`, true},
		{"and without it", newKey, otherJWT, `"resealed":0`, true},
	})
}

func rotate(t *testing.T, stages []stage) {
	database := testkit.SQLite(t)
	var ada user
	var agents []reply
	for _, tt := range stages {
		t.Run(tt.name, func(t *testing.T) {
			var log journal
			w := newWorld(t, log.deps, "DATABASE_URL", database, "CREDENTIALS_ENCRYPTION_KEY", tt.keys, "JWT_SECRET_KEY", tt.jwt)
			if ada.id == "" {
				ada = w.signUp("ada")
			}
			log.wait(t, tt.told)
			for i, agent := range agents {
				got, err := w.service.vault.For(t.Context(), id.Agent(agent.text("id")), registry.AuthAPIKey)
				if tt.opens && (err != nil || got.Value.Reveal() != fmt.Sprint("hush-", i)) {
					t.Errorf("credential %d: got %d bytes, %v", i, got.Value.Len(), err)
				}
				if !tt.opens && (!errors.Is(err, registry.ErrNoCredential) || !errors.Is(err, secret.ErrNoKey)) {
					t.Errorf("credential %d with a wrong key: %v", i, err)
				}
			}
			if tt.opens {
				key := http.Header{"X-Api-Key": {ada.key}} // tokens end with their key
				agent := w.want(201, "POST", "/registry/agents", weather, key)
				w.want(204, "POST", "/registry/agents/"+agent.text("id")+"/credentials", fmt.Sprintf(`{"credential_type":"api_key","value":"hush-%d"}`, len(agents)), key)
				agents = append(agents, agent)
			} else if !strings.Contains(log.String(), `"level":"ERROR"`) {
				t.Errorf("told\n%s", &log)
			}
			for _, text := range []string{"hush", oldKey, newKey, jwtKey, otherJWT} {
				if strings.Contains(log.String(), text) {
					t.Errorf("%q is in the log", text)
				}
			}
		})
	}
}
