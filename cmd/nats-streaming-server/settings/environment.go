package settings

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// serviceVariable matches the variables that Kubernetes sets for a service of the name nats-streaming, and those that Docker set for
// a linked container.
var serviceVariable = regexp.MustCompile(`^NATS_STREAMING(_[A-Z0-9_]+)?(_SERVICE_HOST|_SERVICE_PORT.*|_PORT|_PORT_\d+_(TCP|UDP).*)$`)

// checkEnvironment tells of variables that look like ours and are not. One that was probably meant to hold a secret is an error:
// without its token, the API would be open.
func (o *Options) checkEnvironment() error {
	known := []string{EncryptionKeyVariable}
	var names []string
	for _, it := range settings {
		if it.secret {
			known = append(known, it.variable())
		}
		names = append(names, it.flags...)
	}
	var errs []error
	for _, v := range slices.Sorted(slices.Values(os.Environ())) {
		v, _, _ = strings.Cut(v, "=")
		rest, ours := strings.CutPrefix(v, environment)
		if !ours || slices.Contains(known, v) || serviceVariable.MatchString(v) {
			continue
		}
		ofFile := strings.TrimSuffix(v, "_FILE")
		switch option := nearest(rest, names); {
		case ofFile != v && slices.Contains(known, ofFile):
			errs = append(errs, fmt.Errorf("environment variable %s: unknown: put the value into %s, or name the file with -%s", v, ofFile, strings.ToLower(rest)))
		case nearest(v, known) != "" && distance(v, nearest(v, known)) <= 2:
			errs = append(errs, fmt.Errorf("environment variable %s: unknown%s", v, didYouMean("", v, known)))
		case option != "":
			o.Notices = append(o.Notices, fmt.Sprintf("environment variable %s has no effect: only secrets have variables; use -%s or its key in the configuration file", v, option))
		default:
			o.Notices = append(o.Notices, fmt.Sprintf("environment variable %s has no effect: only secrets have variables (docs/reference/options.md)", v))
		}
	}
	return errors.Join(errs...)
}
