-- +goose Up

-- Times named *_us are microseconds since the Unix epoch, UTC; *_s are seconds.

CREATE TABLE users (
    id            TEXT    NOT NULL PRIMARY KEY,
    email         TEXT    NOT NULL,          -- as typed, domain in lower case
    email_fold    TEXT    NOT NULL UNIQUE,   -- all in lower case: what makes an address one
    password_hash TEXT    NOT NULL,          -- PHC string
    first_name    TEXT,
    last_name     TEXT,
    is_active     BOOLEAN NOT NULL,
    is_admin      BOOLEAN NOT NULL,
    plan          TEXT    NOT NULL,          -- free or pro
    tokens_after  BIGINT  NOT NULL,          -- Unix seconds: only tokens issued later than this are valid
    tokens_issued BIGINT  NOT NULL,          -- Unix seconds: the latest time of issue given to a token
    created_us    BIGINT  NOT NULL,
    updated_us    BIGINT  NOT NULL
);
CREATE INDEX users_by_age ON users (created_us, id);

CREATE TABLE api_keys (
    id             TEXT   NOT NULL PRIMARY KEY,
    user_id        TEXT   NOT NULL REFERENCES users (id),
    name           TEXT   NOT NULL,
    digest         TEXT   NOT NULL UNIQUE,   -- SHA-256 of the key, hex
    integration_id TEXT,
    created_us     BIGINT NOT NULL,
    last_used_us   BIGINT,
    expires_us     BIGINT
);
CREATE INDEX api_keys_by_user ON api_keys (user_id, created_us, id);

CREATE TABLE revoked_tokens (
    user_id    TEXT   NOT NULL REFERENCES users (id),
    jti        TEXT   NOT NULL,
    expires_us BIGINT NOT NULL,              -- the row is of no use afterwards
    PRIMARY KEY (user_id, jti)
);
CREATE INDEX revoked_tokens_by_end ON revoked_tokens (expires_us);

CREATE TABLE login_failures (
    key      TEXT   NOT NULL PRIMARY KEY,    -- hash of an account or of a peer address
    attempts TEXT   NOT NULL,                -- marks of equal length, oldest first; see store/throttle.go
    last_us  BIGINT NOT NULL
);
CREATE INDEX login_failures_by_age ON login_failures (last_us);

CREATE TABLE audit (
    id         TEXT   NOT NULL PRIMARY KEY,
    at_us      BIGINT NOT NULL,
    request_id TEXT   NOT NULL,
    event      TEXT   NOT NULL,
    actor_type TEXT   NOT NULL,
    actor_id   TEXT   NOT NULL,
    subject_id TEXT,                         -- the user for whom it was done; null if none was accepted
    method     TEXT   NOT NULL,
    route      TEXT   NOT NULL,              -- the pattern, not the path
    status     BIGINT NOT NULL               -- 0 until the answer is known
);
CREATE INDEX audit_by_age ON audit (at_us, id);
