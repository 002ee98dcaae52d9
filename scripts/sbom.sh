#!/usr/bin/env bash
# Writes the bill of materials (CycloneDX, JSON) of what deploy/requirements.txt pins. $1: a Python that has
# cyclonedx-bom. $2: the file. The same lock gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$(dirname "$2")"
"$1" -W ignore -m cyclonedx_py requirements deploy/requirements.txt --pyproject pyproject.toml --mc-type application \
    --output-reproducible --spec-version 1.6 --output-format JSON --output-file "$2" --validate
echo "$2"
