-- name: CreateAgent :exec
INSERT INTO agents (id, slug, owner_id, name, name_sort, description, version, endpoint, auth_type, input_schema, tags, category, visibility, trust,
    is_active, supports_streaming, hosted_entity, pricing_strategy, base_price, pricing_enabled, created_us, updated_us, content_us, card_url, card_digest, dialect)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26);

-- name: SaveAgent :exec
UPDATE agents
SET name = $1, name_sort = $2, description = $3, endpoint = $4, auth_type = $5, input_schema = $6, tags = $7, category = $8, visibility = $9,
    is_active = $10, supports_streaming = $11, pricing_strategy = $12, base_price = $13, pricing_enabled = $14, updated_us = $15, content_us = $16,
    version = $17, dialect = $18, credential_types = $19, owner_active = $20
WHERE id = $21 AND owner_id = $22;

-- name: OwnedAgent :one
SELECT * FROM agents WHERE id = $1 AND owner_id = $2;

-- name: HostedAgent :one
SELECT * FROM agents WHERE owner_id = $1 AND hosted_entity = $2;

-- name: ImportedAgent :one
SELECT * FROM agents WHERE owner_id = $1 AND card_digest = $2;

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
INSERT INTO agent_search (agent_id, name, description, words, analyzer) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (agent_id) DO UPDATE SET name = excluded.name, description = excluded.description, words = excluded.words, analyzer = excluded.analyzer;

-- name: PutAgentWords :execrows
UPDATE agent_search SET words = $1, analyzer = $2
WHERE agent_id = $3 AND EXISTS (SELECT 1 FROM agents a WHERE a.id = agent_search.agent_id AND a.content_us = $4);

-- name: ClearAgentVectors :exec
DELETE FROM agent_vectors WHERE agent_id = $1;

-- name: PutAgentVector :exec
INSERT INTO agent_vectors (agent_id, model, vector, written_us) VALUES ($1, $2, $3, $4)
ON CONFLICT (agent_id, model) DO UPDATE SET vector = excluded.vector, written_us = excluded.written_us;

-- name: DropCredentials :exec
DELETE FROM agent_credentials WHERE agent_id = $1;

-- name: OutdatedAgents :many
SELECT sqlc.embed(agents), NOT EXISTS (SELECT 1 FROM agent_vectors v
    WHERE v.agent_id = agents.id AND v.model = sqlc.arg(model) AND LENGTH(v.vector) IN (0, CAST(sqlc.arg(bytes) AS BIGINT))) AS lacks_vector
FROM agents
WHERE agents.id > sqlc.arg(id) AND (
    (SELECT v.agent_id FROM agent_vectors v
        WHERE v.agent_id = agents.id AND v.model = sqlc.arg(model) AND LENGTH(v.vector) IN (0, CAST(sqlc.arg(bytes) AS BIGINT)) LIMIT 1) IS NULL
    OR (SELECT s.agent_id FROM agent_search s WHERE s.agent_id = agents.id AND s.analyzer < sqlc.arg(analyzer) LIMIT 1) IS NOT NULL)
ORDER BY agents.id
LIMIT CAST(sqlc.arg(lim) AS BIGINT);

-- name: VectorModels :many
SELECT model, CAST(COUNT(*) AS BIGINT) AS vectors, CAST(MAX(written_us) AS BIGINT) AS written_us, CAST(MAX(LENGTH(vector)) AS BIGINT) AS bytes,
    CAST(COALESCE(MIN(NULLIF(LENGTH(vector), 0)), 0) AS BIGINT) AS least
FROM agent_vectors GROUP BY model ORDER BY model;

-- name: DropModelVectors :execrows
DELETE FROM agent_vectors
WHERE agent_vectors.model = $1 AND agent_vectors.agent_id IN (SELECT v.agent_id FROM agent_vectors v WHERE v.model = $1 ORDER BY v.agent_id LIMIT CAST(sqlc.arg(lim) AS BIGINT));

-- name: AgentsChanged :many
SELECT agent_id, stamp FROM agent_changes WHERE stamp >= $1 AND stamp < $2 ORDER BY stamp, agent_id;

-- name: ForgetDeletedAgents :exec
DELETE FROM agent_changes
WHERE agent_changes.at_us < $1 AND agent_changes.stamp < (SELECT CAST(COALESCE(MAX(c.stamp), 0) AS BIGINT) FROM agent_changes c)
  AND NOT EXISTS (SELECT 1 FROM agents a WHERE a.id = agent_changes.agent_id);

-- name: CallFigures :many
SELECT CAST(c.agent_id AS TEXT) AS agent_id, CAST(SUM(c.calls) AS BIGINT) AS calls, CAST(SUM(c.successes) AS BIGINT) AS successes,
    CAST(SUM(c.latency_ms) AS BIGINT) AS latency_ms
FROM (
    SELECT h.agent_id, h.calls, h.successes, h.latency_ms FROM agent_hours h WHERE h.hour >= sqlc.arg(since) AND h.hour < sqlc.arg(until)
    UNION ALL
    SELECT d.agent_id, d.calls, d.successes, d.latency_ms FROM agent_days d WHERE d.day >= sqlc.arg(day)
) AS c
GROUP BY CAST(c.agent_id AS TEXT);

-- name: AgentsCalledBetween :many
SELECT DISTINCT agent_id FROM agent_hours WHERE hour >= $1 AND hour < $2;

-- name: TakeLease :execrows
INSERT INTO leases (name, holder, until_us) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_us = excluded.until_us
WHERE leases.holder = excluded.holder OR leases.until_us < CAST(sqlc.arg(now_us) AS BIGINT);
