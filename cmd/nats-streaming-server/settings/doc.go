// Package settings reads the options of a server: flags, the configuration file, environment variables, and files with secrets. All
// go through one table of settings, from which the usage and docs/reference/options.md are written.
package settings
