-- Events are immutable: UPDATE and DELETE of event rows are refused, whoever asks. (MySQL has no trigger for TRUNCATE:
-- it asks for the DROP privilege, which the users of an event store need not have.)
-- The file can be run by hand, and more than once; it records its own version.

-- +goose NO TRANSACTION
-- +goose Up

-- A trigger without BEGIN … END, so that the mysql client takes this file without DELIMITER. One statement can not
-- SIGNAL under a condition; assigning a locale that does not exist is an error that carries our text:
-- "Unknown locale: 'events are immutable: UPDATE refused'". For a row that is no event the assignment changes nothing.
DROP TRIGGER IF EXISTS events_are_immutable_update;
CREATE TRIGGER events_are_immutable_update BEFORE UPDATE ON Messages FOR EACH ROW
    SET lc_time_names = IF(OLD.event_type IS NULL, @@lc_time_names, 'events are immutable: UPDATE refused');

DROP TRIGGER IF EXISTS events_are_immutable_delete;
CREATE TRIGGER events_are_immutable_delete BEFORE DELETE ON Messages FOR EACH ROW
    SET lc_time_names = IF(OLD.event_type IS NULL, @@lc_time_names, 'events are immutable: DELETE refused');

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 3, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 3);
