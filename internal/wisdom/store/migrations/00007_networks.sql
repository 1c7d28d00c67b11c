-- +goose Up

-- A network whose deleted_us is set does not exist any more for anybody: what hangs on
-- it is removed piece by piece, and the row last.
CREATE TABLE networks (
    id            TEXT   NOT NULL PRIMARY KEY,
    owner_id      TEXT   NOT NULL REFERENCES users (id),
    name          TEXT   NOT NULL,
    topology      TEXT   NOT NULL,           -- mesh, star, ring or custom
    metadata      TEXT,                      -- JSON object
    status        TEXT   NOT NULL,           -- active, paused or closed
    revision      BIGINT NOT NULL,           -- grows with every change of it or of its participants
    last_seq      BIGINT NOT NULL,           -- of its messages: they are numbered 1, 2, 3, ... without a gap
    last_position BIGINT NOT NULL,           -- of its participants
    deleted_us    BIGINT,
    created_us    BIGINT NOT NULL,
    updated_us    BIGINT NOT NULL
);
CREATE INDEX networks_by_owner ON networks (owner_id, created_us, id) WHERE deleted_us IS NULL;
CREATE INDEX networks_deleted ON networks (deleted_us, id) WHERE deleted_us IS NOT NULL;

CREATE TABLE participants (
    id           TEXT    NOT NULL PRIMARY KEY,
    network_id   TEXT    NOT NULL REFERENCES networks (id),
    owner_id     TEXT    NOT NULL,           -- of the network
    agent_id     TEXT,
    kind         TEXT    NOT NULL,           -- agent, persona or orchestrator
    name         TEXT    NOT NULL,           -- never changes
    callback_url TEXT,
    polling      BOOLEAN NOT NULL,
    capabilities TEXT,                       -- JSON object
    status       TEXT    NOT NULL,           -- active, disconnected or removed
    position     BIGINT  NOT NULL,           -- order of joining
    secret       BYTEA   NOT NULL,           -- of its webhooks, sealed
    secret_key   TEXT    NOT NULL,           -- id of the key that sealed secret and old_secret
    old_secret   BYTEA,                      -- signs too until old_until_us
    old_until_us BIGINT,
    created_us   BIGINT  NOT NULL,
    updated_us   BIGINT  NOT NULL
);
CREATE UNIQUE INDEX participants_by_position ON participants (network_id, position);
CREATE INDEX participants_present ON participants (network_id, position) WHERE status <> 'removed';
CREATE UNIQUE INDEX participants_agents ON participants (network_id, agent_id) WHERE agent_id IS NOT NULL AND status = 'active';
CREATE INDEX participants_by_key ON participants (secret_key, id);
CREATE INDEX participants_by_agent ON participants (agent_id) WHERE agent_id IS NOT NULL;

-- One statement that numbers them locks their network's row, so whoever reads a message
-- reads all with smaller numbers too.
CREATE TABLE network_messages (
    id            TEXT   NOT NULL PRIMARY KEY,
    network_id    TEXT   NOT NULL,
    seq           BIGINT NOT NULL,
    sender_id     TEXT   NOT NULL,
    recipient_id  TEXT,
    channel       TEXT   NOT NULL,           -- call, message or mailbox
    content       TEXT   NOT NULL,
    metadata      TEXT,                      -- JSON object
    in_reply_to   TEXT,
    status        TEXT   NOT NULL,           -- pending, delivered, read or failed
    depth         BIGINT NOT NULL,           -- how many calls and messages led to it
    call_until_us BIGINT,                    -- of a call: it has failed if it is pending then
    created_us    BIGINT NOT NULL,
    updated_us    BIGINT NOT NULL
);
-- Pages are read along the order of the numbers; a list of all channels merges three.
CREATE UNIQUE INDEX network_messages_by_channel ON network_messages (network_id, channel, seq);
CREATE INDEX network_messages_by_sender ON network_messages (sender_id, channel, seq);
CREATE INDEX network_messages_by_recipient ON network_messages (recipient_id, channel, seq) WHERE recipient_id IS NOT NULL;
CREATE INDEX network_messages_inbox ON network_messages (recipient_id, channel, seq) WHERE status IN ('pending', 'delivered');
CREATE INDEX network_calls_underway ON network_messages (call_until_us) WHERE call_until_us IS NOT NULL AND status = 'pending';

-- The queue: what is to be delivered to each recipient, in this order.
CREATE TABLE deliveries (
    recipient_id TEXT   NOT NULL,
    seq          BIGINT NOT NULL,            -- of the message
    message_id   TEXT   NOT NULL,
    network_id   TEXT   NOT NULL,
    attempts     BIGINT NOT NULL,            -- made and kept
    last_status  BIGINT,
    last_error   TEXT,
    actor_type   TEXT   NOT NULL,            -- who sent it, for the log
    actor_id     TEXT   NOT NULL,
    request_id   TEXT   NOT NULL,
    PRIMARY KEY (recipient_id, seq)
);

-- One row per recipient that ever had deliveries: the unit of leases, so that what one
-- recipient gets stays in order, and what waits for one that is dead is one row to step
-- over.
CREATE TABLE delivery_lanes (
    recipient_id TEXT    NOT NULL PRIMARY KEY,
    network_id   TEXT    NOT NULL,
    owner_id     TEXT    NOT NULL,
    revision     BIGINT  NOT NULL,           -- grows with whatever asks for a new look at once
    posts        BIGINT  NOT NULL DEFAULT 0, -- grows with every new delivery: a wait goes on, but who found nothing looks again
    due_us       BIGINT  NOT NULL,           -- to be claimed from then on; of a claimed one the end of its lease; the largest number: never
    claim        TEXT    NOT NULL,           -- of the worker that has it; empty: nobody has it
    failing      BOOLEAN NOT NULL            -- the last attempt failed
);
CREATE INDEX delivery_lanes_due ON delivery_lanes (failing, due_us, recipient_id);
CREATE INDEX delivery_lanes_by_network ON delivery_lanes (network_id, recipient_id);

CREATE TABLE dead_letters (
    message_id  TEXT   NOT NULL PRIMARY KEY,
    network_id  TEXT   NOT NULL,
    seq         BIGINT NOT NULL,           -- of the message
    attempts    BIGINT NOT NULL,
    last_status BIGINT,
    last_error  TEXT   NOT NULL,
    actor_type  TEXT   NOT NULL,
    actor_id    TEXT   NOT NULL,
    request_id  TEXT   NOT NULL,
    failed_us   BIGINT NOT NULL
);
CREATE INDEX dead_letters_by_network ON dead_letters (network_id, failed_us, seq);
