-- +goose Up

CREATE TABLE integrations (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id),
    name       TEXT   NOT NULL,
    kind       TEXT,
    metadata   TEXT,                         -- JSON object
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
);
CREATE INDEX integrations_by_user ON integrations (user_id, created_us, id);
CREATE INDEX api_keys_by_integration ON api_keys (integration_id) WHERE integration_id IS NOT NULL;

-- What holds the calls of an integration's keys.
CREATE TABLE broker_configs (
    integration_id TEXT   NOT NULL PRIMARY KEY REFERENCES integrations (id) ON DELETE CASCADE,
    user_id        TEXT   NOT NULL,
    monthly_quota  BIGINT,
    daily_quota    BIGINT,
    max_retries    BIGINT NOT NULL,
    backoff_s      DOUBLE PRECISION NOT NULL,
    timeout_s      DOUBLE PRECISION,
    allowed_agents TEXT   NOT NULL           -- JSON list of agents' ids
);

-- Invocations in the current windows, which begin at day_us and month_us.
CREATE TABLE broker_counts (
    integration_id TEXT   NOT NULL PRIMARY KEY REFERENCES integrations (id) ON DELETE CASCADE,
    user_id        TEXT   NOT NULL,
    day_us         BIGINT NOT NULL,
    in_day         BIGINT NOT NULL,
    month_us       BIGINT NOT NULL,
    in_month       BIGINT NOT NULL
);

CREATE TABLE conversations (
    id             TEXT   NOT NULL PRIMARY KEY,
    user_id        TEXT   NOT NULL REFERENCES users (id),
    integration_id TEXT   REFERENCES integrations (id) ON DELETE CASCADE,
    title          TEXT,
    external_user  TEXT,
    created_us     BIGINT NOT NULL,
    updated_us     BIGINT NOT NULL
);
CREATE INDEX conversations_by_user ON conversations (user_id, created_us, id);
CREATE INDEX conversations_by_integration ON conversations (integration_id, user_id, created_us, id) WHERE integration_id IS NOT NULL;
CREATE INDEX conversations_by_external ON conversations (user_id, external_user, created_us, id) WHERE external_user IS NOT NULL;

CREATE TABLE conversation_messages (
    id              TEXT   NOT NULL PRIMARY KEY,
    conversation_id TEXT   NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    user_id         TEXT   NOT NULL,         -- whose conversation it is
    role            TEXT   NOT NULL,         -- user, assistant, system or tool
    content         TEXT   NOT NULL,
    metadata        TEXT,                    -- JSON object
    agent_slug      TEXT,                    -- of the agent that said it
    created_us      BIGINT NOT NULL
);
CREATE INDEX conversation_messages_by_age ON conversation_messages (conversation_id, created_us, id);

-- contextId of A2A: what an agent calls a conversation.
CREATE TABLE conversation_contexts (
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    agent_id        TEXT NOT NULL,
    context_id      TEXT NOT NULL,
    PRIMARY KEY (conversation_id, agent_id)
);

-- One row per attempt. It outlives what it refers to: readers look whether that is
-- still there.
CREATE TABLE invocation_logs (
    id              TEXT    NOT NULL PRIMARY KEY,
    kind            TEXT    NOT NULL,        -- invoke, stream or network
    caller_id       TEXT    NOT NULL,
    actor_type      TEXT    NOT NULL,
    actor_id        TEXT    NOT NULL,
    agent_id        TEXT    NOT NULL,
    agent_owner_id  TEXT    NOT NULL,
    success         BOOLEAN NOT NULL,
    refused         BOOLEAN NOT NULL,
    status          BIGINT  NOT NULL,
    latency_ms      BIGINT  NOT NULL,
    error_code      TEXT    NOT NULL,        -- empty on success
    integration_id  TEXT,
    conversation_id TEXT,
    message_id      TEXT,
    request         TEXT,                    -- JSON object
    response        TEXT,                    -- JSON object
    request_id      TEXT    NOT NULL,
    created_us      BIGINT  NOT NULL
);
-- What is filtered by stands behind the order: pages are found without reading rows.
CREATE INDEX invocation_logs_by_caller ON invocation_logs (caller_id, created_us, id, agent_id, success, status);
CREATE INDEX invocation_logs_by_owner ON invocation_logs (agent_owner_id, created_us, id, agent_id, caller_id, success, status);
CREATE INDEX invocation_logs_by_conversation ON invocation_logs (conversation_id, created_us, id) WHERE conversation_id IS NOT NULL;

-- Switches of the whole platform that are on: the row is there.
CREATE TABLE platform_switches (
    name     TEXT   NOT NULL PRIMARY KEY,
    since_us BIGINT NOT NULL
);

-- An agent that an administrator disabled is not active, whatever its owner has set.
ALTER TABLE agents ADD COLUMN owner_active BOOLEAN NOT NULL DEFAULT FALSE; -- of a disabled agent: what its owner has set
CREATE INDEX agents_disabled ON agents (disabled_us, id) WHERE disabled_us IS NOT NULL;
