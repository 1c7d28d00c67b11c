package embedding

import (
	"sync"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
)

// breaker remembers that an endpoint failed, so that nobody waits for it in vain.
// While it is open one call in each pause may try. (A library was looked at: it reads
// the wall clock itself, and is longer than this.)
type breaker struct {
	now   clock.Now
	pause time.Duration

	mu     sync.Mutex
	open   bool
	since  time.Time // of the last failure
	trying bool
}

// enter reports whether a call may be made, and whether it is the one that tries,
// which must end in leave.
func (b *breaker) enter() (ok, trial bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true, false
	}
	// An age below 0: the clock was set back, and says nothing.
	if age := b.now().Sub(b.since); b.trying || age >= 0 && age < b.pause {
		return false, false
	}
	b.trying = true
	return true, true
}

// leave ends a trial that may have told nothing.
func (b *breaker) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
}

// report keeps whether the endpoint did its work.
func (b *breaker) report(worked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = !worked
	if !worked {
		b.since = b.now()
	}
}

func (b *breaker) closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.open
}
