package wisdom

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

// networkStore is embedded by another name than that of one of its methods.
type networkStore = store.Networks

// weighedNetworks is a store that notes how many bytes were said in what it returns.
type weighedNetworks struct {
	networkStore

	mu      sync.Mutex
	most    int                       // of a list
	one     int                       // of one message
	reading func(m id.NetworkMessage) // called before one message is read, if set
}

func (w *weighedNetworks) note(list []network.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := 0
	for _, m := range list {
		said += len(m.Content) + len(m.Metadata)
	}
	w.most = max(w.most, said)
}

func (w *weighedNetworks) Messages(ctx context.Context, owner id.User, n id.Network, q network.MessageQuery) ([]network.Message, error) {
	list, err := w.networkStore.Messages(ctx, owner, n, q)
	w.note(list)
	return list, err
}

func (w *weighedNetworks) Inbox(ctx context.Context, owner id.User, p id.Participant, channel string, limit int) ([]network.Message, error) {
	list, err := w.networkStore.Inbox(ctx, owner, p, channel, limit)
	w.note(list)
	return list, err
}

func (w *weighedNetworks) LastEntries(ctx context.Context, n id.Network, limit int) ([]network.Entry, error) {
	list, err := w.networkStore.LastEntries(ctx, n, limit)
	var said []network.Message
	for _, e := range list {
		said = append(said, e.Message)
	}
	w.note(said)
	return list, err
}

func (w *weighedNetworks) DeadLetters(ctx context.Context, owner id.User, n id.Network, limit, offset int) ([]network.DeadLetter, error) {
	list, err := w.networkStore.DeadLetters(ctx, owner, n, limit, offset)
	var said []network.Message
	for _, l := range list {
		said = append(said, l.Message)
	}
	w.note(said)
	return list, err
}

func (w *weighedNetworks) Message(ctx context.Context, owner id.User, n id.Network, m id.NetworkMessage) (network.Message, error) {
	if w.reading != nil {
		w.reading(m)
	}
	found, err := w.networkStore.Message(ctx, owner, n, m)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.one = max(w.one, len(found.Content)+len(found.Metadata))
	return found, err
}

// weighed has c read what was said in networks through a store that weighs it.
func (c *club) weighed() *weighedNetworks {
	w := &weighedNetworks{networkStore: store.Networks{Store: c.service.store}}
	c.service.api.Network.Service = network.New(network.Config{Store: w, Now: clock.System, Log: slog.New(slog.DiscardHandler)})
	return w
}

// speech is n messages of every size that one participant says to another, as they were
// answered: every other one as large as allowed.
func (c *club) speech(u user, n int, path, from, to string) []string {
	c.t.Helper()
	content := strings.Repeat("\U0001f600", 65536)
	metadata := `{"x":"` + strings.Repeat("x", 32768-8) + `"}`
	var answers []string
	for i := range n {
		body := say(from, to, "short")
		if i%2 == 1 {
			body = fmt.Sprintf(`{"sender_participant_id":%q,"recipient_participant_id":%q,"content":"%s","metadata":%s}`, from, to, content, metadata)
		}
		answers = append(answers, c.want(201, "POST", path, body, u.bearer()).body)
	}
	return answers
}

const (
	largest = 4*65536 + 32768 // bytes that one message says
	kept    = 16 << 10        // of them that a list holds of each
)

