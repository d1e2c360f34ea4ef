-- A chain of hashes over all events, and its signed heads: docs/reference/chain.md.
-- The file can be run by hand, and more than once; it records its own version. A step that was interrupted is done again.

-- +goose NO TRANSACTION
-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET SESSION lock_wait_timeout = 2;

-- chain is the salt of the event's content, 16 bytes, and its hash, 32 bytes: over the hash of the event before, by position, and over a digest of
-- the content, which the salt makes. Once the content is erased, the digest, 32 bytes, is in place of the salt. NULL in a row that is no
-- event. The server chains older events when it takes the lease, and migrate does.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'Messages' AND column_name = 'chain') = 0,
    'ALTER TABLE Messages ADD COLUMN chain VARBINARY(64)',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- What replaces chain in an event that is in the chain. NULL for any other message.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'ErasedMessages' AND column_name = 'chain') = 0,
    'ALTER TABLE ErasedMessages ADD COLUMN chain VARBINARY(64)',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- Ends of the chain: the hash of the event at a position, and when it was the last, in ns since 1970. public_key and signature are NULL if the
-- head is not signed. Rows do not change.
CREATE TABLE IF NOT EXISTS ChainHeads (
    position BIGINT NOT NULL,
    hash VARBINARY(32) NOT NULL,
    time BIGINT NOT NULL,
    cluster_id TEXT NOT NULL,
    public_key VARBINARY(32),
    signature VARBINARY(64),
    PRIMARY KEY (position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- An event that has no position, or no hash, yet gets one. An event that a pending erasure lists becomes what is listed there. Nothing else
-- of an event changes. (00003_immutable.sql says why a trigger looks like this.)
DROP TRIGGER IF EXISTS events_are_immutable_update;
CREATE TRIGGER events_are_immutable_update BEFORE UPDATE ON Messages FOR EACH ROW
    SET lc_time_names = IF(OLD.event_type IS NULL OR ((OLD.position IS NULL AND NEW.position IS NOT NULL OR OLD.chain IS NULL AND NEW.chain IS NOT NULL)
        AND (OLD.position IS NULL OR NEW.position <=> OLD.position)
        AND (OLD.chain IS NULL OR NEW.chain <=> OLD.chain)
        AND NEW.id <=> OLD.id AND NEW.seq <=> OLD.seq AND NEW.timestamp <=> OLD.timestamp AND NEW.size <=> OLD.size AND NEW.data <=> OLD.data
        AND NEW.event_id <=> OLD.event_id AND NEW.aggregate_type <=> OLD.aggregate_type AND NEW.aggregate_id <=> OLD.aggregate_id
        AND NEW.event_version <=> OLD.event_version AND NEW.event_type <=> OLD.event_type
        AND NEW.event_data <=> OLD.event_data AND NEW.metadata <=> OLD.metadata AND NEW.tags <=> OLD.tags
        AND NEW.appender <=> OLD.appender AND NEW.erased <=> OLD.erased)
        OR (NEW.erased IS NOT NULL AND NEW.event_data IS NULL AND NEW.metadata IS NULL AND NEW.tags IS NULL
        AND NEW.id <=> OLD.id AND NEW.seq <=> OLD.seq AND NEW.timestamp <=> OLD.timestamp AND NEW.position <=> OLD.position
        AND NEW.event_id <=> OLD.event_id AND NEW.aggregate_type <=> OLD.aggregate_type AND NEW.aggregate_id <=> OLD.aggregate_id
        AND NEW.event_version <=> OLD.event_version AND NEW.event_type <=> OLD.event_type
        AND NEW.appender <=> OLD.appender AND (OLD.chain IS NULL) = (NEW.chain IS NULL)
        AND (OLD.chain IS NULL OR LENGTH(NEW.chain) = 64 AND RIGHT(NEW.chain, 32) = RIGHT(OLD.chain, 32) AND (LENGTH(OLD.chain) <> 64 OR NEW.chain = OLD.chain))
        AND EXISTS (SELECT 1 FROM ErasedMessages AS e JOIN Erasures AS r ON r.id = e.erasure
            WHERE e.erasure = NEW.erased AND e.id = NEW.id AND e.seq = NEW.seq AND e.data = NEW.data AND e.chain <=> NEW.chain AND r.state = 'pending')),
        @@lc_time_names, 'events are immutable: UPDATE refused');

DROP TRIGGER IF EXISTS heads_are_immutable_update;
CREATE TRIGGER heads_are_immutable_update BEFORE UPDATE ON ChainHeads FOR EACH ROW
    SET lc_time_names = IF(OLD.position IS NULL, @@lc_time_names, 'the audit is immutable: UPDATE refused');
DROP TRIGGER IF EXISTS heads_are_immutable_delete;
CREATE TRIGGER heads_are_immutable_delete BEFORE DELETE ON ChainHeads FOR EACH ROW
    SET lc_time_names = IF(OLD.position IS NULL, @@lc_time_names, 'the audit is immutable: DELETE refused');

SET SESSION lock_wait_timeout = DEFAULT;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 16, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 16);
