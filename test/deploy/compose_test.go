package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// project is what Compose makes of compose.yaml.
type project struct {
	Services map[string]struct {
		Command     []string
		Environment map[string]string
		Configs     []struct{ Source, Target string }
	}
	Configs map[string]struct{ File string }
}

// The servers of compose.yaml start with what it gives them, and one takes over from the other.
func TestCompose(t *testing.T) {
	t.Parallel()
	p := objects[project](t, "compose")[0]
	source := databases.Postgres(t)
	var containers []container
	for _, name := range []string{"events-1", "events-2"} {
		service := p.Services[name]
		c := container{args: service.Command, env: map[string]string{}, files: map[string]string{"/data": ""}}
		for key, value := range service.Environment {
			c.env[key] = strings.Replace(value, "postgres://events:events@postgres/events?sslmode=disable", source, 1)
		}
		for _, config := range service.Configs {
			text, err := os.ReadFile(filepath.Join("../../deploy", p.Configs[config.Source].File))
			if err != nil {
				t.Fatal(err)
			}
			c.files[config.Target] = string(text)
		}
		containers = append(containers, c)
	}
	serves(t, containers, "test-cluster", "/healthz", nil)
}

// Every file that compose.yaml mounts is there, and Prometheus asks each server.
func TestComposeFiles(t *testing.T) {
	t.Parallel()
	p := objects[project](t, "compose")[0]
	texts := map[string]string{}
	for name, config := range p.Configs {
		text, err := os.ReadFile(filepath.Join("../../deploy", config.File))
		if err != nil {
			t.Error(err)
		}
		texts[name] = string(text)
	}
	if want := `targets: ["events-1:8222", "events-2:8222"]`; !strings.Contains(texts["prometheus"], want) {
		t.Errorf("Prometheus has no %s", want)
	}
}
