package httpapi

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// weatherOracle is the example of contract §4.1, with a whole id, and without the
// stored credential that has_credentials tells of there.
const weatherOracle = `{"id": "5b1d0000-0000-4000-8000-000000000001", "agent_id": "weather-oracle-9f3a01bc", "name": "Weather Oracle", "description": "Forecasts for any city.", "version": "1.0.0",
 "endpoint": "https://weather.example.org/invoke", "auth_type": "api_key", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
 "tags": ["weather"], "category": "data", "visibility": "public", "trust_verification": "self-signed", "is_active": true, "is_brand_agent": false,
 "supports_streaming": false, "hosted_entity": null, "has_credentials": false, "pricing_strategy": null, "base_price": null, "pricing_enabled": false,
 "created_at": "2026-04-23T12:00:00.000000Z", "updated_at": "2026-04-23T12:00:00.000000Z", "similarity_score": null, "rating_avg": null, "rating_count": 0,
 "quality_success_rate": null, "quality_avg_latency_ms": null, "quality_invocation_count": 0, "invocation_count": null}`

func exampleAgent() registry.Agent {
	endpoint, category := "https://weather.example.org/invoke", "data"
	at := time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	return registry.Agent{
		ID: "5b1d0000-0000-4000-8000-000000000001", Slug: "weather-oracle-9f3a01bc", Owner: "owner", Name: "Weather Oracle", Description: "Forecasts for any city.",
		Version: "1.0.0", Endpoint: &endpoint, AuthType: "api_key", InputSchema: []byte(`{"type":"object","properties":{"city":{"type":"string"}}}`),
		Tags: []string{"weather"}, Category: &category, Visibility: registry.Public, Trust: registry.SelfSigned, Active: true, Created: at, Updated: at, ContentChanged: at,
	}
}

func TestAnAgentLooksAsInTheContract(t *testing.T) {
	owner := principal.Principal{User: "owner"}
	got, err := httpx.JSON(toAgent(exampleAgent(), owner))
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, []byte(weatherOracle)); err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Errorf("got  %s\nwant %s", got, &want)
	}
}

// What is null or empty is there all the same: a client may rely on every member.
func TestEveryMemberOfAnAgentIsAlwaysThere(t *testing.T) {
	bare, err := httpx.JSON(toAgent(registry.Agent{}, principal.Principal{User: "somebody"}))
	if err != nil {
		t.Fatal(err)
	}
	var members, example map[string]any
	for text, into := range map[string]*map[string]any{string(bare): &members, weatherOracle: &example} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	for name := range example {
		if _, ok := members[name]; !ok {
			t.Errorf("%s is missing from %s", name, bare)
		}
	}
	if len(members) != len(example) {
		t.Errorf("got %d members, want %d", len(members), len(example))
	}
	if !reflect.DeepEqual(members["tags"], []any{}) {
		t.Errorf("tags is %v, want []", members["tags"])
	}
	list, err := httpx.JSON(toAgents(nil, principal.Principal{}))
	if err != nil || string(list) != "[]" {
		t.Errorf("no agents: got %s, %v, want []", list, err)
	}
}

func TestAPublicAgentHasCredentialsInItsOwnersEyesOnly(t *testing.T) {
	a := exampleAgent()
	a.AuthType = registry.AuthPublic
	for user, want := range map[principal.Principal]bool{{User: "owner"}: true, {User: "stranger"}: false, {}: false} {
		if got := toAgent(a, user).HasCredentials; got != want {
			t.Errorf("has_credentials for %q is %v, want %v", user.User, got, want)
		}
	}
}

func TestTheAccessOfTheRegistrysRoutes(t *testing.T) {
	want := []string{
		"DELETE /registry/agents/{uuid} delegable 204", "DELETE /registry/agents/{uuid}/credentials delegable 204", "GET /registry/agents delegable 200",
		"GET /registry/agents/new delegable 200", "GET /registry/agents/trending delegable 200", "GET /registry/agents/{agent_id} delegable 200",
		"GET /registry/agents/{agent_id}/ratings delegable 200", "GET /registry/discover delegable 200", "GET /registry/my-agents user 200",
		"POST /registry/agents delegable 201", "POST /registry/agents/{agent_id}/rate delegable 200", "POST /registry/agents/{uuid}/credentials delegable 204",
		"PUT /registry/agents/{uuid} delegable 200",
	}
	var got []string
	for _, r := range (&Registry{}).routes() {
		got = append(got, r.Method+" "+r.Pattern+" "+r.Access.String()+" "+map[int]string{200: "200", 201: "201", 204: "204"}[r.Success])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
