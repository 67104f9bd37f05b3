#!/bin/sh
# Long runs, by hand: `make soak`.  Each part prints its own lines into OUT, and a table at the end says what came of all of them.
set -u

usage() {
  cat << 'END'
usage: sh tests/chaos/soak.sh BUILD_DIR OUT_DIR [PART=AMOUNT]...

  kills=N        SIGKILL in the middle of a 16 MiB all-reduce, every result compared (2000; in hundreds)
  coordinator=N  SIGKILL of the coordinator, one a second, beside kills of peers (200)
  slow=N         peers that stand still for up to half the suspicion time, or get a tenth of their time (200)
  churn=MIN      8 peers, of which one is evicted and comes back every second: memory and open files of all (60)
  joins=MIN      12 peers, up to 10 of which die and come back at once, some killed again while they join (10)
  network=MIN    5 hosts under all faults, of the network too, a new seed every minute (10)
  peers=N        as many peers as that in one run on this host, with kills, for a minute (32)
  sim=N          churn events of the simulator (1000000)
  fuzz=N         executions of each fuzz target (10000000)

Without parts: all, with the amounts in brackets.  SEED=n moves the seeds (1), LEDGER=FILE is what the simulator adds a line to.
Exit status: 0 when nothing was found, every part did what was asked of it, and nothing of the churn grew (slope.sh).
A part that this host does not permit (namespaces) is skipped, and said to be.
END
}

