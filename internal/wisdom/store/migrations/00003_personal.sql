-- +goose Up

-- Slots of the entity quota: see the documentation of package personal.
CREATE TABLE entity_slots (
    user_id    TEXT   NOT NULL REFERENCES users (id),
    name       TEXT   NOT NULL,              -- of the entity
    state      TEXT   NOT NULL,              -- reserved, confirmed or unknown
    version    BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    holders    BIGINT NOT NULL,
    keys       TEXT   NOT NULL,              -- JSON list of digests of Idempotency-Keys
    settle_us  BIGINT NOT NULL,              -- when the host is asked for the name
    created_us BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
);
CREATE INDEX entity_slots_by_settle ON entity_slots (settle_us);

-- One row per user with slots. Every change of them writes the next stamp, so that
-- the changes of one user follow one another.
CREATE TABLE slot_stamps (
    user_id TEXT   NOT NULL PRIMARY KEY REFERENCES users (id),
    stamp   BIGINT NOT NULL
);

-- Messages in the current windows, which begin at minute_us and month_us.
CREATE TABLE message_counts (
    user_id   TEXT   NOT NULL PRIMARY KEY REFERENCES users (id),
    minute_us BIGINT NOT NULL,
    in_minute BIGINT NOT NULL,
    month_us  BIGINT NOT NULL,
    in_month  BIGINT NOT NULL
);
