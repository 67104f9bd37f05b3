#!/bin/sh
# `make bench-peers`: installs the peers, builds, and compares under one and the same congestion control.
#
#   sh bench/perf/run.sh BUILD_DIR [arguments of perf_compare]
set -eu
[ $# -ge 1 ] || { echo "usage: sh bench/perf/run.sh BUILD_DIR [arguments of perf_compare]" >&2; exit 2; }
build=$1
shift
source=$(cd "$(dirname "$0")/../.." && pwd)

missing=""
for package in openmpi-bin libopenmpi-dev iproute2; do
  dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ] && command -v apt-get > /dev/null 2>&1; then
  echo "run.sh: installing$missing" >&2
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo"
  $as_root apt-get update -q
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
fi

# Configured again: only now CMake can find MPI.
cmake -S "$source" -B "$build" > /dev/null
cmake --build "$build" --target perf

# With bbr, the default of some hosts, loopback is up to three times slower.  Our library then picks reno by itself, peers
# cannot: the comparison is fair only where the system says reno.  A network namespace has a setting of its own, and goes
# away with its last process.
compare=$build/bench/perf/perf_compare
# shellcheck disable=SC2016  # expanded by the inner shell
inside='ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control && shift $1 && "$@"'
for unshare in "unshare --net" "unshare --net --user --map-root-user"; do
  if $unshare sh -c "$inside" sh 1 true 2> /dev/null; then
    exec $unshare sh -c "$inside" sh 1 "$compare" "$@"
  fi
done
echo "run.sh: no network namespace here: the system's congestion control stays" >&2
exec "$compare" "$@"
