package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

// twoNodes returns two stores on one new database: two connections pools, as two
// processes have. On SQLite, which one process owns, they are the same.
func twoNodes(t *testing.T, url string) [2]*store.Store {
	t.Helper()
	first, _ := authStore(t, url)
	if strings.HasPrefix(url, "sqlite:") {
		return [2]*store.Store{first, first}
	}
	second, _ := authStore(t, url)
	return [2]*store.Store{first, second}
}

func put(slot personal.Slot) func(personal.Book) (personal.Change, error) {
	return func(personal.Book) (personal.Change, error) { return personal.Change{Put: &slot}, nil }
}

func aSlot(name string, due time.Time) personal.Slot {
	return personal.Slot{Name: name, State: personal.Unknown, Version: 7, Epoch: 5, Holders: 2,
		Keys: []personal.Key{{Digest: "ab", At: noon}}, SettleAt: due, Created: noon}
}

func TestSlotsAreKeptAsTheyAre(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s := twoNodes(t, open())[0]
		user, other := addUser(t, s).ID, addUser(t, s).ID
		ctx := t.Context()
		want := aSlot("aria", noon.Add(time.Hour))
		must(t, s.ChangeSlots(ctx, user, put(want)))
		must(t, s.ChangeSlots(ctx, other, put(aSlot("aria", noon))))
		want.State, want.Version, want.Epoch, want.Holders, want.Keys, want.SettleAt = personal.Confirmed, 8, 9, 0, nil, noon
		must(t, s.ChangeSlots(ctx, user, put(want)))
		slots, err := s.Slots(ctx, user)
		if err != nil || len(slots) != 1 || fmt.Sprint(slots[0]) != fmt.Sprint(want) {
			t.Errorf("got %+v, %v, want %+v", slots, err, want)
		}
		must(t, s.ChangeSlots(ctx, user, func(b personal.Book) (personal.Change, error) {
			if b.Plan != string(auth.Free) || len(b.Slots) != 1 {
				t.Errorf("got book %+v, want the user's own", b)
			}
			return personal.Change{Drop: "aria"}, nil
		}))
		mine, err1 := s.Slots(ctx, user)
		others, err2 := s.Slots(ctx, other)
		if len(mine) != 0 || len(others) != 1 || err1 != nil || err2 != nil {
			t.Errorf("got %v and %v, want only the other user's slot", mine, others)
		}
	})
}

func TestARefusedChangeOfSlotsLeavesNothing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s := twoNodes(t, open())[0]
		user := addUser(t, s).ID
		refusal := fault.New(fault.RateLimited, "entity_quota_exceeded", "x")
		err := s.ChangeSlots(t.Context(), user, func(personal.Book) (personal.Change, error) {
			slot := aSlot("aria", noon)
			return personal.Change{Put: &slot}, refusal
		})
		if slots, _ := s.Slots(t.Context(), user); !errors.Is(err, refusal) || len(slots) != 0 {
			t.Errorf("got %v and %v, want the refusal and no slot", err, slots)
		}
		wantKind(t, s.ChangeSlots(t.Context(), id.New[id.User](), put(aSlot("aria", noon))), fault.NotFound)
	})
}

func TestStampsNeverRepeat(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		nodes := twoNodes(t, open())
		user := addUser(t, nodes[0]).ID
		var mu sync.Mutex
		var stamps []int64
		errs := parallel(30, func(i int) error {
			var stamp int64
			err := nodes[i%2].ChangeSlots(t.Context(), user, func(b personal.Book) (personal.Change, error) {
				stamp = b.Stamp
				if i%3 == 0 {
					return personal.Change{Drop: "aria"}, nil // whether it is there or not
				}
				slot := aSlot("aria", noon)
				return personal.Change{Put: &slot}, nil
			})
			mu.Lock()
			defer mu.Unlock()
			stamps = append(stamps, stamp)
			return err
		})
		must(t, errors.Join(errs...))
		slices.Sort(stamps)
		if n := len(slices.Compact(stamps)); n != 30 {
			t.Errorf("got %d different stamps, want 30", n)
		}
	})
}

func TestADueSlotIsClaimedOnce(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		nodes := twoNodes(t, open())
		ctx := t.Context()
		const due = 40
		for range due / 2 {
			user := addUser(t, nodes[0]).ID
			must(t, nodes[0].ChangeSlots(ctx, user, put(aSlot("aria", noon))))
			must(t, nodes[0].ChangeSlots(ctx, user, put(aSlot("bob", noon.Add(-time.Hour)))))
			must(t, nodes[0].ChangeSlots(ctx, user, put(aSlot("later", noon.Add(time.Microsecond)))))
		}
		lease := noon.Add(time.Minute)
		var mu sync.Mutex
		claimed := map[string]int{}
		errs := parallel(8, func(i int) error {
			for {
				claims, err := nodes[i%2].ClaimSlots(ctx, noon, lease, 3)
				if err != nil || len(claims) == 0 {
					return err
				}
				mu.Lock()
				for _, c := range claims {
					claimed[string(c.User)+c.Slot.Name]++
					if c.Slot.Name == "later" || !c.Slot.SettleAt.Equal(lease) || c.Slot.Version != 7 || len(c.Slot.Keys) != 1 {
						t.Errorf("got claim %+v, want a due slot with the lease", c)
					}
				}
				mu.Unlock()
			}
		})
		must(t, errors.Join(errs...))
		for slot, n := range claimed {
			if n != 1 {
				t.Errorf("slot %s was claimed %d times, want once", slot, n)
			}
		}
		if len(claimed) != due {
			t.Errorf("%d slots were claimed, want %d", len(claimed), due)
		}
		again, err := nodes[1].ClaimSlots(ctx, lease, lease.Add(time.Minute), 2*due)
		if err != nil || len(again) != due+due/2 {
			t.Errorf("after the lease: got %d claims, %v, want all %d", len(again), err, due+due/2)
		}
	})
}

