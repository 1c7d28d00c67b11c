package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/store/query"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// StartTurn implements chat.Store.
func (s *Store) StartTurn(ctx context.Context, start chat.Start, admit func(chat.Current) chat.Verdict) (chat.Accepted, error) {
	var done chat.Accepted
	err := s.tx(ctx, "start turn", func(q *query.Queries) error {
		done = chat.Accepted{}
		current, err := currentTurn(ctx, q, start)
		if err != nil {
			return err
		}
		done.Entity = current.Entity
		verdict := admit(current)
		if verdict.Replay {
			done.Replay, done.Delivered = current.Record, current.Delivered
			return nil
		}
		keep := onceRow{owner: start.Owner, scope: string(current.Entity.ID), once: start.Once, entity: current.Entity.ID, at: start.Now}
		if done.Refusal = verdict.Refusal; done.Refusal != nil {
			if keep.refusal = verdict.Refusal; verdict.Keep {
				return keep.put(ctx, q)
			}
			return nil
		}
		if verdict.End != nil {
			if err := endTurn(ctx, q, *verdict.End); err != nil {
				return fmt.Errorf("fail abandoned turn: %w", err)
			}
			done.Ended = &verdict.End.Message
		}
		keep.message = &start.Message
		if err := keep.put(ctx, q); err != nil {
			return err
		}
		done.Created, err = insertTurn(ctx, q, start, current.Entity.ID)
		return err
	})
	if err != nil {
		return chat.Accepted{}, err
	}
	return done, nil
}

func currentTurn(ctx context.Context, q *query.Queries, start chat.Start) (chat.Current, error) {
	var current chat.Current
	row, err := q.GetEntity(ctx, query.GetEntityParams{OwnerID: string(start.Owner), Name: start.Entity})
	if err != nil {
		return current, found("Entity", err)
	}
	current.Entity = toEntity(query.ListEntitiesRow(row))
	if current.Record, err = getOnce(ctx, q, start.Owner, row.ID, start.Once); err != nil {
		return current, err
	}
	if current.Delivered, err = getDelivery(ctx, q, start, row.ID); err != nil {
		return current, err
	}
	running, err := q.RunningTurn(ctx, query.RunningTurnParams{EntityID: row.ID, OwnerID: string(start.Owner)})
	if errors.Is(err, sql.ErrNoRows) {
		return current, nil
	}
	current.Running = &chat.RunningTurn{Message: id.Message(running.MessageID), Node: running.Node, Lease: clock.FromMicros(running.LeaseUntilUs)}
	return current, err
}

// insertTurn returns when the message counts as sent: when it was, but never before
// the message that it follows, which may have been stored while this one waited.
func insertTurn(ctx context.Context, q *query.Queries, start chat.Start, of id.Entity) (time.Time, error) {
	if start.Delivery != nil {
		return start.Now, insertDelivery(ctx, q, start, of)
	}
	owner, message := string(start.Owner), string(start.Message)
	last, err := q.LastMessage(ctx, query.LastMessageParams{EntityID: string(of), OwnerID: owner})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, err
	}
	seq, now := last.Seq+1, max(clock.Micros(start.Now), last.CreatedUs+1)
	created := clock.FromMicros(now)
	started, err := start.Started(created)
	if err != nil {
		return time.Time{}, err
	}
	return created, errors.Join(
		q.TouchEntity(ctx, query.TouchEntityParams{LastActiveUs: &now, ID: string(of), OwnerID: owner}),
		q.InsertMessage(ctx, query.InsertMessageParams{ID: message, EntityID: string(of), OwnerID: owner, Seq: seq, Content: start.Content, CreatedUs: now}),
		insertRunning(ctx, q, start, of, started, nil),
	)
}

// insertRunning keeps the turn itself with its first event.
func insertRunning(ctx context.Context, q *query.Queries, start chat.Start, of id.Entity, started chat.Event, delivery *string) error {
	owner, message := string(start.Owner), string(start.Message)
	return errors.Join(
		q.InsertTurn(ctx, query.InsertTurnParams{MessageID: message, EntityID: string(of), OwnerID: owner, Node: start.Node,
			LeaseUntilUs: clock.Micros(start.Lease), DeliveryID: delivery}),
		insertEvent(ctx, q, start.Owner, start.Message, 1, started),
	)
}

