#!/bin/sh
# Builds what run.sh needs, and puts it into FOLDER: pack.sh BUILD FOLDER.  The machine with the devices needs the C++ library and no more.
set -eu
build=$1
folder=$2
cmake --build "$build" --target rhizome rhz_gpu_check rhz_gpu_bench
mkdir -p "$folder/lib"
cp "$build/tests/gpu/rhz_gpu_check" "$build/bench/gpu/rhz_gpu_bench" "$folder/"
cp -L "$build/api/librhizome.so.1" "$folder/lib/"
ldd "$build/api/librhizome.so.1" | sed -n 's/.*=> \(.*lib\(capnp\|kj\|isal\)[^ ]*\) .*/\1/p' | while read -r library; do
  cp -L "$library" "$folder/lib/"
done
strip "$folder/rhz_gpu_check" "$folder/rhz_gpu_bench" "$folder/lib/librhizome.so.1"
cp "$(dirname "$0")/run.sh" "$folder/"
