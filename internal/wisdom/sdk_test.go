package wisdom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/sdk/intuno"
)

// sdkScene is a wisdom behind a real listener, with agents elsewhere and a host, as a Go
// program with the SDK sees it.
type sdkScene struct {
	*world
	url      string
	outside  *elsewhere
	ada, bob user
	n        int

	mu   sync.Mutex
	seen []string // method and path of what was sent
}

func newSDKScene(t *testing.T) *sdkScene {
	t.Helper()
	outside := newElsewhere(t)
	outside.text("/invoke", `{"reply":"sun"}`)
	outside.text(cardPath, `{"name":"Weather Oracle","description":"Forecasts.","url":"`+outside.URL+`/rpc","skills":[]}`)
	host := httptest.NewServer(http.HandlerFunc(sdkHost))
	t.Cleanup(host.Close)
	outside.text("/webhook", `{"reply":"sun"}`)
	outside.serve("/gone", respond(410, ""))
	base, serve := listenFirst(t) // reply URLs name it
	w := newWorld(t, nil, "BASE_URL", base, "INVOKE_ENDPOINT_ALLOWED_HOSTS", outside.host(), "INTUNO_AGENTS_BASE_URL", host.URL,
		"PERSONAL_FREE_TIER_ENTITY_CAP", "100", "PERSONAL_FREE_TIER_MESSAGES_PER_MINUTE", "1000")
	serve(w.handler)
	return &sdkScene{world: w, url: base, outside: outside, ada: w.signUp("ada"), bob: w.signUp("bob")}
}

