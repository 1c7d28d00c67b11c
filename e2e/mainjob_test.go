package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTheMainJob runs one script on every way to deploy.
func TestTheMainJob(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { mainJob(t, embedded(t)) })
	t.Run("apart", func(t *testing.T) { mainJob(t, apart(t, 1)) })
	t.Run("two of each", func(t *testing.T) { mainJob(t, apart(t, 2)) })
}

// mainJob is what the product is for: sign up, create an entity, talk to it, hit the
// quota, pause it, export it, act through a service, and be locked out in time.
func mainJob(t *testing.T, s *stack) {
	ada, bob := signUp(t, s), signUp(t, s)
	entityJob(t, s, ada, bob)
	chatJob(t, s, ada)
	delegationJob(t, s, ada, bob)
	planJob(t, s, ada)
	for _, revoke := range []func(*testing.T, *stack){logoutEndsTheToken, passwordChangeEndsTokens, deactivationEndsEverything, deletedKeyEnds} {
		revoke(t, s)
	}
}

func entityJob(t *testing.T, s *stack, ada, bob account) {
	created := expect(t, 201, "POST", s.url()+"/personal/entities", `{"name":"aria","instructions":"Be brief."}`, ada.bearer()...)
	if created.text("owner_user_id") != ada.id || created.text("status") != "active" {
		t.Errorf("created: %s", created.body)
	}
	over := expect(t, 429, "POST", s.url()+"/personal/entities", `{"name":"second"}`, ada.bearer()...)
	if over.text("code") != "entity_quota_exceeded" || over.field("limit") != 1.0 || over.field("used") != 1.0 || over.header.Get("Retry-After") != "" {
		t.Errorf("over the quota: %s %v", over.body, over.header)
	}
	expect(t, 404, "GET", s.url()+"/personal/entities/aria", "", bob.bearer()...)
	expect(t, 404, "DELETE", s.url()+"/personal/entities/aria", "", bob.bearer()...)
	expect(t, 200, "GET", s.url()+"/personal/entities/aria", "", ada.bearer()...)
	if list := expect(t, 200, "GET", s.url()+"/personal/entities", "", bob.bearer()...); string(list.body) != "[]" {
		t.Errorf("bob sees %s", list.body)
	}
	if got := expect(t, 200, "PATCH", s.url()+"/personal/entities/aria", `{"display_name":"Aria"}`, ada.bearer()...).text("display_name"); got != "Aria" {
		t.Errorf("display_name = %q", got)
	}
	expect(t, 400, "PATCH", s.url()+"/personal/entities/aria", `{}`, ada.bearer()...)
	expect(t, 422, "PATCH", s.url()+"/personal/entities/aria", `{"owner_user_id":"`+bob.id+`"}`, ada.bearer()...)
}

func chatJob(t *testing.T, s *stack, ada account) {
	say := func(status int, content string) answer {
		t.Helper()
		return expect(t, status, "POST", s.url()+"/personal/entities/aria/messages", fmt.Sprintf(`{"content":%q}`, content), ada.bearer()...)
	}
	say(201, "remember city: Rome")
	if reply := say(201, "recall city").text("reply"); !strings.Contains(reply, "Rome") {
		t.Errorf("reply = %q, want it to name Rome", reply)
	}
	expect(t, 200, "PUT", s.url()+"/personal/entities/aria/memories/city", `{"value":"Oslo"}`, ada.bearer()...)
	if reply := say(201, "recall city").text("reply"); !strings.Contains(reply, "Oslo") {
		t.Errorf("reply = %q, want it to name Oslo", reply)
	}
	stream := expect(t, 200, "POST", s.url()+"/personal/entities/aria/messages", `{"content":"time"}`, append(ada.bearer(), "Accept", "text/event-stream")...)
	if !strings.Contains(string(stream.body), "event: reply.completed") || stream.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("stream: %v\n%s", stream.header, stream.body)
	}
	var history []struct{ ID, Role, Status string }
	if err := json.Unmarshal(expect(t, 200, "GET", s.url()+"/personal/entities/aria/messages", "", ada.bearer()...).body, &history); err != nil || len(history) != 8 {
		t.Fatalf("history: %v, %d messages, want 8", err, len(history))
	}
	replay := expect(t, 200, "GET", s.url()+"/personal/entities/aria/messages/"+history[6].ID+"/events", "", append(ada.bearer(), "Last-Event-ID", "1")...)
	if strings.Contains(string(replay.body), "message.started") || !strings.Contains(string(replay.body), "reply.completed") {
		t.Errorf("resumed stream:\n%s", replay.body)
	}
	expect(t, 200, "POST", s.url()+"/personal/entities/aria/pause", `{"reason":"holiday"}`, ada.bearer()...)
	if got := say(409, "hello").text("code"); got != "entity_paused" {
		t.Errorf("code = %q", got)
	}
	expect(t, 200, "POST", s.url()+"/personal/entities/aria/resume", "", ada.bearer()...)
	usage := expect(t, 200, "GET", s.url()+"/personal/usage", "", ada.bearer()...)
	if want := `"messages":{"used":4,"limit":500}`; !strings.Contains(string(usage.body), want) {
		t.Errorf("usage = %s, want %s in it", usage.body, want)
	}
	export := expect(t, 200, "GET", s.url()+"/personal/entities/aria/export", "", ada.bearer()...)
	if !strings.HasPrefix(export.header.Get("Content-Disposition"), "attachment") || !json.Valid(export.body) || !strings.Contains(string(export.body), "Oslo") {
		t.Errorf("export: %v\n%s", export.header, export.body)
	}
}

