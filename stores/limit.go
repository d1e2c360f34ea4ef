package stores

// ValueLimit is the longest value that a column of the database takes.
type ValueLimit struct {
	Name  string // what it is the limit of, or the setting
	Bytes int64
}

// ValueLimit returns the limit that Open found. A message whose encoding, or whose event_data, is longer is refused
// (ErrRefused).
func (s *Store) ValueLimit() ValueLimit { return s.dialect.valueLimit() }
