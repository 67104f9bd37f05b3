#!/bin/sh
# Installs what the build needs from the distribution's packages, where something is missing.  Debian 12 and 13, Ubuntu 24.04.
set -eu
packages="g++ cmake ninja-build pkg-config capnproto libcapnp-dev libasio-dev libxxhash-dev libisal-dev nlohmann-json3-dev
  libucx-dev libfabric-dev libcli11-dev libgtest-dev libgmock-dev libbenchmark-dev iproute2"
command -v dpkg-query > /dev/null 2>&1 || { echo "setup: not a Debian system; install by hand: $packages"; exit 0; }
missing=""
for p in $packages; do
  dpkg-query -W -f='${Status}' "$p" 2> /dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "setup: installing$missing"
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
# shellcheck disable=SC2086
$as_root apt-get install -q -y --no-install-recommends $missing
