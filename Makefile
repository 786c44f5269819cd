# Thin on purpose: each target is one line to cargo or to a binary; `appliance` and `bench` do the work.
#
# Variables of `make up`: DRIVERS=1..16, MERGERS=0..16, BROKER=host:port|embedded|redpanda|kafka, TESTSERVER_PORT, ORCHESTRATOR_PORT.
# They reach the binaries through the environment, on either side: `DRIVERS=4 make up`, `make up DRIVERS=4`.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/release
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)
# Tests of `it` in which the broker has no part.
NO_BROKER := --skip capacity --skip deployment --skip frozen_target --skip images --skip outsiders --skip readme --skip refusals
# Of the build that `check` and `test` are about: FEATURES=kafka-tls has TLS and SASL to the broker.
FEATURES ?=
# What `make up` starts; a Kafka of its own is the bench's to run.
PACKAGES := driver-core orchestrator proto testserver $(if $(filter kafka,$(BROKER)),bench)

# A shell command that ends the target with one line unless all of these programs are there.
need = for program in $(1); do command -v $$program >/dev/null || \
	{ echo "make $@: there is no $$program; $(2)" >&2; exit 1; }; done

.PHONY: help build release images install dist deb test soak outsiders test-kafka deny check fmt up down status logs nodes bench bench-tools bench-compare screenshots clean-data

help: ## What there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 16

build: ## All binaries, in target/release
	$(CARGO) build --release --locked --workspace --bins

release: ## The same with TLS and SASL to the broker (builds OpenSSL: needs perl)
	@$(call need,perl,building OpenSSL needs perl (apt install perl))
	$(CARGO) build --release --locked --workspace --bins --features kafka-tls

images: release ## Images of driver, orchestrator, merger and test server, by docker, podman or buildah
	.deploy/images/build $(BIN) $(TARGET)/images $(VERSION)

install: ## What was built, as PREFIX/bin/dlts-*, with units and settings (PREFIX=/usr/local DESTDIR=)
	@.deploy/hosts/install $(BIN) $(or $(PREFIX),/usr/local) $(DESTDIR)

dist: release ## A tarball of that with its checksum, in target/dist
	@.deploy/hosts/dist $(BIN) $(TARGET)/dist $(VERSION)

deb: release ## A Debian package of that, in target/dist (needs cargo-deb)
	@$(call need,cargo-deb,cargo install cargo-deb)
	$(CARGO) deb --no-build --strip --package orchestrator --output $(TARGET)/dist/

test: ## All tests
	$(CARGO) build --locked --workspace --bins --features "$(FEATURES)"
	$(CARGO) test --locked --workspace --features "$(FEATURES)"

soak: ## The fault tests, searches and sets TRIES times over (20), each time at other instants
	$(CARGO) build --locked --workspace --bins
	for try in $$(seq $(or $(TRIES),20)); do $(CARGO) test --locked --package bench --test it -- faults disk repeats searches || exit 1; done

outsiders: ## Install the foreign readers that some tests ask (Python; without them those are skipped)
	[ -x $(TARGET)/outsiders/bin/pip ] || python3 -m venv --clear $(TARGET)/outsiders
	$(TARGET)/outsiders/bin/pip install --quiet --requirement bench/tests/it/outsiders/requirements.txt
	$(TARGET)/outsiders/bin/pip install --quiet --no-deps --requirement bench/tests/it/outsiders/scripts.txt

test-kafka: ## The whole-system tests, and those of security and faults, on a real Apache Kafka
	@$(call need,mvn java,fetching and running Kafka needs Maven and Java 17 (apt install maven))
	@$(call need,perl openssl,the build with TLS needs perl and the tests make certificates (apt install perl openssl))
	$(CARGO) build --locked --workspace --bins --features kafka-tls
	$(TARGET)/debug/bench kafka --folder $(TARGET)/kafka fetch
	$(CARGO) test --locked --package bench --features kafka --test kafka
	$(TARGET)/debug/bench kafka --folder $(TARGET)/kafka with -- \
		$(CARGO) test --locked --package bench --features kafka --test it --test hosts -- $(NO_BROKER)

# Advisories need a database that is fetched: `make deny DENY=advisories`.
DENY ?= licenses bans sources

deny: ## Licences, bans and sources of what dlts is built from (where cargo-deny is installed)
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --locked check $(DENY); \
	else echo "make $@: $(DENY) are not checked: there is no cargo-deny; cargo install cargo-deny" >&2; fi

check: deny ## Formatting, lints, links in the docs, and the rules of the code base
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --features "$(FEATURES)" -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --features "$(FEATURES)"
	$(CARGO) test --locked --package bench --test tidy

fmt: ## Format the code
	$(CARGO) fmt --all

up: ## Start broker, test server, orchestrator and drivers
	$(CARGO) build --release --locked $(PACKAGES:%=--package %) --bins
	@$(BIN)/appliance up

down: ## End what `make up` started
	@[ -x $(BIN)/appliance ] || [ ! -e run/appliance.json ] || $(CARGO) build --release --locked --bin appliance
	@if [ -x $(BIN)/appliance ]; then $(BIN)/appliance down; else echo "dlts is not up; nothing to end"; fi

status: ## Which processes run, and where
	@$(BIN)/appliance status

logs: ## Follow all logs, one prefix each
	@$(BIN)/appliance logs

nodes: ## Watch the drivers' heartbeats
	@$(if $(ORCHESTRATOR_PORT),ORCHESTRATOR=$(or $(ORCHESTRATOR),127.0.0.1:$(ORCHESTRATOR_PORT))) $(BIN)/client nodes

bench: build ## Compare throughput with other load generators
	@$(BIN)/bench $(ARGS)

bench-tools: build ## Which of them are installed; ARGS=--install installs what registries have
	@$(BIN)/bench tools $(ARGS)

bench-compare: build ## What changed between two results: make bench-compare BASE=a.json NEW=b.json
	@$(BIN)/bench compare $(BASE) $(NEW)

screenshots: ## Take the dashboard's pictures anew (needs chromium and its driver)
	$(CARGO) build --locked --workspace --bins
	SCREENSHOTS=1 $(CARGO) test --locked --package orchestrator --test browser screenshots -- --nocapture

clean-data: down ## Remove run/, logs/ and data/
	rm -rf run logs data
