package chat

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Kind says how a delivery came about (contract §10.7).
type Kind string

// The kinds of deliveries.
const (
	Invoke      Kind = "invoke"  // by the broker
	NetworkCall Kind = "call"    // in a network, and the caller waits
	NetworkSend Kind = "message" // in a network, from the queue
)

// MaxDepth is the largest depth that a delivery may have. Wisdom goes no deeper than 8.
const MaxDepth = 64

// How many deliveries are kept of an entity, the newest ones. Anybody may invoke a public
// agent, so without a bound anybody could fill the disk of the host.
const (
	KeptDeliveries    = 500
	KeptDeliveryBytes = 16 << 20 // of inputs and answers
)

// Delivery is something that an agent network says to an entity. Wisdom has checked who
// may do so.
type Delivery struct {
	ID     string // of the invocation or network message, a UUID
	Kind   Kind
	Caller id.User // on whose behalf it is said
	Depth  int     // how many invocations led to it, 0 to MaxDepth
	Input  []byte  // JSON object, as it came
}

// text is what the entity is told: of a network its content, of an invocation the first
// text that is not blank among the members that agents use for it, else the JSON
// (contract §5.2, 6.6).
func (d Delivery) text() string {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(d.Input, &members); err != nil {
		return string(d.Input)
	}
	names := []string{"content"}
	if d.Kind == Invoke {
		names = []string{"message", "query", "text", "content", "prompt", "input"}
	}
	for _, name := range names {
		var text string
		if members[name].Kind() == '"' && json.Unmarshal(members[name], &text) == nil && strings.TrimSpace(text) != "" {
			return firstChars(strings.TrimSpace(text), MaxContent)
		}
	}
	if d.Kind != Invoke {
		return ""
	}
	return firstChars(string(d.Input), MaxContent)
}

// DeliveryState is what is known of a delivery that came before.
type DeliveryState struct {
	Turn    id.Message // that runs, or ran last, for it
	Status  Status
	Content *string      // of a completed one; nil if the entity said nothing
	Failure *fault.Error // of a failed one
}

// StoredDelivery is a delivery as it is kept.
type StoredDelivery struct {
	Delivery
	DeliveryState
	Error     *string // fixed text of a failed one
	Created   time.Time
	Completed *time.Time
}

// Deliver runs a turn for a delivery and returns what the entity says to it; nil is
// nothing. The first answer to an id is the answer to every later delivery with that id,
// until KeptDeliveries newer ones have come; one that comes while the first runs waits
// for it. A turn that failed, or that a crash interrupted, is run again. If the caller
// leaves (ctx ends) the turn goes on, and its answer is kept. Faults: as Send and
// Sent.Wait.
func (s *Service) Deliver(ctx context.Context, p principal.Principal, name string, d Delivery) (*string, error) {
	now := s.Now()
	t := brain.Turn{Message: id.New[id.Message](), Content: d.text(), Depth: d.Depth, Request: p.Request, Stranger: d.Caller != p.User}
	accepted, r, err := s.start(ctx, p.User, name, t, Start{Delivery: &d, Now: now},
		func(c Current) Verdict { return s.admitDelivery(c, p.User, now) })
	switch {
	case err != nil:
		return nil, err
	case accepted.Refusal != nil:
		return nil, accepted.Refusal
	case accepted.Delivered != nil:
		return s.delivered(ctx, p.User, name, d.ID, accepted.Delivered)
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the turn: %w", ctx.Err())
	case <-r.done:
	}
	if r.known {
		return said(r.answer.Reply), r.err
	}
	state, err := s.store.Delivery(ctx, p.User, name, d.ID)
	if err != nil {
		return nil, err
	}
	return s.delivered(ctx, p.User, name, d.ID, &state)
}

// said is a reply as content of a delivery.
func said(reply string) *string {
	if reply == "" {
		return nil
	}
	return &reply
}

// admitDelivery decides about a delivery.
func (s *Service) admitDelivery(c Current, owner id.User, now time.Time) Verdict {
	if d := c.Delivered; d != nil {
		runs := d.Status == Running && c.Running != nil && c.Running.Message == d.Turn && s.live(*c.Running, now)
		if d.Status == Completed || runs {
			return Verdict{Replay: true}
		}
	}
	return s.admitTurn(c, owner, now)
}

// delivered waits for the end of a delivery that runs elsewhere or on behalf of another
// request.
func (s *Service) delivered(ctx context.Context, owner id.User, name, delivery string, state *DeliveryState) (*string, error) {
	wake, leave := s.hub.join(state.Turn)
	defer leave()
	poll := time.NewTicker(pollShared)
	defer poll.Stop()
	for {
		switch state.Status {
		case Completed:
			return state.Content, nil
		case Failed:
			return nil, state.Failure
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a delivery: %w", ctx.Err())
		case <-s.closed:
			return nil, stopping()
		case <-wake:
		case <-poll.C:
		}
		now, err := s.store.Delivery(ctx, owner, name, delivery)
		if err != nil {
			return nil, err
		}
		state = &now
	}
}
