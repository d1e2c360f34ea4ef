package client

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An application that uses the library of the last commit, as a release would publish it, has the modules that the library needs: none
// of the server's, and those of NATS Streaming only with package streaming.
func TestModulesOfAnApplication(t *testing.T) {
	t.Parallel()
	const library = "github.com/nats-eventstore/nats-eventstore/client"
	proxy, dir := t.TempDir(), t.TempDir()
	environment, err := exec.Command("go", "env", "GOPROXY", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	upstream := strings.Fields(string(environment))
	run := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		// A cache of its own: the usual one may have an earlier commit under the same version.
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-modcacherw", "GOMODCACHE="+filepath.Join(proxy, "cache"), "GONOSUMDB=*",
			"GOPROXY=file://"+proxy+",file://"+upstream[1]+"/cache/download,"+upstream[0])
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		return string(out)
	}
	serve := exec.Command("go", "run", "./proxy", "-C", "..", "-o", proxy, "v0.1.0")
	serve.Dir, serve.Env = "../../tools", append(os.Environ(), "GOWORK=off")
	if out, err := serve.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", serve, err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(`package main

import eventstore "`+library+`"

func main() { _, _ = eventstore.New(eventstore.Options{URLs: []string{"http://127.0.0.1:50051"}}) }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(dir, "mod", "init", "example.com/app")
	run(dir, "get", library+"@v0.1.0")
	run(dir, "build", "-o", os.DevNull, ".")
	for m := range strings.Lines(run(dir, "list", "-m", "all")) {
		path, _, _ := strings.Cut(strings.TrimSpace(m), " ")
		t.Log(path)
		for _, foreign := range []string{"raft", "gogo", "nats-server", "nats-streaming-server", "stan.go", "nats.go", "sqlite", "go-sql-driver", "lib/pq", "grpc"} {
			if strings.Contains(path, foreign) {
				t.Errorf("an application gets the module %s", path)
			}
		}
	}
	run(dir, "get", library+"/streaming@v0.1.0")
}