// sdkHost answers as wisdom-agents does.
func sdkHost(w http.ResponseWriter, r *http.Request) {
	const at = `"2026-04-23T12:00:00.000000Z"`
	owner := r.Header.Get("X-User-Id")
	memory := `{"key":"city","value":"Rome","source":"user","created_at":` + at + `,"updated_at":` + at + `}`
	message := `{"id":"9a01e679-7425-40de-944b-e07fc1f90ae7","role":"user","content":"hi","in_reply_to":null,"status":"completed","error":null,"tool_calls":[],"created_at":` + at + `}`
	turn := `{"message_id":"9a01e679-7425-40de-944b-e07fc1f90ae7","reply":"hello","reply_message_id":"x","entity":"aria","owner_user_id":"` + owner + `","tool_calls":[],"created_at":` + at + `,"completed_at":` + at + `}`
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	name, more, status := "aria", "", 200
	if len(parts) > 1 {
		name = parts[1]
	}
	if len(parts) > 2 {
		more = parts[2]
	}
	if r.Method == "POST" && len(parts) == 1 {
		var body struct{ Name string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		name, status = body.Name, 201
	}
	entity := fmt.Sprintf(`{"id":"e0a1","name":%q,"display_name":"Aria","instructions":"","model":null,"temperature":null,"tools":[],"memory_enabled":true,"status":"active","pause_reason":null,"owner_user_id":%q,"created_at":%s,"updated_at":%s,"last_active_at":null}`, name, owner, at, at)
	answer := entity
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == "DELETE":
		w.WriteHeader(204)
		return
	case r.Header.Get("Accept") == "text/event-stream":
		w.Header().Set("Content-Type", "text/event-stream")
		answer = "retry: 2000\n\nid: 1\nevent: message.started\ndata: {\"message_id\":\"9a01e679-7425-40de-944b-e07fc1f90ae7\"}\n\nid: 2\nevent: reply.completed\ndata: " + turn + "\n\n"
	case more == "chat" && r.Method == "POST":
		answer, status = turn, 201
	case more == "chat" && r.URL.Query().Get("before") != "", more == "memories" && r.URL.Query().Get("after") != "":
		answer = `[]`
	case more == "chat":
		answer = `[` + message + `]`
	case more == "memories" && len(parts) == 3:
		answer = `[` + memory + `]`
	case more == "memories":
		answer = memory
	case more == "export":
		answer = `{"version":1,"exported_at":` + at + `,"entity":` + entity + `,"memories":[],"messages":[],"deliveries":[]}`
	case len(parts) == 1 && r.Method == "GET":
		answer = `[` + entity + `]`
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

// RoundTrip records what is sent. It makes a scene a transport for the SDK.
func (s *sdkScene) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Method+" "+r.URL.EscapedPath())
	s.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

func (s *sdkScene) client(opts ...intuno.Option) *intuno.Client {
	s.t.Helper()
	c, err := intuno.NewClient(s.url, append(opts, intuno.WithTransport(s), intuno.WithRetries(0))...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// clients are ada's, one for every credential that reaches a route of that class. The
// tokens are fresh: some calls revoke theirs.
func (s *sdkScene) clients(class string) map[string]*intuno.Client {
	s.t.Helper()
	if class == "public" || class == "signed" {
		return map[string]*intuno.Client{"nothing": s.client()}
	}
	login, err := s.client().Login(s.t.Context(), "ada@example.org", "correct horse")
	if err != nil {
		s.t.Fatal(err)
	}
	list := map[string]*intuno.Client{"token": s.client(intuno.WithToken(login.AccessToken))}
	if class == "user" || class == "delegable" {
		list["api key"] = s.client(intuno.WithAPIKey(s.ada.key))
	}
	if class == "delegable" {
		list["service key"] = s.client(intuno.WithServiceKey(firstKey).ActingFor(s.ada.id), intuno.WithRequestID("sdk-1"), intuno.WithDepth(1))
	}
	return list
}

// owner is ada with an API key that lives on; token is ada with a token that does.
func (s *sdkScene) owner() *intuno.Client { return s.client(intuno.WithAPIKey(s.ada.key)) }
func (s *sdkScene) token() *intuno.Client {
	for name, c := range s.clients("jwt") {
		if name == "token" {
			return c
		}
	}
	return nil
}

// must is the value of a preparation.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// agent registers an agent that works.
func (s *sdkScene) agent(c *intuno.Client) api.Agent {
	s.t.Helper()
	s.n++
	return must(c.RegisterAgent(s.t.Context(), api.NewAgent{Name: fmt.Sprintf("Agent %d", s.n), Description: "Tells the weather", Endpoint: s.outside.URL + "/invoke", Tags: []string{"weather"}}))
}

// invoked invokes an agent as ada.
func (s *sdkScene) invoked(slug string) api.InvokeResponse {
	s.t.Helper()
	return must(s.owner().Invoke(s.t.Context(), ask1(slug)))
}

func ask1(slug string) api.InvokeRequest {
	return api.InvokeRequest{AgentID: slug, Input: api.Object(`{"message":"hi"}`)}
}

// sdkCall is a method of the SDK, the route that it is for, and a call that succeeds.
type sdkCall struct {
	route string
	call  func(ctx context.Context, s *sdkScene, c *intuno.Client) error
}

// value is the error of a call, or one if it answered nothing at all.
func value[T any](v T, err error) error {
	if err == nil && reflect.ValueOf(&v).Elem().IsZero() {
		return errors.New("the answer is empty")
	}
	return err
}

// finished reads a stream to its end.
func finished(s *intuno.Stream, err error) error {
	if err != nil {
		return err
	}
	n := 0
	for _, err := range s.All() {
		if err != nil {
			return err
		}
		n++
	}
	if n < 2 {
		return fmt.Errorf("%d events", n)
	}
	return nil
}

var sdkAuth = map[string]sdkCall{
	"Register": {"POST /auth/register", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.Register(ctx, api.NewUser{Email: "new@example.org", Password: "correct horse"}))
	}},
	"Login": {"POST /auth/login", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.Login(ctx, "ada@example.org", "correct horse"))
	}},
	"Logout": {"POST /auth/logout", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		if err := c.Logout(ctx); err != nil {
			return err
		}
		if _, err := c.Me(ctx); !errors.Is(err, intuno.ErrUnauthorized) {
			return fmt.Errorf("after the logout: %v", err)
		}
		return nil
	}},
	"ChangePassword": {"POST /auth/password", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		s.signUp("carol")
		carol := must(c.With(intuno.WithToken(must(c.Login(ctx, "carol@example.org", "correct horse")).AccessToken)))
		return carol.ChangePassword(ctx, "correct horse", "battery staple")
	}},
	"Me": {"GET /auth/me", func(ctx context.Context, s *sdkScene, c *intuno.Client) error { return value(c.Me(ctx)) }},
	"CreateAPIKey": {"POST /auth/api-keys", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.CreateAPIKey(ctx, api.NewAPIKey{Name: "k"}))
	}},
	"APIKeys": {"GET /auth/api-keys", func(ctx context.Context, s *sdkScene, c *intuno.Client) error { return value(c.APIKeys(ctx)) }},
	"DeleteAPIKey": {"DELETE /auth/api-keys/{key_id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return c.DeleteAPIKey(ctx, must(c.CreateAPIKey(ctx, api.NewAPIKey{Name: "k"})).ID)
	}},
}

