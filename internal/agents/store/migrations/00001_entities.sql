-- Entities with what they remember and say. Times are UTC microseconds (*_us).
-- Every table on owned data carries the owner, and every statement names it.

-- +goose Up
CREATE TABLE entities (
    id             TEXT PRIMARY KEY,
    owner_id       TEXT NOT NULL,
    name           TEXT NOT NULL,
    display_name   TEXT NOT NULL,
    instructions   TEXT NOT NULL,
    model          TEXT,
    temperature    DOUBLE PRECISION,
    tools          TEXT NOT NULL, -- names of a closed list, joined by commas
    memory_enabled BOOLEAN NOT NULL,
    status         TEXT NOT NULL, -- active, paused
    pause_reason   TEXT,
    memory_count   BIGINT NOT NULL, -- rows in memories: the limit is kept by this row's lock
    created_us     BIGINT NOT NULL,
    updated_us     BIGINT NOT NULL,
    last_active_us BIGINT
);
CREATE UNIQUE INDEX entities_name ON entities (owner_id, name);
CREATE INDEX entities_age ON entities (owner_id, created_us, id);

-- The key is stored as bytes, because then both engines sort it by bytes, whatever
-- the collation of the database.
CREATE TABLE memories (
    entity_id  TEXT NOT NULL REFERENCES entities (id),
    key        BYTEA NOT NULL,
    owner_id   TEXT NOT NULL,
    value      TEXT NOT NULL,
    source     TEXT NOT NULL, -- user, entity
    revision   BIGINT NOT NULL, -- 1 for a new key, one more with every replacement
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (entity_id, key)
);

CREATE TABLE messages (
    id          TEXT PRIMARY KEY,
    entity_id   TEXT NOT NULL REFERENCES entities (id),
    owner_id    TEXT NOT NULL,
    seq         BIGINT NOT NULL, -- order of the history: a reply directly follows its message
    role        TEXT NOT NULL, -- user, assistant
    content     TEXT NOT NULL,
    in_reply_to TEXT,
    status      TEXT NOT NULL, -- running, completed, failed
    error       TEXT, -- fixed text of a failed turn
    tool_calls  TEXT NOT NULL, -- JSON list
    created_us  BIGINT NOT NULL
);
CREATE UNIQUE INDEX messages_history ON messages (entity_id, seq);

-- One row per message of a user. node is who runs the turn: whoever ends the turn
-- for it takes it away, and then every write of that node is refused.
CREATE TABLE turns (
    message_id     TEXT PRIMARY KEY,
    entity_id      TEXT NOT NULL REFERENCES entities (id),
    owner_id       TEXT NOT NULL,
    node           TEXT NOT NULL,
    lease_until_us BIGINT NOT NULL, -- renewed while the turn runs
    last_event     BIGINT NOT NULL, -- number of the newest event
    events_kept    BOOLEAN NOT NULL,
    reply_id       TEXT,
    error_code     TEXT,
    ended_us       BIGINT -- null while the turn runs
);
-- One turn at a time per entity, for all nodes.
CREATE UNIQUE INDEX turns_running ON turns (entity_id) WHERE ended_us IS NULL;
CREATE INDEX turns_node ON turns (node) WHERE ended_us IS NULL;
CREATE INDEX turns_lease ON turns (lease_until_us) WHERE ended_us IS NULL;
CREATE INDEX turns_entity ON turns (entity_id);
CREATE INDEX turns_swept ON turns (ended_us) WHERE events_kept;

CREATE TABLE events (
    message_id TEXT NOT NULL REFERENCES turns (message_id),
    seq        BIGINT NOT NULL, -- 1, 2, 3, ... per turn
    owner_id   TEXT NOT NULL,
    name       TEXT NOT NULL,
    data       TEXT NOT NULL, -- JSON, as it is sent
    PRIMARY KEY (message_id, seq)
);

-- What was answered to requests with an Idempotency-Key.
CREATE TABLE idempotency (
    owner_id    TEXT NOT NULL,
    scope       TEXT NOT NULL, -- 'create', or the id of the entity whose chat it is
    key         TEXT NOT NULL,
    entity_id   TEXT NOT NULL, -- the record goes when this entity is deleted
    fingerprint TEXT NOT NULL, -- digest of the body
    message_id  TEXT, -- the turn that the request started; while it runs there is no status
    status      BIGINT,
    code        TEXT, -- of a refusal
    body        TEXT, -- the answer as it was sent, or the text of a refusal
    created_us  BIGINT NOT NULL,
    PRIMARY KEY (owner_id, scope, key)
);
CREATE INDEX idempotency_entity ON idempotency (entity_id);
CREATE INDEX idempotency_message ON idempotency (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX idempotency_age ON idempotency (created_us);
