#!/bin/sh
# Runs one group of model configurations and compares each verdict with the expected one.
#
#   run.sh PATH_TO_rebuild_model GROUP
#
# fast       a subset of all the others, in well under a minute: part of every test run
# base       the release rules without faults beyond crashes, suspicions and fail-overs
# large      the same at the largest sizes that are still exhaustive
# abort      FAIL and ABORT: the weakest conditions, and one step beyond each
# join       joiners, by an admit op or at any moment
# admission  joins as the runtime does them: ADMIT, sync, VIEW; with their mutants
# watermark  the wave from watermarks
# rooted     broadcast, scatter, reduce, gather, with their mutants
# layout     all-gather, reduce-scatter, all-to-all, with their mutants
# p2p        send and receive (p2p_model, beside rebuild_model), with their mutants
# groups     two groups at once, with their mutants
# joingroups joins and watermarks with two groups, with their mutants
# mutants    mutants 1-25; 6 and 7 must survive (config.h), all others must be killed
# mutants2   the mutants of ABORT, JOIN and WATERMARK; all must be killed
# raw2       state reduction switched off: same verdicts expected
#
# One line per configuration (mutants: per mutant), then `N passed, N failed`.  Exit status 1 on
# any surprise.
# shellcheck disable=SC2086  # options are lists of words
set -u
if [ $# -ne 2 ]; then
  sed -n '2,/^# any surprise/s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
model=$1
passed=0
failed=0

F="crash=2 false=1 coord=1"
G="crash=1 false=1 coord=1"
RULES="a:U b:S"                # the invariant that each release rule promises
rule() { echo "rule=${1%:*} inv=${1#*:}"; }

pass() {
  passed=$((passed + 1))
  echo "pass  $*"
}
fail() {
  failed=$((failed + 1))
  echo "FAIL  $*"
}

# Exhaustive, and without a violation.
ok() {
  line=$("$model" "$@")
  status=$?
  case "$status $line" in
  "0 "*" ok") pass "$line" ;;
  *) fail "$line (status $status; expected: ok; options: $*)" ;;
  esac
}

# Sets `line`, and `verdict` to killed, survived, or failed (died, or cut short).
try() {
  line=$("$model" "$@")
  status=$?
  case "$status $line" in
  "1 "*" VIOLATION: "*) verdict=killed ;;
  "0 "*" ok") verdict=survived ;;
  *) verdict=failed ;;
  esac
}

# Must be violated.
breaks() {
  try "$@"
  if [ "$verdict" = killed ]; then
    pass "$line"
  else
    fail "$line ($verdict, status $status; expected: a violation; options: $*)"
  fi
}

# A mutant is killed as soon as one of the configurations is violated.
mutant() {
  number=$1 expected=$2
  tried=0
  for z in 1 0; do for size in "C=2 ops=1" "C=1 ops=2"; do for m in 0 1 2; do for r in $RULES; do
    tried=$((tried + 1))
    try N=3 $size $F mode=$m $(rule $r) zerocopy=$z mut=$number max=3000000
    [ "$verdict" = survived ] || break 4
  done; done; done; done
  if [ "$verdict" = "$expected" ]; then
    pass "mutant $number $verdict after $tried configurations: $line"
  else
    fail "mutant $number $verdict after $tried configurations (expected: $expected): $line (status $status)"
  fi
}

group_base() {
  for m in 0 1 2; do
    for size in "N=3 C=2" "N=4 C=1" "N=3 C=1 ops=2" "N=3 C=1 ops=2 seq=0"; do
      ok $size $F mode=$m rule=a inv=U
      ok $size $F mode=$m rule=b inv=S
      ok $size $F mode=$m rule=b inv=S inputfull=1
    done
    ok N=3 C=1 ops=2 $F mode=$m rule=b inv=S inputfull=1 implicit=1
    ok N=3 C=2 crash=1 false=0 mode=$m rule=b inv=U quorum=1
    ok N=3 C=2 crash=0 false=1 mode=$m rule=b inv=U quorum=1
    breaks N=3 C=1 crash=1 false=0 coord=0 mode=$m rule=b inv=U    # rule b is not uniform
    breaks N=3 C=1 crash=0 false=1 coord=0 mode=$m rule=b inv=U
    breaks N=3 C=2 crash=1 false=1 mode=$m rule=b inv=U quorum=1 # a quorum of f: f faults
    breaks N=3 C=1 ops=2 $F mode=$m rule=b inv=S implicit=1 seq=0 # implicit: sequential only
  done
  for m in 1 2; do
    ok N=3 C=2 $F mode=$m rule=a inv=U inplace=1
    ok N=3 C=2 $F mode=$m rule=b inv=S inplace=1 inputfull=1
    ok N=3 C=2 ops=2 $F mode=$m rule=b inv=S inplace=1 inputfull=1 implicit=1
  done
  breaks N=3 C=2 $F mode=0 rule=a inv=U inplace=1                  # strict must keep all inputs
}

