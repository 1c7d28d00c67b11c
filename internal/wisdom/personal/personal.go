package personal

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/queue"
)

// Store keeps slots and counters. A closure given to it may run more than once,
// and then the last run counts.
type Store interface {
	// ChangeSlots runs change on the user's book and applies what it returns, in one
	// transaction that is serialised with every other change of that user, on every
	// node. An error of change changes nothing and comes back. An unknown user is
	// fault.NotFound.
	ChangeSlots(ctx context.Context, user id.User, change func(Book) (Change, error)) error
	// Slots returns the user's slots as last committed.
	Slots(ctx context.Context, user id.User) ([]Slot, error)
	// ClaimSlots returns at most limit slots of any user whose SettleAt is not after
	// now, and sets their SettleAt to lease. No two callers get the same one.
	ClaimSlots(ctx context.Context, now, lease time.Time, limit int) ([]Claim, error)
	// ChangeCounters is ChangeSlots for the user's message counters.
	ChangeCounters(ctx context.Context, user id.User, change func(plan string, c Counters) (Counters, error)) error
	// Counters returns the user's plan and message counters as last committed.
	Counters(ctx context.Context, user id.User) (plan string, c Counters, err error)
}

// Claim is a slot that the settler took for a while.
type Claim struct {
	User id.User
	Slot Slot
}

// Config is the policy of the tier. Limits, Store, Host and Log are required.
type Config struct {
	Free, Pro Limits
	// Timeout is how long the host may take to answer a create: Host gives up
	// then. 0 means a third of Settle.
	Timeout time.Duration
	// Settle is the age at which no create or delete can still take effect: longer
	// than Timeout, with room for a host that finishes what its client gave up. 0
	// means 90 s (contract §9.4).
	Settle time.Duration
	Store  Store
	Host   Host
	Log    *slog.Logger
	Now    clock.Now // nil: the system's
}

// Service is the Personal tier. It is safe for concurrent use.
type Service struct {
	Config
	known   *otter.Cache[place, time.Time] // entities whose slot was seen, and when
	turns   turns
	settler *queue.Queue[Claim]
}

// place is a name of a user.
type place struct {
	user id.User
	name string
}

const (
	knownFor      = time.Minute // how long a slot is taken for granted when its entity is seen
	knownMost     = 100_000     // entities, about 20 MB
	longestChange = 10 * time.Second
)

// New returns the tier. Its settler is started by Run.
func New(c Config) (*Service, error) {
	if c.Settle == 0 {
		c.Settle = 90 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = c.Settle / 3
	}
	if c.Timeout >= c.Settle {
		return nil, fmt.Errorf("slots settle after %v, which must be longer than the host's %v", c.Settle, c.Timeout)
	}
	if c.Now == nil {
		c.Now = clock.System
	}
	// The time is kept as a value, not as the cache's expiry: that would need a
	// goroutine and read another clock.
	known, err := otter.New(&otter.Options[place, time.Time]{MaximumSize: knownMost})
	if err != nil {
		return nil, fmt.Errorf("make cache of known entities: %w", err)
	}
	s := &Service{Config: c, known: known}
	s.settler = s.newSettler()
	return s, nil
}

func (c *Config) limits(plan string) Limits {
	if plan == "pro" {
		return c.Pro
	}
	return c.Free
}

// Usage returns what the user has used, from slots and counters only.
func (s *Service) Usage(ctx context.Context, p principal.Principal) (Usage, error) {
	plan, c, err := s.Store.Counters(ctx, p.User)
	if err != nil {
		return Usage{}, fmt.Errorf("read usage: %w", err)
	}
	slots, err := s.Store.Slots(ctx, p.User)
	if err != nil {
		return Usage{}, fmt.Errorf("read usage: %w", err)
	}
	c = c.current(s.Now())
	return Usage{Plan: plan, Limits: s.limits(plan), Entities: len(slots), Messages: c.InMonth, ResetsAt: c.resets()}, nil
}

