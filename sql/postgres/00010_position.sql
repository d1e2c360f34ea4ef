-- One order over all events: their positions. And their tags.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET LOCAL lock_timeout = '2s';

-- position is that of the event among all events, from 1, without gaps, in the order of commits; tags is a JSON array of strings.
-- Both are NULL in a row that is no event; tags also in an event without any. The server numbers older events when it takes the
-- lease, and migrate does.
ALTER TABLE Messages
    ADD COLUMN IF NOT EXISTS position BIGINT,
    ADD COLUMN IF NOT EXISTS tags JSONB;

-- The position of the last event; NULL until all older events have theirs.
ALTER TABLE StoreLock ADD COLUMN IF NOT EXISTS position BIGINT;

CREATE UNIQUE INDEX IF NOT EXISTS Idx_MsgsPosition
    ON Messages (position) WHERE position IS NOT NULL;
CREATE INDEX IF NOT EXISTS Idx_MsgsTypePosition
    ON Messages (event_type, position) WHERE position IS NOT NULL;

-- One row for each tag of each event.
CREATE TABLE IF NOT EXISTS EventTags (
    tag TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (tag, position)
);

-- The positions whose event is older than the one before: the first of those that were numbered late. Otherwise, times do not
-- step back along positions.
CREATE TABLE IF NOT EXISTS TimeSteps (
    position BIGINT NOT NULL,
    PRIMARY KEY (position)
);

-- An event that has no position yet gets one. Nothing else of it changes.
DROP TRIGGER IF EXISTS events_are_immutable ON Messages;
CREATE TRIGGER events_are_immutable BEFORE UPDATE ON Messages
    FOR EACH ROW WHEN (OLD.event_type IS NOT NULL AND (OLD.position IS NOT NULL OR NEW.position IS NULL
        OR (OLD.id, OLD.seq, OLD.timestamp, OLD.size, OLD.data, OLD.event_id, OLD.aggregate_type, OLD.aggregate_id, OLD.event_version, OLD.event_type, OLD.event_data, OLD.metadata, OLD.tags)
            IS DISTINCT FROM (NEW.id, NEW.seq, NEW.timestamp, NEW.size, NEW.data, NEW.event_id, NEW.aggregate_type, NEW.aggregate_id, NEW.event_version, NEW.event_type, NEW.event_data, NEW.metadata, NEW.tags)))
    EXECUTE FUNCTION eventstore_refuse_change();
DROP TRIGGER IF EXISTS events_are_not_deleted ON Messages;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON Messages
    FOR EACH ROW WHEN (OLD.event_type IS NOT NULL) EXECUTE FUNCTION eventstore_refuse_change();

DROP TRIGGER IF EXISTS tags_are_immutable ON EventTags;
CREATE TRIGGER tags_are_immutable BEFORE UPDATE OR DELETE ON EventTags
    FOR EACH ROW EXECUTE FUNCTION eventstore_refuse_change();
DROP TRIGGER IF EXISTS tags_are_not_truncated ON EventTags;
CREATE TRIGGER tags_are_not_truncated BEFORE TRUNCATE ON EventTags
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_refuse_change();

-- Not if a later migration has replaced it.
-- +goose StatementBegin
DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'messages' AND column_name = 'erased') THEN
        CREATE OR REPLACE VIEW events AS
        SELECT
            c.name AS channel,
            m.seq AS sequence,
            to_timestamp((m.timestamp / 1000)::double precision / 1000000) AS time,
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
        JOIN Channels AS c ON c.id = m.id
        WHERE m.event_type IS NOT NULL;
    END IF;
END $$;
-- +goose StatementEnd

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 10, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 10);
