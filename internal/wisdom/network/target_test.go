package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// linked is an agent with an endpoint, changed as a test says.
func linked(change func(l *Link)) Link {
	endpoint := "https://agent.example.org/"
	l := Link{Known: true, Callee: registry.Callee{Agent: registry.Agent{ID: "agent", Owner: "somebody", Active: true, AuthType: registry.AuthPublic, Endpoint: &endpoint}}}
	if change != nil {
		change(&l)
	}
	return l
}

func TestWhereAParticipantIsPushedTo(t *testing.T) {
	callback, empty, entity := "https://bob.example.org/", "", "aria"
	for _, test := range []struct {
		name     string
		callback *string
		agent    id.Agent
		link     Link
		want     way
	}{
		{"nothing", nil, "", Link{}, toNobody},
		{"a callback", &callback, "", Link{}, toCallback},
		{"a callback comes first", &callback, "agent", linked(nil), toCallback},
		{"a callback with an agent that is gone", &callback, "agent", Link{}, toCallback},
		{"a cleared callback", &empty, "", Link{}, toNobody},
		{"an endpoint", nil, "agent", linked(nil), toEndpoint},
		{"an entity", nil, "agent", linked(func(l *Link) { l.HostedEntity, l.Endpoint = &entity, nil }), toEntity},
		{"an imported agent", nil, "agent", linked(func(l *Link) { l.Dialect = "0.3" }), toA2A},
		{"an agent that is not active", nil, "agent", linked(func(l *Link) { l.Active = false }), toSleeper},
		{"an agent that is gone, or private now", nil, "agent", Link{}, toSleeper},
		{"a disabled agent", nil, "agent", linked(func(l *Link) { l.Disabled = true }), toSleeper},
		{"a disabled agent, whatever the callback", &callback, "agent", Link{Disabled: true}, toSleeper},
	} {
		r, _, _ := newRoom(t)
		r.links["agent"] = test.link
		got, err := r.service(t).aim(t.Context(), &Participant{Owner: "owner", Agent: test.agent, CallbackURL: test.callback})
		if err != nil || got.way != test.want || got.callable() != (test.want >= toCallback) {
			t.Errorf("%s: got %v, %v, want %v", test.name, got.way, err, test.want)
		}
	}
}

// others are the ways that do not go through a Sender.
type others struct {
	*room
	hosted []HostDelivery
	a2a    []string
	err    error
}

func (o *others) DeliverMessage(_ context.Context, d HostDelivery) (Answer, error) {
	o.hosted = append(o.hosted, d)
	return Answer{Status: 200, Body: []byte(`{"content":null}`)}, o.err
}

type toOthers struct{ *others }

func (o toOthers) Send(_ context.Context, to registry.Callee, m id.NetworkMessage, request string, payload []byte) (Answer, error) {
	o.a2a = append(o.a2a, fmt.Sprintf("%s %s %s %v", to.ID, m, request, payload[0] == '{'))
	return Answer{Status: 200}, o.err
}

