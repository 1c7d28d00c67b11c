package network_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/clock"
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

// office is a network on a real store, with the processes that deliver in it. Receivers are
// what the test says, by the host of their URL.
type office struct {
	t     *testing.T
	rows  *store.Store
	owner principal.Principal
	of    id.Network
	first *network.Service
	stop  func()
	poll  time.Duration
	keys  *secret.Keyring

	mu      sync.Mutex
	answer  func(ctx context.Context, to string, d api.DeliveryPayload) (network.Answer, error)
	seen    map[string][]api.DeliveryPayload // what receivers were sent, by name
	faults  []string
	links   map[id.Agent]network.Link
	hosted  func(d network.HostDelivery) (network.Answer, error)
	halted  bool
	members map[string]network.Participant
	secrets map[string]string
}

func onOffices(t *testing.T, body func(o *office)) {
	testkit.Engines(t, func(t *testing.T, open func() string) { body(newOffice(t, open())) })
}

func newOffice(t *testing.T, url string) *office {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: store.Migrations(), Service: "wisdom", Now: clock.System})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	o := &office{t: t, rows: store.New(db), seen: map[string][]api.DeliveryPayload{}, links: map[id.Agent]network.Link{},
		members: map[string]network.Participant{}, secrets: map[string]string{}, stop: func() {}, poll: 40 * time.Millisecond}
	user := id.New[id.User]()
	must(t, o.rows.CreateUser(t.Context(), auth.Account{User: auth.User{ID: user, Email: string(user), Active: true, Plan: auth.Free, Created: noon, Updated: noon}, PasswordHash: "x"}, string(user)))
	o.owner = principal.Principal{User: user, Via: principal.JWT, Request: "req-7"}
	o.first = o.process()
	n, err := o.first.Create(t.Context(), o.owner, network.NewNetwork{Name: "n"})
	must(t, err)
	o.of = n.ID
	return o
}

// process is one more Service on the same store.
func (o *office) process() *network.Service {
	o.t.Helper()
	if o.keys == nil {
		var err error
		o.keys, err = secret.NewKeyring(network.SecretPurpose, secret.New("0123456789abcdef0123456789abcdef"))
		must(o.t, err)
	}
	return network.New(network.Config{Store: store.Networks{Store: o.rows}, Agents: o, Owners: o, Platform: o, URLs: o, Sender: o, Host: o, Keys: o.keys,
		Callbacks: secret.New("callback-key"), BaseURL: "https://api.example.org", Now: clock.System, Log: slog.New(slog.DiscardHandler), MaxParticipants: 1000,
		Backoff: 10 * time.Millisecond, Poll: o.poll, AttemptTimeout: 5 * time.Second})
}

// run delivers with all processes until the end of the test, or stop.
func (o *office) run(processes ...*network.Service) {
	o.t.Helper()
	ctx, cancel := context.WithCancel(o.t.Context())
	var group sync.WaitGroup
	for _, p := range processes {
		group.Go(func() {
			if err := p.Run(ctx); err != nil {
				o.t.Errorf("run: %v", err)
			}
		})
	}
	o.stop = func() { cancel(); group.Wait() }
	o.t.Cleanup(o.stop)
}

func (o *office) Active(context.Context, id.User) error { return nil }

func (o *office) Running(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.halted {
		return fault.New(fault.Unavailable, "platform_halted", "no")
	}
	return nil
}

func (o *office) Check(context.Context, string) error { return nil }

func (o *office) Linked(_ context.Context, _ id.User, agent id.Agent) (network.Link, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.links[agent], nil
}

func (o *office) DeliverMessage(_ context.Context, d network.HostDelivery) (network.Answer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var p api.DeliveryPayload
	if err := json.Unmarshal(d.Payload, &p); err != nil {
		o.faults = append(o.faults, err.Error())
	}
	o.seen[d.Entity] = append(o.seen[d.Entity], p)
	return o.hosted(d)
}

