.DEFAULT_GOAL := help
SHELL := /bin/bash

PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
BENCH_FLAGS ?=

binary := .build/release/etcd-snap
bindir := $(PREFIX)/bin
unitdir := $(PREFIX)/lib/systemd/system
docdir := $(PREFIX)/share/doc/etcd-snap
completions := bash:$(PREFIX)/share/bash-completion/completions/etcd-snap \
	zsh:$(PREFIX)/share/zsh/site-functions/_etcd-snap \
	fish:$(PREFIX)/share/fish/vendor_completions.d/etcd-snap.fish
units := $(foreach name,backup prune sync,etcd-snap-$(name).service etcd-snap-$(name).timer)

export ETCD_SNAP_TEST_TOOLS ?= $(CURDIR)/.tools

.PHONY: help demo test build release dist lint format check fuzz bench clean install uninstall

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.* ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do \
		printf '  make %-10s %s\n' "$$target" "$$text"; done

demo: ## back up a real etcd, destroy it, bring it back and compare every key
	@scripts/demo

test: ## set up, lint, build and run every test
	@scripts/test

build: ## debug build, for a debugger; tests and installation use optimised code
	@scripts/setup
	swift build --build-tests

release: ## optimised build of the etcd-snap executable
	@scripts/setup
	scripts/build-release

dist: release ## the download in dist/: executable, documents, SPDX list, checksums (SIGNING_KEY=FILE signs)
	scripts/dist

lint: ## style of Swift, shell and Python sources
	@scripts/lint

format: ## reformat the Swift sources
	swift format format --in-place --parallel --recursive Package.swift Sources Tests Benchmarks

check: lint ## lint, systemd units, generated code, C shim: what needs no test run
	scripts/check-units
	scripts/generate-proto --check
	scripts/check-shim

fuzz: release ## seeded fuzz tests and lives of restored clusters for longer (FUZZ_SECONDS=N)
	scripts/run-tests build
	ETCD_SNAP_FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/run-tests --filter "[Ff]uzz"
	scripts/check-restored-life --etcd-snap $(binary) --seconds $(FUZZ_SECONDS)

bench: release ## measure against etcdctl, zstd and age (BENCH_FLAGS=--quick for a short run)
	scripts/build-release stream-benchmark
	Benchmarks/run $(BENCH_FLAGS)
	Benchmarks/at-rest

clean: ## remove what build, demo and benchmarks left; keeps .tools
	rm -rf .build .build-tests .demo dist Benchmarks/.cache

install: ## install the release build, units and completions (PREFIX, DESTDIR)
	@test -x $(binary) || { echo "error: $(binary) does not exist; run make release first" >&2; exit 1; }
	install -D -m 755 $(binary) "$(DESTDIR)$(bindir)/etcd-snap"
	install -D -m 644 systemd/config.yaml "$(DESTDIR)$(docdir)/config.yaml"
	install -D -m 644 packaging/etcd-snap.8 "$(DESTDIR)$(PREFIX)/share/man/man8/etcd-snap.8"
	install -d "$(DESTDIR)$(unitdir)"
	for unit in $(units); do \
		sed 's|/usr/bin/etcd-snap|$(bindir)/etcd-snap|' systemd/$$unit >"$(DESTDIR)$(unitdir)/$$unit" || exit 1; \
		chmod 644 "$(DESTDIR)$(unitdir)/$$unit" || exit 1; \
	done
	for each in $(completions); do \
		install -d "$$(dirname "$(DESTDIR)$${each#*:}")" || exit 1; \
		$(binary) completion "$${each%%:*}" >"$(DESTDIR)$${each#*:}" || exit 1; \
	done

uninstall: ## remove what install installed; configuration, keys and archives stay
	rm -f "$(DESTDIR)$(bindir)/etcd-snap"
	rm -rf "$(DESTDIR)$(docdir)" "$(DESTDIR)$(PREFIX)/share/man/man8/etcd-snap.8"
	for unit in $(units); do rm -f "$(DESTDIR)$(unitdir)/$$unit"; done
	for each in $(completions); do rm -f "$(DESTDIR)$${each#*:}"; done
