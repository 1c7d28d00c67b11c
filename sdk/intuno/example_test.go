package intuno_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/sdk/intuno"
)

// server stands in for Intuno in the examples: routes with what they answer.
func server(answers map[string]string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.Method+" "+r.URL.Path]
		switch {
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			answer = `{"detail":"Agent not found","code":"not_found","request_id":"r-1"}`
		case strings.HasPrefix(answer, "id:"):
			w.Header().Set("Content-Type", "text/event-stream")
		default:
			w.Header().Set("Content-Type", "application/json")
		}
		_, _ = io.WriteString(w, answer)
	}))
}

func Example() {
	s := server(map[string]string{
		"GET /registry/discover": `[{"id":"5b1d0c6e-0000-4000-8000-000000000000","agent_id":"weather-oracle-9f3a01bc","name":"Weather Oracle","similarity_score":0.4}]`,
		"POST /broker/invoke":    `{"success":true,"data":{"forecast":"sun"},"status_code":200,"latency_ms":182}`,
	})
	defer s.Close()
	ctx := context.Background()

	client, err := intuno.NewClient(s.URL, intuno.WithAPIKey("wsk_example"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	agents, err := client.Discover(ctx, intuno.Discovery{Query: "weather in Rome", Limit: 5})
	if err != nil || len(agents) == 0 {
		fmt.Println("nobody knows:", err)
		return
	}
	answer, err := client.Invoke(ctx, api.InvokeRequest{
		AgentID: agents[0].AgentID,
		Input:   api.Object(`{"message": "Will it rain in Rome?"}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s\n", agents[0].Name, answer.Data)
	// Output: Weather Oracle: {"forecast":"sun"}
}

func ExampleClient_Login() {
	s := server(map[string]string{
		"POST /auth/login": `{"access_token":"eyJhbGciOiJIUzI1NiJ9.e30.x","token_type":"bearer","expires_in":604800}`,
		"GET /auth/me":     `{"id":"7c9e6679-7425-40de-944b-e07fc1f90ae7","email":"ada@example.org","plan":"free"}`,
	})
	defer s.Close()
	ctx := context.Background()

	client, err := intuno.NewClient(s.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	token, err := client.Login(ctx, "ada@example.org", "correct horse")
	if err != nil {
		fmt.Println(err)
		return
	}
	ada, err := client.With(intuno.WithToken(token.AccessToken))
	if err != nil {
		fmt.Println(err)
		return
	}
	me, err := ada.Me(ctx)
	fmt.Println(me.Email, err, time.Duration(token.ExpiresIn)*time.Second)
	// Output: ada@example.org <nil> 168h0m0s
}

func ExampleError() {
	s := server(nil)
	defer s.Close()

	client, err := intuno.NewClient(s.URL, intuno.WithAPIKey("wsk_example"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	_, err = client.Agent(context.Background(), "nobody-00000000")
	fmt.Println(errors.Is(err, intuno.ErrNotFound), intuno.Code(err) == api.CodeNotFound)
	var refused *intuno.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Status, refused.RequestID)
	}
	fmt.Println(err)
	// Output:
	// true true
	// 404 r-1
	// intuno: GET /registry/agents/{agent_id}: 404 not_found: Agent not found (request r-1)
}

func ExampleClient_With() {
	s := server(map[string]string{"GET /registry/discover": `[]`})
	defer s.Close()

	// A service makes one client, and a copy of it for each user that it acts for.
	key := intuno.WithServiceKey("one-secret-of-at-least-32-characters")
	base, err := intuno.NewClient(s.URL, intuno.WithTransport(&http.Transport{})) // without a proxy
	if err != nil {
		fmt.Println(err)
		return
	}
	defer base.CloseIdleConnections()
	ada, err := base.With(key.ActingFor("7c9e6679-7425-40de-944b-e07fc1f90ae7"), intuno.WithRequestID("turn-17"), intuno.WithDepth(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	agents, err := ada.Discover(context.Background(), intuno.Discovery{Query: "weather"})
	fmt.Println(len(agents), err)
	_, err = base.With(key.ActingFor(""))
	fmt.Println(err)
	// Output:
	// 0 <nil>
	// intuno: a service key needs the id of the user to act for, a UUID with hyphens
}

func ExampleClient_StreamMessage() {
	s := server(map[string]string{"POST /personal/entities/aria/messages": `id: 1
event: message.started
data: {"message_id":"9a01e679-7425-40de-944b-e07fc1f90ae7","entity":"aria","created_at":"2026-04-23T12:00:00.000000Z"}

id: 2
event: tool.call
data: {"message_id":"9a01e679-7425-40de-944b-e07fc1f90ae7","call_id":"t1","tool":"discover_agents","arguments":{"query":"weather"}}

id: 3
event: reply.delta
data: {"message_id":"9a01e679-7425-40de-944b-e07fc1f90ae7","text":"Sunny, "}

id: 4
event: reply.delta
data: {"message_id":"9a01e679-7425-40de-944b-e07fc1f90ae7","text":"21 degrees."}

id: 5
event: reply.completed
data: {"message_id":"9a01e679-7425-40de-944b-e07fc1f90ae7","reply":"Sunny, 21 degrees.","completed_at":"2026-04-23T12:00:01.250000Z"}

`})
	defer s.Close()

	client, err := intuno.NewClient(s.URL, intuno.WithToken("eyJhbGciOiJIUzI1NiJ9.e30.x"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	stream, err := client.StreamMessage(context.Background(), "aria", "Weather in Rome?")
	if err != nil {
		fmt.Println(err)
		return
	}
	for event, err := range stream.All() {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch data := event.Data.(type) {
		case api.ToolCallEvent:
			fmt.Printf("[%s]\n", data.Tool)
		case api.ReplyDelta:
			fmt.Print(data.Text)
		case api.ChatAnswer:
			fmt.Println("\n-- at", data.CompletedAt)
		case api.TurnError:
			fmt.Println(data.Detail)
		}
	}
	// Output:
	// [discover_agents]
	// Sunny, 21 degrees.
	// -- at 2026-04-23T12:00:01.250000Z
}

func ExampleClient_AllAgents() {
	s := server(map[string]string{"GET /registry/agents": `[{"name":"Atlas"},{"name":"Weather Oracle"}]`})
	defer s.Close()

	client, err := intuno.NewClient(s.URL, intuno.WithAPIKey("wsk_example"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	for agent, err := range client.AllAgents(context.Background(), intuno.AgentQuery{Sort: "name", Order: "asc"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(agent.Name)
	}
	// Output:
	// Atlas
	// Weather Oracle
}

func ExampleOnce() {
	s := server(map[string]string{"POST /personal/entities": `{"name":"aria","status":"active"}`})
	defer s.Close()

	client, err := intuno.NewClient(s.URL, intuno.WithToken("eyJhbGciOiJIUzI1NiJ9.e30.x"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	// With a key, the entity is made once however often the call is repeated.
	entity, err := client.CreateEntity(context.Background(), api.NewEntity{Name: "aria"}, intuno.Once("signup-7c9e"))
	fmt.Println(entity.Name, entity.Status, err)
	// Output: aria active <nil>
}

func ExampleObject() {
	input, err := intuno.Object(map[string]any{"city": "Rome", "days": 3})
	fmt.Println(string(input), err)
	request, err := json.Marshal(api.InvokeRequest{AgentID: "weather-oracle-9f3a01bc", Input: input})
	fmt.Println(string(request), err)
	// Output:
	// {"city":"Rome","days":3} <nil>
	// {"agent_id":"weather-oracle-9f3a01bc","input":{"city":"Rome","days":3}} <nil>
}

func ExampleVerifyWebhook() {
	// Shown by JoinNetwork, for the participant whose callback URL this is.
	const secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	now := func() time.Time { return time.Unix(1800000000, 0) } // time.Now
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
		if err == nil {
			err = intuno.VerifyWebhook(secret, r.Header, body, now())
		}
		if err != nil {
			fmt.Println(err)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var said api.DeliveryPayload
		if err := json.Unmarshal(body, &said); err == nil {
			fmt.Println(said.Content)
		}
	}
	for _, body := range []string{`{"content":"hi"}`, `{"content":"ho"}`} {
		r := httptest.NewRequest(http.MethodPost, "/callback", strings.NewReader(body))
		r.Header.Set("webhook-id", "33333333-3333-4333-8333-333333333333")
		r.Header.Set("webhook-timestamp", "1800000000")
		r.Header.Set("webhook-signature", "v1,W6gNbhHNEIt2JSy5s9N7DSgGWqmVxfc9TaAtFT3TpIM=")
		receive(httptest.NewRecorder(), r)
	}
	// Output:
	// hi
	// intuno: not a webhook of ours: no signature fits
}

func ExampleClient_SendToParticipant() {
	const network, ada, weather = "4d2f0000-0000-4000-8000-000000000000", "21aa0000-0000-4000-8000-000000000000", "22a00000-0000-4000-8000-000000000000"
	s := server(map[string]string{
		"POST /networks/" + network + "/messages/send": `{"id":"33b1","channel_type":"message","content":"Rome?","status":"pending"}`,
		"GET /networks/" + network + "/inbox/" + ada:   `[{"id":"33b2","channel_type":"message","content":"Sun.","status":"pending"}]`,
		"POST /networks/" + network + "/messages/ack":  `{"acknowledged":1}`,
	})
	defer s.Close()
	ctx := context.Background()

	client, err := intuno.NewClient(s.URL, intuno.WithAPIKey("wsk_example"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	sent, err := client.SendToParticipant(ctx, network, api.NewNetworkMessage{SenderParticipantID: ada, RecipientParticipantID: weather, Content: "Rome?"})
	fmt.Println(sent.Content, sent.Status, err)
	// Ada has no webhook: she reads what weather answers.
	unread, err := client.Inbox(ctx, network, ada, intuno.InboxQuery{})
	for _, m := range unread {
		fmt.Println(m.Content, err)
		_, err = client.AcknowledgeMessages(ctx, network, []string{m.ID})
	}
	fmt.Println(err)
	// Output:
	// Rome? pending <nil>
	// Sun. <nil>
	// <nil>
}