var sdkRegistry = map[string]sdkCall{
	"RegisterAgent": {"POST /registry/agents", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.RegisterAgent(ctx, api.NewAgent{Name: "One", Description: "d", Endpoint: s.outside.URL + "/invoke"}))
	}},
	"Agents": {"GET /registry/agents", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.Agents(ctx, intuno.AgentQuery{Tags: []string{"weather"}, Sort: "name", Page: intuno.Page{Limit: 1}}))
	}},
	"NewAgents": {"GET /registry/agents/new", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.NewAgents(ctx, intuno.RecentQuery{Days: 3}))
	}},
	"TrendingAgents": {"GET /registry/agents/trending", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.TrendingAgents(ctx, intuno.TrendingQuery{Days: 1, Limit: 2}))
	}},
	"Agent": {"GET /registry/agents/{agent_id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.Agent(ctx, s.agent(s.owner()).AgentID))
	}},
	"UpdateAgent": {"PUT /registry/agents/{uuid}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		tags := []string{}
		changed, err := c.UpdateAgent(ctx, s.agent(s.owner()).ID, api.AgentPatch{Tags: tags})
		if err == nil && (len(changed.Tags) != 0 || changed.Description == "") {
			return fmt.Errorf("changed to %+v", changed)
		}
		return err
	}},
	"DeleteAgent": {"DELETE /registry/agents/{uuid}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return c.DeleteAgent(ctx, s.agent(s.owner()).ID)
	}},
	"PutCredential": {"POST /registry/agents/{uuid}/credentials", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return c.PutCredential(ctx, s.agent(s.owner()).ID, api.NewCredential{CredentialType: "api_key", Value: "v"})
	}},
	"DeleteCredentials": {"DELETE /registry/agents/{uuid}/credentials", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return c.DeleteCredentials(ctx, s.agent(s.owner()).ID)
	}},
	"RateAgent": {"POST /registry/agents/{agent_id}/rate", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.RateAgent(ctx, s.foreign(), api.NewRating{Score: 5}))
	}},
	"Ratings": {"GET /registry/agents/{agent_id}/ratings", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		slug := s.foreign()
		must(s.owner().RateAgent(ctx, slug, api.NewRating{Score: 4}))
		return value(c.Ratings(ctx, slug, intuno.Page{Limit: 1}))
	}},
	"Discover": {"GET /registry/discover", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		found, err := c.Discover(ctx, intuno.Discovery{Query: "weather", Limit: 3, RankBy: intuno.RankSimilarityOnly})
		if err == nil && (len(found) == 0 || found[0].SimilarityScore == nil) {
			return fmt.Errorf("found %+v", found)
		}
		return err
	}},
	"MyAgents": {"GET /registry/my-agents", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.MyAgents(ctx, intuno.Page{Limit: 1}))
	}},
}

// foreign is an agent of bob's that ada has invoked.
func (s *sdkScene) foreign() string {
	slug := s.agent(s.client(intuno.WithAPIKey(s.bob.key))).AgentID
	s.invoked(slug)
	return slug
}

