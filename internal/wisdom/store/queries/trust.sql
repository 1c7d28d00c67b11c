-- Credentials, ratings and calls of agents.

-- name: PutCredential :exec
INSERT INTO agent_credentials (agent_id, type, sealed, key_id, auth_header, auth_scheme, updated_us) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (agent_id, type) DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id, auth_header = excluded.auth_header,
    auth_scheme = excluded.auth_scheme, updated_us = excluded.updated_us;

-- name: CredentialTypes :many
SELECT type FROM agent_credentials WHERE agent_id = $1 ORDER BY type;

-- name: SetCredentialTypes :execrows
UPDATE agents SET credential_types = $1 WHERE id = $2 AND owner_id = $3;

-- name: Credential :one
SELECT * FROM agent_credentials WHERE agent_id = $1 AND type = $2;

-- name: OtherwiseSealed :many
SELECT * FROM agent_credentials
WHERE (key_id, agent_id, type) > (CAST(sqlc.arg(key_id) AS TEXT), CAST(sqlc.arg(agent_id) AS TEXT), CAST(sqlc.arg(type) AS TEXT))
    AND key_id <> sqlc.arg(current)
ORDER BY key_id, agent_id, type
LIMIT CAST(sqlc.arg(lim) AS BIGINT);

-- name: Reseal :execrows
UPDATE agent_credentials SET sealed = sqlc.arg(sealed), key_id = sqlc.arg(key_id)
WHERE agent_id = sqlc.arg(agent_id) AND type = sqlc.arg(type) AND sealed = sqlc.arg(before);

-- name: SeesAgent :one
SELECT COUNT(*) FROM agents WHERE id = $1 AND (visibility = 'public' OR owner_id = $2);

-- name: RatingOf :one
SELECT * FROM agent_ratings WHERE agent_id = $1 AND user_id = $2;

-- name: PutRating :exec
INSERT INTO agent_ratings (id, agent_id, user_id, score, comment, created_us, updated_us) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (agent_id, user_id) DO UPDATE SET score = excluded.score, comment = excluded.comment, updated_us = excluded.updated_us;

-- name: AddRating :exec
UPDATE agents SET rating_sum = rating_sum + sqlc.arg(score), rating_count = rating_count + sqlc.arg(ratings) WHERE id = sqlc.arg(id);

-- name: Ratings :many
SELECT * FROM agent_ratings
WHERE agent_id = $1
ORDER BY updated_us DESC, id DESC
LIMIT CAST(sqlc.arg(lim) AS BIGINT) OFFSET CAST(sqlc.arg(skip) AS BIGINT);

-- name: HasCalled :one
SELECT COUNT(*) FROM agent_callers WHERE agent_id = $1 AND user_id = $2;

-- TrendingAgents groups by a cast, or SQLite would walk the primary key, which is in the
-- order of the groups, through the calls of all times.
-- name: TrendingAgents :many
SELECT sqlc.embed(agents), CAST(t.calls AS BIGINT) AS calls, CAST(t.successes AS BIGINT) AS successes, CAST(t.latency_ms AS BIGINT) AS latency_ms
FROM (
    SELECT CAST(c.agent_id AS TEXT) AS agent_id, SUM(c.calls) AS calls, SUM(c.successes) AS successes, SUM(c.latency_ms) AS latency_ms
    FROM (
        SELECT h.agent_id, h.calls, h.successes, h.latency_ms FROM agent_hours h WHERE h.hour >= sqlc.arg(since) AND h.hour < sqlc.arg(until)
        UNION ALL
        SELECT d.agent_id, d.calls, d.successes, d.latency_ms FROM agent_days d WHERE d.day >= sqlc.arg(day)
    ) AS c
    GROUP BY CAST(c.agent_id AS TEXT)
) AS t
JOIN agents ON agents.id = t.agent_id
WHERE agents.is_active AND (agents.visibility = 'public' OR agents.owner_id = sqlc.arg(viewer))
ORDER BY t.calls DESC, agents.created_us DESC, agents.id DESC
LIMIT CAST(sqlc.arg(lim) AS BIGINT);

-- name: ForgetCalls :exec
DELETE FROM agent_hours WHERE hour < $1;

-- name: ForgetDays :exec
DELETE FROM agent_days WHERE day < $1;
