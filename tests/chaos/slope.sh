#!/bin/sh
# What sample.sh wrote, as a slope for each process: least squares, without the first third, in which caches fill.
# Exit status 1 when a process grows, or none was looked at for long enough.  It grows when what the slope makes of the time that was
# looked at is more than both: so much that no cache explains it, and a large part of what it has.
set -eu
awk -v most_kib="${SLOPE_KIB:-4096}" -v most_files="${SLOPE_FILES:-10}" -v most_part="${SLOPE_PART:-0.2}" '
  $1 > end { end = $1 }
  { line[NR] = $0 }
  function beyond(growth, most, mean) { return growth > most && growth > most_part * mean }
  END {
    for (i = 1; i <= NR; i++) {
      split(line[i], f, " ")
      if (f[1] < end / 3) continue
      p = f[2]; name[p] = f[3]; n[p]++
      if (n[p] == 1) first[p] = f[1]
      last[p] = f[1]
      t[p] += f[1]; tt[p] += f[1] * f[1]
      r[p] += f[4]; tr[p] += f[1] * f[4]
      o[p] += f[5]; to[p] += f[1] * f[5]
    }
    print "process              samples   rss_MiB  KiB/min   files  files/min"
    for (p in n) {
      d = n[p] * tt[p] - t[p] * t[p]
      if (n[p] < 3 || d == 0) continue
      judged++
      memory = (n[p] * tr[p] - t[p] * r[p]) / d; files = (n[p] * to[p] - t[p] * o[p]) / d; time = last[p] - first[p]
      grows = beyond(memory * time, most_kib, r[p] / n[p]) || beyond(files * time, most_files, o[p] / n[p])
      grown += grows
      printf "%-8s %-15s %5d %8.1f %8.1f %7.1f %9.2f%s\n", p, name[p], n[p], r[p] / n[p] / 1024, \
        60 * memory, o[p] / n[p], 60 * files, grows ? "  GROWS" : ""
    }
    if (!judged) print "nobody was there for three samples"
    exit grown > 0 || !judged
  }' "$1"
