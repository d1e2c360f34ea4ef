-- Event columns of Messages, their indexes, counters of Channels, and the view "events".
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- All are NULL in a row that is no event. Identifiers compare by bytes (COLLATE "C").
ALTER TABLE Messages
    ADD COLUMN IF NOT EXISTS event_id TEXT COLLATE "C",
    ADD COLUMN IF NOT EXISTS aggregate_type TEXT COLLATE "C",
    ADD COLUMN IF NOT EXISTS aggregate_id TEXT COLLATE "C",
    ADD COLUMN IF NOT EXISTS event_version BIGINT,
    ADD COLUMN IF NOT EXISTS event_type TEXT COLLATE "C",
    ADD COLUMN IF NOT EXISTS event_data JSONB,
    ADD COLUMN IF NOT EXISTS metadata JSONB;

-- The conditions keep messages that are no events out of the indexes; "aggregate_id = $1" implies them.
CREATE UNIQUE INDEX IF NOT EXISTS Idx_MsgsAggregate
    ON Messages (aggregate_id, aggregate_type, event_version, id) WHERE aggregate_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS Idx_MsgsEventType
    ON Messages (event_type, id, seq) WHERE event_type IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS Idx_MsgsEventID
    ON Messages (event_id, id) WHERE event_id IS NOT NULL;

-- maxseq is the high-water sequence of the channel; msgs and bytes are what Messages holds of it now.
ALTER TABLE Channels
    ADD COLUMN IF NOT EXISTS msgs BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS bytes BIGINT NOT NULL DEFAULT 0;

-- Counted once, for the messages of NATS Streaming.
UPDATE Channels
SET maxseq = GREATEST(Channels.maxseq, m.last), msgs = m.msgs, bytes = m.bytes
FROM (SELECT id, COUNT(*) AS msgs, COALESCE(SUM(size), 0) AS bytes, MAX(seq) AS last FROM Messages GROUP BY id) AS m
WHERE m.id = Channels.id AND NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 2);

CREATE UNIQUE INDEX IF NOT EXISTS Idx_ChannelsLiveName ON Channels (name) WHERE deleted = FALSE;

-- Not if a later migration has replaced it.
-- +goose StatementBegin
DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'messages' AND column_name = 'position') THEN
        CREATE OR REPLACE VIEW events AS
        SELECT
            c.name AS channel,
            m.seq AS sequence,
            TIMESTAMPTZ '1970-01-01 00:00:00+00' + (m.timestamp / 1000) * INTERVAL '1 microsecond' AS time,
            m.event_id,
            m.aggregate_type,
            m.aggregate_id,
            m.event_version,
            m.event_type,
            m.event_data,
            m.metadata
        FROM Messages AS m
        JOIN Channels AS c ON c.id = m.id
        WHERE m.event_type IS NOT NULL;
    END IF;
END $$;
-- +goose StatementEnd

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 2, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 2);
