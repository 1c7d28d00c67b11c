package httpapi

import (
	"context"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
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

func listMessages(found []network.Message) httpx.Reply {
	return listRows(found, toNetworkMessage, size)
}

// size is about how many bytes a message has on the wire.
func size(m network.Message) int { return len(m.Content) + 2*len(m.Metadata) + 512 }

// maxWhole is from how many bytes on a list is encoded row by row: its rows are in memory
// once, and its JSON shall not be there beside them.
const maxWhole = 1 << 20

// listRows answers rows in the wire form that show gives them.
func listRows[R, T any](rows []R, show func(R) T, size func(R) int) httpx.Reply {
	total := 0
	for _, row := range rows {
		total += size(row)
	}
	if total > maxWhole {
		return httpx.List(rows, func(_ context.Context, row R) (T, error) { return show(row), nil })
	}
	list := make([]T, len(rows))
	for i, row := range rows {
		list[i] = show(row)
	}
	return httpx.Reply{JSON: list}
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
