package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// staleTries is how often a message is checked again because its network has changed
// meanwhile. Only its owner can make it change.
const staleTries = 10

// Saying is something that one participant says to another.
type Saying struct {
	Sender, Recipient id.Participant // Recipient may be "" in a callback only
	Channel           string         // in a callback only
	Content           string
	Metadata          []byte            // a JSON object; nil: null
	InReplyTo         id.NetworkMessage // in a callback only; "": nothing
}

// Send stores a message and its delivery (contract §6.6). Faults, in this order:
// platform_halted (503), NotFound and network_not_active (400), NotFound and
// participant_not_active (400) of the sender, then of the recipient, agent_disabled
// (403), topology_violation (400), conflict (409) for a chain that is too long.
func (s *Service) Send(ctx context.Context, p principal.Principal, network id.Network, say Saying) (Message, error) {
	return s.say(ctx, p, network, say, Push)
}

// Mail stores a message that is never pushed. Faults: those of Send.
func (s *Service) Mail(ctx context.Context, p principal.Principal, network id.Network, say Saying) (Message, error) {
	return s.say(ctx, p, network, say, Mailbox)
}

func (s *Service) say(ctx context.Context, p principal.Principal, network id.Network, say Saying, channel string) (Message, error) {
	if err := s.config.Platform.Running(ctx); err != nil {
		return Message{}, err
	}
	say.InReplyTo = ""
	return s.post(ctx, p.User, network, func(ctx context.Context, state *State) (Draft, error) {
		_, recipient, err := s.check(ctx, p, state, say)
		if err != nil {
			return Draft{}, err
		}
		d := s.draft(state, say, channel)
		d.Depth, d.Actor, d.Request = p.Depth, p.Actor(), p.Request
		if channel == Push {
			d.Queue, err = s.reachable(ctx, recipient)
		}
		return d, err
	})
}

// draft is a message that has been checked against state.
func (s *Service) draft(state *State, say Saying, channel string) Draft {
	now := s.config.Now()
	return Draft{Revision: state.Revision, Message: Message{ID: id.New[id.NetworkMessage](), Network: state.ID, Sender: say.Sender, Recipient: say.Recipient,
		Channel: channel, Content: say.Content, Metadata: say.Metadata, InReplyTo: say.InReplyTo, Status: Pending, Created: now, Updated: now}}
}

// post stores what check makes of a network of owner. It is shown the network as it was
// less than a second ago. What it refuses it is asked again for the network as it is, and
// so is what it made of a network that has changed meanwhile: it holds at the moment of
// the commit.
func (s *Service) post(ctx context.Context, owner id.User, network id.Network, check func(context.Context, *State) (Draft, error)) (Message, error) {
	state, err := s.known(ctx, owner, network)
	if err != nil {
		return Message{}, err
	}
	current := false // state is as it was after the request began
	for range staleTries {
		d, err := check(ctx, &state)
		if err == nil {
			m, err := s.config.Store.Post(ctx, d)
			if !errors.Is(err, ErrStale) {
				return s.posted(d, m, err)
			}
		} else if current || fault.As(err) == nil {
			return Message{}, err
		}
		before := state.Revision
		if state, err = s.present(ctx, owner, network); err != nil {
			return Message{}, err
		}
		if current = true; state.Revision != before {
			s.states.Forget(string(network))
		}
	}
	return Message{}, fault.New(fault.Unavailable, "overloaded", "The network is changing too fast; try again").After(time.Second).Because(ErrStale)
}

func (s *Service) posted(d Draft, m Message, err error) (Message, error) {
	if err != nil {
		return Message{}, missing("Network", "store a message", err)
	}
	if d.Queue {
		s.wake()
	}
	return m, nil
}

// check is the checks of contract §6.3 from the network's status on, in their order.
func (s *Service) check(ctx context.Context, p principal.Principal, state *State, say Saying) (sender, recipient Participant, err error) {
	if state.Status != Active {
		return sender, recipient, networkNotActive()
	}
	if sender, err = s.participant(ctx, state, say.Sender, "Sender"); err != nil {
		return sender, recipient, err
	}
	if recipient, err = s.participant(ctx, state, say.Recipient, "Recipient"); err != nil {
		return sender, recipient, err
	}
	if err := s.enabled(ctx, sender, recipient); err != nil {
		return sender, recipient, err
	}
	if against := topology(state.Topology, state.Participants, say.Sender, say.Recipient); against != "" {
		return sender, recipient, fault.New(fault.BadRequest, "topology_violation", "%s", against)
	}
	if p.Depth > MaxDepth {
		return sender, recipient, fault.New(fault.Conflict, "conflict", "More than %d calls and messages follow from one another", MaxDepth)
	}
	return sender, recipient, nil
}

// participant finds one who is active. what names him in the faults: NotFound,
// participant_not_active (400).
func (s *Service) participant(ctx context.Context, state *State, who id.Participant, what string) (Participant, error) {
	i := slices.IndexFunc(state.Participants, func(p Participant) bool { return p.ID == who })
	if i >= 0 && state.Participants[i].Status == Active {
		return state.Participants[i], nil
	}
	if i < 0 { // removed, or never in this network
		if _, err := s.config.Store.Participant(ctx, state.Owner, state.ID, who); err != nil {
			return Participant{}, missing(what, "find a participant", err)
		}
	}
	return Participant{}, fault.New(fault.BadRequest, "participant_not_active", "%s is not active", what)
}