group_large() {
  for m in 0 1 2; do for r in $RULES; do
    ok N=4 C=2 $F mode=$m $(rule $r)
    ok N=3 C=2 ops=2 $F mode=$m $(rule $r)
    ok N=4 C=1 ops=2 $F mode=$m $(rule $r)
    ok N=3 C=2 crash=2 false=2 coord=2 mode=$m $(rule $r)
    ok N=4 C=1 crash=3 false=1 coord=1 mode=$m $(rule $r)
  done; done
  for m in 0 1 2; do ok N=4 C=2 crash=1 false=1 mode=$m rule=b inv=U quorum=2; done
  for r in $RULES; do
    for m in 0 1 2; do ok N=3 C=1 ops=2 $G fail=1 mode=$m $(rule $r); done
    ok N=4 C=1 $G fail=1 mode=1 $(rule $r)
  done
  ok N=3 C=2 $F mode=1 rule=a inv=U raw=1
  ok N=3 C=2 $F mode=2 rule=a inv=U raw=1
  ok N=3 C=1 ops=2 $F mode=0 rule=b inv=S raw=1
  ok N=3 C=1 ops=2 $F mode=2 rule=b inv=S raw=1
}

group_abort() {
  for m in 0 1 2; do
    # The weakest conditions, and one step beyond each.
    ok     N=3 C=2 $G fail=1 mode=$m rule=a inv=U abortif=2
    breaks N=3 C=2 $G fail=1 mode=$m rule=a inv=U abortif=3
    ok     N=3 C=2 $G fail=1 mode=$m rule=a inv=S abortif=3
    breaks N=3 C=2 $G fail=1 mode=$m rule=a inv=S abortif=4
    ok     N=3 C=2 $G fail=1 mode=$m rule=b inv=S abortif=1
    breaks N=3 C=2 $G fail=1 mode=$m rule=b inv=S abortif=2
    for r in $RULES; do
      ok N=3 C=2 $G fail=1 mode=$m $(rule $r)
      ok N=3 C=1 ops=2 crash=1 false=0 coord=1 fail=1 mode=$m $(rule $r)
      ok N=3 C=1 ops=2 seq=0 crash=0 false=1 coord=0 fail=1 mode=$m $(rule $r)
      ok N=3 C=2 $G odd=1 mode=$m $(rule $r)                       # a wrong signature
      ok N=3 C=1 ops=2 $F minworld=2 mode=$m $(rule $r)            # the world became too small
      ok N=3 C=1 ops=2 seq=0 crash=1 false=1 coord=0 minworld=3 mode=$m $(rule $r)
    done
  done
  ok N=4 C=1 crash=1 false=0 coord=0 fail=1 mode=1 rule=a inv=U
  ok N=4 C=1 crash=0 false=1 coord=0 fail=1 mode=1 rule=b inv=S
  ok N=3 C=1 crash=1 false=0 coord=0 fail=2 mode=1 rule=a inv=U
  ok N=3 C=1 crash=0 false=1 coord=0 fail=2 mode=1 rule=b inv=S
  # Condition and watermark together.
  ok N=3 C=1 ops=2 seq=2 wm=1 crash=0 false=1 coord=0 fail=1 mode=1 rule=a inv=U abortif=2
  ok N=3 C=1 ops=2 seq=2 wm=1 crash=0 false=1 coord=0 fail=1 mode=1 rule=b inv=S abortif=1
}

