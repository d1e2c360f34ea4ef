-- Settings of durables and queue groups, parked messages, and what administrators did.
-- The file can be run by hand. It records its own version. A second run stops at its first statement and changes nothing, since
-- SQLite can not add a column "if it is absent": sqlite3 -bail.

-- +goose Up

-- What proto says, for SQL: the client, the name of the durable or queue group, and "durable", "queue group", "durable queue group"
-- or "subscription". NULL until the server writes them, which it does at the latest when it takes the lease.
ALTER TABLE Subscriptions ADD COLUMN client TEXT;
ALTER TABLE Subscriptions ADD COLUMN name TEXT;
ALTER TABLE Subscriptions ADD COLUMN kind TEXT;

-- One row for each durable or queue group with settings or parked messages. It stays when the group ends. channel may be a pattern;
-- client is empty for a queue group; settings is a JSON object. A name that no text can hold is a quoted string of Go.
CREATE TABLE IF NOT EXISTS NamedConsumers (
    consumer INTEGER NOT NULL,
    channel TEXT NOT NULL,
    client TEXT NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (consumer)
);

-- Messages taken from their consumer, which is one of NamedConsumers: a reference, no payload. seq is the sequence in the channel, or
-- the position if channel is a pattern; the times are ns since 1970, 0 for a message that was never delivered.
CREATE TABLE IF NOT EXISTS Parked (
    consumer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    first_delivery INTEGER NOT NULL,
    last_delivery INTEGER NOT NULL,
    ordering_key TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (consumer, seq)
) WITHOUT ROWID;

-- How often the messages in ConsumersPending were sent again, in the same parts, as a JSON array of [first sequence, last sequence,
-- redeliveries, time of the first delivery, time of the next]. The times are s since 1970; the last is 0 if there is nothing to wait for.
CREATE TABLE IF NOT EXISTS ConsumersRedelivered (
    consumer INTEGER NOT NULL,
    part INTEGER NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (consumer, part)
);

-- Events whose delayed delivery was cancelled; id is that of the channel.
CREATE TABLE IF NOT EXISTS CancelledDeliveries (
    id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (id, seq)
) WITHOUT ROWID;

-- What administrators did, and when, in ns since 1970. Rows do not change.
CREATE TABLE IF NOT EXISTS AuditEntries (
    id INTEGER NOT NULL,
    time INTEGER NOT NULL,
    principal TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (id)
);

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS audit_is_immutable_update BEFORE UPDATE ON AuditEntries
BEGIN
    SELECT RAISE(ABORT, 'the audit is immutable: UPDATE refused');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS audit_is_immutable_delete BEFORE DELETE ON AuditEntries
BEGIN
    SELECT RAISE(ABORT, 'the audit is immutable: DELETE refused');
END;
-- +goose StatementEnd

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 12, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 12);
