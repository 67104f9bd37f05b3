#!/bin/sh
# What sample.sh wrote, as a slope for each process: least squares, without the first third, in which caches fill.
set -eu
awk '
  $1 > end { end = $1 }
  { line[NR] = $0 }
  END {
    for (i = 1; i <= NR; i++) {
      split(line[i], f, " ")
      if (f[1] < end / 3) continue
      p = f[2]; name[p] = f[3]; n[p]++
      t[p] += f[1]; tt[p] += f[1] * f[1]
      r[p] += f[4]; tr[p] += f[1] * f[4]
      o[p] += f[5]; to[p] += f[1] * f[5]
    }
    print "process              samples   rss_MiB  KiB/min   files  files/min"
    for (p in n) {
      d = n[p] * tt[p] - t[p] * t[p]
      if (n[p] < 3 || d == 0) continue
      printf "%-8s %-15s %5d %8.1f %8.1f %7.1f %9.2f\n", p, name[p], n[p], r[p] / n[p] / 1024, \
        60 * (n[p] * tr[p] - t[p] * r[p]) / d, o[p] / n[p], 60 * (n[p] * to[p] - t[p] * o[p]) / d
    }
  }' "$1"
