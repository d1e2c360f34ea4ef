package chaos

import (
	"syscall"
	"time"
)

// kill crashes the leader; the standby takes over.
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

// killBoth crashes both servers. The one that restarts first must wait until the old lease expires.
func (c *cluster) killBoth(leader, progress int) {
	c.servers[1-leader].Kill()
	c.servers[leader].Kill()
	c.servers[leader].Launch()
	c.servers[leader].Ready()
	c.await(progress, 0)
	c.launchStandby(1 - leader)
}

// killStandby crashes the standby. Publishers do not notice.
func (c *cluster) killStandby(leader, progress int) {
	c.servers[1-leader].Kill()
	c.await(progress, 0)
	c.launchStandby(1 - leader)
}

// pause stops the leader until the standby takes over, then resumes it. The old leader finds publishes that arrived
// earlier and still believes that it leads.
func (c *cluster) pause(leader, progress int) {
	s := c.servers[leader]
	s.Process.Signal(syscall.SIGSTOP)
	if c.data.driver == "sqlite" {
		// Nobody takes over while the leader holds the lock of the file.
		if c.reached(progress, 0, 6*time.Second) {
			c.t.Error("a publish succeeded while the leader was paused")
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
	time.Sleep(time.Second) // the fault itself, not a wait
	c.servers[leader].Process.Signal(syscall.SIGCONT)
	c.await(progress, 0)
}

// stop stops the leader as an operator does; the standby takes over.
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

// stopAll stops the servers at the end of the test.
func (c *cluster) stopAll() {
	for _, s := range c.servers {
		s.Stop()
		if code := s.Process.ExitCode(); code != 0 {
			c.t.Errorf("a server ended with status %d", code)
		}
	}
}
