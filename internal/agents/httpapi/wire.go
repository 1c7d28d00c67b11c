package httpapi

import (
	"fmt"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/httpx"
)

// EncodeEntity is entity.Service.Encode.
func EncodeEntity(e entity.Entity) ([]byte, error) { return httpx.JSON(wireEntity(e)) }

// EncodeEvent is chat.Options.Encode.
func EncodeEvent(p chat.Payload) ([]byte, error) {
	switch p := p.(type) {
	case chat.Started:
		return httpx.JSON(api.MessageStarted{MessageID: string(p.Message), Entity: p.Entity, CreatedAt: api.At(p.Created)})
	case chat.Delta:
		return httpx.JSON(api.ReplyDelta{MessageID: string(p.Message), Text: p.Text})
	case chat.Called:
		return httpx.JSON(api.ToolCallEvent{MessageID: string(p.Message), CallID: p.Call, Tool: p.Tool, Arguments: api.Object(p.Arguments)})
	case chat.Resulted:
		return httpx.JSON(api.ToolResultEvent{MessageID: string(p.Message), CallID: p.Call, Tool: p.Tool, OK: p.OK, Summary: p.Summary})
	case chat.Answer:
		return httpx.JSON(wireAnswer(p))
	case chat.Failure:
		return httpx.JSON(api.TurnError{MessageID: string(p.Message), Code: p.Fault.Code, Detail: p.Fault.Detail, Status: turnStatus(p.Fault)})
	}
	return nil, fmt.Errorf("no JSON for %T", p)
}

// turnStatus is the status that a plain request gets for a failed turn.
func turnStatus(f *fault.Error) int {
	switch f.Kind {
	case fault.Timeout:
		return http.StatusGatewayTimeout
	case fault.NotFound:
		return http.StatusNotFound
	}
	return http.StatusBadGateway
}

func wireEntity(e entity.Entity) api.Entity {
	return api.Entity{ID: string(e.ID), Name: e.Name, DisplayName: e.DisplayName, Instructions: e.Instructions, Model: e.Model,
		Temperature: e.Temperature, Tools: e.Tools, MemoryEnabled: e.MemoryEnabled, Status: string(e.Status), PauseReason: e.PauseReason,
		OwnerUserID: string(e.Owner), CreatedAt: api.At(e.Created), UpdatedAt: api.At(e.Updated), LastActiveAt: api.AtPtr(e.LastActive)}
}

func wireAnswer(a chat.Answer) api.ChatAnswer {
	return api.ChatAnswer{MessageID: string(a.Message), Reply: a.Reply, ReplyMessageID: string(a.ReplyID), Entity: a.Entity,
		OwnerUserID: string(a.Owner), ToolCalls: wireCalls(a.ToolCalls), CreatedAt: api.At(a.Created), CompletedAt: api.At(a.Completed)}
}

func wireMessage(m chat.Message) api.ChatMessage {
	return api.ChatMessage{ID: string(m.ID), Role: string(m.Role), Content: m.Content, InReplyTo: (*string)(m.InReplyTo),
		Status: string(m.Status), Error: m.Error, ToolCalls: wireCalls(m.ToolCalls), CreatedAt: api.At(m.Created)}
}

func wireCalls(calls []chat.ToolCall) []api.ToolCall {
	list := make([]api.ToolCall, len(calls))
	for i, c := range calls {
		list[i] = api.ToolCall{CallID: c.ID, Tool: c.Tool, OK: c.OK}
	}
	return list
}

func wireMemory(m memory.Memory) api.Memory {
	return api.Memory{Key: m.Key, Value: m.Value, Source: string(m.Source), CreatedAt: api.At(m.Created), UpdatedAt: api.At(m.Updated)}
}
