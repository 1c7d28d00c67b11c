// Package clock is the only place that reads the wall clock. Everything else gets
// a Now function, so that a test can choose the time.
package clock

import "time"

// Now returns the current time in UTC, cut to the microsecond: the resolution in
// which times are stored and shown.
type Now func() time.Time

// System is the machine's clock.
func System() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Micros is how a time is stored: microseconds since the Unix epoch.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// FromMicros is the inverse of Micros.
func FromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// FromMicrosPtr is FromMicros for a nullable column.
func FromMicrosPtr(us *int64) *time.Time {
	if us == nil {
		return nil
	}
	t := FromMicros(*us)
	return &t
}