// A claim between a change's read and its write makes the change run again.
func TestClaimsAndChangesDoNotOverwriteEachOther(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		nodes := twoNodes(t, open())
		ctx := t.Context()
		user := addUser(t, nodes[0]).ID
		slot := aSlot("aria", noon)
		slot.Holders = 0
		must(t, nodes[0].ChangeSlots(ctx, user, put(slot)))
		const each = 25
		errs := parallel(4, func(i int) error {
			for n := range each {
				if i == 0 {
					at := noon.Add(time.Duration(n) * time.Hour)
					if _, err := nodes[0].ClaimSlots(ctx, at, at.Add(time.Minute), 1); err != nil {
						return err
					}
					continue
				}
				err := nodes[i%2].ChangeSlots(ctx, user, func(b personal.Book) (personal.Change, error) {
					s := b.Slots[0]
					s.Holders++
					return personal.Change{Put: &s}, nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		must(t, errors.Join(errs...))
		slots, err := nodes[0].Slots(ctx, user)
		if err != nil || slots[0].Holders != 3*each {
			t.Errorf("got %+v, %v, want %d holders", slots, err, 3*each)
		}
	})
}

func TestMessagesAreCountedExactly(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		nodes := twoNodes(t, open())
		ctx := t.Context()
		user := addUser(t, nodes[0]).ID
		plan, c, err := nodes[0].Counters(ctx, user)
		if plan != string(auth.Free) || c != (personal.Counters{}) || err != nil {
			t.Errorf("got %q, %+v, %v, want nothing counted yet", plan, c, err)
		}
		full := errors.New("full")
		var admitted sync.Map
		errs := parallel(40, func(i int) error {
			err := nodes[i%2].ChangeCounters(ctx, user, func(plan string, c personal.Counters) (personal.Counters, error) {
				if c.InMinute == 10 {
					return c, full
				}
				return personal.Counters{Minute: noon, InMinute: c.InMinute + 1, Month: noon.Add(-time.Hour), InMonth: c.InMonth + 1}, nil
			})
			if err == nil {
				admitted.Store(i, true)
			}
			if errors.Is(err, full) {
				return nil
			}
			return err
		})
		must(t, errors.Join(errs...))
		n := 0
		admitted.Range(func(any, any) bool { n++; return true })
		want := personal.Counters{Minute: noon, InMinute: 10, Month: noon.Add(-time.Hour), InMonth: 10}
		if _, c, err = nodes[1].Counters(ctx, user); n != 10 || c != want || err != nil {
			t.Errorf("%d were admitted and %+v is stored, %v, want 10 and %+v", n, c, err, want)
		}
		_, _, err = nodes[0].Counters(ctx, id.New[id.User]())
		wantKind(t, err, fault.NotFound)
		err = nodes[0].ChangeCounters(ctx, id.New[id.User](), func(string, personal.Counters) (personal.Counters, error) {
			return personal.Counters{}, nil
		})
		wantKind(t, err, fault.NotFound)
	})
}

// entityHost is a host in memory that takes its time and watches the caps.
type entityHost struct {
	delay    time.Duration
	most     int
	mu       sync.Mutex
	entities map[id.User]map[string]bool
	broken   []string // what must never happen
}

func newEntityHost(delay time.Duration, most int) *entityHost {
	return &entityHost{delay: delay, most: most, entities: map[id.User]map[string]bool{}}
}

func (h *entityHost) add(user id.User, name string) {
	if h.entities[user] == nil {
		h.entities[user] = map[string]bool{}
	}
	h.entities[user][name] = true
	if n := len(h.entities[user]); n > h.most {
		h.broken = append(h.broken, fmt.Sprintf("user %s has %d entities", user, n))
	}
}

// Do implements personal.Host.
func (h *entityHost) Do(_ context.Context, c personal.Call) (personal.Answer, error) {
	time.Sleep(h.delay)
	h.mu.Lock()
	defer h.mu.Unlock()
	found := personal.Answer{Status: 200, JSON: []byte("{}"), Owner: string(c.User), Owned: true}
	has := h.entities[c.User][c.Name]
	switch {
	case c.Op == personal.CreateEntity:
		_, name, _ := strings.Cut(strings.TrimSuffix(string(c.Body), `"}`), `:"`)
		if h.entities[c.User][name] {
			return personal.Answer{}, fault.New(fault.Conflict, "entity_exists", "exists")
		}
		h.add(c.User, name)
		return found, nil
	case !has:
		return personal.Answer{}, fault.Missing("Entity")
	case c.Op == personal.DeleteEntity:
		delete(h.entities[c.User], c.Name)
	}
	return found, nil
}

// Open implements personal.Host.
func (h *entityHost) Open(context.Context, personal.Call) (personal.Stream, error) {
	return personal.Stream{}, errors.New("no streams here")
}
