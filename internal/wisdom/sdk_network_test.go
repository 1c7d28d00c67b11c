package wisdom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/sdk/intuno"
)

// sdkNetwork is a network of ada's: ada polls, weather has a webhook.
type sdkNetwork struct {
	id           string
	ada, weather api.JoinedParticipant
}

// says is what the sender says to the recipient.
func (n sdkNetwork) says(content string) api.NewNetworkMessage {
	return api.NewNetworkMessage{SenderParticipantID: n.ada.ID, RecipientParticipantID: n.weather.ID, Content: content}
}

// network makes a network, with the webhook at path of the server elsewhere.
func (s *sdkScene) networkAt(path string) sdkNetwork {
	s.t.Helper()
	ctx, c, callback := s.t.Context(), s.owner(), s.outside.URL+path
	n := sdkNetwork{id: must(c.CreateNetwork(ctx, api.NewNetwork{Name: "talk"})).ID}
	n.ada = must(c.JoinNetwork(ctx, n.id, api.NewParticipant{Name: "ada"}))
	n.weather = must(c.JoinNetwork(ctx, n.id, api.NewParticipant{Name: "weather", CallbackURL: &callback}))
	return n
}

func (s *sdkScene) network() sdkNetwork { return s.networkAt("/webhook") }

// soon waits until a list is not empty.
func soon[T any](t *testing.T, list func() ([]T, error)) []T {
	t.Helper()
	for range 200 {
		if got := must(list()); len(got) > 0 {
			return got
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the list stays empty")
	return nil
}

// dead is a message that was given up, of a network.
func (s *sdkScene) dead(ctx context.Context) (network string, letter api.DeadLetter) {
	n := s.networkAt("/gone")
	must(s.owner().SendToParticipant(ctx, n.id, n.says("hi")))
	return n.id, soon(s.t, func() ([]api.DeadLetter, error) { return s.owner().DeadLetters(ctx, n.id, intuno.Page{}) })[0]
}

// webhook is a delivery, as its receiver sees it.
type webhook struct {
	header http.Header
	body   []byte
	api.DeliveryPayload
}

// webhooks has path of the server elsewhere receive deliveries.
func (s *sdkScene) webhooks(path string) <-chan webhook {
	received := make(chan webhook, 100)
	s.outside.serve(path, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w := webhook{header: r.Header}
		w.body, _ = io.ReadAll(r.Body)
		if err := json.Unmarshal(w.body, &w.DeliveryPayload); err != nil {
			s.t.Errorf("%s: %v", w.body, err)
		}
		received <- w
	}))
	return received
}

func next(t *testing.T, received <-chan webhook) webhook {
	t.Helper()
	select {
	case w := <-received:
		return w
	case <-time.After(10 * time.Second):
		t.Fatal("no delivery")
		return webhook{}
	}
}

