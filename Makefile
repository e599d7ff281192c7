# Everything is built with the one optimised profile, so that dependencies are compiled once.
CARGO ?= cargo
SHELL := /bin/sh
RELEASE = $(or $(CARGO_TARGET_DIR),target)/release
export PATH := $(PATH):$(HOME)/.cargo/bin
export CARGO_NET_RETRY ?= 5

.PHONY: help demo test bench lint fmt dist deps

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-6s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# A test is built along, for only then do the dependencies have the features that `make test` gives them, and serve both.
demo: deps ## run the flight-delays job end to end
	$(CARGO) build --release --locked --workspace --bin millstream --test tidy
	$(RELEASE)/millstream demo

test: deps ## build and run every test, doc tests included
	@.ci/install-deps tests
	MILLSTREAM_TEST_PLANTED=1 $(CARGO) test --release --locked --workspace

bench: deps ## run all benchmarks
	$(CARGO) bench --locked --workspace --benches

lint: deps ## clippy with warnings as errors, and the formatting
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	$(CARGO) fmt --all --check

fmt: ## format the code
	$(CARGO) fmt --all

dist: deps ## build the binary that is shipped (slow: link-time optimisation)
	$(CARGO) build --profile dist --locked --package millstream

deps: ## install what the build needs and the machine lacks
	@.ci/install-deps
