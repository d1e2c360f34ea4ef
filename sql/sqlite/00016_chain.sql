-- A chain of hashes over all events, and its signed heads: docs/reference/chain.md.
-- The file can be run by hand. It records its own version. A second run stops at its first statement and changes nothing, since
-- SQLite can not add a column "if it is absent": sqlite3 -bail.

-- +goose Up

-- chain is the salt of the event's content, 16 bytes, and its hash, 32 bytes: over the hash of the event before, by position, and over a digest of
-- the content, which the salt makes. Once the content is erased, the digest, 32 bytes, is in place of the salt. NULL in a row that is no
-- event. The server chains older events when it takes the lease, and migrate does.
ALTER TABLE Messages ADD COLUMN chain BLOB;

-- What replaces chain in an event that is in the chain. NULL for any other message.
ALTER TABLE ErasedMessages ADD COLUMN chain BLOB;

-- Ends of the chain: the hash of the event at a position, and when it was the last, in ns since 1970. public_key and signature are NULL if the
-- head is not signed. Rows do not change.
CREATE TABLE IF NOT EXISTS ChainHeads (
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    time INTEGER NOT NULL,
    cluster_id TEXT NOT NULL,
    public_key BLOB,
    signature BLOB,
    PRIMARY KEY (position)
);

-- An event that has no position, or no hash, yet gets one. An event that a pending erasure lists becomes what is listed there. Nothing else
-- of an event changes.
DROP TRIGGER IF EXISTS events_are_immutable_update;
-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS events_are_immutable_update BEFORE UPDATE ON Messages
WHEN OLD.event_type IS NOT NULL AND (
    (OLD.position IS NOT NULL OR NEW.position IS NULL) AND (OLD.chain IS NOT NULL OR NEW.chain IS NULL)
    OR OLD.position IS NOT NULL AND NEW.position IS NOT OLD.position
    OR OLD.chain IS NOT NULL AND NEW.chain IS NOT OLD.chain
    OR NEW.id IS NOT OLD.id OR NEW.seq IS NOT OLD.seq OR NEW.timestamp IS NOT OLD.timestamp OR NEW.size IS NOT OLD.size OR NEW.data IS NOT OLD.data
    OR NEW.event_id IS NOT OLD.event_id OR NEW.aggregate_type IS NOT OLD.aggregate_type OR NEW.aggregate_id IS NOT OLD.aggregate_id
    OR NEW.event_version IS NOT OLD.event_version OR NEW.event_type IS NOT OLD.event_type
    OR NEW.event_data IS NOT OLD.event_data OR NEW.metadata IS NOT OLD.metadata OR NEW.tags IS NOT OLD.tags
    OR NEW.appender IS NOT OLD.appender OR NEW.erased IS NOT OLD.erased)
AND (NEW.erased IS NULL OR NEW.event_data IS NOT NULL OR NEW.metadata IS NOT NULL OR NEW.tags IS NOT NULL
    OR NEW.id IS NOT OLD.id OR NEW.seq IS NOT OLD.seq OR NEW.timestamp IS NOT OLD.timestamp OR NEW.position IS NOT OLD.position
    OR NEW.event_id IS NOT OLD.event_id OR NEW.aggregate_type IS NOT OLD.aggregate_type OR NEW.aggregate_id IS NOT OLD.aggregate_id
    OR NEW.event_version IS NOT OLD.event_version OR NEW.event_type IS NOT OLD.event_type
    OR NEW.appender IS NOT OLD.appender OR (OLD.chain IS NULL) <> (NEW.chain IS NULL)
    OR OLD.chain IS NOT NULL AND (length(NEW.chain) <> 64 OR substr(NEW.chain, -32) <> substr(OLD.chain, -32) OR length(OLD.chain) = 64 AND NEW.chain <> OLD.chain)
    OR NOT EXISTS (SELECT 1 FROM ErasedMessages AS e JOIN Erasures AS r ON r.id = e.erasure
        WHERE e.erasure = NEW.erased AND e.id = NEW.id AND e.seq = NEW.seq AND e.data = NEW.data AND e.chain IS NEW.chain AND r.state = 'pending'))
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: UPDATE refused');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS heads_are_immutable_update BEFORE UPDATE ON ChainHeads
BEGIN
    SELECT RAISE(ABORT, 'the audit is immutable: UPDATE refused');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS heads_are_immutable_delete BEFORE DELETE ON ChainHeads
BEGIN
    SELECT RAISE(ABORT, 'the audit is immutable: DELETE refused');
END;
-- +goose StatementEnd

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 16, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 16);
