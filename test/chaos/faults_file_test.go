package chaos

import "github.com/nats-eventstore/nats-eventstore/test/process"

// SQLite has a file instead of a network.

// lockFile has another program hold the write lock for longer than publishers wait.
func (c *cluster) lockFile(_, progress int) {
	r := c.data.rivalOf("BEGIN IMMEDIATE")
	c.await(0, 1)
	r.end("ROLLBACK")
	c.await(progress, 0)
}

// lockFileShortly has another program write, too.
func (c *cluster) lockFileShortly(_, progress int) {
	for range 5 {
		c.data.rivalOf("BEGIN IMMEDIATE").end("ROLLBACK")
		c.await(progress/5+1, 0)
	}
}

// fillDisk keeps the leader's files from growing, as on a full disk.
func (c *cluster) fillDisk(leader, progress int) {
	p := c.servers[leader].Process
	c.must(p.LimitFiles(4096))
	c.await(0, 1)
	c.must(p.LimitFiles(process.Unlimited))
	c.await(progress, 0)
}
