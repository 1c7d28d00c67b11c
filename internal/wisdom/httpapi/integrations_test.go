package httpapi

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/integration"
)

// The examples of contract §7, with whole ids and times; and that what is null or empty
// is there all the same.
func TestConversationsAndIntegrationsLookAsInTheContract(t *testing.T) {
	at := time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	external, slug, kind := "customer-17", "weather-oracle-9f3a01bc", "chat"
	quota, timeout := int64(1000), 2500*time.Millisecond
	of := id.Integration("1f00")
	for _, tt := range []struct {
		sentence string
		got      any
		want     string
	}{
		{"a conversation", toConversation(conversation.Conversation{ID: "c0ff", User: "7c9e", ExternalUser: &external, Created: at, Updated: at}),
			`{"id": "c0ff", "user_id": "7c9e", "integration_id": null, "title": null, "external_user_id": "customer-17",
			  "created_at": "2026-04-23T12:00:00.000000Z", "updated_at": "2026-04-23T12:00:00.000000Z"}`},
		{"one of an integration", toConversation(conversation.Conversation{ID: "c0ff", User: "7c9e", Integration: &of, Title: &kind, Created: at, Updated: at}),
			`{"id": "c0ff", "user_id": "7c9e", "integration_id": "1f00", "title": "chat", "external_user_id": null,
			  "created_at": "2026-04-23T12:00:00.000000Z", "updated_at": "2026-04-23T12:00:00.000000Z"}`},
		{"a message", toMessage(conversation.Message{ID: "d00d", Conversation: "c0ff", Role: "assistant", Content: "sun", Metadata: []byte(`{"forecast":"sun"}`), Agent: &slug, Created: at}),
			`{"id": "d00d", "conversation_id": "c0ff", "role": "assistant", "content": "sun", "metadata": {"forecast": "sun"},
			  "agent_id": "weather-oracle-9f3a01bc", "created_at": "2026-04-23T12:00:00.000000Z"}`},
		{"a message of a user", toMessage(conversation.Message{ID: "d00d", Conversation: "c0ff", Role: "user", Content: "", Created: at}),
			`{"id": "d00d", "conversation_id": "c0ff", "role": "user", "content": "", "metadata": null, "agent_id": null, "created_at": "2026-04-23T12:00:00.000000Z"}`},
		{"an integration", toIntegration(integration.Integration{ID: "1f00", User: "7c9e", Name: "shop", Kind: &kind, Metadata: []byte(`{}`), Created: at, Updated: at}),
			`{"id": "1f00", "user_id": "7c9e", "name": "shop", "kind": "chat", "metadata": {},
			  "created_at": "2026-04-23T12:00:00.000000Z", "updated_at": "2026-04-23T12:00:00.000000Z"}`},
		{"a configuration", toBrokerConfig(integration.Config{Monthly: &quota, Daily: &quota, MaxRetries: 5, Backoff: 290 * time.Millisecond, Timeout: &timeout, Allowed: []id.Agent{"5b1d"}}),
			`{"monthly_quota": 1000, "daily_quota": 1000, "max_retries": 5, "retry_backoff_seconds": 0.29, "request_timeout_seconds": 2.5, "allowed_agent_ids": ["5b1d"]}`},
		{"that of an integration without one", toBrokerConfig(integration.Default()),
			`{"monthly_quota": null, "daily_quota": null, "max_retries": 0, "retry_backoff_seconds": 1, "request_timeout_seconds": null, "allowed_agent_ids": []}`},
		{"a running platform", toPlatformStatus(nil), `{"halted": false, "since": null}`},
		{"a halted one", toPlatformStatus(&at), `{"halted": true, "since": "2026-04-23T12:00:00.000000Z"}`},
		{"no conversations", toConversations(nil), `[]`},
		{"no messages", toMessages(nil), `[]`},
		{"no keys", toAPIKeys(nil), `[]`},
	} {
		got, err := httpx.JSON(tt.got)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(tt.want)); err != nil {
			t.Fatal(err)
		}
		if string(got) != want.String() {
			t.Errorf("%s:\n got %s\nwant %s", tt.sentence, got, &want)
		}
	}
}

func TestTheAccessOfTheRoutesOfConversationsIntegrationsAndAdministrators(t *testing.T) {
	want := []string{
		"DELETE /conversations/{id} user 204", "DELETE /conversations/{id}/messages/{mid} user 204", "DELETE /integrations/{id} keymgmt 204",
		"DELETE /integrations/{id}/api-keys/{key_id} keymgmt 204", "GET /admin/agents/disabled admin 200", "GET /admin/platform/status admin 200",
		"GET /conversations user 200", "GET /conversations/{id} user 200", "GET /conversations/{id}/logs user 200", "GET /conversations/{id}/messages user 200",
		"GET /conversations/{id}/messages/{mid} user 200", "GET /integrations user 200", "GET /integrations/{id} user 200",
		"GET /integrations/{id}/api-keys user 200", "GET /integrations/{id}/broker-config user 200", "GET /safety/status public 200",
		"PATCH /admin/users/{id} admin 200", "PATCH /conversations/{id} user 200", "POST /admin/agents/{uuid}/kill admin 200",
		"POST /admin/agents/{uuid}/reactivate admin 200", "POST /admin/platform/halt admin 200", "POST /admin/platform/resume admin 200",
		"POST /integrations user 201", "POST /integrations/{id}/api-keys keymgmt 201", "PUT /integrations/{id}/broker-config keymgmt 200",
	}
	var got []string
	for _, r := range slices.Concat((&Conversation{}).routes(), (&Integration{}).routes(), (&Admin{}).routes()) {
		got = append(got, r.Method+" "+r.Pattern+" "+r.Access.String()+" "+map[int]string{200: "200", 201: "201", 204: "204"}[r.Success])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
