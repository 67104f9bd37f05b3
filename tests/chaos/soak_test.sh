#!/bin/sh
# soak.sh and slope.sh on programs that are not there, fail, do too little, or do as they should: what must not be green is not.
#
#   sh tests/chaos/soak_test.sh FOLDER
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$1
rm -rf "$work"
mkdir -p "$work/api/tools" "$work/tests/integration" "$work/tests/sim" "$work/tests/fuzz"
wrong=0

expect() { # STATUS WHAT COMMAND...
  wanted=$1 what=$2
  shift 2
  "$@" > "$work/said.txt" 2>&1
  status=$?
  [ $status = "$wanted" ] || { wrong=1; echo "$what: exit status $status, not $wanted"; cat "$work/said.txt"; }
}
soak() { sh "$here/soak.sh" "$work" "$work/out" "$@"; }
program() { # PATH LINE...
  path=$work/$1
  shift
  printf '%s\n' '#!/bin/sh' "$@" > "$path"
  chmod +x "$path"
}
all="kills=100 coordinator=5 slow=5 joins=1 network=1 peers=2 sim=10 fuzz=10"

for part in $all; do expect 1 "$part without programs" soak "$part"; done

ok='echo "rhizome chaos: seed 1, 4 peers: 9 faults (3 kill, 1 kill-several, 5 coordinator, 5 slow, 2 freeze), 0 could not strike; epoch 3" >&2'
program api/tools/rhizome "$ok" 'echo "rhizome chaos: ok: 0 hangs" >&2'
program tests/integration/kill_test 'echo "kills=100 in_the_middle=9 hangs=0 steady"'
program tests/sim/rhizome-sim 'echo "done seeds=3 events=9 churn=10 x"'
for target in frame control log coordinator member resolve splitter handshake checkpoint schedule texts; do
  program "tests/fuzz/fuzz_$target" '[ -d "$5" ] || exit 1' 'echo "3 seeds and files, 10 changed inputs, seed 1"'
done
for part in $all; do expect 0 "$part that is well" soak "$part"; done
expect 1 "fewer kills than asked" soak kills=200
expect 1 "fewer coordinators than asked, with further seeds" soak coordinator=26
expect 0 "as many as asked, with further seeds" soak coordinator=25
expect 1 "less churn than asked" soak sim=11
expect 1 "fewer inputs than asked" soak fuzz=11

program api/tools/rhizome "$ok" 'echo "rhizome chaos: ok: 0 hangs" >&2' 'exit 1'
expect 1 "chaos that says ok and fails" soak coordinator=5
program api/tools/rhizome "$ok"
expect 1 "chaos that ends in the middle" soak coordinator=5
program api/tools/rhizome "$ok" 'echo "rhizome chaos:    1.000 s  DECISION LOST: x" >&2' 'echo "rhizome chaos: FOUND: x" >&2' 'echo "rhizome chaos: ok: 0 hangs" >&2'
expect 1 "a finding of a kind that has no column" soak coordinator=5
program api/tools/rhizome 'echo "rhizome chaos: not permitted" >&2' 'exit 77'
expect 0 "a network that is not permitted" soak network=1
program tests/integration/kill_test 'echo "kills=100 in_the_middle=9 hangs=1 steady"' 'echo "[  FAILED  ] Modes/x, where (1 ms)"' 'exit 1'
expect 1 "a hang" soak kills=100
grep -q '^kills  *100  *1  *0 ' "$work/out/table.txt" || { wrong=1; echo "a hang is in no column"; cat "$work/out/table.txt"; }

# 40 minutes of a process: SECONDS PID NAME RSS_KB FILES.
samples() { # KIB_A_MINUTE FILES_A_MINUTE
  awk -v r="$1" -v o="$2" 'BEGIN { for (t = 0; t <= 2400; t += 60) print t, 7, "peer", int(20000 + r * t / 60 + 200 * (t % 180 == 0)), int(30 + o * t / 60) }' > "$work/samples.txt"
}
samples 20 0
expect 0 "a process that grows as little as caches do" sh "$here/slope.sh" "$work/samples.txt"
samples 1000 0
expect 1 "a process that grows" sh "$here/slope.sh" "$work/samples.txt"
samples 0 1
expect 1 "open files that grow" sh "$here/slope.sh" "$work/samples.txt"
: > "$work/samples.txt"
expect 1 "nobody" sh "$here/slope.sh" "$work/samples.txt"
[ $wrong != 0 ] || echo "soak.sh: all as expected"
exit $wrong
