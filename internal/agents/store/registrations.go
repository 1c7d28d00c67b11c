package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/registration"
	"github.com/IntunoAI/intuno-go/internal/agents/store/query"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// wantRegistration writes what the registry should say of an entity from now on.
func wantRegistration(ctx context.Context, q *query.Queries, e entity.Entity, wanted registration.Wanted) error {
	return q.WantRegistration(ctx, query.WantRegistrationParams{OwnerID: string(e.Owner), Name: e.Name, DisplayName: e.DisplayName,
		Wanted: string(wanted)})
}

// dropRegistration wants an entity removed. If the registry was never told of it there is
// nothing to remove.
func dropRegistration(ctx context.Context, q *query.Queries, e entity.Entity) error {
	n, err := q.DropUntriedRegistration(ctx, query.DropUntriedRegistrationParams{OwnerID: string(e.Owner), Name: e.Name})
	if err != nil || n > 0 {
		return err
	}
	return wantRegistration(ctx, q, e, registration.Removed)
}

// ClaimRegistration implements registration.Store. Nodes that look at the same time may
// pick the same row: the condition that is repeated outside lets one of them have it.
func (s *Store) ClaimRegistration(ctx context.Context, claim string, now, lease time.Time) (registration.Job, bool, error) {
	row, err := query.New(s.db.Write()).ClaimRegistration(ctx, query.ClaimRegistrationParams{Claim: &claim,
		LeaseUntilUs: clock.Micros(lease), NowUs: clock.Micros(now)})
	if errors.Is(err, sql.ErrNoRows) {
		return registration.Job{}, false, nil
	}
	if err != nil {
		return registration.Job{}, false, wrap("claim registration", err)
	}
	j := registration.Job{Owner: id.User(row.OwnerID), Entity: row.Name, Title: row.DisplayName, Wanted: registration.Wanted(row.Wanted),
		Revision: row.Revision, Stale: row.Stale, Attempts: int(row.Attempts), Claim: claim}
	if row.AgentID != nil {
		j.Agent = id.Agent(*row.AgentID)
	}
	return j, true, nil
}

// SettleRegistration implements registration.Store.
func (s *Store) SettleRegistration(ctx context.Context, j registration.Job) error {
	owner := string(j.Owner)
	return s.fenced(ctx, "settle registration", j, func(q *query.Queries) (int64, error) {
		if j.Wanted == registration.Removed {
			n, err := q.DropRegistration(ctx, query.DropRegistrationParams{OwnerID: owner, Name: j.Entity, Claim: &j.Claim, Revision: j.Revision})
			if err != nil || n > 0 {
				return n, err
			}
		}
		return q.SettleRegistration(ctx, query.SettleRegistrationParams{Revision: j.Revision, Removed: j.Wanted == registration.Removed,
			AgentID: agentID(j), OwnerID: owner, Name: j.Entity, Claim: &j.Claim})
	})
}

// PostponeRegistration implements registration.Store.
func (s *Store) PostponeRegistration(ctx context.Context, j registration.Job, again time.Time, reason string) error {
	return s.fenced(ctx, "postpone registration", j, func(q *query.Queries) (int64, error) {
		return q.PostponeRegistration(ctx, query.PostponeRegistrationParams{AgentID: agentID(j), LastError: &reason,
			Revision: j.Revision, StillStale: j.Stale, RunAtUs: clock.Micros(again), OwnerID: string(j.Owner), Name: j.Entity, Claim: &j.Claim})
	})
}

// fenced writes the outcome of an attempt that still has the job. Otherwise the job is
// made due again, also if another attempt is about to settle it: what this one did may have
// come after what was done since.
func (s *Store) fenced(ctx context.Context, doing string, j registration.Job, write func(*query.Queries) (int64, error)) error {
	lost := false
	err := s.tx(ctx, doing, func(q *query.Queries) error {
		n, err := write(q)
		if lost = err == nil && n == 0; !lost {
			return err
		}
		return q.ReassertRegistration(ctx, query.ReassertRegistrationParams{OwnerID: string(j.Owner), Name: j.Entity,
			DisplayName: j.Title, Claim: &j.Claim})
	})
	if err == nil && lost {
		return registration.ErrLost
	}
	return err
}

func agentID(j registration.Job) *string {
	if j.Agent == "" {
		return nil
	}
	return ptr(string(j.Agent))
}
