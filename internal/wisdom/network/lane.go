package network

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

const (
	// A turn of a lane ends after so many deliveries, or after so long: then what came of
	// them is written. A process that dies repeats no more than that.
	turnJobs = 16
	turnTime = time.Second

	headJobs   = 2  // deliveries of one look: the next one, and whether there are more
	doomedJobs = 32 // of a lane that is not delivered to any more, given up at once: what a hundred lanes give up holds the writer for everybody

	haltedWait   = 2 * time.Second  // before another look while the platform is halted
	unsealedWait = 30 * time.Second // the same while the webhook secret of a recipient does not open

	maxBackoff = 300 * time.Second // also of Retry-After (contract §6.6)
	settleTry  = 3                 // attempts to write what came of a turn
)

// Fixed texts of deliveries that are given up without an attempt.
const (
	textClosed  = "the network is closed"
	textRemoved = "the recipient was removed from the network"
	textSender  = "the sender was removed from the network"
)

// visit is what one worker does with a lane before it gives it back: one turn of it.
type visit struct {
	*carrier
	lane  Lane // as it was when the jobs were read
	last  int64
	began time.Time
	done  []Outcome

	due     time.Time // when it is given back; zero: it is empty, or nothing can be done
	failing bool

	keys    webhookKeys
	keysFor []byte // the sealed secret that keys are of
}

// work is a turn of a lane. Its error is about us: the database is away.
func (c *carrier) work(ctx context.Context, h *holding) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.begin(h, cancel)
	defer c.release(h)
	v := &visit{carrier: c, lane: h.Lane, failing: h.Failing, began: c.config.Now()}
	err := v.run(ctx)
	if err != nil {
		v.due = c.config.Now() // whoever can shall
	}
	return errors.Join(err, v.giveBack(ctx))
}

// run delivers until the lane is empty, a delivery fails, or others shall have their turn.
func (v *visit) run(ctx context.Context) error {
	limit := headJobs
	for {
		load, err := v.config.Store.Load(ctx, v.lane, v.last, limit)
		switch {
		case fault.Is(err, fault.NotFound):
			v.due = time.Time{}
			return nil
		case ctx.Err() != nil:
			v.due = v.config.Now()
			return nil
		case err != nil:
			return fmt.Errorf("read a lane: %w", err)
		}
		v.lane = load.Lane
		if text := doom(&load); text != "" {
			if limit < doomedJobs && len(load.Jobs) == limit {
				limit = doomedJobs // once more, as many as there are
				continue
			}
			v.giveUp(load.Jobs, text)
			if len(load.Jobs) == limit {
				v.due = v.config.Now()
			}
			return nil
		}
		if len(load.Jobs) == 0 || load.Network.Status != Active || load.Recipient.Status != Active {
			return nil // an edit, or another message, makes it due again
		}
		next, err := v.deliver(ctx, &load)
		if err != nil || !next {
			return err
		}
		if len(load.Jobs) < limit {
			return nil // it was the last one
		}
		if len(v.done) >= turnJobs || v.config.Now().Sub(v.began) >= turnTime {
			v.due = v.config.Now()
			return nil
		}
	}
}

// doom tells why nothing in a lane is delivered any more; "": it is.
func doom(load *Load) string {
	switch {
	case load.Network.Status == Closed:
		return textClosed
	case load.Recipient.Status == Removed:
		return textRemoved
	}
	return ""
}

// giveUp gives deliveries up without an attempt.
func (v *visit) giveUp(jobs []Job, text string) {
	for i := range jobs {
		j := &jobs[i]
		v.done = append(v.done, Outcome{Message: j.ID, Seq: j.Seq, Ending: GivenUp, Attempts: j.Attempts, Error: text})
		v.last = j.Seq
	}
}

// deliver does the first job of load, and tells whether the one after it may be done now.
func (v *visit) deliver(ctx context.Context, load *Load) (next bool, err error) {
	job := &load.Jobs[0]
	v.due = time.Time{}
	if job.SenderStatus == Removed {
		v.giveUp(load.Jobs[:1], textSender)
		return true, nil
	}
	if err := v.config.Platform.Running(ctx); err != nil {
		if !fault.HasCode(err, "platform_halted") {
			return false, v.ours(ctx, fmt.Errorf("ask whether the platform is halted: %w", err))
		}
		v.due = v.config.Now().Add(haltedWait)
		return false, nil
	}
	to, err := v.aim(ctx, &load.Recipient)
	if err != nil {
		return false, v.ours(ctx, err)
	}
	if to.way == toNobody {
		v.note(job, Outcome{Ending: Dropped, Attempts: job.Attempts}, nil)
		return true, nil
	}
	if err := v.unseal(&load.Recipient); err != nil {
		v.due = v.config.Now().Add(unsealedWait) // reseal tells of it
		return false, nil
	}
	state, err := v.stateOf(ctx, &load.Network)
	if err != nil {
		return false, v.ours(ctx, err)
	}
	if state.ID == "" {
		return false, nil // it was deleted a moment ago
	}
	r := v.try(ctx, to, parcel{Message: job.Message, State: state, To: &load.Recipient, Keys: v.keys, Actor: job.Actor, Request: job.Request})
	return v.judge(ctx, job, to, &state, r)
}

// ours is an error that is about us: nothing if the turn was broken off anyway.
func (v *visit) ours(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		v.due = v.config.Now()
		return nil
	}
	return err
}

