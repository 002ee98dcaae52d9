#!/usr/bin/env bash
# Writes deploy/requirements.txt: every library of the node with its version and the hashes of its files, for Python
# 3.11 and newer on any platform. What was pinned stays unless --upgrade is given. $1: a Python that has uv.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
shift
header='# Written by `make lock` (`make lock LOCK_OPTIONS=--upgrade` for newer versions); changes here are lost.
# What the Debian package and the container install.'
"$python" -m uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --extra signing --output-file deploy/requirements.txt "$@"
sed -i '/^# \(Written by\|What the Debian\)/d' deploy/requirements.txt
printf '%s\n%s\n' "$header" "$(cat deploy/requirements.txt)" >deploy/requirements.new
mv deploy/requirements.new deploy/requirements.txt
echo "deploy/requirements.txt: $(grep -c '==' deploy/requirements.txt) libraries"
