.DEFAULT_GOAL := help
.PHONY: help demo test race lint fmt fuzz bench cover cross oracle ci

GOFUMPT := $(shell sed -n 's/^GOFUMPT=//p' .ci/run)

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## start the reference server with an endpoint of its own, on 127.0.0.1:8080
	go run ./examples/llmcron -demo

test: ## all tests of all modules
	go test work

race: ## all tests under the race detector
	go test -race work

lint: ## format, vet, staticcheck, arrows, wall clock, what the core pulls in
	bash .ci/run format vet staticcheck rules core

fmt: ## format all Go code
	go run $(GOFUMPT) -l -w .

fuzz: ## each fuzz target for FUZZ_TIME (10s)
	bash .ci/run fuzz

bench: ## benchmarks of the core
	go test -run '^$$' -bench . -benchmem .

cover: ## coverage of the library by all tests, in cover.html
	go test -coverprofile cover.out -coverpkg "$$(go list work | grep -Ev "/(examples|bench)" | paste -sd, -)" work
	go tool cover -func cover.out | tail -n 1
	go tool cover -html cover.out -o cover.html

cross: ## build the library for every platform that is checked
	bash .ci/run cross

oracle: ## calendar arithmetic against the brute-force oracle in every zone of the tz database (long)
	PUNCTUAL_ORACLE=full go test ./internal/cronexpr -run Oracle -timeout 0

ci: ## everything that a change has to pass
	bash .ci/run
