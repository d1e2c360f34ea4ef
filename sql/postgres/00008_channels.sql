-- A channel that holds events stays: its row is not deleted, renamed, marked as deleted or set back, since its events would
-- then be gone or begin again at 1.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- The search path keeps the caller's tables and operators out. The schema is that of Channels.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_channel() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_event BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.messages WHERE id = $1 AND event_type IS NOT NULL)', TG_TABLE_SCHEMA)
        INTO found_event USING OLD.id;
    IF found_event THEN
        RAISE EXCEPTION 'events are immutable: % of their channel refused', TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_channels() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_event BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.messages WHERE event_type IS NOT NULL)', TG_TABLE_SCHEMA) INTO found_event;
    IF found_event THEN
        RAISE EXCEPTION 'events are immutable: TRUNCATE of their channels refused' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- Each commit of messages updates Channels. A trigger AFTER the update costs it a comparison; one BEFORE it would lock each
-- row once more.
DROP TRIGGER IF EXISTS channels_keep_events_update ON Channels;
CREATE TRIGGER channels_keep_events_update AFTER UPDATE ON Channels
    FOR EACH ROW WHEN (NEW.maxseq < OLD.maxseq OR NEW.maxseq IS NULL AND OLD.maxseq IS NOT NULL OR NEW.id <> OLD.id
        OR NEW.name <> OLD.name OR NEW.deleted IS DISTINCT FROM OLD.deleted AND NEW.deleted IS DISTINCT FROM FALSE)
    EXECUTE FUNCTION eventstore_keep_channel();

DROP TRIGGER IF EXISTS channels_keep_events_delete ON Channels;
CREATE TRIGGER channels_keep_events_delete BEFORE DELETE ON Channels
    FOR EACH ROW EXECUTE FUNCTION eventstore_keep_channel();

DROP TRIGGER IF EXISTS channels_keep_events_truncate ON Channels;
CREATE TRIGGER channels_keep_events_truncate BEFORE TRUNCATE ON Channels
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_channels();

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 8, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 8);
