package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/registration"
	"github.com/IntunoAI/intuno-go/internal/agents/store/query"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// createScope is the scope of keys of POST /entities. Those of a chat have the id of
// its entity.
const createScope = "create"

// CreateEntity implements entity.Store.
func (s *Store) CreateEntity(ctx context.Context, e entity.Entity, once entity.Once, answer []byte, admit func(*entity.Record) entity.Admission) (entity.Receipt, error) {
	var receipt entity.Receipt
	var refusal *fault.Error
	err := s.tx(ctx, "create entity", func(q *query.Queries) error {
		receipt, refusal = entity.Receipt{}, nil
		record, err := getOnce(ctx, q, e.Owner, createScope, once)
		if err != nil {
			return err
		}
		admission := admit(record)
		if admission.Replay {
			receipt.Replay = record
			return nil
		}
		if refusal = admission.Refusal; refusal != nil {
			return nil
		}
		keep := onceRow{owner: e.Owner, scope: createScope, once: once, entity: e.ID, at: e.Created, body: answer}
		added, err := q.InsertEntity(ctx, query.InsertEntityParams{ID: string(e.ID), OwnerID: string(e.Owner), Name: e.Name,
			DisplayName: e.DisplayName, Instructions: e.Instructions, Model: e.Model, Temperature: e.Temperature,
			Tools: joinTools(e.Tools), MemoryEnabled: e.MemoryEnabled, Status: string(e.Status), PauseReason: e.PauseReason,
			CreatedUs: clock.Micros(e.Created), UpdatedUs: clock.Micros(e.Updated)})
		if err != nil {
			return err
		}
		if added > 0 {
			if err := wantRegistration(ctx, q, e, registration.Of(e)); err != nil {
				return err
			}
		} else {
			refusal = entity.Exists()
			first, err := q.GetEntityID(ctx, query.GetEntityIDParams{OwnerID: string(e.Owner), Name: e.Name})
			if err != nil {
				return err
			}
			keep.entity, keep.body, keep.refusal = id.Entity(first), nil, refusal
		}
		return keep.put(ctx, q)
	})
	if err == nil && refusal != nil {
		return receipt, refusal
	}
	return receipt, err
}

// Entity implements entity.Store. It is one statement without a transaction: the
// hottest read of the host.
func (s *Store) Entity(ctx context.Context, owner id.User, name string) (entity.Entity, error) {
	row, err := s.read.GetEntity(ctx, query.GetEntityParams{OwnerID: string(owner), Name: name})
	if err != nil {
		return entity.Entity{}, found("Entity", err)
	}
	return toEntity(query.ListEntitiesRow(row)), nil
}

// EntityID implements memory.Store and chat.Store.
func (s *Store) EntityID(ctx context.Context, owner id.User, name string) (id.Entity, error) {
	entityID, err := s.read.GetEntityID(ctx, query.GetEntityIDParams{OwnerID: string(owner), Name: name})
	return id.Entity(entityID), found("Entity", err)
}

// Entities implements entity.Store.
func (s *Store) Entities(ctx context.Context, owner id.User) ([]entity.Entity, error) {
	rows, err := s.read.ListEntities(ctx, string(owner))
	if err != nil {
		return nil, wrap("list entities", err)
	}
	list := make([]entity.Entity, len(rows))
	for i, row := range rows {
		list[i] = toEntity(row)
	}
	return list, nil
}

// EditEntity implements entity.Store.
func (s *Store) EditEntity(ctx context.Context, owner id.User, name string, edit func(entity.Entity) (entity.Entity, bool)) (entity.Entity, error) {
	var edited entity.Entity
	err := s.tx(ctx, "edit entity", func(q *query.Queries) error {
		row, err := q.GetEntity(ctx, query.GetEntityParams{OwnerID: string(owner), Name: name})
		if err != nil {
			return found("Entity", err)
		}
		before := toEntity(query.ListEntitiesRow(row))
		e, changed := edit(before)
		edited = e
		if !changed {
			return nil
		}
		if registration.Changed(before, e) {
			if err := wantRegistration(ctx, q, e, registration.Of(e)); err != nil {
				return err
			}
		}
		_, err = q.UpdateEntity(ctx, query.UpdateEntityParams{DisplayName: e.DisplayName, Instructions: e.Instructions,
			Model: e.Model, Temperature: e.Temperature, Tools: joinTools(e.Tools), MemoryEnabled: e.MemoryEnabled,
			Status: string(e.Status), PauseReason: e.PauseReason, UpdatedUs: clock.Micros(e.Updated), ID: string(e.ID), OwnerID: string(owner)})
		return err
	})
	return edited, err
}

