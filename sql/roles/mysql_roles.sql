-- Three users for the event store in the database eventstore: the owner of its tables, the server, and people who read.
-- Run it once, as an administrator. Then give each user a password: ALTER USER … IDENTIFIED BY '…' ACCOUNT UNLOCK.
-- The triggers run as the owner, so its user must stay; it may be locked while no migration runs.
CREATE USER 'eventstore_owner'@'%' ACCOUNT LOCK;
CREATE USER 'eventstore_server'@'%' ACCOUNT LOCK;
CREATE USER 'eventstore_analyst'@'%' ACCOUNT LOCK;

GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, CREATE VIEW, TRIGGER ON eventstore.* TO 'eventstore_owner'@'%';
