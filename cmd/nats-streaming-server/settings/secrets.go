package settings

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// A secret is set by its value, by a file that holds the value, or by an environment variable. Command lines are visible to
// every user of the host, so the value there is for trials.

// environment is the prefix of the environment variables of secrets.
const environment = "NATS_STREAMING_"

// withFiles returns the settings, each secret one followed by the one that names its file.
func withFiles(settings []setting) []setting {
	var all []setting
	for _, it := range settings {
		all = append(all, it)
		if it.secret {
			all = append(all, it.inFile())
		}
	}
	return all
}

// inFile returns the setting whose value is the name of a file with the value of it.
func (it setting) inFile() setting {
	suffixed := func(names []string) []string {
		out := slices.Clone(names)
		for i := range out {
			out[i] += "_file"
		}
		return out
	}
	return setting{
		flags: suffixed(it.flags), keys: suffixed(it.keys), value: "<file>", of: &it,
		usage: fmt.Sprintf("File with the value of %s, which the variable %s may also hold", it.name(), it.variable()),
		state: added,
	}
}

// variable is the name of the environment variable of a secret.
func (it *setting) variable() string { return environment + strings.ToUpper(it.name()) }

// applyEnvironment sets the secrets that environment variables hold.
func (o *Options) applyEnvironment() error {
	if err := o.checkEnvironment(); err != nil {
		return err
	}
	o.secrets = nil
	for _, it := range settings {
		v, given := os.LookupEnv(it.variable())
		if !it.secret || !given {
			continue
		}
		err := errEmpty
		if v != "" {
			err = it.apply(o, it.variable(), v, "")
		}
		if err != nil {
			return fmt.Errorf("environment variable %s: %w", it.variable(), err)
		}
	}
	o.secrets = nil
	return nil
}

// errEmpty refuses a secret that was probably meant to have a value. Without its token, the API would be open.
var errEmpty = errors.New("the value is empty: leave it out, or give one")

// noteSecret refuses a value that is also given as a file in the same place, or the other way round.
func (o *Options) noteSecret(secret *setting, inFile bool) error {
	name := secret.name()
	if was, given := o.secrets[name]; given && was != inFile {
		return fmt.Errorf("%s and %s_file are both given: give one of them", name, name)
	}
	if o.secrets == nil {
		o.secrets = make(map[string]bool)
	}
	o.secrets[name] = inFile
	return nil
}

// readSecret returns the content of a file without the newline at its end.
func readSecret(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("%s is empty: write the value into it", file)
	}
	return secret, nil
}

// hiddenValue replaces what must not be shown.
const hiddenValue = "***"

// otherSecrets are secret flags that are not settings: NATS' own, and one of import. urlFlags have URLs with users.
var (
	otherSecrets = []string{"pass", "auth", "encryption_key"}
	urlFlags     = []string{"ns", "nats_server", "routes", "cluster", "cluster_listen"}
)

// HideSecrets replaces the secrets in a command line, which expvar and pprof show.
func HideSecrets(args []string) {
	name := "" // of the flag whose value comes next
	for i, arg := range args {
		flag, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch isFlag := strings.HasPrefix(arg, "-"); {
		case isSecretFlag(name): // a secret may begin with a dash
			args[i], name = hiddenValue, ""
		case isFlag && hasValue:
			args[i], name = arg[:len(arg)-len(value)]+hide(flag, value), ""
		case isFlag:
			name = flag
		default:
			args[i], name = hide(name, arg), ""
		}
	}
}

// hide returns the value of a flag without its secrets.
func hide(flag, value string) string {
	switch {
	case isSecretFlag(flag):
		return hiddenValue
	case slices.Contains(urlFlags, flag):
		return natsconn.RedactURLs(value)
	}
	return natsconn.HideUsers(value)
}

func isSecretFlag(name string) bool {
	return slices.Contains(otherSecrets, name) ||
		slices.ContainsFunc(settings, func(it *setting) bool { return it.secret && slices.Contains(it.flags, name) })
}

// unparsed matches the ends of errors in which NATS' parser repeats a value, and what it found in an environment variable.
var unparsed = regexp.MustCompile(`(?s)((?:integer|float|boolean value|DateTime), but got|integer|float) '.*|(variable reference for '[^']*' on line \d+ could not be parsed: ).*`)

// Redacted returns an error whose text shows no secret of a configuration.
func Redacted(err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // what it wraps is looked at below
		var all []error
		for _, err := range joined.Unwrap() {
			all = append(all, Redacted(err))
		}
		return errors.Join(all...)
	}
	text := natsconn.HideUsers(err.Error())
	if m := unparsed.FindStringSubmatchIndex(text); m != nil {
		if m[2] >= 0 {
			text = text[:m[3]] + " '" + hiddenValue + "': a text that looks like a number needs quotes"
		} else {
			text = text[:m[5]] + `a text with special characters needs quotes inside the variable, "..."`
		}
	}
	if text == err.Error() {
		return err
	}
	return &redactedError{text, err}
}

type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string        { return e.text }
func (e *redactedError) Is(target error) bool { return errors.Is(e.err, target) }
