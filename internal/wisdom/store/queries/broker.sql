-- What the broker reads and writes. Inserts of many rows are built in broker_write.go.

-- name: BrokerLimits :one
SELECT c.monthly_quota, c.daily_quota, c.max_retries, c.backoff_s, c.timeout_s, c.allowed_agents
FROM broker_configs c
WHERE c.integration_id = sqlc.arg(integration_id) AND c.user_id = sqlc.arg(user_id);

-- name: Thread :one
SELECT c.integration_id,
    EXISTS (SELECT 1 FROM conversation_messages m
        WHERE m.id = sqlc.arg(message_id) AND m.conversation_id = c.id AND m.user_id = sqlc.arg(user_id)) AS has_message,
    CAST(COALESCE((SELECT x.context_id FROM conversation_contexts x
        WHERE x.conversation_id = c.id AND x.agent_id = sqlc.arg(agent_id)), '') AS TEXT) AS context_id,
    c.external_user
FROM conversations c
WHERE c.id = sqlc.arg(id) AND c.user_id = sqlc.arg(user_id);

-- Windows only go forward: with clocks that differ, the later one is the current one.
-- name: BrokerCounts :one
SELECT CAST(CASE WHEN n.day_us < sqlc.arg(day_us) THEN 0 ELSE n.in_day END AS BIGINT) AS in_day,
    CAST(CASE WHEN n.month_us < sqlc.arg(month_us) THEN 0 ELSE n.in_month END AS BIGINT) AS in_month
FROM broker_counts n
WHERE n.integration_id = sqlc.arg(integration_id) AND n.user_id = sqlc.arg(user_id);

-- CountInvocations counts so many, or none if that is more than a quota allows.
-- name: CountInvocations :execrows
INSERT INTO broker_counts (integration_id, user_id, day_us, in_day, month_us, in_month)
SELECT i.id, i.user_id, CAST(sqlc.arg(day_us) AS BIGINT), CAST(sqlc.arg(n) AS BIGINT), CAST(sqlc.arg(month_us) AS BIGINT), CAST(sqlc.arg(n) AS BIGINT)
FROM integrations i
WHERE i.id = sqlc.arg(integration_id) AND i.user_id = sqlc.arg(user_id)
    AND CAST(sqlc.arg(n) AS BIGINT) <= CAST(sqlc.arg(daily) AS BIGINT) AND CAST(sqlc.arg(n) AS BIGINT) <= CAST(sqlc.arg(monthly) AS BIGINT)
ON CONFLICT (integration_id) DO UPDATE SET
    in_day = CASE WHEN broker_counts.day_us < excluded.day_us THEN 0 ELSE broker_counts.in_day END + excluded.in_day,
    day_us = CASE WHEN broker_counts.day_us < excluded.day_us THEN excluded.day_us ELSE broker_counts.day_us END,
    in_month = CASE WHEN broker_counts.month_us < excluded.month_us THEN 0 ELSE broker_counts.in_month END + excluded.in_month,
    month_us = CASE WHEN broker_counts.month_us < excluded.month_us THEN excluded.month_us ELSE broker_counts.month_us END
WHERE CASE WHEN broker_counts.day_us < excluded.day_us THEN 0 ELSE broker_counts.in_day END + excluded.in_day <= CAST(sqlc.arg(daily) AS BIGINT)
    AND CASE WHEN broker_counts.month_us < excluded.month_us THEN 0 ELSE broker_counts.in_month END + excluded.in_month <= CAST(sqlc.arg(monthly) AS BIGINT);

-- UncountInvocation gives back what was counted in windows that have not passed.
-- name: UncountInvocation :exec
UPDATE broker_counts SET
    in_day = in_day - CASE WHEN day_us = sqlc.arg(day_us) AND in_day > 0 THEN 1 ELSE 0 END,
    in_month = in_month - CASE WHEN month_us = sqlc.arg(month_us) AND in_month > 0 THEN 1 ELSE 0 END
WHERE integration_id = sqlc.arg(integration_id) AND user_id = sqlc.arg(user_id);

-- name: HasIntegration :one
SELECT COUNT(*) FROM integrations WHERE id = $1 AND user_id = $2;

-- name: StillThere :one
SELECT EXISTS (SELECT 1 FROM conversations c WHERE c.id = sqlc.arg(conversation) AND c.user_id = sqlc.arg(user_id)) AS conversation,
    EXISTS (SELECT 1 FROM agents a WHERE a.id = sqlc.arg(agent)) AS agent;

-- name: SpeakInConversation :exec
UPDATE conversations
SET external_user = COALESCE(sqlc.narg(external_user), external_user),
    updated_us = CASE WHEN updated_us < sqlc.arg(updated_us) THEN sqlc.arg(updated_us) ELSE updated_us END
WHERE id = sqlc.arg(id) AND user_id = sqlc.arg(user_id);

-- name: TakeMessageBack :exec
DELETE FROM conversation_messages WHERE id = $1 AND conversation_id = $2 AND user_id = $3;

-- name: TakeExternalUserBack :exec
UPDATE conversations SET external_user = sqlc.narg(before)
WHERE id = sqlc.arg(id) AND user_id = sqlc.arg(user_id) AND external_user = sqlc.arg(written);

-- name: TakeConversationBack :exec
DELETE FROM conversations
WHERE conversations.id = $1 AND conversations.user_id = $2
    AND NOT EXISTS (SELECT 1 FROM conversation_messages m WHERE m.conversation_id = conversations.id);

-- name: PutContext :exec
INSERT INTO conversation_contexts (conversation_id, agent_id, context_id) VALUES ($1, $2, $3)
ON CONFLICT (conversation_id, agent_id) DO UPDATE SET context_id = excluded.context_id;

-- name: LogPayloads :one
SELECT request, response FROM invocation_logs WHERE id = sqlc.arg(id) AND caller_id = sqlc.arg(caller_id);

-- CalledAgent is for making calls only: it has no viewer.
-- name: CalledAgent :one
SELECT sqlc.embed(agents), c.sealed, c.key_id, c.auth_header, c.auth_scheme
FROM agents LEFT JOIN agent_credentials c ON c.agent_id = agents.id AND c.type = agents.auth_type
WHERE agents.slug = $1;
