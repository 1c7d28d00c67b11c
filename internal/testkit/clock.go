package testkit

import (
	"sync"
	"time"
)

// Clock is a clock that stands still until a test moves it. It is safe for
// concurrent use; its Now method is a clock.Now.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at t, in UTC and cut to the microsecond like the real clock.
func NewClock(t time.Time) *Clock {
	return &Clock{now: t.UTC().Truncate(time.Microsecond)}
}

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock, forward or back.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
