package personal

import (
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// Limits are what a plan allows.
type Limits struct {
	Entities  int // at most, >= 0
	PerMinute int // messages per clock minute, > 0
	PerMonth  int // messages per calendar month in UTC, > 0
}

// Counters count a user's messages in the current windows.
type Counters struct {
	Minute   time.Time // start of the minute
	InMinute int
	Month    time.Time // start of the month
	InMonth  int
}

// Usage is what a user has used of the plan.
type Usage struct {
	Plan     string
	Limits   Limits
	Entities int
	Messages int       // in this month
	ResetsAt time.Time // when the next month begins
}

// current returns the counters with those of past windows at zero. A window never
// goes back: on nodes whose clocks differ the latest counts.
func (c Counters) current(at time.Time) Counters {
	at = at.UTC()
	if minute := at.Truncate(time.Minute); minute.After(c.Minute) {
		c.Minute, c.InMinute = minute, 0
	}
	if month := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC); month.After(c.Month) {
		c.Month, c.InMonth = month, 0
	}
	return c
}

// resets returns when the month of c ends.
func (c Counters) resets() time.Time { return c.Month.AddDate(0, 1, 0) }

// count takes one message, or refuses with the time to wait.
func (c Counters) count(at time.Time, l Limits) (Counters, error) {
	c = c.current(at)
	if c.InMonth >= l.PerMonth {
		return c, fault.New(fault.RateLimited, "message_quota_exceeded", "Message limit of this month reached for your plan").
			After(atLeastASecond(c.resets().Sub(at)))
	}
	if c.InMinute >= l.PerMinute {
		return c, fault.New(fault.RateLimited, "message_rate_limited", "Too many messages, wait a moment").
			After(atLeastASecond(c.Minute.Add(time.Minute).Sub(at)))
	}
	c.InMinute++
	c.InMonth++
	return c, nil
}

// giveBack undoes the count of a message in the windows of counted, if they are
// still the current ones.
func (c Counters) giveBack(counted Counters) Counters {
	if c.Minute.Equal(counted.Minute) && c.InMinute > 0 {
		c.InMinute--
	}
	if c.Month.Equal(counted.Month) && c.InMonth > 0 {
		c.InMonth--
	}
	return c
}

func atLeastASecond(d time.Duration) time.Duration { return max(d, time.Second) }
