package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/id"
)

// history is the messages of networks, as a test makes them up.
type history struct {
	mu    sync.Mutex
	last  map[id.Network]int64
	size  int // of a content
	reads int
	rows  int
	err   error
}

func (h *history) read(_ context.Context, network id.Network, from, to int64) ([]Entry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads++
	if h.err != nil {
		return nil, h.err
	}
	var list []Entry
	for seq := from; seq <= min(to, h.last[network]); seq++ {
		list = append(list, Entry{Message: Message{ID: id.NetworkMessage(fmt.Sprint(network, seq)), Seq: seq, Content: strings.Repeat("x", h.size)}})
	}
	h.rows += len(list)
	return list, nil
}

func (h *history) say(network id.Network, n int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[network] += n
	return h.last[network]
}

// wantStretch fails unless entries are exactly those numbered from to to.
func wantStretch(t *testing.T, network id.Network, entries [][]byte, from, to int64) {
	t.Helper()
	if int64(len(entries)) != to-from+1 {
		t.Fatalf("%s %d to %d: got %d entries", network, from, to, len(entries))
	}
	for i, entry := range entries {
		if want := fmt.Sprintf(`"message_id":"%s%d"`, network, from+int64(i)); !strings.Contains(string(entry), want) {
			t.Fatalf("%s %d to %d: entry %d is %s", network, from, to, i, entry)
		}
	}
}

func TestAContextIsExactWhateverWasAskedBefore(t *testing.T) {
	h := &history{last: map[id.Network]int64{}, size: 10}
	ws := newWindows(h.read)
	dice := rand.New(rand.NewPCG(1, 2))
	for range 1500 {
		network := id.Network([]string{"a", "b", "c"}[dice.IntN(3)])
		last := h.say(network, dice.Int64N(4)*dice.Int64N(40))
		if last == 0 {
			continue
		}
		to := last - dice.Int64N(min(last, []int64{1, 5, 1000}[dice.IntN(3)]))
		from := max(1, to-[]int64{pushContext, callContext}[dice.IntN(2)]+1)
		got, err := ws.get(t.Context(), network, from, to)
		if err != nil {
			t.Fatal(err)
		}
		wantStretch(t, network, got, from, to)
	}
}

func TestWhatWasReadIsNotReadAgain(t *testing.T) {
	h := &history{last: map[id.Network]int64{"a": 1000}, size: 10}
	ws := newWindows(h.read)
	for seq := int64(900); seq <= 1000; seq++ {
		if _, err := ws.get(t.Context(), "a", seq-19, seq); err != nil {
			t.Fatal(err)
		}
	}
	if h.reads > 3 || h.rows != 1000-881+1 {
		t.Errorf("%d reads of %d rows for 120 different ones", h.reads, h.rows)
	}
	before := h.reads
	for range 100 {
		seq := h.say("a", 1)
		for range 10 {
			if _, err := ws.get(t.Context(), "a", seq-19, seq); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := h.reads - before; n != 100 {
		t.Errorf("%d reads for 100 new messages", n)
	}
}

func TestManyWhoMissTheSameReadItOnce(t *testing.T) {
	h := &history{last: map[id.Network]int64{"a": 60}, size: 10}
	ws := newWindows(h.read)
	var group sync.WaitGroup
	for seq := int64(20); seq <= 60; seq++ {
		group.Go(func() {
			got, err := ws.get(t.Context(), "a", max(1, seq-19), seq)
			if err != nil || int64(len(got)) != 20 {
				t.Errorf("got %d entries, %v", len(got), err)
			}
		})
	}
	group.Wait()
	if h.reads > 20 {
		t.Errorf("%d reads", h.reads)
	}
}

func TestThoseWhoAreBehindDoNotWaitForEachOther(t *testing.T) {
	h := &history{last: map[id.Network]int64{"a": 9000}, size: 10}
	const many = 8
	var together sync.WaitGroup
	ws := newWindows(h.read)
	if _, err := ws.get(t.Context(), "a", 8981, 9000); err != nil {
		t.Fatal(err)
	}
	together.Add(many)
	ws.read = func(ctx context.Context, network id.Network, from, to int64) ([]Entry, error) {
		together.Done()
		together.Wait() // until all of them read
		return h.read(ctx, network, from, to)
	}
	var group sync.WaitGroup
	for n := range int64(many) {
		group.Go(func() {
			got, err := ws.get(t.Context(), "a", 100*n+1, 100*n+20)
			if err != nil || int64(len(got)) != 20 {
				t.Errorf("got %d entries, %v", len(got), err)
				return
			}
			wantStretch(t, "a", got, 100*n+1, 100*n+20)
		})
	}
	group.Wait()
	if got, err := ws.get(t.Context(), "a", 8981, 9000); err != nil || len(got) != 20 || h.reads != 1+many {
		t.Errorf("the end is not kept: %d entries, %v, %d reads", len(got), err, h.reads)
	}
}

func TestWindowsAreBounded(t *testing.T) {
	h := &history{last: map[id.Network]int64{}}
	ws := newWindows(h.read)
	ws.most = 1 << 20
	for n := range 20 {
		network := id.Network(fmt.Sprint("n", n))
		last := h.say(network, 300)
		if h.size = 300; n%10 == 9 {
			h.size = 20_000
		}
		for seq := int64(1); seq <= last; seq += 30 {
			if _, err := ws.get(t.Context(), network, max(1, seq-19), seq); err != nil {
				t.Fatal(err)
			}
		}
	}
	size := 0
	for network, w := range ws.kept {
		size += w.size
		if len(w.entries) > windowEntries || w.size > windowBytes+windowCost {
			t.Errorf("%s: %d entries of %d bytes", network, len(w.entries), w.size)
		}
	}
	if size != ws.size || size > ws.most || len(ws.kept) != ws.used.Len() || len(ws.kept) == 0 {
		t.Errorf("%d windows, %d in order of use, of %d bytes, counted as %d, at most %d", len(ws.kept), ws.used.Len(), size, ws.size, ws.most)
	}
}

func TestAReadThatFailsIsNotRemembered(t *testing.T) {
	h := &history{last: map[id.Network]int64{"a": 5}, err: errors.New("away")}
	ws := newWindows(h.read)
	if _, err := ws.get(t.Context(), "a", 1, 5); !errors.Is(err, h.err) {
		t.Errorf("got %v", err)
	}
	h.err = nil
	got, err := ws.get(t.Context(), "a", 1, 5)
	if err != nil {
		t.Fatal(err)
	}
	wantStretch(t, "a", got, 1, 5)
	delete(h.last, "a")
	if got, err := ws.get(t.Context(), "a", 6, 7); err != nil || len(got) != 0 {
		t.Errorf("of a network that is gone: got %d entries, %v", len(got), err)
	}
}