var sdkBroker = map[string]sdkCall{
	"Invoke": {"POST /broker/invoke", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		got, err := c.Invoke(ctx, ask1(s.agent(s.owner()).AgentID))
		if err == nil && (string(got.Data) != `{"reply":"sun"}` || got.InvocationID == nil) {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"InvokeStream": {"POST /broker/invoke/stream", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return finished(c.InvokeStream(ctx, ask1(s.agent(s.owner()).AgentID)))
	}},
	"Logs": {"GET /broker/logs", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		s.invoked(s.agent(s.owner()).AgentID)
		return value(c.Logs(ctx, intuno.LogQuery{Status: "success", Page: intuno.Page{Limit: 1}}))
	}},
	"AgentLogs": {"GET /broker/logs/agent/{agent_uuid}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		a := s.agent(s.owner())
		s.invoked(a.AgentID)
		return value(c.AgentLogs(ctx, a.ID, intuno.Page{}))
	}},
}

// conversation is one of ada's, with its messages.
func (s *sdkScene) conversation() (string, []api.Message) {
	id := *s.invoked(s.agent(s.owner()).AgentID).ConversationID
	return id, must(s.owner().Messages(s.t.Context(), id, intuno.Page{}))
}

var sdkConversations = map[string]sdkCall{
	"Conversations": {"GET /conversations", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		s.conversation()
		return value(c.Conversations(ctx, intuno.ConversationQuery{Page: intuno.Page{Limit: 1}}))
	}},
	"Conversation": {"GET /conversations/{id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, _ := s.conversation()
		return value(c.Conversation(ctx, id))
	}},
	"UpdateConversation": {"PATCH /conversations/{id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, _ := s.conversation()
		title := "Weather"
		return value(c.UpdateConversation(ctx, id, api.ConversationPatch{Title: &title}))
	}},
	"DeleteConversation": {"DELETE /conversations/{id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, _ := s.conversation()
		return c.DeleteConversation(ctx, id)
	}},
	"ConversationLogs": {"GET /conversations/{id}/logs", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, _ := s.conversation()
		return value(c.ConversationLogs(ctx, id, intuno.Page{Limit: 1}))
	}},
	"Messages": {"GET /conversations/{id}/messages", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, _ := s.conversation()
		return value(c.Messages(ctx, id, intuno.Page{Limit: 1}))
	}},
	"Message": {"GET /conversations/{id}/messages/{mid}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, messages := s.conversation()
		return value(c.Message(ctx, id, messages[0].ID))
	}},
	"DeleteMessage": {"DELETE /conversations/{id}/messages/{mid}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, messages := s.conversation()
		return c.DeleteMessage(ctx, id, messages[0].ID)
	}},
}

// integration is one of ada's.
func (s *sdkScene) integration() string {
	return must(s.owner().CreateIntegration(s.t.Context(), api.NewIntegration{Name: "shop"})).ID
}

var sdkIntegrations = map[string]sdkCall{
	"CreateIntegration": {"POST /integrations", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.CreateIntegration(ctx, api.NewIntegration{Name: "shop", Metadata: api.Object(`{"a":1}`)}))
	}},
	"Integrations": {"GET /integrations", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		s.integration()
		return value(c.Integrations(ctx))
	}},
	"Integration": {"GET /integrations/{id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.Integration(ctx, s.integration()))
	}},
	"DeleteIntegration": {"DELETE /integrations/{id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return c.DeleteIntegration(ctx, s.integration())
	}},
	"IntegrationKeys": {"GET /integrations/{id}/api-keys", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id := s.integration()
		must(s.token().CreateIntegrationKey(ctx, id, api.NewAPIKey{Name: "k"}))
		return value(c.IntegrationKeys(ctx, id))
	}},
	"CreateIntegrationKey": {"POST /integrations/{id}/api-keys", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.CreateIntegrationKey(ctx, s.integration(), api.NewAPIKey{Name: "k"}))
	}},
	"DeleteIntegrationKey": {"DELETE /integrations/{id}/api-keys/{key_id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id := s.integration()
		return c.DeleteIntegrationKey(ctx, id, must(c.CreateIntegrationKey(ctx, id, api.NewAPIKey{Name: "k"})).ID)
	}},
	"BrokerConfig": {"GET /integrations/{id}/broker-config", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.BrokerConfig(ctx, s.integration()))
	}},
	"SetBrokerConfig": {"PUT /integrations/{id}/broker-config", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, quota := s.integration(), int64(7)
		got, err := c.SetBrokerConfig(ctx, id, api.BrokerConfig{DailyQuota: &quota, MaxRetries: 1})
		if err == nil && (got.DailyQuota == nil || *got.DailyQuota != 7 || got.MonthlyQuota != nil) {
			return fmt.Errorf("set %+v", got)
		}
		if err == nil {
			got, err = c.SetBrokerConfig(ctx, id, api.BrokerConfig{})
		}
		if err == nil && (got.DailyQuota != nil || got.MaxRetries != 0) {
			return fmt.Errorf("replaced by %+v", got)
		}
		return err
	}},
}

