# Countersign: what there is to do with the source. "make" alone tells.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Of "make run" and "make bench": arguments, such as ARGS="--speed 10".
ARGS ?=
# Of "make test": RACE= leaves the race detector out. It does not look inside SQLite,
# which keeps its data in memory of its own that the detector knows nothing of, and
# asking it at each access takes five times as long.
RACE ?= -race $(addprefix -gcflags=modernc.org/,$(addsuffix =-race=0,sqlite/lib libc memory))
# Of "make fuzz": how long each target is fed.
FUZZTIME ?= 1m
# Of "make torture": how many worlds are simulated, how many processes killed.
SEEDS ?= 100000
KILLS ?= 1000

# Of "make mutate": the package, and the number of mutants.
PACKAGE ?= ./internal/verify
SAMPLE  ?= 50

# Of "make profile": how many verifications are started and checked.
LIVES ?= 20000

LINT_VERSION := v2.15.0
LINT         := bin/golangci-lint-$(LINT_VERSION)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build and start the demo: a server, an account, a phone (ARGS=)
	@exec bin/countersign demo $(ARGS)

.PHONY: build
build: ## build bin/countersign
	go build -o bin/countersign ./cmd/countersign

.PHONY: test
test: setup ## install what tests need, and run every test
	go test $(RACE) -shuffle=on ./bench/... ./cmd/... ./internal/...
	COUNTERSIGN_SEEDS=2000 go test -v -run '^TestSimulation$$' ./internal/simulation
	COUNTERSIGN_TEST_DATABASE=postgres go test -shuffle=on ./internal/engine ./internal/apiv1 ./internal/console
	COUNTERSIGN_E2E=1 go test -shuffle=on -timeout 20m -skip '^TestVoice|^TestNodes$$' ./e2e/...
	COUNTERSIGN_E2E=1 go test -timeout 20m -run '^TestNodes$$' ./e2e # three nodes and a database need the machine to themselves
	COUNTERSIGN_E2E=1 go test -shuffle=on -timeout 20m -run '^TestVoice' -parallel 8 ./e2e/... # calls mostly wait

.PHONY: check
check: setup format vet current tidy ## all that must hold before a change goes in
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint seeds # each keeps one core waiting at times
	@$(MAKE) --no-print-directory test

.PHONY: generate
generate: ## make generated files again: pages, voice clips, the page of texts
	go generate ./...
	go run ./cmd/countersign message preview --all >docs/reference/locale-texts.md

.PHONY: lint
lint: $(LINT) ## look for mistakes with golangci-lint
	$(LINT) run ./...

.PHONY: fuzz
fuzz: ## feed each fuzz target for a minute (FUZZTIME=)
	@grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd internal | sort \
	| sed 's|^\(.*\)/[^/]*:func |./\1 |' \
	| while read -r package target; do \
		echo "$$target in $$package for $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	done

.PHONY: torture
torture: setup ## simulate, kill servers, nodes and databases, and count what is lost (SEEDS=, KILLS=)
	COUNTERSIGN_SEEDS=$(SEEDS) go test -v -timeout 24h -run '^TestSimulation$$' ./internal/simulation
	COUNTERSIGN_E2E=1 COUNTERSIGN_KILLS=$(KILLS) go test -v -timeout 24h -run '^TestCrash$$' ./e2e
	COUNTERSIGN_E2E=1 COUNTERSIGN_TROUBLES=$(KILLS) go test -v -timeout 24h -run '^TestNodes$$' ./e2e

.PHONY: bench
bench: setup ## how fast a server is, next to the limits of the machine (ARGS=)
	go run ./bench/speed $(ARGS)

.PHONY: bench-micro
bench-micro: ## run the benchmarks of the parts
	go test -run '^$$' -bench . -benchmem ./cmd/... ./internal/...