// Create makes an entity from a JSON object, if the user's plan has a slot left.
// once is the client's Idempotency-Key, "" for none.
func (s *Service) Create(ctx context.Context, p principal.Principal, body []byte, once string) (Answer, error) {
	name, err := nameIn(body)
	if err != nil {
		return Answer{}, err
	}
	// From here on the client may leave: a create without a known end would block
	// its slot until it is settled.
	ctx = context.WithoutCancel(ctx)
	t, err := s.take(ctx, p.User, name, once)
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	if s.Now().Sub(t.reserved) > (s.Settle-s.Timeout)/2 {
		// This process stood still. A request that leaves now could outlive the slot.
		err = unusable(fmt.Errorf("%w: reserved too long ago", ErrNothingDone))
	} else {
		a, err = s.Host.Do(ctx, s.call(p, Call{Op: CreateEntity, Once: once, Body: body}))
	}
	switch {
	case err != nil && NothingDone(err):
		s.after(ctx, p.User, func(b Book) Change { return refused(b, t, s.Now()) })
		return Answer{}, err
	case err != nil:
		return Answer{}, err // the slot is held until the settler has asked
	case !a.Owned || a.Owner != string(p.User):
		s.foreign(ctx, p, CreateEntity, name)
		return Answer{}, unusable(fmt.Errorf("the created entity %s has another owner", name))
	}
	s.after(ctx, p.User, func(b Book) Change { return created(b, t, s.Now()) })
	s.known.Set(place{p.User, name}, s.Now())
	return a, nil
}

// take reserves a slot.
func (s *Service) take(ctx context.Context, user id.User, name, once string) (ticket, error) {
	var t ticket
	err := s.change(ctx, user, func(b Book) (c Change, err error) {
		c, t, err = reserve(b, name, once, s.Now(), s.Settle, s.limits(b.Plan).Entities)
		return c, err
	})
	if err != nil {
		return t, fmt.Errorf("reserve entity slot: %w", err)
	}
	return t, nil
}

// nameIn returns the name member of a JSON object.
func nameIn(body []byte) (string, error) {
	var members map[string]json.RawMessage // a map, because struct fields match in any case
	if err := json.Unmarshal(body, &members); err != nil {
		return "", fault.InvalidField("object_type", "must be a JSON object", "body")
	}
	raw, ok := members["name"]
	if !ok {
		return "", fault.InvalidField("missing", "is required", "body", "name")
	}
	var name *string
	if err := json.Unmarshal(raw, &name); err != nil || name == nil {
		return "", fault.InvalidField("string_type", "must be a string", "body", "name")
	}
	if !ValidName(*name) {
		const pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"
		problem := fault.Problem{Type: "string_pattern_mismatch", Loc: []any{"body", "name"}, Msg: "must match " + pattern,
			Ctx: map[string]any{"pattern": pattern}}
		if len(raw) <= 200 {
			problem.Input = *name
		}
		return "", fault.Problems(problem)
	}
	return *name, nil
}

// List returns the user's entities. Those of anybody else are dropped.
func (s *Service) List(ctx context.Context, p principal.Principal) (Answer, error) {
	a, err := s.list(ctx, p, Call{Op: ListEntities}, true)
	if err != nil {
		return Answer{}, err
	}
	names := make([]string, 0, len(a.Items))
	for _, item := range a.Items {
		if ValidName(item.Name) {
			names = append(names, item.Name)
		}
	}
	s.see(ctx, p.User, names...)
	return a, nil
}

// Get returns one entity.
func (s *Service) Get(ctx context.Context, p principal.Principal, name string) (Answer, error) {
	return s.entity(ctx, p, Call{Op: GetEntity, Name: name})
}

// Patch changes an entity. An empty object is a fault; so is an entity that is not
// the user's, before anything is changed.
func (s *Service) Patch(ctx context.Context, p principal.Principal, name string, body []byte) (Answer, error) {
	if string(body) == "{}" {
		return Answer{}, fault.New(fault.BadRequest, "empty_patch", "Nothing to change")
	}
	if _, err := s.Get(ctx, p, name); err != nil {
		return Answer{}, err
	}
	return s.entity(ctx, p, Call{Op: PatchEntity, Name: name, Body: body})
}

// Pause stops an entity. body is {"reason": …} or nil.
func (s *Service) Pause(ctx context.Context, p principal.Principal, name string, body []byte) (Answer, error) {
	return s.entity(ctx, p, Call{Op: PauseEntity, Name: name, Body: body})
}

// Resume lets an entity work again.
func (s *Service) Resume(ctx context.Context, p principal.Principal, name string) (Answer, error) {
	return s.entity(ctx, p, Call{Op: ResumeEntity, Name: name})
}

// Delete removes an entity, once it is known to be the user's, and frees its slot.
func (s *Service) Delete(ctx context.Context, p principal.Principal, name string) error {
	if _, err := s.Get(ctx, p, name); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	var w watch
	err := s.change(ctx, p.User, func(b Book) (c Change, err error) {
		c, w = deleting(b, name, s.Now(), s.Settle)
		return c, nil
	})
	if err != nil {
		return fmt.Errorf("watch entity slot: %w", err)
	}
	_, err = s.Host.Do(ctx, s.call(p, Call{Op: DeleteEntity, Name: name}))
	switch {
	case err == nil, fault.Is(err, fault.NotFound):
		s.after(ctx, p.User, func(b Book) Change { return deleted(b, w, s.Now(), s.Settle) })
		s.known.Invalidate(place{p.User, name})
	case !NothingDone(err):
		s.after(ctx, p.User, func(b Book) Change { return doubted(b, name, s.Now(), s.Settle) })
	}
	return err
}

