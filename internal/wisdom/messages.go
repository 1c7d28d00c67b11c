package wisdom

import (
	"context"

	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/a2a"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
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
