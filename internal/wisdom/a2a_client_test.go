package wisdom

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	legacy "github.com/a2aproject/a2a-go/a2a"
	legacyclient "github.com/a2aproject/a2a-go/a2aclient"
	legacycard "github.com/a2aproject/a2a-go/a2aclient/agentcard"
	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
	rules "github.com/IntunoAI/intuno-go/internal/wisdom/a2a"
)

// official is a wisdom that clients reach over the network, with a public agent.
type official struct {
	t     *testing.T
	world *world
	user  user
	base  string
	path  string // of the agent's card
}

func newOfficial(t *testing.T) official {
	t.Helper()
	base, serve := listenFirst(t)
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Message string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		_ = json.NewEncoder(w).Encode(map[string]string{"content": "heard " + in.Message})
	}))
	t.Cleanup(agent.Close)
	w := newWorld(t, nil, "BASE_URL", base, "INVOKE_ENDPOINT_ALLOWED_HOSTS", agent.Listener.Addr().String())
	serve(w.handler)
	ada := w.signUp("ada")
	slug := w.want(201, "POST", "/registry/agents", `{"name":"Weather","description":"Forecasts.","endpoint":"`+agent.URL+`","tags":["rain"]}`, ada.bearer()).text("agent_id")
	return official{t, w, ada, base, "/a2a/agents/" + slug + "/agent-card"}
}

// parsers are the ways in which the module of 1.0 reads a card.
var parsers = map[string]agentcard.Parser{"1.0": agentcard.DefaultCardParser, "1.0 and 0.3": a2av0.NewAgentCardParser()}

func (o official) resolve(parser agentcard.Parser, path string) *a2a.AgentCard {
	o.t.Helper()
	resolver := agentcard.Resolver{Client: http.DefaultClient, CardParser: parser}
	card, err := resolver.Resolve(o.t.Context(), o.base, agentcard.WithPath(path))
	if err != nil {
		o.t.Fatalf("resolve %s: %v", path, err)
	}
	return card
}

// answered checks that a message reached the agent, and that the module read what it said.
func (o official) answered(name string, result a2a.SendMessageResult, err error) {
	o.t.Helper()
	m, ok := result.(*a2a.Message)
	if err != nil || !ok || len(m.Parts) != 2 || m.Parts[0].Text() != "heard hi" || !reflect.DeepEqual(m.Parts[1].Data(), map[string]any{"content": "heard hi"}) {
		o.t.Errorf("%s: %+v, %v", name, result, err)
	}
}

func TestTheOfficialClientOf10UsesOurCards(t *testing.T) {
	o := newOfficial(t)
	credentials := a2aclient.NewInMemoryCredentialsStore()
	credentials.Set("key", "apiKey", a2aclient.AuthCredential(o.user.key))
	credentials.Set("token", "bearer", a2aclient.AuthCredential(o.user.token))
	for name, parser := range parsers {
		for _, path := range []string{"/.well-known/agent-card.json", "/.well-known/agent.json", "/a2a/agent-card", o.path} {
			card := o.resolve(parser, path)
			if card.Name == "" || len(card.Skills) == 0 || len(card.SupportedInterfaces) != 1 || len(card.SecuritySchemes) != 2 || len(card.SecurityRequirements) != 2 {
				t.Errorf("%s, %s: %+v", name, path, card)
			}
		}
		card := o.resolve(parser, o.path)
		if card.Name != "Weather" || card.SupportedInterfaces[0].ProtocolVersion != "1.0" || card.Skills[0].Tags[0] != "rain" {
			t.Errorf("%s: %+v", name, card)
		}
		client, err := a2aclient.NewFromCard(t.Context(), card, a2aclient.WithCallInterceptors(&a2aclient.AuthInterceptor{Service: credentials}))
		if err != nil {
			t.Fatal(err)
		}
		request := &a2a.SendMessageRequest{Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart("hi"))}
		// The card tells how to authenticate: the client does it by itself.
		for _, session := range []a2aclient.SessionID{"key", "token"} {
			result, err := client.SendMessage(a2aclient.AttachSessionID(t.Context(), session), request)
			o.answered(name+" with a "+string(session), result, err)
		}
		if _, err = client.SendMessage(t.Context(), request); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("%s, nobody: %v, want 401", name, err)
		}
	}
}

// The same module, asked to speak 0.3.
func TestTheOfficialClientOf10Speaks03ToUs(t *testing.T) {
	o := newOfficial(t)
	key := a2aclient.NewInMemoryCredentialsStore()
	key.Set("key", "apiKey", a2aclient.AuthCredential(o.user.key))
	card := o.resolve(a2av0.NewAgentCardParser(), o.path)
	card.SupportedInterfaces[0].ProtocolVersion = a2av0.Version
	client, err := a2aclient.NewFromCard(t.Context(), card, a2aclient.WithDefaultsDisabled(), a2av0.WithJSONRPCTransport(a2av0.JSONRPCTransportConfig{}),
		a2aclient.WithCallInterceptors(&a2aclient.AuthInterceptor{Service: key}))
	if err != nil {
		t.Fatal(err)
	}
	result, err := client.SendMessage(a2aclient.AttachSessionID(t.Context(), "key"), &a2a.SendMessageRequest{Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart("hi"))})
	o.answered("0.3 by the module of 1.0", result, err)
}

