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
folder_of_logs=$(mktemp -d)
log=$folder_of_logs/log
status=0

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
faults_before=$(dmesg 2> /dev/null | grep -c Xid)

"$folder/rhz_gpu_check" --ranks 4 --kills "$kills" > "$log" 2>&1 || status=1
grep -v '^ok' "$log"
echo "checks that passed: $(grep -c '^ok' "$log")"

# What memcheck says of every process; the checks swallow what ranks print.
memcheck() {
  name=$1
  shift
  command -v compute-sanitizer > /dev/null || return 0
  compute-sanitizer --target-processes all --log-file "$folder_of_logs/$name.%p" "$@" > "$log" 2>&1 || status=1
  echo "compute-sanitizer memcheck, $name: $(cat "$folder_of_logs/$name".* | grep -c 'ERROR SUMMARY: 0 errors') processes without errors," \
    "$(cat "$folder_of_logs/$name".* | grep 'ERROR SUMMARY' | grep -vc ' 0 errors') with"
  cat "$folder_of_logs/$name".* | grep -E '= (Program hit|Invalid)' | sort | uniq -c | head -5
  grep FAIL "$log"
}

memcheck streams "$folder/rhz_gpu_check" --ranks 2 --only streams
echo "new device errors in the kernel's log: $(($(dmesg 2> /dev/null | grep -c Xid) - faults_before))"

"$folder/rhz_gpu_bench" --state 8589934592 > "$log" 2>&1 || status=1
grep -v '^snapshot [0-9]*:' "$log"

if [ "$devices" -ge 2 ]; then
  memcheck kernels "$folder/rhz_gpu_check" --only windows
  "$folder/rhz_gpu_bench" --ranks 2 --faults 20 ${nccl:+--nccl "$nccl"} > "$log" 2>&1 || status=1
  grep -v '^fault' "$log"
fi
if [ "$devices" -ge 4 ]; then
  "$folder/rhz_gpu_bench" --ranks 4 --most 268435456 ${nccl:+--nccl "$nccl"} > "$log" 2>&1 || status=1
  cat "$log"
fi
rm -rf "$folder_of_logs"
exit $status
