-- What administrators switch.

-- A switch that is on keeps since when.
-- name: SwitchOn :one
INSERT INTO platform_switches (name, since_us) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET since_us = platform_switches.since_us
RETURNING since_us;

-- name: SwitchOff :exec
DELETE FROM platform_switches WHERE name = $1;

-- name: SwitchedOn :one
SELECT since_us FROM platform_switches WHERE name = $1;

-- DisableAgent keeps what the owner has set, and when an agent was disabled first.
-- name: DisableAgent :one
UPDATE agents SET
    owner_active = CASE WHEN disabled_us IS NULL THEN is_active ELSE owner_active END,
    disabled_us = COALESCE(disabled_us, CAST(sqlc.arg(at_us) AS BIGINT)),
    is_active = FALSE
WHERE id = sqlc.arg(id)
RETURNING *;

-- name: EnableAgent :one
UPDATE agents SET
    is_active = CASE WHEN disabled_us IS NULL THEN is_active ELSE owner_active END,
    disabled_us = NULL,
    owner_active = FALSE
WHERE id = sqlc.arg(id)
RETURNING *;

-- name: DisabledAgents :many
SELECT * FROM agents WHERE disabled_us IS NOT NULL
ORDER BY disabled_us DESC, id DESC
LIMIT CAST(sqlc.arg(lim) AS BIGINT) OFFSET CAST(sqlc.arg(skip) AS BIGINT);
