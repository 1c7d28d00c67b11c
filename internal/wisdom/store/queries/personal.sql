-- name: UserPlan :one
SELECT plan FROM users WHERE id = sqlc.arg(user_id);

-- name: PlanAndStamp :one
SELECT u.plan, COALESCE(s.stamp, 0) AS stamp FROM users u LEFT JOIN slot_stamps s ON s.user_id = u.id
WHERE u.id = sqlc.arg(user_id);

-- name: PutSlotStamp :exec
INSERT INTO slot_stamps (user_id, stamp) VALUES (sqlc.arg(user_id), sqlc.arg(stamp))
ON CONFLICT (user_id) DO UPDATE SET stamp = excluded.stamp;

-- name: ListSlots :many
SELECT user_id, name, state, version, epoch, holders, keys, settle_us, created_us
FROM entity_slots WHERE user_id = sqlc.arg(user_id) ORDER BY created_us, name;

-- name: PutSlot :exec
INSERT INTO entity_slots (user_id, name, state, version, epoch, holders, keys, settle_us, created_us)
VALUES (sqlc.arg(user_id), sqlc.arg(name), sqlc.arg(state), sqlc.arg(version), sqlc.arg(epoch),
        sqlc.arg(holders), sqlc.arg(keys), sqlc.arg(settle_us), sqlc.arg(created_us))
ON CONFLICT (user_id, name) DO UPDATE SET state = excluded.state, version = excluded.version,
    epoch = excluded.epoch, holders = excluded.holders, keys = excluded.keys, settle_us = excluded.settle_us;

-- name: DropSlot :exec
DELETE FROM entity_slots WHERE user_id = sqlc.arg(user_id) AND name = sqlc.arg(name);

-- name: MessageCounts :one
SELECT minute_us, in_minute, month_us, in_month FROM message_counts WHERE user_id = sqlc.arg(user_id);

-- name: PutMessageCounts :exec
INSERT INTO message_counts (user_id, minute_us, in_minute, month_us, in_month)
VALUES (sqlc.arg(user_id), sqlc.arg(minute_us), sqlc.arg(in_minute), sqlc.arg(month_us), sqlc.arg(in_month))
ON CONFLICT (user_id) DO UPDATE SET minute_us = excluded.minute_us, in_minute = excluded.in_minute,
    month_us = excluded.month_us, in_month = excluded.in_month;
