-- name: InsertEntity :execrows
INSERT INTO entities (id, owner_id, name, display_name, instructions, model, temperature, tools, memory_enabled,
    status, pause_reason, memory_count, created_us, updated_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13)
ON CONFLICT (owner_id, name) DO NOTHING;

-- name: GetEntity :one
SELECT id, owner_id, name, display_name, instructions, model, temperature, tools, memory_enabled, status, pause_reason,
    created_us, updated_us, last_active_us
FROM entities WHERE owner_id = $1 AND name = $2;

-- name: GetEntityID :one
SELECT id FROM entities WHERE owner_id = $1 AND name = $2;

-- name: ListEntities :many
SELECT id, owner_id, name, display_name, instructions, model, temperature, tools, memory_enabled, status, pause_reason,
    created_us, updated_us, last_active_us
FROM entities WHERE owner_id = $1 ORDER BY created_us, id;

-- name: UpdateEntity :execrows
UPDATE entities SET display_name = $1, instructions = $2, model = $3, temperature = $4, tools = $5, memory_enabled = $6,
    status = $7, pause_reason = $8, updated_us = $9
WHERE id = $10 AND owner_id = $11;

-- name: TouchEntity :exec
UPDATE entities SET last_active_us = $1 WHERE id = $2 AND owner_id = $3;

-- name: DeleteEvents :exec
DELETE FROM events WHERE events.owner_id = $1 AND events.message_id IN (SELECT turns.message_id FROM turns WHERE turns.entity_id = $2);

-- name: DeleteTurns :exec
DELETE FROM turns WHERE owner_id = $1 AND entity_id = $2;

-- name: DeleteMessages :exec
DELETE FROM messages WHERE owner_id = $1 AND entity_id = $2;

-- name: DeleteMemories :execrows
DELETE FROM memories WHERE owner_id = $1 AND entity_id = $2;

-- name: DeleteOnce :exec
DELETE FROM idempotency WHERE owner_id = $1 AND entity_id = $2;

-- name: DeleteEntity :exec
DELETE FROM entities WHERE owner_id = $1 AND id = $2;

-- name: PutMemory :one
INSERT INTO memories (entity_id, key, owner_id, value, source, revision, created_us, updated_us)
SELECT e.id, sqlc.arg(key), e.owner_id, sqlc.arg(value), sqlc.arg(source), 1, sqlc.arg(now_us), sqlc.arg(now_us)
FROM entities e WHERE e.id = sqlc.arg(entity_id) AND e.owner_id = sqlc.arg(owner_id)
ON CONFLICT (entity_id, key) DO UPDATE SET value = excluded.value, source = excluded.source,
    updated_us = excluded.updated_us, revision = memories.revision + 1
RETURNING revision, created_us, updated_us;

-- name: CountMemory :execrows
UPDATE entities SET memory_count = memory_count + 1 WHERE id = $1 AND owner_id = $2 AND memory_count < $3;

-- name: UncountMemories :exec
UPDATE entities SET memory_count = memory_count - $1 WHERE id = $2 AND owner_id = $3;

-- name: GetMemory :one
SELECT key, value, source, created_us, updated_us FROM memories WHERE entity_id = $1 AND key = $2 AND owner_id = $3;

-- name: ListMemories :many
SELECT key, value, source, created_us, updated_us FROM memories
WHERE entity_id = $1 AND key > sqlc.arg(after) AND key >= sqlc.arg(first) AND key < sqlc.arg(beyond) AND owner_id = sqlc.arg(owner_id)
ORDER BY key LIMIT CAST(sqlc.arg(lim) AS BIGINT);

-- name: DeleteMemory :execrows
DELETE FROM memories WHERE entity_id = $1 AND key = $2 AND owner_id = $3;
