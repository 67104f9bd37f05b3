#!/bin/sh
# Installs peers from PyPI into a virtual environment; says what does not install, and goes on.
#
#   sh bench/perf/python_peers.sh VENV [torch] [pypccl] [safetensors]
#
# pypccl has packages for Python 3.12 alone on x86-64 Linux: that one is taken where it is there.
set -u
venv=$1
shift
say() { echo "python_peers.sh: $*" >&2; }

if [ ! -x "$venv/bin/python" ]; then
  python=""
  for one in python3.12 python3; do
    "$one" -c 'import venv, ensurepip' 2> /dev/null || continue
    python=$one
    break
  done
  [ -n "$python" ] || { say "no Python with venv (Debian: python3-venv): going on without $*"; exit 0; }
  "$python" -m venv "$venv" || { say "no virtual environment: going on without $*"; exit 0; }
fi
for package in "$@"; do
  "$venv/bin/python" -c "import importlib.metadata as m; m.version('$package')" 2> /dev/null && continue
  say "installing $package"
  [ "$package" = safetensors ] || "$venv/bin/pip" install -q --retries 1 numpy 2> /dev/null
  if [ "$package" = torch ]; then # the build without CUDA is a tenth of the other; it is not on PyPI
    without_cuda=https://download.pytorch.org/whl/cpu
    "$venv/bin/pip" install -q --retries 0 --timeout 10 --index-url $without_cuda torch 2> /dev/null && continue
  fi
  "$venv/bin/pip" install -q --retries 1 "$package" 2> /dev/null ||
    say "going on without $package: nothing on PyPI for $("$venv/bin/python" --version)"
done