func TestTheOfficialClientOf03UsesOurCards(t *testing.T) {
	o := newOfficial(t)
	credentials := legacyclient.NewInMemoryCredentialsStore()
	credentials.Set("key", "apiKey", legacyclient.AuthCredential(o.user.key))
	var card *legacy.AgentCard
	for _, path := range []string{"/.well-known/agent-card.json", o.path} {
		var err error
		if card, err = legacycard.NewResolver(http.DefaultClient).Resolve(t.Context(), o.base, legacycard.WithPath(path)); err != nil {
			t.Fatalf("resolve %s: %v", path, err)
		}
		if card.Name == "" || card.ProtocolVersion != "0.3.0" || card.PreferredTransport != legacy.TransportProtocolJSONRPC || len(card.SecuritySchemes) != 2 || len(card.Skills) == 0 {
			t.Errorf("%s: %+v", path, card)
		}
	}
	client, err := legacyclient.NewFromCard(t.Context(), card, legacyclient.WithInterceptors(&legacyclient.AuthInterceptor{Service: credentials}))
	if err != nil {
		t.Fatal(err)
	}
	result, err := client.SendMessage(legacyclient.WithSessionID(t.Context(), "key"), &legacy.MessageSendParams{Message: legacy.NewMessage(legacy.MessageRoleUser, legacy.TextPart{Text: "hi"})})
	m, ok := result.(*legacy.Message)
	if want := (legacy.ContentParts{legacy.TextPart{Text: "heard hi"}, legacy.DataPart{Data: map[string]any{"content": "heard hi"}}}); err != nil || !ok || !reflect.DeepEqual(m.Parts, want) {
		t.Errorf("0.3: %+v, %v", result, err)
	}
}

// parrot is a broker that answers what it was given, or fails.
type parrot struct{ failed string }

func (b parrot) Invoke(_ context.Context, _ principal.Principal, _ string, input []byte) (rules.Outcome, error) {
	if b.failed == "refused" {
		return rules.Outcome{}, fault.New(fault.Unavailable, "overloaded", "come back later")
	}
	return rules.Outcome{Text: "heard", Data: input, Failed: b.failed}, nil
}

// What a broker will answer reaches the clients of both generations.
func TestTheOfficialClientsReadWhatABrokerAnswers(t *testing.T) {
	o := newOfficial(t)
	with := func(b parrot) {
		o.world.service.api.A2A.Service = rules.New(rules.Config{Registry: o.world.service.api.Registry.Service, Broker: b})
	}
	with(parrot{})
	keys := a2aclient.NewInMemoryCredentialsStore()
	keys.Set("key", "apiKey", a2aclient.AuthCredential(o.user.key))
	client, err := a2aclient.NewFromCard(t.Context(), o.resolve(nil, o.path), a2aclient.WithCallInterceptors(&a2aclient.AuthInterceptor{Service: keys}))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (a2a.SendMessageResult, error) {
		return client.SendMessage(a2aclient.AttachSessionID(t.Context(), "key"), &a2a.SendMessageRequest{Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart("hi"))})
	}
	result, err := ask()
	m, ok := result.(*a2a.Message)
	if err != nil || !ok || m.Role != a2a.MessageRoleAgent || len(m.Parts) != 2 || m.Parts[0].Text() != "heard" || !reflect.DeepEqual(m.Parts[1].Data(), map[string]any{"message": "hi"}) {
		t.Errorf("1.0: %+v, %v", result, err)
	}
	credentials := legacyclient.NewInMemoryCredentialsStore()
	credentials.Set("key", "apiKey", legacyclient.AuthCredential(o.user.key))
	card, err := legacycard.NewResolver(http.DefaultClient).Resolve(t.Context(), o.base, legacycard.WithPath(o.path))
	if err != nil {
		t.Fatal(err)
	}
	old, err := legacyclient.NewFromCard(t.Context(), card, legacyclient.WithInterceptors(&legacyclient.AuthInterceptor{Service: credentials}))
	if err != nil {
		t.Fatal(err)
	}
	before, err := old.SendMessage(legacyclient.WithSessionID(t.Context(), "key"), &legacy.MessageSendParams{Message: legacy.NewMessage(legacy.MessageRoleUser, legacy.DataPart{Data: map[string]any{"city": "Rome"}})})
	answer, ok := before.(*legacy.Message)
	if err != nil || !ok || answer.Role != legacy.MessageRoleAgent || !reflect.DeepEqual(answer.Parts, legacy.ContentParts{legacy.TextPart{Text: "heard"}, legacy.DataPart{Data: map[string]any{"city": "Rome"}}}) {
		t.Errorf("0.3: %+v, %v", before, err)
	}
	with(parrot{failed: "the agent did not answer in time"})
	if _, err := ask(); !errors.Is(err, a2a.ErrInternalError) || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("a failed call: %v", err)
	}
	with(parrot{failed: "refused"})
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a refused call: %v", err)
	}
}
