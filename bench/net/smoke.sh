#!/bin/sh
# Does bench/net work here?  Two peers, one small all-reduce of ours; exit status 77, and the reason: not on this host.
#
#   sh bench/net/smoke.sh BUILD_DIR
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

before=$(ip -o link 2> /dev/null | wc -l)
status=0
sh "$here/run.sh" "$1" --peers 2 --iperf-seconds 1 --rate 200mbit -- -n 2 --bytes 64KiB --rounds 1 --iterations 2 --ours-only \
  --contenders ours-tcp --json "$folder/net.json" || status=$?
[ $status -eq 0 ] || exit $status

grep -q '"of_limit"' "$folder/net.json" || { echo "no bandwidth over the line's in the JSON"; exit 1; }
line=$(sed -n 's/.*"line_MBps": \([0-9]*\).*/\1/p' "$folder/net.json")
# 200 Mbit/s are 25 MB/s less headers: another figure means that the token buckets are not in the way.
[ "$line" -ge 15 ] && [ "$line" -le 25 ] || { echo "a line of 200 Mbit/s measures $line MB/s"; exit 1; }
[ "$(ip -o link | wc -l)" = "$before" ] || { echo "interfaces were left behind"; exit 1; }
