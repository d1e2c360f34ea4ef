package stores

import (
	"context"
	"database/sql"
	"slices"
	"testing"
)

// asked is a database without rows, which knows what it was asked.
type asked []string

func (a *asked) query(_ context.Context, text string, _ func(*sql.Rows) error, _ ...any) error {
	*a = append(*a, text)
	return nil
}

// Whoever reads the events of an aggregate on a channel does not pay for all messages of the channel.
func TestCostlyAlternative(t *testing.T) {
	t.Parallel()
	of := func(name string, costly bool) *alternative {
		return &alternative{name: name, costly: costly, sources: []*source{{text: name, args: keyed(1)}}}
	}
	for _, test := range []struct {
		all  []*alternative
		want asked
	}{
		{[]*alternative{of("aggregate", false), of("channel", true)}, asked{"aggregate"}},
		{[]*alternative{of("type", false), of("tag", false), of("channel", true)}, asked{"type", "tag"}},
		{[]*alternative{of("channel", true)}, asked{"channel"}},
	} {
		var got asked
		f := &finder{all: test.all}
		if err := f.fill(t.Context(), &got, forward, 1, 1000, firstSize); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("asked %v (%v), want %v", got, err, test.want)
		}
	}
}
