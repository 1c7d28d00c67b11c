package httpapi

import (
	"context"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

type deliverInput struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Body deliveryBody
}

type deliveryBody struct {
	Kind    string       `json:"kind" enum:"invoke,call,message"`
	ID      string       `json:"id" format:"uuid"`
	Input   httpx.Object `json:"input,omitempty" nullable:"true" doc:"Of an invocation"`
	Payload httpx.Object `json:"payload,omitempty" nullable:"true" doc:"Of a network, with its content"`
	Caller  string       `json:"caller_user_id" format:"uuid"`
	Depth   int          `json:"depth" minimum:"0" maximum:"64"`
}

// delivery reads the body: an invocation has an input, a network a payload with content.
func (b *deliveryBody) delivery() (chat.Delivery, error) {
	d := chat.Delivery{Kind: chat.Kind(b.Kind), Depth: b.Depth}
	parsed, _ := id.Parse[id.Message](b.ID) // the schema has checked both
	d.ID = string(parsed)
	d.Caller, _ = id.Parse[id.User](b.Caller)
	given, other, name, otherName := b.Input, b.Payload, "input", "payload"
	if d.Kind != chat.Invoke {
		given, other, name, otherName = other, given, otherName, name
	}
	if d.Input = given; d.Input == nil {
		return d, fault.InvalidField("missing", "is required for this kind", "body", name)
	}
	if other != nil {
		return d, fault.InvalidField("extra_forbidden", "is not for this kind", "body", otherName)
	}
	if d.Kind != chat.Invoke && !hasContent(d.Input) {
		return d, fault.InvalidField("string_type", "must be a string", "body", "payload", "content")
	}
	return d, nil
}

func hasContent(payload []byte) bool {
	var members struct {
		Content jsontext.Value `json:"content"`
	}
	return json.Unmarshal(payload, &members) == nil && members.Content.Kind() == '"'
}

// deliveryAnswer is for wisdom only.
type deliveryAnswer struct {
	Content *string `json:"content"`
}

func (a *API) deliver(ctx context.Context, p principal.Principal, in *deliverInput) (deliveryAnswer, error) {
	d, err := in.Body.delivery()
	if err != nil {
		return deliveryAnswer{}, err
	}
	content, err := a.Chat.Deliver(ctx, p, in.Name, d)
	if err != nil && ctx.Err() != nil {
		return deliveryAnswer{}, clientLeft()
	}
	return deliveryAnswer{Content: content}, err
}

func wireDelivery(d chat.StoredDelivery) api.Delivery {
	var caller *string
	if d.Caller != "" {
		known := string(d.Caller)
		caller = &known
	}
	return api.Delivery{ID: d.ID, Kind: string(d.Kind), CallerUserID: caller, Depth: d.Depth, Input: d.Input, Content: d.Content,
		Status: string(d.Status), Error: d.Error, CreatedAt: api.At(d.Created), CompletedAt: api.AtPtr(d.Completed)}
}
