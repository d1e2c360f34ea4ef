package monitor

import "github.com/prometheus/client_golang/prometheus"

// Encryption is what a server did with encrypted fields.
type Encryption struct {
	Encrypted, Decrypted uint64 // values
	Failed               uint64 // values or keys that did not decrypt although there is a key
	Keys                 int    // in memory
	Locked               bool   // the master key is not available, or the database of the keys is away
}

// Encrypts adds the metrics of encrypted fields, which a server without them does not have. state must not block.
func (m *Monitor) Encrypts(state func() Encryption) {
	counter := func(name, help string, value func(Encryption) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}, func() float64 { return float64(value(state())) })
	}
	gauge := func(name, help string, value func(Encryption) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}, func() float64 { return value(state()) })
	}
	m.metrics.registry.MustRegister(
		counter("encrypted_fields_total", "Values of events that were encrypted.", func(e Encryption) uint64 { return e.Encrypted }),
		counter("decrypted_fields_total", "Values of events that were decrypted for readers.", func(e Encryption) uint64 { return e.Decrypted }),
		counter("undecipherable_fields_total", "Values or keys that did not decrypt although there is a key.", func(e Encryption) uint64 { return e.Failed }),
		gauge("keys_in_memory", "Keys of encrypted fields in memory.", func(e Encryption) float64 { return float64(e.Keys) }),
		gauge("keys_locked", "1 while nothing can be encrypted or decrypted, for lack of the master key or of the database of the keys; 0 otherwise.", func(e Encryption) float64 {
			if e.Locked {
				return 1
			}
			return 0
		}),
	)
}
