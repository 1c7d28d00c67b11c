-- name: WantRegistration :exec
INSERT INTO registrations (owner_id, name, display_name, wanted, revision, stale, status, run_at_us, lease_until_us, attempts)
VALUES ($1, $2, $3, $4, 1, FALSE, 'pending', 0, 0, 0)
ON CONFLICT (owner_id, name) DO UPDATE SET display_name = excluded.display_name, wanted = excluded.wanted,
    stale = registrations.stale OR registrations.wanted = 'removed', revision = registrations.revision + 1, status = 'pending', run_at_us = excluded.run_at_us, attempts = 0, last_error = NULL;

-- name: DropUntriedRegistration :execrows
DELETE FROM registrations WHERE owner_id = $1 AND name = $2 AND claim IS NULL;

-- name: ClaimRegistration :one
UPDATE registrations SET claim = sqlc.arg(claim), lease_until_us = sqlc.arg(lease_until_us), attempts = registrations.attempts + 1
WHERE registrations.status = 'pending' AND registrations.run_at_us <= sqlc.arg(now_us) AND registrations.lease_until_us <= sqlc.arg(now_us)
    AND (registrations.owner_id, registrations.name) IN (
    SELECT due.owner_id, due.name FROM registrations due
    WHERE due.status = 'pending' AND due.run_at_us <= sqlc.arg(now_us) AND due.lease_until_us <= sqlc.arg(now_us)
    ORDER BY due.run_at_us, due.owner_id, due.name LIMIT 1)
RETURNING owner_id, name, display_name, wanted, revision, agent_id, stale, attempts;

-- name: SettleRegistration :execrows
UPDATE registrations SET status = CASE WHEN revision = sqlc.arg(revision) THEN 'done' ELSE 'pending' END,
    stale = stale AND revision <> sqlc.arg(revision) AND NOT sqlc.arg(removed), agent_id = sqlc.narg(agent_id), lease_until_us = 0, attempts = 0, last_error = NULL
WHERE owner_id = sqlc.arg(owner_id) AND name = sqlc.arg(name) AND claim = sqlc.arg(claim);

-- name: DropRegistration :execrows
DELETE FROM registrations WHERE owner_id = $1 AND name = $2 AND claim = $3 AND revision = $4;

-- name: PostponeRegistration :execrows
UPDATE registrations SET agent_id = sqlc.narg(agent_id), lease_until_us = 0, last_error = sqlc.arg(last_error),
    stale = stale AND (revision <> sqlc.arg(revision) OR sqlc.arg(still_stale)),
    run_at_us = CASE WHEN revision = sqlc.arg(revision) THEN CAST(sqlc.arg(run_at_us) AS BIGINT) ELSE run_at_us END
WHERE owner_id = sqlc.arg(owner_id) AND name = sqlc.arg(name) AND claim = sqlc.arg(claim);

-- name: ReassertRegistration :exec
INSERT INTO registrations (owner_id, name, display_name, wanted, revision, stale, status, run_at_us, claim, lease_until_us, attempts)
VALUES ($1, $2, $3, 'removed', 1, FALSE, 'pending', 0, $4, 0, 0)
ON CONFLICT (owner_id, name) DO UPDATE SET revision = registrations.revision + 1, status = 'pending', run_at_us = excluded.run_at_us;
