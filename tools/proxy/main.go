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
	"slices"
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

// nested are the modules below the root, of which the root requires versions.
var nested = []string{"client", "client/streaming", "proto"}

func run(root, dir, version string) error {
	if dir == "" || version == "" {
		return fmt.Errorf("usage: proxy -C ROOT -o DIRECTORY VERSION")
	}
	tree, err := os.MkdirTemp("", "proxy")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tree) }()
	if out, err := exec.Command("sh", "-c", `git -C "$0" archive HEAD | tar -x -C "$1"`, root, tree).CombinedOutput(); err != nil {
		return fmt.Errorf("copy HEAD: %w\n%s", err, out)
	}
	file, err := serve(dir, tree, version)
	if err != nil {
		return err
	}
	for _, name := range nested {
		at := slices.IndexFunc(file.Require, func(r *modfile.Require) bool { return r.Mod.Path == file.Module.Mod.Path+"/"+name })
		if at < 0 {
			return fmt.Errorf("go.mod does not require %s", name)
		}
		if _, err := serve(dir, filepath.Join(tree, name), file.Require[at].Mod.Version); err != nil {
			return err
		}
	}
	return nil
}

// serve adds a version of the module in a directory.
func serve(dir, tree, version string) (*modfile.File, error) {
	mod, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	if err != nil {
		return nil, err
	}
	file, err := modfile.Parse("go.mod", mod, nil)
	if err != nil {
		return nil, err
	}
	if len(file.Replace) > 0 {
		return nil, fmt.Errorf("%s replaces %s: go install refuses that", file.Module.Mod.Path, file.Replace[0].Old.Path)
	}
	m := module.Version{Path: file.Module.Mod.Path, Version: version}
	if err := module.Check(m.Path, m.Version); err != nil {
		return nil, err
	}
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		return nil, err
	}
	versions := filepath.Join(dir, escaped, "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return nil, err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now().UTC()})
	if err != nil {
		return nil, err
	}
	base := filepath.Join(versions, version)
	for name, content := range map[string][]byte{filepath.Join(versions, "list"): []byte(version + "\n"), base + ".info": info, base + ".mod": mod} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return nil, err
		}
	}
	out, err := os.Create(base + ".zip")
	if err != nil {
		return nil, err
	}
	if err := zip.CreateFromDir(out, m, tree); err != nil {
		_ = out.Close()
		return nil, err
	}
	return file, out.Close()
}
