package httpapi

import (
	"context"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// Network serves networks and what is said in them (contract §6).
type Network struct {
	Service *network.Service
}

func (h *Network) routes() []httpx.Route {
	created := httpx.Status(http.StatusCreated)
	return []httpx.Route{
		httpx.Post("/networks", httpx.Delegable, h.create, created, httpx.Doc("Create a network")),
		httpx.Get("/networks", httpx.Delegable, h.list, httpx.Doc("List your networks, newest first")),
		httpx.Get("/networks/{id}", httpx.Delegable, h.get, httpx.Doc("Read a network")),
		httpx.Patch("/networks/{id}", httpx.Delegable, h.edit, httpx.Doc("Change a network; what is absent or null stays")),
		httpx.Delete("/networks/{id}", httpx.Delegable, h.delete, httpx.Doc("Delete a network with its participants, its messages and what is still to be delivered")),
		httpx.Post("/networks/{id}/participants", httpx.Delegable, h.join, created, httpx.Doc("Let somebody take part; webhook_secret is shown once")),
		httpx.Get("/networks/{id}/participants", httpx.Delegable, h.participants, httpx.Doc("List the active participants, in the order in which they joined")),
		httpx.Patch("/networks/{id}/participants/{pid}", httpx.Delegable, h.editParticipant, httpx.Doc("Change a participant; what is absent or null stays")),
		httpx.Delete("/networks/{id}/participants/{pid}", httpx.Delegable, h.remove, httpx.Doc("Remove a participant; what it said stays")),
		httpx.Post("/networks/{id}/participants/{pid}/webhook-secret", httpx.Delegable, h.rotate, httpx.Doc("Replace the webhook secret; the one before also signs for 24 hours")),

		httpx.Post("/networks/{id}/call", httpx.Delegable, h.call, httpx.Doc("Say something to a participant and wait for its answer")),
		httpx.Post("/networks/{id}/messages/send", httpx.Delegable, h.send, created, httpx.Doc("Say something to a participant, to be delivered at least once")),
		httpx.Post("/networks/{id}/mailbox", httpx.Delegable, h.mail, created, httpx.Doc("Say something to a participant, which reads it by polling")),
		httpx.Get("/networks/{id}/inbox/{pid}", httpx.Delegable, h.inbox, httpx.Returns[[]api.NetworkMessage](), httpx.Doc("List what a participant has not acknowledged, oldest first")),
		httpx.Post("/networks/{id}/messages/ack", httpx.Delegable, h.acknowledge, httpx.Doc("Acknowledge messages: they are read, and are not delivered any more")),
		httpx.Get("/networks/{id}/messages", httpx.Delegable, h.messages, httpx.Returns[[]api.NetworkMessage](), httpx.Doc("List what was said")),
		httpx.Get("/networks/{id}/context", httpx.Delegable, h.context, httpx.Returns[api.NetworkContext](), httpx.Doc("Read the last things said, in order")),
		httpx.Get("/networks/{id}/dead-letters", httpx.Delegable, h.deadLetters, httpx.Returns[[]api.DeadLetter](), httpx.Doc("List the messages whose delivery was given up, last failure first")),
		httpx.Post("/networks/{id}/dead-letters/{message_id}/replay", httpx.Delegable, h.replay, httpx.Status(http.StatusAccepted), httpx.Doc("Try again to deliver a message that was given up")),

		httpx.Post("/networks/{network_id}/participants/{participant_id}/callback", httpx.Signed, h.callback,
			httpx.Doc("Answer as a participant: the reply_url of a delivery. It holds for 24 hours, without any other credential; at most 120 requests a minute and participant")),
	}
}

type newNetworkInput struct{ Body newNetworkBody }

type newNetworkBody struct {
	Name     string       `json:"name" minLength:"1" maxLength:"255"`
	Topology *string      `json:"topology_type,omitempty" nullable:"true" enum:"mesh,star,ring,custom" doc:"mesh if absent"`
	Metadata httpx.Object `json:"metadata,omitempty" nullable:"true" maxBytes:"32768"`
}

func (h *Network) create(ctx context.Context, p principal.Principal, in *newNetworkInput) (api.Network, error) {
	n, err := h.Service.Create(ctx, p, network.NewNetwork{Name: in.Body.Name, Topology: textOf(in.Body.Topology), Metadata: in.Body.Metadata})
	return toNetwork(n), err
}

type networkListInput struct {
	Limit  int `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Offset int `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Network) list(ctx context.Context, p principal.Principal, in *networkListInput) ([]api.Network, error) {
	found, err := h.Service.List(ctx, p, in.Limit, in.Offset)
	return toNetworks(found), err
}

type networkInput struct {
	ID string `path:"id" format:"uuid"`
}

func (h *Network) get(ctx context.Context, p principal.Principal, in *networkInput) (api.Network, error) {
	n, err := h.Service.Get(ctx, p, id.Network(in.ID))
	return toNetwork(n), err
}

type editNetworkInput struct {
	ID   string `path:"id" format:"uuid"`
	Body editNetworkBody
}

type editNetworkBody struct {
	Name     *string      `json:"name,omitempty" nullable:"true" minLength:"1" maxLength:"255"`
	Topology *string      `json:"topology_type,omitempty" nullable:"true" enum:"mesh,star,ring,custom"`
	Status   *string      `json:"status,omitempty" nullable:"true" enum:"active,paused,closed" doc:"While paused, deliveries wait; of a closed network they fail"`
	Metadata httpx.Object `json:"metadata,omitempty" nullable:"true" maxBytes:"32768"`
}

func (h *Network) edit(ctx context.Context, p principal.Principal, in *editNetworkInput) (api.Network, error) {
	b := &in.Body
	n, err := h.Service.Edit(ctx, p, id.Network(in.ID), network.Patch{Name: b.Name, Topology: b.Topology, Status: b.Status, Metadata: b.Metadata})
	return toNetwork(n), err
}

func (h *Network) delete(ctx context.Context, p principal.Principal, in *networkInput) (httpx.None, error) {
	return httpx.None{}, h.Service.Delete(ctx, p, id.Network(in.ID))
}

type joinInput struct {
	ID   string `path:"id" format:"uuid"`
	Body joinBody
}

type joinBody struct {
	Name         string       `json:"name" minLength:"1" maxLength:"255"`
	AgentID      *string      `json:"agent_id,omitempty" nullable:"true" format:"uuid" doc:"Id of an agent, not its slug"`
	Kind         *string      `json:"participant_type,omitempty" nullable:"true" enum:"agent,persona,orchestrator" doc:"agent if absent"`
	CallbackURL  *string      `json:"callback_url,omitempty" nullable:"true" maxLength:"2048"`
	Polling      *bool        `json:"polling_enabled,omitempty" nullable:"true" doc:"true if there is neither a callback_url nor an agent_id"`
	Capabilities httpx.Object `json:"capabilities,omitempty" nullable:"true" maxBytes:"32768"`
}

func (h *Network) join(ctx context.Context, p principal.Principal, in *joinInput) (api.JoinedParticipant, error) {
	b := &in.Body
	who, text, err := h.Service.Join(ctx, p, id.Network(in.ID), network.NewParticipant{Name: b.Name, Agent: idOf[id.Agent](b.AgentID), Kind: textOf(b.Kind),
		CallbackURL: b.CallbackURL, Polling: b.Polling != nil && *b.Polling, Capabilities: b.Capabilities})
	return JoinedParticipant(who, text), err
}

func (h *Network) participants(ctx context.Context, p principal.Principal, in *networkInput) ([]api.Participant, error) {
	found, err := h.Service.Participants(ctx, p, id.Network(in.ID))
	return toParticipants(found), err
}

type participantInput struct {
	ID          string `path:"id" format:"uuid"`
	Participant string `path:"pid" format:"uuid"`
}

type editParticipantInput struct {
	ID          string `path:"id" format:"uuid"`
	Participant string `path:"pid" format:"uuid"`
	Body        editParticipantBody
}

type editParticipantBody struct {
	CallbackURL  *string      `json:"callback_url,omitempty" nullable:"true" maxLength:"2048" doc:"An empty string clears it"`
	Polling      *bool        `json:"polling_enabled,omitempty" nullable:"true"`
	Capabilities httpx.Object `json:"capabilities,omitempty" nullable:"true" maxBytes:"32768"`
	Status       *string      `json:"status,omitempty" nullable:"true" enum:"active,disconnected,removed" doc:"While disconnected, deliveries wait; to a removed participant they fail"`
}

func (h *Network) editParticipant(ctx context.Context, p principal.Principal, in *editParticipantInput) (api.Participant, error) {
	b := &in.Body
	who, err := h.Service.EditParticipant(ctx, p, id.Network(in.ID), id.Participant(in.Participant),
		network.ParticipantPatch{CallbackURL: b.CallbackURL, Polling: b.Polling, Capabilities: b.Capabilities, Status: b.Status})
	return toParticipant(who), err
}

func (h *Network) remove(ctx context.Context, p principal.Principal, in *participantInput) (httpx.None, error) {
	return httpx.None{}, h.Service.Remove(ctx, p, id.Network(in.ID), id.Participant(in.Participant))
}

func (h *Network) rotate(ctx context.Context, p principal.Principal, in *participantInput) (api.WebhookSecret, error) {
	text, until, err := h.Service.RotateSecret(ctx, p, id.Network(in.ID), id.Participant(in.Participant))
	return api.WebhookSecret{WebhookSecret: text.Reveal(), PreviousValidUntil: api.At(until)}, err
}
