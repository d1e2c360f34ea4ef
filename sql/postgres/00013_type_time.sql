-- One index less for each event. The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- The index of positions by type serves the questions about a type: times ascend with positions. That of the times serves those about
-- a short time.
DROP INDEX IF EXISTS Idx_MsgsTypeTime;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 13, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 13);
