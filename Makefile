GO      ?= go
# A program that is required by tools/go.mod, which is outside the workspace of go.work.
TOOL     = $$(GOWORK=off $(GO) tool -n -modfile=tools/go.mod $(1))
TIMEOUT ?= 18m

# Programs are built alike everywhere, so that one build cache serves them all. Only the race detector needs cgo.
export GOFLAGS := -trimpath $(GOFLAGS)
export CGO_ENABLED = 0

# The race detector watches Go. SQLite's code is generated from C, has locks of its own, and would take five times the processor time.
RACE = -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false

# The packages of the modules in go.work.
MODULES  = ./... ./client/... ./client/streaming/... ./proto/... ./test/neutral/...

.DEFAULT_GOAL := build
.PHONY: build man release-packages cross release-rehearsal packages test cover show-bank show-clients show-consumers show-databases show-orders show-erasure show-personal show-setups chaos test-clock test-postgres test-mysql test-figures test-sql-million dashboard-picture console-pictures lint generate deployments check-generated vulns bench bench-check neutral sizing profile fuzz clean

# Two static binaries, the server and the tool. Go records the commit of a checkout in it. Without a checkout, say what is built:
# make build VERSION=1.2.3 COMMIT=0123abc… DATE=2026-11-26T05:50:58Z
BIN ?= bin/nats-streaming-server
TOOL_BIN ?= bin/eventstore
CONFIG = github.com/nats-eventstore/nats-eventstore/server/config
LDFLAGS = -s -w -X $(CONFIG).version=$(VERSION) -X $(CONFIG).commit=$(COMMIT) -X $(CONFIG).date=$(DATE)
build:
	$(GO) build -o $(BIN) -ldflags '$(LDFLAGS)' ./cmd/nats-streaming-server
	$(GO) build -o $(TOOL_BIN) -ldflags '$(LDFLAGS)' ./cmd/eventstore

# The deb and the rpm package of the server and the tool, with its man pages and completions, in bin.
packages: build
	deploy/packages/pack $(BIN) $(TOOL_BIN) $$($(GO) env GOARCH) $(or $(VERSION),0.1.0-dev) bin

# The man pages and the completions of the tool, in bin/pages.
man:
	deploy/packages/pages bin/pages

# The packages of a release, of the server that it has built. The tool is built here, since a release builds its programs in any order.
release-packages:
	GOOS=linux GOARCH=$(ARCH) $(GO) build -o dist/packaged-$(ARCH)/eventstore -ldflags '$(LDFLAGS)' ./cmd/eventstore
	deploy/packages/pack $(BIN) dist/packaged-$(ARCH)/eventstore $(ARCH) $(VERSION) dist

# What a release would publish, in dist: takes half an hour, since it builds everything twice for six platforms.
release-rehearsal:
	deploy/release/rehearse

# The server and the tool build for the other platforms of a release.
cross:
	for os in darwin windows; do GOOS=$$os $(GO) build -o /dev/null ./cmd/nats-streaming-server && GOOS=$$os $(GO) build -o /dev/null ./cmd/eventstore || exit 1; done

# All tests on SQLite, PostgreSQL and MariaDB. Without a database server, a client library or
# Prometheus its tests are skipped, with CI=true they fail. Packages: make test PKG=./stores/...
# Never cached: tests that run the server as a program do not show the cache what they depend on. They find it in TEST_BINARIES.
PKG ?= $(MODULES)
test:
	test/databases/install
	test/clients/install
	test/install/install
	test/prometheus/install
	test/console/install
	built=$$(mktemp -d) && trap 'rm -rf $$built' EXIT && export TEST_BINARIES=$$built && \
		CGO_ENABLED=1 $(GO) build -buildvcs=false $(RACE) -o $$built/race/ ./cmd/nats-streaming-server ./cmd/eventstore && \
		$(GO) build -buildvcs=false -o $$built/plain/ ./cmd/nats-streaming-server ./cmd/eventstore && \
		CGO_ENABLED=1 $(GO) test -exec 'env CGO_ENABLED=0' $(RACE) -count=1 -p 3 -parallel 4 -timeout $(TIMEOUT) $(PKG)