group_join() {
  for m in 0 1 2; do for r in $RULES; do
    ok N=3 C=1 ops=3 join=1 admit=1 $G mode=$m $(rule $r)
    ok N=3 C=1 ops=3 join=1 admit=1 admitall=1 $G mode=$m $(rule $r)
    ok N=3 C=1 ops=3 join=1 admit=1 seq=2 $G mode=$m $(rule $r)
    ok N=3 C=1 ops=3 join=1 admit=2 seq=2 $G coord=0 mode=$m $(rule $r)
    ok N=3 C=1 ops=2 join=2 seq=2 $G mode=$m $(rule $r)
    ok N=3 C=1 ops=3 join=1 admit=1 crash=1 false=0 coord=1 fail=1 mode=$m $(rule $r)
  done; done
  for r in $RULES; do
    ok N=3 C=2 ops=2 join=1 admit=1 seq=2 $G coord=0 mode=1 $(rule $r)
    ok N=4 C=1 ops=2 join=1 admit=1 seq=2 crash=1 false=0 coord=0 mode=1 $(rule $r)
    ok N=4 joiners=2 C=1 ops=3 join=1 admit=1 $G mode=1 $(rule $r)
    ok N=4 joiners=2 C=1 ops=2 join=2 seq=2 crash=1 false=0 coord=0 mode=1 $(rule $r)
    ok N=3 joiners=2 C=1 ops=2 join=2 seq=2 $G coord=0 mode=1 $(rule $r)
  done
}

group_admission() {
  one="N=3 C=1 ops=3 join=3"
  two="N=4 C=1 ops=3 join=3 joiners=2"
  for r in $RULES; do
    for m in 0 1 2; do
      ok $one admit=1 $G mode=$m $(rule $r)
      ok $one admit=1 seq=2 $G mode=$m $(rule $r)
      ok $one admit=1 admit2=2 $G mode=$m $(rule $r)     # who fails at the first may enter at the second
      ok $two admit=1 $G coord=0 mode=$m $(rule $r)
    done
    ok $two admit=1 crash=2 false=0 coord=1 mode=1 $(rule $r)
    ok $two admit=0 admit2=2 crash=1 false=0 coord=1 mode=0 $(rule $r)
    ok $one admit=1 joiners=2 $G mode=1 $(rule $r)       # a single member, and more joiners than members
    ok $one admit=1 seq=2 crash=1 false=0 coord=1 fail=1 mode=1 $(rule $r) # also: the admit op is aborted
    ok $one admit=1 crash=0 false=1 coord=1 fail=1 mode=0 $(rule $r)
    ok $one admit=1 $G minworld=2 mode=1 $(rule $r)
    for mut in 36 37 61 64 65 66 68; do breaks $one admit=1 $G mode=1 $(rule $r) mut=$mut; done
    for mut in 33 35; do breaks $one admit=1 seq=2 $G mode=1 $(rule $r) mut=$mut; done
    for mut in 62 69; do breaks $two admit=1 $G coord=0 mode=1 $(rule $r) mut=$mut; done
    for mut in 63 67; do breaks $one admit=1 admit2=2 $G mode=1 $(rule $r) mut=$mut; done
  done
  ok $two admit=1 crash=2 false=1 coord=1 mode=1 rule=a inv=U
  ok $two admit=1 crash=1 false=2 coord=0 mode=0 rule=b inv=S
  ok $one admit=1 crash=1 false=0 coord=1 mode=1 rule=a inv=U raw=1
}

group_watermark() {
  for m in 0 1 2; do for r in $RULES; do
    ok N=3 C=1 ops=2 seq=2 wm=1 $G mode=$m $(rule $r)
    ok N=2 C=1 ops=3 seq=2 wm=1 $G mode=$m $(rule $r)
    ok N=3 C=2 ops=2 seq=2 wm=1 crash=1 false=0 coord=0 mode=$m $(rule $r)
    ok N=2 C=2 ops=3 seq=2 wm=1 join=2 $G mode=$m $(rule $r)
    ok N=3 C=1 ops=2 seq=2 wm=1 crash=1 false=0 coord=0 fail=1 mode=$m $(rule $r)
  done; done
  ok N=3 C=1 ops=2 seq=2 wm=1 crash=2 false=1 coord=0 mode=1 rule=a inv=U
  ok N=3 C=1 ops=2 seq=2 wm=1 crash=2 false=1 coord=0 mode=1 rule=b inv=S inputfull=1
}

