package network_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
	"github.com/IntunoAI/intuno-go/sdk/intuno"
)

var noon = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)

// bench is the Service on a real store; agents, name servers and receivers are what the
// test says.
type bench struct {
	*network.Service
	store *store.Store
	clock *testkit.Clock

	mu      sync.Mutex
	agents  map[id.Agent]network.Link
	checked []string
	sent    []network.Outgoing
	broken  error // what receivers are reached with
}

func newBench(t *testing.T, url string) *bench {
	t.Helper()
	clock := testkit.NewClock(noon)
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: store.Migrations(), Service: "wisdom", Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &bench{store: store.New(db), clock: clock, agents: map[id.Agent]network.Link{}}
	b.Service = b.process(t)
	return b
}

// process is one more Service on the same store.
func (b *bench) process(t *testing.T) *network.Service {
	t.Helper()
	keys, err := secret.NewKeyring(network.SecretPurpose, secret.New("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return network.New(network.Config{Store: store.Networks{Store: b.store}, Agents: b, Owners: b, Platform: b, URLs: b, Sender: receivers{b}, Keys: keys,
		Callbacks: secret.New("callback-key"), BaseURL: "https://api.example.org", Now: b.clock.Now, Log: slog.New(slog.DiscardHandler), MaxParticipants: 3})
}

func (b *bench) Active(context.Context, id.User) error { return nil }

func (b *bench) Running(context.Context) error { return nil }

func (b *bench) Linked(_ context.Context, viewer id.User, agent id.Agent) (network.Link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	link := b.agents[agent]
	if link.Visibility == registry.Private && link.Owner != viewer {
		return network.Link{}, nil
	}
	return link, nil
}

func (b *bench) Check(_ context.Context, url string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.checked = append(b.checked, url)
	if url == "" || strings.Contains(url, "unsafe") {
		return fault.New(fault.BadRequest, "unsafe_url", "no")
	}
	return nil
}

// receivers are third parties that say yes.
type receivers struct{ b *bench }

func (r receivers) Send(_ context.Context, o network.Outgoing) (network.Answer, error) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.b.sent = append(r.b.sent, o)
	if r.b.broken != nil {
		return network.Answer{}, r.b.broken
	}
	return network.Answer{Status: 200, Body: []byte(`{"ok":true}`)}, nil
}

func (b *bench) user(t *testing.T) principal.Principal {
	t.Helper()
	user := id.New[id.User]()
	account := auth.Account{User: auth.User{ID: user, Email: string(user) + "@example.org", Active: true, Plan: auth.Free, Created: noon, Updated: noon}, PasswordHash: "x"}
	if err := b.store.CreateUser(t.Context(), account, account.Email); err != nil {
		t.Fatal(err)
	}
	return principal.Principal{User: user, Via: principal.JWT, Request: "req-7"}
}

// keepAgent stores a new agent of owner: who joins must find it there.
func keepAgent(t *testing.T, rows *store.Store, owner id.User) id.Agent {
	t.Helper()
	agent, endpoint := id.New[id.Agent](), "https://agent.example.org/"
	must(t, rows.CreateAgent(t.Context(), registry.Agent{ID: agent, Slug: string(agent), Owner: owner, Endpoint: &endpoint, AuthType: registry.AuthPublic, Visibility: registry.Public,
		Trust: registry.SelfSigned, Created: noon, Updated: noon, ContentChanged: noon}, registry.Content{}))
	return agent
}

// agent is a new one of owner.
func (b *bench) agent(t *testing.T, owner principal.Principal, visibility string) id.Agent {
	t.Helper()
	agent, endpoint := keepAgent(t, b.store, owner.User), "https://agent.example.org/"
	b.mu.Lock()
	defer b.mu.Unlock()
	b.agents[agent] = network.Link{Known: true, Callee: registry.Callee{Agent: registry.Agent{ID: agent, Owner: owner.User, Active: true, Visibility: visibility,
		AuthType: registry.AuthPublic, Endpoint: &endpoint}}}
	return agent
}

func (b *bench) network(t *testing.T, p principal.Principal) id.Network {
	t.Helper()
	b.clock.Add(time.Millisecond)
	n, err := b.Create(t.Context(), p, network.NewNetwork{Name: "n"})
	must(t, err)
	return n.ID
}

