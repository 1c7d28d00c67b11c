package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/export"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/agents/store/query"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// snapshot is an entity in one read-only transaction.
type snapshot struct {
	tx     *sql.Tx
	q      *query.Queries
	entity entity.Entity
}

// Snapshot implements export.Store. SQLite fixes what is seen with the first read,
// PostgreSQL needs REPEATABLE READ for that.
func (s *Store) Snapshot(ctx context.Context, owner id.User, name string) (export.Snapshot, error) {
	tx, err := s.db.Read().BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, wrap("begin export", err)
	}
	q := query.New(tx)
	row, err := q.GetEntity(ctx, query.GetEntityParams{OwnerID: string(owner), Name: name})
	if err != nil {
		return nil, errors.Join(found("Entity", err), tx.Rollback())
	}
	return &snapshot{tx: tx, q: q, entity: toEntity(query.ListEntitiesRow(row))}, nil
}

func (s *snapshot) Entity() entity.Entity { return s.entity }

func (s *snapshot) Memories(ctx context.Context, after string, limit int) ([]memory.Memory, error) {
	return listMemories(ctx, s.q, memory.Of{Owner: s.entity.Owner, Entity: s.entity.ID}, memory.Query{After: after, Limit: limit})
}

func (s *snapshot) Messages(ctx context.Context, after int64, limit int) ([]chat.Message, error) {
	rows, err := s.q.MessagesAfter(ctx, query.MessagesAfterParams{EntityID: string(s.entity.ID), OwnerID: string(s.entity.Owner), Seq: after, Lim: int64(limit)})
	if err != nil {
		return nil, wrap("list messages", err)
	}
	list := make([]chat.Message, len(rows))
	for i, row := range rows {
		if list[i], err = toMessage(row); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *snapshot) Close() error { return s.tx.Rollback() }
