package eventstore

// julianday('now') is the same throughout a statement.
var sqliteProjectionTexts = projectionTexts{
	createCheckpoints: "CREATE TABLE IF NOT EXISTS eventstore_checkpoints (name TEXT PRIMARY KEY, sequence INTEGER NOT NULL, event_channel TEXT NOT NULL, event_sequence INTEGER NOT NULL, event_recorded_at INTEGER NOT NULL, holder TEXT NOT NULL, held_until INTEGER NOT NULL)",
	addedToCheckpoints: []addedColumn{
		{"SELECT event_channel FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN event_channel TEXT NOT NULL DEFAULT ''"},
		{"SELECT event_sequence FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN event_sequence INTEGER NOT NULL DEFAULT 0"},
		{"SELECT event_recorded_at FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN event_recorded_at INTEGER NOT NULL DEFAULT 0"},
		{"SELECT holder FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN holder TEXT NOT NULL DEFAULT ''"},
		{"SELECT held_until FROM eventstore_checkpoints LIMIT 0", "ALTER TABLE eventstore_checkpoints ADD COLUMN held_until INTEGER NOT NULL DEFAULT 0"},
	},
	checkpoint:     "SELECT sequence, event_channel, event_sequence, event_recorded_at FROM eventstore_checkpoints WHERE name = ?",
	newCheckpoint:  "INSERT INTO eventstore_checkpoints (name, sequence, event_channel, event_sequence, event_recorded_at, holder, held_until) VALUES (?, ?, '', 0, 0, '', 0) ON CONFLICT (name) DO NOTHING",
	dropCheckpoint: "DELETE FROM eventstore_checkpoints WHERE name = ?",
	holdCheckpoint: "UPDATE eventstore_checkpoints SET held_until = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) + ? WHERE name = ? AND holder = ? AND sequence = ?",
	moveCheckpoint: "UPDATE eventstore_checkpoints SET sequence = ?, event_channel = ?, event_sequence = ?, event_recorded_at = ?, held_until = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) + ? WHERE name = ? AND holder = ?",

	takeLease:    "UPDATE eventstore_checkpoints SET holder = ?, held_until = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) + ? WHERE name = ? AND (holder = '' OR holder = ? OR held_until < CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))",
	keepLease:    "UPDATE eventstore_checkpoints SET held_until = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) + ? WHERE name = ? AND holder = ?",
	releaseLease: "UPDATE eventstore_checkpoints SET holder = '', held_until = 0 WHERE name = ? AND holder = ?",
	seizeLease:   "UPDATE eventstore_checkpoints SET holder = ?, held_until = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) + ? WHERE name = ?",
	leaseHolder:  "SELECT CASE WHEN held_until < CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) THEN '' ELSE holder END FROM eventstore_checkpoints WHERE name = ?",

	createProjections: "CREATE TABLE IF NOT EXISTS eventstore_projections (name TEXT PRIMARY KEY, live INTEGER NOT NULL, version INTEGER NOT NULL, building INTEGER NOT NULL, building_version INTEGER NOT NULL)",
	newProjection:     "INSERT INTO eventstore_projections (name, live, version, building, building_version) VALUES (?, 1, ?, 0, 0) ON CONFLICT (name) DO NOTHING",
	projection:        "SELECT live, version, building, building_version FROM eventstore_projections WHERE name = ?",
	beginGeneration:   "UPDATE eventstore_projections SET building = ?, building_version = ? WHERE name = ? AND building = ?",
	switchGeneration:  "UPDATE eventstore_projections SET live = building, version = building_version, building = 0, building_version = 0 WHERE name = ? AND building = ?",

	createParked:  "CREATE TABLE IF NOT EXISTS eventstore_parked (projection TEXT, place INTEGER, event_key TEXT NOT NULL, event_type TEXT NOT NULL, error TEXT NOT NULL, parked_at INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (projection, place))",
	park:          "INSERT INTO eventstore_parked (projection, place, event_key, event_type, error, parked_at, event) VALUES (?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER), ?)",
	parked:        "SELECT place, event_key, event_type, error, parked_at, event FROM eventstore_parked WHERE projection = ? ORDER BY place",
	countParked:   "SELECT COUNT(*) FROM eventstore_parked WHERE projection = ?",
	unpark:        "DELETE FROM eventstore_parked WHERE projection = ? AND place = ?",
	unparkAll:     "DELETE FROM eventstore_parked WHERE projection = ?",
	parkedMessage: "UPDATE eventstore_parked SET error = ? WHERE projection = ? AND place = ?",
}
