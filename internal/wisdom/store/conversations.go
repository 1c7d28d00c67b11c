package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var _ conversation.Store = (*Store)(nil)

// conversationsQuery lists along the index of what selects most: the external user,
// else the integration, else the user (migration 6). It is built by hand because
// filters come and go.
func conversationsQuery(user id.User, within id.Integration, q conversation.Query) (string, []any) {
	args := []any{string(user)}
	param := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	text := "SELECT id, user_id, integration_id, title, external_user, created_us, updated_us FROM conversations WHERE user_id = $1"
	column := "integration_id"
	if q.ExternalUser != nil {
		text += " AND external_user = " + param(*q.ExternalUser)
		column = "COALESCE(integration_id, '')" // its index is not to be taken
	}
	for _, i := range []id.Integration{within, q.Integration} {
		if i != "" {
			text += " AND " + column + " = " + param(string(i))
		}
	}
	return text + " ORDER BY created_us DESC, id DESC LIMIT CAST(" + param(int64(q.Limit)) + " AS BIGINT) OFFSET CAST(" + param(int64(q.Offset)) + " AS BIGINT)", args
}

// Conversations implements conversation.Store.
func (s *Store) Conversations(ctx context.Context, user id.User, within id.Integration, q conversation.Query) ([]conversation.Conversation, error) {
	text, args := conversationsQuery(user, within, q)
	rows, err := s.db.Prepared().QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("query conversations: %w", err)
	}
	defer rows.Close()
	var list []conversation.Conversation
	for rows.Next() {
		var row query.Conversation
		if err := rows.Scan(&row.ID, &row.UserID, &row.IntegrationID, &row.Title, &row.ExternalUser, &row.CreatedUs, &row.UpdatedUs); err != nil {
			return nil, fmt.Errorf("read a conversation: %w", err)
		}
		list = append(list, toConversation(row))
	}
	return list, rows.Err()
}

// Conversation implements conversation.Store.
func (s *Store) Conversation(ctx context.Context, user id.User, within id.Integration, c id.Conversation) (conversation.Conversation, error) {
	row, err := s.read.Conversation(ctx, query.ConversationParams{ID: string(c), UserID: string(user), Within: string(within)})
	return toConversation(row), sqldb.Translate(err)
}

// PatchConversation implements conversation.Store. A new title alone is one statement:
// any number of them at once wait for each other and lose nothing.
func (s *Store) PatchConversation(ctx context.Context, user id.User, within id.Integration, c id.Conversation, p conversation.Patch, at time.Time) (conversation.Conversation, error) {
	patch := query.PatchConversationParams{Title: p.Title, UpdatedUs: clock.Micros(at), ID: string(c), UserID: string(user), Within: string(within)}
	if p.Integration == nil {
		row, err := s.write.PatchConversation(ctx, patch)
		return toConversation(row), sqldb.Translate(err)
	}
	text := string(*p.Integration)
	patch.IntegrationID = &text
	var row query.Conversation
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		q := query.New(tx)
		_, err := q.Integration(ctx, query.IntegrationParams{ID: text, UserID: string(user)})
		if err == nil {
			row, err = q.PatchConversation(ctx, patch)
		}
		return sqldb.Translate(err)
	})
	return toConversation(row), err
}

// DeleteConversation implements conversation.Store. Messages go with it.
func (s *Store) DeleteConversation(ctx context.Context, user id.User, within id.Integration, c id.Conversation) error {
	return one(s.write.DeleteConversation(ctx, query.DeleteConversationParams{ID: string(c), UserID: string(user), Within: string(within)}))
}

// listedMessage is how many bytes a message may have, content and metadata together, to
// be listed with them: a page of 500 messages has at most 7.8 MiB.
const listedMessage = 16 << 10

// Messages implements conversation.Store.
func (s *Store) Messages(ctx context.Context, user id.User, within id.Integration, c id.Conversation, limit, offset int) ([]conversation.Message, error) {
	if _, err := s.Conversation(ctx, user, within, c); err != nil {
		return nil, err
	}
	rows, err := s.read.ConversationMessages(ctx, query.ConversationMessagesParams{Most: listedMessage, ConversationID: string(c), UserID: string(user),
		Lim: int64(limit), Skip: int64(offset)})
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	list := make([]conversation.Message, len(rows))
	for i, row := range rows {
		list[i] = conversation.Message{ID: id.Message(row.ID), Conversation: id.Conversation(row.ConversationID), Role: row.Role, Content: row.Content,
			Large: row.Large, Agent: row.AgentSlug, Created: clock.FromMicros(row.CreatedUs)}
		if row.Metadata != "" {
			list[i].Metadata = []byte(row.Metadata)
		}
	}
	return list, nil
}

// Message implements conversation.Store.
func (s *Store) Message(ctx context.Context, user id.User, within id.Integration, c id.Conversation, m id.Message) (conversation.Message, error) {
	row, err := s.read.ConversationMessage(ctx, query.ConversationMessageParams{ID: string(m), ConversationID: string(c), UserID: string(user), Within: string(within)})
	return toMessage(row), sqldb.Translate(err)
}

// DeleteMessage implements conversation.Store.
func (s *Store) DeleteMessage(ctx context.Context, user id.User, within id.Integration, c id.Conversation, m id.Message) error {
	return one(s.write.DeleteConversationMessage(ctx, query.DeleteConversationMessageParams{ID: string(m), ConversationID: string(c), UserID: string(user), Within: string(within)}))
}

func toConversation(row query.Conversation) conversation.Conversation {
	return conversation.Conversation{ID: id.Conversation(row.ID), User: id.User(row.UserID), Integration: (*id.Integration)(row.IntegrationID), Title: row.Title,
		ExternalUser: row.ExternalUser, Created: clock.FromMicros(row.CreatedUs), Updated: clock.FromMicros(row.UpdatedUs)}
}

func toMessage(row query.ConversationMessage) conversation.Message {
	m := conversation.Message{ID: id.Message(row.ID), Conversation: id.Conversation(row.ConversationID), Role: row.Role, Content: row.Content,
		Agent: row.AgentSlug, Created: clock.FromMicros(row.CreatedUs)}
	if row.Metadata != nil {
		m.Metadata = []byte(*row.Metadata)
	}
	return m
}
