#!/bin/sh
# Joiner catch-up: the last peer joins when the others have trained for a while.  Called by inside.sh, in its namespaces:
#
#   joiner.sh BUILD PEERS SUBNET LINE_MBPS [--state BYTES] [--gradient BYTES] [--compute-ms MS] [--steps N]
#             [--share PERCENT] [--follow yes|no] [--log FOLDER]
set -eu
build=$1 peers=$2 subnet=$3 line=$4
shift 4
state=1073741824 gradient=16777216 compute_ms=600 steps=10 share=100 follow=no log=/run/tmp
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { echo "bench/net: $1 needs a value" >&2; exit 2; }
  case $1 in
    --state) state=$2 ;;
    --gradient) gradient=$2 ;;
    --compute-ms) compute_ms=$2 ;;
    --steps) steps=$2 ;;
    --share) share=$2 ;;
    --follow) follow=$2 ;;
    --log) log=$2; mkdir -p "$log" ;;
    *) echo "bench/net: joiner has no option $1: see run.sh --help" >&2; exit 2 ;;
  esac
  shift 2
done
members=$((peers - 1)) follows=0
[ "$follow" != yes ] || follows=1
export RHZ_COORDINATOR=$subnet.254:7400 RHZ_LOG=info RHZ_SYNC_BULK_BYTES=0

start_peer() { # RANK ROLE
  ip netns exec "peer$1" env RHZ_SLOT="$1" "$build/bench/joiner_peer" "$2" "$state" "$gradient" "$compute_ms" "$steps" "$peers" "$share" $follows \
    > "$log/peer$1.out" 2> "$log/peer$1.err" &
  pids="$pids $!"
}

"$build/api/tools/rhizome" coordinator --listen "$RHZ_COORDINATOR" --world "$members" --max-world "$peers" \
  > "$log/coordinator.out" 2>&1 &
coordinator=$!
pids=""
for rank in $(seq 0 $((members - 1))); do start_peer "$rank" member; done
# The steps before it comes are what its cost is compared with.
while [ "$(grep -c '^step' "$log/peer0.out")" -lt "$steps" ]; do
  kill -0 "$coordinator" || { cat "$log/coordinator.out" >&2; exit 1; }
  sleep 0.2
done
# Bytes of each link, from the switch to the peer and back, every 100 ms: where a joiner's rate goes.
trace_links() {
  while sleep 0.1; do
    awk -v us="$(date +%s%N | cut -c 1-16)" '/^ *link/ { sub(/:/, " "); line = line " " $1 "=" $10 "/" $2 } END { print us line }' /proc/net/dev
  done
}
[ "$log" = /run/tmp ] || { trace_links > "$log/links.txt" & }
start_peer "$members" joiner
for pid in $pids; do wait "$pid" || { cat "$log"/peer*.err >&2; exit 1; }; done
kill "$coordinator"
wait "$coordinator" || true

# Medians of the members' steps before a copy was taken, and while the joiner pulled from it.
cat "$log"/peer*.out | awk -v line="$line" -v state="$state" -v members="$members" '
  function value(name,   i) {
    for (i = 2; i <= NF; i++) if (index($i, name "=") == 1) return substr($i, length(name) + 2) + 0
    return 0
  }
  function median(list, n,   i, j, t) {
    for (i = 2; i <= n; i++) { t = list[i]; for (j = i - 1; j > 0 && list[j] > t; j--) list[j + 1] = list[j]; list[j + 1] = t }
    return n ? list[int((n + 1) / 2)] : 0
  }
  $1 == "joined" && value("bulk_bytes") + value("rest_bytes") > 0 {
    bulk_bytes = value("bulk_bytes"); bulk_us = value("bulk_us"); rest_bytes = value("rest_bytes"); rest_us = value("rest_us"); joined_us = value("us")
    updates = value("updates"); update_bytes = value("update_bytes")
  }
  $1 == "step" && value("world_before") == members {
    us = value("us"); boundary = value("boundary_us")
    if (value("world") > members) { if (boundary > pause) pause = boundary }
    # The step in front of the copy was undisturbed; "copies" is what it is behind the boundary.
    if (value("copies") == 0 || !copied[value("slot")]) before[++nb] = us
    else { during[++nd] = us; record[nd] = value("record_us") }
    if (value("copies") > 0 && !copied[value("slot")]) {
      copied[value("slot")] = 1
      if (boundary > copy_pause) copy_pause = boundary
    }
  }
  END {
    b = median(before, nb); d = median(during, nd)
    rate = bulk_us ? bulk_bytes / bulk_us : 0
    printf "joiner catch-up: state_MB=%.0f line_MBps=%.1f bulk_MB=%.0f bulk_s=%.2f bulk_MBps=%.1f bulk_of_link=%.1f%%\n", state / 1e6, line, bulk_bytes / 1e6, bulk_us / 1e6, rate, 100 * rate / line
    printf "donors: step_ms_before=%.1f (%d) step_ms_during=%.1f (%d) slower_by=%.1f%%\n", b / 1e3, nb, d / 1e3, nd, b ? 100 * (d / b - 1) : 0
    printf "pauses: for_the_copy_ms=%.1f final_ms=%.1f final_MB=%.0f steps=%.2f joined_after_s=%.2f\n", copy_pause / 1e3, pause / 1e3, rest_bytes / 1e6, b ? pause / b : 0, joined_us / 1e6
    printf "followed: updates=%d MB=%.0f record_ms=%.1f\n", updates, update_bytes / 1e6, median(record, nd) / 1e3
  }'
