// Package export reads everything that the host keeps of an entity, for its owner to
// take away. How it is written is not here.
package export

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Snapshot is an entity at one moment. It is read in pages, so that it takes little
// memory however long the history is. Close must be called.
type Snapshot interface {
	Entity() entity.Entity
	Memories(ctx context.Context, after string, limit int) ([]memory.Memory, error)
	Messages(ctx context.Context, after int64, limit int) ([]chat.Message, error)
	// Deliveries lists those after the given one, by when they came, then id.
	Deliveries(ctx context.Context, after chat.StoredDelivery, limit int) ([]chat.StoredDelivery, error)
	Close() error
}

// Store opens snapshots. What is not the owner's is fault.Missing.
type Store interface {
	Snapshot(ctx context.Context, owner id.User, name string) (Snapshot, error)
}

const (
	page = 32 // items read at once
	// deliveryPage is the same for deliveries, which may be as large as a request.
	deliveryPage = 4
	// maxOpen is how many exports run at once in a process: each holds a
	// connection to the database until its reader has read everything.
	maxOpen = 2
	// MaxTime is how long one export may take.
	MaxTime = time.Minute
)

// Service exports.
type Service struct {
	store Store
	now   clock.Now
	slots chan struct{}
}

// New returns a Service.
func New(store Store, now clock.Now) *Service {
	return &Service{store: store, now: now, slots: make(chan struct{}, maxOpen)}
}

// Visitor takes the parts of an export in order: Entity once, then every memory by
// key, then every message from old to new, then every delivery likewise, whose Caller is
// "" if it is not the owner. An error ends the export.
type Visitor interface {
	Entity(e entity.Entity, at time.Time) error
	Memory(m memory.Memory) error
	Message(m chat.Message) error
	Delivery(d chat.StoredDelivery) error
}

// Visit shows v everything, as it was at one moment. It waits while too many exports
// run. ctx should end after MaxTime.
func (s *Service) Visit(ctx context.Context, p principal.Principal, name string, v Visitor) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return fmt.Errorf("wait for other exports: %w", ctx.Err())
	}
	snapshot, err := s.store.Snapshot(ctx, p.User, name)
	if err != nil {
		return err
	}
	defer func() { _ = snapshot.Close() }() // nothing was written
	if err := v.Entity(snapshot.Entity(), s.now()); err != nil {
		return err
	}
	if err := memories(ctx, snapshot, v); err != nil {
		return err
	}
	if err := messages(ctx, snapshot, v); err != nil {
		return err
	}
	return deliveries(ctx, snapshot, v)
}

func memories(ctx context.Context, snapshot Snapshot, v Visitor) error {
	after := ""
	for {
		list, err := snapshot.Memories(ctx, after, page)
		if err != nil {
			return err
		}
		for _, m := range list {
			if err := v.Memory(m); err != nil {
				return err
			}
			after = m.Key
		}
		if len(list) < page {
			return nil
		}
	}
}

func messages(ctx context.Context, snapshot Snapshot, v Visitor) error {
	after := int64(0)
	for {
		list, err := snapshot.Messages(ctx, after, page)
		if err != nil {
			return err
		}
		for _, m := range list {
			if err := v.Message(m); err != nil {
				return err
			}
			after = m.Seq
		}
		if len(list) < page {
			return nil
		}
	}
}

func deliveries(ctx context.Context, snapshot Snapshot, v Visitor) error {
	last := chat.StoredDelivery{Created: time.UnixMicro(0)}
	for {
		list, err := snapshot.Deliveries(ctx, last, deliveryPage)
		if err != nil {
			return err
		}
		for _, d := range list {
			last = d
			if d.Caller != snapshot.Entity().Owner {
				d.Caller = "" // an agent's owner does not learn who calls it (contract §5.3, 5.6)
			}
			if err := v.Delivery(d); err != nil {
				return err
			}
		}
		if len(list) < deliveryPage {
			return nil
		}
	}
}