# What holds for every other kind of collective.
other_kind() {
  kind=$1
  shift
  for m in 0 1; do
    ok kind=$kind N=3 C=2 $F mode=$m rule=a inv=U
    ok kind=$kind N=3 C=1 $F mode=$m rule=a inv=U late=1
    ok kind=$kind N=3 C=1 ops=2 $G mode=$m rule=a inv=U
    ok kind=$kind N=3 C=1 crash=1 false=0 coord=1 fail=1 mode=$m rule=a inv=U late=1
    ok kind=$kind N=3 C=1 crash=0 false=1 coord=1 fail=1 mode=$m rule=a inv=U
    ok kind=$kind N=3 C=1 $G odd=1 mode=$m rule=a inv=U
    ok kind=$kind N=3 C=1 ops=2 $G minworld=2 mode=$m rule=a inv=U
    ok kind=$kind N=3 C=1 ops=2 seq=2 wm=1 crash=1 false=0 coord=0 mode=$m rule=a inv=U
  done
  ok kind=$kind N=3 C=1 $G coord=0 mode=1 rule=a inv=U raw=1
  if [ "$1" = b ]; then
    for m in 0 1; do
      ok kind=$kind N=3 C=2 $G mode=$m rule=b inv=S inputfull=1
      ok kind=$kind N=3 C=1 $G mode=$m rule=b inv=S late=1
      ok kind=$kind N=3 C=1 crash=1 false=0 coord=1 fail=1 mode=$m rule=b inv=S
      ok kind=$kind N=3 C=1 $G odd=1 mode=$m rule=b inv=S
    done
  else
    breaks kind=$kind N=3 C=1 $G mode=0 rule=b inv=S fail=1
  fi
}

group_rooted() {
  for kind in broadcast scatter; do
    other_kind $kind a
    ok kind=$kind N=3 C=1 $G odd=2 late=1 mode=1 rule=a inv=U       # all believe to be the root
    breaks kind=$kind N=3 C=1 $G odd=2 mode=1 rule=a inv=U mut=46
    breaks kind=$kind N=3 C=1 $G mode=1 rule=a inv=U mut=47 zerocopy=0
    ok kind=$kind N=3 C=1 $G mode=1 rule=a inv=U inputfull=1
  done
  for kind in reduce gather; do
    other_kind $kind b
    breaks kind=$kind N=3 C=1 $G mode=1 rule=a inv=U mut=46
    breaks kind=$kind N=3 C=1 $G mode=1 rule=a inv=U mut=49
  done
  for kind in broadcast scatter reduce gather; do
    ok kind=$kind N=4 C=1 $G coord=0 mode=1 rule=a inv=U
    ok kind=$kind N=3 C=1 root=1 $F mode=0 rule=a inv=U
    breaks kind=$kind N=3 C=1 $G mode=1 rule=a inv=U mut=48
    breaks kind=$kind N=3 C=1 $G late=1 mode=1 rule=a inv=U mut=55
  done
  # Mode include: what a chain has collected goes on from where it is.
  ok kind=reduce N=3 C=2 $F mode=2 rule=a inv=U
  ok kind=reduce N=3 C=1 $G mode=2 rule=b inv=S fail=1
  ok kind=reduce N=4 C=1 $G coord=0 mode=2 rule=a inv=U
  breaks kind=reduce N=4 C=1 crash=1 false=0 coord=0 mode=2 rule=a inv=U mut=8
  for kind in broadcast scatter gather; do ok kind=$kind N=3 C=1 $G mode=2 rule=a inv=U; done
  for kind in scatter gather; do breaks kind=$kind N=3 $G late=1 mode=1 rule=a inv=U mut=50; done
  breaks kind=scatter N=3 $G mode=0 rule=a inv=U mut=51
  for kind in broadcast scatter gather; do
    breaks kind=$kind N=3 C=1 $G mode=1 rule=a inv=U mut=53
    breaks kind=$kind N=3 C=1 $G coord=0 odd=1 mode=1 rule=a inv=U mut=54
  done
}

