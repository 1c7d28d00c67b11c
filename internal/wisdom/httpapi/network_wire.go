package httpapi

import (
	"context"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

func toNetwork(n network.Network) api.Network {
	return api.Network{ID: string(n.ID), OwnerID: string(n.Owner), Name: n.Name, TopologyType: n.Topology, Metadata: n.Metadata, Metadata2: n.Metadata,
		Status: n.Status, CreatedAt: api.At(n.Created), UpdatedAt: api.At(n.Updated)}
}

func toNetworks(found []network.Network) []api.Network {
	list := make([]api.Network, len(found))
	for i, n := range found {
		list[i] = toNetwork(n)
	}
	return list
}

func toParticipant(p network.Participant) api.Participant {
	return api.Participant{ID: string(p.ID), NetworkID: string(p.Network), AgentID: textOrNull(p.Agent), ParticipantType: p.Kind, Name: p.Name,
		CallbackURL: p.CallbackURL, PollingEnabled: p.Polling, Capabilities: p.Capabilities, Status: p.Status,
		CreatedAt: api.At(p.Created), UpdatedAt: api.At(p.Updated)}
}

func toParticipants(found []network.Participant) []api.Participant {
	list := make([]api.Participant, len(found))
	for i, p := range found {
		list[i] = toParticipant(p)
	}
	return list
}

func toNetworkMessage(m network.Message) api.NetworkMessage {
	return api.NetworkMessage{ID: string(m.ID), NetworkID: string(m.Network), SenderParticipantID: string(m.Sender), RecipientParticipantID: textOrNull(m.Recipient),
		ChannelType: m.Channel, Content: m.Content, Metadata: m.Metadata, Metadata2: m.Metadata, Status: m.Status, InReplyToID: textOrNull(m.InReplyTo),
		CreatedAt: api.At(m.Created), UpdatedAt: api.At(m.Updated)}
}

func toContextEntry(e network.Entry) api.ContextEntry {
	return api.ContextEntry{Sender: e.SenderName, Recipient: textOrNull(e.RecipientName), Channel: e.Channel, Content: e.Content,
		MessageID: string(e.ID), Timestamp: api.Seconds(e.Created)}
}

func toDeadLetter(l network.DeadLetter) api.DeadLetter {
	shown := api.DeadLetter{NetworkMessage: toNetworkMessage(l.Message), Attempts: l.Attempts, LastError: l.LastError, FailedAt: api.At(l.FailedAt)}
	if l.LastStatus != 0 {
		shown.LastStatusCode = &l.LastStatus
	}
	return shown
}

// listed answers messages as the service lists them to p.
func (h *Network) listed(p principal.Principal, found []network.Message) httpx.Reply {
	messages, message := showRows(h, p, found, func(m *network.Message) *network.Message { return m }, toNetworkMessage)
	if message != nil {
		return httpx.List(found, message)
	}
	return httpx.Reply{JSON: messages}
}

// maxWhole is from how many bytes on a list is encoded row by row: its rows are in memory
// once, and its JSON shall not be there beside them.
const maxWhole = 1 << 20

// showRows gives rows the wire form of show; or, if they are too large to be held all at
// once, what does that for one of them, completed, when it is its turn (httpx.List). said is
// the message in a row.
func showRows[R, T any](h *Network, p principal.Principal, rows []R, said func(*R) *network.Message, show func(R) T) ([]T, func(context.Context, R) (T, error)) {
	total, large := 0, false
	for i := range rows {
		m := said(&rows[i])
		total += len(m.Content) + 2*len(m.Metadata) + 512 // about what it has on the wire
		large = large || m.Large
	}
	if large || total > maxWhole {
		return nil, func(ctx context.Context, row R) (T, error) {
			m, err := h.Service.Whole(ctx, p, *said(&row))
			*said(&row) = m
			return show(row), err
		}
	}
	list := make([]T, len(rows))
	for i, row := range rows {
		list[i] = show(row)
	}
	return list, nil
}

// textOf is "" for what was not said.
func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// idOf reads an id that a schema has seen to be one; nil is "".
func idOf[T ~string](s *string) T {
	parsed, _ := id.Parse[T](textOf(s))
	return parsed
}
