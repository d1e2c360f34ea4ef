-- The column time of the view "events" gets indexes: events between two dates, with and without a type, the latest of a
-- type, counts per day.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- They replace two that served no query of the server: that on timestamp, since people ask for a time, and that on
-- (event_type, id, seq), since the order of a channel's events is that of their times.
-- The expression is that of the view.
CREATE INDEX IF NOT EXISTS Idx_MsgsTime ON Messages (
    strftime('%Y-%m-%dT%H:%M:%S', timestamp / 1000000000, 'unixepoch')
        || printf('.%06dZ', timestamp / 1000 % 1000000)
) WHERE event_type IS NOT NULL;
CREATE INDEX IF NOT EXISTS Idx_MsgsTypeTime ON Messages (
    event_type,
    strftime('%Y-%m-%dT%H:%M:%S', timestamp / 1000000000, 'unixepoch')
        || printf('.%06dZ', timestamp / 1000 % 1000000)
) WHERE event_type IS NOT NULL;
DROP INDEX IF EXISTS Idx_MsgsTimestamp;
DROP INDEX IF EXISTS Idx_MsgsEventType;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 4, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 4);
