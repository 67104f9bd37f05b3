#!/bin/sh
# Consumes the installed tree, by CMake package and by pkg-config, and compares what it exports with symbols.txt.
#
#   run.sh BUILD SOURCE CMAKE CC CXX NM SANITIZE
set -eu
build=$1 source=$2 cmake=$3 cc=$4 cxx=$5 nm=$6 sanitize=$7
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
flags=${sanitize:+-fsanitize=$sanitize}

step() { echo "c99: $*"; }

step install
"$cmake" --install "$build" --prefix "$prefix" > "$work/install.log" || { cat "$work/install.log"; exit 1; }
pc=$(find "$prefix" -name rhizome.pc)
libdir=$(dirname "$(dirname "$pc")")

step "CMake package"
"$cmake" -S "$source/package" -B "$work/package" -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
  -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" > "$work/package.log" \
  && "$cmake" --build "$work/package" >> "$work/package.log" 2>&1 \
  || { cat "$work/package.log"; exit 1; }
"$work/package/consumer"
"$work/package/header"

step pkg-config
export PKG_CONFIG_PATH="$libdir/pkgconfig"
[ "$(pkg-config --modversion rhizome)" = "$(sed -n 's/^Version: //p' "$pc")" ]
# shellcheck disable=SC2046,SC2086
"$cc" -std=c99 -pedantic-errors -Wall -Wextra -Werror $flags "$source/consumer.c" \
  $(pkg-config --cflags --libs rhizome) -o "$work/consumer"
LD_LIBRARY_PATH="$libdir" "$work/consumer"
# shellcheck disable=SC2046,SC2086
"$cxx" -std=c++20 -pedantic-errors -Wall -Wextra -Werror -fsyntax-only \
  $(pkg-config --cflags rhizome) "$source/header.cc"

step "exported symbols"
"$nm" -D --defined-only "$libdir/librhizome.so.1" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort > "$work/symbols.txt"
diff -u "$source/symbols.txt" "$work/symbols.txt" || {
  echo "c99: librhizome.so.1 exports other symbols than tests/c99/symbols.txt lists:"
  echo "c99: one that went, or changed its version, breaks programs; a new one belongs into the list"
  exit 1
}
step ok
