#!/bin/sh
# Installs those of the named Debian packages that are missing.  What cannot be installed is said, not fatal: the
# benchmarks go on without it.
#
#   sh bench/install.sh PACKAGE...
set -u
missing=""
for package in "$@"; do
  dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
command -v apt-get > /dev/null 2>&1 || { echo "install.sh: no apt-get; missing:$missing" >&2; exit 0; }
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
echo "install.sh: installing$missing" >&2
$as_root apt-get update -q > /dev/null
for package in $missing; do # one by one: a package that this release lacks does not keep the others away
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$package" > /dev/null ||
    echo "install.sh: going on without $package" >&2
done
