package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/store/query"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// getDelivery reads what is known of the delivery that wants to become a turn: nil for a
// message, and for one that is new.
func getDelivery(ctx context.Context, q *query.Queries, start chat.Start, entityID string) (*chat.DeliveryState, error) {
	if start.Delivery == nil {
		return nil, nil
	}
	row, err := q.GetDelivery(ctx, query.GetDeliveryParams{EntityID: entityID, ID: start.Delivery.ID, OwnerID: string(start.Owner)})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &chat.DeliveryState{Turn: id.Message(row.TurnID), Status: chat.Status(row.Status), Content: row.Content}, nil
}

// insertDelivery keeps a delivery, anew if its former turn failed, and its turn.
func insertDelivery(ctx context.Context, q *query.Queries, start chat.Start, of id.Entity) error {
	d := start.Delivery
	started, err := start.Started(start.Now)
	if err != nil {
		return err
	}
	return errors.Join(
		q.PutDelivery(ctx, query.PutDeliveryParams{EntityID: string(of), ID: d.ID, OwnerID: string(start.Owner), TurnID: string(start.Message),
			Kind: string(d.Kind), CallerID: string(d.Caller), Depth: int64(d.Depth), Input: string(d.Input), Size: int64(len(d.Input)), CreatedUs: clock.Micros(start.Now)}),
		insertRunning(ctx, q, start, of, started, &d.ID),
	)
}

// Delivery implements chat.Store.
func (s *Store) Delivery(ctx context.Context, owner id.User, entityName, delivery string) (chat.DeliveryState, error) {
	row, err := s.read.FindDelivery(ctx, query.FindDeliveryParams{OwnerID: string(owner), Name: entityName, ID: delivery})
	if err != nil {
		return chat.DeliveryState{}, found("Entity", err)
	}
	state := chat.DeliveryState{Turn: id.Message(row.TurnID), Status: chat.Status(row.Status), Content: row.Content}
	if row.ErrorCode != nil && row.Error != nil {
		state.Failure = chat.FailureOf(*row.ErrorCode, *row.Error)
	}
	return state, nil
}

func (s *snapshot) Deliveries(ctx context.Context, after chat.StoredDelivery, limit int) ([]chat.StoredDelivery, error) {
	rows, err := s.q.DeliveriesAfter(ctx, query.DeliveriesAfterParams{EntityID: string(s.entity.ID), OwnerID: string(s.entity.Owner),
		CreatedUs: clock.Micros(after.Created), ID: after.ID, Lim: int64(limit)})
	if err != nil {
		return nil, wrap("list deliveries", err)
	}
	list := make([]chat.StoredDelivery, len(rows))
	for i, row := range rows {
		list[i] = chat.StoredDelivery{
			Delivery:      chat.Delivery{ID: row.ID, Kind: chat.Kind(row.Kind), Caller: id.User(row.CallerID), Depth: int(row.Depth), Input: []byte(row.Input)},
			DeliveryState: chat.DeliveryState{Status: chat.Status(row.Status), Content: row.Content},
			Error:         row.Error, Created: clock.FromMicros(row.CreatedUs), Completed: clock.FromMicrosPtr(row.CompletedUs)}
	}
	return list, nil
}
