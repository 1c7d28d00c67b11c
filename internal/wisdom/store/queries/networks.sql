-- Networks and who takes part in them. A deleted network is not there for anybody; only
-- Purge asks for it. Who knows the id of a network asks for COALESCE(deleted_us, 0): else
-- PostgreSQL may read the index of all that are there for that of their ids. For the same
-- reason what is found by its own id is asked for COALESCE(network_id, ''): not along the
-- index of all that a network has.
--
-- Locks are taken in the order networks, lanes (by id), participants, messages. A
-- transaction that changes a network or a participant takes the network's row first, so
-- what it reads afterwards stays as it is.

-- name: CreateNetwork :exec
INSERT INTO networks (id, owner_id, name, topology, metadata, status, revision, last_seq, last_position, created_us, updated_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9);

-- name: OwnedNetwork :one
SELECT * FROM networks WHERE id = $1 AND owner_id = $2 AND COALESCE(deleted_us, 0) = 0;

-- name: OwnedNetworks :many
SELECT * FROM networks WHERE owner_id = $1 AND deleted_us IS NULL
ORDER BY created_us DESC, id DESC
LIMIT CAST(sqlc.arg(lim) AS BIGINT) OFFSET CAST(sqlc.arg(skip) AS BIGINT);

-- name: NetworkOfAnybody :one
SELECT * FROM networks WHERE id = $1 AND COALESCE(deleted_us, 0) = 0;

-- TakeNetwork holds a network until the transaction ends.
-- name: TakeNetwork :one
UPDATE networks SET revision = revision + 1, last_position = last_position + CAST(sqlc.arg(joining) AS BIGINT)
WHERE id = sqlc.arg(id) AND owner_id = sqlc.arg(owner_id) AND COALESCE(deleted_us, 0) = 0
RETURNING *;

-- name: SaveNetwork :exec
UPDATE networks SET name = $1, topology = $2, metadata = $3, status = $4, updated_us = $5
WHERE id = $6 AND owner_id = $7 AND COALESCE(deleted_us, 0) = 0;

-- name: DeleteNetwork :execrows
UPDATE networks SET deleted_us = sqlc.arg(deleted_us), revision = revision + 1
WHERE id = sqlc.arg(id) AND owner_id = sqlc.arg(owner_id) AND COALESCE(deleted_us, 0) = 0;

-- name: PresentParticipants :many
SELECT * FROM participants WHERE network_id = $1 AND status <> 'removed' ORDER BY position;

-- name: CountActive :one
SELECT COUNT(*) AS active, CAST(COALESCE(SUM(CASE WHEN p.agent_id = CAST(sqlc.arg(agent_id) AS TEXT) THEN 1 ELSE 0 END), 0) AS BIGINT) AS joined
FROM participants p
WHERE p.network_id = sqlc.arg(network_id) AND p.status = 'active' AND p.id <> sqlc.arg(but);

