// Command deploy checks what deploy/ has for orchestrators, and writes what comes of it for the tests of test/deploy, which start
// servers with it: compose.yaml as Compose's own library loads it, and the Helm chart as Helm renders it for some values, each object
// decoded strictly into its Kubernetes type. It is a module of its own, so that nobody else builds Helm.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-eventstore/nats-eventstore/tools/deploy/sources"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: deploy ROOT, which is the root of the repository")
		os.Exit(2)
	}
	slog.SetLogLoggerLevel(slog.LevelWarn) // Helm tells that the rules are a link
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(1)
	}
}

// result is a file for the tests.
type result struct {
	Sources string `json:"sources"` // hash of the files in deploy/ that it was made of
	Objects []any  `json:"objects"`
}

func write(root string) error {
	hash, err := sources.Hash(os.DirFS(root))
	if err != nil {
		return err
	}
	project, err := loadCompose(context.Background(), filepath.Join(root, "deploy", "compose.yaml"))
	if err != nil {
		return fmt.Errorf("compose: %w", err)
	}
	all := map[string][]any{"compose": {project}}
	chart := filepath.Join(root, "deploy", "helm", "nats-event-store")
	for name, values := range matrix {
		if all[name], err = renderChart(chart, values); err != nil {
			return fmt.Errorf("chart with the values %q: %w", name, err)
		}
	}
	for name, why := range refused {
		if err := refuses(chart, why); err != nil {
			return fmt.Errorf("chart with the values %q: %w", name, err)
		}
	}
	for name, objects := range all {
		text, err := json.MarshalIndent(result{hash, objects}, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "test", "deploy", "testdata", name+".json"), append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