[ $# -ge 2 ] || { usage >&2; exit 2; }
build=$1 out=$2
shift 2
[ $# -gt 0 ] || set -- kills=2000 coordinator=200 slow=200 churn=60 joins=10 network=10 peers=32 sim=1000000 fuzz=10000000
seed=${SEED:-1}
here=$(cd "$(dirname "$0")" && pwd)
rhizome=$build/api/tools/rhizome peer=$build/tests/chaos/rhz_chaos_peer
mkdir -p "$out"
rm -f "$out/churn-slope.txt"
table=$out/table.txt
printf '%-12s %10s %6s %6s %6s %6s %7s  %s\n' part trials hangs wrong evicted other seconds seeds > "$table"
bad=0

row() { # PART TRIALS HANGS WRONG EVICTED OTHER SINCE SEEDS
  printf '%-12s %10s %6s %6s %6s %6s %7s  %s\n' "$1" "$2" "$3" "$4" "$5" "$6" $(($(date +%s) - $7)) "$8" | tee -a "$table"
  [ "$3$4$5$6" = 0000 ] || bad=1
}

# A part that did less than was asked, or whose program failed, shows nothing, whatever its row says.
short() { # PART WHY
  echo "$1: $2" | tee -a "$table"
  bad=1
}
enough() { # PART TRIALS WANTED
  [ "${2:-0}" -ge "$3" ] || short "$1" "only ${2:-0} of $3"
}

count() { # PATTERN FILE...: lines
  pattern=$1
  shift
  cat "$@" | grep -c "$pattern"
}

# The sum of all N in "N KIND" of the reports of `rhizome chaos`, for any of the kinds.
struck() { # KINDS FILE...
  kinds=$1
  shift
  sed -n 's/^rhizome chaos: seed .* faults (\(.*\)), [0-9]* could not.*/\1/p' "$@" | tr ',' '\n' |
    awk -v kinds="$kinds" '{ n = split(kinds, k, ","); for (i = 1; i <= n; i++) if ($2 == k[i]) total += $1 } END { print total + 0 }'
}

chaos_row() { # PART KINDS WANTED SINCE SEEDS FILE...
  part=$1 kinds=$2 wanted=$3 since=$4 seeds=$5
  shift 5
  hangs=$(count 's  HANG:' "$@") wrong=$(count 's  WRONG BITS:' "$@") evicted=$(count 's  FALSE EVICTION:' "$@")
  # Findings of other kinds; and runs that do not say that all was well, for whatever reason.
  other=$(($(count 'chaos: FOUND' "$@") - hangs - wrong - evicted))
  for file in "$@"; do
    grep -q 'chaos: ok:\|chaos: FOUND' "$file" || other=$((other + 1))
  done
  trials=$(struck "$kinds" "$@")
  row "$part" "$trials" "$hangs" "$wrong" "$evicted" "$other" "$since" "$seeds"
  enough "$part" "$trials" "$wanted"
}

# The lines of the peers are many, and compared already; the findings go to the other file.
chaos() { # NAME ARGUMENTS... -- PEER'S
  name=$1
  shift
  "$rhizome" chaos --run-id "soak-$name" "$@" > /dev/null 2> "$out/$name.txt"
  status=$?
  [ $status = 0 ] || [ $status = 77 ] || short "$name" "exit status $status"
  return $status
}

# What is drawn, and what it meets, is left to chance: further seeds, for what is missing, five at most.
until_struck() { # PART KINDS WANTED SECONDS_EACH ARGUMENTS...
  part=$1 kinds=$2 wanted=$3 each=$4 since=$(date +%s) files="" last=$seed got=0
  shift 4
  while :; do
    time=$(awk -v n=$((wanted - got)) -v s="$each" 'BEGIN { m = n * s / 60; print m < 0.02 ? 0.02 : m }')
    chaos "$part-$last" --seed "$last" -n 4 --minutes "$time" "$@" -- "$peer"
    status=$?
    files="$files $out/$part-$last.txt"
    # shellcheck disable=SC2086
    got=$(struck "$kinds" $files)
    [ $status = 0 ] && [ "$got" -lt "$wanted" ] && [ "$last" -lt $((seed + 4)) ] || break
    last=$((last + 1))
  done
  # shellcheck disable=SC2086
  chaos_row "$part" "$kinds" "$wanted" "$since" "$seed..$last" $files
}

kills() {
  since=$(date +%s) repeats=$((($1 + 99) / 100))
  "$build/tests/integration/kill_test" --gtest_filter='Modes*' --gtest_repeat=$repeats > "$out/kills.txt" 2>&1 ||
    short kills "exit status $?"
  trials=$(sed -n 's/^kills=\([0-9]*\) .*/\1/p' "$out/kills.txt" | awk '{ n += $1 } END { print n + 0 }')
  hangs=$(grep -c 'hangs=1' "$out/kills.txt")
  # Each hang is a failed test as well.
  row kills "$trials" "$hangs" $(($(grep -c '^\[  FAILED  \].* (' "$out/kills.txt") - hangs)) 0 0 "$since" "any"
  enough kills "$trials" "$1"
}

coordinator() {
  # One that has not come back yet cannot be killed: about one in three of the faults drawn.
  until_struck coordinator coordinator "$1" 1.5 --faults coordinator,coordinator,kill --every-s 0.5
}

slow() {
  until_struck slow slow,pause "$1" 1.25 --faults slow,pause --every-s 1
}

churn() {
  since=$(date +%s)
  "$rhizome" chaos --run-id soak-churn --seed "$seed" -n 8 --suspicion-ms 500 --faults freeze --every-s 1 --minutes "$1" \
    -- "$peer" --pace-ms 20 > /dev/null 2> "$out/churn.txt" &
  run=$!
  sh "$here/sample.sh" $run 2 > "$out/churn-samples.txt"
  wait $run || short churn "exit status $?"
  chaos_row churn freeze 1 "$since" "$seed" "$out/churn.txt"
  sh "$here/slope.sh" "$out/churn-samples.txt" > "$out/churn-slope.txt" || short churn "memory or open files grow, or nobody was looked at"
  cat "$out/churn-slope.txt"
}

joins() {
  since=$(date +%s)
  chaos joins --seed "$seed" -n 12 --faults kill-several,kill-joiners --every-s 0.4 --minutes "$1" -- "$peer" --state-bytes $((32 << 20)) --pace-ms 20
  chaos_row joins kill-several,kill-joiners 1 "$since" "$seed" "$out/joins.txt"
}

network() {
  since=$(date +%s) files="" last=$seed
  for last in $(seq "$seed" $((seed + $1 - 1))); do
    chaos "network-$last" --hosts --seed "$last" -n 5 --every-s 1 --minutes 1 -- "$peer"
    [ $? -ne 77 ] || { echo "network: skipped: $(tail -1 "$out/network-$last.txt")" | tee -a "$table"; return; }
    files="$files $out/network-$last.txt"
  done
  # shellcheck disable=SC2086
  chaos_row network kill,kill-several,kill-joiners,pause,freeze,slow,reset,coordinator,garbage,descriptors,memory,full-disk,blip,partition,one-way,edge,flip-flop,narrow,rough,cut-coordinator,flips \
    1 "$since" "$seed..$last" $files
}

peers() {
  since=$(date +%s)
  chaos peers --seed "$seed" -n "$1" --suspicion-ms 5000 --stall-s 60 --faults kill,kill-several,kill-joiners --every-s 5 --minutes 1 -- "$peer" --pace-ms 50
  chaos_row "peers=$1" kill,kill-several,kill-joiners 1 "$since" "$seed" "$out/peers.txt"
}

sim() {
  since=$(date +%s)
  "$build/tests/sim/rhizome-sim" --seeds "$seed..100000000" --churn-target "$1" --jobs "$(nproc)" --twice-every 0 ${LEDGER:+--ledger "$LEDGER"} > "$out/sim.txt" 2>&1 ||
    short sim "exit status $?"
  trials=$(sed -n 's/.* churn=\([0-9]*\) .*/\1/p' "$out/sim.txt" | tail -1)
  row sim "${trials:-0}" 0 "$(count 'VIOLATION\|ASSERTION' "$out/sim.txt")" 0 0 "$since" \
    "$seed.. ($(sed -n 's/.*seeds=\([0-9]*\) .*/\1/p' "$out/sim.txt" | tail -1))"
  enough sim "$trials" "$1"
}

fuzz() {
  for target in frame control log coordinator member resolve splitter handshake checkpoint schedule texts; do
    since=$(date +%s) failed=0
    # A crash is found again by the seed, with --keep; that writes each input first, and takes many times as long.
    "$build/tests/fuzz/fuzz_$target" --runs "$1" --seed "$seed" "$here/../fuzz/corpus/$target" > "$out/fuzz-$target.txt" 2>&1 || failed=1
    trials=$(sed -n 's/.*, \([0-9]*\) changed inputs.*/\1/p' "$out/fuzz-$target.txt")
    row "fuzz_$target" "${trials:-0}" 0 $failed 0 0 "$since" "$seed"
    enough "fuzz_$target" "$trials" "$1"
  done
}

for part in "$@"; do
  amount=${part#*=}
  case ${part%%=*}=$amount in
    *=*[!0-9.]* | *=) usage >&2; exit 2 ;;
    kills=* | coordinator=* | slow=* | churn=* | joins=* | network=* | peers=* | sim=* | fuzz=*) "${part%%=*}" "$amount" ;;
    *) usage >&2; exit 2 ;;
  esac
done
echo
cat "$table"
[ ! -f "$out/churn-slope.txt" ] || cat "$out/churn-slope.txt"
exit $bad
