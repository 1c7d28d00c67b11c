package httpapi

import (
	"context"
	"slices"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
)

// Conversation serves what users and agents said to each other (contract §7.1).
type Conversation struct {
	Service *conversation.Service
	Broker  *broker.Service
}

func (h *Conversation) routes() []httpx.Route {
	return []httpx.Route{
		httpx.Get("/conversations", httpx.User, h.list, httpx.Doc("List your conversations, newest first; the key of an integration lists those of the integration")),
		httpx.Get("/conversations/{id}", httpx.User, h.get, httpx.Doc("Read a conversation")),
		httpx.Patch("/conversations/{id}", httpx.User, h.patch, httpx.Doc("Name a conversation, or give it to one of your integrations; what is absent or null stays")),
		httpx.Delete("/conversations/{id}", httpx.User, h.delete, httpx.Doc("Delete a conversation with its messages")),
		httpx.Get("/conversations/{id}/logs", httpx.User, h.logs, httpx.Returns[[]api.InvocationLog](), httpx.Doc("List your invocations in a conversation, newest first")),
		httpx.Get("/conversations/{id}/messages", httpx.User, h.messages, httpx.Returns[[]api.Message](), httpx.Doc("List what was said, oldest first")),
		httpx.Get("/conversations/{id}/messages/{mid}", httpx.User, h.message, httpx.Doc("Read one message")),
		httpx.Delete("/conversations/{id}/messages/{mid}", httpx.User, h.deleteMessage, httpx.Doc("Delete one message")),
	}
}

type conversationListInput struct {
	IntegrationID  string  `query:"integration_id" format:"uuid"`
	ExternalUserID *string `query:"external_user_id" maxLength:"255"`
	Limit          int     `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
	Offset         int     `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Conversation) list(ctx context.Context, p principal.Principal, in *conversationListInput) ([]api.Conversation, error) {
	found, err := h.Service.List(ctx, p, conversation.Query{Integration: id.Integration(in.IntegrationID), ExternalUser: in.ExternalUserID, Limit: in.Limit, Offset: in.Offset})
	return toConversations(found), err
}

type conversationInput struct {
	ID string `path:"id" format:"uuid"`
}

func (h *Conversation) get(ctx context.Context, p principal.Principal, in *conversationInput) (api.Conversation, error) {
	c, err := h.Service.Get(ctx, p, id.Conversation(in.ID))
	return toConversation(c), err
}

type patchConversationInput struct {
	ID   string `path:"id" format:"uuid"`
	Body patchConversationBody
}

type patchConversationBody struct {
	Title         *string `json:"title,omitempty" nullable:"true" minLength:"1" maxLength:"255"`
	IntegrationID *string `json:"integration_id,omitempty" nullable:"true" format:"uuid" doc:"One of yours. A conversation cannot be taken from its integration but only given to another, and not with an integration's key"`
}

func (h *Conversation) patch(ctx context.Context, p principal.Principal, in *patchConversationInput) (api.Conversation, error) {
	patch := conversation.Patch{Title: in.Body.Title}
	if in.Body.IntegrationID != nil {
		integration, _ := id.Parse[id.Integration](*in.Body.IntegrationID) // the schema has seen that it is one
		patch.Integration = &integration
	}
	c, err := h.Service.Patch(ctx, p, id.Conversation(in.ID), patch)
	return toConversation(c), err
}

func (h *Conversation) delete(ctx context.Context, p principal.Principal, in *conversationInput) (httpx.None, error) {
	return httpx.None{}, h.Service.Delete(ctx, p, id.Conversation(in.ID))
}

type conversationLogsInput struct {
	ID     string `path:"id" format:"uuid"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
	Offset int    `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Conversation) logs(ctx context.Context, p principal.Principal, in *conversationLogsInput) (httpx.Reply, error) {
	c, err := h.Service.Get(ctx, p, id.Conversation(in.ID))
	if err != nil {
		return httpx.Reply{}, err
	}
	list, err := h.Broker.Logs(ctx, p, broker.LogQuery{Conversation: c.ID, Mine: true, Limit: in.Limit, Offset: in.Offset})
	return listLogs(h.Broker, p, list), err
}

type messageListInput struct {
	ID     string `path:"id" format:"uuid"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
	Offset int    `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Conversation) messages(ctx context.Context, p principal.Principal, in *messageListInput) (httpx.Reply, error) {
	found, err := h.Service.Messages(ctx, p, id.Conversation(in.ID), in.Limit, in.Offset)
	if !slices.ContainsFunc(found, func(m conversation.Message) bool { return m.Large }) {
		return httpx.Reply{JSON: toMessages(found)}, err
	}
	return httpx.List(found, func(ctx context.Context, m conversation.Message) (api.Message, error) {
		m, err := h.Service.Whole(ctx, p, m)
		return toMessage(m), err
	}), nil
}

type conversationMessageInput struct {
	ID      string `path:"id" format:"uuid"`
	Message string `path:"mid" format:"uuid"`
}

func (h *Conversation) message(ctx context.Context, p principal.Principal, in *conversationMessageInput) (api.Message, error) {
	m, err := h.Service.Message(ctx, p, id.Conversation(in.ID), id.Message(in.Message))
	return toMessage(m), err
}

func (h *Conversation) deleteMessage(ctx context.Context, p principal.Principal, in *conversationMessageInput) (httpx.None, error) {
	return httpx.None{}, h.Service.DeleteMessage(ctx, p, id.Conversation(in.ID), id.Message(in.Message))
}

func toConversation(c conversation.Conversation) api.Conversation {
	return api.Conversation{ID: string(c.ID), UserID: string(c.User), IntegrationID: (*string)(c.Integration), Title: c.Title, ExternalUserID: c.ExternalUser,
		CreatedAt: api.At(c.Created), UpdatedAt: api.At(c.Updated)}
}

func toConversations(found []conversation.Conversation) []api.Conversation {
	list := make([]api.Conversation, len(found))
	for i, c := range found {
		list[i] = toConversation(c)
	}
	return list
}

func toMessage(m conversation.Message) api.Message {
	return api.Message{ID: string(m.ID), ConversationID: string(m.Conversation), Role: m.Role, Content: m.Content, Metadata: m.Metadata, AgentID: m.Agent,
		CreatedAt: api.At(m.Created)}
}

func toMessages(found []conversation.Message) []api.Message {
	list := make([]api.Message, len(found))
	for i, m := range found {
		list[i] = toMessage(m)
	}
	return list
}
