#!/usr/bin/env bash
# Asks the package index for known vulnerabilities of what deploy/requirements.txt pins for the Python $1, which has
# pip-audit.
# 0: asked about each, none known. 1: some are known. 2: nothing, or not everything, could be asked.
set -euo pipefail
cd "$(dirname "$0")/.."
report=$(mktemp)
trap 'rm -f "$report" "$report.log"' EXIT
"$1" -m pip_audit --requirement deploy/requirements.txt --require-hashes --disable-pip --progress-spinner off \
    --format json --output "$report" 2>"$report.log" || true
exec "$1" - "$report" "$report.log" <<'PROGRAM'
import json
import sys

try:
    with open(sys.argv[1], encoding="utf-8") as file:
        libraries = json.load(file)["dependencies"]
except (OSError, ValueError, KeyError):
    with open(sys.argv[2], encoding="utf-8") as file:
        words = file.read().strip().splitlines()
    sys.exit(print(f"audit: nothing was checked: {words[-1] if words else 'pip-audit gave no answer'}") or 2)
known = [(each["name"], each["version"], flaw) for each in libraries for flaw in each.get("vulns", [])]
for name, version, flaw in known:
    fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
    print(f"{name} {version}: {flaw['id']} (fixed in {fixed})")
unknown = [each["name"] for each in libraries if "skip_reason" in each]
print(f"audit: {len(libraries) - len(unknown)} of {len(libraries)} libraries checked, {len(known)} known vulnerabilities")
if unknown:
    print(f"audit: the index knows nothing of {', '.join(unknown)}: it is away, or a mirror without this knowledge")
sys.exit(1 if known else 2 if unknown or not libraries else 0)
PROGRAM
