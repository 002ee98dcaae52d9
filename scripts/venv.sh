#!/usr/bin/env bash
# Makes the virtual environment $2 with the interpreter $1, or says what is missing.
set -euo pipefail
python=$1 folder=$2

if ! command -v "$python" >/dev/null; then
    echo "make: $python is not installed (Debian: apt install python3 python3-venv)" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "make: edgenode needs Python 3.11 or newer; $python is $("$python" --version). Try: make PYTHON=python3.12 …" >&2
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "make: $python cannot make virtual environments (Debian: apt install python3-venv)" >&2
    exit 1
fi
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