func TestPagesOfLargeMessagesAreWholeAndHoldOneAtATime(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		const n = 8
		c := newClub(t, open(), "NETWORK_DELIVERY_MAX_ATTEMPTS", "1")
		ada, eve := c.signUp("ada"), c.signUp("eve")
		net, other := c.network(ada, ""), c.network(ada, "")
		from, to := c.join(ada, net, ""), c.join(ada, net, "")
		sender, broken := c.join(ada, other, ""), c.join(ada, other, fmt.Sprintf(`,"callback_url":%q`, c.agents.URL+"/500"))
		path := "/networks/" + net
		said := c.speech(ada, n, path+"/mailbox", from, to)
		turned := slices.Clone(said)
		slices.Reverse(turned)
		sent := c.speech(ada, 4, "/networks/"+other+"/messages/send", sender, broken)
		c.settled("/networks/"+other+"/dead-letters?limit=1&offset=3", `"id"`, ada.bearer())
		w := c.weighed()

		entries := api.NetworkContext{NetworkID: net}
		for _, text := range said {
			var m api.NetworkMessage
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatal(err)
			}
			entries.Entries = append(entries.Entries, api.ContextEntry{Sender: "p", Recipient: new("p"), Channel: m.ChannelType, Content: m.Content, MessageID: m.ID,
				Timestamp: api.Seconds(m.CreatedAt.Std())})
		}
		remembered, err := httpx.JSON(entries)
		if err != nil {
			t.Fatal(err)
		}
		array := func(list []string) string { return "[" + strings.Join(list, ",") + "]" }
		for query, want := range map[string]string{
			"/messages?limit=500":                 array(said),
			"/messages?order=desc":                array(turned),
			"/messages?limit=1&offset=1":          array(said[1:2]),
			"/messages?limit=1&offset=2":          array(said[2:3]),
			"/inbox/" + to + "?limit=200":         array(said),
			"/inbox/" + from:                      "[]",
			"/context?limit=200":                  string(remembered),
			"/inbox/" + to + "?channel_type=call": "[]",
		} {
			got := c.want(200, "GET", path+query, "", ada.bearer())
			if got.body != want {
				t.Errorf("%s: got %d bytes, want %d: %.400s", query, len(got.body), len(want), got.body)
			}
			if got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: header %v", query, got.header)
			}
			c.want(404, "GET", path+query, "", eve.bearer())
		}
		var letters []api.DeadLetter
		if err := json.Unmarshal([]byte(c.want(200, "GET", "/networks/"+other+"/dead-letters?limit=200", "", ada.bearer()).body), &letters); err != nil || len(letters) != len(sent) {
			t.Fatalf("%d dead letters, %v", len(letters), err)
		}
		slices.Reverse(letters)
		for i, l := range letters {
			var m api.NetworkMessage
			if err := json.Unmarshal([]byte(sent[i]), &m); err != nil {
				t.Fatal(err)
			}
			if l.ID != m.ID || l.Content != m.Content || string(l.Metadata) != string(m.Metadata) || string(l.Metadata2) != string(m.Metadata) || l.Status != "failed" || l.Attempts != 1 || l.CreatedAt != m.CreatedAt {
				t.Errorf("dead letter %d: %s %s with %d and %d bytes, want %s with %d and %d", i, l.ID, l.Status, len(l.Content), len(l.Metadata), m.ID, len(m.Content), len(m.Metadata))
			}
		}
		if w.most == 0 || w.most > n*kept || w.one != largest {
			t.Errorf("a list held %d bytes of what was said, one message %d", w.most, w.one)
		}
	})
}

// What becomes of a message while a page of it is sent does not show, unless it is gone.
func TestAPageOfLargeMessagesIsOfOneMoment(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		c := newClub(t, open())
		ada := c.signUp("ada")
		net := c.network(ada, "")
		to := c.join(ada, net, "")
		path := "/networks/" + net
		said := c.speech(ada, 6, path+"/mailbox", to, to)
		var ids []string
		for _, text := range said {
			ids = append(ids, firstID.FindStringSubmatch(text)[1])
		}
		w := c.weighed()
		w.reading = func(id.NetworkMessage) {
			c.want(200, "POST", path+"/messages/ack", `{"message_ids":["`+strings.Join(ids, `","`)+`"]}`, ada.bearer())
		}
		if got, want := c.want(200, "GET", path+"/inbox/"+to, "", ada.bearer()).body, "["+strings.Join(said, ",")+"]"; got != want {
			t.Errorf("acknowledged meanwhile: got %d bytes, want %d: %.400s", len(got), len(want), got)
		}
		w.reading = func(m id.NetworkMessage) {
			if string(m) == ids[3] { // the second of the large ones
				c.want(204, "DELETE", path, "", ada.bearer())
			}
		}
		var got []string
		for _, m := range decodeList[api.NetworkMessage](t, c.want(200, "GET", path+"/messages", "", ada.bearer()).body) {
			got = append(got, m.ID)
		}
		if want := []string{ids[0], ids[1], ids[2], ids[4]}; !slices.Equal(got, want) {
			t.Errorf("deleted meanwhile: got %v, want %v", got, want)
		}
	})
}
