-- Events can be erased: their data, metadata and tags. The rest of each event stays in its place.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET LOCAL lock_timeout = '2s';

-- The erasure that replaced the message; NULL for a message that is as it was published.
ALTER TABLE Messages ADD COLUMN IF NOT EXISTS erased BIGINT;

-- One row for each erasure; the times are ns since 1970. state is "pending" while its messages are listed, "erased" once they have been
-- erased, and "done" once streams and readers have been told. selector says what is to be erased, as JSON: it may be personal itself, and
-- is empty from "erased" on. Rows stay.
CREATE TABLE IF NOT EXISTS Erasures (
    id BIGINT NOT NULL,
    requested BIGINT NOT NULL,
    principal TEXT NOT NULL,
    reason TEXT NOT NULL,
    selector TEXT NOT NULL,
    state TEXT NOT NULL,
    events BIGINT NOT NULL,
    copies BIGINT NOT NULL,
    erased BIGINT NOT NULL,
    PRIMARY KEY (id)
);

-- The messages of erasures that are not done, and what replaces each. position is that of an event, NULL for a copy of one.
CREATE TABLE IF NOT EXISTS ErasedMessages (
    erasure BIGINT NOT NULL,
    id INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT,
    size INTEGER NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (erasure, id, seq)
);

-- An event that has no position yet gets one. An event that a pending erasure lists becomes what is listed there. Nothing else of an
-- event changes.
-- The search path keeps the caller's tables and operators out. The schema is that of Messages.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_event() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    listed BOOLEAN;
BEGIN
    IF NEW.erased IS NOT NULL AND NEW.event_data IS NULL AND NEW.metadata IS NULL AND NEW.tags IS NULL
        AND (OLD.id, OLD.seq, OLD.timestamp, OLD.position, OLD.event_id, OLD.aggregate_type, OLD.aggregate_id, OLD.event_version, OLD.event_type)
            IS NOT DISTINCT FROM (NEW.id, NEW.seq, NEW.timestamp, NEW.position, NEW.event_id, NEW.aggregate_type, NEW.aggregate_id, NEW.event_version, NEW.event_type)
    THEN
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %1$I.erasedmessages AS e JOIN %1$I.erasures AS r ON r.id = e.erasure
            WHERE e.erasure = $1 AND e.id = $2 AND e.seq = $3 AND e.data = $4 AND r.state = ''pending'')', TG_TABLE_SCHEMA)
            INTO listed USING NEW.erased, NEW.id, NEW.seq, NEW.data;
        IF listed THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'events are immutable: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
DROP TRIGGER IF EXISTS events_are_immutable ON Messages;
CREATE TRIGGER events_are_immutable BEFORE UPDATE ON Messages
    FOR EACH ROW WHEN (OLD.event_type IS NOT NULL AND (OLD.position IS NOT NULL OR NEW.position IS NULL
        OR (OLD.id, OLD.seq, OLD.timestamp, OLD.size, OLD.data, OLD.event_id, OLD.aggregate_type, OLD.aggregate_id, OLD.event_version, OLD.event_type, OLD.event_data, OLD.metadata, OLD.tags, OLD.erased)
            IS DISTINCT FROM (NEW.id, NEW.seq, NEW.timestamp, NEW.size, NEW.data, NEW.event_id, NEW.aggregate_type, NEW.aggregate_id, NEW.event_version, NEW.event_type, NEW.event_data, NEW.metadata, NEW.tags, NEW.erased)))
    EXECUTE FUNCTION eventstore_keep_event();

-- Tags go with the event that has them.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_tag() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    listed BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %1$I.messages AS m JOIN %1$I.erasedmessages AS e ON e.id = m.id AND e.seq = m.seq
        JOIN %1$I.erasures AS r ON r.id = e.erasure WHERE m.position = $1 AND r.state = ''pending'')', TG_TABLE_SCHEMA)
        INTO listed USING OLD.position;
    IF listed AND TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'events are immutable: % of their tags refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
DROP TRIGGER IF EXISTS tags_are_immutable ON EventTags;
CREATE TRIGGER tags_are_immutable BEFORE UPDATE OR DELETE ON EventTags
    FOR EACH ROW EXECUTE FUNCTION eventstore_keep_tag();

-- An erasure proceeds from state to state. Who asked for it, when and why does not change.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'erasures are immutable: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
DROP TRIGGER IF EXISTS erasures_are_immutable ON Erasures;
CREATE TRIGGER erasures_are_immutable BEFORE UPDATE ON Erasures
    FOR EACH ROW WHEN ((OLD.id, OLD.requested, OLD.principal, OLD.reason) IS DISTINCT FROM (NEW.id, NEW.requested, NEW.principal, NEW.reason)
        OR OLD.state = 'done' OR OLD.state = 'erased' AND NEW.state = 'pending')
    EXECUTE FUNCTION eventstore_keep_erasure();
DROP TRIGGER IF EXISTS erasures_are_not_deleted ON Erasures;
CREATE TRIGGER erasures_are_not_deleted BEFORE DELETE ON Erasures
    FOR EACH ROW EXECUTE FUNCTION eventstore_keep_erasure();
DROP TRIGGER IF EXISTS erasures_are_not_truncated ON Erasures;
CREATE TRIGGER erasures_are_not_truncated BEFORE TRUNCATE ON Erasures
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_erasure();

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
    m.tags,
    m.erased
FROM Messages AS m
JOIN Channels AS c ON c.id = m.id
WHERE m.event_type IS NOT NULL;

CREATE OR REPLACE VIEW erasure_log AS
SELECT
    r.id, to_timestamp((r.requested / 1000)::double precision / 1000000) AS requested, r.principal, r.reason, r.state, r.events, r.copies,
    to_timestamp((NULLIF(r.erased, 0) / 1000)::double precision / 1000000) AS erased
FROM Erasures AS r;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 14, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 14);
