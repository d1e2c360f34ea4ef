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
-- event changes. The row's trigger checks what an erasure may change; that of the statement, once for all rows, that it is listed.
DROP TRIGGER IF EXISTS events_are_immutable ON Messages;
CREATE TRIGGER events_are_immutable BEFORE UPDATE ON Messages
    FOR EACH ROW WHEN (OLD.event_type IS NOT NULL AND (OLD.position IS NOT NULL OR NEW.position IS NULL
        OR (OLD.id, OLD.seq, OLD.timestamp, OLD.size, OLD.data, OLD.event_id, OLD.aggregate_type, OLD.aggregate_id, OLD.event_version, OLD.event_type, OLD.event_data, OLD.metadata, OLD.tags, OLD.erased)
            IS DISTINCT FROM (NEW.id, NEW.seq, NEW.timestamp, NEW.size, NEW.data, NEW.event_id, NEW.aggregate_type, NEW.aggregate_id, NEW.event_version, NEW.event_type, NEW.event_data, NEW.metadata, NEW.tags, NEW.erased))
        AND (NEW.erased IS NULL OR NEW.event_data IS NOT NULL OR NEW.metadata IS NOT NULL OR NEW.tags IS NOT NULL
            OR (OLD.id, OLD.seq, OLD.timestamp, OLD.position, OLD.event_id, OLD.aggregate_type, OLD.aggregate_id, OLD.event_version, OLD.event_type)
                IS DISTINCT FROM (NEW.id, NEW.seq, NEW.timestamp, NEW.position, NEW.event_id, NEW.aggregate_type, NEW.aggregate_id, NEW.event_version, NEW.event_type)))
    EXECUTE FUNCTION eventstore_refuse_change();

-- The search path keeps the caller's tables and operators out. The schema is that of the table.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_erased() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    refused BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM changed AS n WHERE n.erased IS NOT NULL AND n.event_type IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM %1$I.erasedmessages AS e JOIN %1$I.erasures AS r ON r.id = e.erasure
            WHERE e.erasure = n.erased AND e.id = n.id AND e.seq = n.seq AND e.data = n.data AND r.state = ''pending''))', TG_TABLE_SCHEMA)
        INTO refused;
    IF refused THEN
        RAISE EXCEPTION 'events are immutable: % refused', TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
DROP TRIGGER IF EXISTS events_are_erased ON Messages;
CREATE TRIGGER events_are_erased AFTER UPDATE ON Messages REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_erased();

-- Tags go with the event that has them.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_tags() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    refused BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM gone AS t
        WHERE NOT EXISTS (SELECT 1 FROM %1$I.messages AS m JOIN %1$I.erasedmessages AS e ON e.id = m.id AND e.seq = m.seq
            JOIN %1$I.erasures AS r ON r.id = e.erasure WHERE m.position = t.position AND r.state = ''pending''))', TG_TABLE_SCHEMA)
        INTO refused;
    IF refused THEN
        RAISE EXCEPTION 'events are immutable: % of their tags refused', TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
DROP TRIGGER IF EXISTS tags_are_immutable ON EventTags;
CREATE TRIGGER tags_are_immutable AFTER DELETE ON EventTags REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_tags();
DROP TRIGGER IF EXISTS tags_are_not_updated ON EventTags;
CREATE TRIGGER tags_are_not_updated BEFORE UPDATE ON EventTags
    FOR EACH ROW EXECUTE FUNCTION eventstore_refuse_change();

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
