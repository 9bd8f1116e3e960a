# Hubbub: build, run, test, measure. `make help` lists the targets.
#
# Everything is built in one profile (release), so that running, testing and measuring share one build of gRPC's
# C core, which takes about ten minutes the first time.

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BUILD := cargo build --release --locked
BENCH_CRATES := benches/load benches/peers/tonic
# Python's gRPC, its Connect, and Prometheus's parser, for the tests with independent clients, and the packages of the example for
# web apps.
PYTHON := $(TARGET_DIR)/python/bin/python
GRPCIO_TOOLS := 1.80.0
PYTHON_CONNECT := 0.13.0
PYTHON_PROMETHEUS := 0.26.0
WEB_LOGIN := examples/web-login/requirements.txt
# Node's gRPC and Connect, and an EventSource, for the same. The tests look for them next to Python's.
NODE_GRPC := $(TARGET_DIR)/node/node_modules/@grpc/grpc-js/package.json
NODE_GRPC_VERSION := 1.14.7
NODE_CONNECT := 2.1.2
NODE_PACKAGES := @grpc/grpc-js@$(NODE_GRPC_VERSION) @connectrpc/connect@$(NODE_CONNECT) @connectrpc/connect-node@$(NODE_CONNECT) \
	@connectrpc/connect-web@$(NODE_CONNECT) @bufbuild/protobuf@2.12.1 eventsource@4.1.0
# The browser's driver and the checks of the page's tests, as their lock file names them.
PAGE_TOOLS := web/tests/node_modules/.package-lock.json
PAGE_ENV := HUBBUB_SERVER=$(abspath $(TARGET_DIR))/release/hubbub-server HUBBUB_CLIENT=$(abspath $(TARGET_DIR))/release/hubbub

# Debian packages are made by cargo-deb.
CARGO_DEB := $(TARGET_DIR)/tools/bin/cargo-deb
CARGO_DEB_VERSION := 3.8.0
DEBS := $(TARGET_DIR)/debian

# Names the commit in --version. Only the programs' mains look at it, so a new commit builds no more than them again.
ifndef HUBBUB_COMMIT
HUBBUB_COMMIT := $(shell [ ! -e .git ] || { commit=$$(git rev-parse HEAD) && echo "$$commit$$(git diff --quiet HEAD || echo +changes)"; } 2>/dev/null)
endif
export HUBBUB_COMMIT

# The tests that are repeated without the feature core-patches: only speed and rare faults may depend on it.
WITHOUT_PATCHES := chat:: drain:: fanout:: leaving:: model:: rooms:: unary::

.DEFAULT_GOAL := help
.PHONY: help run-server run-client run-repeat build test hostile sanitize soak tui-soak fuzz crash-test changes-test backup-test thin-volume-test ping-test check bench bench-chart micro search-bench \
	page-test pictures install uninstall deb package-test service-test deps go-deps proxy-deps metrics-deps

help: ## show this
	@echo "make TARGET [ARGS=\"flags for the program\"]"
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-16s %s\n' "$$name" "$$text"; done

run-server: deps ## build and run the server (ARGS="--help" lists its options)
	@$(BUILD) --bin hubbub-server
	@exec $(TARGET_DIR)/release/hubbub-server $(ARGS)

run-client: deps ## build and run the terminal client
	@$(BUILD) --bin hubbub
	@exec $(TARGET_DIR)/release/hubbub $(ARGS)

run-repeat: deps ## build and run the client that loads and verifies a server
	@$(BUILD) --bin hubbub-repeat
	@exec $(TARGET_DIR)/release/hubbub-repeat $(ARGS)

build: deps ## build all three programs
	$(BUILD)

test: deps $(PYTHON) $(NODE_GRPC) go-deps proxy-deps metrics-deps ## run the tests (ARGS="name" runs those with that in their names)
	HUBBUB_TEST_PYTHON=$(abspath $(PYTHON)) cargo test --release --locked $(ARGS)