.PHONY: bench-carriers
bench-carriers: setup ## run those of carriers, and print tables
	@mkdir -p bin
	go test -run '^$$' -bench Submit -count 3 ./bench | tee bin/bench.txt
	go test -run '^$$' -bench Calls -benchtime 1x -timeout 20m ./bench | tee -a bin/bench.txt
	go test -run '^$$' -bench Setup -benchtime 5000x ./bench | tee -a bin/bench.txt
	go test -run '^$$' -bench Postgres -benchtime 1x ./bench | tee -a bin/bench.txt
	@go run ./bench/table <bin/bench.txt

.PHONY: profile
profile: ## write profiles of starts and checks through HTTP to bin/profile, and print their heads
	@mkdir -p bin/profile
	@for database in sqlite postgres; do \
		COUNTERSIGN_TEST_DATABASE=$$database go test -run '^$$' -bench '^BenchmarkLife$$' -benchtime $(LIVES)x \
			-o bin/profile/server.test -outputdir bin/profile -cpuprofile $$database.cpu -memprofile $$database.mem ./internal/server; \
		go tool pprof -top -nodecount 25 bin/profile/server.test bin/profile/$$database.cpu 2>/dev/null; \
		go tool pprof -top -nodecount 25 -sample_index alloc_space bin/profile/server.test bin/profile/$$database.mem 2>/dev/null; \
	done
	@echo 'Look closer: go tool pprof -http localhost: bin/profile/server.test bin/profile/sqlite.cpu'

.PHONY: timing
timing: ## see whether the time of an answer tells a wrong key from a wrong secret, or digit from digit
	go test -run '^$$' -bench Login -benchtime 100000x ./internal/apiv1
	go test -run '^$$' -bench PINTiming -benchtime 100000x ./internal/verify

.PHONY: attack
attack: ## play attacks against a server, its guard off and on, and print what got through
	go run ./bench/attack

.PHONY: mutate
mutate: ## change a package in SAMPLE places, one at a time, and print those that no test notices (PACKAGE=, SAMPLE=, ARGS=)
	go run ./bench/mutate -sample $(SAMPLE) $(ARGS) $(PACKAGE)

.PHONY: simulate
simulate: ## work out latency and backlog at 1 to 1,000 times the load, and when a cell is lost (ARGS=)
	@go run ./bench/simulate $(ARGS)

.PHONY: soak
soak: ## ten million messages over SMPP, ten thousand calls: see that nothing grows
	COUNTERSIGN_CALLS=10000 go test -v -count 1 -run '^TestManyCalls$$' ./internal/deliver/sip
	@mkdir -p bin
	go test -run '^$$' -bench Soak/receipts=off -benchtime 10000000x -timeout 1h ./bench | tee bin/soak.txt
	go test -run '^$$' -bench Soak/receipts=on -benchtime 1000000x -timeout 1h ./bench | tee -a bin/soak.txt
	@go run ./bench/table <bin/soak.txt

.PHONY: clean
clean: ## remove what was built and installed here
	rm -rf bin e2e/node_modules

# What the targets above are made of.

.PHONY: setup
setup:
	@e2e/setup

.PHONY: format
format:
	@unformatted=$$(gofmt -l bench cmd e2e/*.go internal); \
	if [[ $$unformatted ]]; then echo "Not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet:
	go vet ./...

.PHONY: tidy
tidy:
	go mod tidy -diff

# Generated files are current when generating them again changes nothing. The
# work tree is compared with itself, in an index of its own, so that changes not
# yet committed do not count.
.PHONY: current
current:
	@index=$$(mktemp -d); trap 'rm -rf "$$index"' EXIT; \
	snapshot() { GIT_INDEX_FILE=$$index/index git add --all; GIT_INDEX_FILE=$$index/index git write-tree; }; \
	before=$$(snapshot); $(MAKE) --no-print-directory generate; after=$$(snapshot); \
	if [[ $$before != "$$after" ]]; then \
		echo "These generated files were not current; they are now:"; \
		git --no-pager diff --stat "$$before" "$$after"; exit 1; \
	fi

.PHONY: seeds
seeds:
	@$(MAKE) --no-print-directory fuzz FUZZTIME=1000x # a time would cut the last run off on a busy machine, and call that a failure

$(LINT):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv bin/golangci-lint $@
