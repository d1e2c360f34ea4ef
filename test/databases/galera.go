package databases

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// galera is one node of a MariaDB Galera cluster.
type galera struct {
	mysql
	provider string
	node     int
	ports    []galeraPorts // of all nodes
	founds   bool          // its first start creates the cluster; other nodes join and copy the database
}

// galeraPorts are the loopback ports of a node besides its SQL port.
type galeraPorts struct{ group, increments, snapshots int }

func findGalera() (galera, error) {
	e, err := findMySQL()
	if err != nil {
		return galera{}, err
	}
	files, _ := filepath.Glob("/usr/lib*/galera*/libgalera_smm.so")
	if len(files) == 0 || e.(mysql).install == "" || look("rsync") == "" {
		return galera{}, &MissingError{Server: "Galera", Package: "mariadb-server galera-4 rsync"}
	}
	return galera{mysql: e.(mysql), provider: files[0]}, nil
}

func (g *galera) initialize(dir string) ([]string, error) {
	if g.founds {
		return g.mysql.initialize(dir)
	}
	return []string{"mkdir", filepath.Join(dir, "data")}, nil
}

func (g *galera) serve(dir string, port int, d Durability) []string {
	var group []string
	for _, p := range g.ports {
		group = append(group, fmt.Sprintf("127.0.0.1:%d", p.group))
	}
	own := g.ports[g.node]
	args := append(g.mysql.serve(dir, port, d),
		"--innodb-log-file-size=8M", // copied to joining nodes
		"--binlog-format=ROW",
		"--innodb-autoinc-lock-mode=2",
		"--wsrep-on=ON",
		"--wsrep-provider="+g.provider,
		"--wsrep-cluster-name=test",
		"--wsrep-cluster-address=gcomm://"+strings.Join(group, ","),
		"--wsrep-node-name=node"+strconv.Itoa(g.node),
		fmt.Sprintf("--wsrep-node-address=127.0.0.1:%d", own.group),
		"--wsrep-sst-method=rsync",
		fmt.Sprintf("--wsrep-sst-receive-address=127.0.0.1:%d", own.snapshots),
		fmt.Sprintf("--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:%d;ist.recv_addr=127.0.0.1:%d;gcache.size=16M;"+
			// A silent node is expelled after two seconds.
			"evs.keepalive_period=PT0.3S;evs.inactive_check_period=PT0.3S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S",
			own.group, own.increments),
	)
	if g.founds {
		return append(args, "--wsrep-new-cluster")
	}
	// The account is part of the copy.
	return slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--init-file=") })
}

// Galera starts the nodes of a MariaDB Galera cluster, all of which take writes. They are stopped when the test ends.
func Galera(t testing.TB, nodes int) []*Server {
	t.Helper()
	first, err := findGalera()
	if err != nil {
		required(t)(nil, err)
	}
	for range nodes {
		var p galeraPorts
		for _, port := range []*int{&p.group, &p.increments, &p.snapshots} {
			if *port, err = FreePort(); err != nil {
				t.Fatal(err)
			}
		}
		first.ports = append(first.ports, p)
	}
	var servers []*Server
	for i := range nodes {
		e := first
		e.node, e.founds = i, i == 0
		s := required(t)(startEngine("", KindMySQL, &e, Fast, 0))
		e.founds = false
		stopAtEnd(t, s)
		servers = append(servers, s)
		if err := s.synced(i + 1); err != nil {
			t.Fatal(err)
		}
	}
	return servers
}

// Nodes returns a DSN that lists several nodes of a cluster.
func Nodes(database string, nodes ...*Server) string {
	var addresses []string
	for _, s := range nodes {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", s.port))
	}
	return fmt.Sprintf("%s:%s@tcp(%s)/%s", account, password, strings.Join(addresses, ","), database)
}

// Synced waits until all nodes are in the cluster and hold the same data.
func Synced(nodes ...*Server) error {
	for _, s := range nodes {
		if err := s.synced(len(nodes)); err != nil {
			return err
		}
	}
	return nil
}

// synced waits until the node is in a cluster of that many nodes and holds the same data.
func (s *Server) synced(nodes int) error {
	db, err := s.engine.connect(s.port, s.engine.none())
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var size, state string
	for {
		err := db.QueryRowContext(ctx, `SELECT
			(SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_cluster_size'),
			(SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_local_state_comment')`).Scan(&size, &state)
		if err == nil && size == strconv.Itoa(nodes) && state == "Synced" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("node is %s in a cluster of %s, not synced in one of %d: %w\n%s", state, size, nodes, errors.Join(err, ctx.Err()), s.log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
