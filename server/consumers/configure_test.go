package consumers

import (
	"errors"
	"testing"
)

// A configuration that is refused leaves nothing behind.
func TestRefusedConfigurationIsForgotten(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{}, nil)
	no := errors.New("no")
	if err := f.Configure(t.Context(), Actor{}, billing, ActConfigure, func(*Settings) error { return no }); !errors.Is(err, no) {
		t.Error(err)
	}
	if len(f.names) > 0 {
		t.Errorf("known by name: %v", f.names)
	}
}
