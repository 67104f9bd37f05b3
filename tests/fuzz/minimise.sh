#!/bin/sh
# Makes tests/fuzz/corpus anew from what it has and what `make fuzz` has learnt: inputs that together take all the ways seen, and some
# that take them another number of times.
set -eu
usage="usage: sh tests/fuzz/minimise.sh [TARGET]...   (after \`make fuzz\`; all targets by default)"
case "${1-}" in -h | --help) echo "$usage"; exit 0 ;; esac
cd "$(dirname "$0")/../.."
most=150 # files of a target
[ $# -gt 0 ] || set -- frame splitter handshake control log coordinator member resolve checkpoint schedule texts
for target in "$@"; do
  program=build/fuzz/tests/fuzz/fuzz_$target ours=tests/fuzz/corpus/$target learnt=build/fuzz/corpus/$target
  [ -x "$program" ] || { echo "$usage" >&2; exit 1; }
  work=$(mktemp -d)
  mkdir -p "$ours" "$learnt" "$work/ways" "$work/times"
  merge() { # INTO COUNTERS
    "$program" -set_cover_merge=1 -use_counters="$2" -max_len=4096 "$work/$1" "$ours" "$learnt" 2> "$work/log" || { tail -20 "$work/log" >&2; exit 1; }
  }
  merge ways 0
  merge times 1
  rm -f "$ours"/*
  number=0
  # Of the second kind the long ones, which say most.
  { ls -d "$work"/ways/*; ls -dS "$work"/times/*; } | awk -F/ '!seen[$NF]++' | head -n "$most" | while read -r file; do
    cp "$file" "$ours/$(printf '%03d' "$number")"
    number=$((number + 1))
  done
  echo "$target: $(ls "$ours" | wc -l) inputs of $(ls "$learnt" | wc -l), $(cat "$ours"/* | wc -c) bytes"
  rm -r "$work"
done
