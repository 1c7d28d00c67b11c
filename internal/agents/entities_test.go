package agents_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

func TestEntityIsShownAsTheContractSays(t *testing.T) {
	now := testkit.NewClock(time.Date(2036, 4, 23, 12, 0, 0, 0, time.UTC))
	h := open(t, hostOptions{url: testkit.SQLite(t), now: now.Now})
	created := h.want(h.ask(ada, "POST", "/entities", `{"name":"aria","display_name":"Aria","instructions":"Be brief."}`), 201)
	id := created.json(t)["id"].(string)
	want := `{"id":"` + id + `","name":"aria","display_name":"Aria","instructions":"Be brief.","model":null,"temperature":null,` +
		`"tools":["discover_agents","invoke_agent","networks","memory","clock"],"memory_enabled":true,"status":"active",` +
		`"pause_reason":null,"owner_user_id":"` + ada + `","created_at":"2036-04-23T12:00:00.000000Z",` +
		`"updated_at":"2036-04-23T12:00:00.000000Z","last_active_at":null}`
	if got := string(created.body); got != want {
		t.Errorf("created\n got %s\nwant %s", got, want)
	}
	if got := string(h.ask(ada, "GET", "/entities/aria", "").body); got != want {
		t.Errorf("read\n got %s\nwant %s", got, want)
	}
	if got := string(h.ask(ada, "GET", "/entities", "").body); got != "["+want+"]" {
		t.Errorf("listed\n got %s\nwant [%s]", got, want)
	}
	if got := string(h.ask(grace, "GET", "/entities", "").body); got != "[]" {
		t.Errorf("a user without entities: got %s, want []", got)
	}
	if got := string(h.want(h.ask("", "GET", "/health", ""), 200).body); got != `{"status":"healthy"}` {
		t.Errorf("health: got %s", got)
	}
}