func (b *bench) join(t *testing.T, p principal.Principal, n id.Network, name string) network.Participant {
	t.Helper()
	who, _, err := b.Join(t.Context(), p, n, network.NewParticipant{Name: name})
	must(t, err)
	return who
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

func wantCode(t *testing.T, sentence string, err error, want string) {
	t.Helper()
	got := ""
	if f := fault.As(err); f != nil {
		got = f.Code
	} else if err != nil {
		got = "untyped: " + err.Error()
	}
	if got != want {
		t.Errorf("%s: got %q, want %q", sentence, got, want)
	}
}

func TestANetworkIsMadeChangedAndRemoved(t *testing.T) {
	b, ctx := newBench(t, testkit.SQLite(t)), t.Context()
	p := b.user(t)
	made, err := b.Create(ctx, p, network.NewNetwork{Name: "mine", Metadata: []byte(`{"a":1}`)})
	must(t, err)
	if made.Owner != p.User || made.Name != "mine" || made.Topology != network.Mesh || made.Status != network.Active || string(made.Metadata) != `{"a":1}` || !made.Created.Equal(noon) {
		t.Errorf("got %+v", made)
	}
	b.clock.Add(time.Second)
	changed, err := b.Edit(ctx, p, made.ID, network.Patch{Name: ptr("yours"), Status: ptr(network.Closed), Topology: ptr(network.Ring)})
	must(t, err)
	if changed.Name != "yours" || changed.Status != network.Closed || changed.Topology != network.Ring || string(changed.Metadata) != `{"a":1}` || !changed.Updated.Equal(noon.Add(time.Second)) {
		t.Errorf("got %+v", changed)
	}
	for _, status := range []string{network.Active, network.Paused, network.Active, network.Closed, network.Paused} { // any may follow any
		changed, err = b.Edit(ctx, p, made.ID, network.Patch{Status: &status})
		if err != nil || changed.Status != status || changed.Name != "yours" {
			t.Errorf("to %s: got %+v, %v", status, changed, err)
		}
	}
	got, err := b.Get(ctx, p, made.ID)
	must(t, err)
	if got.Name != "yours" || got.Status != network.Paused || string(got.Metadata) != `{"a":1}` {
		t.Errorf("got %+v", got)
	}
	second := b.network(t, p)
	list, err := b.List(ctx, p, 10, 0)
	must(t, err)
	if len(list) != 2 || list[0].ID != second || list[1].ID != made.ID {
		t.Errorf("got %+v", list)
	}
	must(t, b.Delete(ctx, p, made.ID))
	_, err = b.Get(ctx, p, made.ID)
	wantCode(t, "a deleted network", err, "not_found")
	wantCode(t, "once more", b.Delete(ctx, p, made.ID), "not_found")
}

// TestWhatIsForeignLooksUnknown compares whole faults, for a network that is somebody
// else's, that is not there, and that was deleted.
func TestWhatIsForeignLooksUnknown(t *testing.T) {
	b, ctx := newBench(t, testkit.SQLite(t)), t.Context()
	owner, stranger := b.user(t), b.user(t)
	foreign, deleted, own := b.network(t, owner), b.network(t, stranger), b.network(t, stranger)
	there, gone, mine := b.join(t, owner, foreign, "there"), b.join(t, stranger, deleted, "gone"), b.join(t, stranger, own, "mine")
	say := func(n id.Network, who network.Participant) id.NetworkMessage {
		m, err := b.Mail(ctx, principal.Principal{User: who.Owner}, n, network.Saying{Sender: who.ID, Recipient: who.ID})
		must(t, err)
		return m.ID
	}
	thereSaid, goneSaid := say(foreign, there), say(deleted, gone)
	must(t, b.Delete(ctx, stranger, deleted))
	type place struct {
		n    id.Network
		who  id.Participant
		said id.NetworkMessage
	}
	unknown := place{id.New[id.Network](), id.New[id.Participant](), id.New[id.NetworkMessage]()}
	places := []place{
		{foreign, there.ID, thereSaid}, {deleted, gone.ID, goneSaid}, // as they are
		{foreign, mine.ID, thereSaid}, {unknown.n, mine.ID, thereSaid}, {unknown.n, there.ID, goneSaid}, // one's own elsewhere
	}
	for name, act := range map[string]func(place) error{
		"get":          func(at place) error { _, err := b.Get(ctx, stranger, at.n); return err },
		"edit":         func(at place) error { _, err := b.Edit(ctx, stranger, at.n, network.Patch{Name: ptr("x")}); return err },
		"delete":       func(at place) error { return b.Delete(ctx, stranger, at.n) },
		"participants": func(at place) error { _, err := b.Participants(ctx, stranger, at.n); return err },
		"join": func(at place) error {
			_, _, err := b.Join(ctx, stranger, at.n, network.NewParticipant{Name: "x"})
			return err
		},
		"edit one": func(at place) error {
			_, err := b.EditParticipant(ctx, stranger, at.n, at.who, network.ParticipantPatch{Polling: ptr(true)})
			return err
		},
		"edit callback": func(at place) error {
			_, err := b.EditParticipant(ctx, stranger, at.n, at.who, network.ParticipantPatch{CallbackURL: ptr("https://unsafe")})
			return err
		},
		"remove": func(at place) error { return b.Remove(ctx, stranger, at.n, at.who) },
		"rotate": func(at place) error { _, _, err := b.RotateSecret(ctx, stranger, at.n, at.who); return err },
		"send": func(at place) error {
			_, err := b.Send(ctx, stranger, at.n, network.Saying{Sender: at.who, Recipient: at.who})
			return err
		},
		"mail": func(at place) error {
			_, err := b.Mail(ctx, stranger, at.n, network.Saying{Sender: at.who, Recipient: at.who})
			return err
		},
		"call": func(at place) error {
			_, err := b.Call(ctx, stranger, at.n, network.Saying{Sender: at.who, Recipient: at.who})
			return err
		},
		"inbox": func(at place) error { _, err := b.Inbox(ctx, stranger, at.n, at.who, "", 10); return err },
		"ack": func(at place) error {
			_, err := b.Acknowledge(ctx, stranger, at.n, []id.NetworkMessage{at.said})
			return err
		},
		"ack nothing": func(at place) error { _, err := b.Acknowledge(ctx, stranger, at.n, nil); return err },
		"messages": func(at place) error {
			_, err := b.Messages(ctx, stranger, at.n, network.MessageQuery{Before: at.said, Limit: 10})
			return err
		},
		"context":      func(at place) error { _, err := b.Context(ctx, stranger, at.n, 10); return err },
		"dead letters": func(at place) error { _, err := b.DeadLetters(ctx, stranger, at.n, 10, 0); return err },
		"replay":       func(at place) error { _, err := b.Replay(ctx, stranger, at.n, at.said); return err },
	} {
		want := fault.As(act(unknown))
		if want == nil || want.Kind != fault.NotFound {
			t.Errorf("%s: got %v of what is unknown, want NotFound", name, want)
			continue
		}
		for i, at := range places {
			got := fault.As(act(at))
			if got == nil || got.Kind != want.Kind || got.Code != want.Code || got.Detail != want.Detail || got.Extra != nil {
				t.Errorf("%s, place %d: got %v, want %v", name, i, got, want)
			}
		}
	}
	// In a network of one's own: participants and messages of others, and of another network.
	for name, act := range map[string]func(place) error{
		"edit one": func(at place) error {
			_, err := b.EditParticipant(ctx, stranger, own, at.who, network.ParticipantPatch{Polling: ptr(true)})
			return err
		},
		"remove": func(at place) error { return b.Remove(ctx, stranger, own, at.who) },
		"rotate": func(at place) error { _, _, err := b.RotateSecret(ctx, stranger, own, at.who); return err },
		"sender": func(at place) error {
			_, err := b.Send(ctx, stranger, own, network.Saying{Sender: at.who, Recipient: mine.ID})
			return err
		},
		"recipient": func(at place) error {
			_, err := b.Call(ctx, stranger, own, network.Saying{Sender: mine.ID, Recipient: at.who})
			return err
		},
		"inbox": func(at place) error { _, err := b.Inbox(ctx, stranger, own, at.who, "", 10); return err },
		"after": func(at place) error {
			_, err := b.Messages(ctx, stranger, own, network.MessageQuery{After: at.said, Limit: 10})
			return err
		},
		"replay": func(at place) error { _, err := b.Replay(ctx, stranger, own, at.said); return err },
	} {
		want := fault.As(act(unknown))
		for i, at := range places[:2] {
			if got := fault.As(act(at)); want == nil || got == nil || got.Kind != fault.NotFound || got.Detail != want.Detail {
				t.Errorf("%s, place %d: got %v, want %v", name, i, got, want)
			}
		}
	}
	if n, err := b.Acknowledge(ctx, stranger, own, []id.NetworkMessage{thereSaid, goneSaid, unknown.said}); err != nil || n != 0 {
		t.Errorf("messages of others: got %d acknowledged, %v, want 0", n, err)
	}
	if len(b.checked) > 0 {
		t.Errorf("name servers were asked for strangers: %v", b.checked)
	}
	if got, err := b.Get(ctx, owner, foreign); err != nil || got.Name != "n" {
		t.Errorf("the foreign network: got %+v, %v", got, err)
	}
	if got, err := b.Participants(ctx, owner, foreign); err != nil || len(got) != 1 || got[0].Status != network.Active || got[0].Polling != there.Polling {
		t.Errorf("its participants: got %+v, %v", got, err)
	}
	if got, err := b.Inbox(ctx, owner, foreign, there.ID, "", 10); err != nil || len(got) != 1 || got[0].Status != network.Pending {
		t.Errorf("its messages: got %+v, %v", got, err)
	}
}

func TestJoiningIsCheckedInOrder(t *testing.T) {
	type try struct {
		n id.Network
		p network.NewParticipant
	}
	obstacles := []struct {
		name, want string
		put        func(b *bench, t *testing.T, p principal.Principal, j *try)
	}{
		{"an unknown network", "not_found", func(_ *bench, _ *testing.T, _ principal.Principal, j *try) { j.n = id.New[id.Network]() }},
		{"a paused network", "network_not_active", func(b *bench, t *testing.T, p principal.Principal, j *try) {
			_, err := b.Edit(t.Context(), p, j.n, network.Patch{Status: ptr(network.Paused)})
			must(t, err)
		}},
		{"a forbidden callback", "unsafe_url", func(_ *bench, _ *testing.T, _ principal.Principal, j *try) {
			j.p.CallbackURL = ptr("https://unsafe.example.org/")
		}},
		{"an empty callback", "unsafe_url", func(_ *bench, _ *testing.T, _ principal.Principal, j *try) { j.p.CallbackURL = ptr("") }},
		{"an unknown agent", "not_found", func(_ *bench, _ *testing.T, _ principal.Principal, j *try) { j.p.Agent = id.New[id.Agent]() }},
		{"a private agent of somebody else", "not_found", func(b *bench, t *testing.T, _ principal.Principal, j *try) {
			j.p.Agent = b.agent(t, b.user(t), registry.Private)
		}},
		{"an agent that is not active", "agent_inactive", func(b *bench, _ *testing.T, p principal.Principal, j *try) {
			j.p.Agent = b.agent(t, p, registry.Public)
			link := b.agents[j.p.Agent]
			link.Active = false
			b.agents[j.p.Agent] = link
		}},
		{"an agent that is there already", "agent_already_joined", func(b *bench, t *testing.T, p principal.Principal, j *try) {
			if j.p.Agent == "" || !b.agents[j.p.Agent].Known {
				j.p.Agent = b.agent(t, p, registry.Public)
			}
			_, _, err := b.Join(t.Context(), p, j.n, network.NewParticipant{Name: "twin", Agent: j.p.Agent})
			must(t, err)
		}},
		{"a full network", "participant_limit_reached", func(b *bench, t *testing.T, p principal.Principal, j *try) {
			for { // whoever is there already
				list, err := b.Participants(t.Context(), p, j.n)
				must(t, err)
				if len(list) == 3 {
					return
				}
				b.join(t, p, j.n, "x")
			}
		}},
	}
	b := newBench(t, testkit.SQLite(t))
	p := b.user(t)
	for i, first := range obstacles {
		for _, second := range obstacles[i:] {
			j := try{b.network(t, p), network.NewParticipant{Name: "new"}}
			second.put(b, t, p, &j)
			if second.name != first.name {
				if first.name == "an agent that is there already" { // the network is full already
					must(t, b.Remove(t.Context(), p, j.n, b.first(t, p, j.n)))
				}
				first.put(b, t, p, &j)
			}
			_, _, err := b.Join(t.Context(), p, j.n, j.p)
			wantCode(t, first.name+", and "+second.name, err, first.want)
		}
	}
}

func (b *bench) first(t *testing.T, p principal.Principal, n id.Network) id.Participant {
	t.Helper()
	list, err := b.Participants(t.Context(), p, n)
	must(t, err)
	return list[0].ID
}

func TestAParticipantIsWhatItWasMadeFrom(t *testing.T) {
	b, ctx := newBench(t, testkit.SQLite(t)), t.Context()
	p := b.user(t)
	public, private := b.agent(t, b.user(t), registry.Public), b.agent(t, p, registry.Private)
	for _, c := range []struct {
		name    string
		made    network.NewParticipant
		kind    string
		url     *string
		polling bool
	}{
		{"nothing to push to polls", network.NewParticipant{}, "agent", nil, true},
		{"a callback", network.NewParticipant{CallbackURL: ptr("https://a.example.org/"), Kind: "persona", Capabilities: []byte(`{"a":1}`)}, "persona", ptr("https://a.example.org/"), false},
		{"a callback and polling", network.NewParticipant{CallbackURL: ptr("https://a.example.org/"), Polling: true}, "agent", ptr("https://a.example.org/"), true},
		{"somebody's public agent", network.NewParticipant{Agent: public, CallbackURL: ptr("https://a.example.org/")}, "agent", ptr("https://a.example.org/"), false},
		{"one's own private agent", network.NewParticipant{Agent: private}, "agent", nil, false},
	} {
		n := b.network(t, p)
		c.made.Name = c.name
		who, text, err := b.Join(ctx, p, n, c.made)
		must(t, err)
		if who.Name != c.name || who.Kind != c.kind || who.Agent != c.made.Agent || who.Polling != c.polling || who.Status != network.Active || who.Network != n ||
			(who.CallbackURL == nil) != (c.url == nil) || c.url != nil && *who.CallbackURL != *c.url || string(who.Capabilities) != string(c.made.Capabilities) {
			t.Errorf("%s: got %+v", c.name, who)
		}
		if !strings.HasPrefix(text.Reveal(), "whsec_") || text.Len() != 6+44 || strings.Contains(string(who.Secret.Sealed), text.Reveal()) {
			t.Errorf("%s: got a secret of %d bytes", c.name, text.Len())
		}
	}
}

func TestAParticipantIsChanged(t *testing.T) {
	b, ctx := newBench(t, testkit.SQLite(t)), t.Context()
	p := b.user(t)
	n := b.network(t, p)
	who, _, err := b.Join(ctx, p, n, network.NewParticipant{Name: "a", CallbackURL: ptr("https://a.example.org/"), Capabilities: []byte(`{"a":1}`)})
	must(t, err)
	b.join(t, p, n, "b")
	edit := func(patch network.ParticipantPatch) network.Participant {
		t.Helper()
		changed, err := b.EditParticipant(ctx, p, n, who.ID, patch)
		must(t, err)
		return changed
	}
	b.clock.Add(time.Second)
	if got := edit(network.ParticipantPatch{}); *got.CallbackURL != "https://a.example.org/" || got.Polling || string(got.Capabilities) != `{"a":1}` || !got.Updated.After(got.Created) {
		t.Errorf("an empty patch: got %+v", got)
	}
	if got := edit(network.ParticipantPatch{CallbackURL: ptr("https://b.example.org/"), Polling: ptr(true), Capabilities: []byte(`{}`)}); *got.CallbackURL != "https://b.example.org/" || !got.Polling || string(got.Capabilities) != `{}` {
		t.Errorf("a full patch: got %+v", got)
	}
	_, err = b.EditParticipant(ctx, p, n, who.ID, network.ParticipantPatch{CallbackURL: ptr("https://unsafe.example.org/"), Polling: ptr(false)})
	wantCode(t, "a forbidden callback", err, "unsafe_url")
	if got := edit(network.ParticipantPatch{}); *got.CallbackURL != "https://b.example.org/" || !got.Polling {
		t.Errorf("after a refusal: got %+v", got)
	}
	if got := edit(network.ParticipantPatch{CallbackURL: ptr("")}); got.CallbackURL != nil {
		t.Errorf("an empty callback: got %+v", got)
	}
	names := func() (list []string) {
		found, err := b.Participants(ctx, p, n)
		must(t, err)
		for _, who := range found {
			list = append(list, who.Name)
		}
		return list
	}
	for _, c := range []struct {
		status string
		want   string
	}{{network.Disconnected, "[b]"}, {network.Active, "[a b]"}, {network.Removed, "[b]"}, {network.Disconnected, "[b]"}, {network.Active, "[a b]"}} { // and again in its old place
		edit(network.ParticipantPatch{Status: &c.status})
		if got := fmt.Sprint(names()); got != c.want {
			t.Errorf("after %s: got %s, want %s", c.status, got, c.want)
		}
	}
	must(t, b.Remove(ctx, p, n, who.ID))
	b.clock.Add(time.Second)
	must(t, b.Remove(ctx, p, n, who.ID))
	if got := fmt.Sprint(names()); got != "[b]" {
		t.Errorf("after a removal: got %s", got)
	}
	if got := edit(network.ParticipantPatch{}); got.Status != network.Removed {
		t.Errorf("got %+v", got)
	}
}

func TestBecomingActiveAgainIsLikeJoining(t *testing.T) {
	b, ctx := newBench(t, testkit.SQLite(t)), t.Context()
	p := b.user(t)
	n, agent := b.network(t, p), b.agent(t, p, registry.Public)
	first, _, err := b.Join(ctx, p, n, network.NewParticipant{Name: "first", Agent: agent})
	must(t, err)
	set := func(who id.Participant, status string) error {
		_, err := b.EditParticipant(ctx, p, n, who, network.ParticipantPatch{Status: &status})
		return err
	}
	must(t, set(first.ID, network.Active)) // it is already: it does not count itself
	must(t, set(first.ID, network.Disconnected))
	second, _, err := b.Join(ctx, p, n, network.NewParticipant{Name: "second", Agent: agent})
	must(t, err)
	wantCode(t, "the agent came back as another", set(first.ID, network.Active), "agent_already_joined")
	must(t, set(first.ID, network.Removed))
	wantCode(t, "from removed", set(first.ID, network.Active), "agent_already_joined")
	must(t, set(second.ID, network.Removed))
	b.join(t, p, n, "third")
	b.join(t, p, n, "fourth")
	must(t, set(first.ID, network.Active))
	wantCode(t, "the network is full", set(second.ID, network.Active), "agent_already_joined") // the first fault of both
	fifth := b.first(t, p, n)
	must(t, set(fifth, network.Disconnected))
	b.join(t, p, n, "sixth")
	wantCode(t, "the network is full", set(fifth, network.Active), "participant_limit_reached")
	_, err = b.EditParticipant(ctx, p, n, fifth, network.ParticipantPatch{Polling: ptr(true)})
	wantCode(t, "another change in a full network", err, "")
	list, err := b.Participants(ctx, p, n)
	must(t, err)
	must(t, set(list[0].ID, network.Active)) // it is already, in a full network
}

// TestTheLimitHoldsHoweverOneBecomesActive has two processes add and bring back
// participants at the same time.
func TestTheLimitHoldsHoweverOneBecomesActive(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBench(t, open()), t.Context()
		p := b.user(t)
		n, agent := b.network(t, p), b.agent(t, p, registry.Public)
		nodes := []*network.Service{b.Service, b.process(t)}
		var sleeping []id.Participant
		for i := range 12 {
			made := network.NewParticipant{Name: fmt.Sprint(i)}
			if i%2 == 0 {
				made.Agent = agent
			}
			who, _, err := b.Join(ctx, p, n, made)
			must(t, err)
			_, err = b.EditParticipant(ctx, p, n, who.ID, network.ParticipantPatch{Status: ptr(network.Disconnected)})
			must(t, err)
			sleeping = append(sleeping, who.ID)
		}
		var group sync.WaitGroup
		var mu sync.Mutex
		succeeded := 0
		for i, who := range sleeping {
			done := func(err error) {
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					succeeded++
				} else if !fault.HasCode(err, "participant_limit_reached") && !fault.HasCode(err, "agent_already_joined") {
					t.Errorf("got %v", err)
				}
			}
			group.Go(func() {
				_, err := nodes[i/2%2].EditParticipant(ctx, p, n, who, network.ParticipantPatch{Status: ptr(network.Active)})
				done(err)
			})
			group.Go(func() {
				_, _, err := nodes[(i/2+1)%2].Join(ctx, p, n, network.NewParticipant{Name: "new", Agent: agent})
				done(err)
			})
		}
		group.Wait()
		list, err := b.Participants(ctx, p, n)
		must(t, err)
		linked := slices.DeleteFunc(slices.Clone(list), func(p network.Participant) bool { return p.Agent == "" })
		if len(list) != 3 || succeeded != 3 || len(linked) > 1 {
			t.Errorf("%d active, %d of them with the agent, %d successes, want 3, at most 1, 3", len(list), len(linked), succeeded)
		}
	})
}