// enabled tells whether an administrator has left the agents of both ends switched on.
// Fault: agent_disabled (403).
func (s *Service) enabled(ctx context.Context, ends ...Participant) error {
	for _, p := range ends {
		if p.Agent == "" {
			continue
		}
		link, err := s.config.Agents.Linked(ctx, p.Owner, p.Agent)
		if err != nil {
			return fmt.Errorf("find the agent of a participant: %w", err)
		}
		if link.Disabled {
			return fault.New(fault.Forbidden, "agent_disabled", "An administrator has disabled the agent of a participant")
		}
	}
	return nil
}

// reachable tells whether there is anything to push to.
func (s *Service) reachable(ctx context.Context, recipient Participant) (bool, error) {
	t, err := s.aim(ctx, &recipient)
	return t.callable(), err
}

// topology tells what is against sending, "" if nothing is (contract §6.4). all are the
// participants in the order in which they joined; both ends are active ones of them.
func topology(kind string, all []Participant, sender, recipient id.Participant) string {
	if kind != Star && kind != Ring {
		return ""
	}
	var active []id.Participant
	for i := range all {
		if all[i].Status == Active {
			active = append(active, all[i].ID)
		}
	}
	at := slices.Index(active, sender)
	switch {
	case kind == Star && at != 0:
		return "Star topology: only the hub, the first active participant, may send"
	case kind == Ring && len(active) > 1 && active[(at+1)%len(active)] != recipient:
		return "Ring topology: a participant may send to the next active one only"
	}
	return ""
}

// Inbox lists what a participant has not read, oldest first; "" is every channel. Fault:
// NotFound.
func (s *Service) Inbox(ctx context.Context, p principal.Principal, network id.Network, who id.Participant, channel string, limit int) ([]Message, error) {
	state, err := s.known(ctx, p.User, network)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(state.Participants, func(p Participant) bool { return p.ID == who }) {
		// One who was removed, or has joined this moment, has an inbox too.
		if _, err := s.config.Store.Participant(ctx, p.User, network, who); err != nil {
			return nil, missing("Participant", "find a participant", err)
		}
	}
	list, err := s.config.Store.Inbox(ctx, p.User, who, channel, limit)
	if err != nil {
		return nil, missing("Participant", "read an inbox", err)
	}
	return list, nil
}

// Acknowledge makes messages read and tells how many of ids are in the network. Fault:
// NotFound.
func (s *Service) Acknowledge(ctx context.Context, p principal.Principal, network id.Network, ids []id.NetworkMessage) (int, error) {
	if _, err := s.known(ctx, p.User, network); err != nil {
		return 0, err
	}
	n, err := s.config.Store.Acknowledge(ctx, p.User, network, ids, s.config.Now())
	if err != nil {
		return 0, missing("Network", "acknowledge messages", err)
	}
	return n, nil
}

// Messages lists what was said. Fault: NotFound.
func (s *Service) Messages(ctx context.Context, p principal.Principal, network id.Network, q MessageQuery) ([]Message, error) {
	if _, err := s.known(ctx, p.User, network); err != nil {
		return nil, err
	}
	list, err := s.config.Store.Messages(ctx, p.User, network, q)
	if err != nil {
		return nil, missing("Message", "list messages", err)
	}
	return list, nil
}

// Whole is a message of a list with what was left out there. All else is as it was listed:
// what has become of the message since does not matter. Fault: NotFound, if it is gone.
func (s *Service) Whole(ctx context.Context, p principal.Principal, m Message) (Message, error) {
	if !m.Large {
		return m, nil
	}
	found, err := s.config.Store.Message(ctx, p.User, m.Network, m.ID)
	if err != nil {
		return Message{}, missing("Message", "read a message", err)
	}
	m.Content, m.Metadata, m.Large = found.Content, found.Metadata, false
	return m, nil
}

// Context lists the last things said, in order. Fault: NotFound.
func (s *Service) Context(ctx context.Context, p principal.Principal, network id.Network, limit int) ([]Entry, error) {
	if _, err := s.present(ctx, p.User, network); err != nil {
		return nil, err
	}
	list, err := s.config.Store.LastEntries(ctx, network, limit)
	if err != nil {
		return nil, missing("Network", "read the last messages", err)
	}
	return list, nil
}

// DeadLetters lists what was given up, the last first. Fault: NotFound.
func (s *Service) DeadLetters(ctx context.Context, p principal.Principal, network id.Network, limit, offset int) ([]DeadLetter, error) {
	if _, err := s.known(ctx, p.User, network); err != nil {
		return nil, err
	}
	list, err := s.config.Store.DeadLetters(ctx, p.User, network, limit, offset)
	if err != nil {
		return nil, missing("Network", "list dead letters", err)
	}
	return list, nil
}

// Replay begins a new round of attempts. Faults: NotFound, message_not_failed (409).
func (s *Service) Replay(ctx context.Context, p principal.Principal, network id.Network, m id.NetworkMessage) (Message, error) {
	if _, err := s.known(ctx, p.User, network); err != nil {
		return Message{}, err
	}
	replayed, err := s.config.Store.Replay(ctx, p.User, network, m, s.config.Now())
	if err != nil {
		return Message{}, missing("Message", "replay a dead letter", err)
	}
	s.wake()
	return replayed, nil
}