# docs/operate/dashboard.svg: the panels of the Grafana dashboard, after a minute of load with a takeover.
dashboard-picture: build
	test/prometheus/install
	$(GO) test -count=1 -run '^TestDashboardAndRules$$' ./test/prometheus -args -server $(CURDIR)/bin/nats-streaming-server -picture $(CURDIR)/docs/operate/dashboard.svg

# docs/operate/console: pictures of the console's pages.
console-pictures: build
	test/databases/install
	test/console/install
	$(GO) test -count=1 -run '^(TestPages|TestTasks)$$' ./test/console -args -server $(CURDIR)/bin/nats-streaming-server -pictures $(CURDIR)/docs/operate/console

# What of the server the tests that run it as a program reach, by package, and line by line in bin/cover.txt for
# go tool cover -html. Servers that a test kills do not count. Fewer tests: make cover PKG=./test/relay
COVERED = $(if $(filter ./...,$(PKG)),./test/...,$(PKG))
cover:
	test/databases/install
	test/clients/install
	test/install/install
	test/prometheus/install
	test/console/install
	rm -rf bin/cover && mkdir -p bin/cover
	GOCOVERDIR=$(CURDIR)/bin/cover $(GO) test -count=1 -parallel 4 -timeout $(TIMEOUT) $(COVERED)
	$(GO) tool covdata percent -i bin/cover
	$(GO) tool covdata textfmt -i bin/cover -o bin/cover.txt

# The stores on PostgreSQL 16, 17 and 18: from npm, on Linux and x86-64. Debian's PostgreSQL is that of make test.
test-postgres:
	test/databases/install
	test/databases/postgres-releases $(GO) test -count=1 -timeout $(TIMEOUT) -run 'Postgres|postgres|Encodings|Standby|Publication|MigrationsByHand' ./stores/... ./test/databases

# MySQL, from Debian's unstable suite, on Debian and x86-64: the stores, and the server's set-ups, roles, migrations,
# upgrades, backups, outages and promises. Debian's MariaDB is that of make test.
test-mysql:
	test/databases/install
	test/databases/mysql-release sh -ec '\
		$(GO) test -count=1 -timeout $(TIMEOUT) -run "MySQL|MigrationsByHand|RequiredKeys|Settings|Open|TLS|Statements|Answers|Holder|IndexPaths" ./stores ./stores/sqlconn; \
		$(GO) test -count=1 -timeout $(TIMEOUT) -run "^Test(EachDatabase|ServerLives|Killed)[^/]*/mysql" ./test/databases; \
		$(GO) test -count=1 -timeout $(TIMEOUT) -run "^TestUpgradingGuide$$" ./test; \
		$(GO) test -count=1 -timeout $(TIMEOUT) -run "^Test($(MYSQL_TESTS))[^/]*/mysql" ./test'
MYSQL_TESTS = Wrong(Setups|Servers)|Roles|Verify|Migrate|UpgradeIn|NewerSchema|Backups|Damaged|Erased|Outage|LostLease|Restart|Rolling|LeaseOf|Queries|Guide|FullDiskOf|Mistakes|BinaryLog|OddSettings|Acknowledged|NoGaps|EventsAre|Optimistic|Idempotent|BadInput|Durables|QueueGroups|Limits

# A server whose clock is set forward and back. It builds everything once more, with a standard library of its own.
test-clock:
	test/databases/install
	$(GO) test -count=1 -tags clock -run '^TestClockSteps$$' ./test

# What clients notice of each other, of outages and of restarts, in figures, on every database: of the server in FIGURES too,
# such as make test-figures FIGURES='-server /usr/local/bin/nats-streaming-server'
test-figures:
	test/databases/install
	$(GO) test -v -count=1 -timeout 20m -parallel 3 -run '^Test(Hole|Backlog|MemoryOfAppends|Bystander|FullChannel|Readers|Standbys|ManyUnacked|WritesBeside|Restart)' \
		./test -args -long $(FIGURES)

# The statements of docs/reference/sql.md on a million events of each database, with their plans.
test-sql-million:
	$(GO) test -v -timeout 20m -run 'TestQueries$$' -parallel 1 ./test -args -sql_events 1000000