func TestAnOldSecretSignsForADayMore(t *testing.T) {
	b, ctx := newBench(t, testkit.SQLite(t)), t.Context()
	p := b.user(t)
	n := b.network(t, p)
	who, first, err := b.Join(ctx, p, n, network.NewParticipant{Name: "a", CallbackURL: ptr("https://a.example.org/")})
	must(t, err)
	signed := func(sentence string, by map[*secret.String]bool) {
		t.Helper()
		_, err := b.Call(ctx, p, n, network.Saying{Sender: who.ID, Recipient: who.ID, Content: "hi"})
		must(t, err)
		o := b.sent[len(b.sent)-1]
		header := http.Header{}
		for name, value := range o.Header {
			header.Set(name, value)
		}
		count := 0
		for text, want := range by {
			if err := intuno.VerifyWebhook(text.Reveal(), header, o.Body, b.clock.Now()); (err == nil) != want {
				t.Errorf("%s: got %v, want signed %v", sentence, err, want)
			}
			if want {
				count++
			}
		}
		if got := len(strings.Fields(o.Header["webhook-signature"])); got != count {
			t.Errorf("%s: got %d signatures, want %d", sentence, got, count)
		}
	}
	signed("at first", map[*secret.String]bool{&first: true})
	second, until, err := b.RotateSecret(ctx, p, n, who.ID)
	must(t, err)
	if !until.Equal(b.clock.Now().Add(24*time.Hour)) || second.Reveal() == first.Reveal() {
		t.Errorf("got %v", until)
	}
	signed("after a rotation", map[*secret.String]bool{&first: true, &second: true})
	b.clock.Add(24*time.Hour - time.Second)
	signed("nearly a day later", map[*secret.String]bool{&first: true, &second: true})
	b.clock.Add(time.Second)
	signed("a day later", map[*secret.String]bool{&first: false, &second: true})
	third, _, err := b.RotateSecret(ctx, p, n, who.ID)
	must(t, err)
	fourth, _, err := b.RotateSecret(ctx, p, n, who.ID)
	must(t, err)
	signed("two rotations in a row", map[*secret.String]bool{&first: false, &second: false, &third: true, &fourth: true})
}

