# Sidegate. `make` alone lists the targets.

# Debian keeps servers in sbin, and Ubuntu its Chromium in /snap/bin: both may be outside a user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin:/snap/bin

FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 3600

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-release instructions soak lint audit sbom fuzz bench bench-compare docs clean setup-test fmt-check clippy

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run the gate with a demo app, customer server, chat upstream and page
	@scripts/setup.sh demo
	cargo run --release --locked -- demo

# Clippy's own compiler builds what the tests run, so that nothing is read and checked twice: a lint is an error there.
LINTED := RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__ cargo test --workspace --locked --profile ci

test: setup-test fmt-check ## install what is missing, then run every check and test
	$(LINTED) --all-targets --no-run
	$(LINTED) --no-fail-fast

test-release: setup-test ## build the program as it is released, and run attacks and faults against it
	cargo build --release --locked
	SIDEGATE_PROGRAM=$(CURDIR)/target/release/sidegate $(LINTED) --no-fail-fast --test attacks --test faults

instructions: setup-test ## record anew what a request costs in instructions, which `make test` holds
	SIDEGATE_RECORD_INSTRUCTIONS=1 $(LINTED) --test it instructions

soak: setup-test ## every dialect under mixed load and faults for SOAK_SECONDS (3600); also SOAK_RATE, SOAK_STORE=redis, SOAK_SEED
	SOAK_SECONDS=$(SOAK_SECONDS) $(LINTED) --test faults soak::soak -- --ignored --exact --nocapture

lint: fmt-check clippy ## formatting, clippy, and the rules on dependencies (deny.toml)
	@if cargo deny --version >/dev/null 2>&1; then \
		echo "cargo deny check bans licenses sources"; \
		cargo deny --locked check bans licenses sources; \
	else \
		echo "cargo-deny is not installed, so deny.toml was not checked: cargo install --locked cargo-deny"; \
	fi

audit: ## known vulnerabilities of the dependencies (fetches the RustSec database)
	cargo deny --locked check advisories

sbom: ## what the program is made of (CycloneDX 1.5), in target/sidegate.cdx.json
	@cargo cyclonedx --version >/dev/null 2>&1 || \
		{ echo "cargo-cyclonedx is not installed: cargo install --locked cargo-cyclonedx" >&2; exit 1; }
	cargo cyclonedx --quiet --format json --spec-version 1.5 --describe binaries --target all
	@mkdir -p target
	@sed 's|file://$(CURDIR)|file://.|g' sidegate_bin.cdx.json > target/sidegate.cdx.json
	@rm sidegate_bin.cdx.json

# Without the sanitizers, which need a nightly toolchain: they watch over unsafe code, and none of ours is.
fuzz: ## run each fuzz target for FUZZ_SECONDS (60)
	@cargo fuzz --version >/dev/null 2>&1 || \
		{ echo "cargo-fuzz is not installed: cargo install --locked cargo-fuzz" >&2; exit 1; }
	@scripts/setup.sh fuzz
	@set -e; for target in $$(cargo fuzz list); do \
		mkdir -p fuzz/found/$$target; \
		cargo fuzz run -s none $$target fuzz/found/$$target fuzz/corpus/$$target -- \
			-dict=fuzz/words.dict -max_len=4096 -timeout=10 -max_total_time=$(FUZZ_SECONDS); \
	done

bench: ## micro-benchmarks, then bench-compare
	@scripts/setup.sh bench
	cargo bench --locked --bench micro
	cargo bench --locked --bench compare

bench-compare: ## side by side with nginx and HAProxy, Express and FastAPI
	@scripts/setup.sh bench
	cargo bench --locked --bench compare

docs: ## build the API documentation; a broken link is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --profile ci

clean: ## remove what was built
	cargo clean
	cargo clean --manifest-path fuzz/Cargo.toml

setup-test:
	@scripts/setup.sh test

fmt-check:
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check

clippy:
	cargo clippy --workspace --all-targets --locked --profile ci -- -D warnings
