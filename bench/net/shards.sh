#!/bin/sh
# Rebuild of lost shards: a stage lies in the vaults of all hosts but its keeper's, one of which is killed.  Called by
# inside.sh, in its namespaces:
#
#   shards.sh BUILD PEERS SUBNET LINE_MBPS [--state BYTES] [--code K+M] [--log FOLDER]
set -eu
build=$1 peers=$2 subnet=$3 line=$4
shift 4
state=536870912 code=4+2 log=/run/tmp
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { echo "bench/net: $1 needs a value" >&2; exit 2; }
  case $1 in
    --state) state=$2 ;;
    --code) code=$2 ;;
    --log) log=$2; mkdir -p "$log" ;;
    *) echo "bench/net: shards has no option $1: see run.sh --help" >&2; exit 2 ;;
  esac
  shift 2
done
data=${code%%+*} parity=${code##*+}
# With a vault to spare each shard of a stripe still has a host of its own when one is gone.
[ "$peers" -gt $((data + parity + 1)) ] || { echo "bench/net: --shards $code takes --peers $((data + parity + 2))" >&2; exit 2; }
export RHZ_COORDINATOR=$subnet.254:7400 RHZ_LOG=info RHZ_SHARDS=$code

"$build/api/tools/rhizome" coordinator --listen "$RHZ_COORDINATOR" --world 1 > "$log/coordinator.out" 2>&1 &
coordinator=$!
vaults=""
for rank in $(seq 1 $((peers - 1))); do
  # The state is protected anew while vaults come: each holds two generations at most.
  ip netns exec "peer$rank" "$build/api/tools/rhizome" vault --coordinator "$RHZ_COORDINATOR" --host "peer$rank" \
    --shard-memory $((4 * state)) > "$log/vault$rank.out" 2>&1 &
  vaults="$vaults $!"
done
ip netns exec peer0 "$build/bench/shards_peer" "$state" "$parity" eth0 > "$log/keeper.out" 2> "$log/keeper.err" &
keeper=$!
until grep -q '^protected' "$log/keeper.out"; do
  kill -0 "$keeper" 2> /dev/null || { cat "$log/coordinator.out" "$log"/vault*.out "$log/keeper.err" >&2; exit 1; }
  sleep 0.1
done
# "ip netns exec" becomes the program that it starts.
kill -KILL "${vaults##* }"
wait "$keeper" || { cat "$log/keeper.err" >&2; exit 1; }
for pid in $vaults; do kill "$pid" 2> /dev/null || true; done
kill "$coordinator"
wait "$coordinator" || true

awk -v line="$line" -v code="$code" '
  function value(name,   i) {
    for (i = 2; i <= NF; i++) if (index($i, name "=") == 1) return substr($i, length(name) + 2) + 0
    return 0
  }
  {
    s = value("us") / 1e6; in_rate = value("received") / 1e6 / s; out_rate = value("sent") / 1e6 / s
    busier = in_rate > out_rate ? in_rate : out_rate
    printf "%s: code=%s state_MB=%.0f s=%.2f received_MBps=%.1f sent_MBps=%.1f line_MBps=%.1f of_link=%.1f%%\n", $1, code, value("bytes") / 1e6, s, in_rate, out_rate, line, 100 * busier / line
  }' "$log/keeper.out"
