-- Settings of durables and queue groups, parked messages, and what administrators did.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET LOCAL lock_timeout = '2s';

-- What proto says, for SQL: the client, the name of the durable or queue group, and "durable", "queue group", "durable queue group"
-- or "subscription". NULL until the server writes them, which it does at the latest when it takes the lease.
ALTER TABLE Subscriptions
    ADD COLUMN IF NOT EXISTS client TEXT COLLATE "C",
    ADD COLUMN IF NOT EXISTS name TEXT COLLATE "C",
    ADD COLUMN IF NOT EXISTS kind TEXT COLLATE "C";

-- One row for each durable or queue group with settings or parked messages. It stays when the group ends. channel may be a pattern;
-- client is empty for a queue group; settings is a JSON object. A name that no text can hold is a quoted string of Go.
CREATE TABLE IF NOT EXISTS NamedConsumers (
    consumer BIGINT NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (consumer)
);

-- Messages taken from their consumer, which is one of NamedConsumers: a reference, no payload. seq is the sequence in the channel, or
-- the position if channel is a pattern; the times are ns since 1970, 0 for a message that was never delivered.
CREATE TABLE IF NOT EXISTS Parked (
    consumer BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    deliveries BIGINT NOT NULL,
    first_delivery BIGINT NOT NULL,
    last_delivery BIGINT NOT NULL,
    ordering_key TEXT COLLATE "C" NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (consumer, seq)
);

-- How often the messages in ConsumersPending were sent again, in the same parts, as a JSON array of [first sequence, last sequence,
-- redeliveries, time of the first delivery, time of the next]. The times are s since 1970; the last is 0 if there is nothing to wait for.
CREATE TABLE IF NOT EXISTS ConsumersRedelivered (
    consumer BIGINT NOT NULL,
    part BIGINT NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (consumer, part)
);

-- Events whose delayed delivery was cancelled; id is that of the channel.
CREATE TABLE IF NOT EXISTS CancelledDeliveries (
    id INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (id, seq)
);

-- What administrators did, and when, in ns since 1970. Rows do not change.
CREATE TABLE IF NOT EXISTS AuditEntries (
    id BIGINT NOT NULL,
    time BIGINT NOT NULL,
    principal TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (id)
);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is immutable: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

DROP TRIGGER IF EXISTS audit_is_immutable ON AuditEntries;
CREATE TRIGGER audit_is_immutable BEFORE UPDATE OR DELETE ON AuditEntries
    FOR EACH ROW EXECUTE FUNCTION eventstore_keep_audit();
DROP TRIGGER IF EXISTS audit_is_not_truncated ON AuditEntries;
CREATE TRIGGER audit_is_not_truncated BEFORE TRUNCATE ON AuditEntries
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_audit();

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 12, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 12);
