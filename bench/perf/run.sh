#!/bin/sh
# `make bench-peers`: installs the peers, builds, and compares under one and the same congestion control.
set -eu

usage() {
  cat << 'END'
usage: sh bench/perf/run.sh BUILD_DIR [--with-torch] [--quick | ARGUMENTS OF perf_compare]

Without arguments: all-reduce by size and the other collectives at two sizes, over TCP and shared memory, N = 2 and 4, and
ours with 64 ops in flight; about 15 minutes. Tables on the terminal, JSON and SVG in BUILD_DIR/bench/results/.

  --quick        the same in a minute, to see that everything works: its figures mean nothing
  --with-torch   (or WITH_TORCH=1) installs PyTorch for its Gloo, too: a download of hundreds of megabytes

Everything else goes to one run of perf_compare (build/release/bench/perf/perf_compare --help):
  sh bench/perf/run.sh build/release -n 2 --bytes 64MiB --contenders ours-tcp,openmpi-tcp

Installs openmpi-bin, mpich, libgloo-dev and iproute2 where apt-get is there, and pypccl into BUILD_DIR/bench/venv where a
Python is there that it has a package for. What does not install is said and left out.
docs/benchmarks.md says how to read the tables.
END
}

[ $# -ge 1 ] || { usage >&2; exit 2; }
[ "$1" != --help ] && [ "$1" != -h ] || { usage; exit 0; }
build=$1
shift
with_torch=${WITH_TORCH:-}
[ "${1:-}" != --with-torch ] || { with_torch=1; shift; }
source=$(cd "$(dirname "$0")/../.." && pwd)

sh "$source/bench/install.sh" openmpi-bin libopenmpi-dev mpich libmpich-dev libgloo-dev pkg-config iproute2
sh "$source/bench/perf/python_peers.sh" "$build/bench/venv" ${with_torch:+torch} pypccl

# Configured again: only now CMake can find them.
cmake -S "$source" -B "$build" > /dev/null
cmake --build "$build" --target perf

results=$build/bench/results
mkdir -p "$results"
python=$build/bench/venv/bin/python
[ -x "$python" ] || python=python3

# With bbr, the default of some hosts, loopback is up to three times slower.  Our library then picks reno by itself, peers
# cannot: the comparison is fair only where the system says reno.  A network namespace has a setting of its own, and goes
# away with its last process.
# shellcheck disable=SC2016  # expanded by the inner shell
inside='ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control && "$@"'
under_reno=""
for unshare in "unshare --net" "unshare --net --user --map-root-user"; do
  if $unshare sh -c "$inside" sh true 2> /dev/null; then
    under_reno=$unshare
    break
  fi
done
[ -n "$under_reno" ] || echo "run.sh: no network namespace here: the system's congestion control stays" >&2

compare() { # ARGUMENTS OF perf_compare
  set -- "$build/bench/perf/perf_compare" --python "$python" "$@"
  if [ -n "$under_reno" ]; then
    $under_reno sh -c "$inside" sh "$@"
  else
    "$@"
  fi
}

if [ $# -gt 0 ] && [ "$1" != --quick ]; then
  compare "$@"
  exit $?
fi
status=0
sizes=1MiB,64MiB
[ $# -eq 0 ] || sizes=4KiB,1MiB
compare "$@" --transport tcp,shm --in-flight 64 \
  --json "$results/allreduce.json" --svg "$results/allreduce.svg" || status=$?
compare "$@" --transport tcp,shm --bytes $sizes \
  --collectives reduce_scatter,allgather,broadcast,reduce,alltoall,barrier \
  --json "$results/collectives.json" --svg "$results/collectives.svg" || status=$?
echo "run.sh: $results" >&2
exit $status