var sdkA2A = map[string]sdkCall{
	"PlatformCard":  {"GET /.well-known/agent-card.json", func(ctx context.Context, s *sdkScene, c *intuno.Client) error { return value(c.PlatformCard(ctx)) }},
	"MCPServerCard": {"GET /.well-known/mcp/server-card.json", func(ctx context.Context, s *sdkScene, c *intuno.Client) error { return value(c.MCPServerCard(ctx)) }},
	"AgentCard": {"GET /a2a/agents/{agent_id}/agent-card", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.AgentCard(ctx, s.agent(s.owner()).AgentID))
	}},
	"AgentCards": {"GET /a2a/agents", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.AgentCards(ctx, intuno.Page{Limit: 1}))
	}},
	"ImportA2A": {"POST /a2a/agents/import", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.ImportA2A(ctx, api.CardImport{URL: s.outside.URL}))
	}},
	"ImportA2ABatch": {"POST /a2a/agents/import/batch", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		got, err := c.ImportA2ABatch(ctx, []string{s.outside.URL, s.outside.URL + "/nothing"})
		if err == nil && (len(got) != 2 || !got[0].Success || got[1].Code != api.CodeCardNotFound) {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"RefreshA2A": {"POST /a2a/agents/{agent_id}/refresh", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.RefreshA2A(ctx, must(s.owner().ImportA2A(ctx, api.CardImport{URL: s.outside.URL})).AgentID))
	}},
	"PreviewA2A": {"GET /a2a/agents/fetch-card", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.PreviewA2A(ctx, s.outside.URL))
	}},
	"SendA2A": {"POST /a2a/agents/{agent_id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		params := `{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"hi"}]}}`
		got, err := c.SendA2A(ctx, s.agent(s.owner()).AgentID, api.RPCRequest{ID: json.RawMessage(`7`), Method: "message/send", Params: json.RawMessage(params)})
		if err == nil && (string(got.ID) != "7" || got.Error != nil || !strings.Contains(string(got.Result), "sun")) {
			return fmt.Errorf("got %s %s %+v", got.ID, got.Result, got.Error)
		}
		return err
	}},
	"SendA2ATask": {"POST /a2a/tasks/send", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		params := fmt.Sprintf(`{"network_id":%q,"sender_participant_id":%q,"recipient_participant_id":%q,"task":{"id":"t","metadata":{"intuno_channel":"mailbox"}}}`, n.id, n.ada.ID, n.weather.ID)
		got, err := c.SendA2ATask(ctx, api.RPCRequest{ID: json.RawMessage(`"x"`), Params: json.RawMessage(params)})
		if err == nil && (string(got.ID) != `"x"` || got.Error != nil || !strings.Contains(string(got.Result), `"state":"submitted"`)) {
			return fmt.Errorf("got %s %s %+v", got.ID, got.Result, got.Error)
		}
		var refused *intuno.Error
		if _, bad := c.SendA2ATask(ctx, api.RPCRequest{Params: json.RawMessage(`{}`)}); !errors.As(bad, &refused) || refused.Status != 400 || !strings.Contains(string(refused.Members["error"]), "-32602") {
			return fmt.Errorf("no network: %v", bad)
		}
		return err
	}},
}

const sdkMessage = "9a01e679-7425-40de-944b-e07fc1f90ae7"

