#!/bin/sh
# All-reduce over links of a given rate: network namespaces joined by a bridge, tbf on both sides of every link.
# `make bench-net` runs it twice: all links alike, then with one slow link.
set -eu

usage() {
  cat << 'END'
usage: sh bench/net/run.sh BUILD_DIR [OPTION]... [-- ARGUMENTS OF perf_compare]
       sh bench/net/run.sh BUILD_DIR --joiner [OPTION]... [-- ARGUMENTS OF joiner.sh]
       sh bench/net/run.sh BUILD_DIR --shards [OPTION]... [-- ARGUMENTS OF shards.sh]

  --rate RATE        of every link, as tc writes it (default 1gbit)
  --slow RANK:RATE   of one peer's link, e.g. 1:100mbit (default: none)
  --peers N          namespaces to make (default 4; with --shards 8): no -n above it
  --iperf-seconds S  how long the line is measured (default 5)
  --joiner           joiner catch-up instead: the last peer joins while the others train.  Behind --:
                     --state BYTES (default 1 GiB); --share PERCENT of it that changes in every step, always the same
                     part (100); --gradient BYTES of the all-reduce of a step (16 MiB); --compute-ms MS in front of it
                     (600); --steps N before it comes and behind (10); --follow yes: it applies what the members
                     applied while it pulled (no); --log FOLDER for what the peers print, and of the links' bytes
  --shards           the rebuild of lost shards instead: the first peer keeps a stage whose shards lie in the vaults of the
                     others, one of which is killed.  Behind --: --state BYTES (512 MiB); --code K+M (4+2);
                     --log FOLDER for what the processes print
  --check            only say whether this host allows it; exit status 77 if not

Examples:
  sh bench/net/run.sh build/release -- -n 2,4 --bytes 64MiB --json net.json
  sh bench/net/run.sh build/release --slow 1:100mbit -- -n 4 --bytes 16MiB --rounds 3 --iterations 3
  sh bench/net/run.sh build/release --joiner
  sh bench/net/run.sh build/release --shards
  sh bench/net/run.sh build/release --joiner --rate 200mbit -- --state 67108864 --gradient 1048576 --compute-ms 100

Needs the right to make network and mount namespaces (root, or user namespaces), ip, tc and iperf3. Everything lives in
namespaces of its own, which end with this program whatever ends it: nothing is left behind, nothing outside is changed.
Reads: docs/benchmarks.md
END
}

[ $# -ge 1 ] || { usage >&2; exit 2; }
[ "$1" != --help ] && [ "$1" != -h ] || { usage; exit 0; }
build=$1
shift
here=$(cd "$(dirname "$0")" && pwd)

for tool in ip tc unshare setpriv; do
  command -v $tool > /dev/null 2>&1 || { echo "bench/net: skipped: there is no $tool"; exit 77; }
done

# --kill-child: when unshare dies, everything inside goes, and with it the namespaces; and unshare dies with this shell.
# (It ignores other signals itself, and so does a first process of a process namespace.)
run_inside() {
  setpriv --pdeathsig KILL "$@" &
  child=$!
  trap 'kill -KILL $child; exit 130' INT TERM HUP
  wait $child
  exit $?
}

why="no right to make namespaces"
for user in "" "--user --map-root-user"; do
  inside="unshare $user --net --mount --pid --fork --kill-child --mount-proc"
  try='mount -t tmpfs tmpfs /run && mkdir /run/netns && ip netns add try && ip link add sw type bridge &&
    ip link add veth type veth peer name eth0 netns try && tc qdisc add dev veth root tbf rate 1gbit burst 256kb latency 50ms'
  if why=$($inside sh -c "$try" 2>&1); then
    [ "${1:-}" != --check ] || exit 0
    command -v iperf3 > /dev/null 2>&1 || { echo "bench/net: skipped: there is no iperf3"; exit 77; }
    run_inside $inside sh "$here/inside.sh" "$build" "$@"
  fi
done
echo "bench/net: skipped: no right to make network namespaces here: $why"
exit 77
