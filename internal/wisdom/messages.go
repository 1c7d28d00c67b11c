package wisdom

import (
	"context"

	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/a2a"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
)

// messages is how package a2a runs invocations: a message to one of our agents goes
// through the same pipeline as every other call (contract §8.5).
type messages struct{ broker *broker.Service }

var _ a2a.Broker = messages{}

// Invoke implements a2a.Broker. Refusals and failures are told with their fixed text.
func (m messages) Invoke(ctx context.Context, p principal.Principal, slug string, input []byte) (a2a.Outcome, error) {
	r, err := m.broker.Invoke(ctx, p, broker.Request{Agent: slug, Input: input})
	if err != nil {
		return a2a.Outcome{}, err
	}
	if !r.Success {
		return a2a.Outcome{Failed: r.Code.Text()}, nil
	}
	return a2a.Outcome{Text: broker.Text(r.Data), Data: r.Data}, nil
}

// tasks is how package a2a says things in networks: like everybody else (contract §8.6).
type tasks struct{ networks *network.Service }

var _ a2a.Networks = tasks{}

// Say implements a2a.Networks.
func (t tasks) Say(ctx context.Context, p principal.Principal, s a2a.Saying) (a2a.Said, error) {
	say := network.Saying{Sender: s.Sender, Recipient: s.Recipient, Content: s.Content, Metadata: s.Metadata}
	if s.Channel == network.Call {
		r, err := t.networks.Call(ctx, p, s.Network, say)
		return a2a.Said{Message: r.Message, Status: network.Delivered, Response: r.Response}, err
	}
	send := t.networks.Send
	if s.Channel == network.Mailbox {
		send = t.networks.Mail
	}
	m, err := send(ctx, p, s.Network, say)
	return a2a.Said{Message: m.ID, Status: m.Status, At: m.Updated}, err
}