func TestWhatIsSaidIsRead(t *testing.T) {
	b, ctx := newBench(t, testkit.SQLite(t)), t.Context()
	p := b.user(t)
	n, other := b.network(t, p), b.network(t, p)
	a, c := b.join(t, p, n, "a"), b.join(t, p, n, "c")
	elsewhere := b.join(t, p, other, "elsewhere")
	say := network.Saying{Sender: a.ID, Recipient: c.ID, Content: "one"}
	one, err := b.Send(ctx, p, n, say)
	must(t, err)
	say.Content = "two"
	two, err := b.Mail(ctx, p, n, say)
	must(t, err)
	contents := func(list []network.Message, err error) string {
		t.Helper()
		must(t, err)
		var found []string
		for _, m := range list {
			found = append(found, m.Content)
		}
		return strings.Join(found, " ")
	}
	inbox := func(channel string) string { return contents(b.Inbox(ctx, p, n, c.ID, channel, 10)) }
	if got := inbox(""); got != "one two" {
		t.Errorf("got %q", got)
	}
	if got := inbox(network.Mailbox); got != "two" {
		t.Errorf("the mailbox: got %q", got)
	}
	_, err = b.Inbox(ctx, p, n, elsewhere.ID, "", 10)
	wantCode(t, "the inbox of one's own participant elsewhere", err, "not_found")
	_, err = b.Messages(ctx, p, other, network.MessageQuery{After: one.ID, Limit: 10})
	wantCode(t, "a message of one's own elsewhere", err, "not_found")
	_, err = b.Replay(ctx, p, n, one.ID)
	wantCode(t, "no dead letter", err, "message_not_failed")
	if got := contents(b.Messages(ctx, p, n, network.MessageQuery{Limit: 10, Descending: true})); got != "two one" {
		t.Errorf("got %q", got)
	}
	entries, err := b.Context(ctx, p, n, 1)
	if err != nil || len(entries) != 1 || entries[0].Content != "two" || entries[0].SenderName != "a" || entries[0].RecipientName != "c" {
		t.Errorf("got %+v, %v", entries, err)
	}
	if letters, err := b.DeadLetters(ctx, p, n, 10, 0); err != nil || len(letters) != 0 {
		t.Errorf("got %+v, %v", letters, err)
	}
	if got, err := b.Acknowledge(ctx, p, other, []id.NetworkMessage{one.ID}); err != nil || got != 0 {
		t.Errorf("elsewhere: got %d, %v", got, err)
	}
	for range 2 { // who is read counts again
		got, err := b.Acknowledge(ctx, p, n, []id.NetworkMessage{two.ID, one.ID, two.ID, id.New[id.NetworkMessage]()})
		if err != nil || got != 2 {
			t.Errorf("got %d, %v, want 2 messages", got, err)
		}
	}
	if got := inbox(""); got != "" {
		t.Errorf("what is read: got %q", got)
	}
	say.Content = "three"
	_, err = b.Send(ctx, p, n, say)
	must(t, err)
	must(t, b.Remove(ctx, p, n, c.ID))
	if got := inbox(""); got != "three" {
		t.Errorf("the inbox of one who was removed: got %q", got)
	}
	_, err = b.Send(ctx, p, n, say)
	wantCode(t, "to one who was removed", err, "participant_not_active")
}

