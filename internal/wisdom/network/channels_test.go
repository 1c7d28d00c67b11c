package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

func TestTopologiesSayWhoMaySendToWhom(t *testing.T) {
	cast := func(states ...string) []Participant { // named a, b, c, ... in the order of joining
		var list []Participant
		for i, status := range states {
			list = append(list, Participant{ID: id.Participant(rune('a' + i)), Status: status})
		}
		return list
	}
	three := cast(Active, Active, Active)
	for _, c := range []struct {
		name    string
		kind    string
		all     []Participant
		allowed string // pairs of sender and recipient; all others are refused
	}{
		{"in a mesh anybody to anybody", Mesh, three, "aa ab ac ba bb bc ca cb cc"},
		{"custom is no rule", Custom, three, "aa ab ac ba bb bc ca cb cc"},
		{"in a star the first who joined", Star, three, "aa ab ac"},
		{"in a star the first who is active", Star, cast(Disconnected, Active, Active), "bb bc"},
		{"in a star of one", Star, cast(Active), "aa"},
		{"in a ring to the next, and from the last to the first", Ring, three, "ab bc ca"},
		{"a ring steps over who is not active", Ring, cast(Active, Disconnected, Active, Active), "ac cd da"},
		{"a ring of two", Ring, cast(Active, Active), "ab ba"},
		{"a ring of two among others", Ring, cast(Disconnected, Active, Disconnected, Active), "bd db"},
		{"a ring of one is no rule", Ring, cast(Active), "aa"},
	} {
		for _, sender := range c.all {
			for _, recipient := range c.all {
				if sender.Status != Active || recipient.Status != Active {
					continue // refused before
				}
				pair := string(sender.ID + recipient.ID)
				against := topology(c.kind, c.all, sender.ID, recipient.ID)
				if want := slices.Contains(strings.Fields(c.allowed), pair); (against == "") != want {
					t.Errorf("%s: %s: got %q, want allowed %v", c.name, pair, against, want)
				}
				word := map[string]string{Star: "hub", Ring: "Ring topology"}[c.kind]
				if against != "" && !strings.Contains(against, word) {
					t.Errorf("%s: %q does not say %q", c.name, against, word)
				}
			}
		}
	}
}

// obstacle is a reason to refuse.
type obstacle struct {
	name string
	want string // what the caller is told
	put  func(r *room, p *principal.Principal, say *Saying)
}

// obstacles are the checks of contract §6.3 in their order.
var obstacles = []obstacle{
	{"halted", "platform_halted", func(r *room, _ *principal.Principal, _ *Saying) {
		r.halted = fault.New(fault.Unavailable, "platform_halted", "halted")
	}},
	{"a network of somebody else", "not_found: Network not found", func(_ *room, p *principal.Principal, _ *Saying) { p.User = "stranger" }},
	{"an unknown network", "not_found: Network not found", func(r *room, _ *principal.Principal, _ *Saying) { r.state.ID = "another" }},
	{"a paused network", "network_not_active", func(r *room, _ *principal.Principal, _ *Saying) { r.state.Status = Paused }},
	{"a closed network", "network_not_active", func(r *room, _ *principal.Principal, _ *Saying) { r.state.Status = Closed }},
	{"an unknown sender", "not_found: Sender not found", func(r *room, _ *principal.Principal, _ *Saying) { r.drop(ada) }},
	{"a removed sender", "participant_not_active: Sender is not active", func(r *room, _ *principal.Principal, _ *Saying) {
		r.drop(ada)
		r.gone = append(r.gone, ada)
	}},
	{"a disconnected sender", "participant_not_active: Sender is not active", func(r *room, _ *principal.Principal, _ *Saying) {
		r.participant(ada).Status = Disconnected
	}},
	{"an unknown recipient", "not_found: Recipient not found", func(r *room, _ *principal.Principal, _ *Saying) { r.drop(bob) }},
	{"a removed recipient", "participant_not_active: Recipient is not active", func(r *room, _ *principal.Principal, _ *Saying) {
		r.drop(bob)
		r.gone = append(r.gone, bob)
	}},
	{"a disconnected recipient", "participant_not_active: Recipient is not active", func(r *room, _ *principal.Principal, _ *Saying) {
		r.participant(bob).Status = Disconnected
	}},
	{"the agent of the sender is disabled", "agent_disabled", func(r *room, _ *principal.Principal, _ *Saying) { r.disable("agent of ada") }},
	{"the agent of the recipient is disabled", "agent_disabled", func(r *room, _ *principal.Principal, _ *Saying) { r.disable("agent of bob") }},
	{"against the topology", "topology_violation", func(r *room, _ *principal.Principal, _ *Saying) {
		r.state.Topology = Star
		slices.Reverse(r.state.Participants)
	}},
	{"too long a chain", "conflict", func(_ *room, p *principal.Principal, _ *Saying) { p.Depth = MaxDepth + 1 }},
	{"nobody to call", "recipient_not_callable", func(r *room, _ *principal.Principal, _ *Saying) {
		bob := r.participant(bob)
		bob.CallbackURL, bob.Agent = nil, ""
	}},
}

