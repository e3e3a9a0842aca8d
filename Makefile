# SPDX-License-Identifier: GPL-2.0-or-later
#
# The commands a person types; the work is done by ./configure, ninja, scripts/
# and tests/ft/.  "make help" lists the targets.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
# Options for ./configure; without any, those of the last run are kept.
CONFIGURE_FLAGS ?= --again
# Options for the test programs, as in: make check ARGS='--list'
ARGS ?=

export QEMU_FT_BUILD := $(abspath $(BUILD))
# So that ccache's results are shared between checkouts and build directories.
export CCACHE_BASEDIR := $(QEMU_FT_BUILD)

all: ## build (and configure when needed); the default
	@./configure --build-dir='$(QEMU_FT_BUILD)' $(CONFIGURE_FLAGS)
	@scripts/build '$(QEMU_FT_BUILD)'

deps:
	@scripts/deps build test arbiter

demo: deps all ## a protected VM that survives the death of its host, to watch
	@tests/ft/demo $(ARGS)

check: deps all ## all our tests; the last line counts them
	@scripts/deps bench
	@tests/ft/run $(ARGS)

check-full: deps all ## all our tests, the long ones too, and kill-database
	@scripts/deps bench
	@tests/ft/run --full $(ARGS)
	@tests/ft/kill-database

check-upstream: all ## QEMU's own tests of what we touch
	@scripts/deps upstream
	@scripts/check-upstream $(ARGS)

check-fresh: ## "make demo" and "make check" in fresh Debian 12 and 13 (root)
	@scripts/check-fresh $(ARGS)

bench: deps all ## unprotected, checkpoint, COLO: docs/performance/bench.md
	@scripts/deps bench
	@tests/ft/bench/run $(ARGS)

instructions: deps all ## count what an epoch costs the primary's main loop
	@tests/ft/bench/instructions $(ARGS)

bench-scale: deps all ## by size, load and number of pairs: docs/performance/rack.md
	@scripts/deps bench
	@tests/ft/bench/scale $(ARGS)

kill-loop: deps all ## kill the primary again and again under load
	@tests/ft/kill-loop $(ARGS)

# Does not build: "sudo make install" must leave no root-owned files behind.
install: ## install as PREFIX/bin/qemu-system-x86_64-ft (DESTDIR too)
	@test -x '$(BUILD)/obj/qemu-system-x86_64' || \
		{ echo "make install: there is nothing built in $(BUILD): run make first." >&2; exit 1; }
	install -D -m 755 '$(BUILD)/obj/qemu-system-x86_64' \
		'$(DESTDIR)$(PREFIX)/bin/qemu-system-x86_64-ft'

clean: ## remove what was compiled, keep the configuration
	@test ! -f '$(BUILD)/obj/build.ninja' || ninja -C '$(BUILD)/obj' clean

distclean: ## remove the build directory
	@test ! -d '$(BUILD)' || test -d '$(BUILD)/stamps' || \
		{ echo "make distclean: $(BUILD) was not made by ./configure: remove it by hand." >&2; exit 1; }
	rm -rf -- '$(BUILD)'

help: ## this list
	@echo 'Targets (BUILD=$(BUILD), PREFIX=$(PREFIX), ARGS=... for the test programs):'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18

.PHONY: all deps demo check check-full check-upstream check-fresh bench bench-scale \
	instructions kill-loop install clean distclean help
# Targets share the build tree, and ninja runs the jobs.
.NOTPARALLEL:
