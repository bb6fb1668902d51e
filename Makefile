# The short way to everything. Targets: run test test-page long kill-sweep kill-soak pool-soak soak models sanitize install
# uninstall bench clean, and the helpers build warnings format deps. Each installs what it needs and lacks (apt, as root or through sudo).
#
#   make run [DIR=/usr/include]              count the words of a folder, then hash its files
#   make test [MODES="plain asan"] [T="test_lock test_queue/fifo"]
#   make test-page                           the page of `motet map --report`, in headless Chromium
#   make long [STRESS=10] [MODES=...] [T=...]   the same with the numbers of a bad day
#   make soak [TIMES=200] [MODES=plain] [T=...]  each program many times over, on a busy machine
#   make kill-sweep [T="test_kill_sync/lock"]    all that a death can leave: behind each change that others see
#   make kill-sweep SWEEP=1 [T=...]              the same at every instruction, for hours; at every seventh: SWEEP=7
#   make pool-soak [MINUTES=10] [MODES=plain]    pools under load, whose workers are killed at random
#   make models [MODEL_TIME=seconds for each] [T="model_lock"]
#   make mutants [M="lock_ queue_shutdown"]
#   make install [PREFIX=/usr/local] [DESTDIR=...]
#   make uninstall                           takes away what was installed last
#   make bench
#
# BUILD=folder builds elsewhere than in build/.

BUILD ?= build
DIR ?= /usr/include
PREFIX ?= /usr/local
export BUILD

.PHONY: build run test test-page long kill-sweep kill-soak pool-soak soak models sanitize install uninstall bench warnings format deps clean

build:
	@scripts/install-deps.sh build
	@scripts/build.sh release

run: build
	@scripts/run.sh "$(DIR)"

# Everything; the last line is "N passed, N failed".
test:
	@scripts/install-deps.sh build test
	@python3 tests/run.py $(addprefix --mode=,$(MODES)) $(T)

# The page of `motet map --report` in a browser. The last line is as that of `make test`.
test-page: build
	@scripts/install-deps.sh page
	@python3 tests/page.py "$(BUILD)/release/motet"

# More of everything: items, waiters, rounds, instructions at which something happens.
STRESS ?= 10
long: export MOTET_STRESS ?= $(STRESS)
long: export MOTET_TEST_LIMIT ?= 1800
long: test

# Deaths behind every change that others see, or at every SWEEP-th instruction. The table says what was swept.
SWEEPS = test_kill test_shared_kill test_queue_kill test_queue_bytes_kill
kill-sweep: export MOTET_SWEEP = $(or $(SWEEP),changes)
kill-sweep: export MOTET_TEST_LIMIT ?= 3600
kill-sweep: export MOTET_SWEEP_TABLE ?= $(abspath $(BUILD))/kill-sweep.txt
kill-sweep:
	@scripts/install-deps.sh build test
	@rm -f "$(MOTET_SWEEP_TABLE)"
	@python3 tests/run.py --mode=plain $(or $(T),$(SWEEPS))
	@sort "$(MOTET_SWEEP_TABLE)"

# A thousand deaths at random among processes that do all at once.
kill-soak: export MOTET_STRESS ?= 50
kill-soak: export MOTET_TEST_LIMIT ?= 3600
kill-soak:
	@scripts/install-deps.sh build test
	@python3 tests/run.py --mode=$(or $(MODES),plain) test_kill_soak

# Pools under load for so many minutes, with workers killed at random.
MINUTES ?= 10
pool-soak: export MOTET_SOAK_MINUTES = $(MINUTES)
pool-soak: export MOTET_TEST_LIMIT ?= $(shell expr $(MINUTES) '*' 60 + 600)
pool-soak: export MOTET_SWEEP_TABLE ?= $(abspath $(BUILD))/pool-soak.txt
pool-soak:
	@scripts/install-deps.sh build test
	@rm -f "$(MOTET_SWEEP_TABLE)"
	@python3 tests/run.py --mode=$(or $(MODES),plain) test_pool_soak
	@cat "$(MOTET_SWEEP_TABLE)"

# What fails now and then.
TIMES ?= 200
soak:
	@scripts/install-deps.sh build test
	@python3 tests/soak.py --times=$(TIMES) --mode=$(or $(MODES),plain) $(T)

# The tests under AddressSanitizer with UndefinedBehaviorSanitizer, and under ThreadSanitizer.
sanitize:
	@scripts/install-deps.sh build test
	@python3 tests/run.py --mode=asan --mode=tsan $(T)

# The models alone, for longer than `make test` does.
models: export MODEL_TIME ?= 20
models:
	@scripts/install-deps.sh build test
	@python3 tests/run.py --mode=plain -v $(or $(T),model_)

# Plants bugs in copies of the tree, one at a time: each must be found by the tests named for it.
mutants:
	@scripts/install-deps.sh build test
	@python3 tests/mutants.py $(M)

install:
	@scripts/install-deps.sh build
	@PREFIX="$(PREFIX)" scripts/build.sh release
	@meson install -C "$(BUILD)/release" --no-rebuild --quiet $(if $(DESTDIR),--destdir "$(abspath $(DESTDIR))")
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi
	@echo "installed in $(DESTDIR)$(PREFIX)"

# What the last installation from this folder wrote is in a file there.
uninstall:
	@test -f "$(BUILD)/release/meson-logs/install-log.txt" || \
		{ echo "nothing was installed from here: $(BUILD)/release has no list of it" >&2; exit 1; }
	@ninja -C "$(BUILD)/release" uninstall >/dev/null
	@echo "uninstalled"

# Peers that cannot be installed are rows that say so.
bench:
	@scripts/install-deps.sh build
	@scripts/install-deps.sh bench || true
	@scripts/build.sh bench
	@bench/run "$(BUILD)/bench"

# Both compilers with warnings as errors; builds all, runs nothing.
warnings:
	@scripts/install-deps.sh build test
	@scripts/build.sh plain
	@scripts/build.sh clang

format:
	@clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h')

deps:
	@scripts/install-deps.sh build test bench

clean:
	rm -rf "$(BUILD)"
