-- Audit records.

-- name: InsertAudit :exec
INSERT INTO audit (id, at_us, request_id, event, actor_type, actor_id, subject_id, method, route, status)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: FinishAudit :execrows
UPDATE audit SET status = $1 WHERE id = $2 AND status = 0;

-- name: AuditBefore :many
SELECT * FROM audit WHERE (at_us, id) < (CAST(sqlc.arg(at_us) AS BIGINT), CAST(sqlc.arg(id) AS TEXT))
ORDER BY at_us DESC, id DESC LIMIT CAST(sqlc.arg(lim) AS BIGINT);
