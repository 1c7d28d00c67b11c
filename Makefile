# Everything that is done to this repository more than once. `make` prints this list.
GO      ?= go
BIN     ?= bin/intuno
# How long each fuzz target runs, and flags for go test and bench, such as -run or -rounds.
FUZZTIME ?= 10s
TESTFLAGS ?=
BENCHFLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help build run check test lint fmt fuzz bench bench-broker bench-delivery bench-discovery bench-index e2e generate clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/intuno, static and without paths of this machine
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/intuno

run: ## run both services on this machine, data in ./data
	$(GO) run ./cmd/intuno serve

check: lint test fuzz ## everything that CI runs

lint: ## gofmt, go vet and staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted, run 'make fmt':"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fmt: ## format the Go files
	gofmt -w .

test: ## all tests with the race detector, on SQLite and PostgreSQL
	$(GO) test -race -timeout 20m $(TESTFLAGS) ./...

e2e: ## only the tests that drive the real binary
	$(GO) test -race -timeout 20m -count=1 $(TESTFLAGS) ./e2e/...

fuzz: ## every fuzz target for FUZZTIME (default 10s)
	@set -e; \
	grep -rE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' . \
		| sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*)\(.*|\1 \2|' | sort \
		| while read -r dir name; do \
			echo "$$dir $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$dir" </dev/null; \
		done

bench: ## measure requests and latency, printed as ratios
	$(GO) run ./bench $(BENCHFLAGS)

bench-discovery: ## measure how well discovery finds: DATA=folder with agents.jsonl and queries.jsonl
	$(GO) run ./bench/discovery -data "$(DATA)" $(BENCHFLAGS)

bench-broker: ## measure what an invocation through the broker costs, on SQLite and PostgreSQL
	$(GO) run ./bench/broker $(BENCHFLAGS)

bench-delivery: ## measure how many network messages are accepted and delivered, and how fast (takes minutes)
	$(GO) run ./bench/delivery $(BENCHFLAGS)

bench-index: ## measure the search index with 10k, 100k and 1M agents (takes minutes and 6 GB)
	$(GO) run ./bench/index $(BENCHFLAGS)

generate: ## generate the query packages (needs sqlc, or builds it)
	./tools/generate.sh

clean: ## remove what was built
	rm -rf bin
