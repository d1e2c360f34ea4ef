package tracing

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"
	missing := filepath.Join(t.TempDir(), "ca.pem")
	for _, c := range []struct {
		name, environment, want string // an error, or what is on
	}{
		{"nothing is set", "", "off"},
		{"endpoint", endpoint, "http/protobuf http://collector:4318 ParentBased{root:AlwaysOnSampler"},
		{"endpoint of traces", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://u:p@c/traces OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "grpc https://c/traces ParentBased"},
		{"protocol of traces", endpoint + " OTEL_EXPORTER_OTLP_PROTOCOL=http/json OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc", "grpc http://collector:4318 ParentBased"},
		{"exporter alone", "OTEL_TRACES_EXPORTER=otlp", "http/protobuf https://localhost:4318 ParentBased"},
		{"no exporter", endpoint + " OTEL_TRACES_EXPORTER=none", "off"},
		{"disabled", endpoint + " OTEL_SDK_DISABLED=true OTEL_TRACES_SAMPLER=x", "off"},
		{"ratio", endpoint + " OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.25", "http/protobuf http://collector:4318 ParentBased{root:TraceIDRatioBased{0.25}"},
		{"always off", endpoint + " OTEL_TRACES_SAMPLER=always_off", "http/protobuf http://collector:4318 AlwaysOffSampler"},
		{"another exporter", "OTEL_TRACES_EXPORTER=console", `OTEL_TRACES_EXPORTER: "console" must be otlp or none`},
		{"no URL", "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL such as http://localhost:4318"},
		{"no protocol", endpoint + " OTEL_EXPORTER_OTLP_PROTOCOL=http/json", `OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" must be grpc or http/protobuf`},
		{"no time-out", endpoint + " OTEL_EXPORTER_OTLP_TIMEOUT=10s", `OTEL_EXPORTER_OTLP_TIMEOUT: "10s" must be a number of milliseconds`},
		{"no sampler", endpoint + " OTEL_TRACES_SAMPLER=jaeger_remote", `OTEL_TRACES_SAMPLER: "jaeger_remote" must be always_on`},
		{"no ratio", endpoint + " OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=NaN", `OTEL_TRACES_SAMPLER_ARG: "NaN" must be a number from 0 to 1`},
		{"headers", endpoint + " OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20x=,a=b OTEL_RESOURCE_ATTRIBUTES=deployment.environment=test", "http/protobuf http://collector:4318 ParentBased"},
		{"a header without a name", endpoint + " OTEL_EXPORTER_OTLP_HEADERS=a=b,secret", "OTEL_EXPORTER_OTLP_HEADERS: entry 2 must be name=value"},
		{"a header that is not escaped", endpoint + " OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=100%", "OTEL_EXPORTER_OTLP_TRACES_HEADERS: entry 1 must be name=value"},
		{"an attribute without a value", endpoint + " OTEL_RESOURCE_ATTRIBUTES=a", "OTEL_RESOURCE_ATTRIBUTES: entry 1 must be name=value"},
		{"no certificate", endpoint + " OTEL_EXPORTER_OTLP_CERTIFICATE=" + missing, "OTEL_EXPORTER_OTLP_CERTIFICATE: open " + missing},
		{"no key", endpoint + " OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + missing, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY: open " + missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			for assignment := range strings.FieldsSeq(c.environment) {
				name, value, _ := strings.Cut(assignment, "=")
				t.Setenv(name, value)
			}
			o, err := Environment()
			got := "off"
			switch {
			case err != nil:
				got = err.Error()
			case o.Enabled():
				got = o.protocol + " " + o.endpoint + " " + o.sampler.Description()
			}
			if got != c.want && !strings.Contains(got, strings.TrimPrefix(c.want, "off")) || c.want == "off" && got != "off" {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
