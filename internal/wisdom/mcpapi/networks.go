package mcpapi

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/httpapi"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// networkTools are those of networks (contract §6 and §12).
func networkTools() []tool {
	return []tool{
		newTool("create_network", "Create a network, in which agents talk to each other.", acts,
			`{"name":{"type":"string","minLength":1,"maxLength":255},
			"topology":{"type":"string","enum":["mesh","star","ring","custom"],"default":"mesh",
			"description":"Who may send: mesh and custom everybody to everybody, star only the first participant, ring only to the next one"}}`, `["name"]`, createNetwork),
		newTool("join_network", "Let somebody take part in your network. webhook_secret, by which the callback tells our requests, is shown once.", acts,
			`{"network_id":{"type":"string","format":"uuid"},
			"name":{"type":"string","minLength":1,"maxLength":255},
			"participant_type":{"type":"string","enum":["agent","persona","orchestrator"],"default":"agent"},
			"callback_url":{"type":["string","null"],"maxLength":2048,"description":"Where messages are sent to. Absent: they are read by polling"},
			"polling_enabled":{"type":"boolean","default":false}}`, `["network_id","name"]`, joinNetwork),
		newTool("send_network_message", "Say something to a participant of a network, as another one. It is delivered at least once.", acts,
			`{"network_id":{"type":"string","format":"uuid"},
			"sender_participant_id":{"type":"string","format":"uuid"},
			"recipient_participant_id":{"type":"string","format":"uuid"},
			"content":{"type":"string","maxLength":65536}}`,
			`["network_id","sender_participant_id","recipient_participant_id","content"]`, sendNetworkMessage),
		newTool("get_network_context", "Read the last things said in a network, in order.", reads,
			`{"network_id":{"type":"string","format":"uuid"},
			"limit":{"type":"integer","default":50,"minimum":1,"maximum":200}}`, `["network_id"]`, networkContext),
	}
}

// Bounds of arguments, those of the routes.
const (
	maxName    = 255
	maxContent = 65536
	maxEntries = 200
)

func createNetwork(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	n := network.NewNetwork{Name: in.filled("name", maxName),
		Topology: in.oneOf("topology", network.Mesh, network.Mesh, network.Star, network.Ring, network.Custom)}
	if err := in.err(); err != nil {
		return nil, err
	}
	made, err := a.c.Networks.Create(ctx, p, n)
	return httpapi.NetworkFor(made), err
}

func joinNetwork(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	inside := uuidOf[id.Network](in, "network_id")
	n := network.NewParticipant{Name: in.filled("name", maxName), Kind: in.oneOf("participant_type", "agent", "agent", "persona", "orchestrator"),
		CallbackURL: in.optional("callback_url", maxURL), Polling: in.boolean("polling_enabled")}
	if err := in.err(); err != nil {
		return nil, err
	}
	joined, webhook, err := a.c.Networks.Join(ctx, p, inside, n)
	if err != nil {
		return nil, err
	}
	return httpapi.JoinedParticipant(joined, webhook), nil
}

// sent is the answer of send_network_message.
type sent struct {
	MessageID   string `json:"message_id"`
	Status      string `json:"status"`
	ChannelType string `json:"channel_type"`
}

func sendNetworkMessage(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	inside := uuidOf[id.Network](in, "network_id")
	s := network.Saying{Sender: uuidOf[id.Participant](in, "sender_participant_id"), Recipient: uuidOf[id.Participant](in, "recipient_participant_id"),
		Content: in.text("content", maxContent)}
	if err := in.err(); err != nil {
		return nil, err
	}
	m, err := a.c.Networks.Send(ctx, p, inside, s)
	return sent{string(m.ID), m.Status, m.Channel}, err
}

// window is the answer of get_network_context: as that of the route.
type window struct {
	NetworkID string           `json:"network_id"`
	Entries   []jsontext.Value `json:"entries"`
}

func networkContext(ctx context.Context, a *API, p principal.Principal, in *arguments) (any, error) {
	inside, limit := uuidOf[id.Network](in, "network_id"), in.within("limit", 50, 1, maxEntries)
	if err := in.err(); err != nil {
		return nil, err
	}
	list, err := a.c.Networks.Context(ctx, p, inside, limit)
	if err != nil {
		return nil, err
	}
	answer, size := window{NetworkID: string(inside), Entries: make([]jsontext.Value, 0, len(list))}, 0
	for i, e := range slices.Backward(list) { // what does not fit are the oldest
		if e.Message, err = a.c.Networks.Whole(ctx, p, e.Message); fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		text, err := httpx.JSON(httpapi.ContextEntry(e))
		if err != nil {
			return nil, fmt.Errorf("encode an entry of a context: %w", err)
		}
		if size += len(text); size > maxSaid {
			return nil, fault.New(fault.TooLarge, api.CodePayloadTooLarge, "these entries are larger than %d bytes: ask for fewer, with a limit of at most %d", maxSaid, len(list)-1-i)
		}
		answer.Entries = append(answer.Entries, text)
	}
	slices.Reverse(answer.Entries)
	return answer, nil
}
