#!/bin/sh
# `rhizome chaos` once for each seed: one line each, and all of it for the first that is not ok, or in which a sanitizer says something, also
# about a peer that is killed later.
#
#   sh tests/chaos/seeds.sh FIRST LAST RHIZOME [OPTIONS] -- PEER...
set -u
first=$1 last=$2 rhizome=$3
shift 3
said=$(mktemp)
trap 'rm -f "$said"' EXIT
for seed in $(seq "$first" "$last"); do
  sh "$(dirname "$0")/conclusive.sh" "$rhizome" chaos --seed "$seed" "$@" > "$said" 2>&1
  status=$?
  grep -q 'Sanitizer\|runtime error:' "$said" && [ $status = 0 ] && status=1
  if [ $status != 0 ]; then
    cat "$said"
    echo "seed $seed: status $status"
    exit $status
  fi
  echo "seed $seed: $(tail -n 1 "$said")"
done