var sdkNetworks = map[string]sdkCall{
	"CreateNetwork": {"POST /networks", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		got, err := c.CreateNetwork(ctx, api.NewNetwork{Name: "n", TopologyType: "ring", Metadata: api.Object(`{"k":1.10}`)})
		if err == nil && (got.OwnerID != s.ada.id || got.TopologyType != "ring" || got.Status != "active" || string(got.Metadata) != `{"k":1.10}` || string(got.Metadata2) != `{"k":1.10}`) {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"EnsureNetwork": {"POST /networks", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		s.n++
		two := intuno.Private{Caller: "ada", Target: fmt.Sprintf("t%d", s.n), CallerType: "persona", TargetAgentID: s.agent(s.owner()).ID}
		made, err := c.EnsureNetwork(ctx, two)
		if err != nil {
			return err
		}
		again, err := c.EnsureNetwork(ctx, two)
		if err == nil && (made.CallerSecret == "" || again != intuno.Channel{NetworkID: made.NetworkID, CallerID: made.CallerID, TargetID: made.TargetID}) {
			return fmt.Errorf("made %+v, then %+v", made, again)
		}
		return err
	}},
	"Networks": {"GET /networks", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		s.network()
		return value(c.Networks(ctx, intuno.Page{Limit: 1}))
	}},
	"Network": {"GET /networks/{id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		return value(c.Network(ctx, s.network().id))
	}},
	"UpdateNetwork": {"PATCH /networks/{id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		paused := "paused"
		got, err := c.UpdateNetwork(ctx, s.network().id, api.NetworkPatch{Status: &paused})
		if err == nil && (got.Status != paused || got.Name != "talk") {
			return fmt.Errorf("changed to %+v", got)
		}
		return err
	}},
	"DeleteNetwork": {"DELETE /networks/{id}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id := s.network().id
		if err := c.DeleteNetwork(ctx, id); err != nil {
			return err
		}
		if _, err := c.Network(ctx, id); !errors.Is(err, intuno.ErrNotFound) {
			return fmt.Errorf("after the deletion: %v", err)
		}
		return nil
	}},
	"JoinNetwork": {"POST /networks/{id}/participants", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		agent := s.agent(s.owner()).ID
		got, err := c.JoinNetwork(ctx, s.network().id, api.NewParticipant{Name: "x", AgentID: &agent, ParticipantType: "orchestrator", Capabilities: api.Object(`{"a":[]}`)})
		if err == nil && (!strings.HasPrefix(got.WebhookSecret, "whsec_") || got.AgentID == nil || *got.AgentID != agent || got.Status != "active" || string(got.Capabilities) != `{"a":[]}`) {
			return fmt.Errorf("joined %+v", got)
		}
		return err
	}},
	"Participants": {"GET /networks/{id}/participants", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		got, err := c.Participants(ctx, s.network().id)
		if err == nil && (len(got) != 2 || got[0].Name != "ada" || !got[0].PollingEnabled) {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"UpdateParticipant": {"PATCH /networks/{id}/participants/{pid}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n, nowhere := s.network(), ""
		got, err := c.UpdateParticipant(ctx, n.id, n.weather.ID, api.ParticipantPatch{CallbackURL: &nowhere})
		if err == nil && (got.CallbackURL != nil || got.Name != "weather") {
			return fmt.Errorf("changed to %+v", got)
		}
		return err
	}},
	"LeaveNetwork": {"DELETE /networks/{id}/participants/{pid}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		return errors.Join(c.LeaveNetwork(ctx, n.id, n.weather.ID), c.LeaveNetwork(ctx, n.id, n.weather.ID))
	}},
	"RotateWebhookSecret": {"POST /networks/{id}/participants/{pid}/webhook-secret", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		got, err := c.RotateWebhookSecret(ctx, n.id, n.weather.ID)
		if err == nil && (!strings.HasPrefix(got.WebhookSecret, "whsec_") || got.WebhookSecret == n.weather.WebhookSecret || !got.PreviousValidUntil.Std().After(n.weather.CreatedAt.Std())) {
			return fmt.Errorf("got a secret that is valid until %s", got.PreviousValidUntil)
		}
		return err
	}},
}

