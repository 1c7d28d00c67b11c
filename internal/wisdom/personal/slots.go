package personal

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// keyLife is how long an Idempotency-Key is remembered (contract §1.6).
const keyLife = 24 * time.Hour

// auditEvery is how often the host is asked for an entity that nothing puts in
// doubt. It frees a slot whose entity went away unseen, so that a user is never
// refused for good.
const auditEvery = 24 * time.Hour

// maxKeys bounds the keys of one slot; the oldest are forgotten first.
const maxKeys = 32

// State is what is known about the entity of a slot.
type State string

const (
	Reserved  State = "reserved"  // never seen; exists only if a create in flight makes it
	Confirmed State = "confirmed" // seen, and nothing since then could have removed it unnoticed
	Unknown   State = "unknown"   // in doubt: the settler asks the host
)

// Slot is one unit of a user's entity quota, taken for one name.
type Slot struct {
	Name    string
	State   State
	Version int64 // the stamp of the latest create that joined; unique per user for ever
	Epoch   int64 // the stamp since which Holders is counted
	Holders int   // creates that joined in this epoch and whose outcome is not known
	Keys    []Key
	// SettleAt is when the settler asks the host. While creates or deletes leave the
	// slot in doubt it is never earlier than Config.Settle after the latest of them
	// began, when none can still take effect.
	SettleAt time.Time
	Created  time.Time
}

// Key is an Idempotency-Key under which a create joined a slot.
type Key struct {
	Digest string    `json:"d"` // hex SHA-256
	At     time.Time `json:"at"`
}

// settled reports whether nothing about the slot is in doubt.
func (s *Slot) settled() bool { return s.State == Confirmed && s.Holders == 0 }

// rest puts a settled slot to rest until the next audit.
func (s *Slot) rest(at time.Time) {
	if s.settled() {
		s.SettleAt = at.Add(auditEvery)
	}
}

// await keeps the settler away until a request that begins now is dead. SettleAt
// changes in any case, which voids what a settler is just asking: see looked.
func (s *Slot) await(at time.Time, settle time.Duration) {
	due := at.Add(settle)
	if !s.settled() && due.Before(s.SettleAt) {
		due = s.SettleAt
	}
	if due.Equal(s.SettleAt) {
		due = due.Add(time.Microsecond)
	}
	s.SettleAt = due
}

// Book is everything that is known about one user's slots, as one transaction sees it.
type Book struct {
	Plan  string
	Stamp int64 // greater than that of every earlier change of this user's slots
	Slots []Slot
}

// Change is what a transaction does to the book: nothing, or one of the two.
type Change struct {
	Put  *Slot  // insert or replace the slot of that name
	Drop string // remove the slot of this name
}

func (b *Book) slot(name string) (Slot, bool) {
	i := slices.IndexFunc(b.Slots, func(s Slot) bool { return s.Name == name })
	if i < 0 {
		return Slot{}, false
	}
	s := b.Slots[i]
	s.Keys = slices.Clone(s.Keys)
	return s, true
}

// ticket is a create's share in a slot, until its outcome is known.
type ticket struct {
	name     string
	epoch    int64
	digest   string // of the key that this create brought first; "" if none
	reserved time.Time
}

// reserve takes a share in a slot for a create of name, or refuses. at is the time
// of the transaction, limit the plan's cap.
func reserve(b Book, name, once string, at time.Time, settle time.Duration, limit int) (Change, ticket, error) {
	t := ticket{name: name, reserved: at}
	known := "" // the name that this key created before
	if once != "" {
		sum := sha256.Sum256([]byte(once))
		t.digest = hex.EncodeToString(sum[:])
		known = b.keyed(t.digest, at)
	}
	switch {
	case known == name:
		t.digest = ""
	case known != "":
		return Change{}, t, fault.New(fault.Invalid, "idempotency_key_reused", "This Idempotency-Key was used for another request")
	case len(b.Slots) >= limit:
		return Change{}, t, fault.New(fault.RateLimited, "entity_quota_exceeded", "Entity limit reached for your plan").
			With("limit", limit).With("used", len(b.Slots))
	}
	s, ok := b.slot(name)
	if !ok {
		s = Slot{Name: name, State: Reserved, Epoch: b.Stamp, Created: at}
	}
	s.await(at, settle)
	s.Version = b.Stamp
	s.Holders++
	if t.digest != "" {
		s.Keys = append(s.Keys, Key{Digest: t.digest, At: at})
		s.Keys = s.Keys[max(0, len(s.Keys)-maxKeys):]
	}
	t.epoch = s.Epoch
	return Change{Put: &s}, t, nil
}

