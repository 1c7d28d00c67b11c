-- Failed logins. A row holds the marks of the last attempts: 24 characters each,
-- the first 16 of them the time in microseconds. See store/throttle.go.

-- CountAttempt adds a mark unless the row already has `most` marks younger than
-- `since`. One statement, so that it decides for all nodes at once; no row changed
-- means refused.
-- name: CountAttempt :execrows
INSERT INTO login_failures (key, attempts, last_us)
VALUES (sqlc.arg(key), CAST(sqlc.arg(mark) AS TEXT), CAST(sqlc.arg(at_us) AS BIGINT))
ON CONFLICT (key) DO UPDATE SET
    attempts = CASE
        WHEN length(login_failures.attempts) < 24 * CAST(sqlc.arg(most) AS INTEGER)
            THEN login_failures.attempts || excluded.attempts
        ELSE substr(login_failures.attempts, 25 + length(login_failures.attempts) - 24 * CAST(sqlc.arg(most) AS INTEGER)) || excluded.attempts END,
    last_us = excluded.last_us
WHERE length(login_failures.attempts) < 24 * CAST(sqlc.arg(most) AS INTEGER)
    OR substr(login_failures.attempts, 1 + length(login_failures.attempts) - 24 * CAST(sqlc.arg(most) AS INTEGER), 16) <= CAST(sqlc.arg(since) AS TEXT);

-- name: Attempts :one
SELECT attempts FROM login_failures WHERE key = $1;

-- name: ReturnAttempt :exec
UPDATE login_failures SET attempts = replace(attempts, CAST(sqlc.arg(mark) AS TEXT), '') WHERE key = sqlc.arg(key);

-- name: ClearAttempts :exec
DELETE FROM login_failures WHERE key = $1;

-- name: PurgeAttempts :execrows
DELETE FROM login_failures WHERE last_us < $1;