var sdkPersonal = map[string]sdkCall{
	"CreateEntity": {"POST /personal/entities", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.CreateEntity(ctx, api.NewEntity{Name: "aria"}, intuno.Once("k")))
	}},
	"Entities": {"GET /personal/entities", func(ctx context.Context, s *sdkScene, c *intuno.Client) error { return value(c.Entities(ctx)) }},
	"Entity":   {"GET /personal/entities/{name}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error { return value(c.Entity(ctx, "aria")) }},
	"UpdateEntity": {"PATCH /personal/entities/{name}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.UpdateEntity(ctx, "aria", api.EntityPatch{Model: api.Null[string]()}))
	}},
	"DeleteEntity": {"DELETE /personal/entities/{name}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error { return c.DeleteEntity(ctx, "aria") }},
	"PauseEntity": {"POST /personal/entities/{name}/pause", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.PauseEntity(ctx, "aria", "holiday"))
	}},
	"ResumeEntity": {"POST /personal/entities/{name}/resume", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.ResumeEntity(ctx, "aria"))
	}},
	"SendMessage": {"POST /personal/entities/{name}/messages", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.SendMessage(ctx, "aria", "hi", intuno.Once("m")))
	}},
	"StreamMessage": {"POST /personal/entities/{name}/messages", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return finished(c.StreamMessage(ctx, "aria", "hi"))
	}},
	"FollowMessage": {"GET /personal/entities/{name}/messages/{message_id}/events", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return finished(c.FollowMessage(ctx, "aria", sdkMessage, 0))
	}},
	"ChatMessages": {"GET /personal/entities/{name}/messages", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.ChatMessages(ctx, "aria", intuno.ChatQuery{Limit: 3}))
	}},
	"Memories": {"GET /personal/entities/{name}/memories", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.Memories(ctx, "aria", intuno.MemoryQuery{Prefix: "c"}))
	}},
	"Memory": {"GET /personal/entities/{name}/memories/{key}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.Memory(ctx, "aria", "city"))
	}},
	"PutMemory": {"PUT /personal/entities/{name}/memories/{key}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.PutMemory(ctx, "aria", "city", "Rome"))
	}},
	"DeleteMemory": {"DELETE /personal/entities/{name}/memories/{key}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return c.DeleteMemory(ctx, "aria", "city")
	}},
	"DeleteMemories": {"DELETE /personal/entities/{name}/memories", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return c.DeleteMemories(ctx, "aria")
	}},
	"ExportEntity": {"GET /personal/entities/{name}/export", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		body, err := c.ExportEntity(ctx, "aria")
		if err != nil {
			return err
		}
		defer body.Close()
		var export api.Export
		return errors.Join(json.NewDecoder(body).Decode(&export), value(export, nil))
	}},
	"Usage": {"GET /personal/usage", func(ctx context.Context, s *sdkScene, c *intuno.Client) error { return value(c.Usage(ctx)) }},
}

// sdkAliases are routes that answer what another one answers.
var sdkAliases = map[string]string{
	"GET /.well-known/agent.json": "GET /.well-known/agent-card.json",
	"GET /a2a/agent-card":         "GET /.well-known/agent-card.json",
}

func sdkCalls() map[string]sdkCall {
	all := map[string]sdkCall{}
	for _, group := range []map[string]sdkCall{sdkAuth, sdkRegistry, sdkBroker, sdkConversations, sdkIntegrations, sdkNetworks, sdkChannels, sdkA2A, sdkPersonal} {
		for name, c := range group {
			all[name] = c
		}
	}
	return all
}

// sdkPaths are the sections 3 to 9 of the contract.
var sdkPaths = regexp.MustCompile(`^[A-Z]+ /(auth|registry|broker|networks|conversations|integrations|a2a|\.well-known|personal)(/|$)`)

func TestTheSDKHasAMethodForEveryRoute(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range sdkCalls() {
		covered[c.route] = true
	}
	served := map[string]bool{}
	for _, r := range newWorld(t, nil).service.edge.Routes() {
		route := r.Method + " " + r.Pattern
		served[route] = true
		if sdkPaths.MatchString(route) && !covered[route] && !covered[sdkAliases[route]] {
			t.Errorf("no method of the SDK is for %s", route)
		}
	}
	for name, c := range sdkCalls() {
		if !served[c.route] {
			t.Errorf("%s is for %s, which is not served", name, c.route)
		}
	}
	// The other way round: every method that asks the server is in the table.
	for m := range reflect.TypeFor[*intuno.Client]().Methods() {
		asks := m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]()
		_, listed := sdkCalls()[m.Name]
		if asks && !listed && !strings.HasPrefix(m.Name, "All") {
			t.Errorf("%s is not in the table of this test", m.Name)
		}
	}
}