func TestACallIsKeptAsTwoMessages(t *testing.T) {
	b, ctx := newBench(t, testkit.SQLite(t)), t.Context()
	p := b.user(t)
	n := b.network(t, p)
	caller := b.join(t, p, n, "caller")
	callee, _, err := b.Join(ctx, p, n, network.NewParticipant{Name: "callee", CallbackURL: ptr("https://a.example.org/")})
	must(t, err)
	got, err := b.Call(ctx, p, n, network.Saying{Sender: caller.ID, Recipient: callee.ID, Content: "hi"})
	must(t, err)
	list, err := b.Messages(ctx, p, n, network.MessageQuery{Limit: 10})
	must(t, err)
	if len(list) != 2 {
		t.Fatalf("got %+v", list)
	}
	out, reply := list[0], list[1]
	if out.ID != got.Message || out.Status != network.Delivered || out.Content != "hi" || string(got.Response) != `{"ok":true}` {
		t.Errorf("got %+v", out)
	}
	if reply.Status != network.Delivered || reply.Content != `{"ok":true}` || reply.InReplyTo != out.ID || reply.Sender != callee.ID || reply.Recipient != caller.ID ||
		string(reply.Metadata) != fmt.Sprintf(`{"in_reply_to":%q}`, out.ID) {
		t.Errorf("got %+v", reply)
	}
	if inbox, err := b.Inbox(ctx, p, n, caller.ID, "", 10); err != nil || len(inbox) != 1 || inbox[0].ID != reply.ID {
		t.Errorf("the inbox of the caller: got %+v, %v, want the reply", inbox, err)
	}
	if n, err := b.Acknowledge(ctx, p, n, []id.NetworkMessage{out.ID, reply.ID}); err != nil || n != 2 {
		t.Errorf("got %d, %v", n, err)
	}
	_, err = b.Call(ctx, p, n, network.Saying{Sender: callee.ID, Recipient: caller.ID, Content: "hi"})
	wantCode(t, "to one who polls", err, "recipient_not_callable")
	if list, err := b.Messages(ctx, p, n, network.MessageQuery{Limit: 10}); err != nil || len(list) != 2 {
		t.Errorf("a refused call left %d messages, %v", len(list), err)
	}
	b.broken = network.ErrUnreachable
	_, err = b.Call(ctx, p, n, network.Saying{Sender: caller.ID, Recipient: callee.ID, Content: "hi"})
	wantCode(t, "to one who is away", err, "target_unreachable")
	list, err = b.Messages(ctx, p, n, network.MessageQuery{Limit: 10, Descending: true})
	if err != nil || len(list) != 3 || list[0].Status != network.Failed {
		t.Errorf("a call that failed left %+v, %v", list, err)
	}
	for _, who := range []id.Participant{caller.ID, callee.ID} {
		if inbox, err := b.Inbox(ctx, p, n, who, "", 10); err != nil || len(inbox) != 0 {
			t.Errorf("a call that failed is in an inbox: %+v, %v", inbox, err)
		}
	}
	if letters, err := b.DeadLetters(ctx, p, n, 10, 0); err != nil || len(letters) != 0 {
		t.Errorf("a call that failed is a dead letter: %+v, %v", letters, err)
	}
}