group_layout() {
  other_kind allgather b
  other_kind reducescatter a
  other_kind alltoall a
  for m in 0 1; do
    ok kind=allgather N=4 crash=1 false=0 coord=0 mode=$m rule=a inv=U
    ok kind=reducescatter N=4 crash=1 false=0 coord=0 mode=$m rule=a inv=U
  done
  for kind in allgather reducescatter alltoall; do
    breaks kind=$kind N=3 $G late=1 mode=1 rule=a inv=U mut=50
  done
  for kind in allgather reducescatter alltoall; do ok kind=$kind N=3 $G coord=0 mode=2 rule=a inv=U; done
  ok kind=reducescatter N=4 crash=1 false=0 coord=0 mode=2 rule=a inv=U
  breaks kind=reducescatter N=4 crash=1 false=0 coord=0 mode=2 rule=a inv=U mut=8
  for kind in reducescatter alltoall; do
    breaks kind=$kind N=3 $G mode=1 rule=a inv=U inputfull=1 zerocopy=0
    breaks kind=$kind N=3 $G mode=0 rule=b inv=S
    breaks kind=$kind N=3 $G mode=0 rule=a inv=U mut=51
  done
  breaks kind=allgather N=3 $G mode=1 rule=a inv=U mut=52
  breaks kind=allgather N=3 $G mode=1 rule=b inv=S mut=52
  for kind in allgather alltoall; do breaks kind=$kind N=3 $G mode=1 rule=a inv=U mut=53; done
  breaks kind=allgather N=3 crash=0 false=0 coord=0 odd=1 mode=1 rule=a inv=U mut=54
  breaks kind=allgather N=3 ops=2 seq=2 wm=1 $G mode=1 rule=a inv=U mut=56
}

# The numbers of mutants are those of p2p_model.cc; 10 is harmless.
group_p2p() {
  rebuild=$model
  model=${rebuild%rebuild_model}p2p_model
  for copy in 0 1; do
    ok K=3 crash=1 false=1 round=2 copy=$copy
    ok K=2 crash=2 false=2 round=1 copy=$copy
    ok K=2 copy=$copy mut=10
    for mut in 1 2 3 5 6 7 8; do breaks K=2 copy=$copy mut=$mut; done
  done
  for mut in 4 9; do breaks K=2 copy=0 mut=$mut; done
  model=$rebuild
}

group_groups() {
  two="groups=2 ops=2 N=3 C=1"
  for r in $RULES; do
    for m in 0 1 2; do
      ok $two $G mode=$m $(rule $r)
      ok $two $G mode=$m $(rule $r) absent=2 late=1   # one group waits, the other does not
    done
    ok $two crash=2 false=1 coord=0 mode=1 $(rule $r) absent=1
    ok $two $G coord=0 mode=1 $(rule $r) late=1
    ok $two crash=1 false=0 coord=0 mode=1 $(rule $r) fail=1
    ok $two crash=0 false=1 coord=0 mode=1 $(rule $r) minworld=3
    ok groups=2 ops=3 N=3 C=1 crash=1 false=0 coord=0 mode=1 $(rule $r)
    breaks $two $G mode=1 $(rule $r) absent=2 late=1 mut=57
    breaks $two $G mode=1 $(rule $r) mut=58 zerocopy=0
    breaks $two $G mode=1 $(rule $r) mut=59
    breaks $two $G mode=1 $(rule $r) mut=60
  done
  ok $two crash=1 false=0 coord=0 kind=allgather mode=1 rule=a inv=U
  ok $two crash=1 false=0 coord=0 kind=reducescatter mode=0 rule=a inv=U
  ok $two crash=1 false=0 coord=0 kind=broadcast root=1 mode=0 rule=a inv=U
}

