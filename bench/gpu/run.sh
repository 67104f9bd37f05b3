#!/bin/sh
# Checks and measures on a machine with CUDA devices: run.sh FOLDER [KILLS]
#
# FOLDER holds a build, made anywhere: rhz_gpu_check, rhz_gpu_bench, and in lib/ librhizome.so.1 and what it needs (pack.sh makes it).
# Prints one line per failed check and the number of those that passed, then the tables.  The status is 0 when all results were right.
set -u
folder=$1
kills=${2:-50}
export LD_LIBRARY_PATH="$folder/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
nccl=$(python3 -c 'import nvidia.nccl, os; print(os.path.join(list(nvidia.nccl.__path__)[0], "lib", "libnccl.so.2"))' 2> /dev/null)
devices=$(nvidia-smi -L | wc -l)
log=$(mktemp)
status=0

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
faults_before=$(dmesg 2> /dev/null | grep -c Xid)

"$folder/rhz_gpu_check" --ranks 4 --kills "$kills" > "$log" 2>&1 || status=1
grep -v '^ok' "$log"
echo "checks that passed: $(grep -c '^ok' "$log")"

if command -v compute-sanitizer > /dev/null; then
  compute-sanitizer --target-processes all --error-exitcode 9 "$folder/rhz_gpu_check" --ranks 2 --only streams > "$log" 2>&1 || status=1
  echo "compute-sanitizer memcheck, streams: $(grep -c 'ERROR SUMMARY: 0 errors' "$log") processes without errors"
  grep -v 'ERROR SUMMARY: 0 errors' "$log" | grep -E '^FAIL|ERROR SUMMARY|Invalid' | head -5
fi

echo "new device errors in the kernel's log: $(($(dmesg 2> /dev/null | grep -c Xid) - faults_before))"

if [ "$devices" -ge 2 ]; then
  if command -v compute-sanitizer > /dev/null; then
    compute-sanitizer --target-processes all --error-exitcode 9 "$folder/rhz_gpu_bench" --ranks 2 --most 1048576 --api 0 --nccl none > "$log" 2>&1 || status=1
    echo "compute-sanitizer memcheck, kernels: $(grep -c 'ERROR SUMMARY: 0 errors' "$log") processes without errors"
    grep -E '^FAIL|Invalid' "$log" | head -5
  fi
  "$folder/rhz_gpu_bench" --ranks 2 --faults 20 ${nccl:+--nccl "$nccl"} > "$log" 2>&1 || status=1
  grep -v '^fault' "$log"
fi
rm -f "$log"
exit $status
