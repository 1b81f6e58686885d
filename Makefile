.DEFAULT_GOAL := help
.PHONY: help demo screenshots image test race lint fmt fuzz bench cover cross oracle sim model harness faults races ci

GOFUMPT := $(shell sed -n 's/^GOFUMPT=//p' .ci/run)

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## start the reference server with an endpoint of its own, on 127.0.0.1:8080
	go run ./examples/llmcron -demo

screenshots: ## make the pictures of the dashboard anew; needs Chromium
	mkdir -p docs/images
	cd web/browsertest && PUNCTUAL_PICTURES=$(CURDIR)/docs/images PUNCTUAL_REQUIRE_SERVICES=1 go test -count=1 -run Pictures .

image: ## build the reference server as its Dockerfile does, run it in an empty root, check its systemd unit; needs root
	cd examples/llmcron && PUNCTUAL_IMAGE=1 go test -count=1 -run TheImageRuns -v .

test: ## all tests of all modules
	go test work

race: ## all tests under the race detector
	go test -race work

lint: ## format, vet, staticcheck, arrows, wall clock, what the core pulls in
	bash .ci/run format vet staticcheck rules core

fmt: ## format all Go code
	go run $(GOFUMPT) -l -w .

fuzz: ## each fuzz target for FUZZ_TIME (20000x, or a duration)
	bash .ci/run fuzz

bench: ## benchmarks of the core
	go test -run '^$$' -bench . -benchmem .

cover: ## coverage of the library by all tests, in cover.html
	go test -coverprofile cover.out -coverpkg "$$(go list work | grep -Ev "/(examples|bench)" | paste -sd, -)" work
	go tool cover -func cover.out | tail -n 1
	go tool cover -html cover.out -o cover.html

cross: ## check the library for every platform that it is for
	bash .ci/run cross

oracle: ## calendar arithmetic against the brute-force oracle in every zone of the tz database (long)
	PUNCTUAL_ORACLE=full go test ./internal/cronexpr -run Oracle -timeout 0

model: ## let engine and model do the same CHECKS (10000) random sequences
	cd internal/model && go test -count=1 . -rapid.seed=$(or $(SEED),0) -rapid.checks=$(or $(CHECKS),10000)

harness: ## run the tests of punctualtest REPEATS (10000) times under the race detector, none of which may fail (long)
	go test -race -short -count=$(or $(REPEATS),10000) -timeout 0 ./punctualtest

sim: ## check the promises in SEEDS (10000) simulated clusters, from seed SEED (1) on, and on SQLite in a hundredth of them (long)
	go test ./internal/sim -run Chaos -seeds $(or $(SEEDS),10000) -sqlite-share 100 -seed $(or $(SEED),1) -timeout 0

faults: ## kill, stop and cut off real instances over real servers, KILLS (40) times in each setting (long)
	cd internal/faults && PUNCTUAL_REQUIRE_SERVICES=1 go test -count=1 -v -timeout 30m -parallel 3 . -args -long -lease 1500ms -kills $(or $(KILLS),40)

races: ## let edits, results, beats and reclaims of the durable stores meet ROUNDS (10000) times each (long)
	for store in sqlite postgres mysql; do (cd store/$$store && PUNCTUAL_REQUIRE_SERVICES=1 go test -count=1 -v -timeout 0 . \
		-run 'Contract$$/race/(against|one_outcome)' -args -rounds $(or $(ROUNDS),10000)) || exit; done

ci: ## everything that a change has to pass
	bash .ci/run
