-- +goose Up
-- Requests counted per rate-limit bucket and window, for several processes on one
-- database. window_s is the start of the window in Unix seconds.
CREATE TABLE rate_counts (
    bucket   TEXT   NOT NULL,
    window_s BIGINT NOT NULL,
    count    BIGINT NOT NULL,
    PRIMARY KEY (bucket, window_s)
);

CREATE INDEX rate_counts_by_window ON rate_counts (window_s);
