#!/bin/sh
# Why the tests of CTest's last run failed, in so few lines that they are seen where only the end of a record is kept.
#
#   sh tests/failures.sh BUILD
log=$1/Testing/Temporary/LastTest.log
failed=$1/Testing/Temporary/LastTestsFailed.log
[ -s "$failed" ] || exit 0
cut -d: -f2 "$failed" | while read -r name; do
  echo "== $name"
  # From its heading to that of the next one: the first line that says what was wrong, with what follows, and how far it came.
  awk -v name="$name" '
    /^[0-9]+\/[0-9]+ Testing: / { ours = $3 == name }
    !ours { next }
    /: Failure$|FOUND:|DOUBT:|TOO FEW:|VIOLATION|Assertion|ERROR: |WARNING: |terminate called/ && !told { told = 6 }
    told > 1 { print; --told }
    /^Test time = / { print before; print; next }
    /^<end of output>$|^-*$/ { next }
    { before = $0 }' "$log" | cut -c1-160
done
