package stores

import "testing"

// SessionSetting opens a store and asks a connection of its writer.
func SessionSetting(t *testing.T, o Options, text string) string {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var value string
	if err := s.writer.QueryRowContext(t.Context(), text).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
