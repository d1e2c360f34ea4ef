package deploy

import (
	"fmt"
	"maps"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// object is what the test reads of the objects of the chart.
type object struct {
	Kind       string
	Metadata   struct{ Name string }
	Data       map[string]string // of a ConfigMap
	StringData map[string]string // of a Secret
	Spec       struct {
		Replicas             int
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } }
		Template             struct {
			Spec struct {
				Containers []struct {
					Args           []string
					Env            []struct{ Name, Value string }
					VolumeMounts   []struct{ Name, MountPath, SubPath string }
					ReadinessProbe struct {
						HTTPGet struct{ Path, Scheme string }
					}
				}
				Volumes []struct {
					Name      string
					ConfigMap *struct{ Name string }
					Secret    *struct{ SecretName string }
				}
			}
		}
	}
}

// pods returns the containers of the chart's StatefulSet. secrets are those that the values name.
func pods(t *testing.T, name string, secrets map[string]map[string]string) (all []container, probe, scheme string) {
	t.Helper()
	folders := map[string]map[string]string{} // of ConfigMaps and Secrets
	maps.Copy(folders, secrets)
	var set *object
	for _, o := range objects[object](t, name) {
		switch o.Kind {
		case "ConfigMap":
			folders[o.Metadata.Name] = o.Data
		case "Secret":
			folders[o.Metadata.Name] = o.StringData
		case "StatefulSet":
			set = &o
		}
	}
	pod := set.Spec.Template.Spec
	volumes := map[string]map[string]string{}
	for _, v := range pod.Volumes {
		switch {
		case v.ConfigMap != nil:
			volumes[v.Name] = folders[v.ConfigMap.Name]
		case v.Secret != nil:
			volumes[v.Name] = folders[v.Secret.SecretName]
		default:
			volumes[v.Name] = map[string]string{}
		}
		if volumes[v.Name] == nil {
			t.Fatalf("volume %s names an object that is not there", v.Name)
		}
	}
	for _, claim := range set.Spec.VolumeClaimTemplates {
		volumes[claim.Metadata.Name] = map[string]string{}
	}
	server := pod.Containers[0]
	for range set.Spec.Replicas {
		c := container{args: server.Args, env: map[string]string{}, files: map[string]string{}}
		for _, variable := range server.Env {
			c.env[variable.Name] = variable.Value
		}
		for _, mount := range server.VolumeMounts {
			files, ok := volumes[mount.Name]
			switch {
			case !ok:
				t.Fatalf("no volume %s", mount.Name)
			case mount.SubPath != "":
				c.files[mount.MountPath] = files[mount.SubPath]
			case len(files) == 0:
				c.files[mount.MountPath] = ""
			default:
				for key, text := range files {
					c.files[path.Join(mount.MountPath, key)] = text
				}
			}
		}
		all = append(all, c)
	}
	return all, server.ReadinessProbe.HTTPGet.Path, server.ReadinessProbe.HTTPGet.Scheme
}

// The pods of the chart start with the arguments, environment and files that Kubernetes would give them, are ready, and serve.
func TestChart(t *testing.T) {
	t.Parallel()
	ca := authority.New(t)
	identity := ca.Issue("events")
	for name, it := range map[string]struct {
		servers int
		secrets func(t *testing.T) map[string]map[string]string
		source  string // in the chart's own Secret
		tls     bool
		options []nats.Option
	}{
		"sqlite": {servers: 1},
		"claim":  {servers: 1},
		"postgres": {servers: 2, secrets: func(t *testing.T) map[string]map[string]string {
			return map[string]map[string]string{"events-database": {"source": databases.Postgres(t)}}
		}},
		"mysql": {servers: 2, source: "events:secret@tcp(db:3306)/events"},
		"secured": {servers: 2, tls: true, options: []nats.Option{nats.RootCAs(ca.File), nats.UserInfo("shop", "secret")}, secrets: func(t *testing.T) map[string]map[string]string {
			return map[string]map[string]string{
				"events-database": {"uri": databases.Postgres(t)},
				"events-tls":      {"tls.crt": read(t, identity.Cert), "tls.key": read(t, identity.Key), "ca.crt": read(t, ca.File)},
				"events-token":    {"token": "secret"},
				"events-access":   {"access.conf": fmt.Sprintf("principals: [ { name: shop, tokens: [\"sha256:%s\"], read: [\">\"] } ]\n", strings.Repeat("0", 64))},
				"events-users":    {"users.conf": "authorization { user: shop, password: secret }\n"},
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secrets := map[string]map[string]string{}
			if it.secrets != nil {
				secrets = it.secrets(t)
			}
			all, probe, scheme := pods(t, name, secrets)
			if len(all) != it.servers || probe != "/readyz?standby=1" || (scheme == "HTTPS") != it.tls {
				t.Fatalf("%d pods, probe %s %s", len(all), scheme, probe)
			}
			if it.source != "" {
				source := databases.MySQL(t)
				for _, c := range all {
					for file, text := range c.files {
						c.files[file] = strings.Replace(text, it.source, source, 1)
					}
				}
			}
			authorities := map[bool]*authority.Authority{true: ca}
			serves(t, all, "events", probe, authorities[it.tls], it.options...)
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
