package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/underway"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// defaultTimeout leaves a client with a timeout of 30 s time for the answer.
const defaultTimeout = 25 * time.Second

// writeTime bounds what must be written although the caller may have left.
const writeTime = 10 * time.Second

// Config is what a Service needs.
type Config struct {
	Store    Store
	Callees  Callees
	Platform Platform
	URLs     URLs

	HTTP   Target // plain agents
	Events Target // agents that stream, if a stream is wanted
	A2A    Target // imported agents
	Hosted Target // entities of the private host

	Now     clock.Now
	Timeout time.Duration  // of an invocation in all; 0: 25 s
	Jitter  func() float64 // in [0,1), of the wait before a retry; nil: random

	// Ended is told how every attempt ended that left a row; "" is a success. Nil: nobody is.
	Ended func(kind string, code Code)
}

// mostAtOnce is how many calls of one agent this process has under way. The others wait
// for one of them to end, within their own deadline: an agent that hangs must not use up
// the connections to a host on which others live too.
const mostAtOnce = 128

// Service is the broker. It is safe for concurrent use.
type Service struct {
	config   Config
	underway underway.Calls
	slots    *underway.Slots[id.Agent]
}

// New returns a Service.
func New(c Config) *Service {
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	return &Service{config: c, slots: underway.NewSlots[id.Agent](mostAtOnce)}
}

// Invoke calls an agent for p's user and returns what came of it: refusals and failures
// are results. The call goes on when ctx ends, to its own deadline, so that what the
// agent has done is recorded.
//
// Faults: 503 platform_halted.
func (s *Service) Invoke(ctx context.Context, p principal.Principal, r Request) (Result, error) {
	a, err := s.begin(ctx, p, r, KindInvoke)
	if err != nil || a.refused != nil {
		return a.answer(), err
	}
	return s.run(context.WithoutCancel(ctx), a, s.target(&a, false), nil)
}

// attempt is one request on its way through the pipeline of contract §5.2.
type attempt struct {
	p       principal.Principal
	r       Request
	kind    string
	id      id.Invocation
	began   time.Time        // the call
	agent   *registry.Callee // nil: there is none that the user may see
	thread  Thread
	limits  Limits
	opening Opening
	refused *Result // nil: it is not
}

// answer is the refusal, for those who have one.
func (a *attempt) answer() Result {
	if a.refused == nil {
		return Result{}
	}
	return *a.refused
}

// begin does everything that comes before the call: the checks, and then what is
// written. A refusal is logged if there is an agent; then the attempt is over.
func (s *Service) begin(ctx context.Context, p principal.Principal, r Request, kind string) (a attempt, err error) {
	a = attempt{p: p, r: r, kind: kind, id: id.New[id.Invocation]()}
	if err := s.config.Platform.Running(ctx); err != nil {
		return a, err
	}
	if a.agent, err = s.agent(ctx, p.User, r.Agent); err != nil {
		return a, err
	}
	code, err := s.check(ctx, &a)
	if err == nil && code == "" {
		code, err = s.open(ctx, &a)
	}
	if err != nil || code == "" {
		return a, err
	}
	refusal := failure(code) // without a latency: there was no call, and its answer tells nothing about what exists
	if a.agent == nil {
		a.refused = &refusal
		return a, nil
	}
	refusal, err = s.close(ctx, &a, refusal, Reply{}, false)
	a.refused = &refusal
	return a, err
}

// agent finds the agent to be called; nil if there is none that viewer may see.
func (s *Service) agent(ctx context.Context, viewer id.User, slug string) (*registry.Callee, error) {
	found, err := s.config.Callees.Callee(ctx, viewer, slug)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find an agent: %w", err)
	}
	return &found, nil
}

