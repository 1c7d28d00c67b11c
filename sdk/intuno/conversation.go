package intuno

import (
	"context"
	"iter"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
)

// ConversationQuery selects conversations.
type ConversationQuery struct {
	IntegrationID  string
	ExternalUserID string
	Page           // Limit 1 to 1000; 0: 1000
}

// Conversations lists conversations, newest first.
func (c *Client) Conversations(ctx context.Context, query ConversationQuery) ([]api.Conversation, error) {
	q := query.query()
	text(q, "integration_id", query.IntegrationID)
	text(q, "external_user_id", query.ExternalUserID)
	return call[[]api.Conversation](ctx, c, newRequest(http.MethodGet, "/conversations").with(q))
}

// AllConversations walks the pages of Conversations.
func (c *Client) AllConversations(ctx context.Context, query ConversationQuery) iter.Seq2[api.Conversation, error] {
	return pages(query.Page, 1000, func(p Page) ([]api.Conversation, error) {
		query.Page = p
		return c.Conversations(ctx, query)
	})
}

// Conversation reads a conversation.
func (c *Client) Conversation(ctx context.Context, id string) (api.Conversation, error) {
	return call[api.Conversation](ctx, c, newRequest(http.MethodGet, "/conversations/{id}", id))
}

// UpdateConversation changes a conversation.
func (c *Client) UpdateConversation(ctx context.Context, id string, change api.ConversationPatch) (api.Conversation, error) {
	return call[api.Conversation](ctx, c, newRequest(http.MethodPatch, "/conversations/{id}", id).send(change))
}

// DeleteConversation deletes a conversation with its messages.
func (c *Client) DeleteConversation(ctx context.Context, id string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/conversations/{id}", id))
}

// ConversationLogs lists your invocations in a conversation, newest first; Limit is 1 to
// 100.
func (c *Client) ConversationLogs(ctx context.Context, id string, page Page) ([]api.InvocationLog, error) {
	return call[[]api.InvocationLog](ctx, c, newRequest(http.MethodGet, "/conversations/{id}/logs", id).with(page.query()))
}

// AllConversationLogs walks the pages of ConversationLogs.
func (c *Client) AllConversationLogs(ctx context.Context, id string, page Page) iter.Seq2[api.InvocationLog, error] {
	return pages(page, 100, func(p Page) ([]api.InvocationLog, error) { return c.ConversationLogs(ctx, id, p) })
}

// Messages lists the messages of a conversation, oldest first; Limit is 1 to 500.
func (c *Client) Messages(ctx context.Context, id string, page Page) ([]api.Message, error) {
	return call[[]api.Message](ctx, c, newRequest(http.MethodGet, "/conversations/{id}/messages", id).with(page.query()))
}

// AllMessages walks the pages of Messages.
func (c *Client) AllMessages(ctx context.Context, id string, page Page) iter.Seq2[api.Message, error] {
	return pages(page, 500, func(p Page) ([]api.Message, error) { return c.Messages(ctx, id, p) })
}

// Message reads a message of a conversation.
func (c *Client) Message(ctx context.Context, id, message string) (api.Message, error) {
	return call[api.Message](ctx, c, newRequest(http.MethodGet, "/conversations/{id}/messages/{mid}", id, message))
}

// DeleteMessage deletes a message of a conversation.
func (c *Client) DeleteMessage(ctx context.Context, id, message string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/conversations/{id}/messages/{mid}", id, message))
}

// CreateIntegration makes an integration: a product of yours with API keys of its own.
func (c *Client) CreateIntegration(ctx context.Context, integration api.NewIntegration) (api.Integration, error) {
	return call[api.Integration](ctx, c, newRequest(http.MethodPost, "/integrations").send(integration))
}

// Integrations lists your integrations, newest first.
func (c *Client) Integrations(ctx context.Context) ([]api.IntegrationSummary, error) {
	return call[[]api.IntegrationSummary](ctx, c, newRequest(http.MethodGet, "/integrations"))
}

// Integration reads an integration.
func (c *Client) Integration(ctx context.Context, id string) (api.Integration, error) {
	return call[api.Integration](ctx, c, newRequest(http.MethodGet, "/integrations/{id}", id))
}

// DeleteIntegration deletes an integration with its keys, conversations and messages. It
// needs a token.
func (c *Client) DeleteIntegration(ctx context.Context, id string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/integrations/{id}", id))
}

// IntegrationKeys lists the API keys of an integration.
func (c *Client) IntegrationKeys(ctx context.Context, id string) ([]api.APIKey, error) {
	return call[[]api.APIKey](ctx, c, newRequest(http.MethodGet, "/integrations/{id}/api-keys", id))
}

// CreateIntegrationKey creates an API key of an integration, whose text is shown this
// once. It needs a token.
func (c *Client) CreateIntegrationKey(ctx context.Context, id string, key api.NewAPIKey) (api.APIKeyCreated, error) {
	return call[api.APIKeyCreated](ctx, c, newRequest(http.MethodPost, "/integrations/{id}/api-keys", id).send(key))
}

// DeleteIntegrationKey deletes a key of an integration. It needs a token.
func (c *Client) DeleteIntegrationKey(ctx context.Context, id, key string) error {
	return c.do(ctx, newRequest(http.MethodDelete, "/integrations/{id}/api-keys/{key_id}", id, key))
}

// BrokerConfig reads what the calls of an integration are held to.
func (c *Client) BrokerConfig(ctx context.Context, id string) (api.BrokerConfig, error) {
	return call[api.BrokerConfig](ctx, c, newRequest(http.MethodGet, "/integrations/{id}/broker-config", id))
}

// SetBrokerConfig replaces what the calls of an integration are held to. It needs a
// token.
func (c *Client) SetBrokerConfig(ctx context.Context, id string, config api.BrokerConfig) (api.BrokerConfig, error) {
	if config.AllowedAgentIDs == nil {
		config.AllowedAgentIDs = []string{}
	}
	return call[api.BrokerConfig](ctx, c, newRequest(http.MethodPut, "/integrations/{id}/broker-config", id).send(config))
}
