# make help lists the targets.
GO        ?= go
BIN       := bin/mergebot
TOOLS     := $(CURDIR)/.tools
ENGINE    ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mergebot/engine
DEMO_OUT  ?= demo
PEERS     ?= $(CURDIR)/.venv-peers-light
HEAVY     ?= $(CURDIR)/.venv-peers
GITHUB    ?= $(CURDIR)/.github-emulator

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEPGUARD    := github.com/OpenPeeDeeP/depguard/v2/cmd/depguard@v2.3.0
ACTIONLINT  := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

export CGO_ENABLED ?= 0

.PHONY: build demo demo-full engine peers-light github-emulator s3-server test test-race test-peers lint bench bench-kernels bench-engines memory generate ptx gpu-check clean help

build: ## build bin/mergebot
	$(GO) build -trimpath -o $(BIN) ./cmd/mergebot

demo: build engine ## merge the tiny family end to end, offline, and print the tables
	$(BIN) demo --out $(DEMO_OUT)

demo-full: build engine ## the same with every row scored, densities 0.2 and 0.1
	$(BIN) demo --full --out $(DEMO_OUT)

engine: build ## install the embedded inference library
	$(BIN) engine install

peers-light: ## the Hub's own Python and npm clients, for the tests
	hub/peertest/setup.sh $(PEERS)

github-emulator: ## a GitHub for the tests, by npm
	bot/github/githubtest/setup.sh $(GITHUB)

s3-server: ## an S3 server for the tests, by go install
	hub/bucket/buckettest/setup.sh $(TOOLS)

test: lint engine peers-light github-emulator s3-server test-race ## lint, then every test, with the light peers
	MERGEBOT_REQUIRE_CHROMIUM=$$(eval/report/setup-chromium.sh && echo 1) \
	MERGEBOT_REQUIRE_GITHUB=1 MERGEBOT_GITHUB_EMULATOR=$(GITHUB) \
	MERGEBOT_REQUIRE_S3=1 MERGEBOT_VERSITYGW=$(TOOLS)/versitygw \
	MERGEBOT_REQUIRE_CC=1 MERGEBOT_REQUIRE_ENGINE=1 MERGEBOT_PEERS=$(PEERS) MERGEBOT_PYTHON=$(PEERS)/venv/bin/python $(GO) test -timeout 20m ./... ./testdata/family ./testdata/familyhub

test-race: ## the packages that run goroutines, under the race detector
	CGO_ENABLED=1 $(GO) test -race -short -timeout 15m ./bot/... ./hub ./hub/embedded ./merge/... ./eval/engine ./eval/engine/server ./eval/engine/vllm

test-peers: build engine ## the heavy peers: transformers and torch (gigabytes); not part of make test
	eval/peertest/setup.sh $(HEAVY)
	MERGEBOT_REQUIRE_ENGINE=1 MERGEBOT_PEERS_HEAVY=$(HEAVY) $(GO) test -count=1 -timeout 60m ./eval/peertest/...

lint: $(TOOLS)/staticcheck $(TOOLS)/depguard $(TOOLS)/actionlint ## gofmt, vet, staticcheck, the import rule, the workflows
	@out="$$(gofmt -l $$(git ls-files '*.go'))"; if [ -n "$$out" ]; then echo "gofmt: run gofmt -w on:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(TOOLS)/staticcheck ./...
	DEPGUARD_CONF=.depguard.json $(TOOLS)/depguard ./...
	$(TOOLS)/actionlint

$(TOOLS)/staticcheck:
	GOBIN=$(TOOLS) $(GO) install $(STATICCHECK)
$(TOOLS)/depguard:
	GOBIN=$(TOOLS) $(GO) install $(DEPGUARD)
$(TOOLS)/actionlint:
	GOBIN=$(TOOLS) $(GO) install $(ACTIONLINT)

bench: build ## against mergekit and plain copies, with the kernels; writes docs/performance.md (14 GB of disk; BENCH="-rounds 5 -recipes ties")
	eval/peertest/setup.sh $(HEAVY)
	$(GO) run ./merge/bench -mergebot $(BIN) -mergekit $(HEAVY)/venv/bin -kernels 300ms -doc docs/performance.md $(BENCH)

bench-kernels: ## kernels against memcpy, in one run
	$(GO) test -run '^$$' -bench . -benchtime 1s ./merge/kernel/...

bench-engines: engine ## requests a second against wrk, batched decoding against one text at a time
	$(GO) test -run '^$$' -bench 'Throughput|Batched' -benchtime 3x -timeout 60m ./eval/engine ./eval/engine/server

memory: build ## peak memory of merging 3 and 8 experts of 7 B; writes docs/performance.md (30 GB of disk)
	$(GO) run ./merge/bench -memory -dir out/memory -mergebot $(BIN) -doc docs/performance.md $(MEMORY)
	rm -rf out/memory

generate: ## the recipe schema and the tables of the docs
	$(GO) generate ./...

ptx: ## the GPU's kernels, by clang-19 (no CUDA toolkit): the same bytes on every machine
	merge/kernel/cuda/kernels/compile.sh mergebot.ptx

bin/gpu-check:
	$(GO) test -c -trimpath -o bin/gpu-check ./merge/kernel/cuda

.PHONY: bin/gpu-check
gpu-check: bin/gpu-check ## on a machine with an NVIDIA GPU: the kernels against the reference, and their speed
	bin/gpu-check -gpu -test.run '^TestGPU$$' -test.v -test.timeout 8m

clean: ## remove what make made here
	rm -rf bin $(DEMO_OUT) $(TOOLS)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14