// check is rows 2 to 10 of contract §5.2, the first fault wins. Nothing is written.
func (s *Service) check(ctx context.Context, a *attempt) (Code, error) {
	code, err := s.checkThread(ctx, a)
	if err != nil || code != "" {
		return code, err
	}
	if a.agent == nil || !a.agent.Active {
		return AgentNotFound, nil
	}
	if a.p.Integration != "" {
		if a.limits, err = s.config.Store.Limits(ctx, a.p.User, a.p.Integration); err != nil {
			return "", fmt.Errorf("read the limits of an integration: %w", err)
		}
	}
	if len(a.limits.Allowed) > 0 && !slices.Contains(a.limits.Allowed, a.agent.ID) {
		return AgentNotAllowed, nil
	}
	code = s.checkCall(a)
	if code == "" || a.limits.Monthly == nil && a.limits.Daily == nil {
		return code, nil // Open counts and decides
	}
	over, err := s.config.Store.OverQuota(ctx, a.p.User, a.p.Integration, a.limits.Monthly, a.limits.Daily, s.config.Now())
	if err != nil {
		return "", fmt.Errorf("read the quota of an integration: %w", err)
	}
	if over {
		return QuotaExceeded, nil
	}
	return code, nil
}

// checkThread is rows 2 to 4: the conversation and the message.
func (s *Service) checkThread(ctx context.Context, a *attempt) (Code, error) {
	if a.r.Conversation == "" {
		if a.r.Message != "" {
			return MessageNotFound, nil // it is in no conversation that was named
		}
		return "", nil
	}
	var agent id.Agent
	if a.agent != nil {
		agent = a.agent.ID
	}
	var err error
	a.thread, err = s.config.Store.Thread(ctx, a.p.User, a.r.Conversation, a.r.Message, agent)
	switch {
	case fault.Is(err, fault.NotFound):
		return ConversationNotFound, nil
	case err != nil:
		return "", fmt.Errorf("read a conversation: %w", err)
	case a.p.Integration != "" && a.thread.Integration != a.p.Integration:
		return IntegrationMismatch, nil
	case a.r.Message != "" && !a.thread.HasMessage:
		return MessageNotFound, nil
	}
	return "", nil
}

// checkCall is rows 8 to 10: what would keep the call from being made.
//
// p.Depth is the depth of the turn that the request comes from, so this invocation is
// one deeper: the eighth inside one another is the last.
func (s *Service) checkCall(a *attempt) Code {
	switch {
	case a.p.Depth+1 > MaxDepth:
		return DepthExceeded
	case a.agent.HostedEntity != nil:
		return "" // reached through the host alone: no address, no credential
	case a.agent.Endpoint == nil || s.config.URLs.Admit(*a.agent.Endpoint) != nil:
		return UnsafeURL
	case a.agent.AuthType != registry.AuthPublic && a.agent.Credential == nil:
		return CredentialMissing
	}
	return ""
}

