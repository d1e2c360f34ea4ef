// Command proxy makes a directory that serves as GOPROXY for one version of a module, as if the commit that is checked out had
// that tag. What the Go toolchain would refuse in a release, such as a file name, is an error here.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	root := flag.String("C", ".", "root of the module's repository")
	dir := flag.String("o", "", "directory to make")
	flag.Parse()
	if err := run(*root, *dir, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

func run(root, dir, version string) error {
	if dir == "" || version == "" {
		return fmt.Errorf("usage: proxy -C ROOT -o DIRECTORY VERSION")
	}
	mod, err := exec.Command("git", "-C", root, "show", "HEAD:go.mod").Output()
	if err != nil {
		return fmt.Errorf("read go.mod of HEAD: %w", err)
	}
	file, err := modfile.Parse("go.mod", mod, nil)
	if err != nil {
		return err
	}
	if len(file.Replace) > 0 {
		return fmt.Errorf("go.mod replaces %s: go install refuses that", file.Replace[0].Old.Path)
	}
	m := module.Version{Path: file.Module.Mod.Path, Version: version}
	if err := module.Check(m.Path, m.Version); err != nil {
		return err
	}
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	versions := filepath.Join(dir, escaped, "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(versions, "list"), []byte(version+"\n"), 0o644); err != nil {
		return err
	}
	base := filepath.Join(versions, version)
	if err := os.WriteFile(base+".info", info, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(base+".mod", mod, 0o644); err != nil {
		return err
	}
	tree, err := os.MkdirTemp("", "proxy")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tree) }()
	if out, err := exec.Command("sh", "-c", `git -C "$0" archive HEAD | tar -x -C "$1"`, root, tree).CombinedOutput(); err != nil {
		return fmt.Errorf("copy HEAD: %w\n%s", err, out)
	}
	out, err := os.Create(base + ".zip")
	if err != nil {
		return err
	}
	if err := zip.CreateFromDir(out, m, tree); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
