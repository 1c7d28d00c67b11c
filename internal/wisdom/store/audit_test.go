package store_test

import (
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/audit"
)

func TestAuditRecords(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s, _ := authStore(t, open())
		ctx := t.Context()
		var want []audit.Record
		for i := range 3 {
			r := audit.Record{
				ID: id.New[string](), At: noon.Add(time.Duration(i) * time.Second), Event: audit.Delegated, RequestID: "req",
				Actor: principal.Actor{Type: "service", ID: "wisdom-agents"}, Subject: id.New[id.User](),
				Method: "POST", Route: "/registry/agents", Status: audit.Interrupted,
			}
			if i == 2 {
				r.Event, r.Subject, r.Status = audit.KeyRefused, "", 401
			}
			must(t, s.InsertAudit(ctx, r))
			want = append([]audit.Record{r}, want...)
		}
		must(t, s.FinishAudit(ctx, want[1].ID, 201))
		want[1].Status = 201

		t.Run("the status is set once", func(t *testing.T) {
			wantKind(t, s.FinishAudit(ctx, want[1].ID, 500), fault.NotFound)
		})
		t.Run("records are listed newest first in pages", func(t *testing.T) {
			var got []audit.Record
			var before audit.Record
			for {
				page, err := s.AuditRecords(ctx, before, 2)
				must(t, err)
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
				before = page[len(page)-1]
			}
			if len(got) != len(want) {
				t.Fatalf("got %d records, want %d", len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("record %d: got %+v, want %+v", i, got[i], want[i])
				}
			}
		})
	})
}
