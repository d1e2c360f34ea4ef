-- A channel that holds events stays: its row is not deleted, renamed, marked as deleted or set back, since its events would
-- then be gone or begin again at 1. (A foreign key that cascades fires no trigger of the rows it deletes: verify reports it.)
-- The file can be run by hand, and more than once; it records its own version.

-- +goose NO TRANSACTION
-- +goose Up

-- 00003_immutable.sql says why the triggers look like this. Each commit of messages updates Channels: what it changes is
-- compared first, and Messages is read only for the rest. The read locks, so that it sees what was committed since the
-- transaction began. Names are compared as bytes, with their trailing spaces.
DROP TRIGGER IF EXISTS channels_keep_events_update;
CREATE TRIGGER channels_keep_events_update BEFORE UPDATE ON Channels FOR EACH ROW
    SET lc_time_names = IF((NEW.maxseq >= OLD.maxseq OR OLD.maxseq IS NULL) AND NEW.id = OLD.id
        AND CAST(NEW.name AS BINARY) = CAST(OLD.name AS BINARY) AND (NEW.deleted <=> OLD.deleted OR NEW.deleted <=> FALSE)
        OR NOT EXISTS (SELECT 1 FROM Messages WHERE id = OLD.id AND event_type IS NOT NULL LOCK IN SHARE MODE),
        @@lc_time_names, 'events are immutable: UPDATE of their channel refused');

DROP TRIGGER IF EXISTS channels_keep_events_delete;
CREATE TRIGGER channels_keep_events_delete BEFORE DELETE ON Channels FOR EACH ROW
    SET lc_time_names = IF(NOT EXISTS (SELECT 1 FROM Messages WHERE id = OLD.id AND event_type IS NOT NULL LOCK IN SHARE MODE),
        @@lc_time_names, 'events are immutable: DELETE of their channel refused');

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 8, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 8);
