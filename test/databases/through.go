package databases

import "slices"

// through starts an engine's server by another command, which becomes the server.
type through struct {
	engine
	command []string
}

var _ engine = through{}

// StartThrough is like Start, but puts the server's directory into parent, unless that is "", and starts the server's program through a
// command, such as one that makes the disk slower. The command must become the program; without one, the program starts by itself.
func StartThrough(parent string, kind Kind, d Durability, command ...string) (*Server, error) {
	e, err := find(kind)
	if err != nil {
		return nil, err
	}
	return startEngine(parent, kind, through{e, command}, d, 0)
}

func (t through) serve(dir string, port int, d Durability) []string {
	return slices.Concat(t.command, t.engine.serve(dir, port, d))
}
