-- Events are immutable: UPDATE, DELETE and TRUNCATE of event rows are refused, whoever asks.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are immutable: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found_event BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.%I WHERE event_type IS NOT NULL)', TG_TABLE_SCHEMA, TG_TABLE_NAME)
        INTO found_event;
    IF found_event THEN
        RAISE EXCEPTION 'events are immutable: TRUNCATE refused' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

DROP TRIGGER IF EXISTS events_are_immutable ON Messages;
CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE ON Messages
    FOR EACH ROW WHEN (OLD.event_type IS NOT NULL) EXECUTE FUNCTION eventstore_refuse_change();

DROP TRIGGER IF EXISTS events_are_not_truncated ON Messages;
CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON Messages
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_refuse_truncate();

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 3, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 3);