# Joins and watermarks with several groups: the second one has all founders but one; both=1: and the
# joiners.
group_joingroups() {
  four="groups=2 ops=3 N=4 C=1 join=3"
  wm="groups=2 ops=4 N=3 C=1 seq=2 wm=1"
  for r in $RULES; do
    for m in 0 1 2; do
      ok $four admit=0 crash=1 false=0 coord=0 mode=$m $(rule $r)
      ok $four admit=2 crash=1 false=0 coord=1 mode=$m $(rule $r)
      ok $four admit=0 both=1 crash=1 false=0 coord=0 mode=$m $(rule $r)
    done
    ok $four admit=0 crash=0 false=1 coord=0 mode=1 $(rule $r)
    ok $four admit=0 crash=0 false=0 coord=0 fail=1 mode=1 $(rule $r)
    ok $four admit=0 $G mode=1 $(rule $r) absent=2 late=1 # nobody enters, the second group goes on
    ok $four joiners=2 admit=0 $G coord=0 mode=1 $(rule $r)
    ok groups=2 ops=2 N=4 C=1 join=1 admit=0 $G mode=1 $(rule $r)
    ok groups=2 ops=2 N=4 C=1 join=2 both=1 seq=2 crash=1 false=0 coord=0 mode=1 $(rule $r)
    ok $wm crash=0 false=0 coord=0 mode=1 $(rule $r)
    ok groups=2 ops=3 N=3 C=1 seq=2 wm=1 $G coord=0 mode=1 $(rule $r)
    ok groups=2 ops=3 N=4 C=1 join=3 admit=0 seq=2 wm=1 crash=1 false=0 coord=0 mode=1 $(rule $r)
    breaks $four admit=0 crash=0 false=1 coord=0 mode=1 $(rule $r) mut=60
    breaks $four admit=0 crash=1 false=0 coord=0 mode=1 $(rule $r) mut=70
    breaks $four admit=0 crash=0 false=0 coord=0 mode=1 $(rule $r) absent=2 late=1 mut=71
    for mut in 39 72; do breaks $four admit=0 both=1 crash=1 false=0 coord=0 mode=1 $(rule $r) mut=$mut; done
    breaks $wm crash=1 false=0 coord=0 mode=1 $(rule $r) mut=73
  done
}

group_mutants() {
  for number in 1 2 3 4 5 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
    mutant $number killed
  done
  mutant 6 survived
  mutant 7 survived
}

group_mutants2() {
  for r in $RULES; do
    for mut in 26 28 31; do breaks N=3 C=1 $G fail=1 mode=1 $(rule $r) mut=$mut; done
    breaks N=3 C=1 $G fail=1 mode=1 $(rule $r) mut=26 zerocopy=0
    breaks N=3 C=1 $G fail=1 mode=1 $(rule $r) mut=28 zerocopy=0
    breaks N=2 C=1 ops=2 $G fail=1 mode=1 $(rule $r) mut=27
    breaks N=2 C=1 ops=2 $G fail=1 mode=1 $(rule $r) mut=7
    breaks N=3 C=1 odd=1 crash=0 false=0 coord=1 mode=1 $(rule $r) mut=29
    breaks N=3 C=1 ops=3 join=1 admit=1 crash=1 false=0 coord=0 fail=1 mode=1 $(rule $r) mut=30
    for mut in 32 33 35 36 37; do
      breaks N=3 C=1 ops=3 join=1 admit=1 seq=2 $G mode=1 $(rule $r) mut=$mut
    done
    breaks N=3 C=1 ops=3 join=1 admit=2 seq=2 $G mode=1 $(rule $r) mut=34
    breaks N=3 C=1 ops=2 join=2 seq=2 $G mode=1 $(rule $r) mut=39
    breaks N=3 C=1 ops=2 seq=2 wm=1 $G mode=1 $(rule $r) mut=40
    breaks N=2 C=1 ops=3 seq=2 wm=1 $G mode=1 $(rule $r) mut=41
    breaks N=3 C=1 ops=2 seq=2 wm=1 crash=0 false=1 coord=0 fail=1 mode=1 $(rule $r) mut=42
    breaks N=3 C=1 ops=2 seq=2 wm=1 $G mode=2 $(rule $r) mut=43
    breaks N=3 C=2 ops=2 seq=2 wm=1 $G mode=1 $(rule $r) mut=44
    breaks N=2 C=2 ops=3 seq=2 wm=1 join=2 $G mode=1 $(rule $r) mut=45
    # A watermark acted upon between seal and install.
    breaks N=3 C=1 ops=2 seq=2 wm=1 $G mode=1 $(rule $r) mut=12
  done
  breaks N=3 C=1 ops=3 join=1 admit=1 $G mode=1 rule=b inv=S mut=38
}

