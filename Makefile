# make demo      build, then audit the bundled sample capture
# make test      run all tests
# make install   install what `make build` built in PREFIX (/usr/local)
# make deb       Debian package in target/package, with checksum and SBOM
# make tarball   the same with a static program, without live capture
# make check     run every check that must pass before a push
# The other targets are for work on the program itself.

SHELL := /bin/sh
CARGO ?= $(shell command -v cargo || echo "$(HOME)/.cargo/bin/cargo")
DEMO ?= captures/demo/capture.pcap
BIN := target/release/afs-audit
PREFIX ?= /usr/local
DESTDIR ?=
# Evaluated once, and only by targets that build.
FLAGS = $(eval FLAGS := $(shell tools/cargo-flags))$(FLAGS)

.PHONY: demo build test check fmt clippy dependencies bless bench profile bench-live \
	soak lab fuzz manual fleet-demo install uninstall deb tarball pgo try-bare clean

demo: build
	@echo
	@$(BIN) analyze $(DEMO) $(if $(wildcard $(dir $(DEMO))site.toml),--site $(dir $(DEMO))site.toml) --fail-on never
	@echo
	@echo "keep the evidence:  $(BIN) analyze $(DEMO) $(if $(wildcard $(dir $(DEMO))site.toml),--site $(dir $(DEMO))site.toml) -o evidence/"

build: cargo compiler
	$(CARGO) build --release --locked $(FLAGS)

# Does not build if there is a program: root may have no Rust.
install: $(BIN)
	@tools/install-files $(BIN) "$(PREFIX)" "$(DESTDIR)"
	@echo "installed in $(DESTDIR)$(PREFIX)"

$(BIN):
	@$(MAKE) build

uninstall:
	@tools/install-files --remove "$(PREFIX)" "$(DESTDIR)"

deb tarball: cargo compiler
	CARGO="$(CARGO)" PGO="$(PGO)" tools/package $@

# The program of `make build`, optimized by what it does with captures. PGO=1 does so for a package.
pgo: cargo compiler
	CARGO="$(CARGO)" tools/pgo $(FLAGS)

cargo:
	@test -x "$(CARGO)" || { echo "cargo not found: install Rust from https://rustup.rs" >&2; exit 1; }
compiler:
	@tools/find-compiler
.PHONY: cargo compiler

# Tests that cannot run here are counted and named at the end; with CI set, they fail.
test: cargo compiler
	@tools/test-tools
	@tools/tests-not-run --clear
	@$(CARGO) test --locked --no-fail-fast $(FLAGS); status=$$?; tools/tests-not-run || status=1; exit $$status

check: fmt clippy dependencies test manual
	@git diff --exit-code --stat -- docs/reference || { echo "docs/reference was out of date: commit it" >&2; exit 1; }

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --locked --all-targets --no-default-features -- -D warnings
	$(if $(FLAGS),,$(CARGO) clippy --locked --all-targets -- -D warnings)
	$(if $(FLAGS),,$(CARGO) check --manifest-path fuzz/Cargo.toml --target-dir target/fuzz)

# Licences, bans and sources, as deny.toml says.
dependencies:
	tools/check-dependencies

# Audits the lab captures of three sites on Spark (contrib/spark), on this machine. The capture of a fourth one is missing.
FLEET := target/fleet-demo
fleet-demo: build
	@echo "Spark audits four sites; the capture of Dublin is missing, to show how that is reported. It takes a minute or two."
	@python=$$(tools/spark-venv) && mkdir -p $(FLEET) && export PYTHONPATH=contrib/spark SPARK_LOCAL_IP=127.0.0.1; \
	$$python -W ignore -m afs_audit_spark run contrib/spark/demo/captures.csv $(FLEET)/lake --binary $(BIN) 2>$(FLEET)/spark.log; \
	$$python -W ignore -m afs_audit_spark views $(FLEET)/lake --html $(FLEET)/sites.html 2>>$(FLEET)/spark.log && \
	echo "the page: $(FLEET)/sites.html   the tables: $(FLEET)/lake   what Spark said: $(FLEET)/spark.log"

# As root: record every scenario of the lab again, with its labels.
lab:
	captures/lab/run

# Update the expected rows of all captures. Read the diff as a reviewer would.
bless:
	BLESS=1 $(CARGO) test --locked $(FLAGS) --test captures
	git --no-pager diff --stat -- captures

bench:
	$(CARGO) bench --locked $(FLAGS) --bench audit --bench judge --bench plain

# Instructions per frame and per row, counted by callgrind: CAPTURE=… or generated flows.
profile: cargo
	tools/profile $(CAPTURE)

# As root: `make demo` and `make test` in a new Debian that has make and Rust, and nothing else.
try-bare:
	tools/try-bare-debian

# As root: at which rate live capture, tcpdump and dumpcap start to drop frames.
bench-live:
	$(CARGO) bench --locked --bench live

# As root: live capture at full rate for SECS seconds; fails if its memory grows.
SECS ?= 600
soak:
	$(CARGO) bench --locked --bench live -- soak $(SECS)

# make fuzz TARGET=dns: needs a nightly toolchain and cargo-fuzz.
fuzz:
	$(CARGO) +nightly fuzz run $(TARGET) -- -max_total_time=60

manual:
	$(CARGO) run --locked --quiet $(FLAGS) --example manual -- docs/reference

clean:
	$(CARGO) clean
