-- +goose Up

-- Imported agents: the card they come from. (owner, card URL) is what makes two
-- imports the same agent; the digest stands for the URL, which may be too long for an
-- index.
ALTER TABLE agents ADD COLUMN card_url TEXT;
ALTER TABLE agents ADD COLUMN card_digest TEXT;                           -- SHA-256, hex
ALTER TABLE agents ADD COLUMN dialect TEXT NOT NULL DEFAULT '';           -- of A2A: 0.3 or 1.0; else empty
-- Kept beside the agent so that reading one needs no sum.
ALTER TABLE agents ADD COLUMN credential_types TEXT NOT NULL DEFAULT '';  -- of agent_credentials, sorted, comma list
ALTER TABLE agents ADD COLUMN rating_sum BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN rating_count BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX agents_imported ON agents (owner_id, card_digest) WHERE card_digest IS NOT NULL;

CREATE TABLE agent_credentials (
    agent_id    TEXT   NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    type        TEXT   NOT NULL,             -- api_key or bearer_token
    sealed      BYTEA  NOT NULL,             -- the value, encrypted for this agent and type
    key_id      TEXT   NOT NULL,             -- which encryption key sealed it
    auth_header TEXT,
    auth_scheme TEXT,
    updated_us  BIGINT NOT NULL,
    PRIMARY KEY (agent_id, type)
);
CREATE INDEX agent_credentials_by_key ON agent_credentials (key_id, agent_id, type);

CREATE TABLE agent_ratings (
    id         TEXT   NOT NULL PRIMARY KEY,
    agent_id   TEXT   NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    user_id    TEXT   NOT NULL REFERENCES users (id),
    score      BIGINT NOT NULL,              -- 1 to 5
    comment    TEXT,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    UNIQUE (agent_id, user_id)
);
CREATE INDEX agent_ratings_by_age ON agent_ratings (agent_id, updated_us, id);

-- Calls that reached an agent, added up by the hour: what quality and trends are
-- computed from. hour is hours since the Unix epoch.
CREATE TABLE agent_hours (
    agent_id   TEXT   NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    hour       BIGINT NOT NULL,
    calls      BIGINT NOT NULL,
    successes  BIGINT NOT NULL,
    latency_ms BIGINT NOT NULL,              -- sum over calls
    PRIMARY KEY (agent_id, hour)
);
CREATE INDEX agent_hours_by_hour ON agent_hours (hour, agent_id);

-- The same by the day, which is 24 hours: a window is its whole days and the hours
-- before the first of them, so that long windows read few rows.
CREATE TABLE agent_days (
    agent_id   TEXT   NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    day        BIGINT NOT NULL,
    calls      BIGINT NOT NULL,
    successes  BIGINT NOT NULL,
    latency_ms BIGINT NOT NULL,
    PRIMARY KEY (agent_id, day)
);
CREATE INDEX agent_days_by_day ON agent_days (day, agent_id);

-- Who ever called an agent: they may rate it.
CREATE TABLE agent_callers (
    agent_id TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES users (id),
    PRIMARY KEY (agent_id, user_id)
);

-- What discovery searches. The words belong to the analyzer, the vector to the model
-- that is named beside it; both are made anew when those change.
ALTER TABLE agent_search ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_search ADD COLUMN analyzer TEXT NOT NULL DEFAULT '';
CREATE TABLE agent_vectors (
    agent_id   TEXT   NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    model      TEXT   NOT NULL,
    vector     BYTEA  NOT NULL,              -- float32 scale and int8 numbers; empty: the text has no direction
    written_us BIGINT NOT NULL,
    PRIMARY KEY (agent_id, model)
);
CREATE INDEX agent_vectors_by_model ON agent_vectors (model, agent_id);

-- The last change of every agent, deleted ones included, by which the memory copies
-- follow. stamp grows: what a reader cannot see yet is never below the horizon that it
-- was told (sqldb.Dialect).
CREATE TABLE agent_changes (
    agent_id TEXT   NOT NULL PRIMARY KEY,
    stamp    BIGINT NOT NULL,
    at_us    BIGINT NOT NULL
);
CREATE INDEX agent_changes_by_stamp ON agent_changes (stamp, agent_id);

INSERT INTO agent_changes (agent_id, stamp, at_us) SELECT id, 0, updated_us FROM agents;

-- Work that one process at a time does.
CREATE TABLE leases (
    name     TEXT   NOT NULL PRIMARY KEY,
    holder   TEXT   NOT NULL,
    until_us BIGINT NOT NULL
);
