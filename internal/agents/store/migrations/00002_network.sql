-- What the network of agents asks of an entity, and what the network must be told of it.

-- +goose Up

-- An id is answered once: a repeated one gets the first answer, as long as the row is
-- kept. The turn is the one that runs, or ran last, for it; its own row goes with its
-- events.
CREATE TABLE deliveries (
    entity_id    TEXT NOT NULL REFERENCES entities (id),
    id           TEXT NOT NULL, -- of the invocation or network message, as wisdom names it
    owner_id     TEXT NOT NULL,
    turn_id      TEXT NOT NULL,
    kind         TEXT NOT NULL, -- invoke, call, message
    caller_id    TEXT NOT NULL,
    depth        BIGINT NOT NULL,
    input        TEXT NOT NULL, -- JSON object, as it came
    content      TEXT, -- of the answer; null also if the entity had nothing to say
    status       TEXT NOT NULL, -- running, completed, failed
    error        TEXT, -- fixed text of a failed turn
    created_us   BIGINT NOT NULL,
    completed_us BIGINT, -- null while the turn runs
    size         BIGINT NOT NULL, -- of input and content, in bytes
    PRIMARY KEY (entity_id, id)
);
CREATE INDEX deliveries_age ON deliveries (entity_id, created_us, id, size);

-- The delivery that the turn is for; null: a user's message, whose id is the turn's.
ALTER TABLE turns ADD COLUMN delivery_id TEXT;
CREATE INDEX turns_done ON turns (delivery_id) WHERE delivery_id IS NOT NULL AND NOT events_kept;

-- What the registry of wisdom should say of an entity, one row per name of an owner:
-- the registry knows no other key, so a row outlives the entity until the removal is
-- done, and an entity made anew under the name takes it over.
CREATE TABLE registrations (
    owner_id       TEXT NOT NULL,
    name           TEXT NOT NULL, -- of the entity
    display_name   TEXT NOT NULL,
    wanted         TEXT NOT NULL, -- active, inactive, removed
    revision       BIGINT NOT NULL, -- one more with every change of what is wanted
    agent_id       TEXT, -- in the registry; null: not known
    stale          BOOLEAN NOT NULL, -- that agent is a former entity's, whose removal was not done yet
    status         TEXT NOT NULL, -- pending, done
    run_at_us      BIGINT NOT NULL,
    claim          TEXT, -- of the last attempt; null: there was none
    lease_until_us BIGINT NOT NULL, -- of a running attempt
    attempts       BIGINT NOT NULL, -- since the last change or success
    last_error     TEXT,
    PRIMARY KEY (owner_id, name)
);
CREATE INDEX registrations_due ON registrations (run_at_us, owner_id, name) WHERE status = 'pending';

INSERT INTO registrations (owner_id, name, display_name, wanted, revision, stale, status, run_at_us, lease_until_us, attempts)
SELECT owner_id, name, display_name, CASE WHEN status = 'active' THEN 'active' ELSE 'inactive' END, 1, FALSE, 'pending', 0, 0, 0
FROM entities;
