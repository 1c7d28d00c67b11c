package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/api"
)

// Contract §6.3: timestamp is a JSON number, Unix seconds with a fraction. What is
// written is exact to the microsecond, and comes back.
func TestSecondsAreExactToTheMicrosecond(t *testing.T) {
	for _, tt := range []struct {
		us   int64
		want string
	}{
		{1776945600123456, "1776945600.123456"}, {1776945600000000, "1776945600.000000"}, {1776945600000001, "1776945600.000001"},
		{1776945600999999, "1776945600.999999"}, {1776945600100000, "1776945600.100000"}, {4102444799999999, "4102444799.999999"},
		{0, "0.000000"}, {-1, "-0.000001"}, {-1500000, "-1.500000"},
	} {
		at := time.UnixMicro(tt.us)
		got, err := json.Marshal(api.Seconds(at.Add(400 * time.Nanosecond)))
		if err != nil || string(got) != tt.want {
			t.Errorf("%d µs: got %s, want %s: %v", tt.us, got, tt.want, err)
		}
		var back api.Seconds
		if err := json.Unmarshal([]byte(tt.want), &back); err != nil || !back.Std().Equal(at) {
			t.Errorf("%s: got %v, want %v: %v", tt.want, back.Std(), at, err)
		}
	}
	var s api.Seconds
	for text, want := range map[string]int64{"1776945600": 1776945600000000, "1.776945600123456e9": 1776945600123456, "1.5": 1500000} {
		if err := json.Unmarshal([]byte(text), &s); err != nil || s.Std().UnixMicro() != want {
			t.Errorf("%s: got %d, want %d: %v", text, s.Std().UnixMicro(), want, err)
		}
	}
	for _, text := range []string{`"1"`, "1e300", "null", "{}"} {
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s was read as %v", text, s.Std())
		}
	}
}

// Every microsecond of a stretch comes back.
func FuzzSeconds(f *testing.F) {
	for _, us := range []int64{0, 1776945600123456, 8589934591999999, -1} {
		f.Add(us)
	}
	f.Fuzz(func(t *testing.T, us int64) {
		us %= 8589934592000000 // until the year 2242
		text, err := json.Marshal(api.Seconds(time.UnixMicro(us)))
		if err != nil {
			t.Fatal(err)
		}
		var back api.Seconds
		if err := json.Unmarshal(text, &back); err != nil || back.Std().UnixMicro() != us {
			t.Errorf("%d: %s came back as %d: %v", us, text, back.Std().UnixMicro(), err)
		}
	})
}
