#!/bin/sh
# Each side reads what the other has written, and both see the same tensors.
#
#   sh tests/reference/safetensors.sh TOOL VENV FOLDER
set -eu
tool=$1
venv=$2
folder=$3
here=$(cd "$(dirname "$0")" && pwd)

sh "$here/../../bench/perf/python_peers.sh" "$venv" safetensors
reference() { "$venv/bin/python" "$here/safetensors_reference.py" "$@"; }
reference version || { echo "safetensors.sh: skipped: the Python package safetensors cannot be installed"; exit 77; }

rm -rf "$folder"
mkdir -p "$folder"
"$tool" write "$folder"
reference write "$folder/theirs.safetensors"
for file in ours theirs; do
  "$tool" list "$folder/$file.safetensors" > "$folder/$file.tool"
  reference list "$folder/$file.safetensors" > "$folder/$file.reference"
  [ -s "$folder/$file.tool" ] || { echo "safetensors.sh: $file: nothing in it"; exit 1; }
  diff "$folder/$file.tool" "$folder/$file.reference" || { echo "safetensors.sh: $file: the readers differ"; exit 1; }
done
for bad in gap overlap length dtype; do
  reference break "$folder/ours.safetensors" "$folder/$bad.safetensors" "$bad"
  ! reference list "$folder/$bad.safetensors" > /dev/null 2>&1 || { echo "safetensors.sh: the reference takes $bad"; exit 1; }
  ! "$tool" list "$folder/$bad.safetensors" > /dev/null 2>&1 || { echo "safetensors.sh: the tool takes $bad"; exit 1; }
done
