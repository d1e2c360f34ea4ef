package tracing

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// Options are what the standard variables of OpenTelemetry say. The exporter reads those of its connection itself. The zero
// value turns tracing off.
type Options struct {
	protocol string // of OTLP; "" without tracing
	endpoint string // of the collector, without user information
	sampler  sdk.Sampler
}

// The protocols of OTLP.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// Enabled reports whether spans are sent.
func (o Options) Enabled() bool { return o.protocol != "" }

// Environment returns the options of the environment. Tracing is on if a variable names the endpoint of a collector, or if
// OTEL_TRACES_EXPORTER is otlp. Its error names the variable: the exporter would ignore what it cannot read.
func Environment() (Options, error) {
	endpointName, endpoint := variable("ENDPOINT")
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	switch {
	case strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true"), exporter == "none", exporter == "" && endpoint == "":
		return Options{}, nil
	case exporter != "" && exporter != "otlp":
		return Options{}, fmt.Errorf("environment variable OTEL_TRACES_EXPORTER: %q must be otlp or none", exporter)
	}
	o := Options{}
	var err error
	if o.endpoint, err = checkEndpoint(endpoint); err != nil {
		return Options{}, fmt.Errorf("environment variable %s: %w", endpointName, err)
	}
	name, protocol := variable("PROTOCOL")
	switch protocol {
	case "":
		o.protocol = protocolHTTP
	case protocolGRPC, protocolHTTP:
		o.protocol = protocol
	default:
		return Options{}, fmt.Errorf("environment variable %s: %q must be %s or %s", name, protocol, protocolGRPC, protocolHTTP)
	}
	if name, timeout := variable("TIMEOUT"); timeout != "" {
		if n, err := strconv.Atoi(timeout); err != nil || n < 1 {
			return Options{}, fmt.Errorf("environment variable %s: %q must be a number of milliseconds, such as 10000", name, timeout)
		}
	}
	if o.endpoint == "" {
		o.endpoint = map[string]string{protocolGRPC: "https://localhost:4317", protocolHTTP: "https://localhost:4318"}[o.protocol]
	}
	if o.sampler, err = sampler(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG")); err != nil {
		return Options{}, err
	}
	headersName, headers := variable("HEADERS")
	for _, err := range []error{
		checkCertificates(), checkPairs(headersName, headers), checkPairs("OTEL_RESOURCE_ATTRIBUTES", os.Getenv("OTEL_RESOURCE_ATTRIBUTES")),
	} {
		if err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

// variable returns the variable of the exporter for traces, or the one for all signals, with the name of the one that is set.
func variable(what string) (name, value string) {
	name = "OTEL_EXPORTER_OTLP_TRACES_" + what
	if value = os.Getenv(name); value == "" {
		name = "OTEL_EXPORTER_OTLP_" + what
		value = os.Getenv(name)
	}
	return name, value
}

func checkEndpoint(endpoint string) (shown string, err error) {
	if endpoint == "" {
		return "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("must be a URL such as http://localhost:4318, or https:// with TLS")
	}
	u.User = nil
	return u.String(), nil
}

// checkPairs checks a list of names and values. Its error shows neither: headers are often secrets, which the exporter would write to
// the log.
func checkPairs(variable, list string) error {
	if list == "" {
		return nil
	}
	for i, pair := range strings.Split(list, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); !ok || err != nil || strings.TrimSpace(name) == "" {
			return fmt.Errorf("environment variable %s: entry %d must be name=value, with %%2C for a comma and %%25 for %%", variable, i+1)
		}
	}
	return nil
}

// checkCertificates tries the files that the exporter reads.
func checkCertificates() error {
	if name, file := variable("CERTIFICATE"); file != "" {
		text, err := os.ReadFile(file)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
			err = fmt.Errorf("%s holds no certificate in PEM", file)
		}
		if err != nil {
			return fmt.Errorf("environment variable %s: %w", name, err)
		}
	}
	certificateName, certificate := variable("CLIENT_CERTIFICATE")
	keyName, key := variable("CLIENT_KEY")
	if certificate == "" && key == "" {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
		return fmt.Errorf("environment variables %s and %s: %w", certificateName, keyName, err)
	}
	return nil
}

// sampler returns the sampler of a name. Traces that begin here are its decision; by default it takes all of them.
func sampler(name, arg string) (sdk.Sampler, error) {
	ratio := 1.0
	if strings.HasSuffix(name, "traceidratio") && arg != "" {
		var err error
		if ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("environment variable OTEL_TRACES_SAMPLER_ARG: %q must be a number from 0 to 1", arg)
		}
	}
	switch name {
	case "", "parentbased_always_on":
		return sdk.ParentBased(sdk.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(ratio)), nil
	case "always_on":
		return sdk.AlwaysSample(), nil
	case "always_off":
		return sdk.NeverSample(), nil
	case "traceidratio":
		return sdk.TraceIDRatioBased(ratio), nil
	}
	return nil, fmt.Errorf("environment variable OTEL_TRACES_SAMPLER: %q must be always_on, always_off, traceidratio or one of these after parentbased_", name)
}
