# Two commands do everything: `make run` shows it working, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build setup tools images test lint bench soak image clean-docker

SOURCE ?= example-repo
ARGS ?=
# What the tests start pods from; made locally, never pulled.
TEST_IMAGES := reconcile-test/busybox:1 reconcile-test/busybox:2

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 16

run: ## Install what building needs, build, and run example-repo (SOURCE=dir and ARGS="--flags" change what)
	@scripts/docker-answers
	@$(MAKE) --no-print-directory build
	@scripts/images $(SOURCE)
	@exec "$$(scripts/binary release)" $(SOURCE) $(ARGS)

build: setup ## The release binary
	cargo build --release --locked

setup: ## Only install what building needs
	@scripts/setup

tools: ## Unpack etcd, kubectl 1.20, a registry, busybox, sshd and lighttpd into .tools (nothing is installed)
	@scripts/tools

images: tools ## Make the images that the tests start pods from
	@scripts/images --local $(TEST_IMAGES)

test: images ## Every test, the reconciler's also against an API server of its own process (ARGS="filter" for some of them)
	@scripts/setup --tests
	@scripts/test $(ARGS)
	@[ -n "$(ARGS)" ] || RECONCILE_TEST_APISERVER=process RECONCILE_PLAN_PAIRS=200 scripts/test gitops::

lint: setup ## Formatting and clippy, warnings as errors
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

bench: setup images ## Benchmarks beside a peer or floor in the same run, as a table; then `make soak`, unless ARGS choose some
	cargo bench --locked --bench pipeline -- $(ARGS)
	@[ -n "$(ARGS)" ] || $(MAKE) --no-print-directory soak

soak: images ## 10,000 random pairs of a repository and a cluster on each store, and 1,000 kills (about half an hour)
	RECONCILE_PLAN_FIRST=$$(od -An -N6 -tu8 /dev/urandom | tr -d ' ') RECONCILE_PLAN_PAIRS=10000 \
	  RECONCILE_TEST_LIMIT=90m scripts/test --profile soak --release plan_outcome
	# Only debug builds have points to be killed at.
	RECONCILE_KILLS=1000 RECONCILE_TEST_LIMIT=90m scripts/test --profile soak kills

image: build ## The container image, as reconcile:latest
	@scripts/container-image reconcile:latest "$$(scripts/binary release)"

clean-docker: ## Remove what tests that were killed left in Docker, and nothing else
	@scripts/clean-docker