// TestAnotherProcessSeesAChangeInTime lets one process change what another remembers.
func TestAnotherProcessSeesAChangeInTime(t *testing.T) {
	b, ctx := newBench(t, testkit.SQLite(t)), t.Context()
	p := b.user(t)
	n := b.network(t, p)
	other := b.process(t)
	a, c := b.join(t, p, n, "a"), b.join(t, p, n, "c")
	say := network.Saying{Sender: a.ID, Recipient: c.ID}
	_, err := other.Send(ctx, p, n, say)
	must(t, err)
	for _, step := range []struct {
		name   string
		change func() error
		want   string
	}{
		{"a pause", func() error { _, err := b.Edit(ctx, p, n, network.Patch{Status: ptr(network.Paused)}); return err }, "network_not_active"},
		{"its end", func() error { _, err := b.Edit(ctx, p, n, network.Patch{Status: ptr(network.Active)}); return err }, ""},
		{"a topology", func() error { _, err := b.Edit(ctx, p, n, network.Patch{Topology: ptr(network.Star)}); return err }, ""},
		{"its hub leaves", func() error {
			_, err := b.EditParticipant(ctx, p, n, a.ID, network.ParticipantPatch{Status: ptr(network.Disconnected)})
			return err
		}, "participant_not_active"},
		{"and comes back", func() error {
			_, err := b.EditParticipant(ctx, p, n, a.ID, network.ParticipantPatch{Status: ptr(network.Active)})
			return err
		}, ""},
		{"the recipient is removed", func() error { return b.Remove(ctx, p, n, c.ID) }, "participant_not_active"},
		{"the network is deleted", func() error { return b.Delete(ctx, p, n) }, "not_found"},
	} {
		must(t, step.change())
		_, err := other.Send(ctx, p, n, say) // at once: the clock stands still
		wantCode(t, step.name, err, step.want)
	}
	if _, err := other.Send(ctx, p, n, say); !fault.Is(err, fault.NotFound) || errors.Is(err, network.ErrStale) {
		t.Errorf("got %v", err)
	}
}
