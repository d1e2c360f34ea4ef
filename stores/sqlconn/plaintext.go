package sqlconn

import (
	"net"
	"path/filepath"
	"strings"

	"github.com/lib/pq"
)

// PlainHost returns a host of a source that is not this machine and may be reached without TLS, so that everybody on the
// way can read along. It returns "" if there is none, or if the source is invalid.
func PlainHost(driver, source string) string {
	var hosts []string
	switch driver {
	case "postgres":
		cfg, err := pq.NewConfig(source)
		if err != nil || cfg.SSLMode != pq.SSLModeDisable && cfg.SSLMode != pq.SSLModeAllow && cfg.SSLMode != pq.SSLModePrefer {
			return ""
		}
		hosts = append(hosts, cfg.Host)
		if cfg.Hostaddr.IsValid() {
			hosts[0] = cfg.Hostaddr.String()
		}
		for _, other := range cfg.Multi {
			hosts = append(hosts, other.Host)
		}
	case "mysql":
		cfg, err := parseMySQL(source)
		if err != nil || cfg.Net != "tcp" || cfg.Params[mysqlAuthorities] != "" || cfg.TLS != nil && !cfg.AllowFallbackToPlaintext {
			return ""
		}
		for _, address := range mysqlAddresses(cfg) {
			if host, _, err := net.SplitHostPort(address); err == nil {
				hosts = append(hosts, host)
			}
		}
	}
	for _, host := range hosts {
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "" && host != "localhost" && !filepath.IsAbs(host) && host[0] != '@' && (ip == nil || !ip.IsLoopback()) {
			return host
		}
	}
	return ""
}
