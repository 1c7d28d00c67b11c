-- name: GetDelivery :one
SELECT turn_id, status, content, error FROM deliveries WHERE entity_id = $1 AND id = $2 AND owner_id = $3;

-- name: FindDelivery :one
SELECT d.turn_id, d.status, d.content, d.error, t.error_code
FROM deliveries d
JOIN entities e ON e.id = d.entity_id
JOIN turns t ON t.message_id = d.turn_id
WHERE e.owner_id = $1 AND e.name = $2 AND d.id = $3 AND d.owner_id = $1;

-- name: PutDelivery :exec
INSERT INTO deliveries (entity_id, id, owner_id, turn_id, kind, caller_id, depth, input, size, status, created_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'running', $10)
ON CONFLICT (entity_id, id) DO UPDATE SET turn_id = excluded.turn_id, kind = excluded.kind, caller_id = excluded.caller_id,
    depth = excluded.depth, input = excluded.input, size = excluded.size, status = excluded.status, content = NULL, error = NULL, completed_us = NULL;

-- name: EndDelivery :exec
UPDATE deliveries SET status = $1, content = $2, error = $3, completed_us = $4, size = size + sqlc.arg(content_size)
WHERE entity_id = $5 AND id = $6 AND turn_id = $7 AND owner_id = $8;

-- name: PruneDeliveries :exec
DELETE FROM deliveries
WHERE deliveries.entity_id = sqlc.arg(entity_id) AND deliveries.owner_id = sqlc.arg(owner_id) AND deliveries.status <> 'running'
    AND (deliveries.created_us, deliveries.id) <= (
    SELECT kept.created_us, kept.id FROM (
        SELECT d.created_us, d.id, ROW_NUMBER() OVER (ORDER BY d.created_us DESC, d.id DESC) AS place,
            SUM(d.size) OVER (ORDER BY d.created_us DESC, d.id DESC) AS total
        FROM deliveries d WHERE d.entity_id = sqlc.arg(entity_id)) kept
    WHERE kept.place > CAST(sqlc.arg(most) AS BIGINT) OR kept.total > CAST(sqlc.arg(most_bytes) AS BIGINT)
    ORDER BY kept.created_us DESC, kept.id DESC LIMIT 1);

-- name: DeliveriesAfter :many
SELECT id, kind, caller_id, depth, input, content, status, error, created_us, completed_us FROM deliveries
WHERE entity_id = sqlc.arg(entity_id) AND owner_id = sqlc.arg(owner_id)
    AND (created_us > sqlc.arg(created_us) OR created_us = sqlc.arg(created_us) AND id > sqlc.arg(id))
ORDER BY created_us, id LIMIT CAST(sqlc.arg(lim) AS BIGINT);

-- name: DeleteDeliveries :exec
DELETE FROM deliveries WHERE owner_id = $1 AND entity_id = $2;
