package eventstore

var postgresProjectionTexts = projectionTexts{
	createCheckpoints: "CREATE TABLE IF NOT EXISTS eventstore_checkpoints (name VARCHAR(255) PRIMARY KEY, sequence BIGINT NOT NULL, event_channel VARCHAR(255) NOT NULL, event_sequence BIGINT NOT NULL, event_recorded_at BIGINT NOT NULL, holder VARCHAR(255) NOT NULL, held_until BIGINT NOT NULL)",
	addedToCheckpoints: []addedColumn{
		{"SELECT event_channel FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN event_channel VARCHAR(255) NOT NULL DEFAULT ''"},
		{"SELECT event_sequence FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN event_sequence BIGINT NOT NULL DEFAULT 0"},
		{"SELECT event_recorded_at FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN event_recorded_at BIGINT NOT NULL DEFAULT 0"},
		{"SELECT holder FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN holder VARCHAR(255) NOT NULL DEFAULT ''"},
		{"SELECT held_until FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN held_until BIGINT NOT NULL DEFAULT 0"},
	},
	checkpoint:     "SELECT sequence, event_channel, event_sequence, event_recorded_at FROM eventstore_checkpoints WHERE name = $1",
	newCheckpoint:  "INSERT INTO eventstore_checkpoints (name, sequence, event_channel, event_sequence, event_recorded_at, holder, held_until) VALUES ($1, $2, '', 0, 0, '', 0) ON CONFLICT (name) DO NOTHING",
	dropCheckpoint: "DELETE FROM eventstore_checkpoints WHERE name = $1",
	holdCheckpoint: "UPDATE eventstore_checkpoints SET held_until = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $1 WHERE name = $2 AND holder = $3 AND sequence = $4",
	moveCheckpoint: "UPDATE eventstore_checkpoints SET sequence = $1, event_channel = $2, event_sequence = $3, event_recorded_at = $4, held_until = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $5 WHERE name = $6 AND holder = $7",

	takeLease:    "UPDATE eventstore_checkpoints SET holder = $1, held_until = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $2 WHERE name = $3 AND (holder = '' OR holder = $4 OR held_until < CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT))",
	keepLease:    "UPDATE eventstore_checkpoints SET held_until = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $1 WHERE name = $2 AND holder = $3",
	releaseLease: "UPDATE eventstore_checkpoints SET holder = '', held_until = 0 WHERE name = $1 AND holder = $2",
	seizeLease:   "UPDATE eventstore_checkpoints SET holder = $1, held_until = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $2 WHERE name = $3",
	leaseHolder:  "SELECT CASE WHEN held_until < CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) THEN '' ELSE holder END FROM eventstore_checkpoints WHERE name = $1",

	createProjections: "CREATE TABLE IF NOT EXISTS eventstore_projections (name VARCHAR(255) PRIMARY KEY, live BIGINT NOT NULL, version BIGINT NOT NULL, building BIGINT NOT NULL, building_version BIGINT NOT NULL)",
	newProjection:     "INSERT INTO eventstore_projections (name, live, version, building, building_version) VALUES ($1, 1, $2, 0, 0) ON CONFLICT (name) DO NOTHING",
	projection:        "SELECT live, version, building, building_version FROM eventstore_projections WHERE name = $1",
	beginGeneration:   "UPDATE eventstore_projections SET building = $1, building_version = $2 WHERE name = $3 AND building = $4",
	switchGeneration:  "UPDATE eventstore_projections SET live = building, version = building_version, building = 0, building_version = 0 WHERE name = $1 AND building = $2",

	createParked:  "CREATE TABLE IF NOT EXISTS eventstore_parked (projection VARCHAR(255), place BIGINT, event_key TEXT NOT NULL, event_type TEXT NOT NULL, error TEXT NOT NULL, parked_at BIGINT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (projection, place))",
	park:          "INSERT INTO eventstore_parked (projection, place, event_key, event_type, error, parked_at, event) VALUES ($1, $2, $3, $4, $5, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT), $6)",
	parked:        "SELECT place, event_key, event_type, error, parked_at, event FROM eventstore_parked WHERE projection = $1 ORDER BY place",
	countParked:   "SELECT COUNT(*) FROM eventstore_parked WHERE projection = $1",
	unpark:        "DELETE FROM eventstore_parked WHERE projection = $1 AND place = $2",
	unparkAll:     "DELETE FROM eventstore_parked WHERE projection = $1",
	parkedMessage: "UPDATE eventstore_parked SET error = $1 WHERE projection = $2 AND place = $3",
}