backup-test: deps ## back up, verify and restore a busy server 20 times, and 300 MB (ROUNDS=n for another number)
	HUBBUB_BACKUP_ROUNDS=$(or $(ROUNDS),20) HUBBUB_BACKUP_MB=300 \
		cargo test --release --locked --test it -- --nocapture backup:: restore::

ping-test: deps $(PYTHON) $(NODE_GRPC) ## ping every 10 s in a silent room, from Python and Node
	HUBBUB_PINGS_LONG=1 HUBBUB_TEST_PYTHON=$(abspath $(PYTHON)) \
		cargo test --release --locked --test it -- --nocapture pings::

thin-volume-test: deps ## fill the thin volume below a server, as root (ROUNDS=n for another number than 7)
	@tools/install-deps volume
	HUBBUB_THIN_ROUNDS=$(or $(ROUNDS),7) cargo test --release --locked --test thin-volume -- --nocapture --test-threads 1

hostile: deps ## attack a server for 10 s in each known way, and show the cost (SECONDS=n for another time)
	@rm -f $(TARGET_DIR)/tmp/hostile.md
	HUBBUB_ATTACK_SECONDS=$(or $(SECONDS),10) HUBBUB_HOSTILE_CONNECTIONS=20000 \
		cargo test --release --locked --test it -- --nocapture --test-threads 1 attacks:: hostile::
	@echo "| attack | pair p50 / p99, ms | RSS before / at most / 30 s later, MB | threads before / at most |" \
		"descriptors | newcomers served (p99), refused |"
	@echo "| --- | --- | --- | --- | --- | --- |"
	@cat $(TARGET_DIR)/tmp/hostile.md

sanitize: deps ## attack a server whose C and C++ parts check each memory access (builds the C core again)
	tools/test-sanitized

soak: deps ## 30 minutes of mixed attacks with clients that behave beside them (SECONDS=n for another time)
	HUBBUB_SOAK_SECONDS=$(or $(SECONDS),1800) cargo test --release --locked --test it -- --nocapture attacks::soak::

tui-soak: deps ## 10 minutes of the full-screen client against a server that is killed (SECONDS=n for another time)
	HUBBUB_TEST_SECONDS=$(or $(SECONDS),600) cargo test --release --locked --test it -- --nocapture tui::soak::

fuzz: deps ## run each decoder on 1,000,000 inputs, guided by the code that they reach (INPUTS=n for another number)
	fuzz/run $(or $(INPUTS),1000000)

crash-test: deps ## kill a server 1,000 times under load (KILLS=n for another number)
	HUBBUB_CRASH_KILLS=$(or $(KILLS),1000) cargo test --release --locked --test it -- --nocapture crash::

changes-test: deps ## compare 10,000 schedules of changing messages with a model (SCHEDULES=n for another number), and 200 kills
	HUBBUB_SCHEDULES=$(or $(SCHEDULES),10000) cargo test --release --locked -- --nocapture changes_tests:: schedules::
	HUBBUB_CRASH_KILLS=1000 cargo test --release --locked --test it -- --nocapture changes::crash::

check: deps $(PYTHON) $(NODE_GRPC) $(PAGE_TOOLS) go-deps proxy-deps metrics-deps ## all checks that a change must pass: format, lints, tests, docs
	cargo fmt --check
	for crate in $(BENCH_CRATES) fuzz; do (cd $$crate && cargo fmt --check) || exit 1; done
	cargo clippy --release --locked --all-targets -- -D warnings
	cargo clippy --release --locked --test thin-volume -- -D warnings
	for crate in $(BENCH_CRATES); do \
		cargo clippy --release --locked --all-targets --manifest-path $$crate/Cargo.toml -- -D warnings || exit 1; done
	RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps
	cargo test --release --locked --manifest-path benches/load/Cargo.toml
	HUBBUB_TEST_PYTHON=$(abspath $(PYTHON)) cargo test --release --locked
	$(PAGE_ENV) node web/tests/run.mjs
	cargo test --release --locked --no-default-features --test it -- $(WITHOUT_PATCHES)
	fuzz/run

bench: deps ## measure the server beside its peer (ARGS="--help" lists the options)
	benches/run $(ARGS)

