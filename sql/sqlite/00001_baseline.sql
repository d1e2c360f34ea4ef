-- The tables of NATS Streaming 0.25.6, which had no SQLite store, so that there is none to open as it is. SQLite can
-- not add a column "if it is absent": the columns that the next migrations add on other databases are here.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up
CREATE TABLE IF NOT EXISTS goose_db_version (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL,
    is_applied INTEGER NOT NULL,
    tstamp TIMESTAMP DEFAULT (datetime('now'))
);
INSERT INTO goose_db_version (version_id, is_applied)
SELECT 0, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 0);

CREATE TABLE IF NOT EXISTS ServerInfo (
    uniquerow INTEGER DEFAULT 1,
    id TEXT,
    proto BLOB,
    version INTEGER,
    PRIMARY KEY (uniquerow)
);

CREATE TABLE IF NOT EXISTS Clients (
    id TEXT NOT NULL,
    hbinbox TEXT,
    proto BLOB,
    PRIMARY KEY (id)
);

-- maxseq is the high-water sequence of the channel; msgs and bytes are what Messages holds of it now.
CREATE TABLE IF NOT EXISTS Channels (
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    maxseq INTEGER NOT NULL DEFAULT 0,
    maxmsgs INTEGER DEFAULT 0,
    maxbytes INTEGER DEFAULT 0,
    maxage INTEGER DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT FALSE,
    msgs INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
);

-- The columns after data are NULL in a row that is no event. Identifiers compare by bytes (BINARY, SQLite's default).
CREATE TABLE IF NOT EXISTS Messages (
    id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    size INTEGER NOT NULL,
    data BLOB NOT NULL,
    event_id TEXT,
    aggregate_type TEXT,
    aggregate_id TEXT,
    event_version INTEGER,
    event_type TEXT,
    event_data TEXT,
    metadata TEXT,
    PRIMARY KEY (id, seq)
);
CREATE INDEX IF NOT EXISTS Idx_MsgsTimestamp ON Messages (timestamp);

CREATE TABLE IF NOT EXISTS Subscriptions (
    id INTEGER NOT NULL,
    subid INTEGER NOT NULL,
    lastsent INTEGER NOT NULL DEFAULT 0,
    proto BLOB,
    deleted INTEGER NOT NULL DEFAULT FALSE,
    PRIMARY KEY (id, subid)
);

CREATE TABLE IF NOT EXISTS SubsPending (
    subid INTEGER NOT NULL,
    "row" INTEGER NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0,
    lastsent INTEGER NOT NULL DEFAULT 0,
    pending BLOB,
    acks BLOB,
    PRIMARY KEY (subid, "row")
);

CREATE TABLE IF NOT EXISTS StoreLock (
    id TEXT NOT NULL,
    tick INTEGER NOT NULL DEFAULT 0
);
-- The one row of the lease: servers only ever update it.
INSERT INTO StoreLock (id, tick)
SELECT '', 0 WHERE NOT EXISTS (SELECT 1 FROM StoreLock);

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 1, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 1);
