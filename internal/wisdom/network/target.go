package network

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// way is how a participant is pushed to (contract §6.2).
type way uint8

const (
	toNobody   way = iota // polling only
	toSleeper             // the linked agent is not active, or not visible any more: maybe later
	toCallback            // callback_url
	toEndpoint            // the endpoint of the linked agent
	toA2A                 // the same, of an imported agent
	toEntity              // an entity of the host
)

// target is where a participant is pushed to.
type target struct {
	way
	link     Link // the linked agent, if there is one
	mine     bool // the owner of the network owns it
	callback bool // the participant has one, and the agent no part in what is sent there
}

// callable tells whether something can be pushed there now.
func (t target) callable() bool { return t.way >= toCallback }

// aim finds the push target of p.
func (s *Service) aim(ctx context.Context, p *Participant) (target, error) {
	t := target{callback: p.CallbackURL != nil && *p.CallbackURL != ""}
	if p.Agent != "" {
		link, err := s.config.Agents.Linked(ctx, p.Owner, p.Agent)
		if err != nil {
			return t, fmt.Errorf("find the agent of a participant: %w", err)
		}
		t.link, t.mine = link, link.Known && link.Owner == p.Owner
	}
	switch {
	case t.link.Disabled:
		t.way = toSleeper // also with a callback: the administrator has stopped it
	case t.callback:
		t.way = toCallback
	case p.Agent == "":
		t.way = toNobody
	case !t.link.Known || !t.link.Active:
		t.way = toSleeper
	case t.link.HostedEntity != nil:
		t.way = toEntity
	case t.link.Dialect != "":
		t.way = toA2A
	default:
		t.way = toEndpoint
	}
	return t, nil
}

// url is where t is, if it is at a third party's.
func (t target) url(p *Participant) string {
	switch {
	case t.way == toCallback:
		return *p.CallbackURL
	case t.link.Endpoint != nil:
		return *t.link.Endpoint
	}
	return "" // which no sender takes
}

// What an attempt can die of before anything is sent, beside the errors of Sender.
var (
	errCredential = errors.New("no usable credential is stored for the agent")
	errAsleep     = errors.New("the agent is not active, or not visible to the owner of the network")
	errOurs       = errors.New("we could not prepare the delivery") // which says nothing about the receiver
)

// maxResponse is the most that a receiver may answer to a call, in bytes after
// decompression (contract §6.5).
const maxResponse = 1 << 20

// parcel is a message on its way, in one attempt.
type parcel struct {
	Message
	State   State // of the network, with both ends
	To      *Participant
	Keys    webhookKeys     // of To: see openSecrets
	Actor   principal.Actor // who said it, for the log
	Request string          // id of the request that said it
}

// sent is what came of an attempt: the answer of the receiver, or what the attempt died of.
type sent struct {
	Answer
	err error
	log *Log // nil: it is not to be logged
}

// ok tells whether the receiver has taken it.
func (r sent) ok() bool { return r.err == nil && r.Status >= 200 && r.Status <= 299 }

// ours tells whether the attempt died before it began, for a reason that a caller is not
// told and a receiver is not blamed for.
func (r sent) ours() bool { return errors.Is(r.err, errOurs) }

// send makes one attempt to hand p over, until ctx ends.
//
// Of a call the whole answer is read, of a message only what a hosted entity says.
func (s *Service) send(ctx context.Context, t target, p parcel) sent {
	started := s.config.Now()
	var r sent
	r.Answer, r.err = s.hand(ctx, t, &p, started)
	if !r.ours() && (t.mine || t.link.Known && !t.callback) {
		r.log = logOf(t, &p, r, started, s.config.Now())
	}
	return r
}

func (s *Service) hand(ctx context.Context, t target, p *parcel, now time.Time) (Answer, error) {
	if !t.callable() {
		return Answer{}, errAsleep
	}
	if t.way != toCallback && t.way != toEntity && t.link.AuthType != registry.AuthPublic && t.link.Credential == nil {
		return Answer{}, errCredential
	}
	body, err := s.body(ctx, p, t.way == toEndpoint || t.way == toA2A, now)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", errOurs, err)
	}
	switch t.way {
	case toEntity:
		return s.config.Host.DeliverMessage(ctx, HostDelivery{Kind: p.Channel, ID: p.ID, Owner: t.link.Owner, Entity: *t.link.HostedEntity,
			Caller: p.State.Owner, Depth: p.Depth + 1, RequestID: p.Request, Payload: body})
	case toA2A:
		return s.config.A2A.Send(ctx, t.link.Callee, p.ID, p.Request, body)
	}
	o := Outgoing{URL: t.url(p.To), Header: p.header(t, body, now), Body: body}
	if p.Channel == Call {
		o.MaxBody = maxResponse
	}
	return s.config.Sender.Send(ctx, o)
}

