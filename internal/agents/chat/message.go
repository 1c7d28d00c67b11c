package chat

import (
	"context"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Bounds, in Unicode code points (contract §10.4, 10.5).
const (
	MaxContent = 65536
	MaxReply   = 65536
	MaxSummary = 2000
)

// Role says who wrote a message.
type Role string

// The roles.
const (
	ByUser   Role = "user"
	ByEntity Role = "assistant"
)

// Status of a message. A reply is always completed; the status of a user's message
// is that of the turn.
type Status string

// The statuses.
const (
	Running   Status = "running"
	Completed Status = "completed"
	Failed    Status = "failed"
)

// ToolCall says that a tool was used.
type ToolCall struct {
	ID   string `json:"call_id"` // "t1", "t2", ... per turn
	Tool string `json:"tool"`
	OK   bool   `json:"ok"`
}

// Message is one message of a history.
type Message struct {
	ID        id.Message
	Seq       int64 // order within the entity; a reply directly follows its message
	Role      Role
	Content   string
	InReplyTo *id.Message
	Status    Status
	Error     *string // fixed text of a failed turn
	ToolCalls []ToolCall
	Created   time.Time
}

// jsonBytes is an upper bound of the message's bytes in a JSON list.
func (m Message) jsonBytes() int {
	n := 512 + entity.TextBytes(m.Content)
	for _, call := range m.ToolCalls {
		n += 64 + len(call.ID) + entity.TextBytes(call.Tool)
	}
	return n
}

// historyChunk is how many messages are read at once, to bound the memory that a
// page of large messages takes.
const historyChunk = 16

// History returns the newest messages, or those directly before the given one, from
// old to new: at most limit, and fewer if their JSON would reach 1 MiB. An empty
// page is the beginning of the history. An unknown before is fault.Missing.
func (s *Service) History(ctx context.Context, p principal.Principal, name string, before *id.Message, limit int) ([]Message, error) {
	entityID, err := s.store.EntityID(ctx, p.User, name)
	if err != nil {
		return nil, err
	}
	seq := int64(1<<63 - 1)
	if before != nil {
		if seq, err = s.store.MessageSeq(ctx, p.User, entityID, *before); err != nil {
			return nil, err
		}
	}
	var newestFirst []Message
	var page entity.Page
	for len(newestFirst) < limit {
		want := min(historyChunk, limit-len(newestFirst))
		list, err := s.store.MessagesBefore(ctx, p.User, entityID, seq, want)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			if !page.Take(m.jsonBytes()) {
				return reversed(newestFirst), nil
			}
			newestFirst = append(newestFirst, m)
			seq = m.Seq
		}
		if len(list) < want {
			break
		}
	}
	return reversed(newestFirst), nil
}

func reversed(list []Message) []Message {
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}