// AppendEvent implements chat.Store. The turn's row hands out the numbers, so events
// become visible in their order, and none after the last one.
func (s *Store) AppendEvent(ctx context.Context, h chat.Holder, e chat.Event) (int64, error) {
	var seq int64
	err := s.rowTx(ctx, "append event", func(q *query.Queries) error {
		var err error
		seq, err = q.AdvanceTurn(ctx, query.AdvanceTurnParams{MessageID: string(h.Message), OwnerID: string(h.Owner), Node: h.Node})
		if err != nil {
			return held(err)
		}
		return insertEvent(ctx, q, h.Owner, h.Message, seq, e)
	})
	return seq, err
}

func insertEvent(ctx context.Context, q *query.Queries, owner id.User, m id.Message, seq int64, e chat.Event) error {
	return q.InsertEvent(ctx, query.InsertEventParams{MessageID: string(m), Seq: seq, OwnerID: string(owner), Name: e.Name, Data: string(e.Data)})
}

// held types the absence of a running turn that the caller may write to.
func held(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return chat.ErrLost
	}
	return err
}

// EndTurn implements chat.Store.
func (s *Store) EndTurn(ctx context.Context, e chat.Ending) error {
	return s.rowTx(ctx, "end turn", func(q *query.Queries) error { return endTurn(ctx, q, e) })
}

func endTurn(ctx context.Context, q *query.Queries, e chat.Ending) error {
	owner, message := string(e.Owner), string(e.Message)
	turn := query.EndTurnParams{EndedUs: micros(&e.At), MessageID: message, OwnerID: owner, Node: e.Node, LapsedUs: clock.Micros(e.Lapsed)}
	status, detail := chat.Completed, (*string)(nil)
	if e.Reply != nil {
		turn.ReplyID = ptr(string(e.Reply.ID))
	} else {
		status, detail, turn.ErrorCode = chat.Failed, &e.Failure.Detail, &e.Failure.Code
	}
	ended, err := q.EndTurn(ctx, turn)
	if err != nil {
		return held(err)
	}
	if err := insertEvent(ctx, q, e.Owner, e.Message, ended.LastEvent, e.Last); err != nil {
		return err
	}
	if ended.DeliveryID != nil {
		delivery := query.EndDeliveryParams{Status: string(status), Error: detail, CompletedUs: micros(&e.At),
			EntityID: ended.EntityID, ID: *ended.DeliveryID, TurnID: message, OwnerID: owner}
		if e.Reply != nil && e.Reply.Content != "" {
			delivery.Content, delivery.ContentSize = &e.Reply.Content, int64(len(e.Reply.Content))
		}
		return errors.Join(q.EndDelivery(ctx, delivery), q.PruneDeliveries(ctx, query.PruneDeliveriesParams{EntityID: ended.EntityID,
			OwnerID: owner, Most: chat.KeptDeliveries, MostBytes: chat.KeptDeliveryBytes}))
	}
	if err := q.EndMessage(ctx, query.EndMessageParams{Status: string(status), Error: detail, ID: message, OwnerID: owner}); err != nil {
		return err
	}
	if e.Reply == nil {
		// Nothing of a failed turn is kept under its key: a retry runs again.
		return q.DropOnce(ctx, query.DropOnceParams{OwnerID: owner, MessageID: &message})
	}
	calls, err := json.Marshal(e.Reply.ToolCalls)
	if err != nil {
		return fmt.Errorf("encode tool calls: %w", err)
	}
	err = q.InsertReply(ctx, query.InsertReplyParams{ID: string(e.Reply.ID), Content: e.Reply.Content, ToolCalls: string(calls),
		CreatedUs: clock.Micros(e.At), MessageID: message, OwnerID: owner})
	if err != nil {
		return err
	}
	return q.AnswerOnce(ctx, query.AnswerOnceParams{Status: ptr(int64(statusCreated)), OwnerID: owner, MessageID: &message})
}

// RenewLeases implements chat.Store.
func (s *Store) RenewLeases(ctx context.Context, node string, until time.Time) ([]chat.Holder, error) {
	rows, err := query.New(s.db.Write()).RenewLeases(ctx, query.RenewLeasesParams{LeaseUntilUs: clock.Micros(until), Node: node})
	if err != nil {
		return nil, err
	}
	held := make([]chat.Holder, len(rows))
	for i, row := range rows {
		held[i] = chat.Holder{Owner: id.User(row.OwnerID), Message: id.Message(row.MessageID), Node: node}
	}
	return held, nil
}

