#!/bin/sh
# Resident memory and open files of a process and its children, one line each and every so often, until it has ended:
#
#   sh tests/chaos/sample.sh PID SECONDS        →  seconds pid name rss_kb files
set -u
began=$(date +%s)
while kill -0 "$1" 2> /dev/null; do
  now=$(($(date +%s) - began))
  for pid in "$1" $(cat /proc/"$1"/task/*/children 2> /dev/null); do
    rss=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2> /dev/null)
    [ -z "$rss" ] || echo "$now $pid $(cat "/proc/$pid/comm") $rss $(ls "/proc/$pid/fd" 2> /dev/null | wc -l)"
  done
  timeout "$2" tail --pid="$1" -f /dev/null # its end, or so many seconds
done