func TestBodiesOfEntityRoutes(t *testing.T) {
	h := open(t, hostOptions{url: testkit.SQLite(t)})
	h.create(ada, "aria")
	long := func(n int) string { return strings.Repeat("ä", n) }
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		want                     string // part of the answer
	}{
		{"every field of a create", "POST", "/entities", `{"name":"b1","display_name":"B","instructions":"","model":"m","temperature":0.5,"tools":["clock"],"memory_enabled":false}`, 201, `"model":"m","temperature":0.5,"tools":["clock"],"memory_enabled":false`},
		{"null model and temperature", "POST", "/entities", `{"name":"b2","model":null,"temperature":null,"tools":[]}`, 201, `"model":null,"temperature":null,"tools":[]`},
		{"longest values", "POST", "/entities", `{"name":"` + strings.Repeat("n", 63) + `","display_name":"` + long(128) + `","instructions":"` + long(32768) + `","model":"` + long(128) + `","temperature":2}`, 201, ""},
		{"too long display name", "POST", "/entities", `{"name":"b","display_name":"` + long(129) + `"}`, 422, "string_too_long"},
		{"empty display name", "POST", "/entities", `{"name":"b","display_name":""}`, 422, "string_too_short"},
		{"too long instructions", "POST", "/entities", `{"name":"b","instructions":"` + long(32769) + `"}`, 422, "string_too_long"},
		{"temperature above 2", "POST", "/entities", `{"name":"b","temperature":2.01}`, 422, "less_than_equal"},
		{"temperature below 0", "POST", "/entities", `{"name":"b","temperature":-0.1}`, 422, "greater_than_equal"},
		{"unknown tool", "POST", "/entities", `{"name":"b","tools":["shell"]}`, 422, "literal_error"},
		{"repeated tool", "POST", "/entities", `{"name":"b","tools":["clock","clock"]}`, 422, "value_error"},
		{"null tools", "POST", "/entities", `{"name":"b","tools":null}`, 422, "list_type"},
		{"no name", "POST", "/entities", `{}`, 422, "missing"},
		{"name with a bad character", "POST", "/entities", `{"name":"A"}`, 422, "string_pattern_mismatch"},
		{"name too long", "POST", "/entities", `{"name":"` + strings.Repeat("n", 64) + `"}`, 422, "string_pattern_mismatch"},
		{"unknown field", "POST", "/entities", `{"name":"b","colour":"red"}`, 422, "extra_forbidden"},
		{"another owner in the body", "POST", "/entities", `{"name":"b","owner_user_id":"` + grace + `"}`, 422, "extra_forbidden"},
		{"no body", "POST", "/entities", ``, 422, "missing"},
		{"taken name", "POST", "/entities", `{"name":"aria"}`, 409, "entity_exists"},

		{"patch of every field", "PATCH", "/entities/aria", `{"display_name":"A","instructions":"i","model":"m","temperature":1,"tools":["memory"],"memory_enabled":false}`, 200, `"display_name":"A","instructions":"i","model":"m","temperature":1,"tools":["memory"],"memory_enabled":false`},
		{"patch keeps what it does not name", "PATCH", "/entities/aria", `{"memory_enabled":true}`, 200, `"display_name":"A","instructions":"i","model":"m","temperature":1,"tools":["memory"],"memory_enabled":true`},
		{"null resets model and temperature", "PATCH", "/entities/aria", `{"model":null,"temperature":null}`, 200, `"model":null,"temperature":null`},
		{"null display name", "PATCH", "/entities/aria", `{"display_name":null}`, 422, "string_type"},
		{"null instructions", "PATCH", "/entities/aria", `{"instructions":null}`, 422, "string_type"},
		{"null tools", "PATCH", "/entities/aria", `{"tools":null}`, 422, "list_type"},
		{"null memory_enabled", "PATCH", "/entities/aria", `{"memory_enabled":null}`, 422, "bool_parsing"},
		{"empty patch", "PATCH", "/entities/aria", `{}`, 400, "empty_patch"},
		{"empty patch of nothing", "PATCH", "/entities/nobody", `{}`, 404, "not_found"},
		{"name", "PATCH", "/entities/aria", `{"name":"b"}`, 422, "extra_forbidden"},
		{"status", "PATCH", "/entities/aria", `{"status":"paused"}`, 422, "extra_forbidden"},
		{"id", "PATCH", "/entities/aria", `{"id":"x"}`, 422, "extra_forbidden"},
		{"a list", "PATCH", "/entities/aria", `[]`, 422, "object_type"},

		{"pause", "POST", "/entities/aria/pause", `{"reason":"holidays"}`, 200, `"status":"paused","pause_reason":"holidays"`},
		{"pause again without a reason", "POST", "/entities/aria/pause", ``, 200, `"status":"paused","pause_reason":"holidays"`},
		{"pause again with another reason", "POST", "/entities/aria/pause", `{"reason":"` + long(280) + `"}`, 200, `"status":"paused"`},
		{"reason too long", "POST", "/entities/aria/pause", `{"reason":"` + long(281) + `"}`, 422, "string_too_long"},
		{"unknown field of a pause", "POST", "/entities/aria/pause", `{"why":""}`, 422, "extra_forbidden"},
		{"message to a paused entity", "POST", "/entities/aria/chat", `{"content":"time"}`, 409, "entity_paused"},
		{"resume", "POST", "/entities/aria/resume", ``, 200, `"status":"active","pause_reason":null`},
		{"resume again", "POST", "/entities/aria/resume", ``, 200, `"status":"active","pause_reason":null`},

		{"name that misses its pattern", "GET", "/entities/ARIA", ``, 404, "not_found"},
		{"unknown entity", "GET", "/entities/nobody", ``, 404, "not_found"},
		{"unknown path", "GET", "/entities/aria/nothing", ``, 404, "not_found"},
	} {
		a := h.ask(ada, test.method, test.path, test.body)
		if a.status != test.status || !strings.Contains(string(a.body), test.want) {
			t.Errorf("%s: %s %s: got %d %.300s, want %d with %s", test.name, test.method, test.path, a.status, a.body, test.status, test.want)
		}
	}
}