// LapsedTurns implements chat.Store.
func (s *Store) LapsedTurns(ctx context.Context, at time.Time, except string, limit int) ([]chat.Holder, error) {
	rows, err := s.read.LapsedTurns(ctx, query.LapsedTurnsParams{LapsedUs: clock.Micros(at), Node: except, Lim: int64(limit)})
	if err != nil {
		return nil, err
	}
	lapsed := make([]chat.Holder, len(rows))
	for i, row := range rows {
		lapsed[i] = chat.Holder{Owner: id.User(row.OwnerID), Message: id.Message(row.MessageID)}
	}
	return lapsed, nil
}

// SweepEvents implements chat.Store.
func (s *Store) SweepEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	var n int64
	err := s.tx(ctx, "sweep events", func(q *query.Queries) error {
		err := q.SweepEvents(ctx, query.SweepEventsParams{BeforeUs: micros(&before), Lim: int64(limit)})
		if err != nil {
			return err
		}
		if n, err = q.SweepTurns(ctx, query.SweepTurnsParams{BeforeUs: micros(&before), Lim: int64(limit)}); err != nil {
			return err
		}
		return q.DropTurns(ctx)
	})
	return int(n), err
}

// Turn implements chat.Store.
func (s *Store) Turn(ctx context.Context, owner id.User, entityName string, message id.Message) (chat.TurnState, error) {
	row, err := s.read.GetTurn(ctx, query.GetTurnParams{MessageID: string(message), OwnerID: string(owner), Name: entityName})
	if err != nil {
		return chat.TurnState{}, found("Message", err)
	}
	state := chat.TurnState{Message: message, Entity: row.Name, Owner: owner, Last: row.LastEvent,
		Ended: clock.FromMicrosPtr(row.EndedUs), Created: clock.FromMicros(row.CreatedUs)}
	if row.ReplyID != nil {
		state.ReplyID = ptr(id.Message(*row.ReplyID))
	}
	if row.ErrorCode != nil && row.Error != nil {
		state.Failure = chat.FailureOf(*row.ErrorCode, *row.Error)
	}
	return state, nil
}

// Events implements chat.Store.
func (s *Store) Events(ctx context.Context, owner id.User, message id.Message, after int64, limit int) ([]chat.Event, error) {
	rows, err := s.read.ListEvents(ctx, query.ListEventsParams{MessageID: string(message), OwnerID: string(owner), Seq: after, Lim: int64(limit)})
	if err != nil {
		return nil, err
	}
	events := make([]chat.Event, len(rows))
	for i, row := range rows {
		events[i] = chat.Event{Seq: row.Seq, Name: row.Name, Data: []byte(row.Data)}
	}
	return events, nil
}

// Message implements chat.Store.
func (s *Store) Message(ctx context.Context, owner id.User, message id.Message) (chat.Message, error) {
	row, err := s.read.GetMessage(ctx, query.GetMessageParams{ID: string(message), OwnerID: string(owner)})
	if err != nil {
		return chat.Message{}, found("Message", err)
	}
	return toMessage(query.MessagesAfterRow(row))
}

// MessageSeq implements chat.Store.
func (s *Store) MessageSeq(ctx context.Context, owner id.User, of id.Entity, message id.Message) (int64, error) {
	seq, err := s.read.MessageSeq(ctx, query.MessageSeqParams{ID: string(message), EntityID: string(of), OwnerID: string(owner)})
	return seq, found("Message", err)
}

// MessagesBefore implements chat.Store.
func (s *Store) MessagesBefore(ctx context.Context, owner id.User, of id.Entity, seq int64, limit int) ([]chat.Message, error) {
	rows, err := s.read.MessagesBefore(ctx, query.MessagesBeforeParams{EntityID: string(of), OwnerID: string(owner), Seq: seq, Lim: int64(limit)})
	if err != nil {
		return nil, wrap("list messages", err)
	}
	list := make([]chat.Message, len(rows))
	for i, row := range rows {
		if list[i], err = toMessage(query.MessagesAfterRow(row)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func toMessage(row query.MessagesAfterRow) (chat.Message, error) {
	m := chat.Message{ID: id.Message(row.ID), Seq: row.Seq, Role: chat.Role(row.Role), Content: row.Content,
		Status: chat.Status(row.Status), Error: row.Error, Created: clock.FromMicros(row.CreatedUs)}
	if row.InReplyTo != nil {
		m.InReplyTo = ptr(id.Message(*row.InReplyTo))
	}
	if err := json.Unmarshal([]byte(row.ToolCalls), &m.ToolCalls); err != nil {
		return m, fmt.Errorf("decode tool calls of message %s: %w", row.ID, err)
	}
	return m, nil
}
