package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

// A row of login_failures is a sliding log in one text: a mark per attempt, oldest
// first, no more of them than the limit. An attempt is admitted if there are fewer,
// or if the oldest has left the window. So one upsert decides, on both engines, with
// no lock and no retry: at 50 parallel attempts a serializable transaction that
// counts rows would mostly be busy losing.
//
// A mark is 16 digits (microseconds, until the year 2286) and 8 letters that belong
// to the attempt. Since letters and digits alternate, an attempt can be taken out
// again by replacing its mark with nothing.
const (
	markTime  = 16
	markBytes = markTime + 8 // the queries know it as 24
)

func markAt(t time.Time) string { return fmt.Sprintf("%0*d", markTime, clock.Micros(t)) }

func markOf(a auth.Attempt) string { return markAt(a.At) + a.Mark }

// CountAttempt implements auth.Store.
func (s *Store) CountAttempt(ctx context.Context, a auth.Attempt) (bool, time.Time, error) {
	changed, err := s.write.CountAttempt(ctx, query.CountAttemptParams{
		Key: a.Key, Mark: markOf(a), AtUs: clock.Micros(a.At), Most: int32(a.Most), Since: markAt(a.At.Add(-a.Window)),
	})
	if err != nil || changed > 0 {
		return changed > 0, time.Time{}, sqldb.Translate(err)
	}
	log, err := s.read.Attempts(ctx, a.Key)
	if err != nil && !fault.Is(sqldb.Translate(err), fault.NotFound) {
		return false, time.Time{}, sqldb.Translate(err)
	}
	if len(log) < a.Most*markBytes { // cleared or taken back meanwhile
		return false, a.At, nil
	}
	oldest, err := strconv.ParseInt(log[len(log)-a.Most*markBytes:][:markTime], 10, 64)
	if err != nil {
		return false, time.Time{}, fmt.Errorf("read login attempts: %w", err)
	}
	return false, clock.FromMicros(oldest).Add(a.Window), nil
}

// ReturnAttempt implements auth.Store.
func (s *Store) ReturnAttempt(ctx context.Context, a auth.Attempt) error {
	return sqldb.Translate(s.write.ReturnAttempt(ctx, query.ReturnAttemptParams{Key: a.Key, Mark: markOf(a)}))
}

// ClearAttempts implements auth.Store.
func (s *Store) ClearAttempts(ctx context.Context, key string) error {
	return sqldb.Translate(s.write.ClearAttempts(ctx, key))
}

// PurgeLogins implements auth.Store. Its two halves are independent.
func (s *Store) PurgeLogins(ctx context.Context, ended, attempted time.Time) error {
	_, err1 := s.write.PurgeRevokedTokens(ctx, clock.Micros(ended))
	_, err2 := s.write.PurgeAttempts(ctx, clock.Micros(attempted))
	return errors.Join(err1, err2)
}
