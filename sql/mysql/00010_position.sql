-- One order over all events: their positions. And their tags.
-- The file can be run by hand, and more than once; it records its own version. A step that was interrupted is done again.

-- +goose NO TRANSACTION
-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET SESSION lock_wait_timeout = 2;

-- position is that of the event among all events, from 1, without gaps, in the order of commits; tags is a JSON array of strings.
-- Both are NULL in a row that is no event; tags also in an event without any. The server numbers older events when it takes the
-- lease, and migrate does.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'Messages' AND column_name = 'position') = 0,
    'ALTER TABLE Messages
        ADD COLUMN position BIGINT,
        ADD COLUMN tags JSON,
        ADD UNIQUE INDEX Idx_MsgsPosition (position),
        ADD INDEX Idx_MsgsTypePosition (event_type, position)',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- The position of the last event; NULL until all older events have theirs.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'StoreLock' AND column_name = 'position') = 0,
    'ALTER TABLE StoreLock ADD COLUMN position BIGINT',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- One row for each tag of each event.
CREATE TABLE IF NOT EXISTS EventTags (
    tag VARCHAR(255) CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (tag, position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- The positions whose event is older than the one before: the first of those that were numbered late. Otherwise, times do not
-- step back along positions.
CREATE TABLE IF NOT EXISTS TimeSteps (
    position BIGINT NOT NULL,
    PRIMARY KEY (position)
) ENGINE = InnoDB;

-- An event that has no position yet gets one. Nothing else of it changes. (00003_immutable.sql says why a trigger looks like this.)
DROP TRIGGER IF EXISTS events_are_immutable_update;
CREATE TRIGGER events_are_immutable_update BEFORE UPDATE ON Messages FOR EACH ROW
    SET lc_time_names = IF(OLD.event_type IS NULL OR (OLD.position IS NULL AND NEW.position IS NOT NULL
        AND NEW.id <=> OLD.id AND NEW.seq <=> OLD.seq AND NEW.timestamp <=> OLD.timestamp AND NEW.size <=> OLD.size AND NEW.data <=> OLD.data
        AND NEW.event_id <=> OLD.event_id AND NEW.aggregate_type <=> OLD.aggregate_type AND NEW.aggregate_id <=> OLD.aggregate_id
        AND NEW.event_version <=> OLD.event_version AND NEW.event_type <=> OLD.event_type
        AND NEW.event_data <=> OLD.event_data AND NEW.metadata <=> OLD.metadata AND NEW.tags <=> OLD.tags),
        @@lc_time_names, 'events are immutable: UPDATE refused');

DROP TRIGGER IF EXISTS tags_are_immutable_update;
CREATE TRIGGER tags_are_immutable_update BEFORE UPDATE ON EventTags FOR EACH ROW
    SET lc_time_names = IF(OLD.position IS NULL, @@lc_time_names, 'events are immutable: UPDATE of their tags refused');
DROP TRIGGER IF EXISTS tags_are_immutable_delete;
CREATE TRIGGER tags_are_immutable_delete BEFORE DELETE ON EventTags FOR EACH ROW
    SET lc_time_names = IF(OLD.position IS NULL, @@lc_time_names, 'events are immutable: DELETE of their tags refused');

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
    m.tags
FROM Messages AS m
LEFT JOIN Channels AS c FORCE INDEX (PRIMARY) ON c.id = m.id
WHERE m.event_type IS NOT NULL;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 10, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 10);
