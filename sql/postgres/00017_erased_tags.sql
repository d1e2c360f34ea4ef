-- The tags of erased events are looked up one by one, whatever the planner believes of a list that is new to it.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

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

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 17, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 17);