// body is the payload of p at now: the reply URL is fresh.
func (s *Service) body(ctx context.Context, p *parcel, again bool, now time.Time) ([]byte, error) {
	length := int64(pushContext)
	if p.Channel == Call {
		length = callContext
	}
	entries, err := s.windows.get(ctx, p.Network, max(1, p.Seq-length+1), p.Seq)
	if err != nil {
		return nil, err
	}
	form := payload{Message: p.Message, state: p.State, context: fit(entries), replyURL: s.replyURL(p.Network, p.To.ID, now)}
	return form.encode(again), nil
}

// header is everything that a receiver is sent besides the body. The credential is for the
// agent's own endpoint only.
func (p *parcel) header(t target, body []byte, now time.Time) map[string]string {
	at := strconv.FormatInt(now.Unix(), 10)
	header := map[string]string{
		"Content-Type":      "application/json",
		"User-Agent":        "Intuno-Network/1.0",
		"X-Request-ID":      p.Request,
		"webhook-id":        string(p.ID),
		"webhook-timestamp": at,
		"webhook-signature": p.Keys.sign(string(p.ID), at, body),
	}
	if t.way == toCallback || t.link.Credential == nil {
		return header
	}
	name, value := t.link.Credential.Line()
	for ours := range header {
		if strings.EqualFold(ours, name) {
			delete(header, ours) // one line of a name: the owner chose it for the credential
		}
	}
	header[name] = value
	return header
}

// failure is what an attempt that has failed is called: for people, by the codes of the
// invocation log (contract §5.4), and by the status that the log has where there was none
// of HTTP. reached tells whether the receiver was there to fail, refused whether nobody was
// asked (contract §5.2).
type failure struct {
	text    string
	code    string
	status  int
	reached bool
	refused bool
}

// fail tells why r has not succeeded.
func (r sent) fail() failure {
	switch err := r.err; {
	case err == nil && r.Status == 410:
		return failure{"the receiver is gone for good", "agent_error", r.Status, true, false}
	case err == nil:
		return failure{"the receiver answered with an error", "agent_error", r.Status, true, false}
	case errors.Is(err, errAsleep):
		return failure{errAsleep.Error(), "agent_not_found", 404, false, true}
	case errors.Is(err, errCredential):
		return failure{errCredential.Error(), "credential_missing", 503, false, true}
	case fault.HasCode(err, "unsafe_url"):
		return failure{"the address of the receiver is not allowed", "unsafe_url", 400, false, true}
	case errors.Is(err, ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		return failure{"the receiver did not answer in time", "agent_timeout", 408, true, false}
	case errors.Is(err, ErrTooLarge):
		return failure{"the answer of the receiver is too large", "agent_response_too_large", 502, true, false}
	case errors.Is(err, ErrRefused):
		return failure{"the agent reported an error or a failed task", "agent_a2a_error", 502, true, false}
	case errors.Is(err, context.Canceled):
		return failure{"the attempt was broken off", "cancelled", 499, false, false}
	}
	return failure{"the receiver could not be reached", "agent_unreachable", 500, false, false}
}

func logOf(t target, p *parcel, r sent, started, ended time.Time) *Log {
	l := &Log{Caller: p.State.Owner, Actor: p.Actor, Agent: t.link.Agent, Message: p.ID, Channel: p.Channel, Length: utf8.RuneCountInString(p.Content),
		Success: r.ok(), Status: r.Status, Reached: true, LatencyMS: ended.Sub(started).Milliseconds(), RequestID: p.Request, At: ended}
	if !l.Success {
		f := r.fail()
		l.Status, l.Code, l.Reached, l.Refused = f.status, f.code, f.reached, f.refused
	}
	return l
}