-- name: InsertParticipant :exec
INSERT INTO participants (id, network_id, owner_id, agent_id, kind, name, callback_url, polling, capabilities, status, position,
    secret, secret_key, old_secret, old_until_us, created_us, updated_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- name: Participant :one
SELECT p.* FROM participants p JOIN networks n ON n.id = p.network_id
WHERE p.id = sqlc.arg(id) AND COALESCE(p.network_id, '') = sqlc.arg(network_id) AND p.owner_id = sqlc.arg(owner_id) AND n.owner_id = sqlc.arg(owner_id) AND COALESCE(n.deleted_us, 0) = 0;

-- UnlinkAgent is for an agent that was deleted: those who could be reached
-- through it alone poll from now on. Whoever joins holds the agent, so none is left out.
-- name: UnlinkAgent :exec
UPDATE participants
SET agent_id = NULL, polling = CASE WHEN callback_url IS NULL THEN TRUE ELSE polling END, updated_us = sqlc.arg(updated_us)
WHERE agent_id = CAST(sqlc.arg(agent_id) AS TEXT);

-- TakeParticipant holds a participant, so that nothing else seals its secrets anew.
-- name: TakeParticipant :one
UPDATE participants SET updated_us = updated_us
WHERE id = $1 AND COALESCE(network_id, '') = $2 AND owner_id = $3
RETURNING *;

-- name: SaveParticipant :exec
UPDATE participants
SET callback_url = $1, polling = $2, capabilities = $3, status = $4, secret = $5, secret_key = $6, old_secret = $7, old_until_us = $8, updated_us = $9
WHERE id = $10 AND COALESCE(network_id, '') = $11 AND owner_id = $12;

-- Two ranges of the index on the keys: those of the right key, which are all as a rule,
-- are not read. The expressions about the id keep the planners from reading along that.
-- name: OtherwiseSealedParticipants :many
SELECT * FROM participants
WHERE participants.id IN (
    SELECT COALESCE(a.id, '') FROM participants a WHERE a.secret_key < sqlc.arg(key_id) AND COALESCE(a.id, '') > sqlc.arg(after)
    UNION ALL
    SELECT COALESCE(b.id, '') FROM participants b WHERE b.secret_key > sqlc.arg(key_id) AND COALESCE(b.id, '') > sqlc.arg(after)
    ORDER BY 1 LIMIT CAST(sqlc.arg(lim) AS BIGINT))
ORDER BY participants.id;

-- before_old is before where there was no old secret.
-- name: ResealParticipant :execrows
UPDATE participants SET secret = sqlc.arg(secret), secret_key = sqlc.arg(secret_key), old_secret = sqlc.arg(old_secret)
WHERE id = sqlc.arg(id) AND secret = sqlc.arg(before) AND COALESCE(old_secret, secret) = sqlc.arg(before_old);

-- WakeLanes has the queue look at what a network's recipients wait for, at once; a worker
-- that is at it looks again. recipient '' is all. What nobody waits for is left alone.
-- name: WakeLanes :exec
UPDATE delivery_lanes
SET revision = revision + 1, due_us = CASE WHEN claim = '' AND due_us > sqlc.arg(now_us) THEN sqlc.arg(now_us) ELSE due_us END
WHERE delivery_lanes.network_id = sqlc.arg(network_id)
    AND (CAST(sqlc.arg(recipient_id) AS TEXT) = '' OR delivery_lanes.recipient_id = CAST(sqlc.arg(recipient_id) AS TEXT))
    AND EXISTS (SELECT 1 FROM deliveries d WHERE d.recipient_id = delivery_lanes.recipient_id);

-- name: WakeLane :exec
UPDATE delivery_lanes
SET revision = revision + 1, due_us = CASE WHEN claim = '' AND due_us > sqlc.arg(now_us) THEN sqlc.arg(now_us) ELSE due_us END
WHERE recipient_id = sqlc.arg(recipient_id) AND COALESCE(network_id, '') = sqlc.arg(network_id);

-- name: NetworkMessage :one
SELECT m.* FROM network_messages m JOIN networks n ON n.id = m.network_id
WHERE m.id = sqlc.arg(id) AND COALESCE(m.network_id, '') = sqlc.arg(network_id) AND n.owner_id = sqlc.arg(owner_id) AND COALESCE(n.deleted_us, 0) = 0;

-- MessageBounds is what a page of messages is cut by; 0 is an unknown message.
-- name: MessageBounds :one
SELECT CAST(COALESCE((SELECT b.seq FROM network_messages b WHERE b.id = sqlc.arg(before) AND COALESCE(b.network_id, '') = n.id), 0) AS BIGINT) AS before_seq,
    CAST(COALESCE((SELECT a.seq FROM network_messages a WHERE a.id = sqlc.arg(after) AND COALESCE(a.network_id, '') = n.id), 0) AS BIGINT) AS after_seq,
    EXISTS (SELECT 1 FROM participants p WHERE p.id = sqlc.arg(participant_id) AND COALESCE(p.network_id, '') = n.id) AS has_participant
FROM networks n
WHERE n.id = sqlc.arg(id) AND n.owner_id = sqlc.arg(owner_id) AND COALESCE(n.deleted_us, 0) = 0;

-- name: InboxNetwork :one
SELECT n.id FROM participants p JOIN networks n ON n.id = p.network_id
WHERE p.id = sqlc.arg(id) AND p.owner_id = sqlc.arg(owner_id) AND n.owner_id = sqlc.arg(owner_id) AND COALESCE(n.deleted_us, 0) = 0;

-- TakeDeadLetter removes it for the one who queues it again.
-- name: TakeDeadLetter :one
DELETE FROM dead_letters WHERE message_id = $1 AND COALESCE(network_id, '') = $2 RETURNING *;

-- name: ReviveMessage :one
UPDATE network_messages SET status = 'pending', updated_us = $1 WHERE id = $2 AND COALESCE(network_id, '') = $3 AND status = 'failed' RETURNING *;

-- name: QueueAgain :exec
INSERT INTO deliveries (recipient_id, seq, message_id, network_id, attempts, actor_type, actor_id, request_id)
VALUES ($1, $2, $3, $4, 0, $5, $6, $7);

-- What Purge removes, in this order: nothing can be claimed any more, then nothing can be
-- given up any more, and what was given up meanwhile goes after its message.

-- name: PurgeLanes :execrows
DELETE FROM delivery_lanes
WHERE recipient_id IN (SELECT l.recipient_id FROM delivery_lanes l WHERE l.network_id = $1 ORDER BY l.recipient_id LIMIT CAST(sqlc.arg(lim) AS BIGINT));

-- name: PurgeDeliveries :execrows
DELETE FROM deliveries
WHERE (deliveries.recipient_id, deliveries.seq) IN (SELECT d.recipient_id, d.seq FROM participants p JOIN deliveries d ON d.recipient_id = p.id
    WHERE p.network_id = $1 LIMIT CAST(sqlc.arg(lim) AS BIGINT));

-- name: PurgeMessages :execrows
DELETE FROM network_messages
WHERE network_messages.id IN (SELECT m.id FROM network_messages m WHERE m.network_id = $1 LIMIT CAST(sqlc.arg(lim) AS BIGINT));

-- name: PurgeDeadLetters :execrows
DELETE FROM dead_letters
WHERE message_id IN (SELECT d.message_id FROM dead_letters d WHERE d.network_id = $1 LIMIT CAST(sqlc.arg(lim) AS BIGINT));

-- name: PurgeParticipants :execrows
DELETE FROM participants
WHERE participants.id IN (SELECT p.id FROM participants p WHERE p.network_id = $1 LIMIT CAST(sqlc.arg(lim) AS BIGINT));

-- name: PurgeNetwork :exec
DELETE FROM networks WHERE id = $1 AND COALESCE(deleted_us, 0) <> 0;

-- CalledAgentByID is for what refers to an agent: it has no viewer either.
-- name: CalledAgentByID :one
SELECT sqlc.embed(agents), c.sealed, c.key_id, c.auth_header, c.auth_scheme
FROM agents LEFT JOIN agent_credentials c ON c.agent_id = agents.id AND c.type = agents.auth_type
WHERE agents.id = $1;
