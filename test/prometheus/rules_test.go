package prometheus

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The rules pass their unit tests.
func TestRules(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command(find(t, "promtool"), "test", "rules", rulesTestFile).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// alerts returns the alerts of the rules, each as "name severity", in order.
func alerts(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, m := range regexp.MustCompile(`(?s)- alert: (\w+).*?severity: (\w+)`).FindAllStringSubmatch(read(t, rulesFile), -1) {
		found = append(found, m[1]+" "+m[2])
	}
	slices.Sort(found)
	return found
}

// Each alert fires in a test, and normal life has every metric that a rule looks at.
func TestEachRuleIsTested(t *testing.T) {
	t.Parallel()
	tests := read(t, rulesTestFile)
	normal, others, ok := strings.Cut(tests, "- name: all servers end")
	if !ok {
		t.Fatal("the test of normal life is not the first one")
	}
	for _, alert := range alerts(t) {
		name, severity, _ := strings.Cut(alert, " ")
		if !strings.Contains(others, fmt.Sprintf("alertname=%q, severity=%q", name, severity)) {
			t.Errorf("%s does not fire in any test", alert)
		}
	}
	for _, metric := range regexp.MustCompile(`\b(nats_streaming|process)_[a-z_]+[a-z]\b`).FindAllString(read(t, rulesFile), -1) {
		if !strings.Contains(normal, "'"+metric+"{") && !recorded(t, metric) {
			t.Errorf("normal life lacks %s", metric)
		}
	}
}

// recorded reports whether a metric of ours is part of the name of a recording rule.
func recorded(t *testing.T, metric string) bool {
	return regexp.MustCompile(`record: (\w+:)?` + metric + `:`).MatchString(read(t, rulesFile))
}

// The page lists exactly the alerts, and the page and heading to which each of them links exist.
func TestAlertsAreDocumented(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(Streaming\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(read(t, page), -1) {
		listed = append(listed, m[1]+" "+m[2])
	}
	slices.Sort(listed)
	if have := alerts(t); !slices.Equal(have, listed) {
		t.Errorf("alerts:\n%s\ndocumented:\n%s", strings.Join(have, "\n"), strings.Join(listed, "\n"))
	}
	for _, m := range regexp.MustCompile(`runbook_url: \S+/blob/main/(\S+)#(\S+)`).FindAllStringSubmatch(read(t, rulesFile), -1) {
		file := filepath.Join("../..", m[1])
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		} else if !slices.Contains(anchors(read(t, file)), m[2]) {
			t.Errorf("%s has no heading %s", m[1], m[2])
		}
	}
}

// anchors returns the anchors of a page's headings.
func anchors(markdown string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(markdown, -1) {
		kept := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(kept, " ", "-"))
	}
	return all
}
