# make demo    build, and audit the capture that comes along
# make test    all tests
# make check   what has to pass before a push
# The rest is for those who change the program.

SHELL := /bin/sh
CARGO ?= $(shell command -v cargo || echo "$(HOME)/.cargo/bin/cargo")
DEMO ?= captures/demo/capture.pcap
BIN := target/release/afs-audit
# Asked once, and only by the targets that build.
FEATURES = $(eval FEATURES := $(shell tools/features))$(FEATURES)

.PHONY: demo build test check fmt clippy bless bench bench-live soak lab fuzz manual install clean

demo: build
	@echo
	@$(BIN) analyze $(DEMO) $(if $(wildcard $(dir $(DEMO))site.toml),--site $(dir $(DEMO))site.toml) --fail-on never
	@echo
	@echo "keep the evidence:  $(BIN) analyze $(DEMO) -o evidence/"

build:
	@test -x "$(CARGO)" || { echo "cargo is not here: install Rust from https://rustup.rs" >&2; exit 1; }
	$(CARGO) build --release --locked $(FEATURES)

install:
	$(CARGO) install --locked --path . $(FEATURES)

test:
	@test -x "$(CARGO)" || { echo "cargo is not here: install Rust from https://rustup.rs" >&2; exit 1; }
	$(CARGO) test --locked $(FEATURES)

check: fmt clippy test
	@$(MAKE) --no-print-directory manual
	@git diff --exit-code --stat -- docs/reference || { echo "docs/reference was out of date: commit it" >&2; exit 1; }

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --locked --all-targets --no-default-features -- -D warnings
	$(if $(FEATURES),,$(CARGO) clippy --locked --all-targets -- -D warnings)

# As root: every scenario of the lab anew, with its labels.
lab:
	captures/lab/run

# Writes the expected rows of all captures anew. Read the diff as the reviewer would.
bless:
	BLESS=1 $(CARGO) test --locked $(FEATURES) --test captures
	git --no-pager diff --stat -- captures

bench:
	$(CARGO) bench --locked $(FEATURES) --bench audit --bench judge --bench plain

# As root: which of live capture, tcpdump and dumpcap loses a frame first.
bench-live:
	$(CARGO) bench --locked --bench live

# As root: live capture at full rate for so many seconds; fails when its memory grows.
SECS ?= 600
soak:
	$(CARGO) bench --locked --bench live -- soak $(SECS)

# make fuzz TARGET=dns: needs a nightly toolchain and cargo-fuzz.
fuzz:
	$(CARGO) +nightly fuzz run $(TARGET) -- -max_total_time=60

manual:
	$(CARGO) run --locked --quiet $(FEATURES) --example manual -- docs/reference

clean:
	$(CARGO) clean
