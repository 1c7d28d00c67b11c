package intuno

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/IntunoAI/intuno-go/api"
)

// CreateNetwork makes a network of yours. Without a topology it is a mesh: everybody in it
// may send to everybody.
func (c *Client) CreateNetwork(ctx context.Context, network api.NewNetwork) (api.Network, error) {
	return call[api.Network](ctx, c, newRequest(http.MethodPost, "/networks").send(network))
}

// Networks lists your networks, newest first; Limit is 1 to 200, 0: 50.
func (c *Client) Networks(ctx context.Context, page Page) ([]api.Network, error) {
	return call[[]api.Network](ctx, c, newRequest(http.MethodGet, "/networks").with(page.query()))
}

// AllNetworks walks the pages of Networks.
func (c *Client) AllNetworks(ctx context.Context, page Page) iter.Seq2[api.Network, error] {
	return pages(page, 200, func(p Page) ([]api.Network, error) { return c.Networks(ctx, p) })
}

// Network reads a network.
func (c *Client) Network(ctx context.Context, id string) (api.Network, error) {
	return call[api.Network](ctx, c, newRequest(http.MethodGet, "/networks/{id}", id))
}

// UpdateNetwork changes a network. While it is paused its deliveries wait; when it is
// closed they fail.
func (c *Client) UpdateNetwork(ctx context.Context, id string, change api.NetworkPatch) (api.Network, error) {
	return call[api.Network](ctx, c, newRequest(http.MethodPatch, "/networks/{id}", id).send(change))
}

// DeleteNetwork deletes a network with its participants, its messages and what was still
// to be delivered.
func (c *Client) DeleteNetwork(ctx context.Context, id string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/networks/{id}", id))
}

// JoinNetwork adds a participant. Its webhook secret, for VerifyWebhook, is shown this
// once. Without a callback URL and without an agent it reads its messages by Inbox.
//
// Codes: network_not_active, unsafe_url, agent_inactive, agent_already_joined,
// participant_limit_reached.
func (c *Client) JoinNetwork(ctx context.Context, network string, participant api.NewParticipant) (api.JoinedParticipant, error) {
	return call[api.JoinedParticipant](ctx, c, newRequest(http.MethodPost, "/networks/{id}/participants", network).send(participant))
}

// Participants lists the active participants of a network, in the order in which they
// joined.
func (c *Client) Participants(ctx context.Context, network string) ([]api.Participant, error) {
	return call[[]api.Participant](ctx, c, newRequest(http.MethodGet, "/networks/{id}/participants", network))
}

// UpdateParticipant changes a participant. While it is disconnected its deliveries wait.
func (c *Client) UpdateParticipant(ctx context.Context, network, participant string, change api.ParticipantPatch) (api.Participant, error) {
	return call[api.Participant](ctx, c, newRequest(http.MethodPatch, "/networks/{id}/participants/{pid}", network, participant).send(change))
}

// LeaveNetwork removes a participant; what was still to be delivered to it fails. Once
// more changes nothing.
func (c *Client) LeaveNetwork(ctx context.Context, network, participant string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/networks/{id}/participants/{pid}", network, participant))
}

// RotateWebhookSecret gives a participant a new webhook secret, which is shown this once.
// For 24 hours deliveries are signed with the one before too, so that none is refused
// while a receiver still has that.
func (c *Client) RotateWebhookSecret(ctx context.Context, network, participant string) (api.WebhookSecret, error) {
	return call[api.WebhookSecret](ctx, c, newRequest(http.MethodPost, "/networks/{id}/participants/{pid}/webhook-secret", network, participant))
}

// CallParticipant says something to a participant and waits for its answer, at most 25 s.
//
// Codes: recipient_not_callable if it can only poll, target_unreachable and call_timeout
// if it gave no answer, topology_violation, network_not_active, participant_not_active,
// agent_disabled, platform_halted.
func (c *Client) CallParticipant(ctx context.Context, network string, message api.NewNetworkMessage) (api.CallResult, error) {
	return call[api.CallResult](ctx, c, newRequest(http.MethodPost, "/networks/{id}/call", network).send(message))
}

