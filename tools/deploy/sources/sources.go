// Package sources tells whether files were made of what deploy/ has now.
package sources

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path"
)

// Hash is that of the files that the Helm chart and the Compose file consist of, under the root of the repository. The rules for
// Prometheus, to which the chart has a link, have a test of their own.
func Hash(root fs.FS) (string, error) {
	sum := sha256.New()
	for _, of := range []string{"deploy/compose.yaml", "deploy/compose", "deploy/helm", "tools/deploy"} {
		err := fs.WalkDir(root, of, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || path.Base(name) == "go.sum" {
				return err
			}
			text, err := fs.ReadFile(root, name)
			if err == nil {
				_, err = fmt.Fprintf(sum, "%s %d\n%s\n", name, len(text), text)
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}
