package httpapi

import (
	"context"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

type sayingInput struct {
	ID   string `path:"id" format:"uuid"`
	Body sayingBody
}

type sayingBody struct {
	Sender    string       `json:"sender_participant_id" format:"uuid"`
	Recipient string       `json:"recipient_participant_id" format:"uuid"`
	Content   string       `json:"content" maxLength:"65536"`
	Metadata  httpx.Object `json:"metadata,omitempty" nullable:"true" maxBytes:"32768"`
}

func (b *sayingBody) saying() network.Saying {
	return network.Saying{Sender: idOf[id.Participant](&b.Sender), Recipient: idOf[id.Participant](&b.Recipient), Content: b.Content, Metadata: b.Metadata}
}

func (h *Network) call(ctx context.Context, p principal.Principal, in *sayingInput) (api.CallResult, error) {
	r, err := h.Service.Call(ctx, p, id.Network(in.ID), in.Body.saying())
	return api.CallResult{Success: true, MessageID: string(r.Message), Response: r.Response}, err
}

func (h *Network) send(ctx context.Context, p principal.Principal, in *sayingInput) (api.NetworkMessage, error) {
	m, err := h.Service.Send(ctx, p, id.Network(in.ID), in.Body.saying())
	return toNetworkMessage(m), err
}

func (h *Network) mail(ctx context.Context, p principal.Principal, in *sayingInput) (api.NetworkMessage, error) {
	m, err := h.Service.Mail(ctx, p, id.Network(in.ID), in.Body.saying())
	return toNetworkMessage(m), err
}

type inboxInput struct {
	ID          string  `path:"id" format:"uuid"`
	Participant string  `path:"pid" format:"uuid"`
	Channel     *string `query:"channel_type" enum:"call,message,mailbox"`
	Limit       int     `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

func (h *Network) inbox(ctx context.Context, p principal.Principal, in *inboxInput) (httpx.Reply, error) {
	found, err := h.Service.Inbox(ctx, p, id.Network(in.ID), id.Participant(in.Participant), textOf(in.Channel), in.Limit)
	return h.listed(p, found), err
}

type acknowledgeInput struct {
	ID   string `path:"id" format:"uuid"`
	Body acknowledgeBody
}

type acknowledgeBody struct {
	MessageIDs []string `json:"message_ids" maxItems:"500" itemFormat:"uuid" doc:"Those that are not in the network are left out"`
}

func (h *Network) acknowledge(ctx context.Context, p principal.Principal, in *acknowledgeInput) (api.Acknowledgement, error) {
	ids := make([]id.NetworkMessage, len(in.Body.MessageIDs))
	for i := range ids {
		ids[i] = idOf[id.NetworkMessage](&in.Body.MessageIDs[i])
	}
	n, err := h.Service.Acknowledge(ctx, p, id.Network(in.ID), ids)
	return api.Acknowledgement{Acknowledged: n}, err
}

type networkMessagesInput struct {
	ID          string  `path:"id" format:"uuid"`
	Channel     *string `query:"channel_type" enum:"call,message,mailbox"`
	Participant string  `query:"participant_id" format:"uuid" doc:"Sender or recipient"`
	Before      string  `query:"before" format:"uuid" doc:"Only what was said before this message"`
	After       string  `query:"after" format:"uuid" doc:"Only what was said after this message"`
	Order       string  `query:"order" doc:"asc (default) or desc"`
	Limit       int     `query:"limit" minimum:"1" maximum:"500" default:"100"`
	Offset      int     `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Network) messages(ctx context.Context, p principal.Principal, in *networkMessagesInput) (httpx.Reply, error) {
	found, err := h.Service.Messages(ctx, p, id.Network(in.ID), network.MessageQuery{Channel: textOf(in.Channel), Participant: id.Participant(in.Participant),
		Before: id.NetworkMessage(in.Before), After: id.NetworkMessage(in.After), Descending: in.Order == "desc", Limit: in.Limit, Offset: in.Offset})
	return h.listed(p, found), err
}

type contextInput struct {
	ID    string `path:"id" format:"uuid"`
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

func (h *Network) context(ctx context.Context, p principal.Principal, in *contextInput) (httpx.Reply, error) {
	found, err := h.Service.Context(ctx, p, id.Network(in.ID), in.Limit)
	shown := api.NetworkContext{NetworkID: in.ID}
	entries, entry := showRows(h, p, found, func(e *network.Entry) *network.Message { return &e.Message }, toContextEntry)
	if entry != nil {
		return httpx.ListIn(shown, found, entry), err
	}
	shown.Entries = entries
	return httpx.Reply{JSON: shown}, err
}

type deadLettersInput struct {
	ID     string `path:"id" format:"uuid"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Offset int    `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Network) deadLetters(ctx context.Context, p principal.Principal, in *deadLettersInput) (httpx.Reply, error) {
	found, err := h.Service.DeadLetters(ctx, p, id.Network(in.ID), in.Limit, in.Offset)
	letters, letter := showRows(h, p, found, func(l *network.DeadLetter) *network.Message { return &l.Message }, toDeadLetter)
	if letter != nil {
		return httpx.List(found, letter), err
	}
	return httpx.Reply{JSON: letters}, err
}

type replayInput struct {
	ID      string `path:"id" format:"uuid"`
	Message string `path:"message_id" format:"uuid"`
}

func (h *Network) replay(ctx context.Context, p principal.Principal, in *replayInput) (api.NetworkMessage, error) {
	m, err := h.Service.Replay(ctx, p, id.Network(in.ID), id.NetworkMessage(in.Message))
	return toNetworkMessage(m), err
}

// callbackInput names the signature for the description; the guard has verified it.
type callbackInput struct {
	Network     string `path:"network_id" format:"uuid"`
	Participant string `path:"participant_id" format:"uuid"`
	Signature   string `query:"sig" required:"true" doc:"As in the reply_url of a delivery"`
	Expires     string `query:"exp" required:"true" doc:"As in the reply_url of a delivery"`
	Body        callbackBody
}

type callbackBody struct {
	Content   string       `json:"content" maxLength:"65536"`
	Recipient *string      `json:"recipient_participant_id,omitempty" nullable:"true" format:"uuid" doc:"null: whoever reads the network"`
	Channel   *string      `json:"channel_type,omitempty" nullable:"true" enum:"call,message,mailbox" doc:"message if absent; only that one is delivered"`
	Metadata  httpx.Object `json:"metadata,omitempty" nullable:"true" maxBytes:"32768"`
	InReplyTo *string      `json:"in_reply_to_id,omitempty" nullable:"true" format:"uuid"`
}

func (h *Network) callback(ctx context.Context, p principal.Principal, in *callbackInput) (api.NetworkMessage, error) {
	b := &in.Body
	say := network.Saying{Sender: p.Participant, Recipient: idOf[id.Participant](b.Recipient), Channel: network.Push, Content: b.Content, Metadata: b.Metadata,
		InReplyTo: idOf[id.NetworkMessage](b.InReplyTo)}
	if b.Channel != nil {
		say.Channel = *b.Channel
	}
	m, err := h.Service.Callback(ctx, p, say)
	return toNetworkMessage(m), err
}