group_raw2() {
  ok N=3 C=1 crash=1 false=1 coord=0 fail=1 mode=2 rule=a inv=U raw=1
  ok N=3 C=1 crash=1 false=1 coord=0 fail=1 mode=2 rule=b inv=S raw=1
  ok N=3 C=1 ops=3 join=1 admit=1 seq=2 crash=1 false=0 coord=0 mode=1 rule=a inv=U raw=1
  ok N=3 C=1 ops=3 join=1 admit=1 seq=2 crash=1 false=0 coord=0 mode=1 rule=b inv=S raw=1
  ok N=3 C=1 ops=2 seq=2 wm=1 crash=0 false=1 coord=0 mode=1 rule=a inv=U raw=1
  ok N=3 C=1 ops=2 seq=2 wm=1 crash=1 false=0 coord=0 mode=2 rule=b inv=S raw=1
}

group_fast() {
  # Release rules, in every mode.
  for m in 0 1 2; do
    for r in $RULES; do
      ok N=3 C=2 $G mode=$m $(rule $r)
      ok N=3 C=1 ops=2 $G mode=$m $(rule $r)
    done
    breaks N=3 C=1 crash=1 false=0 coord=0 mode=$m rule=b inv=U
    breaks N=3 C=2 crash=1 false=1 mode=$m rule=b inv=U quorum=1
  done
  ok N=4 C=1 crash=1 false=1 coord=0 mode=1 rule=a inv=U
  ok N=3 C=2 $G mode=1 rule=b inv=S inplace=1 inputfull=1
  breaks N=3 C=2 $F mode=0 rule=a inv=U inplace=1
  # Abort, join, watermark.
  for r in $RULES; do
    ok N=3 C=1 $G fail=1 mode=1 $(rule $r)
    ok N=3 C=1 $G odd=1 mode=0 $(rule $r)
    ok N=3 C=1 ops=2 seq=0 crash=1 false=1 coord=0 minworld=3 mode=1 $(rule $r)
    ok N=3 C=1 ops=3 join=1 admit=1 $G mode=1 $(rule $r)
    ok N=3 C=1 ops=2 join=2 seq=2 $G coord=0 mode=1 $(rule $r)
    ok N=2 C=1 ops=3 seq=2 wm=1 $G mode=1 $(rule $r)
    ok N=3 C=1 ops=2 seq=2 wm=1 crash=1 false=0 coord=0 mode=2 $(rule $r)
  done
  breaks N=3 C=1 $G fail=1 mode=1 rule=a inv=U abortif=3
  breaks N=3 C=1 $G fail=1 mode=1 rule=b inv=S abortif=2
  # Admission: two joiners, one op after the other, and a mutant for each rule.
  one="N=3 C=1 ops=3 join=3 admit=1 $G mode=1 rule=b inv=S"
  two="N=4 joiners=2 C=1 ops=3 join=3 admit=1 crash=1 false=0 coord=1 mode=0 rule=a inv=U"
  ok $one
  ok $one admit2=2
  ok $one crash=0 fail=1
  ok $two
  for mut in 61 62 69; do breaks $two mut=$mut; done
  for mut in 64 65 66 68; do breaks $one mut=$mut; done
  for mut in 63 67; do breaks $one admit2=2 mut=$mut; done
  ok N=3 C=1 crash=1 false=1 coord=0 mode=2 rule=a inv=U raw=1
  # Other collectives, and a mutant for each of their rules.
  for kind in broadcast scatter reduce gather allgather reducescatter alltoall; do
    for m in 0 1; do ok kind=$kind N=3 C=1 $G coord=0 mode=$m rule=a inv=U; done
    ok kind=$kind N=3 C=1 $G coord=0 late=1 mode=0 rule=a inv=U
  done
  for kind in reduce gather allgather; do ok kind=$kind N=3 C=1 $G mode=1 rule=b inv=S; done
  ok kind=reduce N=4 C=1 crash=1 false=0 coord=0 mode=2 rule=a inv=U
  breaks kind=reduce N=4 C=1 crash=1 false=0 coord=0 mode=2 rule=a inv=U mut=8
  ok kind=broadcast N=3 C=1 $G coord=0 odd=2 late=1 mode=1 rule=a inv=U
  ok kind=scatter N=3 crash=1 false=0 coord=0 fail=1 mode=1 rule=a inv=U
  breaks kind=broadcast N=3 C=1 $G odd=2 mode=1 rule=a inv=U mut=46
  breaks kind=reduce N=3 C=1 $G mode=1 rule=a inv=U mut=46
  breaks kind=broadcast N=3 C=1 $G mode=1 rule=a inv=U mut=47 zerocopy=0
  breaks kind=broadcast N=3 C=1 $G mode=1 rule=a inv=U mut=48
  breaks kind=gather N=3 $G mode=1 rule=a inv=U mut=49
  breaks kind=reducescatter N=3 $G late=1 mode=1 rule=a inv=U mut=50
  breaks kind=reducescatter N=3 $G coord=0 mode=0 rule=a inv=U mut=51
  breaks kind=allgather N=3 $G coord=0 mode=1 rule=a inv=U mut=52
  breaks kind=alltoall N=3 $G mode=1 rule=a inv=U mut=53
  breaks kind=broadcast N=3 C=1 crash=0 false=0 coord=0 odd=1 mode=1 rule=a inv=U mut=54
  breaks kind=reduce N=3 C=1 $G late=1 mode=1 rule=a inv=U mut=55
  breaks kind=allgather N=3 ops=2 seq=2 wm=1 $G coord=0 mode=1 rule=a inv=U mut=56
  breaks kind=reducescatter N=3 $G mode=1 rule=a inv=U inputfull=1 zerocopy=0
  breaks kind=broadcast N=3 C=1 $G mode=1 rule=b inv=S fail=1
  # Two groups.
  two="groups=2 ops=2 N=3 C=1 $G coord=0 mode=1 rule=a inv=U"
  ok $two
  ok $two absent=2 late=1
  breaks $two absent=2 late=1 mut=57
  breaks $two mut=58 zerocopy=0
  breaks $two mut=59
  breaks $two mut=60
  four="groups=2 ops=3 N=4 C=1 join=3 admit=0 crash=1 false=0 coord=0 mode=1 rule=a inv=U"
  ok $four
  breaks $four mut=70
  breaks $four absent=2 late=1 mut=71
  breaks $four both=1 mut=72
  breaks groups=2 ops=4 N=3 C=1 seq=2 wm=1 crash=1 false=0 coord=0 mode=1 rule=a inv=U mut=73
  group_p2p
  # One mutant or more for each letter of "Rules, and what breaks without each" in docs/protocol.md.
  # zerocopy=0 where a reused buffer would be noticed before the rule itself is broken.
  a="N=3 C=2 $G mode=1 rule=a inv=U"
  b="N=3 C=2 $G mode=1 rule=b inv=S"
  breaks $a mut=1                                 # A stale frames are accepted
  breaks $a mut=4                                 # A early frames are dropped
  breaks $a mut=10 zerocopy=0                     # B one DONE is missing from the wave
  breaks $b mut=14 zerocopy=0                     # B no copy is retained
  breaks $a mut=17                                # C talk before log
  breaks N=3 C=2 $F mode=0 rule=a inv=U mut=11    # D install discards nothing
  breaks $a mut=12                                # E DONE is acted upon after the seal
  breaks $a mut=5                                 # F one report is missing
  breaks $a mode=2 mut=8                          # G a contributor is visited again
  breaks $a mut=15 zerocopy=0                     # H an input is freed once it was sent
  breaks $a mut=13                                # I FREED is not reported
  breaks $b mut=22                                # J no quiescence before the seal
  breaks $b mut=23                                # J a late duplicate lands in a reused buffer
  breaks $a fail=1 C=1 mut=26 zerocopy=0          # ABORT: a peer ends the op by itself
  breaks $a C=1 ops=3 join=1 admit=1 seq=2 mut=33 # JOIN: the joiner takes part in older ops
  breaks $a C=1 ops=2 seq=2 wm=1 mut=40 zerocopy=0 # WATERMARK: no minimum over hops
}

case "$2" in
fast | base | large | abort | join | admission | watermark | rooted | layout | p2p | groups | joingroups | mutants | mutants2 | raw2) "group_$2" ;;
*)
  echo "run.sh: no group named $2" >&2
  exit 2
  ;;
esac
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
