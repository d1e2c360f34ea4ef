package main

import (
	"strings"
	"testing"
)

func TestStory(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), "", &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if !strings.HasSuffix(out.String(), "Every order was decided once.\n") {
		t.Errorf("the output lacks the last line:\n%s", &out)
	}
}