func TestEveryMethodOfTheSDKWorksWithEveryCredentialOfItsRoute(t *testing.T) {
	s := newSDKScene(t)
	s.invoked(s.agent(s.owner()).AgentID) // so that no list is empty
	must(s.token().CreateEntity(t.Context(), api.NewEntity{Name: "aria"}))
	classes := map[string]string{}
	for _, r := range s.service.edge.Routes() {
		classes[r.Method+" "+r.Pattern] = r.Access.String()
	}
	for name, c := range sdkCalls() {
		class := classes[c.route]
		if class == "" {
			continue // the test above says so
		}
		for credential, client := range s.clients(class) {
			s.mu.Lock()
			s.seen = nil
			s.mu.Unlock()
			if err := c.call(t.Context(), s, client); err != nil {
				t.Errorf("%s with %s: %v", name, credential, err)
			}
			pattern := regexp.MustCompile("^" + regexp.MustCompile(`\\\{[a-z_]+\\\}`).ReplaceAllString(regexp.QuoteMeta(c.route), "[^/]+") + "$")
			if !slices.ContainsFunc(s.seen, pattern.MatchString) {
				t.Errorf("%s asked %v, want %s", name, s.seen, c.route)
			}
		}
	}
}

// TestTheSDKOfAServiceActsForItsUserOnly: a hosted agent belongs to the user that the client
// acts for, and routes that are not delegable answer a service 401.
func TestTheSDKOfAServiceActsForItsUserOnly(t *testing.T) {
	s := newSDKScene(t)
	key, hosted := intuno.WithServiceKey(firstKey), "aria"
	base := s.client(key.ActingFor(s.ada.id))
	for _, u := range []user{s.ada, s.bob} {
		c := must(base.With(key.ActingFor(u.id), intuno.WithRequestID("turn-"+u.id), intuno.WithDepth(2)))
		agent, err := c.RegisterAgent(t.Context(), api.NewAgent{Name: "Aria", Description: "An entity", HostedEntity: &hosted})
		if err != nil || agent.HostedEntity == nil || agent.Visibility != "private" || agent.Endpoint != nil {
			t.Fatalf("registered %+v: %v", agent, err)
		}
		again, err := c.RegisterAgent(t.Context(), api.NewAgent{Name: "Aria 2", Description: "An entity", HostedEntity: &hosted})
		if err != nil || again.ID != agent.ID || again.Name != "Aria 2" {
			t.Errorf("again %+v: %v", again, err)
		}
		mine := must(s.client(intuno.WithAPIKey(u.key)).MyAgents(t.Context(), intuno.Page{}))
		if len(mine) != 1 || mine[0].ID != agent.ID {
			t.Errorf("the user has %+v", mine)
		}
		for name, call := range map[string]func() error{
			"my agents": func() error { return value(c.MyAgents(t.Context(), intuno.Page{})) },
			"me":        func() error { return value(c.Me(t.Context())) },
			"stream":    func() error { return finished(c.InvokeStream(t.Context(), ask1(agent.AgentID))) },
			"logs":      func() error { return value(c.Logs(t.Context(), intuno.LogQuery{})) },
			"preview":   func() error { return value(c.PreviewA2A(t.Context(), s.outside.URL)) },
			"entities":  func() error { return value(c.Entities(t.Context())) },
		} {
			if err := call(); !errors.Is(err, intuno.ErrUnauthorized) || intuno.Code(err) != api.CodeNotAuthenticated {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := must(base.With(key.ActingFor("00000000-0000-4000-8000-000000000000"))).Discover(t.Context(), intuno.Discovery{}); !errors.Is(err, intuno.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := s.client(intuno.WithServiceKey(strings.Repeat("x", 40)).ActingFor(s.ada.id)).Discover(t.Context(), intuno.Discovery{}); !errors.Is(err, intuno.ErrUnauthorized) {
		t.Errorf("a wrong key: %v", err)
	}
	if _, err := s.client(intuno.WithAPIKey(s.ada.key)).RegisterAgent(t.Context(), api.NewAgent{Name: "A", Description: "d", HostedEntity: &hosted}); !errors.Is(err, intuno.ErrForbidden) {
		t.Errorf("a user: %v", err)
	}
}

// TestRefusalsReachTheSDKWhole: kinds, codes, problems, members and request ids, over the
// real edge and on a path prefix.
func TestRefusalsReachTheSDKWhole(t *testing.T) {
	s := newSDKScene(t)
	c := must(s.token().With(intuno.WithRequestID("sdk-42")))
	_, err := c.RegisterAgent(t.Context(), api.NewAgent{Name: strings.Repeat("x", 256), Description: "d", AuthType: "magic", Endpoint: "https://a.example.org"})
	var refused *intuno.Error
	if !errors.As(err, &refused) || !errors.Is(err, intuno.ErrInvalid) || len(refused.Problems) != 2 || refused.RequestID != "sdk-42" || refused.Code != api.CodeValidationError {
		t.Errorf("invalid: %+v", err)
	}
	if _, err := c.RegisterAgent(t.Context(), api.NewAgent{Name: "n", Description: "d", Endpoint: "http://10.0.0.1/"}); !errors.Is(err, intuno.ErrBadRequest) || intuno.Code(err) != api.CodeUnsafeURL {
		t.Errorf("unsafe: %v", err)
	}
	if _, err := c.Invoke(t.Context(), ask1("nobody-00000000")); intuno.Code(err) != "agent_not_found" {
		t.Errorf("invocation: %v", err)
	}
	if _, err := c.Agent(t.Context(), "new"); !errors.Is(err, intuno.ErrAnswer) {
		t.Errorf("a literal for a slug: %v", err)
	}
	capped := newWorld(t, nil, "INTUNO_AGENTS_BASE_URL", "http://127.0.0.1:1", "PERSONAL_FREE_TIER_ENTITY_CAP", "0", "DATABASE_URL", testkit.SQLite(t))
	prefixed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI = strings.TrimPrefix(r.RequestURI, "/intuno")
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/intuno")
		capped.handler.ServeHTTP(w, r)
	}))
	defer prefixed.Close()
	ada := capped.signUp("ada")
	c = must(intuno.NewClient(must(url.JoinPath(prefixed.URL, "intuno")), intuno.WithToken(ada.token)))
	defer c.CloseIdleConnections()
	_, err = c.CreateEntity(t.Context(), api.NewEntity{Name: "aria"})
	if !errors.As(err, &refused) || refused.Status != 429 || refused.RetryAfter != 0 || string(refused.Members["limit"]) != "0" || string(refused.Members["used"]) != "0" {
		t.Errorf("quota: %+v", err)
	}
	if _, err := c.Entity(t.Context(), "aria"); !errors.Is(err, intuno.ErrUpstream) || intuno.Code(err) != api.CodeEntityHostError {
		t.Errorf("no host: %v", err)
	}
}

func TestTheSDKWalksEveryPage(t *testing.T) {
	s := newSDKScene(t)
	for range 7 {
		s.agent(s.owner())
	}
	c, got := s.owner(), map[string]int{}
	for a, err := range c.AllMyAgents(t.Context(), intuno.Page{Limit: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		got[a.ID]++
	}
	for a, err := range c.AllAgents(t.Context(), intuno.AgentQuery{Page: intuno.Page{Limit: 2}}) {
		if err != nil {
			t.Fatal(err)
		}
		got[a.ID]++
	}
	for id, n := range got {
		if n != 2 || len(got) != 7 {
			t.Errorf("%s came %d times, of %d", id, n, len(got))
		}
	}
	n := 0
	for _, err := range s.token().AllMemories(t.Context(), "aria", intuno.MemoryQuery{}) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range s.token().AllChatMessages(t.Context(), "aria", intuno.ChatQuery{}) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 2 {
		t.Errorf("%d memories and messages, want one each", n)
	}
}
