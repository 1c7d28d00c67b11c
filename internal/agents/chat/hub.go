package chat

import (
	"sync"

	"github.com/IntunoAI/intuno-go/internal/id"
)

// hub wakes the readers of a turn in this process. It carries no data: what there is
// to read is in the database.
type hub struct {
	mu      sync.Mutex
	readers map[id.Message]map[chan struct{}]bool
}

func newHub() *hub { return &hub{readers: map[id.Message]map[chan struct{}]bool{}} }

// join returns a channel that gets a value after every change of the turn. Changes
// that nobody waited for are joined into one.
func (h *hub) join(m id.Message) (wake <-chan struct{}, leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan struct{}, 1)
	if h.readers[m] == nil {
		h.readers[m] = map[chan struct{}]bool{}
	}
	h.readers[m][c] = true
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.readers[m], c)
		if len(h.readers[m]) == 0 {
			delete(h.readers, m)
		}
	}
}

func (h *hub) wake(m id.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.readers[m] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
