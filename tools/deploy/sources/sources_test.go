package sources

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// The files that the tests of test/deploy read are made of what deploy/ has now.
func TestResultsAreCurrent(t *testing.T) {
	const root = "../../.."
	want, err := Hash(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "test/deploy/testdata/*.json"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d results: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var result struct{ Sources string }
		if err := json.Unmarshal(text, &result); err != nil {
			t.Fatal(err)
		}
		if result.Sources != want {
			t.Errorf("%s was made of other files: run make deployments, and commit what it writes", filepath.Base(file))
		}
	}
}
