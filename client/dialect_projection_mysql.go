package eventstore

// VARBINARY columns compare names byte by byte, as the server does.
var mysqlProjectionTexts = projectionTexts{
	createCheckpoints: "CREATE TABLE IF NOT EXISTS eventstore_checkpoints (name VARBINARY(255) PRIMARY KEY, sequence BIGINT NOT NULL, event_channel VARBINARY(255) NOT NULL, event_sequence BIGINT NOT NULL, event_recorded_at BIGINT NOT NULL, holder VARBINARY(255) NOT NULL, held_until BIGINT NOT NULL)",
	addedToCheckpoints: []addedColumn{
		{"SELECT event_channel FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN event_channel VARBINARY(255) NOT NULL DEFAULT ''"},
		{"SELECT event_sequence FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN event_sequence BIGINT NOT NULL DEFAULT 0"},
		{"SELECT event_recorded_at FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN event_recorded_at BIGINT NOT NULL DEFAULT 0"},
		{"SELECT holder FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN holder VARBINARY(255) NOT NULL DEFAULT ''"},
		{"SELECT held_until FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN held_until BIGINT NOT NULL DEFAULT 0"},
	},
	checkpoint:     "SELECT sequence, event_channel, event_sequence, event_recorded_at FROM eventstore_checkpoints WHERE name = ?",
	newCheckpoint:  "INSERT IGNORE INTO eventstore_checkpoints (name, sequence, event_channel, event_sequence, event_recorded_at, holder, held_until) VALUES (?, ?, '', 0, 0, '', 0)",
	dropCheckpoint: "DELETE FROM eventstore_checkpoints WHERE name = ?",
	holdCheckpoint: "UPDATE eventstore_checkpoints SET held_until = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) + ? WHERE name = ? AND holder = ? AND sequence = ?",
	moveCheckpoint: "UPDATE eventstore_checkpoints SET sequence = ?, event_channel = ?, event_sequence = ?, event_recorded_at = ?, held_until = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) + ? WHERE name = ? AND holder = ?",

	takeLease:    "UPDATE eventstore_checkpoints SET holder = ?, held_until = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) + ? WHERE name = ? AND (holder = '' OR holder = ? OR held_until < TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)))",
	keepLease:    "UPDATE eventstore_checkpoints SET held_until = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) + ? WHERE name = ? AND holder = ?",
	releaseLease: "UPDATE eventstore_checkpoints SET holder = '', held_until = 0 WHERE name = ? AND holder = ?",
	seizeLease:   "UPDATE eventstore_checkpoints SET holder = ?, held_until = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) + ? WHERE name = ?",
	leaseHolder:  "SELECT CASE WHEN held_until < TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) THEN '' ELSE holder END FROM eventstore_checkpoints WHERE name = ?",

	createProjections: "CREATE TABLE IF NOT EXISTS eventstore_projections (name VARBINARY(255) PRIMARY KEY, live BIGINT NOT NULL, version BIGINT NOT NULL, building BIGINT NOT NULL, building_version BIGINT NOT NULL)",
	newProjection:     "INSERT IGNORE INTO eventstore_projections (name, live, version, building, building_version) VALUES (?, 1, ?, 0, 0)",
	projection:        "SELECT live, version, building, building_version FROM eventstore_projections WHERE name = ?",
	beginGeneration:   "UPDATE eventstore_projections SET building = ?, building_version = ? WHERE name = ? AND building = ?",
	switchGeneration:  "UPDATE eventstore_projections SET live = building, version = building_version, building = 0, building_version = 0 WHERE name = ? AND building = ?",

	createParked:  "CREATE TABLE IF NOT EXISTS eventstore_parked (projection VARBINARY(255), place BIGINT, event_key LONGTEXT CHARACTER SET utf8mb4 NOT NULL, event_type LONGTEXT CHARACTER SET utf8mb4 NOT NULL, error LONGTEXT CHARACTER SET utf8mb4 NOT NULL, parked_at BIGINT NOT NULL, event LONGTEXT CHARACTER SET utf8mb4 NOT NULL, PRIMARY KEY (projection, place))",
	park:          "INSERT INTO eventstore_parked (projection, place, event_key, event_type, error, parked_at, event) VALUES (?, ?, ?, ?, ?, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)), ?)",
	parked:        "SELECT place, event_key, event_type, error, parked_at, event FROM eventstore_parked WHERE projection = ? ORDER BY place",
	countParked:   "SELECT COUNT(*) FROM eventstore_parked WHERE projection = ?",
	unpark:        "DELETE FROM eventstore_parked WHERE projection = ? AND place = ?",
	unparkAll:     "DELETE FROM eventstore_parked WHERE projection = ?",
	parkedMessage: "UPDATE eventstore_parked SET error = ? WHERE projection = ? AND place = ?",
}