// unseal opens the secrets of p, once for a turn unless they change.
func (v *visit) unseal(p *Participant) error {
	if v.keysFor != nil && string(v.keysFor) == string(p.Secret.Sealed) && len(v.keys) == 1 {
		return nil
	}
	keys, err := v.openSecrets(*p, v.config.Now())
	v.keys, v.keysFor = keys, p.Secret.Sealed
	return err
}

// stateOf is everybody who takes part in a network, not older than n is.
func (s *Service) stateOf(ctx context.Context, n *Network) (State, error) {
	state, err := s.recent(ctx, n.ID)
	if err == nil && state.Revision < n.Revision {
		s.states.Forget(string(n.ID))
		state, err = s.recent(ctx, n.ID)
	}
	return state, err
}

// try makes one attempt within its deadline.
func (v *visit) try(ctx context.Context, to target, p parcel) sent {
	timeout := v.config.AttemptTimeout
	if to.way == toEntity {
		timeout = v.config.ChatTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return v.send(ctx, to, p)
}

// judge notes what became of a job, and tells whether the next one may be done now.
func (v *visit) judge(ctx context.Context, job *Job, to target, state *State, r sent) (next bool, err error) {
	switch {
	case !r.ok() && ctx.Err() != nil:
		v.due = v.config.Now() // broken off: it says nothing about the receiver
		return false, nil
	case r.ours():
		return false, r.err
	}
	if v.config.Ended != nil {
		v.config.Ended(Push, r.ok())
	}
	o := Outcome{Attempts: job.Attempts + 1, Status: r.Status}
	if r.ok() {
		if to.way == toEntity {
			if err := v.answer(ctx, job, state, r.Body); err != nil {
				return false, v.ours(ctx, err)
			}
		}
		o.Ending, v.failing = Succeeded, false
		v.note(job, o, r.log)
		return true, nil
	}
	o.Error, v.failing = r.fail().text, true
	if o.Ending = Retried; o.Attempts >= v.config.Attempts || r.err == nil && r.Status == 410 {
		o.Ending = GivenUp
		v.note(job, o, r.log)
		return true, nil
	}
	v.note(job, o, r.log)
	v.due = v.config.Now().Add(v.backoff(o.Attempts, r))
	return false, nil
}

// note keeps what became of a job until it is written.
func (v *visit) note(job *Job, o Outcome, log *Log) {
	o.Message, o.Seq = job.ID, job.Seq
	if log != nil {
		o.Logs = []Log{*log}
	}
	v.done = append(v.done, o)
	v.last = job.Seq
}

// backoff is how long a delivery waits after n attempts (contract §6.6): what the receiver
// asked for, or doubled with every attempt and up to a fifth shorter or longer.
func (s *Service) backoff(n int, r sent) time.Duration {
	if r.err == nil && (r.Status == 429 || r.Status == 503) && r.RetryAfter > 0 {
		return min(r.RetryAfter, maxBackoff)
	}
	d := s.config.Backoff
	for ; n > 1 && d < maxBackoff; n-- {
		d *= 2
	}
	dice := rand.Float64
	if s.config.Jitter != nil {
		dice = s.config.Jitter
	}
	return time.Duration(float64(min(d, maxBackoff)) * (0.8 + 0.4*dice()))
}

// answer stores what a hosted entity said to a message as its reply, once, however often
// the message is delivered (contract §10.7). Beyond MaxDepth nobody answers any more.
func (v *visit) answer(ctx context.Context, job *Job, state *State, body []byte) error {
	var said struct {
		Content *string `json:"content"`
	}
	depth := job.Depth + 1
	if err := jsonv2.Unmarshal(body, &said); err != nil || said.Content == nil || depth > MaxDepth {
		return nil //nolint:nilerr // Host has checked the body; what it cannot mean is no reply
	}
	to, err := v.participant(ctx, state, job.Sender, "Recipient")
	if fault.As(err) != nil {
		return nil // who asked has left
	}
	if err != nil {
		return err
	}
	now := v.config.Now()
	d := Draft{Once: true, Actor: principal.Actor{Type: "service", ID: principal.Service}, Request: job.Request, Message: Message{
		ID: replyID(job.ID), Network: job.Network, Sender: job.Recipient, Recipient: job.Sender, Channel: Push, Content: storable(*said.Content),
		Metadata:  []byte(`{"auto_reply":true,"depth":` + strconv.Itoa(depth) + `}`),
		InReplyTo: job.ID, Status: Pending, Depth: depth, Created: now, Updated: now}}
	if d.Queue, err = v.reachable(ctx, to); err != nil {
		return err
	}
	m, err := v.config.Store.Post(ctx, d)
	if _, err = v.posted(d, m, err); err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("store the reply of an entity: %w", err)
	}
	return nil
}

// replyID is the id of the automatic reply to a message: always the same one, and as
// little to be guessed as the message's own.
func replyID(m id.NetworkMessage) id.NetworkMessage {
	sum := sha256.Sum256([]byte("intuno/auto-reply/" + string(m)))
	b := [16]byte(sum[:16])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // UUIDv4 (RFC 9562 §5.4)
	return id.OfBytes[id.NetworkMessage](b)
}

// giveBack writes what came of the turn, also when the process stops. Whoever finds the
// lane due then may be this process: it looks once more.
func (v *visit) giveBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	s := Settlement{Lane: v.lane, At: v.config.Now(), Done: v.done, Due: v.due, Failing: v.failing}
	var err error
	for n := range settleTry {
		if err = v.config.Store.Settle(ctx, s); err == nil {
			v.wake()
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(n) * 200 * time.Millisecond):
		}
	}
	return fmt.Errorf("keep what came of deliveries: %w", err)
}
