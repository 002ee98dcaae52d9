#!/usr/bin/env bash
# Home Assistant's own code reads what a node announces: test-home-assistant.sh PYTHON VENV
# PYTHON has edgenode and its tests' tools; VENV is made with HOME_ASSISTANT_PYTHON (python3.13), 1 GB.
set -euo pipefail
python=$1 venv=$2
if [ ! -e "$venv/.made" ]; then
    newer=${HOME_ASSISTANT_PYTHON:-python3.13}
    if ! "$newer" -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null; then
        echo "test-home-assistant: $newer is no Python 3.13 that runs; say where one is: HOME_ASSISTANT_PYTHON=/opt/python3.13/bin/python make test-home-assistant" >&2
        exit 1
    fi
    "$newer" -m venv "$venv"
    # pip goes through version after version of a hundred libraries and does not finish; uv takes seconds
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet uv
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" \
        'pytest-homeassistant-custom-component>=0.13.205' 'homeassistant>=2025.1' paho-mqtt numpy
    touch "$venv/.made"
fi
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT
"$python" -m tests.home_assistant.messages > "$messages"
"$venv/bin/python" -m pip --disable-pip-version-check list 2>/dev/null | grep -i '^homeassistant '
EDGENODE_HA_MESSAGES=$messages "$venv/bin/python" -m pytest -c tests/home_assistant/pytest.ini \
    --rootdir tests/home_assistant --confcutdir tests/home_assistant -p no:cacheprovider \
    tests/home_assistant/check_discovery.py
