# `make demo` and `make test` do everything on a fresh Debian 12 or 13 or Ubuntu 24.04: packages, configure, build, run.
BUILD ?= build/release
JOBS ?= $(shell nproc)

.PHONY: all setup configure build demo test check-deep exhaustive soak fuzz asan tsan bench-peers bench-net install clean

all: build

setup:
	@sh cmake/setup.sh

configure: setup
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=Release

build: configure
	@cmake --build $(BUILD) -j $(JOBS)

# Four trainers, a kill in the middle of an all-reduce, a coordinator killed and restarted, a joiner, a frozen peer.
demo: build
	@$(BUILD)/api/tools/rhizome-demo --rhizome $(BUILD)/api/tools/rhizome --trainer $(BUILD)/api/examples/char_lm

# Everything that is labelled neither deep nor exhaustive.
test: build
	@ctest --test-dir $(BUILD) -j 4 -LE 'deep|exhaustive' --output-on-failure --no-tests=error || \
	  { sh tests/failures.sh $(BUILD); exit 1; }

# Mutants of the model, chaos and fuzzing, programs for GPUs (built, not run); sanitizers, which `make asan` and `make tsan` have look at more.
check-deep: build
	@cmake --build $(BUILD) -j $(JOBS) --target rhz_gpu
	@ctest --test-dir $(BUILD) -j 2 -L deep --output-on-failure --no-tests=error
	@$(MAKE) asan SUITE=deep-asan
	@$(MAKE) tsan SUITE=deep-tsan

# Every group of the model, and two faults in the exploration of the cores, searched to their end; what takes minutes: more than an hour.
exhaustive: build
	@ctest --test-dir $(BUILD) -j 2 -L exhaustive --output-on-failure --no-tests=error

# Hours: kills, churn, faults of the network, simulator, fuzzing; a table at the end.  SOAK="kills=100 churn=1": parts of it.
soak: build
	@sh tests/chaos/soak.sh $(BUILD) $(BUILD)/soak $(SOAK)

# Every fuzz target for SECONDS, with libFuzzer, from what tests/fuzz/corpus and earlier runs have: needs clang.
SECONDS ?= 20
FUZZ_TARGETS = frame splitter handshake control log coordinator member resolve checkpoint schedule texts
fuzz: setup
	@command -v clang++ > /dev/null || { echo "make fuzz needs clang: apt-get install clang" >&2; exit 1; }
	@cmake --preset fuzz && cmake --build --preset fuzz -j $(JOBS) --target $(FUZZ_TARGETS:%=fuzz_%)
	@for t in $(FUZZ_TARGETS); do echo "fuzz_$$t"; mkdir -p build/fuzz/corpus/$$t; \
	  build/fuzz/tests/fuzz/fuzz_$$t -max_total_time=$(SECONDS) -print_final_stats=1 -verbosity=0 \
	    -artifact_prefix=build/fuzz/crash-$$t- build/fuzz/corpus/$$t tests/fuzz/corpus/$$t || exit 1; done

# What each leaves out, and why: docs/testing.md.  TSan of GCC before 14 does not start where the kernel randomises addresses by
# more than 28 bits.
asan tsan: setup
	@cmake --preset $@ && cmake --build --preset $(or $(SUITE),$@) -j $(JOBS)
	@$$(setarch -R echo setarch -R 2> /dev/null) ctest --preset $(or $(SUITE),$@)

# Side by side with other libraries; installs them.  About 15 minutes; BENCH="--quick": a minute, to see that it works;
# BENCH="--with-torch", or arguments of perf_compare.
bench-peers: build
	@sh bench/perf/run.sh $(BUILD) $(BENCH)

# Between network namespaces over links of 1 Gbit/s, then with one peer's link cut to 100 Mbit/s.  Needs root.
bench-net: build
	@sh bench/install.sh iproute2 iperf3 openmpi-bin libopenmpi-dev mpich libmpich-dev libgloo-dev pkg-config
	@cmake -S . -B $(BUILD) > /dev/null && cmake --build $(BUILD) --target perf
	@mkdir -p $(BUILD)/bench/results
	@sh bench/net/run.sh $(BUILD) -- -n 2,4 --bytes 64MiB --contenders ours-tcp,gloo-ring,openmpi-tcp \
	  --json $(BUILD)/bench/results/net.json
	@sh bench/net/run.sh $(BUILD) --slow 1:100mbit -- -n 2,4 --bytes 16MiB --contenders ours-tcp,gloo-ring,openmpi-tcp \
	  --rounds 3 --iterations 3 --json $(BUILD)/bench/results/net-slow.json

install: build
	@cmake --install $(BUILD)

clean:
	@rm -rf build
