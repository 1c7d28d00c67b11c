-- Integrations and what holds their calls.

-- name: InsertIntegration :exec
INSERT INTO integrations (id, user_id, name, kind, metadata, created_us, updated_us) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: Integration :one
SELECT * FROM integrations WHERE id = $1 AND user_id = $2;

-- name: Integrations :many
SELECT sqlc.embed(integrations), EXISTS (SELECT 1 FROM api_keys k WHERE k.integration_id = integrations.id) AS has_key
FROM integrations WHERE integrations.user_id = $1
ORDER BY integrations.created_us DESC, integrations.id DESC;

-- name: DeleteIntegration :execrows
DELETE FROM integrations WHERE id = $1 AND user_id = $2;

-- name: BrokerConfig :one
SELECT c.* FROM broker_configs c WHERE c.integration_id = $1 AND c.user_id = $2;

-- name: PutBrokerConfig :exec
INSERT INTO broker_configs (integration_id, user_id, monthly_quota, daily_quota, max_retries, backoff_s, timeout_s, allowed_agents)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (integration_id) DO UPDATE SET monthly_quota = excluded.monthly_quota, daily_quota = excluded.daily_quota,
    max_retries = excluded.max_retries, backoff_s = excluded.backoff_s, timeout_s = excluded.timeout_s, allowed_agents = excluded.allowed_agents
WHERE broker_configs.user_id = excluded.user_id;
