package clock_test

import (
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
)

func TestSystemIsUTCInMicroseconds(t *testing.T) {
	before := time.Now().Add(-time.Microsecond)
	got := clock.System()
	if got.Location() != time.UTC || got.Nanosecond()%1000 != 0 || got.Before(before) || got.After(time.Now()) {
		t.Errorf("got %v, want now in UTC, cut to the microsecond", got)
	}
	if back := clock.FromMicros(clock.Micros(got)); back != got {
		t.Errorf("%v is stored as %v: later comparisons would fail", got, back)
	}
}

func TestMicros(t *testing.T) {
	for _, c := range []struct {
		time time.Time
		us   int64
	}{
		{time.Unix(0, 0), 0},
		{time.Date(2026, 4, 23, 12, 0, 0, 123456000, time.UTC), 1776945600123456},
		{time.Date(2026, 4, 23, 14, 0, 0, 0, time.FixedZone("x", 7200)), 1776945600000000},
		{time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), -1},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), 253402300799000000},
	} {
		if got := clock.Micros(c.time); got != c.us {
			t.Errorf("%v: got %d, want %d", c.time, got, c.us)
		}
		if got := clock.FromMicros(c.us); !got.Equal(c.time) || got.Location() != time.UTC {
			t.Errorf("%d: got %v, want %v in UTC", c.us, got, c.time)
		}
	}
}

func TestFromMicrosPtr(t *testing.T) {
	if got := clock.FromMicrosPtr(nil); got != nil {
		t.Errorf("got %v, want nil", got)
	}
	us := int64(1)
	if got := clock.FromMicrosPtr(&us); got == nil || got.UnixMicro() != 1 {
		t.Errorf("got %v, want 1 µs", got)
	}
}
