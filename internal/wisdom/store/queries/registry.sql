-- name: CreateAgent :exec
INSERT INTO agents (id, slug, owner_id, name, name_sort, description, version, endpoint, auth_type, input_schema, tags, category, visibility, trust,
    is_active, supports_streaming, hosted_entity, pricing_strategy, base_price, pricing_enabled, created_us, updated_us, content_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23);

-- name: SaveAgent :exec
UPDATE agents
SET name = $1, name_sort = $2, description = $3, endpoint = $4, auth_type = $5, input_schema = $6, tags = $7, category = $8, visibility = $9,
    is_active = $10, supports_streaming = $11, pricing_strategy = $12, base_price = $13, pricing_enabled = $14, updated_us = $15, content_us = $16
WHERE id = $17 AND owner_id = $18;

-- name: OwnedAgent :one
SELECT * FROM agents WHERE id = $1 AND owner_id = $2;

-- name: HostedAgent :one
SELECT * FROM agents WHERE owner_id = $1 AND hosted_entity = $2;

-- name: VisibleAgent :one
SELECT * FROM agents WHERE slug = $1 AND (visibility = 'public' OR owner_id = $2);

-- name: OwnedAgents :many
SELECT * FROM agents
WHERE owner_id = $1
ORDER BY created_us DESC, id DESC
LIMIT CAST(sqlc.arg(lim) AS BIGINT) OFFSET CAST(sqlc.arg(skip) AS BIGINT);

-- name: DeleteAgent :execrows
DELETE FROM agents WHERE id = $1 AND owner_id = $2;

-- name: AddAgentTag :exec
INSERT INTO agent_tags (agent_id, tag) VALUES ($1, $2);

-- name: ClearAgentTags :exec
DELETE FROM agent_tags WHERE agent_id = $1;

-- name: PutAgentSearch :exec
INSERT INTO agent_search (agent_id, name, description) VALUES ($1, $2, $3)
ON CONFLICT (agent_id) DO UPDATE SET name = excluded.name, description = excluded.description;