// DeleteEntity implements entity.Store.
func (s *Store) DeleteEntity(ctx context.Context, owner id.User, name string) (id.Entity, error) {
	var gone string
	err := s.tx(ctx, "delete entity", func(q *query.Queries) error {
		row, err := q.GetEntity(ctx, query.GetEntityParams{OwnerID: string(owner), Name: name})
		if err != nil {
			return found("Entity", err)
		}
		gone = row.ID
		_, memories := q.DeleteMemories(ctx, query.DeleteMemoriesParams{OwnerID: string(owner), EntityID: gone})
		return errors.Join(
			memories,
			dropRegistration(ctx, q, toEntity(query.ListEntitiesRow(row))),
			q.DeleteEvents(ctx, query.DeleteEventsParams{OwnerID: string(owner), EntityID: gone}),
			q.DeleteTurns(ctx, query.DeleteTurnsParams{OwnerID: string(owner), EntityID: gone}),
			q.DeleteMessages(ctx, query.DeleteMessagesParams{OwnerID: string(owner), EntityID: gone}),
			q.DeleteDeliveries(ctx, query.DeleteDeliveriesParams{OwnerID: string(owner), EntityID: gone}), // after turns, as EndTurn locks them
			q.DeleteOnce(ctx, query.DeleteOnceParams{OwnerID: string(owner), EntityID: gone}),
			q.DeleteEntity(ctx, query.DeleteEntityParams{OwnerID: string(owner), ID: gone}),
		)
	})
	return id.Entity(gone), err
}

func toEntity(row query.ListEntitiesRow) entity.Entity {
	return entity.Entity{ID: id.Entity(row.ID), Owner: id.User(row.OwnerID), Name: row.Name, DisplayName: row.DisplayName,
		Instructions: row.Instructions, Model: row.Model, Temperature: row.Temperature, Tools: splitTools(row.Tools),
		MemoryEnabled: row.MemoryEnabled, Status: entity.Status(row.Status), PauseReason: row.PauseReason,
		Created: clock.FromMicros(row.CreatedUs), Updated: clock.FromMicros(row.UpdatedUs), LastActive: clock.FromMicrosPtr(row.LastActiveUs)}
}

// The names of tools are a closed list without commas.
func joinTools(tools []string) string { return strings.Join(tools, ",") }

func splitTools(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// getOnce reads the record of a key: nil without a key, and without a record.
func getOnce(ctx context.Context, q *query.Queries, owner id.User, scope string, once entity.Once) (*entity.Record, error) {
	if !once.Given() {
		return nil, nil
	}
	row, err := q.GetOnce(ctx, query.GetOnceParams{OwnerID: string(owner), Scope: scope, Key: once.Key})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record := &entity.Record{Fingerprint: row.Fingerprint, Created: clock.FromMicros(row.CreatedUs), Running: row.Status == nil}
	if row.MessageID != nil {
		record.Message = id.Message(*row.MessageID)
	}
	switch {
	case row.Code != nil && row.Body != nil:
		record.Refusal = fault.New(fault.Conflict, *row.Code, "%s", *row.Body)
	case row.Body != nil:
		record.Answer = []byte(*row.Body)
	}
	return record, nil
}

// onceRow is what is kept under a key. Only conflicts (409) are kept as refusals.
type onceRow struct {
	owner   id.User
	scope   string
	once    entity.Once
	entity  id.Entity
	at      time.Time
	message *id.Message // a turn that is running now
	body    []byte
	refusal *fault.Error
}

func (r onceRow) put(ctx context.Context, q *query.Queries) error {
	if !r.once.Given() {
		return nil
	}
	row := query.PutOnceParams{OwnerID: string(r.owner), Scope: r.scope, Key: r.once.Key, EntityID: string(r.entity),
		Fingerprint: r.once.Fingerprint, CreatedUs: clock.Micros(r.at)}
	switch {
	case r.message != nil:
		row.MessageID = ptr(string(*r.message))
	case r.refusal != nil:
		row.Status, row.Code, row.Body = ptr(int64(statusConflict)), &r.refusal.Code, &r.refusal.Detail
	default:
		row.Status, row.Body = ptr(int64(statusCreated)), ptr(string(r.body))
	}
	return q.PutOnce(ctx, row)
}

// The statuses that are kept.
const (
	statusCreated  = 201
	statusConflict = 409
)

// ForgetOnce implements entity.Store.
func (s *Store) ForgetOnce(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := query.New(s.db.Write()).ForgetOnce(ctx, query.ForgetOnceParams{BeforeUs: clock.Micros(before), Lim: int64(limit)})
	return int(n), err
}
