package network

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// room is everything around the rules of what is said: one network, and what came of it.
// What a test does not expect to be asked has no answer.
type room struct {
	Store
	halted  error
	state   State
	gone    []id.Participant // that were removed
	links   map[id.Agent]Link
	said    []id.NetworkMessage
	respond func(ctx context.Context, o Outgoing) (Answer, error)
	timeout time.Duration

	mu       sync.Mutex
	reads    int // of the state
	stale    int // Posts that come too late
	broken   error
	posted   []Draft
	failed   []id.NetworkMessage
	failLogs []*Log
	sent     []Outgoing
}

const (
	ada  id.Participant = "ada"
	bob  id.Participant = "bob"
	cleo id.Participant = "cleo"
)

// newRoom is one in which anything may be said: ada links an agent, bob has a callback.
func newRoom(t testing.TB) (*room, principal.Principal, Saying) {
	t.Helper()
	callback := "https://bob.example.org/"
	r := &room{links: map[id.Agent]Link{}, state: State{
		Network: Network{ID: "network", Owner: "owner", Topology: Mesh, Status: Active, Revision: 7},
		Participants: []Participant{
			{ID: ada, Network: "network", Owner: "owner", Name: "Ada", Status: Active, Agent: "agent of ada"},
			{ID: bob, Network: "network", Owner: "owner", Name: "Bob", Status: Active, Agent: "agent of bob", CallbackURL: &callback},
			{ID: cleo, Network: "network", Owner: "owner", Name: "Cleo", Status: Active},
		}}}
	endpoint := "https://agent.example.org/"
	for _, agent := range []id.Agent{"agent of ada", "agent of bob"} {
		r.links[agent] = Link{Known: true, Callee: registry.Callee{Agent: registry.Agent{ID: agent, Owner: "somebody", Active: true, AuthType: registry.AuthPublic, Endpoint: &endpoint}}}
	}
	keys := keyring(t)
	for i := range r.state.Participants {
		p := &r.state.Participants[i]
		p.Secret = Secrets{Sealed: keys.Seal(newWebhookSecret(), string(p.ID)), KeyID: keys.KeyID()}
	}
	p := principal.Principal{User: "owner", Via: principal.APIKey, Key: "key", Request: "request"}
	return r, p, Saying{Sender: ada, Recipient: bob, Content: "hello", Metadata: []byte(`{"a":1}`)}
}

func keyring(t testing.TB) *secret.Keyring {
	t.Helper()
	keys, err := secret.NewKeyring(SecretPurpose, secret.New("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (r *room) service(t testing.TB) *Service {
	return New(Config{Store: r, Agents: r, Owners: r, Platform: r, URLs: r, Sender: r, Keys: keyring(t), Callbacks: secret.New("test-secret"),
		BaseURL: "https://api.example.org", Now: clock.System, CallTimeout: r.timeout})
}

func (r *room) participant(who id.Participant) *Participant {
	return &r.state.Participants[slices.IndexFunc(r.state.Participants, func(p Participant) bool { return p.ID == who })]
}

// drop takes one out of the state, as if he had been removed or never been there.
func (r *room) drop(who id.Participant) {
	r.state.Participants = slices.DeleteFunc(r.state.Participants, func(p Participant) bool { return p.ID == who })
}

func (r *room) disable(agent id.Agent) {
	link := r.links[agent]
	link.Disabled, link.Active = true, false
	r.links[agent] = link
}

func (r *room) Active(context.Context, id.User) error { return nil }

func (r *room) Running(context.Context) error { return r.halted }

func (r *room) Check(context.Context, string) error { return nil }

func (r *room) Linked(_ context.Context, _ id.User, agent id.Agent) (Link, error) {
	return r.links[agent], nil
}

func (r *room) State(_ context.Context, network id.Network) (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	if r.broken != nil {
		return State{}, r.broken
	}
	if network != r.state.ID {
		return State{}, fault.Missing("row")
	}
	state := r.state
	state.Participants = slices.Clone(state.Participants)
	return state, nil
}

func (r *room) Participant(_ context.Context, owner id.User, network id.Network, p id.Participant) (Participant, error) {
	switch i := slices.IndexFunc(r.state.Participants, func(o Participant) bool { return o.ID == p }); {
	case owner != r.state.Owner || network != r.state.ID:
	case i >= 0:
		return r.state.Participants[i], nil
	case slices.Contains(r.gone, p):
		return Participant{ID: p, Status: Removed}, nil
	}
	return Participant{}, fault.Missing("row")
}

func (r *room) Message(_ context.Context, owner id.User, network id.Network, m id.NetworkMessage) (Message, error) {
	if owner != r.state.Owner || network != r.state.ID || !slices.Contains(r.said, m) {
		return Message{}, fault.Missing("row")
	}
	return Message{ID: m}, nil
}

func (r *room) Post(ctx context.Context, d Draft) (Message, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := errors.Join(ctx.Err(), r.broken); err != nil {
		return Message{}, err
	}
	if r.stale > 0 || d.Revision != 0 && d.Revision != r.state.Revision {
		r.stale--
		return Message{}, ErrStale
	}
	r.posted = append(r.posted, d)
	d.Seq = int64(len(r.posted))
	return d.Message, nil
}

func (r *room) Entries(_ context.Context, _ id.Network, from, to int64) ([]Entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Entry
	for seq := from; seq <= min(to, int64(len(r.posted))); seq++ {
		list = append(list, Entry{Message: r.posted[seq-1].Message})
	}
	return list, nil
}

func (r *room) FailCall(ctx context.Context, _ id.Network, m id.NetworkMessage, _ time.Time, log *Log) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	r.failed, r.failLogs = append(r.failed, m), append(r.failLogs, log)
	return nil
}

func (r *room) Send(ctx context.Context, o Outgoing) (Answer, error) {
	r.mu.Lock()
	r.sent = append(r.sent, o)
	r.mu.Unlock()
	if r.respond == nil {
		return Answer{Status: 200}, nil
	}
	return r.respond(ctx, o)
}

// told is what a caller is told of err: the code, and the text where a code has several.
func told(err error) string {
	f := fault.As(err)
	switch {
	case err == nil:
		return ""
	case f == nil:
		return "untyped: " + err.Error()
	case f.Code == "not_found", f.Code == "participant_not_active":
		return f.Code + ": " + f.Detail
	}
	return f.Code
}

func wantCode(t *testing.T, sentence string, err error, want string) {
	t.Helper()
	if got := told(err); got != want && !(want != "" && strings.HasPrefix(got, want+":")) {
		t.Errorf("%s: got %q, want %q", sentence, got, want)
	}
}
