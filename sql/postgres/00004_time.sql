-- The column time of the view "events" becomes one that has indexes: events between two dates, with and without a type,
-- the latest of a type, counts per day.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- They replace two that served no query of the server: that on timestamp, since people ask for a time, and that on
-- (event_type, id, seq), since the order of a channel's events is that of their times.
-- (to_timestamp is immutable, as an index needs it; microseconds are exact in its double until the year 2242.
-- The first index is not limited to events: the planner takes statistics of an expression from complete indexes only.)
CREATE INDEX IF NOT EXISTS Idx_MsgsTime
    ON Messages (to_timestamp((timestamp / 1000)::double precision / 1000000));
CREATE INDEX IF NOT EXISTS Idx_MsgsTypeTime
    ON Messages (event_type, to_timestamp((timestamp / 1000)::double precision / 1000000)) WHERE event_type IS NOT NULL;
DROP INDEX IF EXISTS Idx_MsgsTimestamp;
DROP INDEX IF EXISTS Idx_MsgsEventType;

-- Not if a later migration has replaced it.
-- +goose StatementBegin
DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'messages' AND column_name = 'position') THEN
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
            m.metadata
        FROM Messages AS m
        JOIN Channels AS c ON c.id = m.id
        WHERE m.event_type IS NOT NULL;
    END IF;
END $$;
-- +goose StatementEnd

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 4, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 4);
