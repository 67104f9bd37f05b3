#!/bin/sh
# Compiles every file of the library and of the command by itself and with no header before it.  Other builds compile several as one,
# behind precompiled headers, where an #include that is missing does not show.
#   sh tests/lint/alone.sh SOURCE BUILD_FOLDER
set -e
cmake -S "$1" -B "$2" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DCMAKE_C_FLAGS_DEBUG=-O0 \
  -DRHZ_UNITY=OFF -DRHZ_PRECOMPILE=OFF -DRHZ_BUILD_TESTS=OFF -DRHZ_BUILD_BENCH=OFF
cmake --build "$2"
