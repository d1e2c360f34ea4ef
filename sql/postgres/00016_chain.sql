-- A chain of hashes over all events, and its signed heads: docs/reference/chain.md.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET LOCAL lock_timeout = '2s';

-- chain is the salt of the event's content, 16 bytes, and its hash, 32 bytes: over the hash of the event before, by position, and over a digest of
-- the content, which the salt makes. Once the content is erased, the digest, 32 bytes, is in place of the salt. NULL in a row that is no
-- event. The server chains older events when it takes the lease, and migrate does.
ALTER TABLE Messages ADD COLUMN IF NOT EXISTS chain BYTEA;

-- What replaces chain in an event that is in the chain. NULL for any other message.
ALTER TABLE ErasedMessages ADD COLUMN IF NOT EXISTS chain BYTEA;

-- Ends of the chain: the hash of the event at a position, and when it was the last, in ns since 1970. public_key and signature are NULL if the
-- head is not signed. Rows do not change.
CREATE TABLE IF NOT EXISTS ChainHeads (
    position BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    time BIGINT NOT NULL,
    cluster_id TEXT NOT NULL,
    public_key BYTEA,
    signature BYTEA,
    PRIMARY KEY (position)
);

-- An event that has no position, or no hash, yet gets one. An event that a pending erasure lists becomes what is listed there. Nothing else
-- of an event changes. WHEN takes no query: events_are_erased looks into the list.
DROP TRIGGER IF EXISTS events_are_immutable ON Messages;
CREATE TRIGGER events_are_immutable BEFORE UPDATE ON Messages
    FOR EACH ROW WHEN (OLD.event_type IS NOT NULL AND (
        (OLD.position IS NOT NULL OR NEW.position IS NULL) AND (OLD.chain IS NOT NULL OR NEW.chain IS NULL)
        OR OLD.position IS NOT NULL AND OLD.position IS DISTINCT FROM NEW.position
        OR OLD.chain IS NOT NULL AND OLD.chain IS DISTINCT FROM NEW.chain
        OR (OLD.id, OLD.seq, OLD.timestamp, OLD.size, OLD.data, OLD.event_id, OLD.aggregate_type, OLD.aggregate_id, OLD.event_version, OLD.event_type, OLD.event_data, OLD.metadata, OLD.tags, OLD.appender, OLD.erased)
            IS DISTINCT FROM (NEW.id, NEW.seq, NEW.timestamp, NEW.size, NEW.data, NEW.event_id, NEW.aggregate_type, NEW.aggregate_id, NEW.event_version, NEW.event_type, NEW.event_data, NEW.metadata, NEW.tags, NEW.appender, NEW.erased))
        AND (NEW.erased IS NULL OR NEW.event_data IS NOT NULL OR NEW.metadata IS NOT NULL OR NEW.tags IS NOT NULL
            OR (OLD.chain IS NULL) <> (NEW.chain IS NULL)
            OR OLD.chain IS NOT NULL AND (octet_length(NEW.chain) <> 64 OR substr(NEW.chain, octet_length(NEW.chain) - 31) <> substr(OLD.chain, octet_length(OLD.chain) - 31) OR octet_length(OLD.chain) = 64 AND NEW.chain <> OLD.chain)
            OR (OLD.id, OLD.seq, OLD.timestamp, OLD.position, OLD.event_id, OLD.aggregate_type, OLD.aggregate_id, OLD.event_version, OLD.event_type, OLD.appender)
                IS DISTINCT FROM (NEW.id, NEW.seq, NEW.timestamp, NEW.position, NEW.event_id, NEW.aggregate_type, NEW.aggregate_id, NEW.event_version, NEW.event_type, NEW.appender)))
    EXECUTE FUNCTION eventstore_refuse_change();

-- The search path keeps the caller's tables and operators out. The schema is that of the table. A tombstone that gets its position or its
-- hash late is not listed any more.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_erased() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    refused BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM changed AS n LEFT JOIN former AS o ON o.id = n.id AND o.seq = n.seq
        WHERE n.erased IS NOT NULL AND n.event_type IS NOT NULL
        AND ((o.erased, o.size, o.data) IS DISTINCT FROM (n.erased, n.size, n.data) OR o.chain IS NOT NULL AND o.chain IS DISTINCT FROM n.chain)
        AND NOT EXISTS (SELECT 1 FROM %1$I.erasedmessages AS e JOIN %1$I.erasures AS r ON r.id = e.erasure
            WHERE e.erasure = n.erased AND e.id = n.id AND e.seq = n.seq AND e.data = n.data AND e.chain IS NOT DISTINCT FROM n.chain
            AND r.state = ''pending''))', TG_TABLE_SCHEMA)
        INTO refused;
    IF refused THEN
        RAISE EXCEPTION 'events are immutable: % refused', TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
DROP TRIGGER IF EXISTS events_are_erased ON Messages;
CREATE TRIGGER events_are_erased AFTER UPDATE ON Messages REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_erased();

-- The tags of erased events are looked up one by one, whatever the planner believes of a list that is new to it.
-- OFFSET 0 keeps the question about each tag a question of its own: as a join, it may read all of the list for each tag.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_tags() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    refused BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM gone AS t
        WHERE NOT EXISTS (SELECT 1 FROM %1$I.messages AS m JOIN %1$I.erasedmessages AS e ON e.id = m.id AND e.seq = m.seq
            JOIN %1$I.erasures AS r ON r.id = e.erasure WHERE m.position = t.position AND r.state = ''pending'' OFFSET 0))', TG_TABLE_SCHEMA)
        INTO refused;
    IF refused THEN
        RAISE EXCEPTION 'events are immutable: % of their tags refused', TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

DROP TRIGGER IF EXISTS heads_are_immutable ON ChainHeads;
CREATE TRIGGER heads_are_immutable BEFORE UPDATE OR DELETE ON ChainHeads
    FOR EACH ROW EXECUTE FUNCTION eventstore_keep_audit();
DROP TRIGGER IF EXISTS heads_are_not_truncated ON ChainHeads;
CREATE TRIGGER heads_are_not_truncated BEFORE TRUNCATE ON ChainHeads
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_audit();

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 16, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 16);
