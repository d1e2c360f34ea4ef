package docs

import (
	"fmt"
	"regexp"

	"github.com/nats-eventstore/nats-eventstore/test/page"
)

var fileName = regexp.MustCompile(`^# (\S+\.conf)\n`)

// configure writes a configuration to the file that its first line names, and checks it with -t. A block with the name
// streaming shows a part of the block streaming, and one with the name access_file is an access file. One with the name bad is
// for a command that refuses it.
func (s *session) configure(b *page.Block) {
	s.t.Helper()
	text, name := b.Text(), "part.conf"
	if named := fileName.FindStringSubmatch(text); named != nil {
		name = named[1]
	}
	command := fmt.Sprintf("nats-streaming-server -t -c %q", name)
	switch b.Name {
	case "", "bad":
	case "streaming":
		text = "streaming {\n" + text + "}\n"
	case "access_file":
		command = fmt.Sprintf("nats-streaming-server -t -c server.conf -access_file %q", name)
	default:
		s.t.Errorf("%s: nothing says how to check a configuration of %s", b.Place, b.Name)
	}
	s.write(s.dir, name, s.here(text))
	if out, err := s.command(command).CombinedOutput(); (err != nil) != (b.Name == "bad") {
		s.t.Errorf("%s: %v\n%s\n%s", b.Place, err, out, text)
	}
}
