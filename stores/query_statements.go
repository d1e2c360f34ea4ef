package stores

// queryStatements are the texts that read events by position. Of each pair, the first reads forward, the second backward.
type queryStatements struct {
	// order returns id, seq, timestamp, data, event_version, position, erased; events also event_type, aggregate_type,
	// aggregate_id, metadata, tags.
	order  [2]string // (from, to, limit)
	events [2]string // (from, to, limit)

	// Each index as a source of positions. Only the first two are in the order of positions; the others add 0, so that no
	// planner walks the index of positions instead.
	typePositions      [2]string // (event_type, from, event_type, to, limit)
	tagPositions       [2]string // (tag, from, to, limit)
	aggregatePositions [2]string // (aggregate_id, from, to, limit)
	channelPositions   [2]string // (id, from, to, limit)

	timeAt    string // (from, to) → position, timestamp of the first event
	timeSteps string // () → position, ascending
}

func (s *queryStatements) all() []string {
	var texts []string
	for _, pair := range [][2]string{s.order, s.events, s.typePositions, s.tagPositions, s.aggregatePositions, s.channelPositions} {
		texts = append(texts, pair[:]...)
	}
	return append(texts, s.timeAt, s.timeSteps)
}

// sharedQueries returns the texts that are the same on each database.
func sharedQueries(text func(string) string) queryStatements {
	return queryStatements{
		tagPositions: [2]string{
			text("SELECT position FROM EventTags WHERE tag = ? AND position >= ? AND position <= ? ORDER BY position LIMIT ?"),
			text("SELECT position FROM EventTags WHERE tag = ? AND position >= ? AND position <= ? ORDER BY position DESC LIMIT ?"),
		},
		timeAt:    text("SELECT position, timestamp FROM Messages WHERE position >= ? AND position <= ? ORDER BY position LIMIT 1"),
		timeSteps: "SELECT position FROM TimeSteps ORDER BY position",
	}
}
