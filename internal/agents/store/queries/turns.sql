-- name: GetOnce :one
SELECT fingerprint, message_id, status, code, body, created_us FROM idempotency WHERE owner_id = $1 AND scope = $2 AND key = $3;

-- name: PutOnce :exec
INSERT INTO idempotency (owner_id, scope, key, entity_id, fingerprint, message_id, status, code, body, created_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (owner_id, scope, key) DO UPDATE SET entity_id = excluded.entity_id, fingerprint = excluded.fingerprint,
    message_id = excluded.message_id, status = excluded.status, code = excluded.code, body = excluded.body,
    created_us = excluded.created_us;

-- name: AnswerOnce :exec
UPDATE idempotency SET status = $1 WHERE owner_id = $2 AND message_id = $3;

-- name: DropOnce :exec
DELETE FROM idempotency WHERE owner_id = $1 AND message_id = $2;

-- name: ForgetOnce :execrows
DELETE FROM idempotency WHERE (owner_id, scope, key) IN (
    SELECT old.owner_id, old.scope, old.key FROM idempotency old
    WHERE old.created_us <= sqlc.arg(before_us) AND old.status IS NOT NULL
    ORDER BY old.created_us LIMIT CAST(sqlc.arg(lim) AS BIGINT));

-- name: RunningTurn :one
SELECT message_id, node, lease_until_us FROM turns WHERE entity_id = $1 AND owner_id = $2 AND ended_us IS NULL;

-- name: LastMessage :one
SELECT seq, created_us FROM messages WHERE entity_id = $1 AND owner_id = $2 ORDER BY seq DESC LIMIT 1;

-- name: InsertMessage :exec
INSERT INTO messages (id, entity_id, owner_id, seq, role, content, status, tool_calls, created_us)
VALUES ($1, $2, $3, $4, 'user', $5, 'running', '[]', $6);

-- name: InsertReply :exec
INSERT INTO messages (id, entity_id, owner_id, seq, role, content, in_reply_to, status, tool_calls, created_us)
SELECT sqlc.arg(id), m.entity_id, m.owner_id, m.seq + 1, 'assistant', sqlc.arg(content), m.id, 'completed', sqlc.arg(tool_calls), sqlc.arg(created_us)
FROM messages m WHERE m.id = sqlc.arg(message_id) AND m.owner_id = sqlc.arg(owner_id);

-- name: EndMessage :exec
UPDATE messages SET status = $1, error = $2 WHERE id = $3 AND owner_id = $4;

-- name: InsertTurn :exec
INSERT INTO turns (message_id, entity_id, owner_id, node, lease_until_us, last_event, events_kept, delivery_id)
VALUES ($1, $2, $3, $4, $5, 1, TRUE, $6);

-- name: InsertEvent :exec
INSERT INTO events (message_id, seq, owner_id, name, data) VALUES ($1, $2, $3, $4, $5);

-- name: AdvanceTurn :one
UPDATE turns SET last_event = last_event + 1
WHERE message_id = $1 AND owner_id = $2 AND node = $3 AND ended_us IS NULL
RETURNING last_event;

-- name: EndTurn :one
UPDATE turns SET last_event = last_event + 1, ended_us = sqlc.arg(ended_us), reply_id = sqlc.narg(reply_id), error_code = sqlc.narg(error_code)
WHERE message_id = sqlc.arg(message_id) AND owner_id = sqlc.arg(owner_id) AND ended_us IS NULL
    AND (node = sqlc.arg(node) OR lease_until_us <= sqlc.arg(lapsed_us))
RETURNING last_event, entity_id, delivery_id;

-- name: RenewLeases :many
UPDATE turns SET lease_until_us = $1 WHERE node = $2 AND ended_us IS NULL RETURNING message_id, owner_id;

-- name: LapsedTurns :many
SELECT message_id, owner_id FROM turns
WHERE ended_us IS NULL AND lease_until_us <= sqlc.arg(lapsed_us) AND node <> sqlc.arg(node)
ORDER BY lease_until_us, message_id LIMIT CAST(sqlc.arg(lim) AS BIGINT);

-- name: SweepEvents :exec
DELETE FROM events WHERE events.message_id IN (
    SELECT old.message_id FROM turns old WHERE old.events_kept AND old.ended_us <= sqlc.arg(before_us)
    ORDER BY old.ended_us, old.message_id LIMIT CAST(sqlc.arg(lim) AS BIGINT));

-- name: SweepTurns :execrows
UPDATE turns SET events_kept = FALSE WHERE turns.message_id IN (
    SELECT old.message_id FROM turns old WHERE old.events_kept AND old.ended_us <= sqlc.arg(before_us)
    ORDER BY old.ended_us, old.message_id LIMIT CAST(sqlc.arg(lim) AS BIGINT));

-- name: DropTurns :exec
DELETE FROM turns WHERE delivery_id > '' AND NOT events_kept;

-- name: GetTurn :one
SELECT t.message_id, t.entity_id, e.name, t.last_event, t.reply_id, t.error_code, t.ended_us, m.created_us, m.error
FROM turns t
JOIN entities e ON e.id = t.entity_id
JOIN messages m ON m.id = t.message_id
WHERE t.message_id = $1 AND t.owner_id = $2 AND e.name = $3;

-- name: ListEvents :many
SELECT seq, name, data FROM events
WHERE message_id = $1 AND owner_id = $2 AND seq > $3
ORDER BY seq LIMIT CAST(sqlc.arg(lim) AS BIGINT);

-- name: GetMessage :one
SELECT id, seq, role, content, in_reply_to, status, error, tool_calls, created_us FROM messages
WHERE id = $1 AND owner_id = $2;

-- name: MessageSeq :one
SELECT seq FROM messages WHERE id = $1 AND entity_id = $2 AND owner_id = $3;

-- name: MessagesBefore :many
SELECT id, seq, role, content, in_reply_to, status, error, tool_calls, created_us FROM messages
WHERE entity_id = $1 AND owner_id = $2 AND seq < $3
ORDER BY seq DESC LIMIT CAST(sqlc.arg(lim) AS BIGINT);

-- name: MessagesAfter :many
SELECT id, seq, role, content, in_reply_to, status, error, tool_calls, created_us FROM messages
WHERE entity_id = $1 AND owner_id = $2 AND seq > $3
ORDER BY seq LIMIT CAST(sqlc.arg(lim) AS BIGINT);
