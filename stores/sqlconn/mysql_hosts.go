package sqlconn

import (
	"database/sql/driver"
	"net"
	"strings"

	mysqldriver "github.com/go-sql-driver/mysql"
)

const mysqlPort = "3306"

// mysqlHosts connects to one of the nodes that a source names, as in user:password@tcp(a:3306,b:3306)/database. Each
// connection first runs setup. A node that cannot work refuses it, and the next node is tried.
func mysqlHosts(cfg *mysqldriver.Config, setup, try []string) (*hosts, error) {
	var all []driver.Connector
	for _, address := range mysqlAddresses(cfg) {
		node := cfg.Clone()
		node.Addr = address
		if node.TLS != nil {
			node.TLS.ServerName = "" // the driver took it from the whole list; it takes it from the address instead
		}
		connector, err := mysqldriver.NewConnector(node)
		if err != nil {
			return nil, err
		}
		all = append(all, &session{Connector: connector, setup: setup, try: try})
	}
	return newHosts(all), nil
}

func mysqlAddresses(cfg *mysqldriver.Config) []string {
	list := cfg.Addr
	if cfg.Net != "tcp" || !strings.Contains(list, ",") {
		return []string{list}
	}
	// The driver takes a list with several colons for an IPv6 address.
	if inner, ok := strings.CutSuffix(list, "]:"+mysqlPort); ok && strings.Count(list, "[") > strings.Count(inner, "]") {
		list = inner[1:]
	}
	var addresses []string
	for _, address := range strings.Split(list, ",") {
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(address, mysqlPort)
		}
		addresses = append(addresses, address)
	}
	return addresses
}
