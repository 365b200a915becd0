# Two commands: `make demo` and `make test`. A target installs the Debian packages that it needs and
# says which.

SHELL := /bin/bash
CARGO ?= cargo
BUILD_PACKAGES := clang llvm libclang-dev libelf-dev libpcap-dev zlib1g-dev pkg-config m4 make gcc
RUN_PACKAGES := iproute2
TEST_PACKAGES := iputils-ping tshark systemd python3-venv

.PHONY: demo test bench lint clean build-packages run-packages test-packages

## The main job on this machine: namespaces, exchange, gateway, replay, table. FEED=FILE replays yours.
demo: build-packages run-packages
	$(CARGO) build --release
	target/release/tickgate-bench demo $(if $(FEED),--feed $(FEED)) $(DEMO_ARGS)

## Format, clippy, docs and every test. Needs root for network namespaces; says what it skips without.
test: build-packages run-packages test-packages
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --profile checked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --profile checked
	$(CARGO) build --workspace --profile checked
	$(CARGO) test --workspace --profile checked -- --test-threads=1

## Micro-benchmarks, then latency of the whole way for both receivers.
bench: build-packages run-packages
	$(CARGO) build --release
	$(CARGO) bench --bench ring
	target/release/tickgate-bench latency $(BENCH_ARGS)

## What takes long to install: dependencies' licences and advisories.
lint: build-packages
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --profile checked -- -D warnings
	command -v cargo-deny >/dev/null || { echo "installing cargo-deny from crates.io"; $(CARGO) install --locked cargo-deny; }
	$(CARGO) deny check

clean:
	$(CARGO) clean

build-packages:
	@deploy/packages $(BUILD_PACKAGES)
run-packages:
	@deploy/packages $(RUN_PACKAGES)
test-packages:
	@deploy/packages $(TEST_PACKAGES)
