package store

import (
	"context"
	"slices"

	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/agents/store/query"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
)

// PutMemory implements memory.Store. The lock of the entity's row, taken by counting,
// makes the limit hold when many write at once.
func (s *Store) PutMemory(ctx context.Context, of memory.Of, m memory.Memory, limit int, full error) (memory.Memory, bool, error) {
	isNew := false
	err := s.tx(ctx, "put memory", func(q *query.Queries) error {
		row, err := q.PutMemory(ctx, query.PutMemoryParams{Key: []byte(m.Key), Value: m.Value, Source: string(m.Source),
			NowUs: clock.Micros(m.Updated), EntityID: string(of.Entity), OwnerID: string(of.Owner)})
		if err != nil {
			return found("Entity", err)
		}
		m.Created, m.Updated = clock.FromMicros(row.CreatedUs), clock.FromMicros(row.UpdatedUs)
		if isNew = row.Revision == 1; !isNew {
			return nil
		}
		counted, err := q.CountMemory(ctx, query.CountMemoryParams{ID: string(of.Entity), OwnerID: string(of.Owner), MemoryCount: int64(limit)})
		if err == nil && counted == 0 {
			return full
		}
		return err
	})
	return m, isNew, err
}

// Memory implements memory.Store.
func (s *Store) Memory(ctx context.Context, of memory.Of, key string) (memory.Memory, error) {
	row, err := s.read.GetMemory(ctx, query.GetMemoryParams{EntityID: string(of.Entity), Key: []byte(key), OwnerID: string(of.Owner)})
	if err != nil {
		return memory.Memory{}, found("Memory", err)
	}
	return toMemory(query.ListMemoriesRow(row)), nil
}

// Memories implements memory.Store.
func (s *Store) Memories(ctx context.Context, of memory.Of, q memory.Query) ([]memory.Memory, error) {
	return listMemories(ctx, s.read, of, q)
}

func listMemories(ctx context.Context, queries *query.Queries, of memory.Of, q memory.Query) ([]memory.Memory, error) {
	rows, err := queries.ListMemories(ctx, query.ListMemoriesParams{EntityID: string(of.Entity), After: []byte(q.After),
		First: []byte(q.Prefix), Beyond: beyond(q.Prefix), OwnerID: string(of.Owner), Lim: int64(q.Limit)})
	if err != nil {
		return nil, wrap("list memories", err)
	}
	list := make([]memory.Memory, len(rows))
	for i, row := range rows {
		list[i] = toMemory(row)
	}
	return list, nil
}

// beyond is the least byte string greater than every one that begins with prefix.
// UTF-8 has no byte 0xff, so there is always one.
func beyond(prefix string) []byte {
	end := []byte(prefix)
	if len(end) == 0 {
		return []byte{0xff}
	}
	end = slices.Clone(end)
	end[len(end)-1]++
	return end
}

// DeleteMemory implements memory.Store.
func (s *Store) DeleteMemory(ctx context.Context, of memory.Of, key string) error {
	return s.tx(ctx, "delete memory", func(q *query.Queries) error {
		n, err := q.DeleteMemory(ctx, query.DeleteMemoryParams{EntityID: string(of.Entity), Key: []byte(key), OwnerID: string(of.Owner)})
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.Missing("Memory")
		}
		return uncount(ctx, q, of, n)
	})
}

// DeleteMemories implements memory.Store.
func (s *Store) DeleteMemories(ctx context.Context, of memory.Of) error {
	return s.tx(ctx, "delete memories", func(q *query.Queries) error {
		n, err := q.DeleteMemories(ctx, query.DeleteMemoriesParams{OwnerID: string(of.Owner), EntityID: string(of.Entity)})
		if err != nil || n == 0 {
			return err
		}
		return uncount(ctx, q, of, n)
	})
}

func uncount(ctx context.Context, q *query.Queries, of memory.Of, n int64) error {
	return q.UncountMemories(ctx, query.UncountMemoriesParams{MemoryCount: n, ID: string(of.Entity), OwnerID: string(of.Owner)})
}

func toMemory(row query.ListMemoriesRow) memory.Memory {
	return memory.Memory{Key: string(row.Key), Value: row.Value, Source: memory.Source(row.Source),
		Created: clock.FromMicros(row.CreatedUs), Updated: clock.FromMicros(row.UpdatedUs)}
}