# gofmt and go vet are among the linters of .golangci.yaml.
lint:
	$(call TOOL,golangci-lint) run --allow-parallel-runners $(MODULES)
	$(call TOOL,buf) lint
	GOWORK=off $(GO) -C tools run ./links ..
	GOWORK=off $(GO) -C tools/deploy test ./sources

generate:
	$(call TOOL,buf) generate
	$(call TOOL,buf) generate --template buf.gen.examples.yaml
	$(call TOOL,buf) build proto/testdata --config '{"version":"v1"}' --exclude-source-info -o proto/testdata/acme.binpb
	GOWORK=off $(GO) -C tools run ./dashboard >deploy/grafana/dashboard.json
	GOWORK=off $(GO) -C tools run ./notices -C .. ./cmd/nats-streaming-server ./cmd/eventstore >THIRD_PARTY_NOTICES.txt
	$(GO) test -count=1 -run '^Test(Reference|CompatibilityPage)$$' ./cmd/nats-streaming-server/settings -update

# deploy/compose.yaml, and the Helm chart for some values, checked by the libraries of Compose, Helm and Kubernetes, and written for the
# tests of test/deploy. The first run builds Helm, which takes minutes; make lint tells when one is due.
deployments:
	GOWORK=off $(GO) -C tools/deploy run . $(CURDIR)

# Fails if a generated file in the repository is not what generate makes.
GENERATED = '*.pb.go' '*.binpb' deploy/grafana/dashboard.json THIRD_PARTY_NOTICES.txt docs/reference/options.md docs/reference/compatibility.md
check-generated: generate
	@changed=$$(git status --porcelain -- $(GENERATED)); \
	if [ -n "$$changed" ]; then git diff -- $(GENERATED); echo "generated code is not current, commit what make generate makes:"; echo "$$changed"; exit 1; fi

