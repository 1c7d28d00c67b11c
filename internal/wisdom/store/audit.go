package store

import (
	"context"
	"math"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/audit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var _ audit.Store = (*Store)(nil)

// InsertAudit implements audit.Store.
func (s *Store) InsertAudit(ctx context.Context, r audit.Record) error {
	var subject *string
	if r.Subject != "" {
		subject = (*string)(&r.Subject)
	}
	return sqldb.Translate(s.write.InsertAudit(ctx, query.InsertAuditParams{
		ID: r.ID, AtUs: clock.Micros(r.At), RequestID: r.RequestID, Event: r.Event,
		ActorType: r.Actor.Type, ActorID: r.Actor.ID, SubjectID: subject,
		Method: r.Method, Route: r.Route, Status: int64(r.Status),
	}))
}

// FinishAudit implements audit.Store.
func (s *Store) FinishAudit(ctx context.Context, record string, status int) error {
	return one(s.write.FinishAudit(ctx, query.FinishAuditParams{ID: record, Status: int64(status)}))
}

// AuditRecords implements audit.Store.
func (s *Store) AuditRecords(ctx context.Context, before audit.Record, limit int) ([]audit.Record, error) {
	at := int64(math.MaxInt64)
	if before.ID != "" {
		at = clock.Micros(before.At)
	}
	rows, err := s.read.AuditBefore(ctx, query.AuditBeforeParams{AtUs: at, ID: before.ID, Lim: int64(limit)})
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	records := make([]audit.Record, len(rows))
	for i, row := range rows {
		records[i] = audit.Record{
			ID: row.ID, At: clock.FromMicros(row.AtUs), Event: row.Event, RequestID: row.RequestID,
			Actor: principal.Actor{Type: row.ActorType, ID: row.ActorID}, Method: row.Method, Route: row.Route, Status: int(row.Status),
		}
		if row.SubjectID != nil {
			records[i].Subject = id.User(*row.SubjectID)
		}
	}
	return records, nil
}
