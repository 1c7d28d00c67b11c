-- The queue of networks. What is written for many at a time is built in network_write.go
-- and network_queue.go.

-- name: FailCalls :execrows
UPDATE network_messages SET status = 'failed', updated_us = sqlc.arg(updated_us)
WHERE call_until_us IS NOT NULL AND status = 'pending' AND call_until_us <= sqlc.arg(now_us);

-- name: LastNumber :one
SELECT last_seq FROM networks WHERE id = $1 AND COALESCE(deleted_us, 0) = 0;