func TestWhatIsSentWhere(t *testing.T) {
	entity, header := "aria", "X-Agent-Key"
	key := &registry.Credential{Type: registry.AuthAPIKey, Value: secret.New("agent-key"), Header: &header}
	callback := "https://bob.example.org/"
	for _, test := range []struct {
		name     string
		callback *string
		link     Link
		channel  string
		fails    string
		again    bool // the payload has message
		maxBody  int64
		header   bool // the credential is sent
		logged   bool
	}{
		{"a callback of nobody's agent", &callback, Link{}, Push, "", false, 0, false, false},
		{"a callback with a foreign agent", &callback, linked(func(l *Link) { l.Credential, l.AuthType = key, registry.AuthAPIKey }), Push, "", false, 0, false, false},
		{"a callback with an own agent", &callback, linked(func(l *Link) { l.Owner = "owner" }), Push, "", false, 0, false, true},
		{"a call to a callback", &callback, Link{}, Call, "", false, maxResponse, false, false},
		{"an endpoint", nil, linked(nil), Push, "", true, 0, false, true},
		{"an endpoint with a credential", nil, linked(func(l *Link) { l.Credential, l.AuthType = key, registry.AuthAPIKey }), Push, "", true, 0, true, true},
		{"an endpoint without its credential", nil, linked(func(l *Link) { l.AuthType = registry.AuthAPIKey }), Push, "credential_missing", false, 0, false, true},
		{"an agent that sleeps", nil, linked(func(l *Link) { l.Active = false }), Push, "agent_not_found", false, 0, false, true},
		{"a callback with a foreign agent that was disabled", &callback, linked(func(l *Link) { l.Disabled, l.Active = true, false }), Push, "agent_not_found", false, 0, false, false},
		{"a callback with an own agent that was disabled", &callback, linked(func(l *Link) { l.Disabled, l.Active, l.Owner = true, false, "owner" }), Push, "agent_not_found", false, 0, false, true},
		{"an entity", nil, linked(func(l *Link) { l.HostedEntity, l.Endpoint = &entity, nil }), Push, "", false, 0, false, true},
		{"an imported agent", nil, linked(func(l *Link) { l.Dialect = "1.0" }), Push, "", true, 0, false, true},
	} {
		r, _, _ := newRoom(t)
		o := &others{room: r}
		r.links["agent"] = test.link
		s := New(Config{Store: r, Agents: r, Platform: r, URLs: r, Sender: r, Host: o, A2A: toOthers{o}, Keys: keyring(t), BaseURL: "https://api.example.org",
			Now: clock.System, Log: slog.New(slog.DiscardHandler)})
		m := Message{ID: "m", Network: "network", Seq: 1, Sender: ada, Recipient: bob, Channel: test.channel, Content: "héllo", Depth: 3}
		r.posted = []Draft{{Message: m}}
		p := Participant{ID: bob, Owner: "owner", Agent: "agent", CallbackURL: test.callback}
		to, err := s.aim(t.Context(), &p)
		if err != nil {
			t.Fatal(err)
		}
		got := s.send(t.Context(), to, parcel{Message: m, State: r.state, To: &p, Keys: keysOf(t, vectorSecret), Actor: principal.Actor{Type: "user", ID: "owner"}, Request: "request"})
		if got.ok() != (test.fails == "") || !got.ok() && got.fail().code != test.fails {
			t.Errorf("%s: got %+v, want %q", test.name, got, test.fails)
		}
		if (got.log != nil) != test.logged {
			t.Errorf("%s: logged %v, want %v", test.name, got.log != nil, test.logged)
		}
		if l := got.log; l != nil && (l.Caller != "owner" || l.Agent.ID != "agent" || l.Length != 5 || l.Channel != test.channel || l.Success != got.ok() || l.Reached != got.ok() || l.Refused == got.ok() || l.RequestID != "request") {
			t.Errorf("%s: logged %+v", test.name, l)
		}
		switch {
		case test.fails != "":
			if len(r.sent)+len(o.hosted)+len(o.a2a) != 0 {
				t.Errorf("%s: something was sent", test.name)
			}
		case test.link.HostedEntity != nil:
			want := HostDelivery{Kind: Push, ID: "m", Owner: "somebody", Entity: "aria", Caller: "owner", Depth: 4, RequestID: "request"}
			if d := o.hosted[0]; len(d.Payload) == 0 || fmt.Sprint(d.Kind, d.ID, d.Owner, d.Entity, d.Caller, d.Depth, d.RequestID) != fmt.Sprint(want.Kind, want.ID, want.Owner, want.Entity, want.Caller, want.Depth, want.RequestID) {
				t.Errorf("%s: got %+v", test.name, d)
			}
		case test.link.Dialect != "":
			if len(o.a2a) != 1 || o.a2a[0] != "agent m request true" {
				t.Errorf("%s: got %v", test.name, o.a2a)
			}
		default:
			sent := r.sent[0]
			p := payload{Message: m, state: r.state, context: [][]byte{encodeEntry(&Entry{Message: m})}, replyURL: s.replyURL("network", bob, clock.System())}
			if sent.MaxBody != test.maxBody || (sent.Header[header] == "agent-key") != test.header || len(sent.Body) != len(p.encode(test.again)) {
				t.Errorf("%s: got %+v", test.name, sent)
			}
		}
	}
}

func TestTheOwnersHeaderStandsAlone(t *testing.T) {
	name := "content-TYPE" // which no Vault takes: nothing of ours may be doubled all the same
	link := linked(func(l *Link) {
		l.Credential = &registry.Credential{Type: registry.AuthAPIKey, Value: secret.New("k"), Header: &name}
	})
	p := parcel{Message: Message{ID: "m"}, Keys: keysOf(t, vectorSecret)}
	got := p.header(target{way: toEndpoint, link: link}, []byte("{}"), clock.System())
	if _, ours := got["Content-Type"]; ours || got[name] != "k" || len(got) != 6 {
		t.Errorf("got %v", got)
	}
}

func TestWhatAnAttemptDiesOfHasAName(t *testing.T) {
	for _, test := range []struct {
		r       sent
		code    string
		status  int
		reached bool
		refused bool
	}{
		{sent{Answer: Answer{Status: 404}}, "agent_error", 404, true, false},
		{sent{Answer: Answer{Status: 410}}, "agent_error", 410, true, false},
		{sent{err: fmt.Errorf("x: %w", ErrDeadline)}, "agent_timeout", 408, true, false},
		{sent{err: context.DeadlineExceeded}, "agent_timeout", 408, true, false},
		{sent{err: ErrUnreachable}, "agent_unreachable", 500, false, false},
		{sent{err: errors.New("anything")}, "agent_unreachable", 500, false, false},
		{sent{err: ErrTooLarge}, "agent_response_too_large", 502, true, false},
		{sent{err: ErrRefused}, "agent_a2a_error", 502, true, false},
		{sent{err: fault.New(fault.BadRequest, "unsafe_url", "x")}, "unsafe_url", 400, false, true},
		{sent{err: context.Canceled}, "cancelled", 499, false, false},
		{sent{err: errCredential}, "credential_missing", 503, false, true},
		{sent{err: errAsleep}, "agent_not_found", 404, false, true},
	} {
		if got := test.r.fail(); got.code != test.code || got.status != test.status || got.reached != test.reached || got.refused != test.refused || got.text == "" {
			t.Errorf("%v: got %+v", test.r.err, got)
		}
	}
}

// What fails on our side is no failure of the receiver.
func TestADatabaseThatIsAwayIsNobodysFault(t *testing.T) {
	r, _, _ := newRoom(t)
	s := r.service(t)
	s.windows.read = func(context.Context, id.Network, int64, int64) ([]Entry, error) { return nil, errors.New("away") }
	to, err := s.aim(t.Context(), r.participant(bob))
	if err != nil {
		t.Fatal(err)
	}
	got := s.send(t.Context(), to, parcel{Message: Message{ID: "m", Network: "network", Seq: 1, Channel: Push}, State: r.state, To: r.participant(bob)})
	if got.ok() || !got.ours() || got.log != nil || len(r.sent) != 0 {
		t.Errorf("got %+v", got)
	}
}
