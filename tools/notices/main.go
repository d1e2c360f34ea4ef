// Command notices writes the licences and notices of all modules whose code is linked into a program, for the platforms
// that it is built for. Modules in the local cache are all that it reads.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// platforms are the operating systems whose code counts. The architecture makes no difference to the modules.
var platforms = []string{"linux", "darwin", "windows"}

// notice matches the files that a distribution must carry.
var notice = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|notice|patents|copyright)`)

func main() {
	module := flag.String("C", ".", "directory of the main module")
	flag.Parse()
	if err := run(os.Stdout, *module, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, dir string, packages []string) error {
	texts := make(map[string][]string) // names of files by content
	modules := make(map[string]string) // versions
	add := func(name, file string) error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		text := strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
		if !slices.Contains(texts[text], name) {
			texts[text] = append(texts[text], name)
		}
		return nil
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find the Go standard library: %w", err)
	}
	if err := add("the Go standard library", filepath.Join(strings.TrimSpace(string(root)), "LICENSE")); err != nil {
		return err
	}
	for _, platform := range platforms {
		linked, err := list(dir, platform, packages)
		if err != nil {
			return err
		}
		for _, p := range linked {
			if p.Module == nil || p.Module.Main {
				continue
			}
			found, err := noticesOf(p)
			if err != nil {
				return err
			}
			modules[p.Module.Path] = p.Module.Version
			for _, file := range found {
				name, err := filepath.Rel(p.Module.Dir, file)
				if err != nil {
					return err
				}
				if err := add(p.Module.Path+"/"+filepath.ToSlash(name), file); err != nil {
					return err
				}
			}
		}
	}
	return write(out, modules, texts)
}

// linkedPackage is a package as go list describes it.
type linkedPackage struct {
	Dir    string
	Module *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// list returns the packages that are linked on a platform.
func list(dir, platform string, packages []string) ([]linkedPackage, error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Dir,Module"}, packages...)...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "GOWORK=", "GOOS="+platform, "GOARCH=amd64", "CGO_ENABLED=0")
	b, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages for %s: %w", platform, err)
	}
	var all []linkedPackage
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var p linkedPackage
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("list the packages for %s: %w", platform, err)
		}
		all = append(all, p)
	}
}

// noticesOf returns the files that apply to a package: those beside it, and above it up to the root of its module, which
// has at least one.
func noticesOf(p linkedPackage) (files []string, err error) {
	for dir := p.Dir; ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		found := false
		for _, e := range entries {
			if e.Type().IsRegular() && notice.MatchString(e.Name()) && filepath.Ext(e.Name()) != ".go" {
				files = append(files, filepath.Join(dir, e.Name()))
				found = true
			}
		}
		if dir == p.Module.Dir {
			if !found {
				return nil, fmt.Errorf("%s %s has no licence", p.Module.Path, p.Module.Version)
			}
			return files, nil
		}
	}
}

func write(out io.Writer, modules map[string]string, texts map[string][]string) error {
	var b bytes.Buffer
	b.WriteString("nats-streaming-server contains the software below. make generate writes this file.\n\n")
	b.WriteString("the Go standard library\n")
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		fmt.Fprintf(&b, "%s %s\n", path, modules[path])
	}
	order := slices.SortedFunc(maps.Keys(texts), func(x, y string) int {
		return cmp.Compare(slices.Min(texts[x]), slices.Min(texts[y]))
	})
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n", strings.Repeat("=", 80))
		for _, name := range slices.Sorted(slices.Values(texts[text])) {
			fmt.Fprintln(&b, name)
		}
		fmt.Fprintf(&b, "%s\n\n%s\n", strings.Repeat("-", 80), text)
	}
	_, err := out.Write(b.Bytes())
	return err
}