func delegationJob(t *testing.T, s *stack, ada, bob account) {
	service := []string{"X-Service-Key", serviceKeyOf(s), "X-On-Behalf-Of", ada.id}
	agent := expect(t, 201, "POST", s.url()+"/registry/agents", `{"name":"Weather","description":"Forecasts.","endpoint":"https://weather.example.org/invoke","visibility":"private"}`, service...)
	slug := agent.text("agent_id")
	expect(t, 200, "GET", s.url()+"/registry/agents/"+slug, "", ada.bearer()...)
	expect(t, 404, "GET", s.url()+"/registry/agents/"+slug, "", bob.bearer()...)
	expect(t, 404, "DELETE", s.url()+"/registry/agents/"+agent.text("id"), "", bob.bearer()...)
	expect(t, 401, "GET", s.url()+"/auth/me", "", service...)
	if me := expect(t, 200, "GET", s.url()+"/auth/me", "", append(bob.bearer(), service...)...); me.text("id") != bob.id {
		t.Errorf("service headers changed who %s is", me.body)
	}
	expect(t, 401, "GET", s.url()+"/personal/entities", "", service...)
	expect(t, 401, "GET", s.url()+"/registry/agents", "", append(bob.bearer(), "X-Service-Key", "wrong")...)
	expect(t, 204, "DELETE", s.url()+"/registry/agents/"+agent.text("id"), "", service...)
}

// serviceKeyOf reads the key that the embedded mode generated, if it did.
func serviceKeyOf(s *stack) string {
	if len(s.hosts) > 0 {
		return serviceKey
	}
	return generatedSecret(s, "AGENTS_SERVICE_API_KEY")
}

func planJob(t *testing.T, s *stack, ada account) {
	if out, code := command(t, s.admin, "", "admin", "users", "set-plan", "--email", ada.email, "--plan", "pro"); code != 0 {
		t.Fatalf("set-plan: %d\n%s", code, out)
	}
	expect(t, 201, "POST", s.url()+"/personal/entities", `{"name":"second"}`, ada.bearer()...)
	expect(t, 204, "DELETE", s.url()+"/personal/entities/second", "", ada.bearer()...)
	expect(t, 204, "DELETE", s.url()+"/personal/entities/aria", "", ada.bearer()...)
	expect(t, 404, "GET", s.url()+"/personal/entities/aria", "", ada.bearer()...)
	expect(t, 201, "POST", s.url()+"/personal/entities", `{"name":"aria"}`, ada.bearer()...)
}

// within1s insists that on every wisdom process the request is refused at most one
// second after the change was acknowledged.
func within1s(t *testing.T, s *stack, changed time.Time, headers ...string) {
	t.Helper()
	for _, w := range s.wisdoms {
		for {
			a := call(t, "GET", w.url+"/auth/me", "", headers...)
			if a.status == 401 {
				break
			}
			if late := time.Since(changed); late > time.Second {
				t.Fatalf("%s after the change %s still answers %d", late, w.url, a.status)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// warm makes every process cache the credential.
func warm(t *testing.T, s *stack, headers ...string) {
	t.Helper()
	for _, w := range s.wisdoms {
		expect(t, 200, "GET", w.url+"/auth/me", "", headers...)
	}
}

func logoutEndsTheToken(t *testing.T, s *stack) {
	eve := signUp(t, s)
	warm(t, s, eve.bearer()...)
	expect(t, 204, "POST", s.url()+"/auth/logout", "", eve.bearer()...)
	within1s(t, s, time.Now(), eve.bearer()...)
}

func passwordChangeEndsTokens(t *testing.T, s *stack) {
	eve := signUp(t, s)
	warm(t, s, eve.bearer()...)
	expect(t, 204, "POST", s.url()+"/auth/password", fmt.Sprintf(`{"old_password":%q,"new_password":"another long one"}`, eve.password), eve.bearer()...)
	within1s(t, s, time.Now(), eve.bearer()...)
	fresh := expect(t, 200, "POST", s.url()+"/auth/login", fmt.Sprintf(`{"email":%q,"password":"another long one"}`, eve.email))
	warm(t, s, "Authorization", "Bearer "+fresh.text("access_token"))
}

func deactivationEndsEverything(t *testing.T, s *stack) {
	eve := signUp(t, s)
	key := expect(t, 201, "POST", s.url()+"/auth/api-keys", `{"name":"laptop"}`, eve.bearer()...).text("key")
	warm(t, s, eve.bearer()...)
	warm(t, s, "X-API-Key", key)
	if out, code := command(t, s.admin, "", "admin", "users", "deactivate", "--id", eve.id); code != 0 {
		t.Fatalf("deactivate: %d\n%s", code, out)
	}
	changed := time.Now()
	within1s(t, s, changed, eve.bearer()...)
	within1s(t, s, changed, "X-API-Key", key)
	expect(t, 404, "GET", s.url()+"/registry/agents", "", "X-Service-Key", serviceKeyOf(s), "X-On-Behalf-Of", eve.id)
}

func deletedKeyEnds(t *testing.T, s *stack) {
	eve := signUp(t, s)
	key := expect(t, 201, "POST", s.url()+"/auth/api-keys", `{"name":"laptop"}`, eve.bearer()...)
	warm(t, s, "X-API-Key", key.text("key"))
	expect(t, 403, "DELETE", s.url()+"/auth/api-keys/"+key.text("id"), "", "X-API-Key", key.text("key"))
	expect(t, 204, "DELETE", s.url()+"/auth/api-keys/"+key.text("id"), "", eve.bearer()...)
	within1s(t, s, time.Now(), "X-API-Key", key.text("key"))
}
