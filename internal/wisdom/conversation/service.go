package conversation

import (
	"context"
	"fmt"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Service shows each user their conversations, and to the key of an integration only
// those of that integration. It is safe for concurrent use.
type Service struct {
	store Store
	now   clock.Now
}

// New returns the service.
func New(store Store, now clock.Now) *Service { return &Service{store, now} }

// List returns what q selects, newest first.
func (s *Service) List(ctx context.Context, p principal.Principal, q Query) ([]Conversation, error) {
	list, err := s.store.Conversations(ctx, p.User, p.Integration, q)
	if err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	return list, nil
}

// Get finds a conversation. Fault: NotFound.
func (s *Service) Get(ctx context.Context, p principal.Principal, c id.Conversation) (Conversation, error) {
	found, err := s.store.Conversation(ctx, p.User, p.Integration, c)
	if err != nil {
		return Conversation{}, missing("Conversation", err)
	}
	return found, nil
}

// Patch changes a conversation; a patch of nothing leaves it as it is. Fault: NotFound,
// also for an integration that is not p's. For the key of an integration there is no
// other integration.
func (s *Service) Patch(ctx context.Context, p principal.Principal, c id.Conversation, patch Patch) (Conversation, error) {
	if patch == (Patch{}) {
		return s.Get(ctx, p, c)
	}
	if p.Integration != "" && patch.Integration != nil && *patch.Integration != p.Integration {
		return Conversation{}, fault.Missing("Conversation")
	}
	changed, err := s.store.PatchConversation(ctx, p.User, p.Integration, c, patch, s.now())
	if err != nil {
		return Conversation{}, missing("Conversation", err)
	}
	return changed, nil
}

// Delete removes a conversation with its messages. Fault: NotFound.
func (s *Service) Delete(ctx context.Context, p principal.Principal, c id.Conversation) error {
	if err := s.store.DeleteConversation(ctx, p.User, p.Integration, c); err != nil {
		return missing("Conversation", err)
	}
	return nil
}

// Messages lists what was said, oldest first. What is too large for a list is left out.
// Fault: NotFound.
func (s *Service) Messages(ctx context.Context, p principal.Principal, c id.Conversation, limit, offset int) ([]Message, error) {
	list, err := s.store.Messages(ctx, p.User, p.Integration, c, limit, offset)
	if err != nil {
		return nil, missing("Conversation", err)
	}
	return list, nil
}

// Whole is a message of Messages with what was left out of the list. Fault: NotFound, if it
// is gone.
func (s *Service) Whole(ctx context.Context, p principal.Principal, m Message) (Message, error) {
	if !m.Large {
		return m, nil
	}
	return s.Message(ctx, p, m.Conversation, m.ID)
}

// Message finds one thing said in a conversation. Fault: NotFound.
func (s *Service) Message(ctx context.Context, p principal.Principal, c id.Conversation, m id.Message) (Message, error) {
	found, err := s.store.Message(ctx, p.User, p.Integration, c, m)
	if err != nil {
		return Message{}, missing("Message", err)
	}
	return found, nil
}

// DeleteMessage removes it. Fault: NotFound.
func (s *Service) DeleteMessage(ctx context.Context, p principal.Principal, c id.Conversation, m id.Message) error {
	if err := s.store.DeleteMessage(ctx, p.User, p.Integration, c, m); err != nil {
		return missing("Message", err)
	}
	return nil
}

// missing names what was not found.
func missing(what string, err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Missing(what).Because(err)
	}
	return fmt.Errorf("look for a conversation or message: %w", err)
}
