#!/bin/sh
# The part of run.sh that runs in fresh network, mount and process namespaces: builds the network, measures the line,
# compares.  The names of namespaces are files in /run/netns: on a file system of our own nobody else sees them.
set -eu
build=$1
shift
rate=1gbit slow_rank="" slow_rate="" peers="" iperf_seconds=5 joiner=no shards=no
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  [ "$1" != --joiner ] || { joiner=yes; shift; continue; }
  [ "$1" != --shards ] || { shards=yes; shift; continue; }
  [ $# -ge 2 ] || { echo "bench/net: $1 needs a value" >&2; exit 2; }
  case $1 in
    --rate) rate=$2 ;;
    --slow) slow_rank=${2%%:*} slow_rate=${2#*:} ;;
    --peers) peers=$2 ;;
    --iperf-seconds) iperf_seconds=$2 ;;
    *) echo "bench/net: no option $1: see --help" >&2; exit 2 ;;
  esac
  shift 2
done
[ $# -eq 0 ] || shift
if [ -z "$peers" ]; then
  peers=4
  [ "$shards" = no ] || peers=8
fi
subnet=10.77.0

in_peer() { # RANK COMMAND...
  rank=$1
  shift
  ip netns exec "peer$rank" "$@"
}

# The same everywhere: the default of some hosts, bbr, has ideas of its own about a token bucket.
reno='echo reno > /proc/sys/net/ipv4/tcp_congestion_control'

make_switch() {
  mount -t tmpfs tmpfs /run
  mkdir /run/netns /run/tmp
  ip link set lo up
  ip link add sw type bridge
  ip addr add $subnet.254/24 dev sw
  ip link set sw up
  sh -c "$reno"
}

limit() { # a device's rate; the queue holds 50 ms, as a router's would
  tc "$@" root tbf rate "$link_rate" burst 256kb latency 50ms
}

make_peer() { # RANK
  link_rate=$rate
  [ "$1" != "$slow_rank" ] || link_rate=$slow_rate
  ip netns add "peer$1"
  ip link add "link$1" type veth peer name eth0 netns "peer$1"
  ip link set "link$1" master sw up
  ip -n "peer$1" addr add "$subnet.$(($1 + 1))/24" dev eth0
  ip -n "peer$1" link set eth0 up
  ip -n "peer$1" link set lo up
  limit qdisc add dev "link$1"
  limit -n "peer$1" qdisc add dev eth0
  in_peer "$1" sh -c "$reno"
}

# MB/s from rank 0 to the peer with the slowest link: what no ring can exceed.
measure_line() {
  to=${slow_rank:-1}
  from=0
  [ "$to" != 0 ] || from=1
  in_peer "$to" iperf3 --server --one-off > /dev/null &
  server=$!
  tries=0
  # Refused until the server listens.
  until report=$(in_peer $from iperf3 --client "$subnet.$((to + 1))" --time "$iperf_seconds" --format k 2> /dev/null); do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || { echo "bench/net: iperf3 does not get through" >&2; exit 1; }
    sleep 0.1
  done
  wait $server
  echo "$report" | awk '/receiver/ { for (i = 2; i <= NF; i++) if ($i == "Kbits/sec") printf "%.2f\n", $(i - 1) / 8000 }'
}

make_switch
export TMPDIR=/run/tmp # goes with the namespaces
for rank in $(seq 0 $((peers - 1))); do make_peer "$rank"; done
line=$(measure_line)
[ -n "$line" ] || { echo "bench/net: iperf3 said nothing" >&2; exit 1; }
echo "bench/net: $peers peers, links of $rate${slow_rank:+, rank $slow_rank's of $slow_rate}; iperf3: $line MB/s" >&2
if [ "$joiner" = yes ]; then
  exec sh "$(dirname "$0")/joiner.sh" "$build" "$peers" "$subnet" "$line" "$@"
fi
if [ "$shards" = yes ]; then
  exec sh "$(dirname "$0")/shards.sh" "$build" "$peers" "$subnet" "$line" "$@"
fi
"$build/bench/perf/perf_compare" --netns-prefix peer --subnet $subnet --own-address $subnet.254 --interface eth0 \
  --launch-agent "$(dirname "$0")/agent.sh" --line-MBps "$line" "$@"
