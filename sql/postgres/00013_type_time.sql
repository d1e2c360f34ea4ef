-- One index less for each event. The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- The index of positions by type serves the questions about a type: times ascend with positions. That of the times serves those about
-- a short time. (The index was limited to rows with a position, which a question about a type does not imply.)
DROP INDEX IF EXISTS Idx_MsgsTypePosition;
CREATE INDEX IF NOT EXISTS Idx_MsgsTypePosition
    ON Messages (event_type, position) WHERE event_type IS NOT NULL;
DROP INDEX IF EXISTS Idx_MsgsTypeTime;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 13, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 13);
