package broker

import (
	"context"
	"errors"
)

// Hosted sends calls to entities of the private host, which is the only way to them:
// they have no endpoint (contract §10.7).
type Hosted struct{ host Host }

var _ Target = Hosted{}

// NewHosted returns the target.
func NewHosted(host Host) Hosted { return Hosted{host} }

var errNoEntity = errors.New("the agent names no hosted entity")

// Send implements Target. An entity answers as a whole: nothing is emitted. What the
// host says, {"content": ...}, is the data as it is; a refusal of the host (the entity is
// paused, gone, or busy) is a reply with its 4xx status and no body.
func (t Hosted) Send(ctx context.Context, c Call, _ func([]byte) error) (Reply, error) {
	if c.Agent.HostedEntity == nil {
		return Reply{}, errors.Join(ErrUnreachable, errNoEntity)
	}
	status, body, err := t.host.Deliver(ctx, Delivery{ID: c.ID, Owner: c.Agent.Owner, Entity: *c.Agent.HostedEntity,
		Caller: c.Caller, Depth: c.Depth, RequestID: c.RequestID, Input: c.Input})
	if err != nil {
		return Reply{}, err
	}
	return Reply{Status: status, Body: body}, nil
}
