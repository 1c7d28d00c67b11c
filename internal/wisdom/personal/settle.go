package personal

import (
	"context"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/queue"
)

const (
	settleAtOnce = 4               // slots that the host is asked about at a time
	longestPoll  = 5 * time.Second // how late a due slot is noticed, at most
	longestLease = 45 * time.Second
)

// newSettler returns the queue of slots that are due: ours and those that other nodes left
// behind. A claim that runs out is made again.
func (s *Service) newSettler() *queue.Queue[Claim] {
	work := func(ctx context.Context, c Claim) error {
		s.settle(ctx, c)
		return nil
	}
	return queue.New(queue.Options[Claim]{Name: "entity slots", Claim: s.claimDue, Work: work, Room: settleAtOnce, Batch: settleAtOnce,
		Poll: min(longestPoll, max(s.Settle/10, time.Millisecond)), Log: s.Log})
}

// Run settles slots until ctx ends. Any number of nodes may run it.
func (s *Service) Run(ctx context.Context) error { return s.settler.Run(ctx) }

func (s *Service) claimDue(ctx context.Context, room int) ([]Claim, error) {
	now := s.Now()
	return s.Store.ClaimSlots(ctx, now, now.Add(min(longestLease, s.Settle/2)), room)
}

// settle asks the host for one name. What is neither a yes nor a no is asked again
// when the claim has run out.
func (s *Service) settle(ctx context.Context, c Claim) {
	w := watchOf(c.Slot)
	a, err := s.Host.Do(ctx, Call{Op: GetEntity, User: c.User, Name: c.Slot.Name})
	found := err == nil && a.Owned && a.Owner == string(c.User)
	if !found && !fault.Is(err, fault.NotFound) {
		s.Log.WarnContext(ctx, "entity slot not settled yet", "user", string(c.User), "name", c.Slot.Name, "error", err)
		return
	}
	if !found {
		s.known.Invalidate(place{c.User, c.Slot.Name})
	}
	s.after(ctx, c.User, func(b Book) Change { return looked(b, w, found, s.Now()) })
}

// see makes sure that entities which the host has just shown have slots. A pair that
// was seen in the last minute costs no query.
func (s *Service) see(ctx context.Context, user id.User, names ...string) {
	names = slices.DeleteFunc(names, func(name string) bool {
		at, ok := s.known.GetIfPresent(place{user, name})
		return ok && s.Now().Sub(at) < knownFor
	})
	if len(names) == 0 {
		return
	}
	slots, err := s.Store.Slots(ctx, user)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "entity slots not read", "user", string(user), "error", err)
		}
		return
	}
	for _, name := range names {
		if !slices.ContainsFunc(slots, func(t Slot) bool { return t.Name == name }) {
			s.after(ctx, user, func(b Book) Change { return seen(b, name, s.Now()) })
			s.settler.Wake()
		}
		s.known.Set(place{user, name}, s.Now())
	}
}

// missed looks after the slot of an entity that the host does not have, and returns
// err. The slot is read before the host is asked once more: only then is it certain
// that no create in between is overlooked.
func (s *Service) missed(ctx context.Context, p principal.Principal, name string, err error) error {
	if name == "" || !fault.Is(err, fault.NotFound) {
		return err
	}
	slots, storeErr := s.Store.Slots(ctx, p.User)
	i := slices.IndexFunc(slots, func(t Slot) bool { return t.Name == name })
	if storeErr != nil || i < 0 || slots[i].Holders > 0 {
		return err
	}
	w := watchOf(slots[i])
	_, again := s.Host.Do(ctx, s.call(p, Call{Op: GetEntity, Name: name}))
	if fault.Is(again, fault.NotFound) {
		s.known.Invalidate(place{p.User, name})
		s.after(ctx, p.User, func(b Book) Change { return gone(b, w) })
	}
	return err
}
