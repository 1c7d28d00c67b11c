package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// asked is what one user asked an entity, and what came back.
type asked struct{ question, reply string }

var aNumber = regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?`)

// askEntity asks an entity n sums, one after the other, none of which another user with
// another offset asks. A wrong answer is an error of the test.
func askEntity(t *testing.T, s *stack, user account, n, offset int) []asked {
	var all []asked
	for i := range n {
		k := 2*i + offset + 2
		// 17.5 % of 40 k is 7 k.
		question := fmt.Sprintf("what is 17.5 %% of %d?", 40*k)
		a, err := try("POST", s.url()+"/personal/entities/aria/messages", fmt.Sprintf(`{"content":%q}`, question), user.bearer()...)
		if err != nil || a.status != 201 {
			t.Errorf("%s: %d %s %v", question, a.status, a.body, err)
			return all
		}
		reply := a.text("reply")
		if !slices.Contains(aNumber.FindAllString(reply, -1), strconv.Itoa(7*k)) {
			t.Errorf("%s: %q, want %d in it", question, reply, 7*k)
		}
		if a.text("owner_user_id") != user.id {
			t.Errorf("%s: answered by an entity of %s, want %s", question, a.text("owner_user_id"), user.id)
		}
		all = append(all, asked{question, reply})
	}
	return all
}

// TestEntitiesActForTheirOwnersOnly asks two users' entities at the same time, and looks
// at everything that the service wrote down about it.
func TestEntitiesActForTheirOwnersOnly(t *testing.T) {
	const each = 100
	addr := freeAddr(t)
	s := &stack{wisdoms: []*process{start(t, "http://"+addr, "/ready",
		[]string{"RATE_LIMIT_PER_MINUTE=0", "PERSONAL_FREE_TIER_MESSAGES_PER_MINUTE=100000", "PERSONAL_FREE_TIER_MESSAGES_PER_MONTH=100000"},
		"serve", "--data", t.TempDir(), "--addr", addr, "--agents-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0")}}
	users := []account{signUp(t, s), signUp(t, s)}
	said := make([][]asked, len(users))
	for _, user := range users {
		expect(t, 201, "POST", s.url()+"/personal/entities", `{"name":"aria"}`, user.bearer()...)
	}
	var wg sync.WaitGroup
	for i, user := range users {
		wg.Go(func() { said[i] = askEntity(t, s, user, each, i) })
	}
	wg.Wait()
	if t.Failed() {
		t.Fatalf("%s", s.wisdoms[0].log)
	}
	for i, user := range users {
		onlyOf(t, s, user, said[i], users[1-i], said[1-i])
	}
}

// onlyOf checks all that a user can see of his own questions: logs, conversations,
// messages and the entity's history. Nothing of the other user may be in any of it.
func onlyOf(t *testing.T, s *stack, user account, own []asked, other account, others []asked) {
	logs := pages[map[string]any](t, s.url()+"/broker/logs", 100, user.bearer()...)
	if len(logs) != len(own) {
		t.Errorf("%d log rows of %d questions", len(logs), len(own))
	}
	for _, row := range logs {
		actor, _ := row["actor"].(map[string]any)
		if row["caller_user_id"] != user.id || actor["type"] != "service" || actor["id"] != "wisdom-agents" || row["success"] != true {
			t.Fatalf("a log row of %s: %v", user.id, row)
		}
	}
	conversations := pages[map[string]any](t, s.url()+"/conversations", 500, user.bearer()...)
	if len(conversations) != len(own) {
		t.Errorf("%d conversations of %d questions", len(conversations), len(own))
	}
	seen := []any{logs, conversations}
	questions := map[any]bool{}
	for _, c := range conversations {
		if c["user_id"] != user.id {
			t.Fatalf("a conversation of %s: %v", user.id, c)
		}
		messages := pages[map[string]any](t, fmt.Sprintf("%s/conversations/%s/messages", s.url(), c["id"]), 100, user.bearer()...)
		if len(messages) != 2 || messages[0]["role"] != "user" || messages[1]["role"] != "assistant" {
			t.Fatalf("a conversation's messages: %v", messages)
		}
		questions[messages[0]["content"]] = true
		seen = append(seen, messages)
		expect(t, 404, "GET", fmt.Sprintf("%s/conversations/%s", s.url(), c["id"]), "", other.bearer()...)
	}
	for _, a := range own {
		if !questions[a.question] {
			t.Errorf("no conversation has the question %q", a.question)
		}
	}
	text, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	history := expect(t, 200, "GET", s.url()+"/personal/entities/aria/messages?limit=200", "", user.bearer()...).body
	for _, place := range []string{string(text), string(history)} {
		if strings.Contains(place, other.id) {
			t.Errorf("%s sees the id of %s", user.id, other.id)
		}
		for _, a := range others {
			if strings.Contains(place, a.question) {
				t.Errorf("%s sees what %s asked: %q", user.id, other.id, a.question)
			}
		}
	}
	if got := strings.Count(string(history), `"role":"user"`); got != len(own) {
		t.Errorf("the history has %d questions, want %d", got, len(own))
	}
}
