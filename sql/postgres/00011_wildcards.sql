-- Subscriptions of NATS Streaming's clients to patterns of channels.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- The pattern of each group whose messages are the events of all channels that match it. Its rows in Consumers and Subscriptions
-- have the id 0, which is no channel's; its sequences, here and in ConsumersPending, are positions of events.
CREATE TABLE IF NOT EXISTS Wildcards (
    consumer BIGINT NOT NULL,
    pattern TEXT NOT NULL,
    PRIMARY KEY (consumer)
);

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 11, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 11);
