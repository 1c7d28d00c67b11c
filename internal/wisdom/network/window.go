package network

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/IntunoAI/intuno-go/internal/id"
)

// What is remembered of what was said. Entries of a context never change and their
// numbers have no gap, so a stretch that was read once is exact for good.
const (
	windowEntries = 4096     // of one network, at most: whoever is further behind reads for himself
	windowBytes   = 1 << 20  // the same, beyond what one delivery needs
	windowsBytes  = 64 << 20 // of all networks
	windowCost    = 512      // bytes that a window counts for besides its entries
	readAhead     = 64       // entries: what follows will be asked for in a moment
)

// windows holds the end of what was said in networks, ready to be sent. It is safe for
// concurrent use; the entries are shared and must not be changed.
type windows struct {
	read func(ctx context.Context, network id.Network, from, to int64) ([]Entry, error)
	most int // bytes

	mu   sync.Mutex
	kept map[id.Network]*window
	used *list.List // of *window, the last used in front
	size int        // bytes of all entries
}

// window is a stretch of one network without a gap.
type window struct {
	network id.Network
	place   *list.Element
	reading chan struct{} // holds one token: who has it reads for all

	// Under the lock of windows:
	first   int64 // number of entries[0]
	entries [][]byte
	size    int
}

func newWindows(read func(ctx context.Context, network id.Network, from, to int64) ([]Entry, error)) *windows {
	return &windows{read: read, most: windowsBytes, kept: map[id.Network]*window{}, used: list.New()}
}

// get returns the entries numbered from to to, both included. Calls for one network that
// have to read what comes next do so one after the other, and then mostly need not. Those
// that are behind what is kept, after an outage for instance, read for themselves at once.
func (ws *windows) get(ctx context.Context, network id.Network, from, to int64) ([][]byte, error) {
	w, found, ok := ws.look(network, from, to)
	if ok {
		return found, nil
	}
	if ws.behind(w, from, to) {
		list, err := ws.read(ctx, network, from, to)
		if err != nil {
			return nil, fmt.Errorf("read the context of a message: %w", err)
		}
		return encoded(list, from), nil
	}
	select {
	case <-w.reading:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the context of a message: %w", ctx.Err())
	}
	defer func() { w.reading <- struct{}{} }()
	start, kept, ok := ws.missing(w, from, to)
	if ok {
		return kept, nil
	}
	list, err := ws.read(ctx, network, start, to+readAhead)
	if err != nil {
		return nil, fmt.Errorf("read the context of a message: %w", err)
	}
	return ws.merge(w, from, to, start, list), nil
}

// look finds the window of a network, or makes it, and the entries if they are there.
func (ws *windows) look(network id.Network, from, to int64) (*window, [][]byte, bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.kept[network]
	if w == nil {
		w = &window{network: network, reading: make(chan struct{}, 1), size: windowCost}
		w.reading <- struct{}{}
		ws.size += w.size
		ws.kept[network], w.place = w, ws.used.PushFront(w)
	}
	ws.used.MoveToFront(w.place)
	found, ok := w.part(from, to)
	return w, found, ok
}

// behind tells whether what is read from from on would not be kept: it begins before what
// is, and ends before it too.
func (ws *windows) behind(w *window, from, to int64) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return from < w.first && to+readAhead+1 < w.first+int64(len(w.entries))
}

// encoded is the entries numbered start, start+1, ... up to the first that is not there:
// it was removed with its network.
func encoded(list []Entry, start int64) [][]byte {
	fresh := make([][]byte, 0, len(list))
	for i := range list {
		if list[i].Seq != start+int64(i) {
			break
		}
		fresh = append(fresh, encodeEntry(&list[i]))
	}
	return fresh
}

// part is the entries from to to, if all are there.
func (w *window) part(from, to int64) ([][]byte, bool) {
	if from < w.first || to >= w.first+int64(len(w.entries)) {
		return nil, false
	}
	low, high := from-w.first, to-w.first+1
	return w.entries[low:high:high], true
}

// missing tells from where to read: behind what is there, also if the stretch begins a little
// later. What is between is asked for in a moment.
func (ws *windows) missing(w *window, from, to int64) (start int64, found [][]byte, ok bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if found, ok = w.part(from, to); ok {
		return 0, found, true
	}
	if next := w.first + int64(len(w.entries)); len(w.entries) > 0 && from >= w.first && from <= next+readAhead {
		return next, nil, false
	}
	return from, nil, false
}

// merge keeps what was read from start on, and returns the entries from to to. What ends
// before the window does is not kept: it is for somebody who is far behind.
func (ws *windows) merge(w *window, from, to, start int64, list []Entry) [][]byte {
	fresh := encoded(list, start)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	joined, first := fresh, start
	switch next := w.first + int64(len(w.entries)); {
	case start == next && from >= w.first && len(w.entries) > 0:
		joined, first = append(w.entries, fresh...), w.first
	case start < w.first && start+int64(len(fresh)) < next:
		return slice(fresh, start, from, to)
	}
	found := slice(joined, first, from, to)
	ws.keep(w, first, joined)
	return found
}

// slice is the part of entries, of which the first has the number first, that is there.
func slice(entries [][]byte, first, from, to int64) [][]byte {
	low, high := max(from-first, 0), min(to-first+1, int64(len(entries)))
	if low >= high {
		return nil
	}
	return entries[low:high:high]
}

// keep makes entries those of w, within the bounds.
func (ws *windows) keep(w *window, first int64, entries [][]byte) {
	size := windowCost
	for _, e := range entries {
		size += len(e)
	}
	drop := 0
	for drop < len(entries) && (len(entries)-drop > windowEntries || size > windowBytes && len(entries)-drop > callContext) {
		size -= len(entries[drop])
		drop++
	}
	if ws.kept[w.network] != w {
		return // it was given up meanwhile
	}
	ws.size += size - w.size
	w.first, w.entries, w.size = first+int64(drop), entries[drop:], size
	for ws.size > ws.most && ws.used.Len() > 1 {
		oldest, _ := ws.used.Back().Value.(*window)
		ws.used.Remove(oldest.place)
		delete(ws.kept, oldest.network)
		ws.size -= oldest.size
	}
}