// entity makes a call that is answered with an entity.
func (s *Service) entity(ctx context.Context, p principal.Principal, c Call) (Answer, error) {
	a, err := s.do(ctx, p, c)
	if err != nil {
		return Answer{}, err
	}
	if !a.Owned {
		s.foreign(ctx, p, c.Op, c.Name)
		return Answer{}, fault.Missing("Entity")
	}
	s.see(ctx, p.User, c.Name)
	return a, nil
}

// do makes a call about one entity. An answer that carries another owner is a 404.
func (s *Service) do(ctx context.Context, p principal.Principal, c Call) (Answer, error) {
	a, err := s.Host.Do(ctx, s.call(p, c))
	if err != nil {
		return Answer{}, s.missed(ctx, p, c.Name, err)
	}
	if a.Owned && a.Owner != string(p.User) {
		s.foreign(ctx, p, c.Op, c.Name)
		return Answer{}, fault.Missing("Entity")
	}
	return a, nil
}

// list makes a call that is answered with a list, and drops what carries another
// owner; with strict, also what carries none.
func (s *Service) list(ctx context.Context, p principal.Principal, c Call, strict bool) (Answer, error) {
	a, err := s.Host.Do(ctx, s.call(p, c))
	if err != nil {
		return Answer{}, s.missed(ctx, p, c.Name, err)
	}
	kept := a.Items[:0:0]
	for _, item := range a.Items {
		if item.Owned && item.Owner == string(p.User) || !item.Owned && !strict {
			kept = append(kept, item)
			continue
		}
		s.foreign(ctx, p, c.Op, item.Name)
	}
	if len(kept) == len(a.Items) {
		return a, nil
	}
	a.Items, a.JSON = kept, []byte{'['}
	for i, item := range kept {
		if i > 0 {
			a.JSON = append(a.JSON, ',')
		}
		a.JSON = append(a.JSON, item.JSON...)
	}
	a.JSON = append(a.JSON, ']')
	return a, nil
}

// call fills in who asks: always the principal's user, whatever c says.
func (s *Service) call(p principal.Principal, c Call) Call {
	c.User, c.RequestID = p.User, p.Request
	return c
}

// foreign reports an answer that the host should never have given to this user.
func (s *Service) foreign(ctx context.Context, p principal.Principal, op Op, name string) {
	s.Log.ErrorContext(ctx, "the entity host answered with an object of another owner",
		"user", string(p.User), "op", op.String(), "name", name, "request_id", p.Request)
}

// change is ChangeSlots, one at a time for each user of this process: of many
// concurrent requests of one user all but one wait here, not in the database. It
// bounds the time, because many callers have put aside the client's.
func (s *Service) change(ctx context.Context, user id.User, change func(Book) (Change, error)) error {
	ctx, cancel := context.WithTimeout(ctx, longestChange)
	defer cancel()
	leave, err := s.turns.wait(ctx, user)
	if err != nil {
		return err
	}
	defer leave()
	return s.Store.ChangeSlots(ctx, user, change)
}

// after writes down what is known after the host answered. It must not fail the
// request: the host has acted, and the settler finds out what is not written.
func (s *Service) after(ctx context.Context, user id.User, change func(Book) Change) {
	err := s.change(ctx, user, func(b Book) (Change, error) { return change(b), nil })
	if err != nil {
		s.Log.ErrorContext(ctx, "entity slot not written, the settler will", "user", string(user), "error", err)
	}
}

// turns lets the calls of one user through one by one. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	users map[id.User]*turn
}

type turn struct {
	busy    chan struct{} // holds one token while somebody is inside
	waiting int           // who hold or want it; the last one removes the turn
}

// wait returns when no other call of the user is inside; leave must be called.
func (t *turns) wait(ctx context.Context, user id.User) (leave func(), err error) {
	t.mu.Lock()
	if t.users == nil {
		t.users = map[id.User]*turn{}
	}
	u := t.users[user]
	if u == nil {
		u = &turn{busy: make(chan struct{}, 1)}
		t.users[user] = u
	}
	u.waiting++
	t.mu.Unlock()
	forget := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if u.waiting--; u.waiting == 0 {
			delete(t.users, user)
		}
	}
	select {
	case u.busy <- struct{}{}:
		return func() { <-u.busy; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
}
