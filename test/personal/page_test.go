package personal_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// What docs/operate/personal-data.md shows works as it says.
func TestPersonalDataPage(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/operate/personal-data.md")
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	s := harness.New(t, harness.Binary(), "-c", "server.conf", "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port))
	write(t, filepath.Join(s.Dir, "server.conf"), page.Find(t, blocks, "conf", "").Text())
	shell := func(text string) string {
		t.Helper()
		cmd := exec.CommandContext(patient(t), "sh", "-ec", text)
		cmd.Dir, cmd.Env = s.Dir, append(os.Environ(), "PATH="+filepath.Dir(harness.Tool(t))+":"+os.Getenv("PATH"), "EVENTSTORE_URL="+url, "GORACE=atexit_sleep_ms=0")
		var out, log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &log
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s%s\n%s", text, err, &out, &log, s.Log)
		}
		return out.String()
	}
	shell(page.Find(t, blocks, "sh", "key").Text())
	s.Launch()
	s.Ready()
	shell(page.Find(t, blocks, "sh", "append").Text())
	const get = "eventstore get --channel eventstore.customers --sequence 1"
	if out := shell(get); !strings.Contains(out, "ann@example.org") {
		t.Errorf("whoever has all rights reads %s", out)
	}
	for _, command := range []string{"eventstore keys ls", "eventstore keys show c-1", "eventstore keys renew c-1", "eventstore keys rotate"} {
		if out := shell(command); command != "eventstore keys rotate" && !strings.Contains(out, ".1") {
			t.Errorf("%s prints %s", command, out)
		}
	}
	if out := shell(page.Find(t, blocks, "sh", "forget").Text()); strings.Count(out, ".") < 2 {
		t.Errorf("forgetting prints %s", out)
	}
	if out := shell(get); strings.Contains(out, "ann@example.org") || !strings.Contains(out, "$sealed") || !strings.Contains(out, "Oslo") {
		t.Errorf("after the person was forgotten: %s", out)
	}
}