var sdkChannels = map[string]sdkCall{
	"CallParticipant": {"POST /networks/{id}/call", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		got, err := c.CallParticipant(ctx, n.id, n.says("Rome?"))
		if err == nil && (!got.Success || string(got.Response) != `{"reply":"sun"}` || got.MessageID == "") {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"SendToParticipant": {"POST /networks/{id}/messages/send", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		said := n.says("Rome?")
		said.Metadata = api.Object(`{"n":12345678901234567890}`)
		got, err := c.SendToParticipant(ctx, n.id, said)
		if err == nil && (got.Status != "pending" || got.ChannelType != "message" || string(got.Metadata) != string(said.Metadata)) {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"SendToMailbox": {"POST /networks/{id}/mailbox", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		return value(c.SendToMailbox(ctx, n.id, n.says("Rome?")))
	}},
	"Inbox": {"GET /networks/{id}/inbox/{pid}", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		want := must(s.owner().SendToMailbox(ctx, n.id, n.says("one")))
		must(s.owner().SendToMailbox(ctx, n.id, n.says("two")))
		got, err := c.Inbox(ctx, n.id, n.weather.ID, intuno.InboxQuery{Channel: "mailbox", Limit: 1})
		if err == nil && (len(got) != 1 || got[0].ID != want.ID) {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"AcknowledgeMessages": {"POST /networks/{id}/messages/ack", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		said := must(s.owner().SendToMailbox(ctx, n.id, n.says("one")))
		count, err := c.AcknowledgeMessages(ctx, n.id, []string{said.ID, n.id})
		if err == nil && (count != 1 || len(must(c.Inbox(ctx, n.id, n.weather.ID, intuno.InboxQuery{}))) != 0) {
			return fmt.Errorf("%d acknowledged", count)
		}
		return err
	}},
	"NetworkMessages": {"GET /networks/{id}/messages", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		first := must(s.owner().SendToMailbox(ctx, n.id, n.says("one")))
		second := must(s.owner().SendToMailbox(ctx, n.id, n.says("two")))
		got, err := c.NetworkMessages(ctx, n.id, intuno.NetworkMessageQuery{Channel: "mailbox", ParticipantID: n.ada.ID, After: first.ID, NewestFirst: true, Page: intuno.Page{Limit: 5}})
		if err == nil && (len(got) != 1 || got[0].ID != second.ID) {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"NetworkContext": {"GET /networks/{id}/context", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		n := s.network()
		said := must(s.owner().SendToMailbox(ctx, n.id, n.says("one")))
		got, err := c.NetworkContext(ctx, n.id, 3)
		if err == nil && (got.NetworkID != n.id || len(got.Entries) != 1 || got.Entries[0].Sender != "ada" || got.Entries[0].MessageID != said.ID || !got.Entries[0].Timestamp.Std().Equal(said.CreatedAt.Std())) {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"DeadLetters": {"GET /networks/{id}/dead-letters", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, letter := s.dead(ctx)
		if letter.LastStatusCode == nil || *letter.LastStatusCode != 410 || letter.Attempts != 1 || letter.LastError == "" || letter.Status != "failed" {
			return fmt.Errorf("dead letter %+v", letter)
		}
		return value(c.DeadLetters(ctx, id, intuno.Page{Limit: 1}))
	}},
	"ReplayDeadLetter": {"POST /networks/{id}/dead-letters/{message_id}/replay", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		id, letter := s.dead(ctx)
		got, err := c.ReplayDeadLetter(ctx, id, letter.ID)
		if err == nil && (got.ID != letter.ID || got.Status != "pending") {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
	"Reply": {"POST /networks/{network_id}/participants/{participant_id}/callback", func(ctx context.Context, s *sdkScene, c *intuno.Client) error {
		received := s.webhooks("/reply")
		n := s.networkAt("/reply")
		said := must(s.owner().SendToParticipant(ctx, n.id, n.says("Rome?")))
		got, err := c.Reply(ctx, next(s.t, received).ReplyURL, api.CallbackMessage{Content: "Sun.", RecipientParticipantID: &n.ada.ID, InReplyToID: &said.ID, Metadata: api.Object(`{"a":1}`)})
		if err == nil && (got.SenderParticipantID != n.weather.ID || got.InReplyToID == nil || *got.InReplyToID != said.ID || got.ChannelType != "message") {
			return fmt.Errorf("got %+v", got)
		}
		return err
	}},
}

// TestTheSDKBelievesADeliveryAndAnswersIt: what is delivered is signed as the public
// specification says, while a secret is rotated too, and its reply URL works as it is given.
func TestTheSDKBelievesADeliveryAndAnswersIt(t *testing.T) {
	s := newSDKScene(t)
	received, c, ctx := s.webhooks("/signed"), s.owner(), t.Context()
	n, other := s.networkAt("/signed"), s.network()
	believe := func(w webhook, secrets ...string) {
		t.Helper()
		for _, secret := range secrets {
			if err := intuno.VerifyWebhook(secret, w.header, w.body, clock.System()); err != nil {
				t.Errorf("%v: %v", w.header, err)
			}
		}
		for _, change := range []func(){func() { w.body = append([]byte(" "), w.body...) }, func() { w.header.Set("webhook-id", n.id) }} {
			change()
			if err := intuno.VerifyWebhook(secrets[0], w.header, w.body, clock.System()); !errors.Is(err, intuno.ErrWebhook) {
				t.Errorf("after a change: %v", err)
			}
		}
	}
	said := must(c.SendToParticipant(ctx, n.id, n.says("Rome?")))
	w := next(t, received)
	if w.MessageID != said.ID || w.header.Get("webhook-id") != said.ID || w.Content != "Rome?" || w.Sender.Name != "ada" || w.Message != nil || len(w.Context) != 1 {
		t.Errorf("delivered %s", w.body)
	}
	if err := intuno.VerifyWebhook(other.weather.WebhookSecret, w.header, w.body, clock.System()); !errors.Is(err, intuno.ErrWebhook) {
		t.Errorf("with the secret of somebody else: %v", err)
	}
	believe(w, n.weather.WebhookSecret)
	rotated := must(c.RotateWebhookSecret(ctx, n.id, n.weather.ID))
	must(c.SendToParticipant(ctx, n.id, n.says("And Paris?")))
	believe(next(t, received), n.weather.WebhookSecret, rotated.WebhookSecret)

	receiver := s.client() // without a credential
	answer := must(receiver.Reply(ctx, w.ReplyURL, api.CallbackMessage{Content: "Sun.", RecipientParticipantID: &n.ada.ID, InReplyToID: &said.ID}))
	inbox := must(c.Inbox(ctx, n.id, n.ada.ID, intuno.InboxQuery{Channel: "message"}))
	if len(inbox) != 1 || inbox[0].ID != answer.ID || inbox[0].Content != "Sun." {
		t.Errorf("inbox %+v", inbox)
	}
	forged := strings.Replace(w.ReplyURL, n.weather.ID, n.ada.ID, 1)
	if _, err := receiver.Reply(ctx, forged, api.CallbackMessage{Content: "x"}); intuno.Code(err) != api.CodeSignatureInvalid || !errors.Is(err, intuno.ErrForbidden) {
		t.Errorf("for somebody else: %v", err)
	}
	// A call is answered by the answer to the webhook.
	s.outside.text("/signed", `{"reply":"sun"}`)
	called := must(c.CallParticipant(ctx, n.id, n.says("Rome?")))
	if string(called.Response) != `{"reply":"sun"}` {
		t.Errorf("called %+v", called)
	}
}

func TestTheSDKWalksNetworks(t *testing.T) {
	s := newSDKScene(t)
	c, ctx, n := s.owner(), t.Context(), s.network()
	for range 4 {
		s.network()
	}
	count := 0
	for _, err := range c.AllNetworks(ctx, intuno.Page{Limit: 2}) {
		if count++; err != nil {
			t.Fatal(err)
		}
	}
	if count != 5 {
		t.Errorf("%d networks, want 5", count)
	}
	for _, text := range strings.Split("abcdefg", "") {
		must(c.SendToMailbox(ctx, n.id, n.says(text)))
	}
	for newest, want := range map[bool]string{false: "abcdefg", true: "gfedcba"} {
		got := ""
		for m, err := range c.AllNetworkMessages(ctx, n.id, intuno.NetworkMessageQuery{NewestFirst: newest, Page: intuno.Page{Limit: 3}}) {
			if err != nil {
				t.Fatal(err)
			}
			got += m.Content
		}
		if got != want {
			t.Errorf("walked %s, want %s", got, want)
		}
	}
	dead := s.networkAt("/gone")
	for _, text := range strings.Split("abc", "") {
		must(c.SendToParticipant(ctx, dead.id, dead.says(text)))
	}
	got := soon(t, func() ([]string, error) {
		var all []string
		for letter, err := range c.AllDeadLetters(ctx, dead.id, intuno.Page{Limit: 2}) {
			if err != nil {
				return nil, err
			}
			all = append(all, letter.Content)
		}
		if len(all) < 3 {
			return nil, nil
		}
		return all, nil
	})
	if strings.Join(got, "") != "cba" {
		t.Errorf("dead letters %q, the last failure is not the first", got)
	}
}