// open is rows 7 and 11: it counts, and writes the conversation and the user's message.
// From here on the caller's leaving stops nothing.
func (s *Service) open(ctx context.Context, a *attempt) (Code, error) {
	a.opening = Opening{User: a.p.User, Integration: a.p.Integration, Conversation: a.r.Conversation, ExternalUser: a.r.ExternalUser,
		Monthly: a.limits.Monthly, Daily: a.limits.Daily, At: s.config.Now(), ExternalUserBefore: a.thread.ExternalUser}
	if a.opening.Conversation == "" {
		a.opening.Conversation, a.opening.New = id.New[id.Conversation](), true
	}
	if a.r.Message == "" {
		a.opening.Message = id.New[id.Message]()
		a.opening.Content, a.opening.Metadata = storable(Text(a.r.Input)), a.r.Input
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	within, err := s.config.Store.Open(ctx, a.opening)
	switch {
	case fault.Is(err, fault.NotFound) && a.opening.New:
		return IntegrationMismatch, nil // it was deleted this moment, with its keys
	case fault.Is(err, fault.NotFound):
		return ConversationNotFound, nil
	case err != nil:
		return "", fmt.Errorf("open an invocation: %w", err)
	case !within:
		return QuotaExceeded, nil
	}
	return "", nil
}

// Cut ends every call that is under way, and those that begin from now on, as if its time
// were over: the process is about to stop, and their callers and the log shall still hear
// of it. It does not wait.
func (s *Service) Cut() { s.underway.Cut() }

// target picks how the agent is reached.
func (s *Service) target(a *attempt, stream bool) Target {
	switch {
	case a.agent.HostedEntity != nil:
		return s.config.Hosted
	case a.agent.Dialect != "":
		return s.config.A2A
	case stream:
		return s.config.Events
	}
	return s.config.HTTP
}

// run is row 12: the call, and what is written after it. It ends with ctx, for streams.
// emit is nil if no stream is wanted.
func (s *Service) run(ctx context.Context, a attempt, t Target, emit func([]byte) error) (Result, error) {
	a.began = s.config.Now()
	timeout := streamTime
	if emit == nil {
		timeout = min(cmp.Or(a.limits.Timeout, s.config.Timeout), s.config.Timeout)
	}
	noted, leave := s.underway.Enter(ctx)
	defer leave()
	calling, cancel := context.WithTimeout(noted, timeout)
	defer cancel()
	reply, result, counts := s.send(calling, &a, t, emit, timeout)
	if !result.Success && errors.Is(context.Cause(calling), underway.ErrCut) {
		reply, result = Reply{}, failure(AgentTimeout)
	}
	result.Latency = s.config.Now().Sub(a.began)
	return s.close(ctx, &a, result, reply, counts)
}

// send calls the agent, and calls again where the integration and contract §5.4 say so
// and the deadline leaves time. counts tells whether any attempt reached the agent.
func (s *Service) send(ctx context.Context, a *attempt, t Target, emit func([]byte) error, timeout time.Duration) (reply Reply, result Result, counts bool) {
	c := Call{ID: a.id, RequestID: a.p.Request, Caller: a.p.User, Depth: a.p.Depth + 1, Agent: a.agent.Agent, Credential: a.agent.Credential,
		Input: a.r.Input, Stream: emit != nil, Context: a.thread.Context}
	release, free := s.slots.Take(ctx, c.Agent.ID)
	if !free {
		return Reply{}, resultOf(Reply{}, ctx.Err()), false
	}
	defer release()
	chunks := 0
	if emit != nil {
		take := emit
		emit = func(chunk []byte) error { chunks++; return take(chunk) }
	}
	for try := 1; ; try++ {
		var err error
		reply, err = t.Send(ctx, c, emit)
		result = resultOf(reply, err)
		counts = counts || reached(result.Code)
		if try > a.limits.MaxRetries || !worthAnother(result) || chunks > 0 {
			return reply, result, counts
		}
		wait := a.limits.Backoff.Seconds() * float64(try) * (0.5 + s.config.Jitter())
		left := timeout - s.config.Now().Sub(a.began)
		if wait >= left.Seconds() || !sleep(ctx, time.Duration(wait*float64(time.Second))) {
			return reply, result, counts
		}
	}
}

// sleep reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// close writes the log row and, after a success that says something, the message of the
// assistant. Refusals show no conversation; a refusal by the dial, which comes after
// open, takes back what open has written.
func (s *Service) close(ctx context.Context, a *attempt, result Result, reply Reply, counts bool) (Result, error) {
	refused := result.Code.refusal()
	result.Invocation = a.id
	e := Ending{Reached: counts, Context: reply.Context, Log: Log{
		ID: a.id, Kind: a.kind, Caller: a.p.User, Actor: a.p.Actor(), Agent: a.agent.ID, AgentOwner: a.agent.Owner,
		Slug: a.agent.Slug, Name: a.agent.Name,
		Success: result.Success, Refused: refused, Status: result.Status, LatencyMS: result.Latency.Milliseconds(), Code: result.Code,
		Integration: a.p.Integration, Request: a.r.Input, RequestID: a.p.Request, At: s.config.Now(),
	}}
	if refused {
		e.Reached, e.Context = false, ""
		if result.Code == UnsafeURL && a.opening.Conversation != "" {
			e.Undo = &a.opening
		}
	} else {
		result.Conversation = a.opening.Conversation
		e.Log.Conversation, e.Log.Message = a.opening.Conversation, cmp.Or(a.r.Message, a.opening.Message)
		if !e.Log.At.After(a.opening.At) {
			e.Log.At = a.opening.At.Add(time.Microsecond) // an answer is listed behind its question
		}
	}
	if result.Success {
		e.Log.Response = result.Data
		if string(result.Data) != string(emptyObject) {
			e.Message, e.Content, e.Metadata = id.New[id.Message](), storable(cmp.Or(reply.Text, Text(result.Data))), result.Data
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	if err := s.config.Store.Close(ctx, e); err != nil {
		return Result{}, errors.Join(errUnrecorded, err)
	}
	if s.config.Ended != nil {
		s.config.Ended(a.kind, result.Code)
	}
	return result, nil
}

var errUnrecorded = errors.New("an invocation could not be recorded")