# Fails if our code calls something that the Go vulnerability database warns of. Without the database there is nothing to say.
VULNDB = $${GOVULNDB:-https://vuln.go.dev}
vulns:
	@if curl --fail --silent --max-time 10 --output /dev/null "$(VULNDB)/index/db.json"; then \
		$(call TOOL,govulncheck) -db "$(VULNDB)" $(MODULES); \
	else \
		echo "govulncheck skipped: cannot reach $(VULNDB)"; \
	fi

# Our server beside NATS Streaming, JetStream and the databases alone: docs/reference/benchmarks.md. Flags, of which -help tells
# all: make bench BENCH='-only publish,replay -db postgres -peers ours,raw', everything: make bench BENCH=-full
bench:
	$(GO) run ./test/bench $(BENCH)

# Our server beside a table made by hand, Message DB, JetStream and NATS Streaming, with the workloads of a neutral benchmark: docs/reference/neutral.md.
# A look in minutes: make neutral NEUTRAL=-quick. The page anew: make neutral NEUTRAL=-write. Less: make neutral NEUTRAL='-only write-1-256,hot-16 -peers ours-postgres,table'
neutral:
	test/databases/install
	test/clients/install
	$(GO) run ./test/neutral $(NEUTRAL)

# Fails if this build's server has become slower than that of the last release, of which benchstat is sure: by hand, and nightly (.ci/nightly).
# Another commit, and more runs: make bench-check BASE=v1.2.3 RUNS=20
bench-check:
	test/databases/install
	GO='$(GO)' test/neutral/bench-check

# What an operator plans with, docs/operate/sizing.md: place on disk, syncs, processor, memory.
sizing:
	$(GO) run ./test/bench -only sizing $(BENCH)

# CPU, heap, allocation, mutex and block profiles of our server while it publishes and replays, and their first
# functions: make profile BENCH='-db sqlite -only publish'
profile:
	$(GO) run ./test/bench -profile profiles $(BENCH)

# What docs/reference/compatibility.md promises, as tables: the client libraries with every store; databases with settings, poolers and
# mistakes of others; the published order systems through kill -9 of the server; wrong set-ups, each with the line that the server writes.
RESULTS = | $(GO) run ./test/results
show-clients:
	test/databases/install
	test/clients/install
	$(GO) test -json -count=1 -timeout $(TIMEOUT) -p 1 ./test/clients/libraries ./test/stango $(RESULTS)

show-databases:
	test/databases/install
	{ $(GO) test -json -count=1 -timeout $(TIMEOUT) -run '^Test(OddSettings|MistakesOfAdministrators|BinaryLog|Backups|FullDiskOf)' ./test -args -long; \
		$(GO) test -json -count=1 -timeout $(TIMEOUT) -run '^Test(Encodings|Pooler)$$' ./stores; } $(RESULTS)

show-orders:
	test/databases/install
	$(GO) test -json -count=1 -timeout $(TIMEOUT) ./test/ordersystems $(RESULTS)

show-setups:
	test/databases/install
	$(GO) test -json -count=1 -timeout $(TIMEOUT) -run '^TestWrong' ./test ./cmd/nats-streaming-server/settings $(RESULTS)

# A person is erased from a serving system on each database, and looked for behind every door, in files, and in yesterday's backup.
show-personal:
	test/databases/install
	$(GO) test -json -count=1 -timeout $(TIMEOUT) -run '^TestPersonErased$$' ./test/personal -args -overwrite $(RESULTS)

# The server is killed again and again in the transaction that erases 100,000 events.
show-erasure:
	test/databases/install
	$(GO) test -v -count=1 -timeout 1h -parallel 1 -run '^TestEraseKilledWhileReplacing$$' ./test/admin -args -erased_events 100000

# A queue group that is ordered by aggregate: a million deliveries, with members and servers that are killed, on each of two databases.
# Again as it was: make show-consumers CONSUMERS='-deliveries 1000000 -order_seed 7'
CONSUMERS ?= -deliveries 1000000
show-consumers:
	test/databases/install
	$(GO) test -v -count=1 -timeout 2h -parallel 1 -run '^TestOrderByKey$$' ./test -args $(CONSUMERS)
	$(GO) test -v -count=1 -timeout 1h -parallel 1 -run '^TestPoisonFromFirstToReplay$$' ./test/consume -args -poison_events 100000

# examples/bank under 32 clients, while it, the event store and their database are killed with kill -9. Again as it was: make show-bank BANK='-kills 60 -seed 7'
BANK ?= -kills 60 -progress 200
show-bank:
	test/databases/install
	$(GO) test -v -count=1 -timeout 1h -parallel 1 ./test/bank -args $(BANK)

# Servers and their databases fail while clients publish and subscribe, and what the clients saw is checked: docs/reference/reliability.md.
# Longer, and again as it was: make chaos CHAOS='-faults 500 -seed 7 -db postgres'
CHAOS ?= -faults 40
chaos:
	test/databases/install
	CGO_ENABLED=1 $(GO) test -v -count=1 -timeout 0 -run '^TestChaos$$' ./test/chaos -args $(CHAOS)

# Look for input that the server answers wrongly or does not survive, each target for FUZZTIME. What is found is written
# to testdata of the target's package, from where make test runs it.
FUZZTIME ?= 60s
fuzz:
	$(GO) test ./test/fuzz -run '^$$' -fuzz '^FuzzRequests$$' -fuzztime $(FUZZTIME)
	$(GO) test ./test/fuzz -run '^$$' -fuzz '^FuzzSequences$$' -fuzztime $(FUZZTIME)
	$(GO) test ./test/fuzz -run '^$$' -fuzz '^FuzzHTTP$$' -fuzzminimizetime 10x -fuzztime $(FUZZTIME)
	$(GO) test ./proto -run '^$$' -fuzz '^FuzzExtract$$' -fuzztime $(FUZZTIME)
	$(GO) test ./proto -run '^$$' -fuzz '^FuzzMapping$$' -fuzztime $(FUZZTIME)
	$(GO) test ./proto -run '^$$' -fuzz '^FuzzDocument$$' -fuzztime $(FUZZTIME)
	$(GO) test ./proto -run '^$$' -fuzz '^FuzzDocumentTags$$' -fuzztime $(FUZZTIME)
	$(GO) test ./proto -run '^$$' -fuzz '^FuzzCloudEvent$$' -fuzztime $(FUZZTIME)

clean:
	rm -rf bin data profiles
	find . \( -name "*.test" -o -name "*.prof" -o -name "*.out" \) -delete
