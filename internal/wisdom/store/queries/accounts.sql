-- Accounts, tokens and API keys.

-- name: InsertUser :exec
INSERT INTO users (id, email, email_fold, password_hash, first_name, last_name, is_active, is_admin, plan,
                   tokens_after, tokens_issued, created_us, updated_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10, $11);

-- name: UserByID :one
SELECT * FROM users WHERE id = $1;

-- name: UserByEmail :one
SELECT * FROM users WHERE email_fold = $1;

-- name: UsersAfter :many
SELECT * FROM users WHERE (created_us, id) > (CAST(sqlc.arg(created_us) AS BIGINT), CAST(sqlc.arg(id) AS TEXT))
ORDER BY created_us, id LIMIT CAST(sqlc.arg(lim) AS BIGINT);

-- UpdateUser keeps what is null. Deactivation also ends every token of the user, as
-- ChangePassword does.
-- name: UpdateUser :one
UPDATE users SET
    plan = COALESCE(CAST(sqlc.narg(plan) AS TEXT), plan),
    is_admin = COALESCE(CAST(sqlc.narg(is_admin) AS BOOLEAN), is_admin),
    is_active = COALESCE(CAST(sqlc.narg(is_active) AS BOOLEAN), is_active),
    tokens_after = CASE
        WHEN COALESCE(CAST(sqlc.narg(is_active) AS BOOLEAN), TRUE) THEN tokens_after
        WHEN tokens_issued >= CAST(sqlc.arg(now_s) AS BIGINT) AND tokens_issued > tokens_after THEN tokens_issued
        WHEN tokens_after >= CAST(sqlc.arg(now_s) AS BIGINT) THEN tokens_after + 1
        ELSE CAST(sqlc.arg(now_s) AS BIGINT) END,
    updated_us = sqlc.arg(updated_us)
WHERE id = sqlc.arg(id)
RETURNING *;

-- ChangePassword ends every token issued so far: tokens_after becomes the greatest
-- of now, itself + 1 and the latest time of issue.
-- name: ChangePassword :execrows
UPDATE users SET password_hash = sqlc.arg(new_hash), updated_us = sqlc.arg(updated_us),
    tokens_after = CASE
        WHEN tokens_issued >= CAST(sqlc.arg(now_s) AS BIGINT) AND tokens_issued > tokens_after THEN tokens_issued
        WHEN tokens_after >= CAST(sqlc.arg(now_s) AS BIGINT) THEN tokens_after + 1
        ELSE CAST(sqlc.arg(now_s) AS BIGINT) END
WHERE id = sqlc.arg(id) AND password_hash = sqlc.arg(old_hash) AND is_active;

-- IssueToken notes the time of issue, the greatest of now and tokens_after + 1, and
-- does so only if the password is still the one that was checked.
-- name: IssueToken :one
UPDATE users SET tokens_issued = CASE
        WHEN tokens_issued >= CAST(sqlc.arg(now_s) AS BIGINT) AND tokens_issued > tokens_after THEN tokens_issued
        WHEN tokens_after >= CAST(sqlc.arg(now_s) AS BIGINT) THEN tokens_after + 1
        ELSE CAST(sqlc.arg(now_s) AS BIGINT) END
WHERE id = sqlc.arg(id) AND password_hash = sqlc.arg(hash) AND is_active
RETURNING tokens_after;

-- name: RevokeToken :exec
INSERT INTO revoked_tokens (user_id, jti, expires_us) VALUES ($1, $2, $3)
ON CONFLICT (user_id, jti) DO NOTHING;

-- name: TokenStanding :one
SELECT u.is_active, u.is_admin, u.tokens_after,
    (SELECT COUNT(*) FROM revoked_tokens r WHERE r.user_id = u.id AND r.jti = sqlc.arg(jti)) AS revoked
FROM users u WHERE u.id = sqlc.arg(id);

-- name: KeyStanding :one
SELECT k.id, k.user_id, k.integration_id, k.last_used_us, k.expires_us, u.is_active
FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.digest = $1;

-- name: UserStanding :one
SELECT is_active FROM users WHERE id = $1;

-- name: InsertAPIKey :exec
INSERT INTO api_keys (id, user_id, name, digest, integration_id, created_us, expires_us)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: APIKeysOf :many
SELECT id, name, integration_id, created_us, last_used_us, expires_us
FROM api_keys WHERE user_id = $1 ORDER BY created_us DESC, id DESC;

-- name: IntegrationKeysOf :many
SELECT id, name, integration_id, created_us, last_used_us, expires_us
FROM api_keys WHERE user_id = $1 AND integration_id = $2 ORDER BY created_us DESC, id DESC;

-- name: DeleteAPIKey :execrows
DELETE FROM api_keys WHERE user_id = $1 AND id = $2;

-- name: DeleteIntegrationKey :execrows
DELETE FROM api_keys WHERE user_id = $1 AND integration_id = $2 AND id = $3;

-- name: DeleteIntegrationKeys :exec
DELETE FROM api_keys WHERE user_id = $1 AND integration_id = $2;

-- name: TouchAPIKey :exec
UPDATE api_keys SET last_used_us = CAST(sqlc.arg(at_us) AS BIGINT)
WHERE user_id = sqlc.arg(user_id) AND id = sqlc.arg(id)
    AND (last_used_us IS NULL OR last_used_us <= CAST(sqlc.arg(before_us) AS BIGINT));

-- name: PurgeRevokedTokens :execrows
DELETE FROM revoked_tokens WHERE expires_us < $1;
