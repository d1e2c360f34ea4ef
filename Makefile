GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
TIMEOUT ?= 8m

.DEFAULT_GOAL := build
.PHONY: build test lint generate check-generated bench clean

# One static binary.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/nats-streaming-server ./cmd/nats-streaming-server

# All tests on SQLite, PostgreSQL and MariaDB. Without a database server its
# tests are skipped, with CI=true they fail. Packages: make test PKG=./stores/...
PKG ?= ./...
test:
	test/databases/install
	CGO_ENABLED=1 $(GO) test -race -timeout $(TIMEOUT) $(PKG)

# gofmt and go vet are among the linters of .golangci.yaml.
lint:
	$(TOOL) golangci-lint run
	$(TOOL) buf lint

generate:
	$(TOOL) buf generate

# Fails if the generated code in the repository is not what generate makes.
check-generated: generate
	@changed=$$(git status --porcelain -- '*.pb.go'); \
	if [ -n "$$changed" ]; then git diff -- '*.pb.go'; echo "generated code is not current, commit what make generate makes:"; echo "$$changed"; exit 1; fi

# Our server beside NATS Streaming's and the databases alone. Flags:
# make bench BENCH='-runs 5 -n 50000'
bench:
	$(GO) run ./test/bench $(BENCH)

clean:
	rm -rf bin data
	find . \( -name "*.test" -o -name "*.prof" -o -name "*.out" \) -delete
