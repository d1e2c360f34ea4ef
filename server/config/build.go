package config

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Releases set these with the linker, as .goreleaser.yaml and the Makefile do: -ldflags "-X PACKAGE.version=1.2.3".
var (
	version string // without v
	commit  string // full hash
	date    string // of the commit, as RFC 3339 has it
)

// unreleased is the version of a build about which neither the linker nor Go knows more.
const unreleased = "0.1.0-dev"

// Build says which source a server was built from. Commit and Date are empty if unknown.
type Build struct {
	Version string // without v
	Commit  string // full hash
	Date    string // of the commit, as RFC 3339 has it
}

// CurrentBuild returns what the linker was told, completed by what Go recorded: the version of go install …@version, or the
// commit of the checkout.
func CurrentBuild() Build {
	var b Build
	if info, ok := debug.ReadBuildInfo(); ok {
		b = recorded(info)
	}
	return Build{
		Version: cmp.Or(version, b.Version, unreleased),
		Commit:  cmp.Or(commit, b.Commit),
		Date:    cmp.Or(date, b.Date),
	}
}

// recorded is what Go recorded about the source.
func recorded(info *debug.BuildInfo) Build {
	var b Build
	if info.Main.Version != "(devel)" {
		b.Version = strings.TrimPrefix(info.Main.Version, "v")
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		}
	}
	return b
}

// String returns the version with the short commit and its date, if known: 1.2.3 (commit 0123456789ab of 2026-11-26T05:50:58Z).
func (b Build) String() string {
	if b.Commit == "" {
		return b.Version
	}
	return fmt.Sprintf("%s (commit %.12s of %s)", b.Version, b.Commit, b.Date)
}

// Details returns the source and the Go release and platform of the build, on one line.
func (b Build) Details() string {
	source := "commit unknown"
	if b.Commit != "" {
		source = fmt.Sprintf("commit %s of %s", b.Commit, b.Date)
	}
	return fmt.Sprintf("%s, %s %s/%s", source, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