// note keeps what somebody was sent, and answers as the test says.
func (o *office) note(ctx context.Context, to string, body []byte) (network.Answer, error) {
	var d api.DeliveryPayload
	err := json.Unmarshal(body, &d)
	o.mu.Lock()
	answer := o.answer
	if err != nil {
		o.faults = append(o.faults, err.Error())
	}
	o.mu.Unlock()
	a, err := network.Answer{Status: 200}, error(nil)
	if answer != nil {
		a, err = answer(ctx, to, d)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen[to] = append(o.seen[to], d)
	return a, err
}

// Send is a receiver: it checks everything that every delivery must have.
func (o *office) Send(ctx context.Context, out network.Outgoing) (network.Answer, error) {
	u, err := url.Parse(out.URL)
	if err != nil {
		return network.Answer{}, err
	}
	header := http.Header{}
	for name, value := range out.Header {
		header.Set(name, value)
	}
	to := strings.TrimSuffix(u.Host, ".example.org")
	o.mu.Lock()
	if err := intuno.VerifyWebhook(o.secrets[to], header, out.Body, clock.System()); err != nil {
		o.faults = append(o.faults, fmt.Sprint(to, ": ", err))
	}
	if header.Get("User-Agent") != "Intuno-Network/1.0" || header.Get("Content-Type") != "application/json" || header.Get("X-Request-ID") != "req-7" || out.MaxBody != 0 {
		o.faults = append(o.faults, fmt.Sprint(to, ": ", header, out.MaxBody))
	}
	o.mu.Unlock()
	return o.note(ctx, to, out.Body)
}

// join lets somebody with a callback take part.
func (o *office) join(names ...string) {
	o.t.Helper()
	for _, name := range names {
		o.joinAs(name, network.NewParticipant{Name: name, CallbackURL: ptr("https://" + name + ".example.org/cb")})
	}
}

func (o *office) joinAs(name string, n network.NewParticipant) {
	o.t.Helper()
	p, text, err := o.first.Join(o.t.Context(), o.owner, o.of, n)
	must(o.t, err)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.members[name], o.secrets[name] = p, text.Reveal()
}

func (o *office) send(from, to, content string) network.Message {
	o.t.Helper()
	m, err := o.first.Send(o.t.Context(), o.owner, o.of, network.Saying{Sender: o.members[from].ID, Recipient: o.members[to].ID, Content: content})
	must(o.t, err)
	return m
}

// got is what a receiver was sent, in order.
func (o *office) got(name string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []string
	for _, d := range o.seen[name] {
		all = append(all, d.Content)
	}
	return strings.Join(all, " ")
}

func (o *office) status(m network.Message) string {
	o.t.Helper()
	list, err := o.first.Messages(o.t.Context(), o.owner, o.of, network.MessageQuery{Limit: 500})
	must(o.t, err)
	for _, found := range list {
		if found.ID == m.ID {
			return found.Status
		}
	}
	return "unknown"
}

func (o *office) letters() []network.DeadLetter {
	o.t.Helper()
	list, err := o.first.DeadLetters(o.t.Context(), o.owner, o.of, 200, 0)
	must(o.t, err)
	return list
}

// until waits for something that is to come.
func (o *office) until(what string, ok func() bool) {
	o.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			o.t.Fatalf("after 30 s: not %s", what)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.faults != nil {
		o.t.Fatalf("what receivers saw: %v", o.faults)
	}
}

func (o *office) edit(name string, patch network.ParticipantPatch) {
	o.t.Helper()
	_, err := o.first.EditParticipant(o.t.Context(), o.owner, o.of, o.members[name].ID, patch)
	must(o.t, err)
}

func (o *office) editNetwork(status string) {
	o.t.Helper()
	_, err := o.first.Edit(o.t.Context(), o.owner, o.of, network.Patch{Status: &status})
	must(o.t, err)
}

func always(status int) func(context.Context, string, api.DeliveryPayload) (network.Answer, error) {
	return func(context.Context, string, api.DeliveryPayload) (network.Answer, error) {
		return network.Answer{Status: status}, nil
	}
}

func TestMessagesArriveInOrderAndAreDelivered(t *testing.T) {
	t.Parallel()
	onOffices(t, func(o *office) {
		o.poll = time.Hour // it is told
		o.first = o.process()
		o.join("ada", "bob", "cleo")
		var last network.Message
		want := ""
		for n := range 40 {
			last = o.send("ada", "bob", fmt.Sprint(n))
			o.send("bob", "cleo", "x")
			want += fmt.Sprint(" ", n)
		}
		o.run(o.first)
		o.until("all delivered", func() bool { return o.status(last) == network.Delivered && o.got("bob") == want[1:] })
		o.mu.Lock()
		d := o.seen["bob"][39]
		o.mu.Unlock()
		if len(d.Context) != 20 || d.Context[19].MessageID != string(last.ID) || d.MessageID != string(last.ID) || d.Context[18].Content != "x" || len(d.NetworkParticipants) != 3 ||
			d.Sender.Name != "ada" || d.RecipientParticipantID != string(o.members["bob"].ID) || d.Channel != network.Push {
			o.t.Errorf("got %+v", d)
		}
		u, err := url.Parse(d.ReplyURL)
		must(o.t, err)
		if _, err := o.first.Verify(o.of, o.members["bob"].ID, u.Query().Get("sig"), u.Query().Get("exp")); err != nil {
			o.t.Errorf("the reply URL %s: %v", d.ReplyURL, err)
		}
		late := o.send("ada", "bob", "late")
		o.until("delivered", func() bool { return o.status(late) == network.Delivered })
	})
}

func TestWhatFailsIsTriedAgainAndThenGivenUp(t *testing.T) {
	t.Parallel()
	onOffices(t, func(o *office) {
		o.join("ada", "bob")
		o.answer = always(500)
		bad, next := o.send("ada", "bob", "bad"), network.Message{}
		o.run(o.first)
		o.until("given up", func() bool {
			if next.ID == "" && o.got("bob") != "" {
				next = o.send("ada", "bob", "next")
			}
			return o.status(bad) == network.Failed
		})
		o.until("given up", func() bool { return o.status(next) == network.Failed })
		if got, want := o.got("bob"), strings.TrimSpace(strings.Repeat("bad ", 8)+strings.Repeat("next ", 8)); got != want {
			o.t.Errorf("got %q, want %q", got, want)
		}
		for _, l := range o.letters() {
			if l.Attempts != 8 || l.LastStatus != 500 || l.LastError != "the receiver answered with an error" {
				o.t.Errorf("got %d attempts, %d, %q", l.Attempts, l.LastStatus, l.LastError)
			}
		}
		o.mu.Lock()
		o.answer, o.seen = nil, map[string][]api.DeliveryPayload{}
		o.mu.Unlock()
		_, err := o.first.Replay(o.t.Context(), o.owner, o.of, bad.ID)
		must(o.t, err)
		o.until("delivered after a replay", func() bool { return o.status(bad) == network.Delivered })
		if list := o.letters(); len(list) != 1 || o.got("bob") != "bad" {
			o.t.Errorf("%d dead letters, got %q", len(list), o.got("bob"))
		}
	})
}

func TestWhatAnAnswerMeans(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		answer   network.Answer
		err      error
		attempts int // 0: it succeeds
		text     string
	}{
		{"200", network.Answer{Status: 200}, nil, 0, ""},
		{"299", network.Answer{Status: 299}, nil, 0, ""},
		{"301", network.Answer{Status: 301}, nil, 8, "the receiver answered with an error"},
		{"410", network.Answer{Status: 410}, nil, 1, "the receiver is gone for good"},
		{"404", network.Answer{Status: 404}, nil, 8, "the receiver answered with an error"},
		{"unreachable", network.Answer{}, network.ErrUnreachable, 8, "the receiver could not be reached"},
		{"deadline", network.Answer{}, network.ErrDeadline, 8, "the receiver did not answer in time"},
		{"unsafe", network.Answer{}, fault.New(fault.BadRequest, "unsafe_url", "10.0.0.1"), 8, "the address of the receiver is not allowed"},
		{"too large", network.Answer{}, network.ErrTooLarge, 8, "the answer of the receiver is too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, testkit.SQLite(t))
			o.join("ada", "bob")
			o.answer = func(context.Context, string, api.DeliveryPayload) (network.Answer, error) {
				return test.answer, test.err
			}
			m := o.send("ada", "bob", "x")
			o.run(o.first)
			o.until("over", func() bool { return o.status(m) != network.Pending })
			list := o.letters()
			if test.attempts == 0 {
				if o.status(m) != network.Delivered || len(list) != 0 {
					t.Errorf("got %s, %d dead letters", o.status(m), len(list))
				}
				return
			}
			if len(list) != 1 || list[0].Attempts != test.attempts || list[0].LastStatus != test.answer.Status || list[0].LastError != test.text {
				t.Errorf("got %+v", list)
			}
		})
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	o := newOffice(t, testkit.SQLite(t))
	o.join("ada", "bob")
	var times []time.Time
	o.answer = func(context.Context, string, api.DeliveryPayload) (network.Answer, error) {
		times = append(times, time.Now())
		if len(times) == 1 {
			return network.Answer{Status: 503, RetryAfter: 500 * time.Millisecond}, nil
		}
		return network.Answer{Status: 200}, nil
	}
	m := o.send("ada", "bob", "x")
	o.run(o.first)
	o.until("delivered", func() bool { return o.status(m) == network.Delivered })
	if len(times) != 2 || times[1].Sub(times[0]) < 490*time.Millisecond {
		t.Errorf("attempts at %v", times)
	}
}

func TestAReceiverThatHangsDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	onOffices(t, func(o *office) {
		o.join("ada", "bob", "dead")
		o.answer = func(ctx context.Context, to string, _ api.DeliveryPayload) (network.Answer, error) {
			if to == "dead" {
				<-ctx.Done()
				return network.Answer{}, ctx.Err()
			}
			return network.Answer{Status: 200}, nil
		}
		o.run(o.first)
		stuck := o.send("ada", "dead", "x")
		var last network.Message
		for n := range 20 {
			o.send("ada", "dead", "x")
			last = o.send("ada", "bob", fmt.Sprint(n))
		}
		o.until("delivered", func() bool { return o.status(last) == network.Delivered })
		if got := o.status(stuck); got != network.Pending {
			o.t.Errorf("got %s", got)
		}
		began := time.Now()
		o.stop() // breaks the attempt off, which counts for nothing
		if took := time.Since(began); took > 15*time.Second {
			o.t.Errorf("stopped after %v", took)
		}
		o.mu.Lock()
		o.answer, o.seen = nil, map[string][]api.DeliveryPayload{}
		o.mu.Unlock()
		other := o.process()
		o.run(other)
		o.until("delivered by another process at once", func() bool { return o.status(stuck) == network.Delivered })
	})
}

func TestWhatHoldsDeliveriesAndWhatEndsThem(t *testing.T) {
	t.Parallel()
	removed := func(o *office) {
		must(o.t, o.first.Remove(o.t.Context(), o.owner, o.of, o.members["bob"].ID))
	}
	for n, test := range []struct {
		name           string
		before, after  func(o *office)
		held, end, why string
	}{
		{"a paused network", func(o *office) { o.editNetwork(network.Paused) }, func(o *office) { o.editNetwork(network.Active) }, network.Pending, network.Delivered, ""},
		{"a paused network is closed", func(o *office) { o.editNetwork(network.Paused) }, func(o *office) { o.editNetwork(network.Closed) }, network.Pending, network.Failed, "the network is closed"},
		{"a disconnected recipient", func(o *office) { o.edit("bob", network.ParticipantPatch{Status: ptr(network.Disconnected)}) },
			func(o *office) { o.edit("bob", network.ParticipantPatch{Status: ptr(network.Active)}) }, network.Pending, network.Delivered, ""},
		{"a recipient is removed", func(o *office) { o.editNetwork(network.Paused) }, removed, network.Pending, network.Failed, "the recipient was removed from the network"},
		{"the sender is removed", func(o *office) {
			must(o.t, o.first.Remove(o.t.Context(), o.owner, o.of, o.members["ada"].ID))
		}, func(*office) {}, network.Failed, network.Failed, "the sender was removed from the network"},
		{"the callback is cleared", func(o *office) { o.edit("bob", network.ParticipantPatch{CallbackURL: ptr("")}) }, func(*office) {}, network.Pending, network.Pending, ""},
		{"the platform is halted", func(o *office) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.halted = true
		}, func(o *office) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.halted = false
		}, network.Pending, network.Delivered, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			with := onOffices
			if n%3 != 0 { // what a lane does is the same on both engines
				with = func(t *testing.T, body func(o *office)) { body(newOffice(t, testkit.SQLite(t))) }
			}
			with(t, func(o *office) {
				o.join("ada", "bob", "cleo")
				var all []network.Message
				for n := range 5 {
					all = append(all, o.send("ada", "bob", fmt.Sprint(n)))
				}
				test.before(o)
				o.run(o.first)
				is := func(status string) bool {
					for _, m := range all {
						if o.status(m) != status {
							return false
						}
					}
					return true
				}
				o.until(test.held, func() bool { return is(test.held) })
				time.Sleep(100 * time.Millisecond)
				if !is(test.held) || o.got("bob") != "" {
					o.t.Fatalf("not held: got %q", o.got("bob"))
				}
				test.after(o)
				o.until(test.end, func() bool { return is(test.end) })
				for _, l := range o.letters() {
					if l.LastError != test.why || l.Attempts != 0 || l.LastStatus != 0 {
						o.t.Errorf("got %q, %d, %d", l.LastError, l.Attempts, l.LastStatus)
					}
				}
				if test.end != network.Delivered && o.got("bob") != "" {
					o.t.Errorf("delivered %q", o.got("bob"))
				}
			})
		})
	}
}

func TestACorrectedCallbackIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, testkit.SQLite(t))
	o.join("ada", "bob")
	o.answer = func(_ context.Context, to string, _ api.DeliveryPayload) (network.Answer, error) {
		if to == "bob" {
			return network.Answer{Status: 503, RetryAfter: 5 * time.Minute}, nil
		}
		return network.Answer{Status: 200}, nil
	}
	m := o.send("ada", "bob", "x")
	o.run(o.first)
	o.until("tried", func() bool { return o.got("bob") != "" })
	o.secrets["new"] = o.secrets["bob"]
	o.edit("bob", network.ParticipantPatch{CallbackURL: ptr("https://new.example.org/")})
	o.until("delivered to the new place", func() bool { return o.status(m) == network.Delivered && o.got("new") == "x" })
}

func TestAnEntityAnswersOnceAndNotForEver(t *testing.T) {
	t.Parallel()
	onOffices(t, func(o *office) {
		for _, name := range []string{"ada", "bob"} {
			agent := keepAgent(o.t, o.rows, o.owner.User)
			o.links[agent] = network.Link{Known: true, Callee: registry.Callee{Agent: registry.Agent{ID: agent, Owner: o.owner.User, Active: true, HostedEntity: &name, AuthType: registry.AuthPublic}}}
			o.joinAs(name, network.NewParticipant{Name: name, Agent: agent})
		}
		tries := 0
		o.hosted = func(d network.HostDelivery) (network.Answer, error) {
			if tries++; tries%3 == 1 {
				return network.Answer{}, network.ErrUnreachable
			}
			body, _ := json.Marshal(map[string]string{"content": fmt.Sprint("depth ", d.Depth, " ", d.Kind, " ", d.Caller == o.owner.User, d.Owner == o.owner.User)})
			return network.Answer{Status: 200, Body: body}, nil
		}
		o.send("ada", "bob", "hello")
		o.run(o.first, o.process())
		var list []network.Message
		o.until("nine messages, all delivered", func() bool {
			var err error
			list, err = o.first.Messages(o.t.Context(), o.owner, o.of, network.MessageQuery{Limit: 500})
			must(o.t, err)
			for _, m := range list {
				if m.Status != network.Delivered {
					return false
				}
			}
			return len(list) == 9
		})
		time.Sleep(100 * time.Millisecond)
		list, err := o.first.Messages(o.t.Context(), o.owner, o.of, network.MessageQuery{Limit: 500})
		must(o.t, err)
		if len(list) != 9 {
			o.t.Fatalf("%d messages, want 9: one, and 8 replies", len(list))
		}
		for n, m := range list[1:] {
			want := fmt.Sprintf(`{"auto_reply":true,"depth":%d}`, n+1)
			if m.Content != fmt.Sprintf("depth %d message true true", n+1) || m.InReplyTo != list[n].ID || string(m.Metadata) != want || m.Sender != list[n].Recipient || m.Recipient != list[n].Sender {
				o.t.Errorf("reply %d: got %+v, metadata %s", n+1, m, m.Metadata)
			}
		}
	})
}

