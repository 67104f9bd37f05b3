#!/bin/sh
# What the tests that failed in CTest's last run had said at last, where only the end of a record is kept.
#
#   sh tests/failures.sh BUILD
log=$1/Testing/Temporary/LastTest.log
failed=$1/Testing/Temporary/LastTestsFailed.log
[ -s "$failed" ] || exit 0
cut -d: -f2 "$failed" | while read -r name; do
  echo "== $name"
  # From its heading to that of the next one; the last lines of it.
  awk -v name="$name" '/^[0-9]+\/[0-9]+ Testing: / { ours = $3 == name } ours' "$log" | cut -c1-300 | tail -n 25
done
