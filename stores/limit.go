package stores

// ValueLimit is the longest value that a column of the database accepts.
type ValueLimit struct {
	Name  string // of the limit or the setting
	Bytes int64
}

// ValueLimit returns the limit that Open found. A message is refused (ErrRefused) if its encoding or its event_data is
// longer.
func (s *Store) ValueLimit() ValueLimit { return s.dialect.valueLimit() }