// Two processes deliver to many receivers that fail now and then, while others are stopped
// and started: nothing is lost, and everybody gets what is his in order.
func TestNothingIsLostAndOrderIsKeptWhateverStops(t *testing.T) {
	t.Parallel()
	onOffices(t, func(o *office) {
		const receivers, each = 12, 25
		o.join("ada")
		for n := range receivers {
			o.join(fmt.Sprint("r", n))
		}
		var dice sync.Mutex
		seeded := rand.New(rand.NewPCG(1, 2))
		o.answer = func(context.Context, string, api.DeliveryPayload) (network.Answer, error) {
			dice.Lock()
			takes, fails := time.Duration(seeded.IntN(500))*time.Microsecond, seeded.IntN(10) == 0
			dice.Unlock()
			time.Sleep(takes)
			if fails {
				return network.Answer{}, network.ErrUnreachable
			}
			return network.Answer{Status: 200}, nil
		}
		steady := o.process()
		o.run(o.first, steady)
		var sending sync.WaitGroup
		for n := range receivers {
			sending.Go(func() {
				for i := range each {
					o.send("ada", fmt.Sprint("r", n), fmt.Sprint(i))
				}
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		var restarts sync.WaitGroup
		restarts.Go(func() {
			for ctx.Err() == nil {
				short, end := context.WithTimeout(ctx, 50*time.Millisecond)
				if err := o.process().Run(short); err != nil {
					o.t.Error(err)
				}
				end()
			}
		})
		sending.Wait()
		o.until("all over", func() bool {
			list, err := o.first.Messages(o.t.Context(), o.owner, o.of, network.MessageQuery{Limit: 500})
			must(o.t, err)
			for _, m := range list {
				if m.Status == network.Pending {
					return false
				}
			}
			return len(list) == receivers*each
		})
		cancel()
		restarts.Wait()
		if list := o.letters(); len(list) != 0 {
			o.t.Errorf("%d dead letters", len(list))
		}
		for n := range receivers {
			at := -1
			for _, word := range strings.Fields(o.got(fmt.Sprint("r", n))) {
				var i int
				_, err := fmt.Sscan(word, &i)
				must(o.t, err)
				if i > at+1 {
					o.t.Errorf("r%d got %d after %d", n, i, at)
				}
				at = max(at, i)
			}
			if at != each-1 {
				o.t.Errorf("r%d got up to %d", n, at)
			}
		}
	})
}

// CREDENTIALS_ENCRYPTION_KEY gets a new first element: what the old one sealed is sealed
// again, and deliveries go on.
func TestSecretsAreSealedAgainWhenTheKeyChanges(t *testing.T) {
	t.Parallel()
	onOffices(t, func(o *office) {
		o.join("ada", "bob")
		before := secret.New("0123456789abcdef0123456789abcdef")
		after := secret.New("fedcba9876543210fedcba9876543210")
		ring := func(keys ...secret.String) *secret.Keyring {
			t.Helper()
			k, err := secret.NewKeyring(network.SecretPurpose, keys...)
			must(o.t, err)
			return k
		}
		if _, _, err := o.first.RotateSecret(o.t.Context(), o.owner, o.of, o.members["bob"].ID); err != nil {
			o.t.Fatal(err)
		}
		o.keys = ring(after, before)
		o.run(o.process())
		rows := store.Networks{Store: o.rows}
		o.until("sealed with the new key", func() bool {
			list, err := rows.OtherwiseSealed(o.t.Context(), o.keys.KeyID(), "", 10)
			must(o.t, err)
			return len(list) == 0
		})
		o.stop()
		o.keys = ring(after)
		o.first = o.process()
		m := o.send("ada", "bob", "still signed with the old secret too")
		o.run(o.first)
		o.until("delivered", func() bool { return o.status(m) == network.Delivered })
	})
}
