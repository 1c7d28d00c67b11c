package personal

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// ledger applies changes of one user's slots one after the other, as the store does.
type ledger struct {
	t    *testing.T
	book Book
	now  time.Time
}

const testSettle = 90 * time.Second

func newLedger(t *testing.T) *ledger {
	return &ledger{t: t, book: Book{Stamp: 1}, now: time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)}
}

func (l *ledger) apply(c Change) {
	l.book.Slots = slices.DeleteFunc(l.book.Slots, func(s Slot) bool {
		return s.Name == c.Drop || c.Put != nil && s.Name == c.Put.Name
	})
	if c.Put != nil {
		l.book.Slots = append(l.book.Slots, *c.Put)
	}
	l.book.Stamp++
}

func (l *ledger) reserve(name string) ticket {
	l.t.Helper()
	c, t, err := reserve(l.book, name, "", l.now, testSettle, 9)
	if err != nil {
		l.t.Fatal(err)
	}
	l.apply(c)
	return t
}

func (l *ledger) delete(name string) watch {
	c, w := deleting(l.book, name, l.now, testSettle)
	l.apply(c)
	return w
}

func (l *ledger) want(name, state string, due time.Duration) {
	l.t.Helper()
	s, ok := l.book.slot(name)
	got := "free"
	if ok {
		got = fmt.Sprintf("%s:%d", s.State, s.Holders)
	}
	if got != state {
		l.t.Errorf("got %s %s, want %s", name, got, state)
	}
	if in := s.SettleAt.Sub(l.now); ok && in.Round(time.Millisecond) != due {
		l.t.Errorf("%s is due in %v, want %v", name, in, due)
	}
}

// created returns the ledger with a confirmed entity.
func withAria(t *testing.T) *ledger {
	l := newLedger(t)
	l.apply(created(l.book, l.reserve("aria"), l.now))
	l.want("aria", "confirmed:0", auditEvery)
	return l
}

func TestACreateDoesNotConfirmWhatADeleteMayHaveUndone(t *testing.T) {
	l := newLedger(t)
	share := l.reserve("aria")
	w := l.delete("aria")
	l.apply(deleted(l.book, w, l.now, testSettle)) // the host made it, then deleted it
	l.want("aria", "unknown:1", testSettle)
	l.apply(created(l.book, share, l.now)) // and its first answer arrives last
	l.want("aria", "unknown:0", testSettle)
}

func TestADeleteVoidsTheSettlersYes(t *testing.T) {
	l := withAria(t)
	s, _ := l.book.slot("aria")
	asked := watchOf(s)
	l.delete("aria")
	l.apply(looked(l.book, asked, true, l.now))
	l.want("aria", "unknown:0", testSettle)
	l.apply(looked(l.book, asked, false, l.now)) // a no stays true
	l.want("aria", "free", 0)
}

func TestACreateVoidsTheSettlersAnswer(t *testing.T) {
	for _, found := range []bool{true, false} {
		l := withAria(t)
		s, _ := l.book.slot("aria")
		asked := watchOf(s)
		l.reserve("aria")
		l.apply(looked(l.book, asked, found, l.now))
		l.want("aria", "confirmed:1", testSettle)
	}
}

func TestTwoDeletesFreeOneSlotOnce(t *testing.T) {
	l := withAria(t)
	first, second := l.delete("aria"), l.delete("aria")
	l.apply(deleted(l.book, first, l.now, testSettle))
	l.want("aria", "free", 0)
	l.apply(deleted(l.book, second, l.now, testSettle))
	l.want("aria", "free", 0)
}

func TestADeleteDoesNotFreeTheSlotOfALaterCreate(t *testing.T) {
	l := withAria(t)
	first, second := l.delete("aria"), l.delete("aria")
	l.apply(deleted(l.book, first, l.now, testSettle))
	share := l.reserve("aria")
	l.apply(created(l.book, share, l.now))
	l.apply(deleted(l.book, second, l.now, testSettle)) // its effect: before or after?
	l.want("aria", "unknown:0", testSettle)
	l.apply(gone(l.book, second))
	l.want("aria", "unknown:0", testSettle)
}

func TestTheLastRefusedShareFreesAReservedSlotOnly(t *testing.T) {
	l := newLedger(t)
	first, second := l.reserve("aria"), l.reserve("aria")
	l.apply(refused(l.book, first, l.now))
	l.want("aria", "reserved:1", testSettle)
	l.apply(created(l.book, second, l.now))
	l.want("aria", "confirmed:0", auditEvery)
	l.apply(refused(l.book, l.reserve("aria"), l.now))
	l.want("aria", "confirmed:0", auditEvery)
	l.apply(refused(l.book, l.reserve("bob"), l.now))
	l.want("bob", "free", 0)
}

func TestAShareOfAnotherEpochCountsForNothing(t *testing.T) {
	l := newLedger(t)
	late := l.reserve("aria")
	s, _ := l.book.slot("aria")
	l.apply(looked(l.book, watchOf(s), true, l.now))
	l.reserve("aria")
	l.apply(refused(l.book, late, l.now))
	l.want("aria", "confirmed:1", testSettle)
	l.apply(created(l.book, late, l.now))
	l.want("aria", "confirmed:1", testSettle)
}

func TestWaitingNeverEndsEarlierAndAlwaysChanges(t *testing.T) {
	l := withAria(t)
	l.delete("aria")
	before, _ := l.book.slot("aria")
	l.delete("aria") // in the same microsecond
	after, _ := l.book.slot("aria")
	if got := after.SettleAt.Sub(before.SettleAt); got != time.Microsecond {
		t.Errorf("same time: due %v later, want a microsecond", got)
	}
	l.now = l.now.Add(-time.Minute) // a node whose clock is behind
	l.delete("aria")
	behind, _ := l.book.slot("aria")
	if !behind.SettleAt.After(after.SettleAt) && !behind.SettleAt.Equal(after.SettleAt) {
		t.Errorf("a clock that is behind made it due %v earlier", after.SettleAt.Sub(behind.SettleAt))
	}
}

func TestASlotRemembersABoundedNumberOfKeys(t *testing.T) {
	l := newLedger(t)
	for i := range 3 * maxKeys {
		c, _, err := reserve(l.book, "aria", fmt.Sprint(i), l.now, testSettle, 9)
		if err != nil {
			t.Fatal(err)
		}
		l.apply(c)
	}
	s, _ := l.book.slot("aria")
	if _, _, err := reserve(l.book, "bob", fmt.Sprint(3*maxKeys-1), l.now, testSettle, 9); len(s.Keys) != maxKeys || err == nil {
		t.Errorf("got %d keys, %v for the newest, want %d and that it is known", len(s.Keys), err, maxKeys)
	}
}
