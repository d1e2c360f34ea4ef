package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

type values = map[string]any

// matrix are the values that the chart is checked with.
var matrix = map[string]values{
	"sqlite":   {"database": "sqlite"},
	"postgres": {"sql": values{"existingSecret": "events-database"}},
	"mysql": {"database": "mysql", "sql": values{"source": "events:secret@tcp(db:3306)/events"}, "antiAffinity": "hard",
		"config": values{"nats": "max_payload: 2MB\n", "streaming": "events { channels: [\"orders.>\"] }\n"}},
	"secured": {
		"sql": values{"existingSecret": "events-database", "key": "uri"}, "tls": values{"existingSecret": "events-tls"},
		"api": values{"enabled": true, "tokenSecret": "events-token"}, "access": values{"existingSecret": "events-access"}, "extraSecret": "events-users",
		"config":         values{"nats": "include \"extra/users.conf\"\n"},
		"serviceMonitor": values{"enabled": true, "tokenSecret": "events-monitor", "labels": values{"release": "prometheus"}}, "prometheusRule": values{"enabled": true},
		"imagePullSecrets": []any{values{"name": "registry"}}, "nodeSelector": values{"disk": "fast"}, "priorityClassName": "high",
		"tolerations": []any{values{"key": "dedicated", "operator": "Exists"}}, "podLabels": values{"team": "events"}, "podAnnotations": values{"a": "b"},
	},
	"claim": {"database": "sqlite", "sqlite": values{"existingClaim": "events"}, "podDisruptionBudget": values{"enabled": false}, "api": values{"enabled": true, "insecure": true}},
}

// refusal is what the chart says to values that cannot work.
type refusal struct {
	values values
	text   string
}

var refused = map[string]refusal{
	"no source":        {values{}, "set sql.existingSecret to a Secret"},
	"unknown database": {values{"database": "oracle"}, `database is "oracle": it must be postgres, mysql or sqlite`},
}

const release, namespace = "events", "shop"

func render(dir string, given values) (map[string]string, error) {
	chart, err := loader.LoadDir(dir)
	if err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(chart, given, common.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true, Revision: 1}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

func refuses(dir string, r refusal) error {
	if _, err := render(dir, r.values); err == nil || !strings.Contains(err.Error(), r.text) {
		return fmt.Errorf("it says %v, not %q", err, r.text)
	}
	return nil
}

// renderChart lints a chart, and returns its objects.
func renderChart(dir string, given values) ([]any, error) {
	var errs []error
	for _, m := range lint.RunAll(dir, given, namespace).Messages {
		if m.Severity > support.InfoSev {
			errs = append(errs, m)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	files, err := render(dir, given)
	if err != nil {
		return nil, err
	}
	var objects []any
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq(files[name], "\n---\n") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			object, err := decode([]byte(document))
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, document)
			}
			if object != nil && !isRule(object) {
				objects = append(objects, object)
			}
		}
	}
	return objects, nil
}

// isRule reports whether an object is made of the rules for Prometheus, which change for other reasons.
func isRule(object any) bool {
	m, ok := object.(*values)
	return ok && (*m)["kind"] == "PrometheusRule"
}

// decode decodes a document into the type of its kind, in which it must find each of its keys.
func decode(document []byte) (any, error) {
	var kind struct{ Kind string }
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return nil, err
	}
	var into any
	switch kind.Kind {
	case "":
		return nil, nil // comments
	case "StatefulSet":
		into = &apps.StatefulSet{}
	case "ConfigMap":
		into = &core.ConfigMap{}
	case "Secret":
		into = &core.Secret{}
	case "Service":
		into = &core.Service{}
	case "PodDisruptionBudget":
		into = &policy.PodDisruptionBudget{}
	case "ServiceMonitor", "PrometheusRule": // of the Prometheus operator, whose types are not Kubernetes'
		into = &values{}
	default:
		return nil, fmt.Errorf("unexpected kind %q", kind.Kind)
	}
	return into, yaml.UnmarshalStrict(document, into)
}
