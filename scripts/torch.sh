#!/usr/bin/env bash
# Sees to it that $1 (an interpreter) can import torch 2.6 or newer, by the smallest download that works.
set -euo pipefail
python=$1
pip=("$python" -m pip --disable-pip-version-check)
cpu_index=https://download.pytorch.org/whl/cpu

if "$python" -c 'import sys; import torch; sys.exit(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6))' 2>/dev/null; then
    exit 0
fi

reachable() {
    "$python" - "$1" <<'PYTHON' 2>/dev/null
import sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="HEAD"), timeout=5)
PYTHON
}

if reachable "$cpu_index/torch/"; then
    echo "installing torch (CPU only, about 200 MB)"
    if "${pip[@]}" install --quiet --index-url "$cpu_index" 'torch>=2.6'; then
        exit 0
    fi
fi
echo "installing torch from the default package index. Where $cpu_index cannot be reached this may be the build with"
echo "CUDA, several gigabytes; to choose another one, install torch into the environment of $python first."
"${pip[@]}" install --quiet torch==2.13.0 || "${pip[@]}" install --quiet 'torch>=2.6'