bench-chart: ## draw docs/benchmarks.svg from benches/results.json
	@tools/draw-benchmarks

micro: deps ## measure single steps of a message's path (ARGS="name" measures those with that in their names)
	cargo bench --locked --bench micro -- $(ARGS)

search-bench: deps ## measure search in MESSAGES messages, a million by default
	cargo bench --locked --bench search

page-test: deps $(PAGE_TOOLS) ## test the page in Chromium (ARGS="word" runs the cases with that in their names)
	$(BUILD)
	@$(PAGE_ENV) node web/tests/run.mjs $(ARGS)

pictures: deps $(PAGE_TOOLS) ## make the pictures of the page and of the terminal client in docs/pictures
	HUBBUB_WRITE_PICTURES=1 cargo test --release --locked --test it -- tui::pictures::
	$(BUILD)
	@$(PAGE_ENV) node web/tests/pictures.mjs docs/pictures

install: ## install what make build has built (PREFIX=, DESTDIR=, SYSCONFDIR=, UNITDIR=; docs/install.md)
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" SYSCONFDIR="$(SYSCONFDIR)" UNITDIR="$(UNITDIR)" SYSUSERSDIR="$(SYSUSERSDIR)" \
		tools/install-files install $(TARGET_DIR)/release

uninstall: ## remove what make install has installed (with the same PREFIX and DESTDIR)
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" SYSCONFDIR="$(SYSCONFDIR)" tools/install-files uninstall $(TARGET_DIR)/release

deb: deps $(CARGO_DEB) ## build a Debian package
	$(BUILD)
	@CARGO_DEB=$(abspath $(CARGO_DEB)) tools/build-deb $(TARGET_DIR)/release $(DEBS) $(DEB_VERSION)

package-test: deps $(CARGO_DEB) ## install, upgrade, remove and purge the Debian package in a bare Debian, as root
	@tools/install-deps package
	$(BUILD)
	@CARGO_DEB=$(abspath $(CARGO_DEB)) tools/package-test $(TARGET_DIR)/release

service-test: deps $(CARGO_DEB) ## run the packaged server under systemd in a container, as root
	@tools/install-deps package
	$(BUILD)
	@CARGO_DEB=$(abspath $(CARGO_DEB)) tools/service-test $(TARGET_DIR)/release

$(CARGO_DEB):
	@tools/install-deps deb
	cargo install --locked --no-default-features --version $(CARGO_DEB_VERSION) --root $(TARGET_DIR)/tools \
		--target-dir $(TARGET_DIR)/tools/target cargo-deb
	@rm -rf $(TARGET_DIR)/tools/target

deps:
	@tools/install-deps build

# Go and its gRPC, for the tests with the tutorial's own programs and with a client over TLS.
go-deps:
	@tools/install-deps go

# The proxies of docs/proxies.md, and curl.
proxy-deps:
	@tools/install-deps proxies

# promtool checks the metrics, the alerts and the dashboard.
metrics-deps:
	@tools/install-deps metrics

$(PYTHON): Makefile $(WEB_LOGIN)
	@tools/install-deps test
	python3 -m venv $(TARGET_DIR)/python
	$(PYTHON) -m pip install --quiet grpcio-tools==$(GRPCIO_TOOLS) grpcio-health-checking==$(GRPCIO_TOOLS) \
		grpcio-reflection==$(GRPCIO_TOOLS) connectrpc==$(PYTHON_CONNECT) prometheus-client==$(PYTHON_PROMETHEUS) -r $(WEB_LOGIN)
	@touch $(PYTHON)

$(NODE_GRPC): Makefile
	@tools/install-deps node
	mkdir -p $(TARGET_DIR)/node
	cd $(TARGET_DIR)/node && npm install --silent --no-audit --no-fund --ignore-scripts --save-exact $(NODE_PACKAGES)
	@touch $(NODE_GRPC)

$(PAGE_TOOLS): web/tests/package-lock.json
	@tools/install-deps browser
	cd web/tests && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $(PAGE_TOOLS)