// SendToParticipant stores a message that is delivered as soon as the recipient can be
// reached, at least once, and in order. One without a webhook and without an agent finds
// it in its inbox. The codes are those of CallParticipant but for the answer.
func (c *Client) SendToParticipant(ctx context.Context, network string, message api.NewNetworkMessage) (api.NetworkMessage, error) {
	return call[api.NetworkMessage](ctx, c, newRequest(http.MethodPost, "/networks/{id}/messages/send", network).send(message))
}

// SendToMailbox stores a message that is never pushed: the recipient finds it in its inbox.
// The codes are those of SendToParticipant.
func (c *Client) SendToMailbox(ctx context.Context, network string, message api.NewNetworkMessage) (api.NetworkMessage, error) {
	return call[api.NetworkMessage](ctx, c, newRequest(http.MethodPost, "/networks/{id}/mailbox", network).send(message))
}

// InboxQuery selects what a participant has not read.
type InboxQuery struct {
	Channel string // "call", "message" or "mailbox"; "": every channel
	Limit   int    // 1 to 200; 0: 50
}

// Inbox lists what a participant has not read, oldest first. What is acknowledged makes
// room for what comes after: there is no other way to the next page.
func (c *Client) Inbox(ctx context.Context, network, participant string, query InboxQuery) ([]api.NetworkMessage, error) {
	q := url.Values{}
	text(q, "channel_type", query.Channel)
	number(q, "limit", query.Limit)
	return call[[]api.NetworkMessage](ctx, c, newRequest(http.MethodGet, "/networks/{id}/inbox/{pid}", network, participant).with(q))
}

// AcknowledgeMessages makes up to 500 messages read, so that they leave the inbox and are
// delivered no more. It returns how many of them the network has.
func (c *Client) AcknowledgeMessages(ctx context.Context, network string, messages []string) (int, error) {
	if messages == nil {
		messages = []string{}
	}
	done, err := call[api.Acknowledgement](ctx, c, newRequest(http.MethodPost, "/networks/{id}/messages/ack", network).send(api.MessageIDs{MessageIDs: messages}))
	return done.Acknowledged, err
}

// NetworkMessageQuery selects messages of a network.
type NetworkMessageQuery struct {
	Channel       string // "call", "message" or "mailbox"; "": every channel
	ParticipantID string // sender or recipient
	Before, After string // ids of messages: those said before, or after
	NewestFirst   bool
	Page          // Limit 1 to 500; 0: 100
}

// NetworkMessages lists what was said in a network, oldest first unless the query says
// otherwise.
func (c *Client) NetworkMessages(ctx context.Context, network string, query NetworkMessageQuery) ([]api.NetworkMessage, error) {
	q := query.query()
	text(q, "channel_type", query.Channel)
	text(q, "participant_id", query.ParticipantID)
	text(q, "before", query.Before)
	text(q, "after", query.After)
	if query.NewestFirst {
		q.Set("order", "desc")
	}
	return call[[]api.NetworkMessage](ctx, c, newRequest(http.MethodGet, "/networks/{id}/messages", network).with(q))
}

// AllNetworkMessages walks what NetworkMessages lists, from message to message: none comes
// twice or is left out, whatever is said meanwhile.
func (c *Client) AllNetworkMessages(ctx context.Context, network string, query NetworkMessageQuery) iter.Seq2[api.NetworkMessage, error] {
	if query.Limit == 0 {
		query.Limit = 100 // long ones too fit into an answer
	}
	first := query.After
	if query.NewestFirst {
		first = query.Before
	}
	return follow(first, func(mark string) ([]api.NetworkMessage, string, error) {
		q := query
		if mark != first {
			q.Offset = 0
		}
		if q.NewestFirst {
			q.Before = mark
		} else {
			q.After = mark
		}
		list, err := c.NetworkMessages(ctx, network, q)
		if err == nil && len(list) > 0 {
			mark = list[len(list)-1].ID
		}
		return list, mark, err
	})
}

