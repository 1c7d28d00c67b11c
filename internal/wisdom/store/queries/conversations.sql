-- Conversations as users read them. within is the integration whose conversations alone
-- are seen; '' means all.

-- name: Conversation :one
SELECT * FROM conversations
WHERE id = sqlc.arg(id) AND user_id = sqlc.arg(user_id) AND (CAST(sqlc.arg(within) AS TEXT) = '' OR integration_id = CAST(sqlc.arg(within) AS TEXT));

-- name: PatchConversation :one
UPDATE conversations SET
    title = COALESCE(CAST(sqlc.narg(title) AS TEXT), title),
    integration_id = COALESCE(CAST(sqlc.narg(integration_id) AS TEXT), integration_id),
    updated_us = sqlc.arg(updated_us)
WHERE id = sqlc.arg(id) AND user_id = sqlc.arg(user_id) AND (CAST(sqlc.arg(within) AS TEXT) = '' OR integration_id = CAST(sqlc.arg(within) AS TEXT))
RETURNING *;

-- name: DeleteConversation :execrows
DELETE FROM conversations
WHERE id = sqlc.arg(id) AND user_id = sqlc.arg(user_id) AND (CAST(sqlc.arg(within) AS TEXT) = '' OR integration_id = CAST(sqlc.arg(within) AS TEXT));

-- What is too large together is left out, unread: octet_length looks at no content.
-- name: ConversationMessages :many
SELECT id, conversation_id, role, agent_slug, created_us,
    CAST(CASE WHEN octet_length(content) + COALESCE(octet_length(metadata), 0) <= CAST(sqlc.arg(most) AS BIGINT) THEN content ELSE '' END AS TEXT) AS content,
    CAST(CASE WHEN octet_length(content) + COALESCE(octet_length(metadata), 0) <= CAST(sqlc.arg(most) AS BIGINT) THEN COALESCE(metadata, '') ELSE '' END AS TEXT) AS metadata,
    octet_length(content) + COALESCE(octet_length(metadata), 0) > CAST(sqlc.arg(most) AS BIGINT) AS large
FROM conversation_messages
WHERE conversation_id = sqlc.arg(conversation_id) AND user_id = sqlc.arg(user_id)
ORDER BY created_us, id
LIMIT CAST(sqlc.arg(lim) AS BIGINT) OFFSET CAST(sqlc.arg(skip) AS BIGINT);

-- name: ConversationMessage :one
SELECT m.* FROM conversation_messages m JOIN conversations c ON c.id = m.conversation_id
WHERE m.id = sqlc.arg(id) AND m.conversation_id = sqlc.arg(conversation_id) AND m.user_id = sqlc.arg(user_id)
    AND (CAST(sqlc.arg(within) AS TEXT) = '' OR c.integration_id = CAST(sqlc.arg(within) AS TEXT));

-- name: DeleteConversationMessage :execrows
DELETE FROM conversation_messages
WHERE conversation_messages.id = sqlc.arg(id) AND conversation_messages.conversation_id = sqlc.arg(conversation_id)
    AND conversation_messages.user_id = sqlc.arg(user_id)
    AND EXISTS (SELECT 1 FROM conversations c WHERE c.id = conversation_messages.conversation_id
        AND (CAST(sqlc.arg(within) AS TEXT) = '' OR c.integration_id = CAST(sqlc.arg(within) AS TEXT)));
