-- Three roles for the event store in the schema public: the owner of its tables, the server, and people who read.
-- Run it once, as a superuser, in the database of the event store. Then give each role its password with \password.
CREATE ROLE eventstore_owner LOGIN;
CREATE ROLE eventstore_server LOGIN;
CREATE ROLE eventstore_analyst LOGIN;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO eventstore_owner;
GRANT USAGE ON SCHEMA public TO eventstore_server, eventstore_analyst;
