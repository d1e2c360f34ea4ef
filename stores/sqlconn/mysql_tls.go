package sqlconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// mysqlAuthorities is the parameter of a source that names a file of certificates, in PEM. The server must prove its
// name with a certificate that one of them signed. The driver takes authorities only from a program.
const mysqlAuthorities = "tls_ca"

// parseMySQL parses a source, in which the name of the file may have slashes: the driver wants them escaped.
func parseMySQL(source string) (*mysqldriver.Config, error) {
	before, after, given := strings.Cut(source, mysqlAuthorities+"=")
	if file, others, _ := strings.Cut(after, "&"); given && strings.Contains(file, "/") {
		source = before + mysqlAuthorities + "=" + url.QueryEscape(file)
		if others != "" {
			source += "&" + others
		}
	}
	return mysqldriver.ParseDSN(source)
}

// mysqlTLS removes the parameter and does what it asks for.
func mysqlTLS(cfg *mysqldriver.Config) error {
	file, given := cfg.Params[mysqlAuthorities]
	if !given {
		return nil
	}
	delete(cfg.Params, mysqlAuthorities)
	if cfg.TLSConfig != "" && cfg.TLSConfig != "true" {
		return fmt.Errorf("%s needs tls=true, not tls=%s", mysqlAuthorities, cfg.TLSConfig)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", mysqlAuthorities, err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return errors.New(mysqlAuthorities + ": " + file + " has no certificate in PEM")
	}
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities}
	return nil
}