// exclusive are obstacles of which a network can have only one.
func exclusive(a, b obstacle) bool {
	kinds := []string{"network", "sender", "recipient"}
	last := func(o obstacle) string { return o.name[strings.LastIndexByte(o.name, ' ')+1:] }
	return slices.Contains(kinds, last(a)) && last(a) == last(b) && !strings.Contains(a.name+b.name, "agent") ||
		a.name == "nobody to call" || b.name == "nobody to call" && (strings.HasSuffix(a.name, "recipient") || strings.HasSuffix(a.name, "disabled"))
}

type speech func(s *Service, ctx context.Context, p principal.Principal, say Saying) error

var speeches = map[string]speech{
	"send": func(s *Service, ctx context.Context, p principal.Principal, say Saying) error {
		_, err := s.Send(ctx, p, "network", say)
		return err
	},
	"mailbox": func(s *Service, ctx context.Context, p principal.Principal, say Saying) error {
		_, err := s.Mail(ctx, p, "network", say)
		return err
	},
	"call": func(s *Service, ctx context.Context, p principal.Principal, say Saying) error {
		_, err := s.Call(ctx, p, "network", say)
		return err
	},
}

func TestTheFirstObstacleOfEveryPairIsTold(t *testing.T) {
	for name, speak := range speeches {
		list := obstacles
		if name != "call" {
			list = list[:len(list)-1] // everybody has an inbox
		}
		for i, first := range list {
			for _, second := range append([]obstacle{first}, list[i+1:]...) {
				if second.name != first.name && exclusive(first, second) {
					continue
				}
				for _, warm := range []bool{false, true} {
					r, p, say := newRoom(t)
					s := r.service(t)
					if warm { // what is remembered is from before the obstacles
						if err := speak(s, t.Context(), p, say); err != nil {
							t.Fatal(err)
						}
						r.posted, r.sent = nil, nil
					}
					second.put(r, &p, &say)
					if second.name != first.name {
						first.put(r, &p, &say)
					}
					r.state.Revision++
					sentence := fmt.Sprintf("%s: %s, and %s (warm %v)", name, first.name, second.name, warm)
					wantCode(t, sentence, speak(s, t.Context(), p, say), first.want)
					if len(r.posted) > 0 || len(r.sent) > 0 {
						t.Errorf("%s: %d messages were stored, %d sent", sentence, len(r.posted), len(r.sent))
					}
				}
			}
		}
	}
}

func TestWhatIsSaidIsStoredAsItWasChecked(t *testing.T) {
	for name, c := range map[string]struct {
		channel string
		queue   bool
	}{"send": {Push, true}, "mailbox": {Mailbox, false}} {
		r, p, say := newRoom(t)
		p.Depth = 3
		say.InReplyTo, say.Channel = "something", "something" // for callbacks only
		if err := speeches[name](r.service(t), t.Context(), p, say); err != nil {
			t.Fatal(err)
		}
		d := r.posted[0]
		if d.ID == "" || d.Created.IsZero() || d.Updated != d.Created {
			t.Errorf("%s: got %+v", name, d.Message)
		}
		d.ID, d.Created, d.Updated = "", time.Time{}, time.Time{}
		want := Draft{Revision: 7, Queue: c.queue, Actor: p.Actor(), Request: "request", Message: Message{Network: "network", Sender: ada, Recipient: bob,
			Channel: c.channel, Content: "hello", Metadata: []byte(`{"a":1}`), Status: Pending, Depth: 3}}
		if fmt.Sprintf("%+v", d) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: got %+v, want %+v", name, d, want)
		}
	}
}

