-- Events can be erased: their data, metadata and tags. The rest of each event stays in its place.
-- The file can be run by hand, and more than once; it records its own version. A step that was interrupted is done again.

-- +goose NO TRANSACTION
-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET SESSION lock_wait_timeout = 2;

-- The erasure that replaced the message; NULL for a message that is as it was published.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'Messages' AND column_name = 'erased') = 0,
    'ALTER TABLE Messages ADD COLUMN erased BIGINT',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- One row for each erasure; the times are ns since 1970. state is "pending" while its messages are listed, "erased" once they have been
-- erased, and "done" once streams and readers have been told. selector says what is to be erased, as JSON: it may be personal itself, and
-- is empty from "erased" on. Rows stay.
CREATE TABLE IF NOT EXISTS Erasures (
    id BIGINT NOT NULL,
    requested BIGINT NOT NULL,
    principal TEXT NOT NULL,
    reason TEXT NOT NULL,
    selector TEXT NOT NULL,
    state VARCHAR(30) NOT NULL,
    events BIGINT NOT NULL,
    copies BIGINT NOT NULL,
    erased BIGINT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The messages of erasures that are not done, and what replaces each. position is that of an event, NULL for a copy of one.
CREATE TABLE IF NOT EXISTS ErasedMessages (
    erasure BIGINT NOT NULL,
    id INTEGER NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    position BIGINT,
    size INTEGER NOT NULL,
    data LONGBLOB NOT NULL,
    PRIMARY KEY (erasure, id, seq)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- An event that has no position yet gets one. An event that a pending erasure lists becomes what is listed there. Nothing else of an
-- event changes.
-- (00003_immutable.sql says why a trigger looks like this.)
DROP TRIGGER IF EXISTS events_are_immutable_update;
CREATE TRIGGER events_are_immutable_update BEFORE UPDATE ON Messages FOR EACH ROW
    SET lc_time_names = IF(OLD.event_type IS NULL OR (OLD.position IS NULL AND NEW.position IS NOT NULL
        AND NEW.id <=> OLD.id AND NEW.seq <=> OLD.seq AND NEW.timestamp <=> OLD.timestamp AND NEW.size <=> OLD.size AND NEW.data <=> OLD.data
        AND NEW.event_id <=> OLD.event_id AND NEW.aggregate_type <=> OLD.aggregate_type AND NEW.aggregate_id <=> OLD.aggregate_id
        AND NEW.event_version <=> OLD.event_version AND NEW.event_type <=> OLD.event_type
        AND NEW.event_data <=> OLD.event_data AND NEW.metadata <=> OLD.metadata AND NEW.tags <=> OLD.tags AND NEW.erased <=> OLD.erased)
        OR (NEW.erased IS NOT NULL AND NEW.event_data IS NULL AND NEW.metadata IS NULL AND NEW.tags IS NULL
        AND NEW.id <=> OLD.id AND NEW.seq <=> OLD.seq AND NEW.timestamp <=> OLD.timestamp AND NEW.position <=> OLD.position
        AND NEW.event_id <=> OLD.event_id AND NEW.aggregate_type <=> OLD.aggregate_type AND NEW.aggregate_id <=> OLD.aggregate_id
        AND NEW.event_version <=> OLD.event_version AND NEW.event_type <=> OLD.event_type
        AND EXISTS (SELECT 1 FROM ErasedMessages AS e JOIN Erasures AS r ON r.id = e.erasure
            WHERE e.erasure = NEW.erased AND e.id = NEW.id AND e.seq = NEW.seq AND e.data = NEW.data AND r.state = 'pending')),
        @@lc_time_names, 'events are immutable: UPDATE refused');

-- Tags go with the event that has them.
DROP TRIGGER IF EXISTS tags_are_immutable_delete;
CREATE TRIGGER tags_are_immutable_delete BEFORE DELETE ON EventTags FOR EACH ROW
    SET lc_time_names = IF(EXISTS (SELECT 1 FROM Messages AS m JOIN ErasedMessages AS e ON e.id = m.id AND e.seq = m.seq
        JOIN Erasures AS r ON r.id = e.erasure WHERE m.position = OLD.position AND r.state = 'pending'),
        @@lc_time_names, 'events are immutable: DELETE of their tags refused');

-- An erasure proceeds from state to state. Who asked for it, when and why does not change.
DROP TRIGGER IF EXISTS erasures_are_immutable_update;
CREATE TRIGGER erasures_are_immutable_update BEFORE UPDATE ON Erasures FOR EACH ROW
    SET lc_time_names = IF(NEW.id = OLD.id AND NEW.requested = OLD.requested AND NEW.principal = OLD.principal AND NEW.reason = OLD.reason
        AND OLD.state <> 'done' AND (OLD.state <> 'erased' OR NEW.state <> 'pending'),
        @@lc_time_names, 'erasures are immutable: UPDATE refused');
DROP TRIGGER IF EXISTS erasures_are_immutable_delete;
CREATE TRIGGER erasures_are_immutable_delete BEFORE DELETE ON Erasures FOR EACH ROW
    SET lc_time_names = IF(OLD.id IS NULL, @@lc_time_names, 'erasures are immutable: DELETE refused');

SET SESSION lock_wait_timeout = DEFAULT;

-- 00004_time.sql says why the join looks like this.
CREATE OR REPLACE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW events AS
SELECT
    c.name AS channel,
    m.seq AS sequence,
    m.time,
    m.event_id,
    m.aggregate_type,
    m.aggregate_id,
    m.event_version,
    m.event_type,
    m.event_data,
    m.metadata,
    m.position,
    m.tags,
    m.erased
FROM Messages AS m
LEFT JOIN Channels AS c FORCE INDEX (PRIMARY) ON c.id = m.id
WHERE m.event_type IS NOT NULL;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW erasure_log AS
SELECT
    r.id, TIMESTAMPADD(MICROSECOND, r.requested DIV 1000, TIMESTAMP '1970-01-01 00:00:00.000000') AS requested,
    r.principal, r.reason, r.state, r.events, r.copies,
    TIMESTAMPADD(MICROSECOND, NULLIF(r.erased, 0) DIV 1000, TIMESTAMP '1970-01-01 00:00:00.000000') AS erased
FROM Erasures AS r;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 14, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 14);
