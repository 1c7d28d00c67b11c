package network

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// The reference values of contract §6.7.
const (
	vectorNetwork     id.Network     = "11111111-1111-4111-8111-111111111111"
	vectorParticipant id.Participant = "22222222-2222-4222-8222-222222222222"
	vectorExp                        = "1800000000"
	vectorSig                        = "e3d3f4e614c6c7e94a11af3cb054164a3d63b6c82aa4d5f6dd3d2f4b31478a0a"
	derivedSig                       = "017be94c7d90f6e9e5683c6a352631c287014dac5181249fcadae304e9a8faee"
)

// signer knows nothing but a key and the time.
func signer(key string, now time.Time) *Service {
	return &Service{config: Config{Callbacks: secret.New(key), BaseURL: "https://api.example.org", Now: func() time.Time { return now }}}
}

func TestReplyURLsAreTheReferenceOnes(t *testing.T) {
	signed := time.Unix(1800000000, 0).Add(-24 * time.Hour)
	got := signer("test-secret", signed).replyURL(vectorNetwork, vectorParticipant, signed)
	want := "https://api.example.org/networks/" + string(vectorNetwork) + "/participants/" + string(vectorParticipant) + "/callback?sig=" + vectorSig + "&exp=" + vectorExp
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAReplyURLIsVerifiedUntilItsEnd(t *testing.T) {
	end := time.Unix(1800000000, 0)
	derived := hmac.New(sha256.New, []byte("0123456789abcdef0123456789abcdef")) // where no key is configured
	derived.Write([]byte("intuno/callback-signing/v1"))
	for _, c := range []struct {
		name     string
		key      string
		network  id.Network
		who      id.Participant
		sig, exp string
		now      time.Time
		want     bool
	}{
		{"the reference", "test-secret", vectorNetwork, vectorParticipant, vectorSig, vectorExp, end.Add(-time.Hour), true},
		{"the reference of a derived key", string(derived.Sum(nil)), vectorNetwork, vectorParticipant, derivedSig, vectorExp, end, true},
		{"its last second", "test-secret", vectorNetwork, vectorParticipant, vectorSig, vectorExp, end, true},
		{"the second after", "test-secret", vectorNetwork, vectorParticipant, vectorSig, vectorExp, end.Add(time.Second), false},
		{"decoded bytes are compared", "test-secret", vectorNetwork, vectorParticipant, strings.ToUpper(vectorSig), vectorExp, end, true},
		{"another key", "test-secret2", vectorNetwork, vectorParticipant, vectorSig, vectorExp, end, false},
		{"no key", "", vectorNetwork, vectorParticipant, vectorSig, vectorExp, end, false},
		{"no key, and signed with none", "", vectorNetwork, vectorParticipant, fmt.Sprintf("%x", signer("", end).callbackMAC(vectorNetwork, vectorParticipant, vectorExp)), vectorExp, end, false},
		{"a blank key", " ", vectorNetwork, vectorParticipant, fmt.Sprintf("%x", signer(" ", end).callbackMAC(vectorNetwork, vectorParticipant, vectorExp)), vectorExp, end, false},
		{"another network", "test-secret", "11111111-1111-4111-8111-111111111112", vectorParticipant, vectorSig, vectorExp, end, false},
		{"another participant", "test-secret", vectorNetwork, "22222222-2222-4222-8222-222222222223", vectorSig, vectorExp, end, false},
		{"both, the wrong way round", "test-secret", id.Network(vectorParticipant), id.Participant(vectorNetwork), vectorSig, vectorExp, end, false},
		{"a later end", "test-secret", vectorNetwork, vectorParticipant, vectorSig, "1800000001", end, false},
	} {
		p, err := signer(c.key, c.now).Verify(c.network, c.who, c.sig, c.exp)
		if (err == nil) != c.want || err != nil && !fault.HasCode(err, "signature_invalid") {
			t.Errorf("%s: got %v, want valid %v", c.name, err, c.want)
		}
		want := principal.Principal{}
		if c.want {
			want = principal.Principal{Via: principal.Callback, Network: c.network, Participant: c.who}
		}
		if p != want {
			t.Errorf("%s: got %+v, want %+v", c.name, p, want)
		}
	}
}

func TestNoOtherSpellingIsASignature(t *testing.T) {
	s := signer("test-secret", time.Unix(1800000000, 0).Add(-time.Hour))
	for _, sig := range []string{"", "0", vectorSig[1:], vectorSig[:63], vectorSig[:62], vectorSig + "0", vectorSig + "00", vectorSig + vectorSig, "0x" + vectorSig,
		" " + vectorSig, vectorSig + " ", vectorSig + "\n", "\x00" + vectorSig[1:], "g" + vectorSig[1:], "é" + vectorSig[2:], "\uff45" + vectorSig[1:],
		strings.Repeat("0", 64), "1" + vectorSig[1:], vectorSig[:63] + "b", strings.Repeat("e3", 1<<16)} {
		if _, err := s.Verify(vectorNetwork, vectorParticipant, sig, vectorExp); !fault.HasCode(err, "signature_invalid") {
			t.Errorf("sig %.80q: got %v, want signature_invalid", sig, err)
		}
	}
	for _, exp := range []string{"", "+1800000000", "-1800000000", "01800000000", " 1800000000", "1800000000 ", "1800000000\n", "1800000000.0", "1.8e9", "0x6b49d200",
		"1_800_000_000", "\u0661\u0668\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660", "1800000000\x00", "99999999999999999999", "9223372036854775807"} {
		if _, err := s.Verify(vectorNetwork, vectorParticipant, vectorSig, exp); !fault.HasCode(err, "signature_invalid") {
			t.Errorf("exp %q: got %v, want signature_invalid", exp, err)
		}
		// Not even if it was signed so: then it is no signature of ours.
		sig := fmt.Sprintf("%x", s.callbackMAC(vectorNetwork, vectorParticipant, exp))
		if _, err := s.Verify(vectorNetwork, vectorParticipant, sig, exp); exp != "9223372036854775807" && !fault.HasCode(err, "signature_invalid") {
			t.Errorf("exp %q, signed: got %v, want signature_invalid", exp, err)
		}
	}
}

// FuzzVerify insists that what is taken has the bytes of our signature and the decimal
// that was signed, and that it has not ended.
func FuzzVerify(f *testing.F) {
	f.Add(string(vectorNetwork), string(vectorParticipant), vectorSig, vectorExp, int64(1800000000))
	f.Add(string(vectorNetwork), string(vectorParticipant), strings.ToUpper(vectorSig), vectorExp, int64(1))
	f.Add(string(vectorNetwork), string(vectorParticipant), vectorSig, "+1800000000", int64(0))
	f.Add(string(vectorNetwork), "22222222-2222-4222-8222-222222222222:1", vectorSig, "800000000", int64(0))
	f.Add("", "", "", "", int64(0))
	f.Fuzz(func(t *testing.T, network, who, sig, exp string, now int64) {
		s := signer("test-secret", time.Unix(now, 0))
		own := fmt.Sprintf("%x", s.callbackMAC(id.Network(network), id.Participant(who), exp))
		canonical := exp != "" && strings.Trim(exp, "0123456789") == "" && (exp == "0" || exp[0] != '0') || len(exp) > 1 && exp[0] == '-' && exp[1] != '0' && strings.Trim(exp[1:], "0123456789") == ""
		for _, given := range []string{sig, own} {
			p, err := s.Verify(id.Network(network), id.Participant(who), given, exp)
			if err != nil {
				if fault.As(err).Code != "signature_invalid" || p != (principal.Principal{}) {
					t.Errorf("got %+v, %v", p, err)
				}
				continue
			}
			if !strings.EqualFold(given, own) || !canonical {
				t.Errorf("sig %q, exp %q is taken", given, exp)
			}
			if p.Via != principal.Callback || string(p.Network) != network || string(p.Participant) != who || p.User != "" || p.Admin {
				t.Errorf("got %+v", p)
			}
		}
	})
}

func TestAReplyURLIsWhatItsHolderCanUse(t *testing.T) {
	r, _, _ := newRoom(t)
	s := r.service(t)
	parsed, err := url.Parse(s.replyURL("network", bob, clock.System()))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Index(parsed.RawQuery, "sig=") != 0 {
		t.Errorf("sig is not first in %s", parsed.RawQuery)
	}
	p, err := s.Verify("network", bob, parsed.Query().Get("sig"), parsed.Query().Get("exp"))
	if err != nil {
		t.Fatal(err)
	}
	p.Request = "request"
	r.said = append(r.said, "question")
	say := Saying{Sender: ada, Recipient: cleo, Channel: Push, Content: "hi", Metadata: []byte(`{}`), InReplyTo: "question"} // the sender is whom the URL is for
	callback := "https://cleo.example.org/"
	r.participant(cleo).CallbackURL = &callback
	r.state.Topology = Star // of which bob is not the hub
	m, err := s.Callback(t.Context(), p, say)
	if err != nil {
		t.Fatal(err)
	}
	d := r.posted[0]
	if m.Sender != bob || m.Recipient != cleo || m.Channel != Push || m.Content != "hi" || m.InReplyTo != "question" || m.Status != Pending || m.Depth != 0 {
		t.Errorf("got %+v", m)
	}
	if d.Revision != 7 || !d.Queue || d.Request != "request" || d.Actor != (principal.Actor{Type: "user", ID: "owner"}) {
		t.Errorf("got %+v", d)
	}
	for _, c := range []struct {
		name string
		say  Saying
		want bool
	}{
		{"a message", Saying{Recipient: cleo}, true},
		{"a call", Saying{Recipient: cleo, Channel: Call}, false},
		{"for the mailbox", Saying{Recipient: cleo, Channel: Mailbox}, false},
		{"to everybody", Saying{Channel: Push}, false},
		{"to oneself", Saying{Recipient: bob, Channel: Push}, true},
	} {
		if _, err := s.Callback(t.Context(), p, c.say); err != nil {
			t.Fatal(err)
		}
		if got := r.posted[len(r.posted)-1].Queue; got != c.want {
			t.Errorf("%s: got queued %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTheFirstObstacleOfACallbackIsTold(t *testing.T) {
	type hindrance struct {
		name, of, want string
		put            func(r *room, say *Saying)
	}
	list := []hindrance{ // the checks of contract §6.7 in their order
		{"halted", "", "platform_halted", func(r *room, _ *Saying) { r.halted = fault.New(fault.Unavailable, "platform_halted", "halted") }},
		{"an unknown participant", "participant", "not_found: Participant not found", func(r *room, _ *Saying) { r.drop(bob) }},
		{"a removed participant", "participant", "participant_not_active: Participant is not active", func(r *room, _ *Saying) { r.drop(bob); r.gone = append(r.gone, bob) }},
		{"a disconnected participant", "participant", "participant_not_active: Participant is not active", func(r *room, _ *Saying) { r.participant(bob).Status = Disconnected }},
		{"a paused network", "network", "network_not_active", func(r *room, _ *Saying) { r.state.Status = Paused }},
		{"a closed network", "network", "network_not_active", func(r *room, _ *Saying) { r.state.Status = Closed }},
		{"an unknown recipient", "recipient", "not_found: Recipient not found", func(r *room, _ *Saying) { r.drop(ada) }},
		{"a removed recipient", "recipient", "participant_not_active: Recipient is not active", func(r *room, _ *Saying) { r.drop(ada); r.gone = append(r.gone, ada) }},
		{"a disconnected recipient", "recipient", "participant_not_active: Recipient is not active", func(r *room, _ *Saying) { r.participant(ada).Status = Disconnected }},
		{"a reply to nothing here", "", "not_found: Message not found", func(_ *room, say *Saying) { say.InReplyTo = "elsewhere" }},
		{"its agent is disabled", "", "agent_disabled", func(r *room, _ *Saying) { r.disable("agent of bob") }},
		{"the agent of the recipient is disabled", "", "agent_disabled", func(r *room, _ *Saying) { r.disable("agent of ada") }},
	}
	for i, first := range list {
		for _, second := range list[i:] {
			if first.of != "" && first.of == second.of && first.name != second.name {
				continue
			}
			r, _, _ := newRoom(t)
			s := r.service(t)
			say := Saying{Recipient: ada, Channel: Push, Content: "hi"}
			second.put(r, &say)
			if second.name != first.name {
				first.put(r, &say)
			}
			sentence := first.name + ", and " + second.name
			_, err := s.Callback(t.Context(), principal.Principal{Via: principal.Callback, Network: "network", Participant: bob}, say)
			wantCode(t, sentence, err, first.want)
			if len(r.posted) > 0 {
				t.Errorf("%s: something was stored", sentence)
			}
		}
	}
	r, _, _ := newRoom(t)
	_, err := r.service(t).Callback(t.Context(), principal.Principal{Via: principal.Callback, Network: "deleted", Participant: bob}, Saying{Recipient: ada})
	wantCode(t, "a network that is gone", err, "not_found")
	if len(r.posted) > 0 || slices.Contains(r.gone, bob) {
		t.Error("something was stored")
	}
}
