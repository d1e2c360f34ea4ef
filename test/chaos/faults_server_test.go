package chaos

import (
	"syscall"
	"time"
)

// kill ends the leader as a crash does; the other one takes over.
func (c *cluster) kill(leader, progress int) {
	c.servers[leader].Kill()
	c.await(progress, 0)
	c.launchStandby(leader)
}

// launchStandby starts a server while another one leads.
func (c *cluster) launchStandby(server int) {
	c.t.Helper()
	c.servers[server].Launch()
	c.servers[server].WaitLog(c.t, "standby mode")
}

// killBoth kills both: the one that is started again has to wait for the lease of its dead self.
func (c *cluster) killBoth(leader, progress int) {
	c.servers[1-leader].Kill()
	c.servers[leader].Kill()
	c.servers[leader].Launch()
	c.servers[leader].Ready()
	c.await(progress, 0)
	c.launchStandby(1 - leader)
}

// killStandby is nothing to publishers.
func (c *cluster) killStandby(leader, progress int) {
	c.servers[1-leader].Kill()
	c.await(progress, 0)
	c.launchStandby(1 - leader)
}

// pause stops the leader for so long that the other one takes over, and lets it go on: it has publishes to do that were
// sent before, and takes itself for the leader.
func (c *cluster) pause(leader, progress int) {
	s := c.servers[leader]
	s.Process.Signal(syscall.SIGSTOP)
	if c.data.driver == "sqlite" {
		// Nobody takes over from who has the lock of the file.
		if c.reached(progress, 0, 6*time.Second) {
			c.t.Error("published while the leader was paused")
		}
		s.Process.Signal(syscall.SIGCONT)
		c.await(progress, 0)
		return
	}
	c.await(progress, 0)
	s.Process.Signal(syscall.SIGCONT)
	s.WaitLog(c.t, "stepping down")
	c.await(progress, 0)
}

// pauseShortly stops the leader for less than its lease.
func (c *cluster) pauseShortly(leader, progress int) {
	c.servers[leader].Process.Signal(syscall.SIGSTOP)
	time.Sleep(time.Second) // the fault, not a wait
	c.servers[leader].Process.Signal(syscall.SIGCONT)
	c.await(progress, 0)
}

// stop ends the leader as an operator does; the other one takes over.
func (c *cluster) stop(leader, progress int) {
	c.servers[leader].Stop()
	c.await(progress, 0)
	c.launchStandby(leader)
}

// roll restarts the standby, then the leader.
func (c *cluster) roll(leader, progress int) {
	c.servers[1-leader].Stop()
	c.launchStandby(1 - leader)
	c.servers[leader].Stop()
	c.servers[1-leader].WaitLog(c.t, "Streaming Server is ready")
	c.launchStandby(leader)
	c.await(progress, 0)
}

// stopAll ends the servers when all is over.
func (c *cluster) stopAll() {
	for _, s := range c.servers {
		s.Stop()
		if code := s.Process.ExitCode(); code != 0 {
			c.t.Errorf("a server ended with status %d", code)
		}
	}
}