func TestOnlyWhatCanBePushedIsQueued(t *testing.T) {
	for _, c := range []struct {
		name string
		put  func(r *room)
		want bool
	}{
		{"a callback", func(r *room) { r.participant(bob).Agent = "" }, true},
		{"a callback of one whose agent sleeps", func(r *room) { r.links["agent of bob"] = Link{} }, true},
		{"an agent", func(r *room) { r.participant(bob).CallbackURL = nil }, true},
		{"an agent that is gone, or not visible", func(r *room) { r.participant(bob).CallbackURL, r.links["agent of bob"] = nil, Link{} }, false},
		{"an agent that is not active", func(r *room) {
			link := r.links["agent of bob"]
			link.Active = false
			r.participant(bob).CallbackURL, r.links["agent of bob"] = nil, link
		}, false},
		{"neither", func(r *room) { r.participant(bob).CallbackURL, r.participant(bob).Agent = nil, "" }, false},
	} {
		r, p, say := newRoom(t)
		c.put(r)
		if _, err := r.service(t).Send(t.Context(), p, "network", say); err != nil {
			t.Fatal(err)
		}
		if got := r.posted[0].Queue; got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWhatWasCheckedHoldsAtTheCommit(t *testing.T) {
	r, p, say := newRoom(t)
	s := r.service(t)
	send := func() error { _, err := s.Send(t.Context(), p, "network", say); return err }
	for range 3 {
		wantCode(t, "a send", send(), "")
	}
	if r.reads != 1 {
		t.Errorf("three sends read the network %d times, want once", r.reads)
	}
	r.state.Revision++ // by another process
	wantCode(t, "after a change that does not matter", send(), "")
	if got := r.posted[3].Revision; r.reads != 2 || got != 8 {
		t.Errorf("got revision %d after %d reads, want 8 after 2", got, r.reads)
	}

	r.participant(bob).Status = Disconnected
	r.state.Revision++
	wantCode(t, "after a change that forbids it", send(), "participant_not_active")
	r.participant(bob).Status = Active
	r.state.Revision++
	wantCode(t, "a refusal is never from memory", send(), "")
	r.state.Participants = append(r.state.Participants, Participant{ID: "dora", Owner: "owner", Status: Active})
	r.state.Revision++
	say.Sender = "dora"
	wantCode(t, "one who has joined at another process", send(), "")

	r.stale = staleTries - 1
	wantCode(t, "changes while it is checked", send(), "")
	r.stale = staleTries
	before := len(r.posted)
	wantCode(t, "changes without end", send(), "overloaded")
	if len(r.posted) != before {
		t.Error("it was stored all the same")
	}
}

func TestAnErrorOfTheStoreIsNoRefusal(t *testing.T) {
	r, p, say := newRoom(t)
	r.broken = errors.New("down")
	for name, speak := range speeches {
		if err := speak(r.service(t), t.Context(), p, say); !errors.Is(err, r.broken) || fault.As(err) != nil {
			t.Errorf("%s: got %v, want an untyped error", name, err)
		}
	}
}

// shelf has one message, and notes who asks for it.
type shelf struct {
	Store
	found Message
	err   error
	asked string
}

func (s *shelf) Message(_ context.Context, owner id.User, n id.Network, m id.NetworkMessage) (Message, error) {
	s.asked += fmt.Sprint(owner, " ", n, " ", m, ";")
	return s.found, s.err
}

func TestWhatAListLeftOutIsReadByItsOwner(t *testing.T) {
	p := principal.Principal{User: "owner"}
	listed := Message{ID: "message", Network: "network", Seq: 3, Status: Pending, Large: true}
	s := &shelf{found: Message{ID: "message", Network: "network", Seq: 3, Content: "long", Metadata: []byte(`{}`), Status: Read}}
	service := New(Config{Store: s})
	want := listed
	want.Content, want.Metadata, want.Large = "long", []byte(`{}`), false
	if got, err := service.Whole(t.Context(), p, listed); err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || s.asked != "owner network message;" {
		t.Errorf("got %+v, %v after %s, want %+v: as it was listed", got, err, s.asked, want)
	}
	if got, err := service.Whole(t.Context(), p, want); err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || s.asked != "owner network message;" {
		t.Errorf("what was not left out: got %+v, %v after %s", got, err, s.asked)
	}
	for _, err := range []error{fault.Missing("row"), errors.New("the database is gone")} {
		s.err = err
		if got, gotErr := service.Whole(t.Context(), p, listed); !errors.Is(gotErr, err) && !fault.Is(gotErr, fault.NotFound) || fault.Is(gotErr, fault.NotFound) != fault.Is(err, fault.NotFound) || got.ID != "" {
			t.Errorf("%v: got %+v, %v", err, got, gotErr)
		}
	}
}