// keyed returns the name of the slot that a key less than a day old belongs to.
func (b *Book) keyed(digest string, at time.Time) string {
	for _, s := range b.Slots {
		for _, k := range s.Keys {
			if k.Digest == digest && at.Sub(k.At) < keyLife {
				return s.Name
			}
		}
	}
	return ""
}

// created settles a create that the host answered with its entity.
func created(b Book, t ticket, at time.Time) Change {
	s, ok := b.slot(t.name)
	if !ok {
		return seen(b, t.name, at)
	}
	if s.Epoch != t.epoch {
		return Change{} // the settler gave this create up and has looked since
	}
	s.Holders--
	if s.State == Reserved {
		s.State = Confirmed
	}
	s.rest(at)
	return Change{Put: &s}
}

// refused settles a create that certainly made nothing.
func refused(b Book, t ticket, at time.Time) Change {
	s, ok := b.slot(t.name)
	if !ok || s.Epoch != t.epoch {
		return Change{}
	}
	s.Holders--
	if s.State == Reserved && s.Holders == 0 {
		return Change{Drop: s.Name}
	}
	s.Keys = slices.DeleteFunc(s.Keys, func(k Key) bool { return k.Digest == t.digest })
	s.rest(at)
	return Change{Put: &s}
}

// watch is what was known about a name before the host was asked.
type watch struct {
	name    string
	version int64
	clear   bool      // a slot, and no create in flight
	lease   time.Time // the settler's claim
}

func watchOf(s Slot) watch {
	return watch{name: s.Name, version: s.Version, clear: s.Holders == 0, lease: s.SettleAt}
}

// deleting puts the slot in doubt before a delete is sent, so that the settler looks
// after a delete whose end nobody sees.
func deleting(b Book, name string, at time.Time, settle time.Duration) (Change, watch) {
	c := doubted(b, name, at, settle)
	if c.Put == nil {
		return c, watch{name: name}
	}
	return c, watchOf(*c.Put)
}

// doubted puts a slot in doubt because of a delete that may have taken effect or
// may still do so.
func doubted(b Book, name string, at time.Time, settle time.Duration) Change {
	s, ok := b.slot(name)
	if !ok {
		return Change{}
	}
	s.await(at, settle)
	s.State = Unknown
	return Change{Put: &s}
}

// gone settles a name that the host did not have at some moment after w was made.
// If no create was in flight then, and none has joined since, the entity cannot
// exist and the slot is free. Otherwise it stays, in doubt.
func gone(b Book, w watch) Change {
	s, ok := b.slot(w.name)
	if ok && w.clear && s.Version == w.version && s.Holders == 0 {
		return Change{Drop: s.Name}
	}
	return Change{}
}

// deleted is gone for a delete: a slot that cannot be freed stays in doubt.
func deleted(b Book, w watch, at time.Time, settle time.Duration) Change {
	if c := gone(b, w); c.Drop != "" {
		return c
	}
	return doubted(b, w.name, at, settle)
}

// seen gives an entity that exists without a slot one, above the cap if need be. The
// answer that showed it may be old, so the settler verifies it at once.
func seen(b Book, name string, at time.Time) Change {
	if _, ok := b.slot(name); ok {
		return Change{}
	}
	return Change{Put: &Slot{Name: name, State: Unknown, Version: b.Stamp, Epoch: b.Stamp, SettleAt: at, Created: at}}
}

// looked settles a slot that was due (see Slot.SettleAt) when w was made, after the
// host said whether it has the entity. A create that joined in between voids it; a
// delete that began, or a claim that ran out, voids the good news.
func looked(b Book, w watch, found bool, at time.Time) Change {
	s, ok := b.slot(w.name)
	switch {
	case !ok || s.Version != w.version:
		return Change{}
	case !found:
		return Change{Drop: s.Name}
	case !s.SettleAt.Equal(w.lease):
		return Change{}
	}
	s.State, s.Holders, s.Epoch = Confirmed, 0, b.Stamp
	s.rest(at)
	return Change{Put: &s}
}
