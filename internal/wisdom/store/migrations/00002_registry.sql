-- +goose Up

CREATE TABLE agents (
    id                 TEXT    NOT NULL PRIMARY KEY,
    slug               TEXT    NOT NULL UNIQUE,   -- agent_id of the API
    owner_id           TEXT    NOT NULL REFERENCES users (id),
    name               TEXT    NOT NULL,
    name_sort          BYTEA   NOT NULL,          -- folded name: bytes sort alike on both engines, text does not
    description        TEXT    NOT NULL,
    version            TEXT    NOT NULL,
    endpoint           TEXT,                      -- null for hosted entities
    auth_type          TEXT    NOT NULL,
    input_schema       TEXT,                      -- JSON object
    tags               TEXT    NOT NULL,          -- JSON list, for reading; agent_tags is for finding
    category           TEXT,
    visibility         TEXT    NOT NULL,          -- public or private
    trust              TEXT    NOT NULL,
    is_active          BOOLEAN NOT NULL,
    supports_streaming BOOLEAN NOT NULL,
    hosted_entity      TEXT,
    pricing_strategy   TEXT,
    base_price         DOUBLE PRECISION,
    pricing_enabled    BOOLEAN NOT NULL,
    disabled_us        BIGINT,                    -- when an administrator switched it off
    created_us         BIGINT  NOT NULL,
    updated_us         BIGINT  NOT NULL,
    content_us         BIGINT  NOT NULL           -- when what discovery reads changed last
);
CREATE UNIQUE INDEX agents_hosted ON agents (owner_id, hosted_entity) WHERE hosted_entity IS NOT NULL;
-- The lists merge everybody's public agents with one's own private ones. Each half has
-- its index, so that other people's private agents cost a reader nothing.
CREATE INDEX agents_public_by_created ON agents (created_us, id) WHERE is_active AND visibility = 'public';
CREATE INDEX agents_public_by_updated ON agents (updated_us, id) WHERE is_active AND visibility = 'public';
CREATE INDEX agents_public_by_name ON agents (name_sort, id) WHERE is_active AND visibility = 'public';
CREATE INDEX agents_by_owner ON agents (owner_id, created_us, id);

CREATE TABLE agent_tags (
    agent_id TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    tag      TEXT NOT NULL,
    PRIMARY KEY (agent_id, tag)
);
CREATE INDEX agent_tags_by_tag ON agent_tags (tag, agent_id);

-- Texts for searching, folded. Apart from agents, so that reading an agent does not
-- read its texts twice.
CREATE TABLE agent_search (
    agent_id    TEXT NOT NULL PRIMARY KEY REFERENCES agents (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    description TEXT NOT NULL
);
