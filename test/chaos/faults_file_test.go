package chaos

import "github.com/nats-eventstore/nats-eventstore/test/process"

// SQLite has a file in place of a network.

// lockFile has somebody else hold the write lock for longer than publishers wait.
func (c *cluster) lockFile(_, progress int) {
	r := c.data.rivalOf("BEGIN IMMEDIATE")
	c.await(0, 1)
	r.end("ROLLBACK")
	c.await(progress, 0)
}

// lockFileShortly has others write, too.
func (c *cluster) lockFileShortly(_, progress int) {
	for range 5 {
		c.data.rivalOf("BEGIN IMMEDIATE").end("ROLLBACK")
		c.await(progress/5+1, 0)
	}
}

// fillDisk lets no file of the leader grow, as on a full disk.
func (c *cluster) fillDisk(leader, progress int) {
	p := c.servers[leader].Process
	c.must(p.LimitFiles(4096))
	c.await(0, 1)
	c.must(p.LimitFiles(process.Unlimited))
	c.await(progress, 0)
}
