package network

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// replyLife is how long a reply URL is good for (contract §6.7).
const replyLife = 24 * time.Hour

// replyURL is where recipient may answer what it was sent at now.
func (s *Service) replyURL(network id.Network, recipient id.Participant, now time.Time) string {
	exp := strconv.FormatInt(now.Add(replyLife).Unix(), 10)
	return s.config.BaseURL + "/networks/" + string(network) + "/participants/" + string(recipient) +
		"/callback?sig=" + hex.EncodeToString(s.callbackMAC(network, recipient, exp)) + "&exp=" + exp
}

// callbackMAC is what a reply URL is signed with (contract §6.7).
func (s *Service) callbackMAC(network id.Network, who id.Participant, exp string) []byte {
	mac := hmac.New(sha256.New, []byte(s.config.Callbacks.Reveal()))
	mac.Write([]byte(string(network) + ":" + string(who) + ":" + exp))
	return mac.Sum(nil)
}

// Verify checks the signature of a reply URL, as it stands in the query, and returns who
// holds it. The ids are those of the path, in lower case. Fault: signature_invalid (403).
func (s *Service) Verify(network id.Network, who id.Participant, sig, exp string) (principal.Principal, error) {
	refused := fault.New(fault.Forbidden, "signature_invalid", "The signature of this URL is not valid, or not any more")
	given, err := hex.DecodeString(sig)
	if err != nil || len(given) != sha256.Size || s.config.Callbacks.Blank() {
		return principal.Principal{}, refused
	}
	if !hmac.Equal(given, s.callbackMAC(network, who, exp)) {
		return principal.Principal{}, refused
	}
	until, err := strconv.ParseInt(exp, 10, 64)
	if err != nil || strconv.FormatInt(until, 10) != exp || s.config.Now().Unix() > until {
		return principal.Principal{}, refused
	}
	return principal.Principal{Via: principal.Callback, Network: network, Participant: who}, nil
}

// Callback says something for the holder of a signed URL: p is what Verify returned
// (contract §6.7). No topology binds it: that is how a spoke answers. Faults, in this
// order: platform_halted (503), NotFound if the owner was deactivated, NotFound and
// participant_not_active (400) of the participant, network_not_active (400), the same of the recipient, NotFound of what it
// replies to, agent_disabled (403).
func (s *Service) Callback(ctx context.Context, p principal.Principal, say Saying) (Message, error) {
	if err := s.config.Platform.Running(ctx); err != nil {
		return Message{}, err
	}
	state, err := s.recent(ctx, p.Network)
	if err != nil {
		return Message{}, err
	}
	if err := state.of(state.Owner); err != nil {
		return Message{}, err
	}
	owner := state.Owner
	// What is said is said for the owner: it ends with the account, as all else that the
	// owner has given out.
	if err := s.config.Owners.Active(ctx, owner); err != nil {
		return Message{}, missing("Network", "find the owner of a network", err)
	}
	// What the holder of the URL does is done for the owner, whose it is.
	actor := principal.Actor{Type: "user", ID: string(owner)}
	say.Sender, say.Channel = p.Participant, cmp.Or(say.Channel, Push)
	return s.post(ctx, owner, p.Network, func(ctx context.Context, state *State) (Draft, error) {
		recipient, err := s.checkCallback(ctx, state, say)
		if err != nil {
			return Draft{}, err
		}
		d := s.draft(state, say, say.Channel)
		d.Actor, d.Request = actor, p.Request
		if say.Channel == Push { // nobody is no target
			d.Queue, err = s.reachable(ctx, recipient)
		}
		return d, err
	})
}

// checkCallback is the checks of contract §6.7 from the participant on, in their order.
// The recipient is the zero value if there is none.
func (s *Service) checkCallback(ctx context.Context, state *State, say Saying) (recipient Participant, err error) {
	sender, err := s.participant(ctx, state, say.Sender, "Participant")
	if err != nil {
		return recipient, err
	}
	if state.Status != Active {
		return recipient, networkNotActive()
	}
	if say.Recipient != "" {
		if recipient, err = s.participant(ctx, state, say.Recipient, "Recipient"); err != nil {
			return recipient, err
		}
	}
	if say.InReplyTo != "" {
		if _, err := s.config.Store.Message(ctx, state.Owner, state.ID, say.InReplyTo); err != nil {
			return recipient, missing("Message", "find what a callback replies to", err)
		}
	}
	return recipient, s.enabled(ctx, sender, recipient)
}