func TestStrangersFindNothing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		h := open(t, hostOptions{url: url()})
		h.create(ada, "aria")
		message := h.want(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"remember city: Rome"}`), 201).json(t)["message_id"].(string)
		before := string(h.ask(ada, "GET", "/entities/aria/export", "").body)
		for _, r := range [][3]string{
			{"GET", "", ""}, {"PATCH", "", `{"display_name":"mine"}`}, {"DELETE", "", ""}, {"POST", "/pause", ""}, {"POST", "/resume", ""},
			{"POST", "/chat", `{"content":"recall"}`}, {"GET", "/chat", ""}, {"GET", "/chat/" + message + "/events", ""},
			{"GET", "/memories", ""}, {"DELETE", "/memories", ""}, {"GET", "/memories/city", ""}, {"PUT", "/memories/city", `{"value":"Oslo"}`},
			{"DELETE", "/memories/city", ""}, {"GET", "/export", ""},
		} {
			foreign := h.ask(grace, r[0], "/entities/aria"+r[1], r[2], "X-Request-Id", "x")
			unknown := h.ask(grace, r[0], "/entities/nobody"+r[1], r[2], "X-Request-Id", "x")
			if foreign.status != 404 || string(foreign.body) != string(unknown.body) {
				t.Errorf("%s %s: got %d %s, want the answer for an unknown one: %d %s", r[0], r[1], foreign.status, foreign.body, unknown.status, unknown.body)
			}
		}
		// With an entity of the same name, a stranger's message and page are still not there.
		h.create(grace, "aria")
		h.want(h.ask(grace, "GET", "/entities/aria/chat/"+message+"/events", ""), 404)
		h.want(h.ask(grace, "GET", "/entities/aria/chat?before="+message, ""), 404)
		h.want(h.ask(grace, "GET", "/entities/aria/memories/city", ""), 404)
		after := string(h.ask(ada, "GET", "/entities/aria/export", "").body)
		if cut(before) != cut(after) {
			t.Errorf("something changed:\n%s\n%s", before, after)
		}
	})
}

// cut removes the time of an export.
func cut(export string) string {
	_, rest, _ := strings.Cut(export, `"entity"`)
	return rest
}

func TestOnlyWisdomIsAdmitted(t *testing.T) {
	h := open(t, hostOptions{url: testkit.SQLite(t)})
	for _, test := range []struct {
		name, key, user string
		status          int
		code            string
	}{
		{"right", key, strings.ToUpper(ada), 200, ""},
		{"wrong key", key + "x", ada, 401, "not_authenticated"},
		{"empty key", "", ada, 401, "not_authenticated"},
		{"wrong key and user", "x", "x", 401, "not_authenticated"},
		{"no user", key, "", 400, "user_id_invalid"},
		{"user without hyphens", key, strings.ReplaceAll(ada, "-", ""), 400, "user_id_invalid"},
		{"user in braces", key, "{" + ada + "}", 400, "user_id_invalid"},
		{"text around a user", key, "x" + ada + "y", 400, "user_id_invalid"},
	} {
		a := h.ask(test.user, "GET", "/entities", "", "X-API-Key", test.key)
		if a.status != test.status || a.code() != test.code {
			t.Errorf("%s: got %d %s, want %d %s", test.name, a.status, a.code(), test.status, test.code)
		}
	}
}

func TestManyCreatesOfOneNameMakeOneEntity(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		h := open(t, hostOptions{url: url()})
		for round := range 3 {
			body := fmt.Sprintf(`{"name":"aria%d"}`, round)
			got := parallel(50, func(int) string { return outcome(h.ask(ada, "POST", "/entities", body)) })
			if got["201"] != 1 || got["409 entity_exists"] != 49 {
				t.Errorf("got %v, want 1 × 201 and 49 × 409 entity_exists", got)
			}
		}
	})
}

func TestManyCreatesWithOneKeyTakeEffectOnce(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		h := open(t, hostOptions{url: url()})
		bodies := make([]string, 50)
		got := parallel(50, func(i int) string {
			a := h.ask(ada, "POST", "/entities", `{"name":"aria","model":"m"}`, "Idempotency-Key", "k1")
			bodies[i] = string(a.body)
			return outcome(a)
		})
		if got["201"] != 1 || got["201 replayed"] != 49 {
			t.Errorf("got %v, want 1 × 201 and 49 × replayed", got)
		}
		for _, body := range bodies {
			if body != bodies[0] {
				t.Errorf("got %s and %s, want one answer", body, bodies[0])
			}
		}
		h.ask(ada, "PATCH", "/entities/aria", `{"model":"other"}`)
		for _, test := range []struct{ name, user, key, body, want string }{
			{"other order and spelling", ada, "k1", "{ \"model\" : \"\\u006d\",\n\"name\":\"aria\"}", "201 replayed"},
			{"other body", ada, "k1", `{"name":"aria"}`, "422 idempotency_key_reused"},
			{"absent and null differ", ada, "k1", `{"name":"aria","model":"m","temperature":null}`, "422 idempotency_key_reused"},
			{"other user", grace, "k1", `{"name":"aria","model":"m"}`, "201"},
			{"a refusal is kept", ada, "k2", `{"name":"aria"}`, "409 entity_exists"},
			{"and repeated", ada, "k2", `{"name":"aria"}`, "409 entity_exists replayed"},
			{"a malformed body is not kept", ada, "k3", `{"name":""}`, "422 validation_error"},
			{"so the key is free", ada, "k3", `{"name":"b"}`, "201"},
		} {
			if got := outcome(h.ask(test.user, "POST", "/entities", test.body, "Idempotency-Key", test.key)); got != test.want {
				t.Errorf("%s: got %s, want %s", test.name, got, test.want)
			}
		}
		if got := string(h.ask(ada, "POST", "/entities", `{"name":"aria","model":"m"}`, "Idempotency-Key", "k1").body); got != bodies[0] {
			t.Errorf("after a change: got %s, want the first answer %s", got, bodies[0])
		}
		// Deleting the entity forgets what was answered about it.
		h.want(h.ask(ada, "DELETE", "/entities/aria", ""), 204)
		if got := outcome(h.ask(ada, "POST", "/entities", `{"name":"aria"}`, "Idempotency-Key", "k2")); got != "201" {
			t.Errorf("create after delete with the key of a refusal: got %s, want 201", got)
		}
		h.want(h.ask(ada, "DELETE", "/entities/aria", ""), 204)
		if got := outcome(h.ask(ada, "POST", "/entities", `{"name":"aria"}`, "Idempotency-Key", "k1")); got != "201" {
			t.Errorf("create after delete: got %s, want 201", got)
		}
	})
}

func TestAnIdempotencyKeyLives24Hours(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		now := testkit.NewClock(time.Date(2036, 4, 23, 12, 0, 0, 0, time.UTC))
		h := open(t, hostOptions{url: url(), now: now.Now})
		first := func(name string) string {
			return outcome(h.ask(ada, "POST", "/entities", `{"name":"`+name+`"}`, "Idempotency-Key", "k"))
		}
		if got := first("aria"); got != "201" {
			t.Fatalf("got %s, want 201", got)
		}
		now.Add(24*time.Hour - time.Microsecond)
		if got := first("aria"); got != "201 replayed" {
			t.Errorf("before 24 h: got %s, want 201 replayed", got)
		}
		now.Add(time.Microsecond)
		if got := first("aria"); got != "409 entity_exists" {
			t.Errorf("after 24 h: got %s, want 409 entity_exists", got)
		}
	})
}
