package entity_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/fault"
)

func TestAdmit(t *testing.T) {
	now := time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	once := entity.Once{Key: "k", Fingerprint: "f"}
	record := func(fingerprint string, age time.Duration, running bool) *entity.Record {
		return &entity.Record{Fingerprint: fingerprint, Created: now.Add(-age), Running: running}
	}
	for _, test := range []struct {
		name   string
		record *entity.Record
		want   string // code of the refusal, "replay" or "go"
	}{
		{"first use", nil, "go"},
		{"same body", record("f", 0, false), "replay"},
		{"other body", record("g", 0, false), "idempotency_key_reused"},
		{"first is running", record("f", 0, true), "idempotency_in_progress"},
		{"first is running with another body", record("g", 0, true), "idempotency_key_reused"},
		{"just before 24 hours", record("f", 24*time.Hour-1, false), "replay"},
		{"after 24 hours", record("g", 24*time.Hour, false), "go"},
	} {
		a := entity.Admit(test.record, once, now)
		got := "go"
		if a.Replay {
			got = "replay"
		} else if a.Refusal != nil {
			got = a.Refusal.Code
			if (a.Refusal.RetryAfter == time.Second) != (got == "idempotency_in_progress") {
				t.Errorf("%s: Retry-After is %v", test.name, a.Refusal.RetryAfter)
			}
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	if fault.Is(entity.Exists(), fault.Conflict) != true {
		t.Error("a taken name is a conflict")
	}
}

func TestTextBytesIsNeverTooLittle(t *testing.T) {
	for _, s := range []string{"", "plain", `"\/`, "\x00\x01\x1f\x7f\n\t", "äöü", "\U0001F600", "<&>", "\u2028\u2029", strings.Repeat("x\"", 99)} {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&", `\u2028`, "\u2028", `\u2029`, "\u2029").Replace(string(text)); entity.TextBytes(s) < len(plain) {
			t.Errorf("%q: got %d, want at least %d", s, entity.TextBytes(s), len(plain))
		}
	}
}

func TestAPageTakesItsFirstItemWhateverItsSize(t *testing.T) {
	var page entity.Page
	if !page.Take(10<<20) || page.Take(1) {
		t.Error("want the first item alone")
	}
	page = entity.Page{}
	for i := range 3 {
		if got, want := page.Take(400_000), i < 2; got != want {
			t.Errorf("item %d of 400 kB: got %v, want %v", i, got, want)
		}
	}
}
