#!/usr/bin/env bash
# Whether every library the node needs at run time has a wheel for a platform: nothing must be compiled on a gateway.
# Usage: check-wheels.sh [PYTHON] [ARCHITECTURE]; downloads about 150 MB into a folder that is deleted again.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3} architecture=${2:-aarch64}
version=${PYTHON_VERSION:-312}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mapfile -t needed < <("$python" -c '
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")')
platforms=()
# pip takes only the platforms it is told: each glibc level that wheels of today are built for
for level in 2_17 2_26 2_27 2_28 2_31 2_34 2_35; do
    platforms+=(--platform "manylinux_${level}_${architecture}")
done
"$python" -m pip download --quiet --disable-pip-version-check --only-binary=:all: \
    --implementation cp --python-version "$version" --abi "cp$version" --abi abi3 --abi none \
    "${platforms[@]}" --platform "manylinux2014_${architecture}" --dest "$folder" "${needed[@]}"
ls "$folder"
