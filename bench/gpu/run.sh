#!/bin/sh
# Checks and measures on a machine with CUDA devices: run.sh FOLDER [KILLS]
#
# FOLDER holds a build, made anywhere: rhz_gpu_check, rhz_gpu_bench, and in lib/ librhizome.so.1 and what it needs (pack.sh makes it).
# Prints what went wrong as it comes, and one table last: a line for each part, with the time that it took.  The status is 0 when all results
# were right.  Each part has a bound, so that a hang is one line of the table; all together take some five minutes on two devices.
set -u
folder=$(cd "$1" && pwd)
kills=${2:-50}
export LD_LIBRARY_PATH="$folder/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
nccl=$(python3 -c 'import nvidia.nccl, os; print(os.path.join(list(nvidia.nccl.__path__)[0], "lib", "libnccl.so.2"))' 2> /dev/null)
devices=$(nvidia-smi -L | wc -l)
logs=$(mktemp -d)
table=$logs/table
status=0
faults_before=$(dmesg 2> /dev/null | grep -c Xid)

# part NAME SECONDS COMMAND...: its output is in $logs/NAME; what failed is shown.
part() {
  name=$1 bound=$2 begun=$(date +%s)
  shift 2
  timeout "$bound" "$@" > "$logs/$name" 2>&1
  rc=$?
  [ $rc -eq 0 ] || status=1
  grep -E '^FAIL|FAILED' "$logs/$name"
  printf '%-16s %4d s  status %d, %d checks passed, %d failed' "$name" $(($(date +%s) - begun)) $rc \
    "$(grep -c '^ok' "$logs/$name")" "$(grep -c '^FAIL' "$logs/$name")" >> "$table"
  grep '^kills [0-9]' "$logs/$name" | sed 's/^/; /' | tr -d '\n' >> "$table"
  echo >> "$table"
}

# What memcheck says of every rank.
memcheck() {
  command -v compute-sanitizer > /dev/null || return 0
  part "memcheck-$1" 120 "$folder/rhz_gpu_check" --ranks 2 --only "$1" --under "compute-sanitizer --log-file $logs/sanitizer-$1.%p"
  cat "$logs/sanitizer-$1".* 2> /dev/null | grep -E '= (Program hit|Invalid)' | sort | uniq -c | head -5
  printf '%-16s         compute-sanitizer: %d ranks without errors, %d with\n' "" \
    "$(cat "$logs/sanitizer-$1".* 2> /dev/null | grep -c 'ERROR SUMMARY: 0 errors')" \
    "$(cat "$logs/sanitizer-$1".* 2> /dev/null | grep 'ERROR SUMMARY' | grep -vc ' 0 errors')" >> "$table"
}

part collectives 120 "$folder/rhz_gpu_check" --ranks 4 --only collectives
part streams 60 "$folder/rhz_gpu_check" --ranks 4 --only streams
part messages 60 "$folder/rhz_gpu_check" --ranks 4 --only messages
part windows 120 "$folder/rhz_gpu_check" --only windows
part kills 150 "$folder/rhz_gpu_check" --ranks 4 --only kills --kills "$kills"
if [ "$devices" -ge 2 ]; then
  part kernel-kills 150 "$folder/rhz_gpu_check" --only kernel-kills --kills "$kills"
fi
part state 120 "$folder/rhz_gpu_check" --only state
part sync 60 "$folder/rhz_gpu_check" --only sync
part streams-after 60 "$folder/rhz_gpu_check" --ranks 4 --only streams
memcheck streams
if [ "$devices" -ge 2 ]; then
  memcheck windows
  part speed-2 200 "$folder/rhz_gpu_bench" --ranks 2 ${nccl:+--nccl "$nccl"}
  part faults-2 200 "$folder/rhz_gpu_bench" --ranks 2 --only-faults 1 --faults 20 ${nccl:+--nccl "$nccl"}
fi
part state-speed 200 "$folder/rhz_gpu_bench" --state 8589934592
if [ "$devices" -ge 4 ]; then
  part speed-4 200 "$folder/rhz_gpu_bench" --ranks 4 --most 268435456 ${nccl:+--nccl "$nccl"}
fi
printf '%-16s         new device errors in the kernel log (Xid): %d\n' "" $(($(dmesg 2> /dev/null | grep -c Xid) - faults_before)) >> "$table"

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
for name in speed-2 faults-2 state-speed speed-4; do
  [ -f "$logs/$name" ] && grep -v -e '^fault ' -e '^snapshot [0-9]*:' "$logs/$name"
done
cat "$table"
rm -rf "$logs"
exit $status