// NetworkContext reads the last things said in a network, in order: limit is 1 to 200,
// 0: 50.
func (c *Client) NetworkContext(ctx context.Context, network string, limit int) (api.NetworkContext, error) {
	return call[api.NetworkContext](ctx, c, newRequest(http.MethodGet, "/networks/{id}/context", network).with(Page{Limit: limit}.query()))
}

// DeadLetters lists the messages that were given up, the last failure first; Limit is 1 to
// 200, 0: 50.
func (c *Client) DeadLetters(ctx context.Context, network string, page Page) ([]api.DeadLetter, error) {
	return call[[]api.DeadLetter](ctx, c, newRequest(http.MethodGet, "/networks/{id}/dead-letters", network).with(page.query()))
}

// AllDeadLetters walks the pages of DeadLetters.
func (c *Client) AllDeadLetters(ctx context.Context, network string, page Page) iter.Seq2[api.DeadLetter, error] {
	return pages(page, 200, func(p Page) ([]api.DeadLetter, error) { return c.DeadLetters(ctx, network, p) })
}

// ReplayDeadLetter has a message that was given up delivered anew, under the same id. The
// code of one that was not is message_not_failed.
func (c *Client) ReplayDeadLetter(ctx context.Context, network, message string) (api.NetworkMessage, error) {
	return call[api.NetworkMessage](ctx, c, newRequest(http.MethodPost, "/networks/{id}/dead-letters/{message_id}/replay", network, message))
}

// callbackRoute is what the reply URL of a delivery names.
const callbackRoute = "/networks/{network_id}/participants/{participant_id}/callback"

// Reply says something for the participant that a delivery was for, as it may for 24 hours:
// replyURL is the reply_url of the delivery, as it was given. No credential is sent, so
// the client needs none. It must be one for the public URL of the server: an address
// elsewhere is ErrArgument, so that a delivery that nobody verified leads nowhere.
//
// The reply URL is a credential. No error has it in it.
func (c *Client) Reply(ctx context.Context, replyURL string, message api.CallbackMessage) (api.NetworkMessage, error) {
	r, err := c.replyTo(replyURL)
	if err != nil {
		return api.NetworkMessage{}, fmt.Errorf("intuno: POST %s: %w: %w", callbackRoute, ErrArgument, err)
	}
	return call[api.NetworkMessage](ctx, c, r.send(message).anonymous())
}

// replyTo is the request for a reply URL. Its errors do not repeat it.
func (c *Client) replyTo(replyURL string) (*request, error) {
	u, err := url.Parse(replyURL)
	own, bad := url.Parse(c.origin)
	switch {
	case err != nil || bad != nil:
		return nil, errors.New("the reply URL cannot be parsed")
	case u.User != nil || u.Opaque != "" || u.Fragment != "" || u.Scheme != own.Scheme || authority(u) != authority(own):
		return nil, errors.New("the reply URL is not one of this server")
	}
	path, ours := strings.CutPrefix(u.EscapedPath(), c.prefix+"/networks/")
	network, path, named := strings.Cut(path, "/participants/")
	participant, known := strings.CutSuffix(path, "/callback")
	q, err := url.ParseQuery(u.RawQuery)
	if !ours || !named || !known || err != nil || !isUUID(network) || !isUUID(participant) || !plain(q.Get("sig")) || !plain(q.Get("exp")) {
		return nil, errors.New("the reply URL is not that of a delivery")
	}
	r := newRequest(http.MethodPost, callbackRoute, network, participant)
	r.path += "?sig=" + q.Get("sig") + "&exp=" + q.Get("exp") // in the order in which it was given
	return r, nil
}

// authority is the host and port of a URL, the port also where the scheme means it.
func authority(u *url.URL) string {
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "http":
		port = "80"
	case port == "" && u.Scheme == "https":
		port = "443"
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}
