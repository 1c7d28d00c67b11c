// Package audit keeps the record of what a service did on behalf of users, and of
// every refused service key.
//
// A record never carries a credential, a path (only the route's pattern) or a body.
// Which requests are recorded is decided by the edge that calls it.
package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// What is recorded.
const (
	Delegated  = "delegated_request"   // a service may have changed something for a user
	KeyRefused = "service_key_refused" // a service key was wrong, empty, or is not used here
)

// Interrupted is the status of a record whose request has not been answered: it is
// still running, or the process died while it was.
const Interrupted = 0

// Record is one request. The caller gives everything but ID, At, Event and Status.
type Record struct {
	ID        string
	At        time.Time // when the request was recorded first
	Event     string    // Delegated or KeyRefused
	RequestID string
	Actor     principal.Actor
	Subject   id.User // for whom; "" if nobody was accepted
	Method    string
	Route     string // the pattern
	Status    int    // of the answer, or Interrupted
}

// Store keeps records.
type Store interface {
	InsertAudit(ctx context.Context, r Record) error
	// FinishAudit sets the status of a record that is Interrupted.
	FinishAudit(ctx context.Context, record string, status int) error
	// AuditRecords lists up to limit records that are older than the given one, or
	// the newest if it is zero, newest first.
	AuditRecords(ctx context.Context, before Record, limit int) ([]Record, error)
}

// Log is the record. It is safe for concurrent use.
type Log struct {
	store Store
	now   clock.Now
}

// New returns the log kept in store.
func New(store Store, now clock.Now) *Log { return &Log{store: store, now: now} }

// Begin records a delegated request before its handler runs, so that no change is
// ever without a record: if it fails, the request must not go on. finish sets the
// status of the answer; the record stays Interrupted if it is never called.
func (l *Log) Begin(ctx context.Context, r Record) (finish func(ctx context.Context, status int) error, err error) {
	r.Event, r.Status = Delegated, Interrupted
	if r, err = l.insert(ctx, r); err != nil {
		return nil, err
	}
	return func(ctx context.Context, status int) error {
		if err := l.store.FinishAudit(ctx, r.ID, status); err != nil {
			return fmt.Errorf("finish audit record: %w", err)
		}
		return nil
	}, nil
}

// Refused records a refused service key. The record must say the status; it has no
// subject, because nobody has proved to act for one.
func (l *Log) Refused(ctx context.Context, r Record) error {
	r.Event, r.Subject = KeyRefused, ""
	if r.Actor == (principal.Actor{}) {
		r.Actor.Type = "unknown"
	}
	_, err := l.insert(ctx, r)
	return err
}

// Recent lists up to limit records, newest first, older than before if that is given.
func (l *Log) Recent(ctx context.Context, before Record, limit int) ([]Record, error) {
	list, err := l.store.AuditRecords(ctx, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list audit records: %w", err)
	}
	return list, nil
}

func (l *Log) insert(ctx context.Context, r Record) (Record, error) {
	r.ID, r.At = id.New[string](), l.now()
	if err := l.store.InsertAudit(ctx, r); err != nil {
		return r, fmt.Errorf("write audit record: %w", err)
	}
	return r, nil
}
